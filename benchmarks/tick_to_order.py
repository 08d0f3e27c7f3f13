"""
From the trade message that closes a bar to the order request that follows from it.

Everything is the real thing in processes of its own: the simulator (three venues), a
feed each, NATS, the strategy service, execution with its durable journal. A strategy
that wants something else at every bar is run on BTC at each venue, while all feeds take
about 2 000 trades a second together. A bar of a minute of the tape is a second here.

The clock starts when this process, a subscriber beside the feed, has received the
message that carries the first trade after the bar, and stops when the simulator has
read the whole order request: its own queueing counts, so that this is an upper bound.
The figure of a bar is that of the slowest venue.

``--latency`` instead makes every venue slow by that many milliseconds and compares the
time until all three have answered with that of the slowest alone.

    python benchmarks/tick_to_order.py [--bars 100] [--latency 5,20,80]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, closing, contextmanager
from itertools import pairwise
from pathlib import Path

import numpy as np
from picows import WSListener, WSMsgType, ws_connect

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from live.rig3 import INSTRUMENTS, VENUES  # noqa: E402
from processes import end, start_nats, start_simulator, wait_for  # noqa: E402

SPEED = 60
BAR_NS = 60_000_000_000
MEDIAN_MS, P99_MS = 5.0, 15.0
COINS = ("BTC", "ETH", "SOL")
ORDERS = {
    "binance": {"/fapi/v1/order"},
    "bybit": {"/v5/order/create"},
    "deribit": {"private/buy", "private/sell"},
}
SETTINGS = """\
directory = "{directory}"
catalog = "{directory}/catalog"
[nats]
url = "{nats}"
embedded = false
[risk]
url = "http://127.0.0.1:{risk}"
token = "t"
[execution]
orders_per_minute_max = 600
price_collar_fraction = 0.5
[feeds]
instruments = [{fed}]
"""
STRATEGY = """
[[strategies]]
name = "measuring.alternate"
instrument = "{instrument}"
bar_seconds = 60
warmup_days = 0
"""
VENUE = """
[venues.{name}]
rest = "{rest}"
ws = "{ws}"
key = "{key}"
secret = "{secret}"
"""


class Tap(WSListener):
    """Notes when the first trade of each bar's successor arrives."""

    def __init__(self, venue: str, logins: list[str]) -> None:
        self.venue = venue
        self.logins = logins
        self.closed_ns: dict[int, int] = {}
        self.bar = 0
        self.messages = 0

    def on_ws_connected(self, transport):
        for text in self.logins:
            transport.send(WSMsgType.TEXT, text.encode())

    def on_ws_frame(self, transport, frame):
        del transport
        if frame.msg_type is not WSMsgType.TEXT:
            return
        now = time.time_ns()
        message = json.loads(frame.get_payload_as_bytes())
        times = self._times(message)
        if not times:
            return
        self.messages += 1
        bar = max(times) * 1_000_000 // BAR_NS
        if bar > self.bar:
            if self.bar:
                self.closed_ns[bar] = now
            self.bar = bar

    def _times(self, message) -> list[int]:
        if self.venue == "binance":
            return [message["T"]] if message.get("e") == "aggTrade" else []
        if self.venue == "bybit":
            if "publicTrade" not in message.get("topic", ""):
                return []
            return [trade["T"] for trade in message["data"]]
        params = message.get("params") or {}
        if not str(params.get("channel", "")).startswith("trades."):
            return []
        return [trade["timestamp"] for trade in params["data"]]


def tap_of(venue: str, ws: str) -> tuple[str, Tap]:
    """Return where to listen, and the listener."""
    if venue == "binance":
        call = {"method": "SUBSCRIBE", "params": ["btcusdt@aggTrade"], "id": 1}
        return f"{ws}/market/ws", Tap(venue, [json.dumps(call)])
    if venue == "bybit":
        text = json.dumps({"op": "subscribe", "args": ["publicTrade.BTCUSDT"]})
        return f"{ws}/v5/public/linear", Tap(venue, [text])
    call = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "public/subscribe",
        "params": {"channels": ["trades.BTC-PERPETUAL.100ms"]},
    }
    return f"{ws}/ws/api/v2", Tap(venue, [json.dumps(call)])


class World:
    """Every process, started; the simulator's orders since the last look."""

    def __init__(self, directory: Path, simulator, processes) -> None:
        self.directory = directory
        self.simulator = simulator
        self.processes = processes

    def orders(self) -> list[dict]:
        """The order requests that the simulator still remembers."""
        records = self.simulator.admin("/log?kind=request&limit=10000")["records"]
        return [r for r in records if is_order(r)]


def is_order(record: dict) -> bool:
    """Whether a record of the simulator is of an order that it took."""
    wanted = ORDERS.get(record.get("venue", ""), ())
    name = record.get("path") or record.get("method", "")
    return any(name.endswith(one) for one in wanted)


@contextmanager
def world(directory: Path):
    with ExitStack() as stack:
        simulator = stack.enter_context(
            start_simulator(
                directory,
                *("--venues", ",".join(VENUES), "--generate", "1"),
                *("--instruments", ",".join(f"{c}USDT" for c in COINS)),
                *("--speed", str(SPEED), "--delay-ms", "0", "--no-rate-limits"),
            )
        )
        nats = stack.enter_context(start_nats(directory))
        (directory / "mode").write_text("trade")
        stand_in = ROOT / "tests/live/permit_stand_in.py"
        permits = subprocess.Popen(
            [sys.executable, str(stand_in), str(directory)],
            stdout=subprocess.PIPE,
            text=True,
        )
        stack.callback(end, permits)
        port = int(permits.stdout.readline())
        fed = [
            *(f'"{v}:{c}USDT-PERP"' for v in ("binance", "bybit") for c in COINS),
            *(f'"deribit:{c}-PERP"' for c in ("BTCUSD", "ETHUSD", "SOLUSDC")),
        ]
        text = SETTINGS.format(
            directory=directory, nats=nats.url, risk=port, fed=", ".join(fed)
        )
        for name in VENUES:
            line = simulator.line["venues"][name]
            text += VENUE.format(
                name=name, **{k: line[k] for k in ("rest", "ws", "key", "secret")}
            )
        for instrument in INSTRUMENTS.values():
            text += STRATEGY.format(instrument=instrument)
        config = directory / "cryptoquantix.toml"
        config.write_text(text)
        config.chmod(0o600)
        commands = [["feed", venue] for venue in VENUES] + [["strategy"], ["execution"]]
        processes = {}
        for command in commands:
            name = "-".join(command)
            log = stack.enter_context((directory / f"{name}.log").open("wb"))
            process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "cryptoquantix", *command),
                    *("--config", str(config)),
                ],
                stdout=log,
                stderr=log,
                env=os.environ | {"PYTHONPATH": str(ROOT / "benchmarks")},
            )
            processes[name] = process
            stack.callback(end, process)
        yield World(directory, simulator, processes)


async def listen(line: dict, seconds: float) -> list[Tap]:
    taps, transports = [], []
    for venue in VENUES:
        url, tap = tap_of(venue, line["venues"][venue]["ws"])
        transport, _ = await ws_connect(lambda tap=tap: tap, url)
        taps.append(tap)
        transports.append(transport)
    await asyncio.sleep(seconds)
    for transport in transports:
        transport.disconnect(graceful=False)
    return taps


def delays(tap: Tap, orders: list[dict]) -> dict[int, float]:
    """Milliseconds from each bar's close to the first order after it, by bar."""
    times = sorted(r["time_ns"] for r in orders if r["venue"] == tap.venue)
    found = {}
    closes = sorted(tap.closed_ns.items())
    for (bar, closed), (_, following) in pairwise(closes):
        after = [t for t in times if closed - 2_000_000 <= t < following]
        if after:
            found[bar] = (after[0] - closed) / 1e6
    return found


def report(taps: list[Tap], orders: list[dict], seconds: float) -> dict:
    by_venue = {tap.venue: delays(tap, orders) for tap in taps}
    bars = set.intersection(*(set(found) for found in by_venue.values()))
    worst = [max(found[bar] for found in by_venue.values()) for bar in sorted(bars)]
    value = {
        "benchmark": "tick_to_order",
        "contender": "cryptoquantix, three venues, journal included",
        "unit": "ms",
        "bars": len(worst),
        "median": round(statistics.median(worst), 2) if worst else None,
        "p99": round(float(np.percentile(worst, 99)), 2) if worst else None,
        "wanted": {"median": MEDIAN_MS, "p99": P99_MS},
        "messages_per_second_tapped": round(sum(t.messages for t in taps) / seconds),
    }
    for venue, found in by_venue.items():
        if found:
            values = list(found.values())
            value[venue] = {
                "bars": len(values),
                "median": round(statistics.median(values), 2),
                "p99": round(float(np.percentile(values, 99)), 2),
            }
    return value


def parts(directory: Path, taps: list[Tap], orders: list[dict]) -> dict:
    """Median milliseconds until the order is decided, and from there to the venue."""
    path = directory / "journal" / "journal.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT client_order_id, created_ns FROM orders")
        created = dict(rows.fetchall())
    sent = {}
    for record in orders:
        for name in ("clientOrderId", "orderLinkId", "label", "client_order_id"):
            if name in record:
                sent[record[name]] = (record["venue"], record["time_ns"])
    last = [(t - created[n]) / 1e6 for n, (_, t) in sent.items() if n in created]
    first = []
    for tap in taps:
        times = sorted(created[n] for n, (v, _) in sent.items() if v == tap.venue)
        for closed in tap.closed_ns.values():
            after = [t for t in times if closed - 2_000_000 <= t < closed + 400_000_000]
            if after:
                first.append((after[0] - closed) / 1e6)
    return {
        "message_to_decision": round(statistics.median(first), 2) if first else None,
        "decision_to_venue": round(statistics.median(last), 2) if last else None,
    }


def measure(bars: int) -> dict:
    with tempfile.TemporaryDirectory() as path:
        directory = Path(path)
        with world(directory) as made:
            log = directory / "execution.log"

            def ready() -> bool:
                assert made.processes["execution"].poll() is None, log.read_text()
                return log.read_text().count('"order filled"') >= 6

            wait_for(ready, 90, 0.5)
            taps = asyncio.run(listen(made.simulator.line, bars))
            value = report(taps, made.orders(), bars)
            value["parts"] = parts(directory, taps, made.orders())
            return value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bars", type=int, default=100)
    arguments = parser.parse_args()
    print(json.dumps(measure(arguments.bars)), flush=True)


if __name__ == "__main__":
    main()

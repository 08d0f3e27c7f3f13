"""
From the trade message that closes a bar to the order requests that follow from it.

Everything is the real thing in processes of its own: the simulator (three venues), a
feed each, NATS, the strategy service, execution with its durable journal. A strategy
that wants something else at every bar is run on BTC at each venue, while all feeds take
some 2 000 trades a second together (printed as counted). A bar of a minute of the tape
is a second here.

The clock starts when this process, a subscriber beside the feed, has received the
message that carries the first trade after the bar. It stops twice, each for the slowest
of the three venues: when the last byte of the request has left execution (``median``,
``p99``), and when the simulator has read the whole of it (``read_by_venue``), which
adds the simulator's own queueing behind its market data on the same cores.

    python benchmarks/tick_to_order.py [--bars 100]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import sqlite3
import statistics
import sys
import tempfile
import time
from contextlib import closing, contextmanager
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
from picows import WSListener, WSMsgType, ws_connect

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from cryptoquantix.bus.connection import connect  # noqa: E402
from cryptoquantix.bus.messages import FeedStatus, MessageDecoder  # noqa: E402
from live.world import SERVICES, VENUES, World, world_of  # noqa: E402
from processes import wait_for  # noqa: E402

BAR_NS = 60_000_000_000
MEDIAN_MS, P99_MS = 5.0, 15.0
TRADES_PER_SECOND = 2_000
EARLY_NS, LATE_NS = 2_000_000, 400_000_000
COINS = ("BTC", "ETH", "SOL")
# Its market stays ordinary for three hours, so that the rate of trades stays the same.
SEED = 358
ORDERS = {
    "binance": {"/fapi/v1/order"},
    "bybit": {"/v5/order/create"},
    "deribit": {"private/buy", "private/sell"},
}
FEEDS = """
[execution]
orders_per_minute_max = 600
price_collar_fraction = 0.5
[feeds]
instruments = [{fed}]
"""
TIMED = ROOT / "benchmarks/measuring/timed_execution.py"


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


def is_order(record: dict) -> bool:
    """Whether a record of the simulator is of an order that it took."""
    wanted = ORDERS.get(record.get("venue", ""), ())
    name = record.get("path") or record.get("method", "")
    return any(name.endswith(one) for one in wanted)


@contextmanager
def running(directory: Path):
    """Every service, execution telling when its orders' bytes have left it."""
    fed = [
        *(f'"{v}:{c}USDT-PERP"' for v in ("binance", "bybit") for c in COINS),
        *(f'"deribit:{c}-PERP"' for c in ("BTCUSD", "ETHUSD", "SOLUSDC")),
    ]
    simulate = (
        *("--instruments", ",".join(f"{c}USDT" for c in COINS)),
        *("--delay-ms", "0", "--no-rate-limits"),
    )
    settings = FEEDS.format(fed=", ".join(fed))
    with world_of(directory, seed=SEED, simulate=simulate, settings=settings) as world:
        for command in SERVICES:
            program = (str(TIMED), str(directory / "times"), str(world.config))
            world.start(command, program if command == ("execution",) else ())
        yield world


class Counter:
    """How many prints all feeds published, as they say themselves."""

    def __init__(self) -> None:
        self.counts: dict[str, list[int]] = {}
        self._decoder = MessageDecoder(FeedStatus)

    async def on_status(self, message) -> None:
        status = self._decoder.decode(message.data)
        trades = sum(one.trades for one in status.streams)
        self.counts.setdefault(status.venue, []).append(trades)

    def per_second(self) -> list[int]:
        """Prints of each second (statuses are a second apart)."""
        seconds = min((len(c) for c in self.counts.values()), default=0)
        found = [np.diff(c[:seconds]) for c in self.counts.values()]
        return [int(n) for n in np.sum(found, axis=0)] if seconds > 1 else []


async def listen(world: World, seconds: float) -> tuple[list[Tap], Counter]:
    taps, transports, counter = [], [], Counter()
    bus = await connect(world.nats.url, "benchmark")
    await bus.subscribe("feed.*", cb=counter.on_status)
    for venue in VENUES:
        url, tap = tap_of(venue, world.simulator.line["venues"][venue]["ws"])
        transport, _ = await ws_connect(lambda tap=tap: tap, url)
        taps.append(tap)
        transports.append(transport)
    await asyncio.sleep(seconds)
    for transport in transports:
        transport.disconnect(graceful=False)
    await bus.close()
    return taps, counter


type Times = dict[str, list[int]]


def left(world: World) -> Times:
    """When each venue's orders had left execution."""
    addresses = {
        urlsplit(world.simulator.line["venues"][v]["rest"]).netloc: v for v in VENUES
    }
    found: Times = {venue: [] for venue in VENUES}
    for line in (world.directory / "times").read_text().splitlines():
        time_ns, where = line.split()
        found[addresses[where]].append(int(time_ns))
    return found


def orders_read(world: World) -> list[dict]:
    """The order requests that the simulator still remembers."""
    records = world.simulator.admin("/log?kind=request&limit=10000")["records"]
    return [r for r in records if is_order(r)]


def delays(tap: Tap, times: list[int]) -> dict[int, float]:
    """Milliseconds from each bar's close to the first order after it, by bar."""
    found = {}
    closes = sorted(tap.closed_ns.items())
    for (bar, closed), (_, following) in pairwise(closes):
        after = [t for t in times if closed - EARLY_NS <= t < following]
        if after:
            found[bar] = (min(after) - closed) / 1e6
    return found


def summary(taps: list[Tap], times: Times) -> dict:
    """The slowest venue of each bar, and each venue for itself."""
    by_venue = {tap.venue: delays(tap, times[tap.venue]) for tap in taps}
    bars = set.intersection(*(set(found) for found in by_venue.values()))
    worst = [max(found[bar] for found in by_venue.values()) for bar in sorted(bars)]
    value: dict = {"bars": len(worst)} | figures(worst)
    for venue, found in by_venue.items():
        value[venue] = figures(list(found.values()))
    return value


def figures(values: list[float]) -> dict:
    if not values:
        return {"median": None, "p99": None}
    return {
        "median": round(statistics.median(values), 2),
        "p99": round(float(np.percentile(values, 99)), 2),
    }


def parts(directory: Path, taps: list[Tap], times: Times) -> dict:
    """Median milliseconds until an order is decided, and until it has left."""
    path = directory / "journal" / "journal.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        query = "SELECT instrument, created_ns FROM orders ORDER BY created_ns"
        rows = connection.execute(query).fetchall()
    first, last = [], []
    for tap in taps:
        decided = [t for name, t in rows if name.startswith(tap.venue)]
        gone = sorted(times[tap.venue])
        for closed in tap.closed_ns.values():
            since, until = closed - EARLY_NS, closed + LATE_NS
            created = [t for t in decided if since <= t < until]
            sent = [t for t in gone if created and created[0] <= t < until]
            if sent:
                first.append((created[0] - closed) / 1e6)
                last.append((sent[0] - created[0]) / 1e6)
    return {
        "message_to_decision": round(statistics.median(first), 2) if first else None,
        "decision_to_left": round(statistics.median(last), 2) if last else None,
    }


def measure(bars: int, directory: Path) -> dict:
    with running(directory) as world:
        execution, log = world.services["execution",], world.log_path(("execution",))

        def ready() -> bool:
            assert execution.poll() is None, log.read_text()
            return log.read_text().count('"order filled"') >= 6

        wait_for(ready, 90, 0.5)
        taps, counter = asyncio.run(listen(world, bars + 1))
        gone = left(world)
        read: Times = {venue: [] for venue in VENUES}
        for record in orders_read(world):
            read[record["venue"]].append(record["time_ns"])
        per_second = counter.per_second()
        return {
            "benchmark": "tick_to_order",
            "contender": "cryptoquantix, three venues, journal included",
            "unit": "ms",
            "wanted": {"median": MEDIAN_MS, "p99": P99_MS},
            "trades_per_second": round(statistics.fmean(per_second)),
            "trades_per_second_least": min(per_second),
            "trades_per_second_wanted": TRADES_PER_SECOND,
            **summary(taps, gone),
            "read_by_venue": summary(taps, read),
            "parts": parts(directory, taps, gone),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bars", type=int, default=100)
    parser.add_argument("--keep", type=Path, help="keep logs and journal here")
    arguments = parser.parse_args()
    logging.disable()
    with tempfile.TemporaryDirectory() as path:
        directory = arguments.keep or Path(path)
        directory.mkdir(parents=True, exist_ok=True)
        print(json.dumps(measure(arguments.bars, directory)), flush=True)


if __name__ == "__main__":
    main()

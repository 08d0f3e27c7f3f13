"""
Three venues, every service, and a seeded plan of everything going wrong at once.

Run for ten minutes by hand (``make soak``), for one in the tests. Each second a bar
closes and each venue's position is to be turned round; meanwhile services are killed,
the bus restarted, answers lost, private messages doubled and overtaken, connections
cut every 20 s, and the daemon (a stand-in) falls silent or says reduce-only.

At the end, with everything well again and the strategies stopped, the journal is held
against the venues: the positions to the last lot, the money to the last cent, every
order that a venue took known to the journal and ended, none sent twice, and no increase
taken by a venue while no permit could have allowed it.

    python tests/live/soak.py [--seconds 600] [--seed 1]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from cryptoquantix.core.clock import SystemClock  # noqa: E402
from cryptoquantix.core.instrument import Venue  # noqa: E402
from cryptoquantix.journal.reader import JournalReader  # noqa: E402
from cryptoquantix.live.round_trips import fold  # noqa: E402
from cryptoquantix.venues.trading import trading_port  # noqa: E402
from live.rig3 import INSTRUMENTS, VENUES  # noqa: E402
from processes import end, start_nats, start_simulator, wait_for  # noqa: E402

PERMIT_NS = 5_000_000_000
# Between what this process writes and what the stand-in answers, and the clocks' grain.
SLACK_NS = 500_000_000
BAR_SECONDS = 1.0
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
"""
VENUE = """
[venues.{name}]
rest = "{rest}"
ws = "{ws}"
key = "{key}"
secret = "{secret}"
"""
STRATEGY = """
[[strategies]]
name = "measuring.alternate"
instrument = "{instrument}"
bar_seconds = 60
warmup_days = 0
params = {{ one = 0.3, other = -0.2 }}
"""
SERVICES = (
    *(("feed", venue) for venue in VENUES),
    ("strategy",),
    ("execution",),
)


@dataclass
class Soak:
    """Every process of one run, and what was done to them."""

    directory: Path
    simulator: object
    nats: object
    config: Path
    services: dict[tuple[str, ...], subprocess.Popen] = field(default_factory=dict)
    modes: list[tuple[int, str]] = field(default_factory=list)
    acts: Counter = field(default_factory=Counter)

    def start(self, command: tuple[str, ...]) -> None:
        name = "-".join(command)
        with (self.directory / f"{name}.log").open("ab") as log:
            self.services[command] = subprocess.Popen(
                [
                    *(sys.executable, "-m", "cryptoquantix", *command),
                    *("--config", str(self.config)),
                ],
                stdout=log,
                stderr=log,
                env=os.environ | {"PYTHONPATH": str(ROOT / "benchmarks")},
            )

    def kill(self, command: tuple[str, ...]) -> None:
        process = self.services[command]
        process.send_signal(signal.SIGKILL)
        process.wait(10)
        self.start(command)

    def keep_up(self) -> None:
        """What ended by itself is started again, as ``cqx up`` does."""
        for command, process in list(self.services.items()):
            if process.poll() is not None:
                self.acts["ended by itself: " + "-".join(command)] += 1
                self.start(command)

    def permit(self, mode: str) -> None:
        temporary = self.directory / "mode.tmp"
        temporary.write_text(mode)
        temporary.replace(self.directory / "mode")
        self.modes.append((time.time_ns(), mode))

    def restart_bus(self) -> None:
        self.nats.process.kill()
        self.nats.process.wait(10)
        self.nats.process = _nats(self.directory, self.nats.port)

    def fault(self, kind: str, venue: str, seconds: float, **more: object) -> None:
        body = {"kind": kind, "venue": venue, "seconds": seconds} | more
        self.simulator.admin("/faults", body)

    def allowed(self, time_ns: int) -> bool:
        """Whether a permit to trade may have been alive at a moment."""
        last = "silent"
        for since, mode in self.modes:
            if since > time_ns:
                break
            if last == "trade" and mode != "trade":
                ended = since
            last = mode
        if last == "trade":
            return True
        return time_ns <= ended + PERMIT_NS + SLACK_NS


def _nats(directory: Path, port: int) -> subprocess.Popen:
    from cryptoquantix.bus.server import nats_command

    with (directory / "nats.log").open("ab") as log:
        return subprocess.Popen(
            nats_command(directory / "nats", port), stdout=log, stderr=log
        )


@contextmanager
def soak_of(directory: Path):
    with ExitStack() as stack:
        simulator = stack.enter_context(
            start_simulator(
                directory,
                *("--venues", ",".join(VENUES), "--generate", "1"),
                *("--instruments", "BTCUSDT", "--speed", "60"),
                *("--log", str(directory / "simulator.jsonl"), "--no-rate-limits"),
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
        stack.callback(permits.stdout.close)
        stack.callback(end, permits)
        port = int(permits.stdout.readline())
        text = SETTINGS.format(directory=directory, nats=nats.url, risk=port)
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
        soak = Soak(directory, simulator, nats, config)
        soak.permit("trade")
        try:
            yield soak
        finally:
            for process in soak.services.values():
                end(process)
            end(nats.process)


def trouble(soak: Soak, random: np.random.Generator) -> None:
    """Do one thing to the system, chosen by the seed."""
    venue = VENUES[random.integers(3)]
    act = ACTS[random.integers(len(ACTS))]
    soak.acts[act] += 1
    if act == "kill":
        command = SERVICES[random.integers(len(SERVICES))]
        soak.acts["kill " + "-".join(command)] += 1
        soak.kill(command)
    elif act == "kill execution":
        soak.kill(("execution",))
    elif act == "bus":
        soak.restart_bus()
    elif act == "permit":
        soak.permit(["silent", "reduce_only"][random.integers(2)])
    elif act == "lost-answer":
        mode = ["hang", "cut"][random.integers(2)]
        soak.fault("lost-answer", venue, 5, match=LOST, count=2, mode=mode)
    elif act == "outage":
        mode = ["hang", "refuse", "503"][random.integers(3)]
        soak.fault("outage", venue, 3, mode=mode)
    else:
        soak.fault(act, venue, 5)


LOST = "POST /fapi/v1/order|POST /v5/order/create|private/(buy|sell)"
ACTS = (
    *("kill", "kill execution", "bus", "permit", "lost-answer", "lost-answer"),
    *("outage", "duplicated-events", "reordered-events", "delayed-events", "reset"),
)


def run(directory: Path, seconds: float, seed: int) -> dict:
    random = np.random.default_rng(seed)
    with soak_of(directory) as soak:
        before = asyncio.run(balances(soak))
        for command in SERVICES:
            soak.start(command)
        log = directory / "execution.log"
        wait_for(lambda: log.read_text().count('"reconciled"') >= 3, 60, 0.2)
        begin = time.monotonic()
        cut = mended = begin
        while time.monotonic() - begin < seconds:
            trouble(soak, random)
            time.sleep(float(random.uniform(1.0, 4.0)))
            soak.keep_up()
            if time.monotonic() - cut > 20:
                cut = time.monotonic()
                for venue in VENUES:
                    soak.fault("disconnect", venue, 1)
            if time.monotonic() - mended > 10:
                mended = time.monotonic()
                soak.permit("trade")
        return settle(soak, before)


def settle(soak: Soak, before: dict) -> dict:
    """Mend everything, stop the strategies, and hold the journal against the venues."""
    request = urllib.request.Request(
        soak.simulator.admin_url + "/faults", method="DELETE"
    )
    urllib.request.urlopen(request, timeout=10).close()
    soak.permit("trade")
    soak.keep_up()
    time.sleep(3)
    for command in SERVICES[:-1]:
        end(soak.services.pop(command))
    # The last start: a process killed just now would still be loading.
    end(soak.services[SERVICES[-1]])
    log = soak.directory / "execution.log"
    before_start = log.read_text().count('"reconciled"')
    soak.start(SERVICES[-1])
    wait_for(
        lambda: log.read_text().count('"reconciled"') >= before_start + 3, 120, 0.5
    )
    path = soak.directory / "journal" / "journal.sqlite"
    terminal = ("filled", "canceled", "refused", "not_found")

    def is_quiet() -> bool:
        soak.keep_up()
        orders = JournalReader(path).orders()
        if any(o["state"] not in terminal for o in orders):
            return False
        newest = max(o["updated_ns"] for o in orders)
        return time.time_ns() - newest > 5e9

    wait_for(is_quiet, 90, 1.0)
    # Fills are read every 15 s at the latest.
    time.sleep(16)
    end(soak.services.pop(("execution",)))
    return judge(soak, before, JournalReader(path))


def judge(soak: Soak, before: dict, journal: JournalReader) -> dict:
    orders = {o["client_order_id"]: o for o in journal.orders()}
    wrong: list[str] = []
    taken = requests_of(soak.directory / "simulator.jsonl")
    counts = Counter(name for name, _ in taken)
    wrong += [f"{name} was taken {n} times" for name, n in counts.items() if n > 1]
    for name, time_ns in taken:
        order = orders.get(name)
        if order is None:
            wrong.append(f"{name} is not in the journal")
        elif order["kind"] == "increase" and not soak.allowed(time_ns):
            wrong.append(f"{name} increased without a permit")
    missing = {n for n, o in orders.items() if o["filled_lots"]} - set(counts)
    wrong += [f"{name} filled and no venue took it" for name in missing]
    held, after = asyncio.run(positions(soak)), asyncio.run(balances(soak))
    for instrument in INSTRUMENTS.values():
        lots = sum(
            f.size_lots * f.side.sign
            for f in journal.fills()
            if f.instrument == instrument
        )
        if lots != held[instrument]:
            wrong.append(f"{instrument}: journal {lots} lots, venue {held[instrument]}")
    books = fold(journal.records(), journal.fills(), journal.flows())
    earned = {(e.venue, e.currency): e.net for e in books.earned}
    cents = {}
    for key, balance in after.items():
        change = balance - before[key]
        difference = change - earned.get(key, Decimal(0))
        cents["/".join(key)] = str(difference.normalize())
        if abs(difference) > cent(soak, key[1]):
            wrong.append(
                f"{key}: the balance moved {change}, the journal {earned.get(key)}"
            )
    states = Counter(o["state"] for o in orders.values())
    return {
        "ok": not wrong,
        "wrong": wrong[:20],
        "orders": len(orders),
        "taken": len(taken),
        "fills": len(journal.fills()),
        "states": dict(states),
        "acts": dict(soak.acts),
        "money_differs_by": cents,
    }


def cent(soak: Soak, currency: str) -> Decimal:
    """A cent, in the coin: Deribit rounds every booking to 1e-8 of a bitcoin."""
    if currency == "USDT":
        return Decimal("0.01")
    prices = soak.simulator.admin("/state")["prices"]
    return Decimal("0.01") / Decimal(prices["deribit"]["BTC-PERPETUAL"])


def requests_of(path: Path) -> list[tuple[str, int]]:
    """Return the id and time of every order that a venue took, answered or not."""
    found = []
    for line in path.read_text().splitlines():
        record = json.loads(line)
        if record["kind"] != "request" or record["status"] != 200:
            continue
        is_order = record["path"].endswith(ORDER_PATHS) and (
            record["method"] == "POST" or record["venue"] == "deribit"
        )
        if is_order and record["code"] in {0, 200}:
            found.append((record["clientOrderId"], record["time_ns"]))
    return found


ORDER_PATHS = ("/fapi/v1/order", "/order/create", "/private/buy", "/private/sell")


async def _ports(soak: Soak):
    for venue in Venue:
        line = soak.simulator.line["venues"][venue.value]
        port = trading_port(
            venue,
            rest=line["rest"],
            key=line["key"],
            secret=line["secret"],
            clock=SystemClock(),
        )
        await port.open()
        yield port
        await port.close()


async def positions(soak: Soak) -> dict[str, int]:
    found = dict.fromkeys(INSTRUMENTS.values(), 0)
    async for port in _ports(soak):
        for position in (await port.account()).positions:
            found[str(position.instrument)] = position.size_lots
    return found


async def balances(soak: Soak) -> dict[tuple[str, str], Decimal]:
    found = {}
    async for port in _ports(soak):
        if port.venue is Venue.BINANCE:
            row = await port._read("account", 5, "fapiPrivateV3GetAccount")
            found["binance", "USDT"] = Decimal(row["totalWalletBalance"])
        elif port.venue is Venue.BYBIT:
            row = await port._read(
                "wallet", 1, "privateGetV5AccountWalletBalance", accountType="UNIFIED"
            )
            (coin,) = row["result"]["list"][0]["coin"]
            found["bybit", "USDT"] = Decimal(coin["walletBalance"])
        else:
            row = await port._read("summaries", 1, "privateGetGetAccountSummaries")
            for one in row["result"]["summaries"]:
                if one["currency"] == "BTC":
                    found["deribit", "BTC"] = Decimal(repr(one["balance"]))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as path:
        directory = arguments.keep or Path(path)
        directory.mkdir(exist_ok=True)
        result = run(directory, arguments.seconds, arguments.seed)
    print(json.dumps(result, indent=2))
    raise SystemExit(not result["ok"])


if __name__ == "__main__":
    main()

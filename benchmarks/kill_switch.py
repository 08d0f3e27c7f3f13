"""
From the true crossing of the threshold to verified flat, at three venues at once.

``cqx simulate`` (with every rate limit) and ``cqx risk`` run as processes of their own.
Each run: a named person arms, a book is built at every venue (positions, and resting
orders of all classes around them), prices fall by a few percent everywhere, and the
daemon does its work. The true crossing, the arrival of every request and the moment
each account is flat are the simulator's; the decision and "verified flat" the daemon's.

    python benchmarks/kill_switch.py [--runs 20] [--large-runs 1] [--hang-runs 3]

Prints one JSON line a part: ``book`` (10 positions, 10 orders a venue), ``large``
(60 positions, 300 orders a venue) and ``hang`` (as ``book``, with one venue that does
not answer: figures are those of the other two).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from simulator_process import cpu_seconds, simulator

from cryptoquantix.apps.rehearsal import write_settings
from cryptoquantix.core.clock import SystemClock
from cryptoquantix.drills.account import place
from cryptoquantix.drills.book import BookOrder
from cryptoquantix.drills.owners import owner_of

VENUES = ("binance", "bybit", "deribit")
FALL = Decimal("0.965")
EXPOSURE = Decimal("1.0")
LIMITED = {429, 418, 403}
LIMITED_CODES = {-1003, -1015, 10006, 10018, 10028}
ACTS = ("/order", "/algoOrder", "/allOpenOrders", "/algoOpenOrders", "/v5/order/c")
DERIBIT_ACTS = ("private/buy", "private/sell", "private/cancel")
# (side, factor of the price, is conditional, is protective)
AROUND = (
    ("BUY", "0.80", False, False),
    ("SELL", "1.06", False, True),
    ("SELL", "0.60", True, True),
    ("SELL", "1.30", False, False),
    ("SELL", "0.55", True, False),
)


@dataclass
class Times:
    """One run, milliseconds; ``flat_ms`` by venue, from the decision."""

    decided_ms: float
    sent_ms: float
    verified_ms: float
    flat_ms: dict[str, float]
    limited: int
    cpu_ms: float


class Daemon:
    """``cqx risk`` on a folder of its own."""

    def __init__(self, folder, line):
        self.config = write_settings(folder, line, catalog=folder / "catalog")
        text = self.config.read_text()
        self.token = text.partition('token = "')[2].partition('"')[0]
        command = [sys.executable, "-m", "cryptoquantix", "risk", "--json"]
        started = time.monotonic()
        self.process = subprocess.Popen(
            [*command, "--config", str(self.config), "--listen", "127.0.0.1:0"],
            stdout=subprocess.PIPE,
            stderr=(folder / "risk.log").open("ab"),
        )
        self.address = json.loads(self.process.stdout.readline())["listening"]
        self.ready_seconds = time.monotonic() - started
        self.ready_cpu_seconds = cpu_seconds(self.process.pid)

    def call(self, path, value=None):
        request = urllib.request.Request(
            f"http://{self.address}{path}",
            data=None if value is None else json.dumps(value).encode(),
            headers={"Authorization": f"Bearer {self.token}"},
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            return json.load(error)

    def until(self, state, seconds):
        deadline = time.monotonic() + seconds
        while (found := self.call("/v1/status"))["state"] != state:
            if time.monotonic() > deadline:
                msg = f"not {state} within {seconds} s: {found}"
                raise SystemExit(msg)
            time.sleep(0.1)
        return found

    def arm(self):
        deadline = time.monotonic() + 40
        order = {"who": "benchmark", "reason": "simulator"}
        while not (found := self.call("/v1/rearm", order)).get("ok"):
            if time.monotonic() > deadline:
                msg = f"not armed: {found}"
                raise SystemExit(msg)
            time.sleep(0.3)

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(15)


class Admin:
    """The simulator's admin API."""

    def __init__(self, url):
        self.url = url

    def call(self, path, value=None):
        data = None if value is None else json.dumps(value).encode()
        request = urllib.request.Request(self.url + path, data)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def log(self, after):
        found = []
        while rows := self.call(f"/log?after={after}&limit=10000")["records"]:
            found += rows
            after = rows[-1]["sequence"]
        return found


@contextlib.contextmanager
def rig(symbols):
    """A simulator of ``symbols`` instruments and a daemon that guards it."""
    known = ["BTCUSDT", "ETHUSDT", "SOLUSDT"]
    names = known + [f"C{number:02}USDT" for number in range(symbols)]
    arguments = ("--generate", "5", "--instruments", ",".join(names[:symbols]))
    with (
        tempfile.TemporaryDirectory() as folder,
        simulator(*arguments, "--paused", "--venues", ",".join(VENUES)) as (_, line),
    ):
        daemon = Daemon(Path(folder), line)
        try:
            yield line, daemon, Admin(line["admin"])
        finally:
            daemon.end()


async def build(line, positions, orders_each):
    """Put the book up at every venue, as its owner would, within the limits."""
    clock = SystemClock()

    async def at(venue):
        async with owner_of(venue, line["venues"][venue], clock) as owner:
            listings = (await owner.listings())[:positions]
            prices = await owner.prices()
            for number, listing in enumerate(listings):
                for order in book(listing, prices, number, positions, orders_each):
                    await place(owner, order)

    await asyncio.gather(*(at(venue) for venue in line["venues"]))


def book(listing, prices, number, positions, orders_each):
    """One position and the orders around it."""
    price = prices[listing.symbol]
    worth = 100_000 * EXPOSURE / positions
    size = worth if listing.is_inverse else worth / price
    size = size // listing.lot_size * listing.lot_size
    small = max(size / 20 // listing.lot_size, Decimal(1)) * listing.lot_size
    yield BookOrder(listing.symbol, "BUY", size)
    for step in range(orders_each):
        side, factor, waits, protects = AROUND[(number + step) % len(AROUND)]
        near = price * Decimal(factor) // listing.tick_size * listing.tick_size
        yield BookOrder(listing.symbol, side, small, near, waits, protects)


def run(line, daemon, admin, positions, orders_each, *, hang=""):
    """Arm, build, crash; return the times and the venues' refusals for pace."""
    daemon.arm()
    asyncio.run(build(line, positions, orders_each))
    # Budgets are full again, and a second starts anywhere.
    time.sleep(5 + random.random())
    daemon.until("ARMED", 20)
    after = admin.call("/log?after=0&limit=1")["records"][0]["sequence"]
    after = max([r["sequence"] for r in admin.log(after)], default=after)
    admin.call("/watch", {"venue": "*", "threshold": "0.03"})
    if hang:
        admin.call("/outage", {"venue": hang, "seconds": 12, "kind": "hang"})
    admin.call("/price", {"venue": "*", "symbol": "*", "factor": str(FALL)})
    before = cpu_seconds(daemon.process.pid)
    status = daemon.until("HALTED", 120)
    spent = cpu_seconds(daemon.process.pid) - before
    crossed = admin.call("/watch?venue=*")["crossed_time_ns"]
    records = admin.log(after)
    admin.call("/price", {"venue": "*", "symbol": "*", "factor": str(1 / FALL)})
    # What the fall cost Deribit's dollar wallet, which bears most of its book.
    admin.call("/account", {"venue": "deribit", "coin": "USDC", "deposit": "3000"})
    return times(status["trip"], crossed, records, hang, spent * 1e3)


def times(trip, crossed, records, hang, cpu_ms):
    decided = trip["decided_time_ns"]
    requests = [r for r in records if r["kind"] == "request"]
    sent, flat = [], {}
    for venue in VENUES:
        if venue == hang:
            continue
        ends = [
            r["time_ns"]
            for r in records
            if r["kind"] == "flat" and r["venue"] == venue and r["time_ns"] > decided
        ]
        assert ends, f"{venue} was never flat"
        flat[venue] = (ends[-1] - decided) / 1e6
        sent += [
            r["time_ns"]
            for r in requests
            if r["venue"] == venue and is_act(r) and r["time_ns"] <= ends[-1]
        ]
    limited = [
        r
        for r in requests
        if r["key_role"] == "risk"
        and (r["status"] in LIMITED or r["code"] in LIMITED_CODES)
    ]
    for refused in limited:
        print(refused, file=sys.stderr, flush=True)
    return Times(
        (decided - crossed) / 1e6,
        (max(sent) - decided) / 1e6,
        (trip["flat_time_ns"] - decided) / 1e6,
        flat,
        len(limited),
        cpu_ms,
    )


def is_act(record):
    path = record["path"]
    if any(name in path for name in DERIBIT_ACTS):
        return True
    is_change = record["method"] in {"POST", "DELETE"}
    return is_change and any(name in path for name in ACTS)


def report(name, found, note=""):
    """Print the figures of one part."""
    slowest = {v: max(t.flat_ms.get(v, 0) for t in found) for v in VENUES}
    line = {
        "benchmark": "kill_switch",
        "contender": name,
        "unit": "ms",
        "runs": len(found),
        "crossed_to_decision_median": middle([t.decided_ms for t in found]),
        "crossed_to_decision_worst": worst([t.decided_ms for t in found]),
        "decision_to_sent_median": middle([t.sent_ms for t in found]),
        "decision_to_sent_worst": worst([t.sent_ms for t in found]),
        "decision_to_verified_median": middle([t.verified_ms for t in found]),
        "decision_to_verified_worst": worst([t.verified_ms for t in found]),
        "flat_at_venue_worst": {v: round(ms) for v, ms in slowest.items() if ms},
        "flat_at_venue_median": {
            v: middle([t.flat_ms[v] for t in found if v in t.flat_ms])
            for v in VENUES
            if any(v in t.flat_ms for t in found)
        },
        "daemon_cpu_ms_median": middle([t.cpu_ms for t in found]),
        "refused_for_pace": sum(t.limited for t in found),
    }
    print(json.dumps(line | ({"note": note} if note else {})), flush=True)


def middle(values):
    return round(statistics.median(values), 1)


def worst(values):
    return round(max(values), 1)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--large-runs", type=int, default=1)
    parser.add_argument("--hang-runs", type=int, default=3)
    # A run costs some 900 of the 2 400 weight that Binance allows a minute.
    parser.add_argument("--pause", type=float, default=45.0)
    options = parser.parse_args()
    random.seed(7)
    if options.runs or options.hang_runs:
        with rig(10) as parts:
            for name, hangs in (
                ("book", [""] * options.runs),
                ("hang", [VENUES[n % 3] for n in range(options.hang_runs)]),
            ):
                found = []
                for hang in hangs:
                    found.append(run(*parts, 10, 1, hang=hang))
                    print(found[-1], file=sys.stderr, flush=True)
                    time.sleep(options.pause)
                if found:
                    report(name, found)
    if options.large_runs:
        with rig(60) as parts:
            report("large", [run(*parts, 60, 5) for _ in range(options.large_runs)])


if __name__ == "__main__":
    main()

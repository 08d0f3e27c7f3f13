"""A halt by estimate reaches every venue, the one out of sight when it is back."""

from __future__ import annotations

import asyncio

import pytest

from cryptoquantix.control.status import RiskState
from cryptoquantix.core.clock import NS_PER_DAY, NS_PER_MS, NS_PER_SECOND, ManualClock
from cryptoquantix.risk import commands, flatten
from cryptoquantix.risk.daemon import Daemon
from cryptoquantix.risk.durable import DurableStore
from cryptoquantix.risk.rules import Limits
from cryptoquantix.risk.store import RiskStore
from risk.fake_venue import FakeVenue, down

LIMITS = Limits(reading_ns=50 * NS_PER_MS, confirm_ns=20 * NS_PER_MS)
CALLS = ("reading", "positions_again", "equity_again", "open_orders", "cancel_all")


class Bench:
    """An armed daemon over two venues that hold the same."""

    def __init__(self, path):
        self.path = path
        self.clock = ManualClock(10**18, 10**12)
        self.venues = {n: FakeVenue(self.clock, n) for n in ("binance", "bybit")}
        for venue in self.venues.values():
            venue.hold("BTCUSDT", 1000, mark=100, entry=100)
        self.start()

    def start(self):
        store = RiskStore.open(self.path, now_ns=self.clock.time_ns())
        self.durable = DurableStore(store, self.clock)
        self.daemon = Daemon(
            self.venues, self.durable, limits=LIMITS, clock=self.clock, build="b"
        )
        self.daemon.resume()

    async def stop(self):
        self.daemon.halt_acts.stop()
        self.daemon.jobs.stop()
        await asyncio.sleep(0)
        self.durable.close()

    async def second(self, seconds=1):
        self.clock.advance(seconds * NS_PER_SECOND)
        await self.daemon.second()
        await asyncio.sleep(0.02)
        await self.durable.ask(lambda: None)


@pytest.fixture
async def bench(tmp_path, monkeypatch):
    monkeypatch.setattr(flatten, "VERIFY_GAP_SECONDS", 0.01)
    monkeypatch.setattr(flatten, "PAUSES_SECONDS", (0.01,))
    bench = Bench(tmp_path / "risk.sqlite")
    await commands.rearm(bench.daemon, "ann", "test")
    await bench.second()
    yield bench
    await bench.stop()


async def test_a_trip_by_estimate_flattens_the_unreachable_venue_when_it_is_back(bench):
    one, two = bench.venues.values()
    for name in (*CALLS, "close_position", "market", "ioc"):
        two.always[name] = down("bybit")
    one.mark("BTCUSDT", 96)
    await bench.second()
    assert bench.daemon.latch.state.is_halt
    assert "bybit out of sight and estimated" in bench.daemon.latch.reason
    for _ in range(200):
        if not one.positions:
            break
        await asyncio.sleep(0.01)
    assert not one.positions
    assert two.positions
    assert bench.daemon.state is not RiskState.HALTED
    two.always.clear()
    for _ in range(800):
        if bench.daemon.state is RiskState.HALTED:
            break
        await asyncio.sleep(0.01)
    assert bench.daemon.state is RiskState.HALTED
    assert not two.positions


async def test_after_days_without_a_daemon_the_peak_from_before_still_judges(bench):
    await bench.second()
    await bench.stop()
    bench.clock.advance(3 * NS_PER_DAY)
    for venue in bench.venues.values():
        venue.mark("BTCUSDT", 96)
    bench.start()
    await bench.second()
    assert bench.daemon.latch.state.is_halt

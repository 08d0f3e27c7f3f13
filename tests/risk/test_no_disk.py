"""A disk that is full, stalled or gone: nothing that acts may wait for it."""

from __future__ import annotations

import asyncio
import sqlite3
import threading

import pytest

from cryptoquantix.control.permit import PermitMode
from cryptoquantix.control.status import RiskState
from cryptoquantix.core.clock import NS_PER_SECOND, ManualClock
from cryptoquantix.risk import commands, flatten
from cryptoquantix.risk.commands import Refusal
from cryptoquantix.risk.daemon import Daemon
from cryptoquantix.risk.durable import DurableStore
from cryptoquantix.risk.opening import StoreUnavailable
from cryptoquantix.risk.report import status
from cryptoquantix.risk.rules import Limits
from cryptoquantix.risk.store import RiskStore
from machine import Pauses
from risk.fake_venue import FakeVenue, order


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(flatten, "VERIFY_GAP_SECONDS", 0.01)
    monkeypatch.setattr(flatten, "PAUSES_SECONDS", (0.01,))


class FullDisk:
    """The named fault: every opening and every write of a store fails."""

    def __init__(self, monkeypatch):
        self.is_full = False
        whole = RiskStore.open.__func__

        def opened(cls, path, *, now_ns):
            if self.is_full:
                msg = "database or disk is full"
                raise StoreUnavailable(msg)
            return whole(cls, path, now_ns=now_ns)

        monkeypatch.setattr(RiskStore, "open", classmethod(opened))


@pytest.fixture
def disk(monkeypatch):
    return FullDisk(monkeypatch)


class Bench:
    def __init__(self, path):
        self.path = path
        self.clock = ManualClock(10**18, 10**12)
        self.venue = FakeVenue(self.clock)
        self.start()

    def start(self):
        self.durable = DurableStore.open(self.path, self.clock)
        self.daemon = Daemon(
            {"binance": self.venue},
            self.durable,
            limits=Limits(),
            clock=self.clock,
            build="b",
        )
        self.daemon.resume()

    async def kill(self):
        """What SIGKILL leaves: nothing is finished, nothing is closed in order."""
        self.daemon.halt_acts.stop()
        self.daemon.jobs.stop()
        await asyncio.sleep(0)
        self.durable.close()

    async def seconds(self, count):
        for _ in range(count):
            self.clock.advance(NS_PER_SECOND)
            await self.daemon.second()
            for _ in range(10):
                await asyncio.sleep(0.002)

    async def until(self, state):
        for _ in range(500):
            if self.daemon.state is state:
                return
            await asyncio.sleep(0.01)
        pytest.fail(f"is {self.daemon.state}, not {state}")


@pytest.fixture
async def bench(tmp_path):
    bench = Bench(tmp_path / "risk.sqlite")
    bench.venue.hold("A", 1000)
    await commands.rearm(bench.daemon, "ann", "test")
    await bench.seconds(2)
    yield bench
    await bench.kill()


async def test_a_full_disk_at_a_restart_resumes_armed_lets_nothing_increase_and_heals(
    bench, disk
):
    await bench.kill()
    disk.is_full = True
    bench.start()
    await bench.seconds(2)
    assert bench.durable.store.is_volatile
    assert bench.daemon.state is RiskState.ARMED
    granted = commands.granting(bench.daemon)
    assert granted.mode is PermitMode.REDUCE_ONLY
    found = status(bench.daemon, alarms_undelivered=0)
    assert found.high_water_mark == "100000.00000000", "the peak is known still"
    disk.is_full = False
    await bench.seconds(4)
    assert not bench.durable.store.is_volatile
    assert commands.granting(bench.daemon).mode is PermitMode.TRADE
    assert bench.durable.store.latch.state is RiskState.ARMED
    texts = [
        alarm.text for alarm in await bench.durable.ask(bench.durable.store.alarms)
    ]
    assert any(text.startswith("No disk") for text in texts), "its alarms survive"


async def test_a_halt_goes_on_over_a_restart_without_a_disk(bench, disk):
    bench.venue.always = {"market": TimeoutError(), "ioc": TimeoutError()}
    await commands.halt(bench.daemon, "ann", "now")
    await asyncio.sleep(0.05)
    await bench.kill()
    disk.is_full = True
    bench.venue.always = {}
    bench.start()
    assert bench.daemon.latch.is_acting
    bench.daemon.carry_on()
    await bench.until(RiskState.HALTED)
    assert not bench.venue.positions
    disk.is_full = False
    await bench.seconds(4)
    assert bench.durable.store.latch.state is RiskState.HALTED


async def test_a_crash_without_a_disk_is_halted_guarded_and_written_when_it_is_back(
    bench, disk
):
    await bench.kill()
    disk.is_full = True
    bench.start()
    await bench.seconds(1)
    bench.venue.mark("A", 96)
    await bench.seconds(1)
    await bench.until(RiskState.HALTED)
    bench.venue.hold("A", 3)
    await bench.seconds(2)
    assert not bench.venue.positions, "it guards"
    with pytest.raises(Refusal, match="store cannot be written"):
        await commands.rearm(bench.daemon, "ann", "go on")
    disk.is_full = False
    await bench.seconds(4)
    await bench.kill()
    bench.start()
    assert bench.daemon.state is RiskState.HALTED
    assert bench.daemon.latch.trip.cause == "drawdown"


async def test_what_can_be_neither_written_nor_read_is_locked_until_it_can(
    bench, disk, monkeypatch
):
    await commands.halt(bench.daemon, "ann", "now")
    await bench.until(RiskState.HALTED)
    await bench.kill()
    disk.is_full = True

    def unreadable(path):
        msg = "disk I/O error"
        raise sqlite3.OperationalError(msg)

    monkeypatch.setattr("cryptoquantix.risk.schema.rescued", unreadable)
    bench.start()
    await bench.seconds(2)
    assert bench.daemon.state is RiskState.LOCKED
    assert "neither written nor read" in bench.daemon.latch.reason
    disk.is_full = False
    await bench.seconds(4)
    assert bench.daemon.state is RiskState.HALTED, "the halt was there all the time"
    assert commands.granting(bench.daemon).mode is PermitMode.HALTED


async def test_a_disk_that_stalls_five_seconds_delays_no_close_by_100_ms(bench):
    """Decided to the last close at the venue, with the store's thread stuck."""
    bench.venue.rest(order("A", 1))
    stalled = threading.Event()
    bench.durable.post(stalled.wait, 5)
    loop = asyncio.get_running_loop()
    times = {}

    def closed(close):
        times["closed"] = loop.time()

    bench.venue.on_close = closed
    bench.daemon.reached = lambda step: times.setdefault(step, loop.time())
    bench.venue.mark("A", 96)
    bench.clock.advance(NS_PER_SECOND)
    with Pauses() as pauses:
        await bench.daemon.second()
        await bench.until(RiskState.HALTED)
    assert not stalled.is_set()
    assert bench.durable.failing_seconds >= 0

    def delay(step):
        began, ended = times["decided"], times[step]
        return ended - began - pauses.between(began, ended)

    assert delay("closed") < 0.25, "100 ms for the disk, and what the acts take"
    assert delay("latched") < 0.15
    stalled.set()
    for _ in range(200):
        if bench.durable.store.latch.state is RiskState.HALTED:
            return
        await asyncio.sleep(0.01)
    pytest.fail("the latch was never written")


async def test_a_halt_by_hand_waits_for_no_rearm_and_no_slow_venue(bench):
    """Permits are revoked at once, whatever hangs."""
    await commands.flatten(bench.daemon, "ann", "holiday")
    await bench.until(RiskState.LOCKED)
    bench.venue.always["reading"] = "hang"
    rearm = asyncio.create_task(commands.rearm(bench.daemon, "ann", "again"))
    await asyncio.sleep(0.02)
    loop = asyncio.get_running_loop()
    with Pauses() as pauses:
        started = loop.time()
        halt = asyncio.create_task(commands.halt(bench.daemon, "bob", "stop"))
        await asyncio.sleep(0)
        assert commands.granting(bench.daemon).mode is PermitMode.HALTED
        ended = loop.time()
    assert ended - started - pauses.between(started, ended) < 0.1
    await halt
    bench.venue.always = {}
    with pytest.raises(Refusal):
        await rearm
    await bench.until(RiskState.HALTED)


async def test_a_halt_that_comes_while_a_rearm_is_being_written_wins(bench):
    await commands.flatten(bench.daemon, "ann", "holiday")
    await bench.until(RiskState.LOCKED)
    stalled = threading.Event()
    bench.durable.post(stalled.wait, 5)
    rearm = asyncio.create_task(commands.rearm(bench.daemon, "ann", "again"))
    await asyncio.sleep(0.05)
    halt = asyncio.create_task(commands.halt(bench.daemon, "bob", "stop"))
    await asyncio.sleep(0.05)
    stalled.set()
    await halt
    with pytest.raises(Refusal, match="another command came in between"):
        await rearm
    await bench.until(RiskState.HALTED)
    for _ in range(100):
        if bench.durable.store.latch.state is RiskState.HALTED:
            break
        await asyncio.sleep(0.01)
    assert bench.durable.store.latch.state is RiskState.HALTED

"""The daemon, second by second, with a clock that moves when told to."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest

from cryptoquantix.control.permit import PermitMode, PermitRequest
from cryptoquantix.control.status import RiskState
from cryptoquantix.core.clock import NS_PER_MS, NS_PER_SECOND, ManualClock
from cryptoquantix.core.errors import CredentialsRefused
from cryptoquantix.core.exposure import LedgerEntry
from cryptoquantix.risk import commands, flatten
from cryptoquantix.risk.commands import Refusal
from cryptoquantix.risk.daemon import Daemon
from cryptoquantix.risk.durable import DurableStore
from cryptoquantix.risk.report import status
from cryptoquantix.risk.rules import Limits
from cryptoquantix.risk.state import digest
from cryptoquantix.risk.store import RiskStore
from risk import fake_venue
from risk.fake_venue import FakeVenue, down, order

LIMITS = Limits(reading_ns=100 * NS_PER_MS, confirm_ns=50 * NS_PER_MS)


class Bench:
    """One daemon over fake venues, restarted at will on the same store."""

    def __init__(self, path, *names):
        self.path = path
        self.clock = ManualClock(10**18, 10**12)
        self.venues = {n: FakeVenue(self.clock, n) for n in names or ("binance",)}
        self.venue = next(iter(self.venues.values()))
        self.daemon = None
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

    async def restart(self):
        await self.stop()
        self.start()

    async def arm(self):
        return await commands.rearm(self.daemon, "ann", "test")

    async def second(self, count=1):
        for _ in range(count):
            self.clock.advance(NS_PER_SECOND)
            await self.daemon.second()
            await self.settle()

    async def settle(self):
        """Let what runs beside the loop, and the store's thread, catch up."""
        for _ in range(20):
            await asyncio.sleep(0.001)
        await self.durable.ask(lambda: None)

    async def until(self, state):
        for _ in range(500):
            if self.daemon.state is state:
                return
            await asyncio.sleep(0.01)
        pytest.fail(f"is {self.daemon.state}, not {state}")

    def permit(self, holder="x", **fields):
        request = PermitRequest(
            "n", holder, **({"build": "b", "is_reconciled": True} | fields)
        )
        return commands.permit(self.daemon, request, connection=1)

    async def audit(self):
        connection = self.durable.store._connection
        return await self.durable.ask(
            lambda: connection.execute("SELECT kind, content FROM audit").fetchall()
        )

    async def alarms(self):
        found = await self.durable.ask(self.durable.store.alarms)
        return [alarm.text for alarm in found]


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(flatten, "VERIFY_GAP_SECONDS", 0.01)
    monkeypatch.setattr(flatten, "PAUSES_SECONDS", (0.01,))


@pytest.fixture
async def bench(tmp_path):
    bench = Bench(tmp_path / "risk.sqlite")
    yield bench
    await bench.stop()


@pytest.fixture
async def armed(bench):
    bench.venue.hold("A", 1000)
    await bench.arm()
    await bench.second(8)
    assert bench.permit().mode is PermitMode.TRADE
    return bench


# -- locked -----------------------------------------------------------------------


async def test_locked_permits_reductions_and_touches_nothing(bench):
    bench.venue.hold("A", 1000)
    bench.venue.rest(order("A", 1))
    await bench.second(70)
    bench.venue.mark("A", 50)
    await bench.second(20)
    assert bench.daemon.state is RiskState.LOCKED
    assert bench.permit().mode is PermitMode.REDUCE_ONLY
    assert bench.venue.log == []


async def test_arming_names_a_person_and_a_reason(bench):
    for who, reason in (("", "x"), ("ann", " ")):
        with pytest.raises(ValueError, match="who and reason"):
            await commands.rearm(bench.daemon, who, reason)
    await bench.arm()
    found = [content for kind, content in await bench.audit() if kind == "latch"]
    assert "rearm by ann: test" in found[-1]


async def test_arming_blind_is_refused(bench):
    bench.venue.faults["reading"] = [down()]
    with pytest.raises(Refusal, match="cannot arm blind"):
        await bench.arm()
    assert bench.daemon.state is RiskState.LOCKED


async def test_arming_needs_a_store_that_writes(bench):
    connection = bench.durable.store._connection
    connection.execute("PRAGMA query_only = ON")
    with pytest.raises(Refusal, match="store cannot be written"):
        await bench.arm()
    assert bench.daemon.state is RiskState.LOCKED
    connection.execute("PRAGMA query_only = OFF")


async def test_arming_twice_is_refused(armed):
    with pytest.raises(Refusal, match="armed already"):
        await armed.arm()


# -- the trip ---------------------------------------------------------------------


async def test_a_crash_ends_flat_halted_alarmed_and_written(armed):
    armed.venue.rest(order("A", 1))
    armed.venue.mark("A", 96)
    await armed.second()
    assert armed.permit().mode is PermitMode.HALTED
    await armed.until(RiskState.HALTED)
    await armed.settle()
    assert not armed.venue.positions
    assert not armed.venue.orders
    texts = await armed.alarms()
    assert any("drawdown 4.0000 %" in text for text in texts)
    assert any("Flat is verified" in text for text in texts)
    trip = armed.daemon.latch.trip
    assert trip.drawdown == "0.04000000"
    assert trip.decided_time_ns <= trip.sent_time_ns <= trip.flat_time_ns


async def test_the_latch_is_durable_before_the_first_request(armed):
    written = []

    def note(close):
        written.append(armed.durable.store.latch.state)

    armed.venue.on_close = note
    armed.venue.mark("A", 96)
    await armed.second()
    await armed.until(RiskState.HALTED)
    assert written[0].is_halt


async def test_a_stalled_disk_delays_no_close(armed):
    import threading

    disk = threading.Event()
    armed.durable.post(disk.wait, 10)
    armed.venue.mark("A", 96)
    armed.clock.advance(NS_PER_SECOND)
    loop = asyncio.get_running_loop()
    started = loop.time()
    await armed.daemon.second()
    await armed.until(RiskState.HALTED)
    assert loop.time() - started < 5
    assert not armed.venue.positions, "closed while the disk still hangs"
    assert not disk.is_set()
    disk.set()
    await armed.settle()
    assert armed.durable.store.latch.state is RiskState.HALTED


async def test_a_full_disk_is_no_reason_not_to_close_and_is_written_later(armed):
    connection = armed.durable.store._connection
    connection.execute("PRAGMA query_only = ON")
    armed.venue.mark("A", 96)
    armed.clock.advance(NS_PER_SECOND)
    await armed.daemon.second()
    await armed.until(RiskState.HALTED)
    assert not armed.venue.positions
    connection.execute("PRAGMA query_only = OFF")
    for _ in range(300):
        if armed.durable.store.latch.state is RiskState.HALTED:
            break
        await asyncio.sleep(0.01)
    assert armed.durable.store.latch.state is RiskState.HALTED


async def test_on_a_slow_disk_the_last_step_of_a_halt_is_written_too(armed):
    """A step that comes while the same step is being written is not left out."""
    import threading

    disk = threading.Event()
    await commands.flatten(armed.daemon, "ann", "holiday")
    armed.durable.post(disk.wait, 10)
    await armed.until(RiskState.LOCKED)
    await commands.halt(armed.daemon, "bob", "stop")
    await armed.until(RiskState.HALTED)
    disk.set()
    for _ in range(300):
        if armed.durable.store.latch.state is RiskState.HALTED:
            break
        await asyncio.sleep(0.01)
    assert armed.durable.store.latch.state is RiskState.HALTED


async def test_a_halt_is_remembered_over_a_restart(armed):
    armed.venue.mark("A", 96)
    await armed.second()
    await armed.until(RiskState.HALTED)
    await armed.settle()
    await armed.restart()
    assert armed.daemon.state is RiskState.HALTED
    assert armed.permit().mode is PermitMode.HALTED


async def test_killed_before_the_latch_was_durable_the_peak_finds_the_halt(armed):
    """The equity the next start reads says what the latch could not."""
    armed.venue.mark("A", 96)
    await armed.restart()
    assert armed.daemon.state is RiskState.BLIND
    await armed.second()
    await armed.until(RiskState.HALTED)
    assert not armed.venue.positions


async def test_a_restart_in_the_middle_of_a_halt_ends_it(armed):
    armed.venue.always["market"] = down()
    armed.venue.always["ioc"] = down()
    armed.venue.mark("A", 96)
    await armed.second()
    await armed.settle()
    await armed.restart()
    assert armed.daemon.latch.is_acting
    armed.venue.always = {}
    armed.daemon.halt_acts.start(armed.daemon.latch)
    await armed.until(RiskState.HALTED)
    assert not armed.venue.positions


async def test_with_one_venue_hanging_the_other_is_flat(tmp_path):
    bench = Bench(tmp_path / "risk.sqlite", "binance", "bybit")
    for name, venue in bench.venues.items():
        venue.hold(name, 1000)
    await bench.arm()
    await bench.second()
    hung = bench.venues["bybit"]
    for name in ("open_orders", "market", "cancel", "cancel_all"):
        hung.always[name] = "hang"
    for name, venue in bench.venues.items():
        venue.mark(name, 90)
    await bench.second()
    for _ in range(200):
        if bench.daemon.latch.steps.get("binance") is RiskState.HALTED:
            break
        await asyncio.sleep(0.01)
    assert not bench.venues["binance"].positions
    assert bench.daemon.latch.is_acting
    assert "bybit" in status(bench.daemon, alarms_undelivered=0).not_flat
    await bench.stop()


async def test_until_flat_is_verified_the_status_says_not_flat_with_amounts(armed):
    armed.venue.always["market"] = down()
    armed.venue.always["ioc"] = down()
    armed.venue.mark("A", 96)
    await armed.second()
    await armed.settle()
    found = status(armed.daemon, alarms_undelivered=0)
    assert found.not_flat.startswith("NOT FLAT: binance: 1000 A")
    assert found.is_flat is False
    assert found.remaining_positions[0].size == "1000"


# -- after the halt ---------------------------------------------------------------


@pytest.fixture
async def halted(armed):
    armed.venue.mark("A", 96)
    await armed.second()
    await armed.until(RiskState.HALTED)
    return armed


async def test_a_late_fill_after_a_halt_is_flattened(halted):
    halted.venue.hold("A", 3)
    await halted.second(2)
    assert not halted.venue.positions
    assert halted.daemon.state is RiskState.HALTED


async def test_an_order_that_appears_after_a_halt_is_canceled(halted):
    halted.venue.rest(order("A", 77))
    await halted.second(2)
    assert not halted.venue.orders
    assert any("appeared after the halt" in text for text in await halted.alarms())


async def test_a_venue_that_is_flat_is_guarded_while_another_hangs(tmp_path):
    bench = Bench(tmp_path / "risk.sqlite", "binance", "bybit")
    bench.venues["bybit"].always["open_orders"] = down("bybit")
    await commands.halt(bench.daemon, "ann", "now")
    await bench.second(2)
    assert bench.daemon.latch.is_acting
    bench.venue.hold("A", 3)
    bench.venue.rest(order("B", 7))
    await bench.second(32)  # the orders of unknown symbols are read every 30 s
    assert bench.daemon.latch.is_acting
    assert not bench.venue.positions
    assert not bench.venue.orders
    bench.venues["bybit"].always = {}
    await bench.until(RiskState.HALTED)
    await bench.stop()


async def test_a_venue_verified_before_a_restart_is_verified_again(tmp_path):
    bench = Bench(tmp_path / "risk.sqlite", "binance", "bybit")
    bench.venues["bybit"].always["open_orders"] = down("bybit")
    await commands.halt(bench.daemon, "ann", "now")
    await bench.second(2)
    assert bench.daemon.latch.steps["binance"] is RiskState.HALTED
    await bench.restart()
    bench.venues["bybit"].always = {}
    bench.venue.hold("A", 3)
    bench.daemon.carry_on()
    await bench.until(RiskState.HALTED)
    assert status(bench.daemon, alarms_undelivered=0).is_flat
    assert not bench.venue.positions
    await bench.stop()


async def test_a_look_that_failed_while_halted_is_made_again(halted):
    await halted.settle()
    await halted.restart()
    halted.venue.faults["open_orders"] = [down()]
    halted.daemon.carry_on()
    await halted.second(4)
    assert status(halted.daemon, alarms_undelivered=0).is_flat


async def test_a_halt_ends_only_when_flat_is_proven(halted):
    halted.venue.hold("A", 3)
    with pytest.raises(Refusal, match="NOT FLAT: binance: 3 A"):
        await halted.arm()
    await halted.second(2)
    assert await halted.arm() is RiskState.ARMED
    await halted.second()
    assert status(halted.daemon, alarms_undelivered=0).drawdown == "0.00000000"


async def test_a_rearm_during_the_halt_is_refused(armed):
    armed.venue.always["market"] = down()
    armed.venue.always["ioc"] = down()
    armed.venue.mark("A", 96)
    await armed.second()
    with pytest.raises(Refusal, match="still being carried out"):
        await armed.arm()


async def test_a_trip_after_a_rearm_is_measured_from_the_new_baseline(halted):
    await halted.arm()
    await halted.restart()
    halted.venue.hold("A", 1000, 100, 100)
    await halted.second(2)
    assert halted.daemon.state is RiskState.ARMED


# -- the operator's words ---------------------------------------------------------


async def test_halt_by_hand_flattens_and_latches_from_locked_too(bench):
    bench.venue.hold("A", 5)
    await commands.halt(bench.daemon, "ann", "fire drill")
    await bench.until(RiskState.HALTED)
    assert not bench.venue.positions
    assert bench.daemon.latch.trip.cause == "by hand"


async def test_flatten_closes_everything_and_ends_locked(armed):
    armed.venue.rest(order("A", 1))
    await commands.flatten(armed.daemon, "ann", "holiday")
    await armed.until(RiskState.LOCKED)
    assert not armed.venue.positions
    assert not armed.venue.orders
    assert armed.permit().mode is PermitMode.REDUCE_ONLY


async def test_a_flatten_never_ends_a_halt(halted):
    await commands.flatten(halted.daemon, "ann", "again")
    await halted.until(RiskState.HALTED)
    assert halted.permit().mode is PermitMode.HALTED


async def test_a_halt_during_a_flatten_ends_halted(armed):
    await commands.flatten(armed.daemon, "ann", "holiday")
    await commands.halt(armed.daemon, "bob", "no, stop")
    await armed.until(RiskState.HALTED)


# -- concerns while armed ---------------------------------------------------------


async def test_five_blind_seconds_stop_entries_and_sixty_cancel_increasing(armed):
    armed.venue.rest(order("A", 1))
    armed.venue.rest(order("A", 2, may_increase=False))
    armed.venue.always["reading"] = down()
    await armed.second(4)
    armed.permit()
    assert armed.daemon.state is RiskState.ARMED
    await armed.second()
    assert armed.daemon.state is RiskState.BLIND
    assert armed.permit().mode is PermitMode.REDUCE_ONLY
    for _ in range(54):
        await armed.second()
        armed.permit()
    assert len(armed.venue.orders) == 2
    await armed.second()
    assert list(armed.venue.orders) == ["2"], "protective orders stay"
    assert armed.venue.positions, "never closed on blindness alone"


async def test_sight_regained_is_armed_again_with_the_old_peak(armed):
    armed.venue.always["reading"] = down()
    await armed.second(6)
    armed.venue.always = {}
    armed.venue.mark("A", 99)
    await armed.second()
    assert armed.daemon.state is RiskState.ARMED
    assert status(armed.daemon, alarms_undelivered=0).drawdown == "0.01000000"


async def test_a_peak_outlasts_days_of_blindness_and_every_kill_in_them(armed):
    armed.venue.always["reading"] = down()
    for _ in range(3):
        await armed.second(2)
        armed.clock.advance(20 * 3_600 * NS_PER_SECOND)
        await armed.second(2)
        await armed.restart()
        assert armed.daemon.state is RiskState.BLIND
    armed.venue.always = {}
    armed.venue.mark("A", 60)
    await armed.second(2)
    await armed.until(RiskState.HALTED)
    assert armed.daemon.latch.trip.cause == "drawdown"


async def test_after_a_restart_nothing_increases_before_the_first_reading(armed):
    await armed.restart()
    assert armed.daemon.state is RiskState.BLIND
    assert armed.permit().mode is PermitMode.REDUCE_ONLY


async def test_an_unexplained_drop_stops_entries_until_the_ledger_names_it(armed):
    armed.venue.balance -= 20_000
    await armed.second()
    assert armed.permit().mode is PermitMode.REDUCE_ONLY
    armed.venue.entries = (
        LedgerEntry("t1", True, Decimal(-20_000), armed.clock.time_ns()),
    )
    await armed.second(3)
    assert armed.permit().mode is PermitMode.TRADE
    await armed.second(20)
    assert armed.daemon.state is RiskState.ARMED


async def test_warnings_come_once_each_on_the_way_down(armed):
    for mark in ("98.4", "98.4", "97.5", "97.5"):
        armed.venue.mark("A", mark)
        await armed.second()
    texts = [t for t in await armed.alarms() if t.startswith("Drawdown")]
    assert len(texts) == 2
    assert "50 % or more" in texts[0]
    assert "80 % or more" in texts[1]


async def test_increasing_orders_without_a_holder_are_canceled_after_10_seconds(armed):
    armed.venue.rest(order("A", 1))
    armed.venue.rest(order("A", 2, may_increase=False))
    await armed.second(9)
    assert len(armed.venue.orders) == 2
    await armed.second(2)
    assert list(armed.venue.orders) == ["2"]
    assert armed.venue.positions


async def test_a_fault_of_our_own_in_the_loop_stops_entries_and_not_the_loop(armed):
    async def broken(*, is_judging):
        raise AttributeError

    look, armed.daemon.watch.look = armed.daemon.watch.look, broken
    await armed.second()
    assert armed.permit().mode is PermitMode.REDUCE_ONLY
    armed.daemon.watch.look = look
    await armed.second()
    assert armed.permit().mode is PermitMode.TRADE


async def test_a_loop_that_stalls_grants_nothing(armed):
    armed.clock.advance(4 * NS_PER_SECOND)
    answer = armed.permit()
    assert answer.mode is PermitMode.REDUCE_ONLY
    assert "stalled" in answer.reason


async def test_a_missed_second_is_an_event(armed):
    due = armed.clock.monotonic_ns()
    armed.clock.advance(2_500 * NS_PER_MS)
    assert armed.daemon._lateness(due) == due + 2 * NS_PER_SECOND
    await armed.settle()
    assert armed.daemon.missed_seconds == 2
    assert "missed_seconds" in [kind for kind, _ in await armed.audit()]


async def test_a_store_that_cannot_be_written_stops_entries(armed):
    connection = armed.durable.store._connection
    connection.execute("PRAGMA query_only = ON")
    await armed.second(7)
    assert armed.permit().mode is PermitMode.REDUCE_ONLY
    connection.execute("PRAGMA query_only = OFF")
    await armed.second(2)
    assert armed.permit().mode is PermitMode.TRADE


# -- memory -----------------------------------------------------------------------


async def test_a_store_older_than_what_execution_has_seen_locks(armed):
    answer = armed.permit(sequence_seen=10**6)
    assert answer.mode is PermitMode.REDUCE_ONLY
    assert armed.daemon.state is RiskState.LOCKED
    await armed.settle()
    assert "older than what execution has seen" in armed.daemon.latch.reason
    assert await armed.arm() is RiskState.ARMED
    await armed.second()
    assert armed.permit(sequence_seen=10**6).mode is PermitMode.TRADE


async def test_a_halt_is_never_turned_into_locked_by_a_forgotten_sequence(halted):
    halted.permit(sequence_seen=10**6)
    await halted.settle()
    assert halted.daemon.state is RiskState.HALTED
    assert halted.durable.sequence > 10**6


async def test_an_absurd_sequence_is_refused(armed):
    with pytest.raises(ValueError, match="sequence_seen"):
        armed.permit(sequence_seen=1 << 63)


async def test_a_halt_outlasts_a_book_that_cannot_be_read(armed):
    await commands.halt(armed.daemon, "ann", "enough")
    await armed.second(2)
    store = armed.durable.store
    text = "{}"
    store._connection.execute(
        "INSERT OR REPLACE INTO book VALUES (1, 1, ?, ?)", (text, digest("book", text))
    )
    await armed.restart()
    assert armed.daemon.state.is_halt
    await armed.second(2)
    assert armed.permit().mode is PermitMode.HALTED


async def test_a_restart_resumes_armed_with_its_peak(armed):
    armed.venue.mark("A", 101)
    await armed.second()
    armed.venue.mark("A", 99)
    await armed.second()
    await armed.restart()
    await armed.second()
    assert armed.daemon.state is RiskState.ARMED
    found = status(armed.daemon, alarms_undelivered=0)
    assert found.high_water_mark == "101000.00000000"
    assert found.drawdown == "0.01980198"


async def test_a_restart_while_halted_proves_flat_again(halted):
    await halted.settle()
    await halted.restart()
    assert "not read yet" in status(halted.daemon, alarms_undelivered=0).not_flat
    task = asyncio.create_task(halted.daemon.run())
    for _ in range(200):
        if status(halted.daemon, alarms_undelivered=0).is_flat:
            break
        await asyncio.sleep(0.01)
    task.cancel()
    assert status(halted.daemon, alarms_undelivered=0).is_flat


# -- keys -------------------------------------------------------------------------


async def test_refused_credentials_end_the_start(bench):
    bench.venue.faults["check_keys"] = [
        CredentialsRefused("may withdraw", venue="binance")
    ]
    with pytest.raises(CredentialsRefused):
        await bench.daemon.check_keys()


async def test_an_unreachable_venue_at_the_start_leaves_the_daemon_up(bench):
    bench.venue.always["check_keys"] = down()
    await bench.daemon.check_keys()
    with pytest.raises(Refusal, match="not checked yet"):
        await bench.arm()
    bench.venue.always = {}
    await bench.second(4)
    await bench.arm()


def test_the_fake_satisfies_the_port():
    venue: fake_venue.FakeVenue = FakeVenue(ManualClock())
    from cryptoquantix.risk.port import RiskVenue

    wanted = {name for name in vars(RiskVenue) if not name.startswith("_")}
    assert wanted - set(dir(venue)) <= {"name"}

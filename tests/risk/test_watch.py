"""One look a second: what trips, what does not, and what is read again."""

from __future__ import annotations

from decimal import Decimal

import pytest

from cryptoquantix.core.clock import NS_PER_MS, NS_PER_SECOND, ManualClock
from cryptoquantix.core.exposure import LedgerEntry
from cryptoquantix.risk.rules import Limits
from cryptoquantix.risk.watch import CONFIRM, Watch
from risk.fake_venue import FakeVenue, down

LIMITS = Limits(reading_ns=50 * NS_PER_MS, confirm_ns=20 * NS_PER_MS)


class Bench:
    """A watch over fake venues, one second at a time."""

    def __init__(self, *names):
        self.clock = ManualClock(10**18, 10**12)
        self.venues = {n: FakeVenue(self.clock, n) for n in names or ("binance",)}
        self.venue = next(iter(self.venues.values()))
        self.notes = []
        self.watch = Watch(
            self.venues, limits=LIMITS, clock=self.clock, note=self.notes.append
        )

    async def second(self, seconds=1):
        self.clock.advance(seconds * NS_PER_SECOND)
        return await self.watch.look(is_judging=True)


@pytest.fixture
async def bench():
    bench = Bench()
    bench.venue.hold("A", 1000, mark=100, entry=100)
    assert await bench.watch.baseline() == ""
    return bench


async def test_a_crash_that_marks_explain_trips_after_an_immediate_second_read(bench):
    bench.venue.mark("A", 97)
    bench.venue.reads.clear()
    sight = await bench.second()
    assert sight.is_trip
    assert bench.venue.reads == ["reading", "reading"]
    assert sight.value == Decimal("0.97")


async def test_just_above_the_limit_nothing_trips(bench):
    bench.venue.mark("A", "97.001")
    assert not (await bench.second()).is_trip


async def test_beyond_the_hard_level_an_explained_drop_needs_no_second_read(bench):
    bench.venue.mark("A", 90)
    bench.venue.reads.clear()
    assert (await bench.second()).is_trip
    assert bench.venue.reads == ["reading"]


async def test_one_bad_reading_never_trips_and_never_moves_the_peak(bench):
    """Forven 92: a phantom drop halted everything."""
    venue, bad = bench.venue, iter([Decimal(48_000)])
    real = venue.reading

    async def once_bad():
        found = await real()
        for number in bad:
            object.__setattr__(found, "equity", number)
            object.__setattr__(found, "balance", number)
        return found

    venue.reading = once_bad
    sight = await bench.second()
    assert sight.is_complete
    assert not sight.is_trip
    assert sight.value == 1
    assert any("not confirmed" in note for note in bench.notes)


async def test_one_absurd_mark_never_raises_the_peak(bench):
    """Auramaur 337: phantom peaks ratcheted up, and tripped afterwards."""
    bench.venue.mark("A", 300)
    real = bench.venue.reading

    async def once_absurd():
        found = await real()
        bench.venue.mark("A", 100)
        return found

    bench.venue.reading = once_absurd
    assert not (await bench.second()).is_trip
    assert bench.watch.mark.peak == 1
    assert not (await bench.second()).is_trip


async def test_a_failed_second_read_trips_when_marks_explain_the_first(bench):
    bench.venue.mark("A", "96.5")
    bench.venue.faults["reading"] = [None, down()]
    assert (await bench.second()).is_trip


async def test_a_hanging_second_read_does_not_delay_the_trip(bench):
    bench.venue.mark("A", "96.5")
    bench.venue.faults["reading"] = [None, "hang"]
    assert (await bench.second()).is_trip


async def test_an_unexplained_drop_that_cannot_be_confirmed_only_stops_entries(bench):
    bench.venue.balance -= 50_000
    bench.venue.faults["reading"] = [None, down()]
    sight = await bench.second()
    assert not sight.is_trip
    assert not sight.is_complete
    assert sight.problem == CONFIRM
    assert bench.watch.mark.peak == 1


async def test_a_missing_reading_is_blind_and_neither_trips_nor_clears(bench):
    bench.venue.faults["reading"] = [down()]
    sight = await bench.second()
    assert not sight.is_complete
    assert not sight.is_trip
    assert "down" in sight.problem
    assert bench.watch.mark.peak == 1


async def test_a_hanging_reading_is_blind_within_its_deadline(bench):
    bench.venue.faults["reading"] = ["hang"]
    sight = await bench.second()
    assert "TimeoutError" in sight.problem


async def test_zero_equity_that_a_second_endpoint_denies_is_blind(bench):
    bench.venue.positions.clear()
    bench.venue.balance = Decimal(0)
    bench.venue.equity_second = Decimal(100_000)
    sight = await bench.second()
    assert not sight.is_complete
    assert "equity is 0" in sight.problem


async def test_negative_equity_that_a_second_endpoint_confirms_is_real(bench):
    bench.venue.mark("A", 60)
    bench.venue.balance = Decimal(30_000)
    sight = await bench.second()
    assert sight.is_trip or bench.watch.book.suspended < 0
    assert sight.is_complete


async def test_after_a_gap_the_first_reading_meets_the_peak_from_before_it(bench):
    await bench.second()
    bench.venue.faults["reading"] = [down()] * 3
    for _ in range(3):
        await bench.second()
    bench.venue.mark("A", "96.9")
    assert (await bench.second(3600)).is_trip


async def test_a_withdrawal_stops_entries_and_never_trips_when_named(bench):
    bench.venue.balance -= 50_000
    sight = await bench.second()
    assert not sight.is_trip
    assert bench.watch.book.has_large_drop(LIMITS)
    entry = LedgerEntry("t", True, Decimal(-50_000), bench.clock.time_ns())
    bench.watch.take_ledger("binance", (entry,))
    assert not bench.watch.book.has_large_drop(LIMITS)
    for _ in range(20):
        assert not (await bench.second()).is_trip


async def test_an_unexplained_drop_is_a_loss_after_15_seconds(bench):
    bench.venue.balance -= 50_000
    trips = [(await bench.second()).is_trip for _ in range(16)]
    assert trips == [False] * 15 + [True]


async def test_a_crash_during_an_unexplained_drop_trips_at_once(bench):
    bench.venue.balance -= 10_000
    assert not (await bench.second()).is_trip
    bench.venue.mark("A", 96)
    assert (await bench.second()).is_trip


async def test_a_deposit_just_before_a_crash_hides_nothing(bench):
    """Drawdown is of what is at risk now: 5 000 of 150 000 trips, 4 000 does not."""
    bench.venue.balance += 50_000
    await bench.second()
    bench.venue.mark("A", 96)
    assert not (await bench.second()).is_trip
    bench.venue.mark("A", "95.5")
    assert (await bench.second()).is_trip


async def test_one_venue_missing_makes_the_whole_blind():
    bench = Bench("binance", "bybit")
    assert await bench.watch.baseline() == ""
    bench.venues["bybit"].faults["reading"] = [down("bybit")]
    sight = await bench.second()
    assert not sight.is_complete
    assert set(bench.watch.problems) == {"bybit"}


async def test_the_baseline_needs_every_venue():
    bench = Bench("binance", "bybit")
    bench.venues["bybit"].faults["reading"] = [down("bybit")]
    assert "bybit: VenueUnavailable" in await bench.watch.baseline()


async def test_a_stepped_wall_clock_neither_ages_nor_renews_the_peak(bench):
    before = bench.watch.sample_time_ns()
    bench.clock.step_wall(25 * 3600 * NS_PER_SECOND)
    assert bench.watch.sample_time_ns() == before
    bench.venue.mark("A", 97)
    assert (await bench.second()).is_trip


async def test_an_empty_account_is_confirmed_once_and_then_believed():
    """A venue without money is no reason to be blind, nor for two reads a second."""
    bench = Bench("binance", "bybit")
    bench.venues["bybit"].balance = Decimal(0)
    asked = []
    real = bench.venues["bybit"].equity_again

    async def again():
        asked.append(1)
        return await real()

    bench.venues["bybit"].equity_again = again
    assert await bench.watch.baseline() == ""
    for _ in range(3):
        assert (await bench.second()).is_complete
    assert len(asked) == 1


async def test_an_account_that_lost_its_numbers_is_not_an_empty_one(bench):
    bench.venue.mark("A", "NaN")
    sight = await bench.second()
    assert not sight.is_complete

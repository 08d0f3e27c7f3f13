"""Our share of the venue's limit is kept, and what is urgent never waits."""

from __future__ import annotations

import asyncio
import itertools
import time

import pytest

from cryptoquantix.core.clock import NS_PER_SECOND, ManualClock, SystemClock
from cryptoquantix.core.exposure import Pace
from cryptoquantix.venues.weight import ActGuard, ReadBudget, WeightBudget


async def test_weight_beyond_the_budget_waits_for_the_window_to_pass():
    clock = ManualClock()
    budget = WeightBudget(clock, 10)
    await budget.take(7)
    waiting = asyncio.create_task(budget.take(5))
    await asyncio.sleep(0.12)
    assert not waiting.done()
    clock.advance(60 * NS_PER_SECOND)
    await asyncio.wait_for(waiting, 2)
    assert budget.used == 5


async def test_the_urgent_is_counted_and_passes_even_while_the_venue_limits_us():
    clock = ManualClock()
    budget = WeightBudget(clock, 10)
    budget.close_for(5 * NS_PER_SECOND)
    await asyncio.wait_for(budget.take(50, is_urgent=True), 1)
    assert budget.used == 50
    waiting = asyncio.create_task(budget.take(1))
    await asyncio.sleep(0.12)
    assert not waiting.done()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert budget.used == 50


# -- what the risk daemon reads ------------------------------------------------------


async def test_reads_pass_at_once_until_the_bucket_is_empty_then_at_its_rate():
    clock = ManualClock()
    budget = ReadBudget(clock, burst=5, per_second=50)
    passed = 0

    async def read() -> None:
        nonlocal passed
        for _ in range(10):
            await budget.take()
            passed += 1

    # The clock stands still: who has to wait goes on only when it is moved.
    reading = asyncio.create_task(read())
    for number in range(5, 10):
        async with asyncio.timeout(5):
            while passed < number:  # noqa: ASYNC110 - time alone lets it pass
                await asyncio.sleep(0.001)
        await asyncio.sleep(0.05)
        assert passed == number
        clock.advance(NS_PER_SECOND // 50)
    await asyncio.wait_for(reading, 5)


async def test_what_is_dear_leaves_a_reserve_for_what_is_cheap():
    budget = ReadBudget(ManualClock(), burst=200, per_second=1, reserve=100)
    await budget.take(80)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await budget.take(80)
    async with asyncio.timeout(5):
        for _ in range(12):
            await budget.take(10)
    assert budget.left == 0


async def test_a_wait_that_is_canceled_spends_nothing_and_holds_up_nobody():
    budget = ReadBudget(ManualClock(), burst=100, per_second=1, reserve=20)
    await budget.take(50)
    waiting = asyncio.create_task(budget.take(60))
    await asyncio.sleep(0)
    await budget.take(2)  # passes the one that waits
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert budget.left == 48


async def test_what_the_venue_counts_beyond_ours_is_believed():
    budget = ReadBudget(ManualClock(), burst=100, per_second=1)
    budget.cap(30)
    assert budget.left == 30
    budget.cap(90)
    assert budget.left == 30, "it never gives what was not there"


# -- acts, as the venue counts them ----------------------------------------------------


class Counting:
    """A venue that counts a request some time after it was sent."""

    def __init__(self, late_seconds):
        self.late_seconds = late_seconds
        self.counted = []

    async def take(self, guard):
        async with guard.turn(10) as is_free:
            assert is_free
            await asyncio.sleep(next(self.late_seconds))
            self.counted.append(time.monotonic())


def windows(counted, seconds):
    """The most that any window of ``seconds`` holds."""
    return max(sum(at <= t < at + seconds for t in counted) for at in counted)


async def test_requests_that_bunch_on_their_way_are_never_too_many_in_a_window():
    guard = ActGuard(SystemClock(), Pace("x", 1, burst=4, window_seconds=0.3))
    venue = Counting(itertools.chain([0.2] * 4, itertools.repeat(0.0)))
    await asyncio.gather(*(venue.take(guard) for _ in range(12)))
    assert len(venue.counted) == 12
    assert windows(venue.counted, 0.295) <= 4


async def test_requests_that_bunch_on_their_way_never_empty_the_venues_bucket():
    pace = Pace("x", per_second=20, burst=5)
    guard = ActGuard(SystemClock(), pace)
    venue = Counting(itertools.chain([0.15] * 5, itertools.repeat(0.001)))
    await asyncio.gather(*(venue.take(guard) for _ in range(15)))
    left, at = 5.0, venue.counted[0]
    for counted in venue.counted:
        left = min(5.0, left + (counted - at) * 20) - 1
        at = counted
        assert left > -0.05


async def test_an_act_without_room_is_told_so_and_one_given_up_spends_nothing():
    guard = ActGuard(SystemClock(), Pace("x", 1, burst=1, window_seconds=60))
    waiting = asyncio.create_task(Counting(iter([0.0])).take(guard))
    await asyncio.sleep(0.02)
    assert waiting.done()
    async with guard.turn(0.02) as is_free:
        assert not is_free
    assert guard._on_their_way == 0

"""Our share of the venue's limit is kept, and what is urgent never waits."""

from __future__ import annotations

import asyncio
import time

import pytest

from cryptoquantix.core.clock import NS_PER_SECOND, ManualClock, SystemClock
from cryptoquantix.venues.weight import ReadBudget, WeightBudget


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
    budget = ReadBudget(SystemClock(), burst=5, per_second=50)
    started = time.monotonic()
    for _ in range(5):
        await budget.take()
    assert time.monotonic() - started < 0.05
    for _ in range(5):
        await budget.take()
    assert time.monotonic() - started >= 0.08


async def test_what_is_dear_leaves_a_reserve_for_what_is_cheap():
    budget = ReadBudget(SystemClock(), burst=200, per_second=1, reserve=100)
    await budget.take(80)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await budget.take(80)
    async with asyncio.timeout(0.05):
        for _ in range(12):
            await budget.take(10)
    assert budget.left < 1


async def test_a_wait_that_is_canceled_spends_nothing_and_holds_up_nobody():
    budget = ReadBudget(SystemClock(), burst=100, per_second=1, reserve=20)
    await budget.take(50)
    waiting = asyncio.create_task(budget.take(60))
    await asyncio.sleep(0)
    await budget.take(2)  # passes the one that waits
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert 48 <= budget.left < 49


async def test_what_the_venue_counts_beyond_ours_is_believed():
    budget = ReadBudget(SystemClock(), burst=100, per_second=1)
    budget.cap(30)
    assert 30 <= budget.left < 31
    budget.cap(90)
    assert budget.left < 31, "it never gives what was not there"

"""Our share of the venue's limit is kept, and what is urgent never waits."""

from __future__ import annotations

import asyncio

import pytest

from cryptoquantix.core.clock import NS_PER_SECOND, ManualClock
from cryptoquantix.venues.weight import WeightBudget


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

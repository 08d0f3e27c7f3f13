"""Work beside the loop ends with it, and its faults are notes."""

from __future__ import annotations

import asyncio
import gc

from cryptoquantix.core.clock import ManualClock
from cryptoquantix.core.errors import VenueUnavailable
from cryptoquantix.risk.jobs import Jobs


async def until_told(notes):
    async with asyncio.timeout(5):
        while not notes:  # noqa: ASYNC110 - a test's patience
            await asyncio.sleep(0)


async def test_work_that_fails_is_noted_and_may_be_done_again():
    notes = []
    jobs = Jobs(ManualClock(), notes.append)

    async def fail():
        msg = "down"
        raise VenueUnavailable(msg, venue="binance")

    for _ in range(2):
        jobs.spawn("ledger", fail())
        await until_told(notes)
        assert notes.pop().startswith("ledger: ")


async def test_work_of_a_name_that_runs_is_not_begun_twice():
    begun = []
    jobs = Jobs(ManualClock(), begun.append)

    async def work():
        begun.append(1)
        await asyncio.sleep(60)

    jobs.spawn("clock", work())
    jobs.spawn("clock", work())
    await asyncio.sleep(0.01)
    jobs.stop()
    await asyncio.sleep(0.01)
    assert begun == [1]


async def test_work_stopped_before_it_began_leaves_nothing_behind(recwarn):
    jobs = Jobs(ManualClock(), lambda _note: None)

    async def work():
        await asyncio.sleep(60)

    jobs.spawn("clock", work())
    jobs.stop()
    await asyncio.sleep(0.01)
    gc.collect()
    assert not recwarn.list

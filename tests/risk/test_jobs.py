"""Work beside the loop."""

from __future__ import annotations

import asyncio

from cryptoquantix.core.clock import ManualClock
from cryptoquantix.risk.jobs import Jobs


async def test_a_name_runs_once_at_a_time():
    jobs, gate, runs = Jobs(ManualClock(), [].append), asyncio.Event(), []

    async def work():
        runs.append(1)
        await gate.wait()

    for _ in range(3):
        jobs.spawn("a", work())
        await asyncio.sleep(0)
    assert runs == [1]
    gate.set()
    await asyncio.sleep(0.01)
    jobs.spawn("a", work())
    await asyncio.sleep(0)
    assert runs == [1, 1]
    jobs.stop()


async def test_what_fails_is_noted_and_hurts_nobody():
    notes = []
    jobs = Jobs(ManualClock(), notes.append)

    async def work():
        raise AttributeError

    jobs.spawn("a", work())
    await asyncio.sleep(0.01)
    assert notes == ["a: AttributeError()"]


def test_due_is_at_once_and_then_after_its_interval():
    clock = ManualClock()
    jobs = Jobs(clock, [].append)
    assert jobs.is_due("a", 10)
    assert not jobs.is_due("a", 10)
    clock.advance(10)
    assert jobs.is_due("a", 10)

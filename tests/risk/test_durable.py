"""A stalled or full disk delays no act."""

from __future__ import annotations

import asyncio
import sqlite3
import threading

import pytest

from cryptoquantix.control.status import RiskState
from cryptoquantix.core.clock import SystemClock
from cryptoquantix.risk.durable import WAITING_MAX, DurableStore
from cryptoquantix.risk.state import Latch
from cryptoquantix.risk.store import RiskStore

TRIPPED = Latch(RiskState.TRIPPED, "r")


async def written(durable):
    for _ in range(500):
        if durable.store.latch == TRIPPED and not durable.failing_seconds:
            return
        await asyncio.sleep(0.01)
    pytest.fail("the latch was never written")


@pytest.fixture
def durable(tmp_path):
    clock = SystemClock()
    store = RiskStore.open(tmp_path / "risk.sqlite", now_ns=clock.time_ns())
    durable = DurableStore(store, clock)
    yield durable
    durable.close()


async def test_a_latch_is_durable_within_its_deadline(durable):
    assert await durable.write_latch(TRIPPED, "trip", deadline_seconds=1)
    assert durable.store.latch == TRIPPED
    assert durable.failing_seconds == 0


async def test_a_stalled_disk_is_waited_for_only_until_the_deadline(durable):
    disk = threading.Event()
    durable.post(disk.wait, 10)
    started = asyncio.get_running_loop().time()
    assert not await durable.write_latch(TRIPPED, "trip", deadline_seconds=0.1)
    assert asyncio.get_running_loop().time() - started < 1
    assert durable.failing_seconds > 0
    disk.set()
    await written(durable)
    assert durable.failing_seconds == 0


async def test_a_full_disk_is_tried_again_until_the_latch_is_written(durable):
    connection = durable.store._connection
    connection.execute("PRAGMA query_only = ON")
    assert not await durable.write_latch(TRIPPED, "trip", deadline_seconds=0.1)
    assert "OperationalError" in durable.problem
    connection.execute("PRAGMA query_only = OFF")
    await written(durable)
    assert durable.problem == ""


async def test_what_waits_for_the_disk_is_bounded(durable):
    disk = threading.Event()
    durable.post(disk.wait, 10)
    for _ in range(WAITING_MAX + 5):
        durable.post(durable.store.record, 1, "event", {})
    assert durable.dropped > 0
    disk.set()


async def test_an_error_of_a_read_reaches_its_caller(durable):
    with pytest.raises(sqlite3.Error):
        await durable.ask(durable.store._connection.execute, "nonsense")

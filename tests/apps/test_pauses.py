"""What a service throws away in cycles goes, soon and in small steps."""

from __future__ import annotations

import asyncio
import gc
import weakref

import pytest

from cryptoquantix.apps import pauses


class Node:
    """Garbage that only the collector can take: it holds itself."""

    def __init__(self):
        self.itself = self


async def until_gone(gone):
    async with asyncio.timeout(5):
        while gone() is not None:  # noqa: ASYNC110 - nothing signals it
            await asyncio.sleep(0.05)


@pytest.fixture
def thresholds():
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


async def test_cycles_go_though_no_threshold_is_reached(thresholds):
    collecting = asyncio.create_task(pauses.collect_for_ever())
    await asyncio.sleep(0)
    gone = weakref.ref(Node())
    await until_gone(gone)
    collecting.cancel()


async def test_what_grew_old_goes_too(thresholds, monkeypatch):
    monkeypatch.setattr(pauses, "YOUNG_SECONDS", 0.001)
    monkeypatch.setattr(pauses, "MIDDLE_EVERY", 5)
    monkeypatch.setattr(pauses, "OLD_EVERY", 20)
    collecting = asyncio.create_task(pauses.collect_for_ever())
    await asyncio.sleep(0)
    node = Node()
    gc.collect()  # it is old now
    gone = weakref.ref(node)
    del node
    await until_gone(gone)
    collecting.cancel()


def test_what_stays_for_good_is_not_looked_at_again(thresholds):
    kept = [Node() for _ in range(3)]
    before = gc.get_freeze_count()
    pauses.keep_what_is_there()
    assert gc.get_freeze_count() > before
    assert not any(one is kept[0] for one in gc.get_objects())

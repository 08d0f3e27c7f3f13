"""Targets reach the bus in the order of each key, and wait for no other key."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import nats.errors

from cryptoquantix.bus.messages import MessageDecoder, Target
from cryptoquantix.live import target_publisher
from cryptoquantix.live.target_publisher import TargetPublisher


class SlowBucket:
    """A bucket whose acknowledgements a test gives, or whose bus is away."""

    def __init__(self):
        self.is_away = False
        self.open = asyncio.Event()
        self.begun: list[tuple[str, int]] = []
        self.kept: list[tuple[str, int]] = []
        self._decoder = MessageDecoder(Target)

    async def put(self, key, value):
        sequence = self._decoder.decode(value).sequence
        self.begun.append((key, sequence))
        await self.open.wait()
        if self.is_away:
            raise nats.errors.TimeoutError
        self.kept.append((key, sequence))


def target(sequence):
    return Target("s", "binance:BTCUSDT-PERP", 0, 0.5, 1.0, sequence, 0)


@asynccontextmanager
async def publishing(bucket, **options):
    publisher = TargetPublisher(bucket, **options)
    task = asyncio.create_task(publisher.run())
    yield publisher
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def until(condition):
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - nothing signals it
            await asyncio.sleep(0)


async def test_a_target_waits_for_no_other_key():
    bucket = SlowBucket()
    async with publishing(bucket) as publisher:
        for number, key in enumerate(("a", "b", "c")):
            publisher.put(key, target(number))
        await until(lambda: len(bucket.begun) == 3)
        assert bucket.kept == []
        bucket.open.set()
        await until(lambda: publisher.waiting == 0)
    assert sorted(bucket.kept) == [("a", 0), ("b", 1), ("c", 2)]


async def test_targets_of_one_key_go_one_after_another():
    bucket = SlowBucket()
    async with publishing(bucket) as publisher:
        for number in range(5):
            publisher.put("a", target(number))
        await until(lambda: bucket.begun)
        await asyncio.sleep(0.01)
        assert bucket.begun == [("a", 0)]
        bucket.open.set()
        await until(lambda: publisher.waiting == 0)
        publisher.put("a", target(5))
        await until(lambda: publisher.waiting == 0)
    assert bucket.kept == [("a", number) for number in range(6)]


async def test_while_the_bus_is_away_the_newest_of_each_key_is_kept(monkeypatch):
    monkeypatch.setattr(target_publisher, "_RETRY_SECONDS", 0.01)
    bucket = SlowBucket()
    bucket.is_away = True
    bucket.open.set()
    async with publishing(bucket) as publisher:
        for number in range(5):
            publisher.put("a", target(number))
            publisher.put("b", target(10 + number))
        await until(lambda: publisher.superseded == 8)
        assert publisher.waiting == 2
        bucket.is_away = False
        await until(lambda: publisher.waiting == 0)
    assert sorted(bucket.kept) == [("a", 4), ("b", 14)]


async def test_a_full_queue_keeps_the_newest_of_each_key():
    bucket = SlowBucket()
    async with publishing(bucket, queue_max=4) as publisher:
        for number in range(20):
            publisher.put("a", target(number))
            publisher.put("b", target(number))
        assert publisher.waiting <= 5
        bucket.open.set()
        await until(lambda: publisher.waiting == 0)
    newest = dict(bucket.kept)
    assert newest == {"a": 19, "b": 19}


async def test_what_is_superseded_while_it_is_under_way_is_not_taken_for_done():
    bucket = SlowBucket()
    async with publishing(bucket, queue_max=1) as publisher:
        publisher.put("a", target(0))
        await until(lambda: bucket.begun)
        publisher.put("a", target(1))
        publisher.put("a", target(2))
        bucket.open.set()
        await until(lambda: publisher.waiting == 0)
    assert bucket.kept[-1] == ("a", 2)

"""Targets from a real bus: the newest of each key, once, through restarts."""

from __future__ import annotations

import asyncio
import time

from cryptoquantix.bus.connection import connect, targets_bucket
from cryptoquantix.bus.messages import Target, encode
from cryptoquantix.live.target_watch import TargetWatch
from processes import start_nats

KEY = "trend.binance.BTCUSDT-PERP"


def target(sequence, value=0.5, published_ns=None):
    return Target(
        strategy="trend",
        instrument="binance:BTCUSDT-PERP",
        bar_close_ns=60,
        target=value,
        price=60_000.1,
        sequence=sequence,
        published_ns=published_ns or sequence,
    )


async def until(condition, seconds=10.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        await asyncio.sleep(0.01)


async def watch_of(url, seen):
    watch = TargetWatch(url, {KEY}, lambda wanted, _id: seen.append(wanted.sequence))
    return asyncio.create_task(watch.run())


async def test_a_target_that_stands_and_each_newer_one_are_handed_on_once(tmp_path):
    with start_nats(tmp_path) as nats:
        client = await connect(nats.url, "test")
        bucket = await targets_bucket(client)
        await bucket.put(KEY, encode(target(3)))
        seen = []
        task = await watch_of(nats.url, seen)
        await until(lambda: seen == [3])
        await bucket.put(KEY, encode(target(4)))
        await bucket.put(KEY, b"this is no target")
        await bucket.put("other.binance.BTCUSDT-PERP", encode(target(9)))
        await bucket.put(KEY, encode(target(2)))  # late: older than what is known
        await bucket.put(KEY, encode(target(5)))
        await until(lambda: seen[-1] == 5)
        assert seen == [3, 4, 5]
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await client.close()


async def test_a_target_published_while_the_bus_was_away_arrives_afterwards(tmp_path):
    seen = []
    with start_nats(tmp_path) as nats:
        task = await watch_of(nats.url, seen)
        client = await connect(nats.url, "test")
        bucket = await targets_bucket(client)
        await bucket.put(KEY, encode(target(1)))
        await until(lambda: seen == [1])
        await client.close()
        port = nats.port
    with start_nats(tmp_path, port) as nats:
        client = await connect(nats.url, "test")
        bucket = await targets_bucket(client)
        await bucket.put(KEY, encode(target(2)))
        await until(lambda: seen == [1, 2], 15)
        await client.close()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

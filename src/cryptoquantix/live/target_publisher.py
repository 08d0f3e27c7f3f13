"""
Targets onto the bus, in order, the last value kept; it decides none.

A bus that is away delays targets and loses none that still counts: while it is away
only the newest of each key is kept, since a later target replaces an earlier one. No
key waits for another's acknowledgement: what three venues are to do leaves at once.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import Final

import nats.errors
from nats.js.errors import Error as JetStreamError
from nats.js.errors import KeyNotFoundError
from nats.js.kv import KeyValue

from cryptoquantix.bus.messages import MessageDecoder, Target, encode

QUEUE_MAX: Final = 4_096
_RETRY_SECONDS: Final = 0.5

_log = logging.getLogger(__name__)


class TargetPublisher:
    """Publishes targets to ``bucket``, of all keys ``queue_max`` at a time."""

    def __init__(self, bucket: KeyValue, queue_max: int = QUEUE_MAX) -> None:
        self.superseded = 0
        self._bucket = bucket
        self._queues: dict[str, deque[Target]] = {}
        self._queue_max = queue_max
        self._wake = asyncio.Event()
        self._under_way: set[str] = set()
        self._decoder = MessageDecoder(Target)

    @property
    def waiting(self) -> int:
        """How many targets are not published yet."""
        return sum(len(queue) for queue in self._queues.values())

    async def last(self, key: str) -> Target | None:
        """
        Return the target that stands under ``key``, or None.

        One that cannot be read counts as none; waits for a bus that is away.
        Cancellation leaves nothing behind.
        """
        while True:
            try:
                value = (await self._bucket.get(key)).value
            except KeyNotFoundError:
                return None
            except (nats.errors.Error, JetStreamError, TimeoutError) as error:
                _log.warning("target not read", extra={"error": repr(error)})
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            return self._decoder.decode(value) if value else None

    def put(self, key: str, target: Target) -> None:
        """Queue a target; one of the same key gives way where the queue is full."""
        if self.waiting >= self._queue_max:
            for full in self._queues:
                self._keep_newest(full)
        self._queues.setdefault(key, deque()).append(target)
        self._wake.set()

    async def run(self) -> None:
        """Publish what is queued, for ever; cancellation drops the queue."""
        async with asyncio.TaskGroup() as group:
            while True:
                await self._wake.wait()
                self._wake.clear()
                for key in self._queues.keys() - self._under_way:
                    self._under_way.add(key)
                    group.create_task(self._publish(key))

    # -- inside -----------------------------------------------------------------

    async def _publish(self, key: str) -> None:
        """Publish what is queued of one key, in order, each once acknowledged."""
        queue = self._queues[key]
        try:
            while queue:
                await self._publish_first(key, queue)
            del self._queues[key]
        finally:
            self._under_way.discard(key)

    async def _publish_first(self, key: str, queue: deque[Target]) -> None:
        target = queue[0]
        try:
            await self._bucket.put(key, encode(target))
        except (nats.errors.Error, JetStreamError, TimeoutError) as error:
            self._keep_newest(key)
            _log.warning(
                "target not published",
                extra={"error": repr(error), "waiting": self.waiting},
            )
            await asyncio.sleep(_RETRY_SECONDS)
            return
        # put() may have thinned the queue meanwhile.
        if queue and queue[0] is target:
            queue.popleft()

    def _keep_newest(self, key: str) -> None:
        queue = self._queues[key]
        while len(queue) > 1:
            queue.popleft()
            self.superseded += 1

"""
Targets onto the bus, in order, the last value kept; it decides none.

A bus that is away delays targets and loses none that still counts: while it is away
only the newest of each key is kept, since a later target replaces an earlier one.
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
    """Publishes targets to ``bucket`` from a bounded queue."""

    def __init__(self, bucket: KeyValue, queue_max: int = QUEUE_MAX) -> None:
        self.superseded = 0
        self._bucket = bucket
        self._queue: deque[tuple[str, Target]] = deque()
        self._queue_max = queue_max
        self._wake = asyncio.Event()
        self._decoder = MessageDecoder(Target)

    @property
    def waiting(self) -> int:
        """How many targets are not published yet."""
        return len(self._queue)

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
        if len(self._queue) >= self._queue_max:
            self._keep_newest()
        self._queue.append((key, target))
        self._wake.set()

    async def run(self) -> None:
        """Publish what is queued, for ever; cancellation drops the queue."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._queue:
                key, target = self._queue[0]
                try:
                    await self._bucket.put(key, encode(target))
                except (nats.errors.Error, JetStreamError, TimeoutError) as error:
                    await self._wait(error)
                    continue
                # put() may have thinned the queue meanwhile.
                if self._queue and self._queue[0] == (key, target):
                    self._queue.popleft()

    async def _wait(self, error: Exception) -> None:
        self._keep_newest()
        _log.warning(
            "target not published",
            extra={"error": repr(error), "waiting": len(self._queue)},
        )
        await asyncio.sleep(_RETRY_SECONDS)

    def _keep_newest(self) -> None:
        newest = dict(self._queue)
        self.superseded += len(self._queue) - len(newest)
        self._queue = deque(newest.items())

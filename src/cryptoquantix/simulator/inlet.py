"""
What mirrored markets tell on its way to the venues: in order and bounded.

Beyond half of the bound quotes and marks are kept as the newest one of each instrument
alone, since the next replaces them; beyond the bound prints are dropped and counted.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final, NamedTuple

from cryptoquantix.simulator.exchange import Print
from cryptoquantix.simulator.market import MirroredMark, MirroredQuote

QUEUE_MAX: Final = 65_536


class Standing(NamedTuple):
    """Whether an instrument's market is known; ``why`` it is not, or ""."""

    why: str


type Told = Print | MirroredQuote | MirroredMark | Standing


class Item(NamedTuple):
    """One thing told of one instrument."""

    venue: str
    symbol: str
    told: Told


class MirrorStatus:
    """What the operator sees of one mirrored venue; kept up by who feeds it."""

    __slots__ = ("connected", "halted", "latency_ns", "reconnects", "source")

    def __init__(self, source: str) -> None:
        self.source = source
        self.connected = False
        self.latency_ns = 0
        self.reconnects = 0
        self.halted: dict[str, str] = {}  # by symbol: why


class Inlet:
    """The queue between who hears the venues and the world that mirrors them."""

    def __init__(self, queue_max: int = QUEUE_MAX) -> None:
        self.status: dict[str, MirrorStatus] = {}
        self.prints_dropped = 0
        self.passed_over = 0  # quotes and marks that a later one replaced
        self._queue: deque[Item] = deque()
        self._late: dict[tuple[str, str, type], Item] = {}
        self._max = queue_max
        self._wake = asyncio.Event()

    def __len__(self) -> int:
        return len(self._queue) + len(self._late)

    def put(self, venue: str, symbol: str, told: Told) -> None:
        """Queue one thing, without waiting."""
        item = Item(venue, symbol, told)
        count = len(self._queue)
        if isinstance(told, Print):
            if count >= self._max:
                self.prints_dropped += 1
                return
        elif isinstance(told, MirroredQuote | MirroredMark) and count >= self._max // 2:
            key = venue, symbol, type(told)
            self.passed_over += key in self._late
            self._late[key] = item
            return
        self._queue.append(item)
        self._wake.set()

    def take(self, limit: int) -> list[Item]:
        """Return up to ``limit`` items, oldest first."""
        queue = self._queue
        items = [queue.popleft() for _ in range(min(limit, len(queue)))]
        if not queue:
            self._wake.clear()
            if self._late:
                # Newer than all that was queued before them.
                items.extend(self._late.values())
                self._late.clear()
        return items

    async def wait(self, seconds: float) -> None:
        """Return once there is something, at the latest after ``seconds``."""
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            return

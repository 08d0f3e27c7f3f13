"""
How late what a venue says leaves for one reader: a few milliseconds, in order.

Batches of frames wait, not single frames: a fast tape costs one draw and one write
for each of its bursts. It opens no socket and reads no clock.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

MILLISECONDS_MAX = 10_000.0
_NS_PER_MS = 1_000_000


@dataclass(frozen=True, slots=True)
class Delay:
    """From ``low_ns`` to ``high_ns``, each as likely as the next."""

    low_ns: int = 0
    high_ns: int = 0

    @classmethod
    def parse(cls, text: str) -> Delay:
        """
        Return what ``LOW-HIGH`` or one figure says in milliseconds.

        Raises
        ------
        ValueError
            If it is none, or more than ten seconds.

        Examples
        --------
        >>> Delay.parse("1-5")
        Delay(low_ns=1000000, high_ns=5000000)
        >>> Delay.parse("0").is_none
        True
        """
        low_text, dash, high_text = text.partition("-")
        try:
            low = float(low_text)
            high = float(high_text) if dash else low
        except ValueError:
            low, high = -1.0, -1.0
        if not 0 <= low <= high <= MILLISECONDS_MAX:
            msg = f"--delay-ms must be like 1-5, or 0 for none, was {text!r}"
            raise ValueError(msg)
        return cls(round(low * _NS_PER_MS), round(high * _NS_PER_MS))

    @property
    def is_none(self) -> bool:
        """Whether nothing waits."""
        return self.high_ns == 0

    def draw(self, dice: np.random.Generator) -> int:
        """Return how long the next batch waits, in ns."""
        return self.low_ns + int(dice.random() * (self.high_ns - self.low_ns))


NO_DELAY = Delay()


class Outbox:
    """What has been said to one reader and has not left yet, in order."""

    __slots__ = ("_delay", "_dice", "_last_ns", "_waiting", "size")

    def __init__(self, delay: Delay, dice: np.random.Generator) -> None:
        self._delay = delay
        self._dice = dice
        self._waiting: deque[tuple[int, bytes]] = deque()
        self._last_ns = 0
        self.size = 0

    def put(self, data: bytes, now_ns: int) -> None:
        """Take a batch; it leaves after those before it."""
        due_ns = max(self._last_ns, now_ns + self._delay.draw(self._dice))
        self._last_ns = due_ns
        self._waiting.append((due_ns, data))
        self.size += len(data)

    def take(self, now_ns: int) -> bytes:
        """Return what is due, empty if nothing is."""
        waiting, leaving = self._waiting, []
        while waiting and waiting[0][0] <= now_ns:
            leaving.append(waiting.popleft()[1])
        data = b"".join(leaving)
        self.size -= len(data)
        return data

    def take_all(self) -> bytes:
        """Return everything, due or not."""
        data = b"".join(data for _, data in self._waiting)
        self._waiting.clear()
        self.size = 0
        return data

    @property
    def due_ns(self) -> int | None:
        """When the next batch leaves, None if nothing waits."""
        return self._waiting[0][0] if self._waiting else None

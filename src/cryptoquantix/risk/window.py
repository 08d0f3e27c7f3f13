"""
The rolling high-water mark: the highest value of the last 24 h; it judges nothing.

A monotone deque: values that can never be the maximum again are dropped when a higher
one arrives, so a sample costs O(1) on average and the maximum is always at the front.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from decimal import Decimal
from typing import Final

from cryptoquantix.core.clock import NS_PER_DAY

WINDOW_NS: Final = NS_PER_DAY


class HighWaterMark:
    """
    The highest value within ``(newest - window_ns, newest]``.

    Times may not go back: a sample stamped earlier than the newest is taken at the
    newest's time, so that a clock set back keeps the peak longer, never shorter.
    """

    def __init__(
        self,
        samples: Iterable[tuple[int, Decimal]] = (),
        *,
        window_ns: int = WINDOW_NS,
    ) -> None:
        self._window_ns = window_ns
        self._queue: deque[tuple[int, Decimal]] = deque()
        self._newest_ns = 0
        for time_ns, value in samples:
            self.add(time_ns, value)

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def peak(self) -> Decimal | None:
        """The maximum of the window; ``None`` before the first sample."""
        return self._queue[0][1] if self._queue else None

    @property
    def newest_ns(self) -> int:
        """Time of the newest sample; 0 before the first."""
        return self._newest_ns

    def add(self, time_ns: int, value: Decimal) -> Decimal:
        """
        Take one sample and return the peak, this sample included.

        Raises
        ------
        ValueError
            If ``value`` is not finite: such a reading is blind, not a sample.
        """
        if not value.is_finite():
            msg = f"a sample must be finite, was {value}"
            raise ValueError(msg)
        self._newest_ns = max(self._newest_ns, time_ns)
        while self._queue and self._queue[-1][1] <= value:
            self._queue.pop()
        self._queue.append((self._newest_ns, value))
        oldest_ns = self._newest_ns - self._window_ns
        while self._queue[0][0] <= oldest_ns:
            self._queue.popleft()
        return self._queue[0][1]

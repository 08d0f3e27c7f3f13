"""How far a venue's clock is from ours, from questions and answers; it asks nothing."""

from __future__ import annotations

from collections import deque
from typing import Final, NamedTuple

from cryptoquantix.core.clock import NS_PER_MS

_SAMPLES_KEPT: Final = 8
# Venues tell whole milliseconds: the truth is up to one later.
_RESOLUTION_NS: Final = NS_PER_MS


class Offset(NamedTuple):
    """The venue's clock less ours, ``offset_ns``, at most ``error_ns`` wrong."""

    offset_ns: int
    error_ns: int


class ClockOffset:
    """
    The best of the last few measurements.

    The venue answered at some moment between our sending and receiving: the middle,
    give or take half of it. The fastest answer says most.

    Examples
    --------
    >>> clock = ClockOffset()
    >>> clock.add(sent_ns=0, received_ns=4_000_000, venue_ns=102_000_000)
    >>> clock.best()
    Offset(offset_ns=100500000, error_ns=2500000)
    """

    def __init__(self) -> None:
        self._samples: deque[Offset] = deque(maxlen=_SAMPLES_KEPT)

    def add(self, *, sent_ns: int, received_ns: int, venue_ns: int) -> None:
        """Take one measurement, of our wall clock."""
        half_ns = _RESOLUTION_NS // 2
        middle_ns = (sent_ns + received_ns) // 2
        error_ns = max(0, received_ns - sent_ns) // 2 + half_ns
        self._samples.append(Offset(venue_ns + half_ns - middle_ns, error_ns))

    def best(self) -> Offset | None:
        """Return the surest measurement, None before the first."""
        return min(self._samples, key=lambda sample: sample.error_ns, default=None)

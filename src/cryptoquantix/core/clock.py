"""
The one module that reads the time; it formats none.

Wall time is for what is written down or compared with a venue. Everything that
must not jump when the wall clock is set (lifetimes, schedules, timeouts) uses
the monotonic clock.
"""

from __future__ import annotations

import time
from typing import Protocol

NS_PER_SECOND = 1_000_000_000
NS_PER_MS = 1_000_000
NS_PER_DAY = 86_400 * NS_PER_SECOND

# CLOCK_MONOTONIC stands still in a suspended machine.
_MONOTONIC = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class Clock(Protocol):
    """What any part that needs the time is given."""

    def time_ns(self) -> int:
        """Return wall time, nanoseconds since 1970 UTC."""
        ...

    def monotonic_ns(self) -> int:
        """Return nanoseconds since an arbitrary start; never steps back."""
        ...


class SystemClock:
    """The machine's clocks. ``monotonic_ns`` is shared by its processes."""

    def time_ns(self) -> int:
        """Return wall time, nanoseconds since 1970 UTC."""
        return time.time_ns()

    def monotonic_ns(self) -> int:
        """
        Return nanoseconds since an arbitrary start; never steps back.

        It goes on while the machine sleeps: a permit or a reading from before a
        suspend is old after it.
        """
        return time.clock_gettime_ns(_MONOTONIC)


class ManualClock:
    """A clock that moves only when told to; both readings move together."""

    def __init__(self, time_ns: int = 0, monotonic_ns: int = 0) -> None:
        self._time_ns = time_ns
        self._monotonic_ns = monotonic_ns

    def time_ns(self) -> int:
        """Return the wall time set so far."""
        return self._time_ns

    def monotonic_ns(self) -> int:
        """Return the monotonic time advanced so far."""
        return self._monotonic_ns

    def advance(self, duration_ns: int) -> None:
        """Move both readings forward by ``duration_ns`` (not negative)."""
        assert duration_ns >= 0, f"a clock cannot go back, was {duration_ns}"
        self._time_ns += duration_ns
        self._monotonic_ns += duration_ns

    def step_wall(self, duration_ns: int) -> None:
        """Step the wall time alone, either way, as an NTP correction does."""
        self._time_ns += duration_ns

"""When a daemon that is not heard becomes an alarm; it asks and sends nothing."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from cryptoquantix.core.clock import NS_PER_SECOND


class Change(StrEnum):
    """What one observation changed."""

    FELL_SILENT = "fell silent"
    HEARD_AGAIN = "heard again"


@dataclass(slots=True)
class SilenceWatch:
    """
    One alarm a silence, one all-clear after it.

    Times are monotonic. The watch starts as if the daemon had just been heard, so
    that a daemon which never comes up is an alarm too, after the same time.
    """

    silent_seconds: float
    heard_ns: int
    is_silent: bool = False

    def observe(
        self, *, is_heard: bool, monotonic_ns: int
    ) -> tuple[Change, float] | None:
        """Return what changed and the seconds of silence so far, or None."""
        silence_seconds = (monotonic_ns - self.heard_ns) / NS_PER_SECOND
        if is_heard:
            self.heard_ns = monotonic_ns
            if self.is_silent:
                self.is_silent = False
                return Change.HEARD_AGAIN, silence_seconds
        elif not self.is_silent and silence_seconds >= self.silent_seconds:
            self.is_silent = True
            return Change.FELL_SILENT, silence_seconds
        return None

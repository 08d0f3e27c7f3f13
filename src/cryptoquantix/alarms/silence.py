"""When something that is missing becomes an alarm; it asks and sends nothing."""

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

    Times are monotonic. The watch starts as if it had just been heard, so that what
    never comes is an alarm too, after the same time; with ``is_silent`` it goes on
    with a silence that was told before a restart.
    """

    silent_seconds: float
    heard_ns: int
    is_silent: bool = False
    since_ns: int | None = None

    def observe(
        self, *, is_heard: bool, monotonic_ns: int, age_ns: int = 0
    ) -> tuple[Change, float] | None:
        """
        Return what changed and the seconds of silence so far, or None.

        ``age_ns`` is how old what was heard is: something too old is a silence, which
        has begun that long ago.
        """
        if is_heard:
            self.heard_ns = monotonic_ns - age_ns
        silence_seconds = (monotonic_ns - self.heard_ns) / NS_PER_SECOND
        if silence_seconds < self.silent_seconds:
            return self._heard(monotonic_ns) if is_heard and self.is_silent else None
        if self.is_silent:
            return None
        self.is_silent, self.since_ns = True, self.heard_ns
        return Change.FELL_SILENT, silence_seconds

    def _heard(self, monotonic_ns: int) -> tuple[Change, float]:
        since_ns = self.since_ns if self.since_ns is not None else monotonic_ns
        self.is_silent, self.since_ns = False, None
        return Change.HEARD_AGAIN, (monotonic_ns - since_ns) / NS_PER_SECOND

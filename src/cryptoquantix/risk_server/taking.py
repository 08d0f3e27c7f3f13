"""Who takes the alarms: one process at a time; it delivers and acknowledges none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cryptoquantix.core.clock import NS_PER_SECOND

LEASE_NS: Final = 15 * NS_PER_SECOND
NAME_MAX: Final = 200


@dataclass(slots=True)
class Taking:
    """
    One taker, until it has not asked for 15 s; nobody after a start.

    Whoever else asks meanwhile is told who it is, and gets no alarms: two processes
    never deliver the same queue.
    """

    taker: str = ""
    asked_ns: int = 0

    def ask(self, taker: str, *, monotonic_ns: int) -> str:
        """Return who takes the alarms instead of ``taker``, or nothing: it does."""
        name = taker[:NAME_MAX]
        is_over = monotonic_ns - self.asked_ns > LEASE_NS
        if self.taker and name != self.taker and not is_over:
            return self.taker
        self.taker, self.asked_ns = name, monotonic_ns
        return ""

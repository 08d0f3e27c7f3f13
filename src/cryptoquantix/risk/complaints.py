"""
What goes wrong, said once and counted after; it forgets nothing and floods nothing.

A venue that refuses every close for minutes fails in one way, hundreds of times.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from cryptoquantix.core.clock import NS_PER_SECOND, Clock

AGAIN_NS: Final = 5 * NS_PER_SECOND
KINDS_MAX: Final = 1_000


class Complaints:
    """One sentence of each kind in five seconds; the next counts those not said."""

    def __init__(self, clock: Clock, note: Callable[[str], None]) -> None:
        self._clock = clock
        self._note = note
        self._said_ns: dict[str, int] = {}
        self._unsaid: dict[str, int] = {}

    def add(self, kind: str, sentence: str) -> None:
        """Note ``sentence``, unless its ``kind`` was noted a moment ago."""
        now_ns = self._clock.monotonic_ns()
        said_ns = self._said_ns.get(kind)
        if said_ns is not None and now_ns - said_ns < AGAIN_NS:
            self._unsaid[kind] = self._unsaid.get(kind, 0) + 1
            return
        if len(self._said_ns) >= KINDS_MAX:
            self._said_ns.clear()
        self._said_ns[kind] = now_ns
        unsaid = self._unsaid.pop(kind, 0)
        more = f" (and {unsaid} more like it before)" if unsaid else ""
        self._note(f"{sentence}{more}")

"""
Orders that could increase and that nobody looks after; it closes nothing.

Execution asks for a permit every second. Where it has fallen silent for ten seconds,
and the venue says of no switch of its own that it covers these orders, the daemon
cancels them. A switch that the venue calls armed is given ten times as long.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

from cryptoquantix.core.clock import NS_PER_SECOND
from cryptoquantix.risk.flatten import VenueFlattener
from cryptoquantix.risk.jobs import Jobs

RETRY_NS: Final = 2 * NS_PER_SECOND
COVERED_TIMES: Final = 10


class Orphans:
    """
    Cancels increasing orders, and remembers for which silence that is done.

    ``covers`` says whether a venue's own switch is armed; ``record`` takes an entry of
    the audit log.
    """

    def __init__(
        self,
        flatteners: Mapping[str, VenueFlattener],
        *,
        covers: Callable[[str], bool],
        jobs: Jobs,
        record: Callable[[str, dict[str, object]], None],
    ) -> None:
        self._flatteners = flatteners
        self._covers = covers
        self._jobs = jobs
        self._record = record
        self._done_for: dict[str, int] = {}

    def forget(self) -> None:
        """Begin anew: a person has armed."""
        self._done_for.clear()

    def second(self, now_ns: int, asked_ns: int, limit_ns: int) -> None:
        """Look at one second: the holder of the permit asked last at ``asked_ns``."""
        silent_ns = now_ns - asked_ns
        late = [
            name
            for name in self._flatteners
            if silent_ns >= limit_ns * (COVERED_TIMES if self._covers(name) else 1)
            and self._done_for.get(name) != asked_ns
        ]
        if late and self._jobs.is_due("orphans", RETRY_NS):
            seconds = silent_ns // NS_PER_SECOND
            why = f"no permit holder for {seconds} s"
            self._jobs.spawn("cancel orphans", self._cancel(late, why, asked_ns))

    def cancel_blind(self) -> None:
        """Cancel what could increase at every venue: nothing was seen for too long."""
        if self._jobs.is_due("blind", RETRY_NS):
            work = self._cancel(list(self._flatteners), "blind for too long", None)
            self._jobs.spawn("cancel blind", work)

    async def _cancel(self, venues: list[str], why: str, asked_ns: int | None) -> None:
        done = await asyncio.gather(
            *(self._flatteners[name].cancel_increasing() for name in venues)
        )
        cleared = [name for name, is_done in zip(venues, done, strict=True) if is_done]
        if asked_ns is not None:
            self._done_for |= dict.fromkeys(cleared, asked_ns)
        self._record(
            "cancel_increasing", {"why": why, "venues": venues, "done": cleared}
        )

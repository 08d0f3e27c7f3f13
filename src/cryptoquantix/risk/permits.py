"""
One holder at a time: who may trade, and from when; it opens no socket.

The holder is a name on one connection. Another one waits until the last answer to the
old one has lost its power: five seconds of permit life plus the venues' receive window.
A desk that has just started cannot know who held a permit before it, and waits too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cryptoquantix.control.permit import (
    PERMIT_LIFE_NS,
    RECEIVE_WINDOW_MS,
    PermitAnswer,
    PermitMode,
    PermitRequest,
)
from cryptoquantix.core.clock import NS_PER_MS

HANDOVER_NS: Final = PERMIT_LIFE_NS + RECEIVE_WINDOW_MS * NS_PER_MS


@dataclass(frozen=True, slots=True)
class Granting:
    """What the daemon would grant right now, to the right holder."""

    mode: PermitMode
    reason: str
    sequence: int


class PermitDesk:
    """Answers permit requests. Times are monotonic nanoseconds."""

    def __init__(self, *, build: str, started_ns: int) -> None:
        self._build = build
        self._holder: tuple[str, int] | None = None
        self._answered_ns = started_ns
        self._free_from_ns = started_ns + HANDOVER_NS

    @property
    def holder(self) -> str:
        """The name of the latest holder; empty before the first."""
        return self._holder[0] if self._holder else ""

    @property
    def answered_ns(self) -> int:
        """When the holder was answered last; the start, before the first."""
        return self._answered_ns

    def answer(
        self,
        request: PermitRequest,
        *,
        connection: int,
        now_ns: int,
        granting: Granting,
    ) -> PermitAnswer:
        """Return the answer to one request that came over ``connection``."""
        mode, reason = granting.mode, granting.reason
        refusal = self._refusal(request, connection, now_ns)
        if mode is PermitMode.TRADE and refusal:
            mode, reason = PermitMode.REDUCE_ONLY, refusal
        return PermitAnswer(
            nonce=request.nonce,
            mode=mode,
            holder=self.holder,
            build=self._build,
            sequence=granting.sequence,
            reason=reason,
        )

    def _refusal(self, request: PermitRequest, connection: int, now_ns: int) -> str:
        """Keep the books on the holder, and return why this one may not trade."""
        who = (request.holder, connection)
        if who != self._holder:
            if self._holder is not None and now_ns - self._answered_ns < HANDOVER_NS:
                return f"another holder has the permit: {self.holder}"
            if self._holder is not None:
                self._free_from_ns = self._answered_ns + HANDOVER_NS
            self._holder = who
        self._answered_ns = now_ns
        if now_ns < self._free_from_ns:
            return "an earlier permit may still be alive"
        if request.build != self._build:
            return f"build {request.build} is not the daemon's {self._build}"
        if not request.is_reconciled:
            return "the holder has not reconciled with the venue yet"
        return ""

"""
What the venues say of their own dead-man's switches over execution's orders; no acts.

Asked cheaply, and remembered: an orphan order is the daemon's to cancel wherever no
switch of the venue covers it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

from cryptoquantix.core.clock import NS_PER_SECOND, Clock
from cryptoquantix.core.exposure import DeadManSwitch
from cryptoquantix.risk.port import RiskVenue

ASK_NS: Final = 60 * NS_PER_SECOND
FRESH_NS: Final = 180 * NS_PER_SECOND
ASK_SECONDS: Final = 2.0


class Switches:
    """The newest answer of each venue; ``note`` takes a sentence when one changes."""

    def __init__(self, clock: Clock, note: Callable[[str], None]) -> None:
        self._clock = clock
        self._note = note
        self._found: dict[str, DeadManSwitch] = {}
        self._asked_ns: dict[str, int] = {}

    async def ask(self, venue: RiskVenue) -> None:
        """Ask one venue; what it does not answer is not known to be armed."""
        async with asyncio.timeout(ASK_SECONDS):
            found = await venue.dead_man_switch()
        before = self._found.get(venue.name)
        self._found[venue.name] = found
        self._asked_ns[venue.name] = self._clock.monotonic_ns()
        if before is None or before.is_armed is not found.is_armed:
            self._note(f"{venue.name}'s dead-man's switch: {shown(found)}")

    def covers(self, venue: str) -> bool:
        """Return whether ``venue`` said lately that its switch is armed."""
        asked_ns = self._asked_ns.get(venue)
        is_fresh = (
            asked_ns is not None and self._clock.monotonic_ns() - asked_ns < FRESH_NS
        )
        return is_fresh and bool(self._found[venue].is_armed)

    def found(self) -> Mapping[str, DeadManSwitch]:
        """Return the newest answers."""
        return self._found


def shown(switch: DeadManSwitch) -> str:
    """Return one switch in words."""
    armed = {True: "armed", False: "ABSENT", None: "cannot be asked"}[switch.is_armed]
    missing = f" ({switch.text})" if switch.text else ""
    return f"{armed}: {switch.scope}{missing}"

"""
The latch: what must survive the daemon, as one checked record; it touches no disk.

How its state moves is ``machine.py``'s table.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Final, Self

from cryptoquantix.control.status import RiskState, TripRecord
from cryptoquantix.core.errors import StateCorrupt
from cryptoquantix.risk.machine import Event, follow

ACTING: Final = (
    RiskState.TRIPPED,
    RiskState.CANCELING,
    RiskState.CLOSING,
    RiskState.VERIFYING,
)
"""The steps of a halt, in order."""


@dataclass(frozen=True, slots=True)
class Latch:
    """
    The daemon's state as written down. ``BLIND`` is never written: it is a reading's.

    ``steps`` is where each venue stands in a halt; ``goal`` where the halt ends
    (``HALTED``, or ``LOCKED`` for a flatten). ``baseline_sequence`` is the entry of the
    store after which samples count for the high-water mark.
    """

    state: RiskState
    reason: str
    who: str = ""
    since_ns: int = 0
    goal: RiskState = RiskState.HALTED
    steps: Mapping[str, RiskState] = field(default_factory=dict)
    trip: TripRecord | None = None
    baseline_sequence: int = 0
    is_store_corrupt: bool = False

    @property
    def is_acting(self) -> bool:
        """True while a halt or a flatten is being carried out."""
        return self.state in ACTING

    def stepped(self, venue: str, step: RiskState) -> Latch:
        """Return the latch with ``venue`` at ``step``; the slowest venue shows."""
        steps = dict(self.steps) | {venue: step}
        order = [*ACTING, RiskState.HALTED]
        slowest = min(steps.values(), key=order.index)
        state = self.state
        if slowest is not state:
            state = follow(state, self._event(slowest))
        return replace(self, steps=steps, state=state)

    def _event(self, slowest: RiskState) -> Event:
        """Return what it means for the whole that ``slowest`` is reached everywhere."""
        if slowest is RiskState.HALTED:
            is_halt = self.goal is RiskState.HALTED
            return Event.FLAT_HALT if is_halt else Event.FLAT_FLATTEN
        if slowest is RiskState.CANCELING and self.state is not RiskState.TRIPPED:
            return Event.LEFT_OVER
        return Event(slowest.value.lower())

    def to_json(self) -> str:
        """Return the record as written."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """
        Return the record as read back.

        Raises
        ------
        StateCorrupt
            If it is not one this version could have written.
        """
        try:
            value = json.loads(text)
            value["state"] = RiskState(value["state"])
            value["goal"] = RiskState(value["goal"])
            value["steps"] = {k: RiskState(v) for k, v in value["steps"].items()}
            if value["trip"] is not None:
                value["trip"] = TripRecord(**value["trip"])
            return cls(**value)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            msg = f"the latch cannot be read: {error}"
            raise StateCorrupt(msg) from None


def digest(*parts: str) -> str:
    """Return the checksum that each record of the store carries."""
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()


def locked(
    reason: str, *, since_ns: int, sequence: int = 0, is_store_corrupt: bool = False
) -> Latch:
    """Return the latch of a daemon that a person must arm."""
    return Latch(
        state=RiskState.LOCKED,
        reason=reason,
        since_ns=since_ns,
        goal=RiskState.LOCKED,
        baseline_sequence=sequence,
        is_store_corrupt=is_store_corrupt,
    )


def tripped(
    latch: Latch,
    trip: TripRecord,
    *,
    venues: tuple[str, ...],
    reason: str,
    who: str,
    goal: RiskState = RiskState.HALTED,
) -> Latch:
    """
    Return the latch of a halt that has just been decided.

    A halt that already stands keeps its goal: a flatten never turns it into LOCKED.
    """
    if latch.state.is_halt and latch.goal is RiskState.HALTED:
        goal = RiskState.HALTED
    return replace(
        latch,
        state=RiskState.TRIPPED,
        reason=reason,
        who=who,
        since_ns=trip.decided_time_ns,
        goal=goal,
        steps=dict.fromkeys(venues, RiskState.TRIPPED),
        trip=trip,
    )

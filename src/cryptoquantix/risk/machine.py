"""
The state machine of the kill switch, as one table; it does nothing, it only knows.

Every state meets every event: it goes on to a state, or the event is refused with the
sentence that the asker is told. ``docs/kill-switch.md`` shows this very table.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from cryptoquantix.control.status import RiskState

LOCKED, ARMED, BLIND = RiskState.LOCKED, RiskState.ARMED, RiskState.BLIND
TRIPPED, CANCELING = RiskState.TRIPPED, RiskState.CANCELING
CLOSING, VERIFYING, HALTED = RiskState.CLOSING, RiskState.VERIFYING, RiskState.HALTED


class Event(StrEnum):
    """
    What can happen to the daemon.

    ``canceling`` to ``verifying`` are steps that the slowest venue has reached;
    ``left over`` means that not everything was flat, or a step failed, and the venue
    begins another round.
    """

    REARM = "rearm"
    DRAWDOWN = "drawdown"
    HALT = "halt"
    FLATTEN = "flatten"
    CANCELING = "canceling"
    CLOSING = "closing"
    VERIFYING = "verifying"
    LEFT_OVER = "left over"
    FLAT_HALT = "halt is flat"
    FLAT_FLATTEN = "flatten is flat"
    APPEARED = "something appears"
    SIGHT_LOST = "sight lost"
    SIGHT_BACK = "sight regained"
    MEMORY_LOST = "memory lost"
    RESTART = "restart"


class Refused(Exception):  # noqa: N818 - it names an answer, not a fault
    """The event has no place in this state; the text is the sentence to show."""


_ARMED_ALREADY: Final = "the daemon is armed already"
_STILL: Final = "the halt is still being carried out"
_NOT_ARMED: Final = "only an armed daemon judges drawdown"
_NO_HALT: Final = "no halt is being carried out"
_FORWARD: Final = "a round goes forward only"
_UNSIGHTED: Final = "only an armed daemon goes blind"

type Next = RiskState | str
"""The state that follows, or why the event is refused."""


def _row(**events: Next) -> dict[Event, Next]:
    return {Event[name]: follows for name, follows in events.items()}


def _watching(state: RiskState, **events: Next) -> dict[Event, Next]:
    """Return the row of a state in which no halt is being carried out."""
    row = _row(
        HALT=TRIPPED,
        FLATTEN=TRIPPED,
        CANCELING=_NO_HALT,
        CLOSING=_NO_HALT,
        VERIFYING=_NO_HALT,
        LEFT_OVER=_NO_HALT,
        FLAT_HALT=_NO_HALT,
        FLAT_FLATTEN=_NO_HALT,
        APPEARED=state,
        MEMORY_LOST=LOCKED,
        RESTART=state,
    )
    return row | _row(**events)


def _acting(state: RiskState, **events: Next) -> dict[Event, Next]:
    """Return the row of a step of a halt: words change its goal, never its course."""
    row = _row(
        REARM=_STILL,
        DRAWDOWN=state,
        HALT=state,
        FLATTEN=state,
        CANCELING=_FORWARD,
        CLOSING=_FORWARD,
        VERIFYING=_FORWARD,
        LEFT_OVER=CANCELING,
        FLAT_HALT=_FORWARD,
        FLAT_FLATTEN=_FORWARD,
        APPEARED=state,
        SIGHT_LOST=state,
        SIGHT_BACK=state,
        MEMORY_LOST=state,
        RESTART=state,
    )
    return row | _row(**events)


TABLE: Final[Mapping[RiskState, Mapping[Event, Next]]] = {
    LOCKED: _watching(
        LOCKED,
        REARM=ARMED,
        DRAWDOWN=_NOT_ARMED,
        SIGHT_LOST=LOCKED,
        SIGHT_BACK=LOCKED,
    ),
    ARMED: _watching(
        ARMED,
        REARM=_ARMED_ALREADY,
        DRAWDOWN=TRIPPED,
        SIGHT_LOST=BLIND,
        SIGHT_BACK=ARMED,
        RESTART=BLIND,
    ),
    BLIND: _watching(
        BLIND,
        REARM=_ARMED_ALREADY,
        DRAWDOWN=TRIPPED,
        SIGHT_LOST=BLIND,
        SIGHT_BACK=ARMED,
    ),
    TRIPPED: _acting(TRIPPED, CANCELING=CANCELING, CLOSING=CLOSING),
    CANCELING: _acting(CANCELING, CANCELING=CANCELING, CLOSING=CLOSING),
    CLOSING: _acting(CLOSING, CLOSING=CLOSING, VERIFYING=VERIFYING),
    VERIFYING: _acting(
        VERIFYING, VERIFYING=VERIFYING, FLAT_HALT=HALTED, FLAT_FLATTEN=LOCKED
    ),
    HALTED: _watching(
        HALTED,
        REARM=ARMED,
        DRAWDOWN=HALTED,
        HALT=HALTED,
        SIGHT_LOST=HALTED,
        SIGHT_BACK=HALTED,
        MEMORY_LOST=HALTED,
    ),
}


def follow(state: RiskState, event: Event) -> RiskState:
    """
    Return the state after ``event``.

    Raises
    ------
    Refused
        With the reason, if the event has no place in ``state``.

    Examples
    --------
    >>> follow(RiskState.ARMED, Event.DRAWDOWN).value
    'TRIPPED'
    """
    follows = TABLE[state][event]
    if isinstance(follows, RiskState):
        return follows
    raise Refused(follows)


def shown() -> str:
    """Return the table as Markdown; what is refused is a footnote's number."""
    reasons: list[str] = []
    head = ["event", *(f"`{state.value}`" for state in TABLE)]
    lines = [" | ".join(head), " | ".join(["---"] * len(head))]
    for event in Event:
        cells = [event.value]
        for state in TABLE:
            follows = TABLE[state][event]
            if isinstance(follows, RiskState):
                cells.append("stays" if follows is state else follows.value)
                continue
            if follows not in reasons:
                reasons.append(follows)
            cells.append(f"no ({reasons.index(follows) + 1})")
        lines.append(" | ".join(cells))
    table = "\n".join(f"| {line} |" for line in lines)
    notes = "; ".join(f"({n}) {reason}" for n, reason in enumerate(reasons, start=1))
    return f"{table}\n\nRefused: {notes}."

"""
The life of an order as one table; it sends, stores and asks nothing.

::

    JOURNALED ─ sent ─▶ IN_FLIGHT ─ lost ─▶ OUTCOME_UNKNOWN ─ absent ─▶ NOT_FOUND
        │                   │                      │
        └─ withheld ─▶ NOT_FOUND                   │
                            └── seen working, filled, canceled; refused ──▶ ...

The table is total: every event has an answer in every state, so that an event that
comes twice, late or out of order changes nothing it should not. The venue's own sight
of an order outranks our inference: an order we had proven absent, or that we were
told was refused, and which the venue shows after all, is what the venue shows
(:func:`is_contradiction` tells the caller to report it).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from cryptoquantix.core.order import OrderState


class OrderEvent(StrEnum):
    """What can be learned about an order of ours."""

    SENT = "sent"  # the request's bytes are being written
    WITHHELD = "withheld"  # proven: no byte was written
    LOST = "lost"  # no answer, or one that says nothing; also a restart
    SEEN_WORKING = "seen_working"  # the venue shows it resting
    SEEN_FILLED = "seen_filled"  # the venue shows it filled
    SEEN_CANCELED = "seen_canceled"  # canceled or expired, perhaps part filled
    REFUSED = "refused"  # the venue's own no
    ABSENT = "absent"  # two look-ups after the receive window agree


_S = OrderState
_SIGHT: Final = {
    OrderEvent.SEEN_WORKING: _S.WORKING,
    OrderEvent.SEEN_FILLED: _S.FILLED,
    OrderEvent.SEEN_CANCELED: _S.CANCELED,
}


def _row(state: OrderState, **changes: OrderState) -> dict[OrderEvent, OrderState]:
    """Return a row of the table: what is not named leaves the state as it is."""
    return {event: changes.get(event.value, state) for event in OrderEvent}


_SEEN: Final = {event.value: state for event, state in _SIGHT.items()}

TRANSITIONS: Final[dict[OrderState, dict[OrderEvent, OrderState]]] = {
    _S.JOURNALED: _row(
        _S.JOURNALED,
        sent=_S.IN_FLIGHT,
        withheld=_S.NOT_FOUND,
        lost=_S.OUTCOME_UNKNOWN,
        refused=_S.REFUSED,
        **_SEEN,
    ),
    _S.IN_FLIGHT: _row(
        _S.IN_FLIGHT,
        withheld=_S.NOT_FOUND,
        lost=_S.OUTCOME_UNKNOWN,
        refused=_S.REFUSED,
        **_SEEN,
    ),
    _S.OUTCOME_UNKNOWN: _row(
        _S.OUTCOME_UNKNOWN, absent=_S.NOT_FOUND, refused=_S.REFUSED, **_SEEN
    ),
    _S.WORKING: _row(
        _S.WORKING,
        lost=_S.OUTCOME_UNKNOWN,  # it rested, and the venue knows it no more
        seen_filled=_S.FILLED,
        seen_canceled=_S.CANCELED,
        refused=_S.REFUSED,  # Binance: REJECTED or EXPIRED_IN_MATCH after the answer
    ),
    _S.FILLED: _row(_S.FILLED),
    _S.CANCELED: _row(_S.CANCELED),
    _S.REFUSED: _row(_S.REFUSED, **_SEEN),
    _S.NOT_FOUND: _row(_S.NOT_FOUND, **_SEEN),
}


def transition(state: OrderState, event: OrderEvent) -> OrderState:
    """
    Return the state after ``event``; every pair has an answer.

    Examples
    --------
    >>> transition(OrderState.IN_FLIGHT, OrderEvent.LOST).value
    'outcome_unknown'
    >>> transition(OrderState.FILLED, OrderEvent.SEEN_WORKING).value
    'filled'
    """
    return TRANSITIONS[state][event]


def is_contradiction(state: OrderState, event: OrderEvent) -> bool:
    """
    Return whether the venue shows an order that we held for absent or refused.

    It must be reported: our proof of absence was wrong, or another process uses our
    client order ids.
    """
    return state in {_S.NOT_FOUND, _S.REFUSED} and event in _SIGHT

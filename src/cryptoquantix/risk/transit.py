"""
Money on its way between own venues: an outflow here, an inflow there; it moves none.

An outflow that a ledger names is a withdrawal at once: only what stands at the venues
is at risk there, and drawdown is taken of that. It is also kept here, as *in transit*,
until the same coin arrives at another own venue; what the way cost is a loss. What has
not arrived in time stays the withdrawal it was counted as, and is named.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Final

from cryptoquantix.core.clock import NS_PER_SECOND
from cryptoquantix.risk.rules import Limits

TRANSITS_MAX: Final = 64
STRAYS_MAX: Final = 16
EARLY_NS: Final = 60 * NS_PER_SECOND
"""How long an inflow waits for a slower ledger to name the outflow it came from."""


@dataclass(frozen=True, slots=True)
class Move:
    """One side of a transfer: ``cash`` is positive; ``since_ns`` is monotonic."""

    venue: str
    coin: str
    cash: Decimal
    since_ns: int


@dataclass(frozen=True, slots=True)
class Transit:
    """
    What left a venue and has not arrived, oldest first.

    ``early`` are inflows whose outflow no ledger has named yet; ``strays`` left and
    did not arrive in time.
    """

    moves: tuple[Move, ...] = ()
    early: tuple[Move, ...] = ()
    strays: tuple[Move, ...] = field(default_factory=tuple)

    @property
    def totals(self) -> dict[str, Decimal]:
        """What is on its way, by coin."""
        found: dict[str, Decimal] = {}
        for move in self.moves:
            found[move.coin] = found.get(move.coin, Decimal(0)) + move.cash
        return found


def departed(transit: Transit, move: Move, limits: Limits) -> tuple[Transit, Decimal]:
    """Return the ledger after an outflow, and what the way cost if it arrived."""
    found = _match(transit.early, move, limits, is_sent=True)
    if found is None:
        moves = (*transit.moves, move)
        strays = (*transit.strays, *moves[:-TRANSITS_MAX])[-STRAYS_MAX:]
        return replace(transit, moves=moves[-TRANSITS_MAX:], strays=strays), Decimal(0)
    early = tuple(item for item in transit.early if item is not found)
    return replace(transit, early=early), move.cash - found.cash


def arrived(transit: Transit, move: Move, limits: Limits) -> tuple[Transit, Decimal]:
    """Return the ledger after an inflow, and what the way cost if it was expected."""
    found = _match(transit.moves, move, limits, is_sent=False)
    if found is None:
        early = (*transit.early, move)[-TRANSITS_MAX:]
        return replace(transit, early=early), Decimal(0)
    moves = tuple(item for item in transit.moves if item is not found)
    return replace(transit, moves=moves), found.cash - move.cash


def aged(transit: Transit, now_ns: int, limits: Limits) -> Transit:
    """Return the ledger without what is too old to be waited for."""
    late = [m for m in transit.moves if now_ns - m.since_ns >= limits.transit_ns]
    gone = [m for m in transit.early if now_ns - m.since_ns >= EARLY_NS]
    if not late and not gone:
        return transit
    return Transit(
        moves=tuple(m for m in transit.moves if m not in late),
        early=tuple(m for m in transit.early if m not in gone),
        strays=(*transit.strays, *late)[-STRAYS_MAX:],
    )


def _match(
    waiting: Sequence[Move], move: Move, limits: Limits, *, is_sent: bool
) -> Move | None:
    """Return the other side of ``move``: the one that the way would have cost least."""
    best, least = None, None
    for item in waiting:
        if item.venue == move.venue or item.coin != move.coin:
            continue
        sent, got = (move.cash, item.cash) if is_sent else (item.cash, move.cash)
        fee = sent - got
        if 0 <= fee <= limits.transit_fee_fraction * sent and (
            least is None or fee < least
        ):
            best, least = item, fee
    return best

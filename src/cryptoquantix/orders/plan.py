"""
Wanted against held and unfinished, to intents; it checks no limit and sends nothing.

Two rules are kept by construction, whatever the inputs: an intent never both reduces
and increases (a flip is a reduction to zero now, and an increase once the venue shows
zero), and what may be open after an increase, unfinished orders included, never exceeds
what is wanted.
"""

from __future__ import annotations

from dataclasses import dataclass

from cryptoquantix.core.instrument import InstrumentId
from cryptoquantix.core.order import OrderState, Side


@dataclass(frozen=True, slots=True)
class Unfinished:
    """An order of ours of which something may still come, unknown ones included."""

    client_order_id: str
    is_increase: bool
    side: Side
    remaining_lots: int
    state: OrderState


@dataclass(frozen=True, slots=True)
class Situation:
    """
    All that a plan for one instrument depends on. Lots; positions are signed.

    ``held_lots`` is what is ours of the position, ``foreign_lots`` what is not: beside
    it nothing is opened. ``band_lots`` is the smallest difference worth an order,
    ``order_max_lots`` the most one order may hold (0: no bound is known).
    """

    instrument: InstrumentId
    wanted_lots: int
    held_lots: int
    unfinished: tuple[Unfinished, ...] = ()
    band_lots: int = 1
    order_max_lots: int = 0
    foreign_lots: int = 0


@dataclass(frozen=True, slots=True)
class IncreaseIntent:
    """A market order that opens or grows a position is wanted."""

    instrument: InstrumentId
    side: Side
    size_lots: int


@dataclass(frozen=True, slots=True)
class ReductionIntent:
    """A reduce-only market order is wanted."""

    instrument: InstrumentId
    side: Side
    size_lots: int


@dataclass(frozen=True, slots=True)
class CancelIntent:
    """A resting order is no longer wanted."""

    instrument: InstrumentId
    client_order_id: str


Intent = IncreaseIntent | ReductionIntent | CancelIntent


def plan_orders(situation: Situation) -> tuple[Intent, ...]:
    """
    Return what to do now to get from held to wanted, at most one order.

    Larger differences are worked off in slices: the next plan, made once this order
    is finished, continues from what the venue then shows.

    Examples
    --------
    >>> btc = InstrumentId.parse("binance:BTCUSDT-PERP")
    >>> [(type(i).__name__, i.side.value, i.size_lots)
    ...  for i in plan_orders(Situation(btc, wanted_lots=-5, held_lots=3))]
    [('ReductionIntent', 'sell', 3)]
    """
    order = _reduction(situation) or _increase(situation)
    return (*_cancels(situation), *([order] if order else []))


def surplus_lots(held_lots: int, wanted_lots: int) -> int:
    """Return how many lots to give up, never crossing zero (not negative)."""
    if held_lots * wanted_lots <= 0:
        return abs(held_lots)
    return max(0, abs(held_lots) - abs(wanted_lots))


def _reduction(situation: Situation) -> ReductionIntent | None:
    held, wanted = situation.held_lots, situation.wanted_lots
    surplus = surplus_lots(held, wanted)
    is_partial = held * wanted > 0
    # The band saves fees on small corrections; it never keeps a position open that
    # is wanted closed.
    if surplus == 0 or (is_partial and surplus < situation.band_lots):
        return None
    side = Side.of(held).opposite
    coming = sum(
        order.remaining_lots
        for order in situation.unfinished
        if not order.is_increase and order.side is side
    )
    size = _sliced(surplus - coming, situation.order_max_lots)
    return ReductionIntent(situation.instrument, side, size) if size > 0 else None


def _increase(situation: Situation) -> IncreaseIntent | None:
    held, wanted = situation.held_lots, situation.wanted_lots
    if wanted == 0 or situation.foreign_lots or surplus_lots(held, wanted) > 0:
        return None
    side = Side.of(wanted)
    # One unfinished order at a time: where it ends decides what is still missing.
    if situation.unfinished:
        return None
    missing = abs(wanted) - abs(held)
    if missing < max(1, situation.band_lots):
        return None
    size = _sliced(missing, situation.order_max_lots)
    return IncreaseIntent(situation.instrument, side, size)


def _cancels(situation: Situation) -> list[CancelIntent]:
    """Return the resting orders that would take us beyond what is wanted."""
    held, wanted = situation.held_lots, situation.wanted_lots
    may_grow = max(0, abs(wanted) - abs(held)) if held * wanted >= 0 else 0
    if situation.foreign_lots:
        may_grow = 0
    may_shrink = surplus_lots(held, wanted)
    cancels = []
    for order in situation.unfinished:
        if order.state is not OrderState.WORKING:
            continue
        toward = wanted if order.is_increase else -held
        allowed = may_grow if order.is_increase else may_shrink
        if order.side.sign * toward > 0 and order.remaining_lots <= allowed:
            if order.is_increase:
                may_grow -= order.remaining_lots
            else:
                may_shrink -= order.remaining_lots
            continue
        cancels.append(CancelIntent(situation.instrument, order.client_order_id))
    return cancels


def _sliced(size_lots: int, order_max_lots: int) -> int:
    return min(size_lots, order_max_lots) if order_max_lots > 0 else size_lots

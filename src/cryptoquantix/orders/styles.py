"""
How an order is worked: at market, at a bound, resting, or in slices; it sends nothing.

A piece of work begins when a difference is first to be traded and ends when it is.
Every style ends: what rests or waits is finished at the deadline, at market or with a
bound.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Final

from cryptoquantix.core.clock import NS_PER_SECOND
from cryptoquantix.core.instrument import Instrument
from cryptoquantix.core.order import OrderType, Side, TimeInForce
from cryptoquantix.core.quantity import from_steps, to_price_ticks_passive
from cryptoquantix.orders.value import lot_quote


class Style(StrEnum):
    """How a strategy's orders are worked."""

    MARKET = "market"  # at once, whatever the price
    IOC = "ioc"  # at once, no further than a bound through the best price
    POST_ONLY = "post_only"  # resting at the best price and following it
    SLICED = "sliced"  # in equal slices over time, each at market


_AT_ONCE = (Style.MARKET, Style.IOC)
# When strategies that disagree trade one instrument, the most urgent one's is taken.
_URGENCY = (Style.MARKET, Style.IOC, Style.SLICED, Style.POST_ONLY)


@dataclass(frozen=True, slots=True)
class Working:
    """
    A style and its numbers.

    ``seconds`` is the time that resting or slicing may take; then the rest goes out as
    ``ends_as`` (market or ioc). ``requotes_max`` bounds how often a resting order
    follows the price, ``through_fraction`` how far through the best price an IOC goes.
    """

    style: Style = Style.MARKET
    seconds: float = 20.0
    slices: int = 5
    requotes_max: int = 10
    through_fraction: Decimal = Decimal("0.001")
    ends_as: Style = Style.MARKET

    @property
    def needs_quote(self) -> bool:
        """True where a best price is looked at."""
        return self.style is not Style.MARKET


AT_MARKET: Final = Working()


@dataclass(frozen=True, slots=True)
class Work:
    """One difference being traded: since when, how much at first, quotes so far."""

    side: Side
    size_lots: int
    started_ns: int
    quotes: int = 0


@dataclass(frozen=True, slots=True)
class Quote:
    """The best resting prices, and when they were read (monotonic)."""

    bid: Decimal | None
    ask: Decimal | None
    read_ns: int


@dataclass(frozen=True, slots=True)
class Leg:
    """One order to send now."""

    size_lots: int
    type: OrderType = OrderType.MARKET
    price_ticks: int | None = None
    time_in_force: TimeInForce = TimeInForce.GTC


def most_urgent(workings: list[Working]) -> Working:
    """Return the one whose style waits the least."""
    return min(workings, key=lambda w: (_URGENCY.index(w.style), w.seconds))


@dataclass(frozen=True, slots=True)
class Moment:
    """What a piece of work looks like now: what is missing, prices, the time."""

    missing_lots: int
    instrument: Instrument
    quote: Quote | None
    now_ns: int


def next_leg(working: Working, work: Work, moment: Moment) -> Leg | None:
    """
    Return the order to send now for what is missing; None: not yet.

    Without a quote, what needs one waits until the deadline and then goes at market,
    so that a venue that answers no quotes holds nothing up for ever.
    """
    is_over = _is_over(working, work, moment.now_ns)
    if working.style is Style.SLICED and not is_over:
        return _slice(working, work, moment)
    is_resting = working.style is Style.POST_ONLY
    if is_resting and not is_over and work.quotes < working.requotes_max:
        return _resting(work, moment)
    last = working.style if working.style in _AT_ONCE else working.ends_as
    if last is Style.IOC and not (is_over and moment.quote is None):
        return _bounded(working, work, moment)
    return Leg(moment.missing_lots)


def is_to_be_canceled(
    working: Working, work: Work, price: Decimal, moment: Moment
) -> bool:
    """Return whether a resting order at ``price`` is overtaken, or out of time."""
    if _is_over(working, work, moment.now_ns):
        return True
    best = None if moment.quote is None else _own_side(moment.quote, work.side)
    if best is None:
        return False
    return best > price if work.side is Side.BUY else best < price


def requote_ticks(
    working: Working, work: Work, price: Decimal, moment: Moment
) -> int | None:
    """Return the price that an overtaken post-only order is to follow to, if any."""
    is_done = work.quotes >= working.requotes_max or _is_over(
        working, work, moment.now_ns
    )
    if working.style is not Style.POST_ONLY or is_done:
        return None
    if not is_to_be_canceled(working, work, price, moment):
        return None
    leg = _resting(work, moment)
    return None if leg is None else leg.price_ticks


def _is_over(working: Working, work: Work, now_ns: int) -> bool:
    return now_ns - work.started_ns >= working.seconds * NS_PER_SECOND


def _slice(working: Working, work: Work, moment: Moment) -> Leg | None:
    step_ns = working.seconds * NS_PER_SECOND / working.slices
    begun = min(working.slices, int((moment.now_ns - work.started_ns) / step_ns) + 1)
    due = -(-work.size_lots * begun // working.slices)
    size = moment.missing_lots - max(0, work.size_lots - due)
    if size <= 0:
        return None
    price = None if moment.quote is None else _other_side(moment.quote, work.side)
    if price is not None:
        # A slice that the venue would find too small takes the next one along.
        lot = lot_quote(moment.instrument, price)
        size = max(size, math.ceil(moment.instrument.notional_min / lot))
    return Leg(min(size, moment.missing_lots))


def _resting(work: Work, moment: Moment) -> Leg | None:
    best = None if moment.quote is None else _own_side(moment.quote, work.side)
    if best is None:
        return None
    tick_size = moment.instrument.tick_size
    ticks = to_price_ticks_passive(best, tick_size, work.side)
    return Leg(moment.missing_lots, OrderType.LIMIT, ticks, TimeInForce.POST_ONLY)


def _bounded(working: Working, work: Work, moment: Moment) -> Leg | None:
    best = None if moment.quote is None else _other_side(moment.quote, work.side)
    if best is None:
        return None
    bound = best * (1 + work.side.sign * working.through_fraction)
    ticks = to_price_ticks_passive(bound, moment.instrument.tick_size, work.side)
    return Leg(moment.missing_lots, OrderType.LIMIT, ticks, TimeInForce.IOC)


def price_of(ticks: int, instrument: Instrument) -> Decimal:
    """Return the price of ``ticks``."""
    return from_steps(ticks, instrument.tick_size)


def _own_side(quote: Quote, side: Side) -> Decimal | None:
    return quote.bid if side is Side.BUY else quote.ask


def _other_side(quote: Quote, side: Side) -> Decimal | None:
    return quote.ask if side is Side.BUY else quote.bid

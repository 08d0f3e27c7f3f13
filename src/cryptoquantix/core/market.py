"""Market data as NamedTuples, which compiled kernels accept; it computes nothing."""

from __future__ import annotations

from typing import NamedTuple


class Tick(NamedTuple):
    """
    One trade print.

    ``venue_time_ns`` is the venue's trade time (tape time while a tape plays);
    ``is_buyer_maker`` is True where the seller was the aggressor; ``trade_id``
    rises by one per print where the venue numbers them.
    """

    venue_time_ns: int
    price_ticks: int
    size_lots: int
    is_buyer_maker: bool
    trade_id: int


class BestQuote(NamedTuple):
    """Best bid and ask with sizes, at the venue's time."""

    venue_time_ns: int
    bid_price_ticks: int
    bid_size_lots: int
    ask_price_ticks: int
    ask_size_lots: int


class Bar(NamedTuple):
    """
    Trades of the half-open interval ``[open_time_ns, close_time_ns)``.

    Prices and volume are doubles (research and strategies are statistics);
    ``volume`` is in base units, zero in an interval without a trade, whose four
    prices are then the close before it. ``funding_rate`` is the fraction of
    notional charged at a funding time in ``(open_time_ns, close_time_ns]``, zero
    where none falls: known at the close of this bar.
    """

    open_time_ns: int
    close_time_ns: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    funding_rate: float

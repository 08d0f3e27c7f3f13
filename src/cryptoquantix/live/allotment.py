"""
What a strategy's part of the equity comes to in lots; it decides no order.

Targets are fractions of allotted equity, and so is the difference that is worth an
order. Where strategies share an instrument the smallest part counts: what one of them
decides must not drown in what is allotted to another.
"""

from __future__ import annotations

import math
from dataclasses import replace
from decimal import Decimal

from cryptoquantix.live.instrument_book import InstrumentBook
from cryptoquantix.orders.value import lot_quote, wanted_lots


class Allotment:
    """
    One venue's equity as its strategies' parts.

    Parameters
    ----------
    equity_fraction, no_trade_band : Decimal
        What of the equity is allotted at all, and the fraction of a strategy's part
        below which a difference is left alone.
    """

    def __init__(self, equity_fraction: Decimal, no_trade_band: Decimal) -> None:
        self._equity_fraction = equity_fraction
        self._no_trade_band = no_trade_band

    def size(self, book: InstrumentBook, equity_quote: Decimal) -> None:
        """Turn new targets into lots, once each: equity's drift makes no orders."""
        if not equity_quote.is_finite() or equity_quote <= 0:
            return
        allotted = equity_quote * self._equity_fraction
        weights = {s.strategy: s.weight for s in book.subscriptions}
        for strategy, wanted in book.wanted.items():
            if wanted.lots is None:
                part = allotted * weights[strategy]
                lots = wanted_lots(wanted.target, part, wanted.price, book.instrument)
                book.wanted[strategy] = replace(wanted, lots=lots)

    def band_lots(self, book: InstrumentBook, equity_quote: Decimal) -> int:
        """Return the smallest difference worth an order."""
        least = book.instrument.notional_min
        if equity_quote.is_finite():
            weight = min(s.weight for s in book.subscriptions)
            allotted = equity_quote * self._equity_fraction * weight
            least = max(least, allotted * self._no_trade_band)
        return math.ceil(least / lot_quote(book.instrument, book.newest.price))

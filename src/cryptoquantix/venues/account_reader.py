"""
What the readers of the venues' account answers share; it reads no row itself.

An account may hold what is not listed for trading: that cannot be counted in lots. It
is left out, and said in the log.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from cryptoquantix.core.instrument import Instrument, Venue
from cryptoquantix.venues.port import VenueOrder

_LOG = logging.getLogger(__name__)

type Row = Mapping[str, Any]


class AccountReader:
    """
    Reads rows of account answers, given what is listed, by the venue's symbol.

    ``symbol_field`` is where a row names its instrument.
    """

    venue: ClassVar[Venue]
    symbol_field: ClassVar[str] = "symbol"

    def __init__(self, by_symbol: Mapping[str, Instrument]) -> None:
        self._by_symbol = by_symbol

    def order(self, row: Row, client_order_id: str = "") -> VenueOrder:
        """Return one order; with ``client_order_id``, of no other."""
        raise NotImplementedError

    def open_orders(self, rows: Iterable[Row]) -> list[VenueOrder]:
        """Return the orders of ``rows`` whose instrument is listed."""
        return [self.order(row) for row in rows if self._listed(row, "an order")]

    def _listed(self, row: Row, what: str) -> Instrument | None:
        symbol = str(row[self.symbol_field])
        found = self._by_symbol.get(symbol)
        if found is None:
            _LOG.warning("%s in %s, which is not listed for trading", what, symbol)
        return found

    def _instrument(self, row: Row) -> Instrument:
        """Return what a row is about; ValueError where that is not listed."""
        symbol = str(row[self.symbol_field])
        found = self._by_symbol.get(symbol)
        if found is None:
            msg = f"{symbol} is not listed at {self.venue} for trading"
            raise ValueError(msg)
        return found


def refuse_another(wanted: str, found: object) -> None:
    """Raise ValueError unless an answer is about the order asked for, if any was."""
    if wanted not in {"", found}:
        msg = f"an answer about another order, {found!r}"
        raise ValueError(msg)

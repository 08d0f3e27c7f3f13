"""
What all orders and fills of a journal come to; it writes nothing.

A journal grows for as long as it is used. What is asked of all its rows at a start, or
at every reading, is added up where the rows are, or once and from there on by what is
new: no answer here holds a row for every order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal, localcontext
from typing import Any, Final, NamedTuple

from cryptoquantix.core.order import OrderState
from cryptoquantix.journal.records import FillRecord

TERMINAL: Final = tuple(state.value for state in OrderState if state.is_terminal)
UNFINISHED: Final = tuple(state.value for state in OrderState if not state.is_terminal)

_ENDED: Final = f"filled_lots > 0 AND state IN {TERMINAL}"
# A comma alone may be part of a name.
_IS_SHARED: Final = (
    "(instr(shares, ',') > 0 AND (SELECT count(*) FROM json_each(shares)) > 1)"
)
_OWNED: Final = (
    "SELECT instrument, owner, lot_size, sum(lots) FROM ("  # noqa: S608 - ours
    "SELECT instrument, lot_size, "
    "iif(shares = '', strategy, (SELECT key FROM json_each(shares))) AS owner, "
    "iif(side = 'buy', filled_lots, -filled_lots) AS lots "
    f"FROM orders WHERE {_ENDED} AND NOT {_IS_SHARED} "
    "UNION ALL SELECT instrument, lot_size, strategy, lots FROM crosses"
    ") WHERE instrument IN ({places}) GROUP BY instrument, owner, lot_size"
)
_SHARED: Final = (
    "SELECT instrument, shares, lot_size, "  # noqa: S608 - ours
    "iif(side = 'buy', size_lots, -size_lots), filled_lots "
    f"FROM orders WHERE {_ENDED} AND {_IS_SHARED} AND instrument IN ({{places}})"
)
_FILLED: Final = (
    "SELECT lot_size, sum(iif(side = 'buy', size_lots, -size_lots)), max(sequence) "
    "FROM fills WHERE instrument = ? GROUP BY lot_size"
)
_TRADE_ID: Final = "SELECT trade_id FROM fills WHERE sequence = ?"

type Rows = Callable[[str, tuple[object, ...]], list[tuple[Any, ...]]]


class OwnedLots(NamedTuple):
    """
    What one strategy holds of an instrument by orders that were its alone.

    One for each size that a lot had: a venue may change it.
    """

    instrument: str
    strategy: str
    lot_size: str
    lots: int


class SharedFill(NamedTuple):
    """An ended order of several strategies: whose it was, and what filled of it."""

    instrument: str
    shares: str
    lot_size: str
    order_lots: int
    filled_lots: int


def owned_query(instruments: int) -> str:
    """Return the query of :class:`OwnedLots` for so many instruments."""
    return _OWNED.format(places=", ".join("?" * instruments))


def shared_query(instruments: int) -> str:
    """Return the query of :class:`SharedFill` for so many instruments."""
    return _SHARED.format(places=", ".join("?" * instruments))


class FillTotal(NamedTuple):
    """An instrument's fills added up, signed, and the newest one's trade id."""

    size: Decimal = Decimal(0)
    trade_id: str = ""

    def grown(self, lots: int, lot_size: str) -> Decimal:
        """Return the size with ``lots`` more, exactly: lots may be of any size."""
        with localcontext(prec=60):
            return self.size + lots * Decimal(lot_size)


class FillTotals:
    """
    Each instrument's fills, added up when first asked for and with each new one.

    Parameters
    ----------
    rows : callable
        Answers a query of the journal.
    """

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._totals: dict[str, FillTotal] = {}

    def of(self, instrument: str) -> FillTotal:
        """Return the total of one instrument."""
        found = self._totals.get(instrument)
        if found is None:
            found, newest = FillTotal(), 0
            for lot_size, lots, sequence in self._rows(_FILLED, (instrument,)):
                found = FillTotal(found.grown(lots, lot_size))
                newest = max(newest, sequence)
            if newest:
                ((trade_id,),) = self._rows(_TRADE_ID, (newest,))
                found = FillTotal(found.size, trade_id)
            self._totals[instrument] = found
        return found

    def add(self, records: Iterable[FillRecord]) -> None:
        """Count fills that were just written and were not there before."""
        for record in records:
            before = self._totals.get(record.instrument)
            if before is not None:
                lots = record.side.sign * record.size_lots
                size = before.grown(lots, record.lot_size)
                self._totals[record.instrument] = FillTotal(size, record.trade_id)

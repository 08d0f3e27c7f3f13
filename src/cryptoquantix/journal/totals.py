"""
What all orders and fills of a journal come to; it writes nothing.

A journal grows for as long as it is used. What is asked of all its rows at a start, or
at every reading, is added up where the rows are, or once and from there on by what is
new: no answer here holds a row for every order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

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
    "SELECT instrument, owner, sum(lots) FROM ("  # noqa: S608 - ours
    "SELECT instrument, "
    "iif(shares = '', strategy, (SELECT key FROM json_each(shares))) AS owner, "
    "iif(side = 'buy', filled_lots, -filled_lots) AS lots "
    f"FROM orders WHERE {_ENDED} AND NOT {_IS_SHARED} "
    "UNION ALL SELECT instrument, strategy, lots FROM crosses"
    ") WHERE instrument IN ({places}) GROUP BY instrument, owner"
)
_SHARED: Final = (
    "SELECT instrument, shares, "  # noqa: S608 - ours
    "iif(side = 'buy', size_lots, -size_lots), filled_lots "
    f"FROM orders WHERE {_ENDED} AND {_IS_SHARED} AND instrument IN ({{places}})"
)
_FILLED: Final = (
    "SELECT coalesce(sum(iif(side = 'buy', size_lots, -size_lots)), 0), "
    "coalesce(max(sequence), 0) FROM fills WHERE instrument = ?"
)
_TRADE_ID: Final = "SELECT trade_id FROM fills WHERE sequence = ?"

type Rows = Callable[[str, tuple[object, ...]], list[tuple[object, ...]]]


class OwnedLots(NamedTuple):
    """What one strategy holds of an instrument by orders that were its alone."""

    instrument: str
    strategy: str
    lots: int


class SharedFill(NamedTuple):
    """An ended order of several strategies: whose it was, and what filled of it."""

    instrument: str
    shares: str
    order_lots: int
    filled_lots: int


def owned_query(instruments: int) -> str:
    """Return the query of :class:`OwnedLots` for so many instruments."""
    return _OWNED.format(places=", ".join("?" * instruments))


def shared_query(instruments: int) -> str:
    """Return the query of :class:`SharedFill` for so many instruments."""
    return _SHARED.format(places=", ".join("?" * instruments))


class FillTotal(NamedTuple):
    """An instrument's fills added up, signed lots, and the newest one's trade id."""

    lots: int = 0
    trade_id: str = ""


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
            ((lots, sequence),) = self._rows(_FILLED, (instrument,))
            newest = self._rows(_TRADE_ID, (sequence,))
            trade_id = str(newest[0][0]) if newest else ""
            found = self._totals[instrument] = FillTotal(int(str(lots)), trade_id)
        return found

    def add(self, records: Iterable[FillRecord]) -> None:
        """Count fills that were just written and were not there before."""
        for record in records:
            before = self._totals.get(record.instrument)
            if before is not None:
                lots = before.lots + record.side.sign * record.size_lots
                self._totals[record.instrument] = FillTotal(lots, record.trade_id)

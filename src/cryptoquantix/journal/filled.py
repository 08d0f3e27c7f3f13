"""
What filled, one by one and by order, for whoever asks whose it is; it writes nothing.

Fills are read in parts, so that no answer here holds a row for every fill there is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any, Final, NamedTuple

from cryptoquantix.core.instrument import InstrumentId
from cryptoquantix.core.order import OrderState, Side
from cryptoquantix.journal.totals import UNFINISHED

_PART: Final = 256
_FILLS: Final = (
    "SELECT sequence, side, size_lots, lot_size, client_order_id <> '' FROM fills "
    # Not by the instrument's index, which would sort all of them for each part.
    "WHERE +instrument = ? AND sequence > ? ORDER BY sequence LIMIT ?"
)
_BOOKED: Final = (
    "SELECT coalesce(sum(size_lots), 0) FROM fills WHERE client_order_id = ?"
)
_PENDING: Final = (
    "SELECT client_order_id, side, filled_lots, booked, state FROM ("  # noqa: S608 - ours
    "SELECT client_order_id, side, filled_lots, state, (SELECT "
    "coalesce(sum(fills.size_lots), 0) FROM fills "
    "WHERE fills.client_order_id = orders.client_order_id) AS booked "
    "FROM orders WHERE instrument = ? "
    f"AND (filled_lots > 0 OR state IN {UNFINISHED})"
    f") WHERE filled_lots > booked OR state IN {UNFINISHED}"
)

type Rows = Callable[[str, tuple[object, ...]], list[tuple[Any, ...]]]


class Pending(NamedTuple):
    """An order of which a fill may still be booked, and what of it was booked."""

    client_order_id: str
    side: Side
    filled_lots: int
    booked_lots: int
    is_ended: bool


class Filled:
    """
    The fills of one journal.

    Parameters
    ----------
    rows : callable
        Answers a query of the journal.
    """

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def iter_lots(
        self, instrument: InstrumentId, lot_size: Decimal
    ) -> Iterator[tuple[int, bool]]:
        """
        Yield each fill as signed lots of ``lot_size``, and whether it is of our orders.

        In the order of the venue's trades. Fills of another lot size, which the venue
        changed since, are converted: their sum is cut to whole lots, not each of them.
        """
        sequence = 0
        cut = {True: Decimal(0), False: Decimal(0)}
        while part := self._rows(_FILLS, (str(instrument), sequence, _PART)):
            for _, side, size_lots, size, is_ours in part:
                lots = Side(side).sign * size_lots
                if Decimal(size) != lot_size:
                    exact = lots * Decimal(size) / lot_size + cut[bool(is_ours)]
                    lots = int(exact)
                    cut[bool(is_ours)] = exact - lots
                yield lots, bool(is_ours)
            sequence = part[-1][0]

    def booked_lots(self, client_order_id: str) -> int:
        """Return the lots of an order whose fills are journalled."""
        return int(self._rows(_BOOKED, (client_order_id,))[0][0])

    def pending(self, instrument: InstrumentId) -> list[Pending]:
        """Return the orders that are unfinished or filled more than is journalled."""
        return [
            Pending(name, Side(side), filled, booked, OrderState(state).is_terminal)
            for name, side, filled, booked, state in self._rows(
                _PENDING, (str(instrument),)
            )
        ]

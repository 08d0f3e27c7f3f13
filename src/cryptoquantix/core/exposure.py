"""
What stands at risk at a venue, in the venue's own words; it reaches none.

The words between the risk daemon and its venue client. Symbols are the venue's own
spelling: the daemon believes only venues, so it also speaks of instruments as they do.
Sizes and prices are ``Decimal``; a position's size is signed, an order's is positive
with a side.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from cryptoquantix.core.order import Side

NO_LEG = "BOTH"


class OrderClass(StrEnum):
    """Venues keep these apart: cancel-all of one leaves the other standing."""

    NORMAL = "normal"
    ALGO = "algo"


@dataclass(frozen=True, slots=True)
class HeldPosition:
    """A position as the venue reports it; ``leg`` is ``BOTH`` in one-way mode."""

    symbol: str
    size: Decimal
    mark_price: Decimal
    entry_price: Decimal
    leg: str = NO_LEG


@dataclass(frozen=True, slots=True)
class Reading:
    """
    One reading of one venue's account, equity and balance in USD.

    ``equity`` is balance plus unrealized PnL at mark. ``hints_orders`` says that the
    account itself shows resting orders; its absence proves nothing.
    """

    venue: str
    equity: Decimal
    balance: Decimal
    positions: tuple[HeldPosition, ...]
    time_ns: int
    hints_orders: bool = False


@dataclass(frozen=True, slots=True)
class OpenOrder:
    """An order resting at the venue; ``may_increase`` unless it can only close."""

    symbol: str
    order_id: str
    client_order_id: str
    order_class: OrderClass
    side: Side
    size: Decimal
    may_increase: bool


@dataclass(frozen=True, slots=True)
class Contract:
    """
    The steps and bounds of one symbol that closing needs.

    ``price_floor`` and ``price_ceiling`` are the price band as multiples of the mark.
    """

    symbol: str
    tick_size: Decimal
    lot_size: Decimal
    size_min: Decimal
    size_market_max: Decimal
    size_max: Decimal
    is_perpetual: bool = True
    price_floor: Decimal = Decimal("0.95")
    price_ceiling: Decimal = Decimal("1.05")


@dataclass(frozen=True, slots=True)
class CloseOrder:
    """A reduce-only order: at market, or IOC at ``price`` where one is given."""

    symbol: str
    leg: str
    side: Side
    size: Decimal
    client_order_id: str
    price: Decimal | None = None


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One line of the venue's own ledger; ``cash`` is positive when received."""

    entry_id: str
    is_transfer: bool
    cash: Decimal
    time_ns: int

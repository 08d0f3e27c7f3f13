"""What a venue says an account holds; it judges nothing."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from cryptoquantix.core.instrument import InstrumentId


@dataclass(frozen=True, slots=True)
class Position:
    """Signed lots held in one instrument, as the venue reports them."""

    instrument: InstrumentId
    size_lots: int
    entry_price: Decimal
    mark_price: Decimal
    pnl_unrealized: Decimal


@dataclass(frozen=True, slots=True)
class AccountSnapshot:
    """
    One reading of one venue's account.

    ``equity_quote`` is balance plus unrealized PnL at mark, in ``currency``.
    """

    equity_quote: Decimal
    balance_quote: Decimal
    currency: str
    positions: tuple[Position, ...]
    receipt_time_ns: int

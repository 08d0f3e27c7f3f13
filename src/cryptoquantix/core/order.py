"""
The words for orders, and the client order id as a pure function; it sends nothing.

Orders are of two types from planning on: an :class:`Increase` may open or grow a
position and is only ever sent together with a live permit; a :class:`Reduction`
is reduce-only and needs none, ever.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from cryptoquantix.core.instrument import InstrumentId


class Side(StrEnum):
    """Buy or sell."""

    BUY = "buy"
    SELL = "sell"

    @property
    def sign(self) -> int:
        """+1 for buy, -1 for sell."""
        return 1 if self is Side.BUY else -1

    @property
    def opposite(self) -> Side:
        """The other side."""
        return Side.SELL if self is Side.BUY else Side.BUY

    @classmethod
    def of(cls, signed: int) -> Side:
        """Return the side of a signed, non-zero number of lots."""
        assert signed != 0, "zero has no side"
        return cls.BUY if signed > 0 else cls.SELL


class OrderType(StrEnum):
    """How an order is priced."""

    MARKET = "market"
    LIMIT = "limit"


class TimeInForce(StrEnum):
    """How long an order may rest."""

    GTC = "gtc"
    IOC = "ioc"
    FOK = "fok"
    POST_ONLY = "post_only"


class OrderState(StrEnum):
    """Where an order of ours stands; transitions are in orders/lifecycle.py."""

    JOURNALED = "journaled"  # written, not sent yet
    IN_FLIGHT = "in_flight"  # sent, not acknowledged
    OUTCOME_UNKNOWN = "outcome_unknown"  # sent, answer lost
    WORKING = "working"  # acknowledged and resting
    FILLED = "filled"
    CANCELED = "canceled"
    REFUSED = "refused"  # the venue said no
    NOT_FOUND = "not_found"  # proven never to have arrived

    @property
    def is_terminal(self) -> bool:
        """True where nothing further can happen to the order."""
        return self in _TERMINAL


_TERMINAL = frozenset(
    {
        OrderState.FILLED,
        OrderState.CANCELED,
        OrderState.REFUSED,
        OrderState.NOT_FOUND,
    }
)


@dataclass(frozen=True, slots=True)
class Increase:
    """An order that may open or grow a position. Sizes in lots, positive."""

    client_order_id: str
    instrument: InstrumentId
    side: Side
    size_lots: int
    type: OrderType = OrderType.MARKET
    price_ticks: int | None = None
    time_in_force: TimeInForce = TimeInForce.GTC

    def __post_init__(self) -> None:
        _check(self)


@dataclass(frozen=True, slots=True)
class Reduction:
    """A reduce-only order: may shrink a position, never open or flip it."""

    client_order_id: str
    instrument: InstrumentId
    side: Side
    size_lots: int
    type: OrderType = OrderType.MARKET
    price_ticks: int | None = None
    time_in_force: TimeInForce = TimeInForce.GTC

    def __post_init__(self) -> None:
        _check(self)


def _check(order: Increase | Reduction) -> None:
    if order.size_lots <= 0:
        msg = f"order size must be positive, was {order.size_lots} lots"
        raise ValueError(msg)
    if (order.type is OrderType.LIMIT) != (order.price_ticks is not None):
        msg = f"a limit order has a price and a market order none: {order}"
        raise ValueError(msg)


@dataclass(frozen=True, slots=True)
class Fill:
    """One execution of part of an order. ``fee`` is negative for a rebate."""

    trade_id: str
    client_order_id: str
    instrument: InstrumentId
    side: Side
    size_lots: int
    price: Decimal
    fee: Decimal
    fee_currency: str
    venue_time_ns: int


CLIENT_ORDER_ID_PREFIX = "cqx"


def client_order_id(
    *, account: str, strategy: str, instrument: InstrumentId, bar_ns: int, attempt: int
) -> str:
    """
    Return the idempotency key of one attempt to follow one bar's target.

    The same arguments give the same key in every process and after every restart,
    so that an order can be looked up before it is ever sent again. 31 characters
    of ``[a-z0-9-]``: within every venue's limit (Binance and Bybit take 36).

    Examples
    --------
    >>> client_order_id(account="main", strategy="trend_breakout",
    ...     instrument=InstrumentId.parse("binance:BTCUSDT-PERP"),
    ...     bar_ns=1_700_000_000_000_000_000, attempt=0)[:4]
    'cqx-'
    """
    key = "\x1f".join((account, strategy, str(instrument), str(bar_ns), str(attempt)))
    digest = hashlib.sha256(key.encode()).digest()[:17]
    text = base64.b32encode(digest).decode().rstrip("=").lower()[:27]
    return f"{CLIENT_ORDER_ID_PREFIX}-{text}"

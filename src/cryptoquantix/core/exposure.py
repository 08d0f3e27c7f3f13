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


class Act(StrEnum):
    """What an emergency sends: each may have a budget of its own at a venue."""

    CANCEL = "cancel"
    CANCEL_ALL = "cancel_all"
    CLOSE = "close"


@dataclass(frozen=True, slots=True)
class Pace:
    """
    A venue's documented budget for acts: ``burst`` at once, then ``per_second``.

    Acts with the same ``bucket`` share one budget. With ``window_seconds`` the venue
    counts in a rolling window: never more than ``burst`` in any of that length, however
    they are spread (then the next goes out when the oldest of ``burst`` has left it).
    """

    bucket: str
    per_second: float
    burst: int
    window_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class HeldPosition:
    """
    A position as the venue reports it; ``leg`` is ``BOTH`` in one-way mode.

    ``coin`` is what its profit is settled in, ``""`` where the venue has one dollar
    coin alone. An ``is_inverse`` position has its size in USD and earns
    ``size * (1 / entry - 1 / mark)`` of that coin; any other has its size in the base
    coin and earns ``size * (mark - entry)``.
    """

    symbol: str
    size: Decimal
    mark_price: Decimal
    entry_price: Decimal
    leg: str = NO_LEG
    coin: str = ""
    is_inverse: bool = False


@dataclass(frozen=True, slots=True)
class CoinBalance:
    """
    One coin of an account, in that coin.

    ``equity`` is ``balance`` plus the unrealized PnL of the positions settled in it;
    ``rate`` is USD a coin as this venue itself says, ``None`` where it says nothing.
    """

    coin: str
    equity: Decimal
    balance: Decimal
    rate: Decimal | None = None


@dataclass(frozen=True, slots=True)
class OtherHolding:
    """
    What counts in equity, is listed, and is never closed by the daemon.

    ``kind`` is ``spot``, ``option`` or ``dated_future``; ``size`` is signed, in the
    venue's own unit. ``value`` is what it adds to the equity of ``coin`` beyond its
    balance, at the venue's mark (0 for spot, which *is* balance); ``None`` where the
    venue does not say, and then its moves are unexplained.
    """

    symbol: str
    kind: str
    size: Decimal
    coin: str = ""
    value: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """
    One reading of one venue's account, equity and balance in USD.

    ``equity`` is balance plus unrealized PnL at mark, each coin at the venue's own
    rate (a dollar coin without one at 1); ``coins`` are its parts, so that the daemon
    can value them at a checked rate instead. ``rates`` are USD a coin that this venue
    publishes, held or not: the votes of that check. ``hints_orders`` says that the
    account itself shows resting orders; its absence proves nothing. ``venue_time_ns``
    is the venue's own time of the answer, ``None`` where it gives none that moves with
    every answer.
    """

    venue: str
    equity: Decimal
    balance: Decimal
    positions: tuple[HeldPosition, ...]
    time_ns: int
    hints_orders: bool = False
    coins: tuple[CoinBalance, ...] = ()
    rates: tuple[tuple[str, Decimal], ...] = ()
    others: tuple[OtherHolding, ...] = ()
    venue_time_ns: int | None = None


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
    is_inverse: bool = False
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
    """
    One line of the venue's own ledger; ``cash`` is positive when received.

    ``cash`` is in ``coin``; an empty ``coin`` is the venue's one dollar coin.
    """

    entry_id: str
    is_transfer: bool
    cash: Decimal
    time_ns: int
    coin: str = ""


@dataclass(frozen=True, slots=True)
class DeadManSwitch:
    """
    A venue's own switch that cancels orders when their sender falls silent.

    ``is_armed`` is ``None`` where the venue gives no way to ask; ``scope`` says in
    words which orders it covers, and ``text`` what is missing.
    """

    is_armed: bool | None
    scope: str
    text: str = ""

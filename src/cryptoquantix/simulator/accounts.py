"""
A cross-margin account in whole units of money; it knows no order and no clock.

A position is held at its *cost*: the value of what is still open when it was
opened. Closing a part releases its share of the cost, rounded once, and realized
PnL is the difference of proceeds and released cost. So at any time, to the last
unit and for each coin::

    wallet + unrealized = deposits + cash of all fills - fees + funding
                          + value of the open positions at mark

(with the signs of cash and value turned round for inverse instruments, where the
value in coins falls as the price rises). Maintenance margin follows brackets of
value, as the venue publishes them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from cryptoquantix.simulator.listing import (
    UNITS_PER_COIN,
    Bracket,
    Listing,
    divide_half_even,
)

LEVERAGE_MAX = 125


class Leg(StrEnum):
    """Which position of an instrument: the one, or in hedge mode one of two."""

    BOTH = "both"
    LONG = "long"
    SHORT = "short"

    @property
    def sign(self) -> int:
        """+1 long, -1 short, 0 in one-way mode."""
        return {"both": 0, "long": 1, "short": -1}[self.value]


def bracket_of(notional_units: int, brackets: tuple[Bracket, ...]) -> Bracket:
    """Return the bracket that holds a notional."""
    for bracket in brackets:
        if notional_units <= bracket.cap * UNITS_PER_COIN:
            return bracket
    return brackets[-1]


def maintenance_units(notional_units: int, brackets: tuple[Bracket, ...]) -> int:
    """Return the maintenance margin of one position's notional, in units."""
    bracket = bracket_of(notional_units, brackets)
    margin = divide_half_even(notional_units * bracket.rate_bps, 10_000)
    return max(0, margin - bracket.cumulative * UNITS_PER_COIN)


@dataclass(slots=True)
class Holding:
    """
    One open position: of an instrument, or in hedge mode of one leg of it.

    ``size_lots`` is signed, and ``cost_units`` has its sign: the value of the part
    still open when it was opened. ``realized_units`` is PnL realized since it was
    opened. ``funding_index`` is the market's when funding was last booked.
    """

    listing: Listing
    leg: Leg = Leg.BOTH
    size_lots: int = 0
    cost_units: int = 0
    realized_units: int = 0
    funding_index: int = 0
    update_time_ns: int = 0

    @property
    def sign(self) -> int:
        """+1 long, -1 short, 0 flat."""
        return (self.size_lots > 0) - (self.size_lots < 0)

    def notional_units(self, mark_ticks: int) -> int:
        """Return the absolute value at mark, in units."""
        return self.listing.value_units(mark_ticks, abs(self.size_lots))

    def unrealized_units(self, mark_ticks: int) -> int:
        """Return the open PnL at mark, in units."""
        value = self.sign * self.notional_units(mark_ticks)
        return self.listing.pnl_sign * (value - self.cost_units)

    def apply(self, signed_lots: int, price_ticks: int) -> int:
        """Take a fill into the position and return the PnL it realizes, in units."""
        direction = 1 if signed_lots > 0 else -1
        value = self.listing.value_units(price_ticks, abs(signed_lots))
        if direction * self.size_lots >= 0:
            self.size_lots += signed_lots
            self.cost_units += direction * value
            return 0
        closed = min(abs(signed_lots), abs(self.size_lots))
        closed_value = self.listing.value_units(price_ticks, closed)
        released = divide_half_even(self.cost_units * closed, abs(self.size_lots))
        realized = self.listing.pnl_sign * (-direction * closed_value - released)
        self.cost_units += direction * (value - closed_value) - released
        self.size_lots += signed_lots
        self.realized_units += realized
        return realized


class Booking(NamedTuple):
    """One change of a wallet; ``kind`` is the venue's word for it."""

    id: int
    kind: str
    symbol: str
    units: int
    time_ns: int
    trade_id: int = 0
    coin: str = ""


class ChainMove(NamedTuple):
    """Money that came from (positive) or went to another venue."""

    id: int
    account_id: int
    coin: str
    units: int
    time_ns: int

    @property
    def hash(self) -> str:
        """What a chain would call it."""
        return f"{self.id:064x}"


@dataclass(slots=True)
class Account:
    """
    One account: a wallet for each coin, and positions that share it as margin.

    ``coin`` is the one that commands and figures without a coin mean. ``holdings``
    are by symbol and leg. ``income`` keeps the latest bookings only
    (``income_max``); a wallet is their exact sum over all time.
    """

    id: int
    coin: str
    wallets: dict[str, int] = field(default_factory=dict)
    holdings: dict[tuple[str, Leg], Holding] = field(default_factory=dict)
    leverage: dict[str, int] = field(default_factory=dict)
    hedged: set[str] = field(default_factory=set)
    is_hedged_by_default: bool = False
    income: list[Booking] = field(default_factory=list)
    income_max: int = 50_000
    bookings: int = 0
    update_time_ns: int = 0

    @property
    def wallet_units(self) -> int:
        """The wallet of the account's first coin."""
        return self.wallets.get(self.coin, 0)

    def wallet_of(self, coin: str) -> int:
        """Return the wallet of one coin, in units."""
        return self.wallets.get(coin, 0)

    def book(
        self,
        kind: str,
        units: int,
        time_ns: int,
        *,
        coin: str = "",
        symbol: str = "",
        trade_id: int = 0,
    ) -> None:
        """Add ``units`` to a wallet under the name ``kind``."""
        coin = coin or self.coin
        self.wallets[coin] = self.wallets.get(coin, 0) + units
        self.bookings += 1
        self.update_time_ns = time_ns
        self.income.append(
            Booking(self.bookings, kind, symbol, units, time_ns, trade_id, coin)
        )
        if len(self.income) > self.income_max:
            del self.income[: self.income_max // 10]

    def is_hedged(self, symbol: str) -> bool:
        """Return whether ``symbol`` is in hedge mode."""
        return self.is_hedged_by_default or symbol in self.hedged

    def legs(self, symbol: str) -> tuple[Leg, ...]:
        """Return the legs that ``symbol`` has in its position mode."""
        return (Leg.LONG, Leg.SHORT) if self.is_hedged(symbol) else (Leg.BOTH,)

    def holding(self, listing: Listing, leg: Leg = Leg.BOTH) -> Holding:
        """Return the position in ``listing``, a flat one if there was none."""
        key = listing.symbol, leg
        held = self.holdings.get(key)
        if held is None:
            self.holdings[key] = held = Holding(listing, leg)
        return held

    def held(self, symbol: str, leg: Leg = Leg.BOTH) -> Holding | None:
        """Return the position of ``symbol``, None where there never was one."""
        return self.holdings.get((symbol, leg))

    def size_lots(self, symbol: str, leg: Leg | None = None) -> int:
        """Return the signed lots held of ``symbol``: of a leg, or of all together."""
        legs = tuple(Leg) if leg is None else (leg,)
        found = (self.holdings.get((symbol, x)) for x in legs)
        return sum(held.size_lots for held in found if held)

    def is_held(self, symbol: str) -> bool:
        """Return whether any leg of ``symbol`` is open."""
        return any(self.size_lots(symbol, leg) for leg in Leg)

    def leverage_of(self, listing: Listing) -> int:
        """Return the leverage set for an instrument."""
        return self.leverage.get(listing.symbol, listing.leverage_default)

    def fill(
        self,
        listing: Listing,
        signed_lots: int,
        price_ticks: int,
        *,
        time_ns: int,
        leg: Leg = Leg.BOTH,
    ) -> int:
        """Take a fill into its position and return the realized PnL, not booked."""
        held = self.holding(listing, leg)
        if not held.size_lots:
            held.realized_units = 0
        held.update_time_ns = time_ns
        return held.apply(signed_lots, price_ticks)


class OpenOrders(NamedTuple):
    """Value of one position's opening orders, per side, in units."""

    buy_units: int = 0
    sell_units: int = 0


class SymbolMargin(NamedTuple):
    """Margin of one symbol, in units."""

    position: int
    open_orders: int
    maintenance: int

    def __add__(self, other: object) -> SymbolMargin:
        """Return the margin of both together."""
        assert isinstance(other, SymbolMargin), f"{other!r} is no margin"
        return SymbolMargin(*(a + b for a, b in zip(self, other, strict=True)))


NO_ORDERS = OpenOrders()


def leg_margin(
    signed_notional_units: int, orders: OpenOrders, leverage: int, listing: Listing
) -> SymbolMargin:
    """
    Return the margin of a position together with the orders that could grow it.

    Initial margin covers the worse of "all buys fill" and "all sells fill", over
    leverage: the venue's rule for one-way mode. A leg of hedge mode has orders of
    its own side only, so that the same rule adds them to it.
    """
    position = abs(signed_notional_units)
    worst = max(
        position,
        abs(signed_notional_units + orders.buy_units),
        abs(signed_notional_units - orders.sell_units),
    )
    initial = divide_half_even(position, leverage)
    return SymbolMargin(
        position=initial,
        open_orders=divide_half_even(worst, leverage) - initial,
        maintenance=maintenance_units(position, listing.brackets),
    )

"""
A cross-margin account in whole units of money; it knows no order and no clock.

A position is held at its *cost*: the money paid for what is still open. Closing a
part releases its share of the cost, rounded once, and realized PnL is proceeds
minus released cost. So at any time, to the last unit::

    wallet + unrealized = deposits + cash of all fills - fees + funding
                          + value of the open position at mark

Maintenance margin follows brackets of notional, as the venue publishes them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from cryptoquantix.simulator.listing import (
    UNITS_PER_COIN,
    Listing,
    divide_half_even,
)

LEVERAGE_DEFAULT = 20
LEVERAGE_MAX = 125


class Bracket(NamedTuple):
    """
    One bracket of notional, ``(floor, cap]`` in coins of the quote.

    Maintenance margin is notional × ``rate_bps`` / 10 000 - ``cumulative``; the
    cumulative amounts make it continuous where brackets meet.
    """

    floor: int
    cap: int
    leverage_max: int
    rate_bps: int
    cumulative: int


# The shape of the venue's BTCUSDT table, shortened; one table serves every symbol.
BRACKETS = (
    Bracket(0, 300_000, 125, 40, 0),
    Bracket(300_000, 800_000, 100, 50, 300),
    Bracket(800_000, 3_000_000, 75, 65, 1_500),
    Bracket(3_000_000, 12_000_000, 50, 100, 12_000),
    Bracket(12_000_000, 70_000_000, 25, 200, 132_000),
    Bracket(70_000_000, 10_000_000_000, 10, 500, 2_232_000),
)


def bracket_of(notional_units: int) -> Bracket:
    """Return the bracket that holds a notional."""
    for bracket in BRACKETS:
        if notional_units <= bracket.cap * UNITS_PER_COIN:
            return bracket
    return BRACKETS[-1]


def maintenance_units(notional_units: int) -> int:
    """Return the maintenance margin of one position's notional, in units."""
    bracket = bracket_of(notional_units)
    margin = divide_half_even(notional_units * bracket.rate_bps, 10_000)
    return max(0, margin - bracket.cumulative * UNITS_PER_COIN)


@dataclass(slots=True)
class Holding:
    """
    One instrument's open position.

    ``size_lots`` is signed, and ``cost_units`` has its sign: what was paid for the
    part still open. ``realized_units`` is PnL realized since it was opened.
    """

    listing: Listing
    size_lots: int = 0
    cost_units: int = 0
    realized_units: int = 0
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
        return self.sign * self.notional_units(mark_ticks) - self.cost_units

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
        realized = -direction * closed_value - released
        self.cost_units += direction * (value - closed_value) - released
        self.size_lots += signed_lots
        self.realized_units += realized
        return realized


class Booking(NamedTuple):
    """One change of the wallet; ``kind`` is the venue's word for it."""

    id: int
    kind: str
    symbol: str
    units: int
    time_ns: int
    trade_id: int = 0


@dataclass(slots=True)
class Account:
    """
    One account: a wallet in one coin and positions that share it as margin.

    ``income`` keeps the latest bookings only (``income_max``); the wallet is their
    exact sum over all time.
    """

    id: int
    coin: str
    wallet_units: int = 0
    holdings: dict[str, Holding] = field(default_factory=dict)
    leverage: dict[str, int] = field(default_factory=dict)
    income: list[Booking] = field(default_factory=list)
    income_max: int = 50_000
    bookings: int = 0
    update_time_ns: int = 0

    def book(
        self,
        kind: str,
        units: int,
        time_ns: int,
        *,
        symbol: str = "",
        trade_id: int = 0,
    ) -> None:
        """Add ``units`` to the wallet under the name ``kind``."""
        self.wallet_units += units
        self.bookings += 1
        self.update_time_ns = time_ns
        self.income.append(
            Booking(self.bookings, kind, symbol, units, time_ns, trade_id)
        )
        if len(self.income) > self.income_max:
            del self.income[: self.income_max // 10]

    def holding(self, listing: Listing) -> Holding:
        """Return the position in ``listing``, flat if there was none."""
        held = self.holdings.get(listing.symbol)
        if held is None:
            self.holdings[listing.symbol] = held = Holding(listing)
        return held

    def size_lots(self, symbol: str) -> int:
        """Return the signed lots held of ``symbol``."""
        held = self.holdings.get(symbol)
        return held.size_lots if held else 0

    def leverage_of(self, symbol: str) -> int:
        """Return the leverage set for ``symbol``."""
        return self.leverage.get(symbol, LEVERAGE_DEFAULT)

    def fill(
        self, listing: Listing, signed_lots: int, price_ticks: int, *, time_ns: int
    ) -> int:
        """Take a fill into its position and return the realized PnL, not booked."""
        held = self.holding(listing)
        if not held.size_lots:
            held.realized_units = 0
        held.update_time_ns = time_ns
        return held.apply(signed_lots, price_ticks)


class OpenOrders(NamedTuple):
    """Value of one symbol's opening orders, per side, in units."""

    buy_units: int = 0
    sell_units: int = 0


class SymbolMargin(NamedTuple):
    """Margin of one symbol, in units."""

    position: int
    open_orders: int
    maintenance: int


NO_ORDERS = OpenOrders()


def symbol_margin(
    signed_notional_units: int, orders: OpenOrders, leverage: int
) -> SymbolMargin:
    """
    Return the margin of a position together with the orders that could grow it.

    Initial margin covers the worse of "all buys fill" and "all sells fill", over
    leverage: the venue's rule for one-way mode.
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
        maintenance=maintenance_units(position),
    )

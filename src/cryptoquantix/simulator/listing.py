"""
What one simulated instrument is, and its exact money; it keeps no state.

Money is an integer number of *units*, 1e-8 of the settlement coin. A price is an
integer of ticks, a size an integer of lots. Every booking is rounded to a unit
once, half to even, so that sums of bookings are exact.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

from cryptoquantix.core.quantity import step_ratio

UNITS_PER_COIN = 100_000_000
UNIT_DECIMALS = 8


def divide_half_even(numerator: int, denominator: int) -> int:
    """
    Return ``numerator`` / ``denominator`` (positive), rounded half to even.

    Examples
    --------
    >>> [divide_half_even(n, 2) for n in (1, 3, -1, 4)]
    [0, 2, 0, 2]
    """
    quotient, rest = divmod(numerator, denominator)
    twice = 2 * rest
    if twice > denominator or (twice == denominator and quotient & 1):
        quotient += 1
    return quotient


def decimals_of(step: Decimal) -> int:
    """Return how many digits after the point ``step`` has, at least zero."""
    exponent = step.normalize().as_tuple().exponent
    assert isinstance(exponent, int), f"a step is a number, was {step}"
    return max(0, -exponent)


def fixed_text(value: int, decimals: int) -> str:
    """
    Return the integer ``value`` × 10^-``decimals`` as plain decimal text.

    Examples
    --------
    >>> fixed_text(-1234, 2), fixed_text(5, 3), fixed_text(7, 0)
    ('-12.34', '0.005', '7')
    """
    if not decimals:
        return str(value)
    digits = str(abs(value)).rjust(decimals + 1, "0")
    sign = "-" if value < 0 else ""
    return f"{sign}{digits[:-decimals]}.{digits[-decimals:]}"


def money_text(units: int) -> str:
    """Return units as text with eight decimals."""
    return fixed_text(units, UNIT_DECIMALS)


def to_units(value: Decimal) -> int:
    """Return the units in ``value`` of the coin, rounded once half to even."""
    numerator, denominator = value.as_integer_ratio()
    return divide_half_even(numerator * UNITS_PER_COIN, denominator)


class Bracket(NamedTuple):
    """
    One bracket of a position's value, ``(floor, cap]`` in settlement coins.

    Maintenance margin is value × ``rate_bps`` / 10 000 - ``cumulative``; the
    cumulative amounts make it continuous where brackets meet.
    """

    floor: int
    cap: int
    leverage_max: int
    rate_bps: int
    cumulative: int


# The shape of Binance's BTCUSDT table, shortened; one table serves every symbol.
BRACKETS = (
    Bracket(0, 300_000, 125, 40, 0),
    Bracket(300_000, 800_000, 100, 50, 300),
    Bracket(800_000, 3_000_000, 75, 65, 1_500),
    Bracket(3_000_000, 12_000_000, 50, 100, 12_000),
    Bracket(12_000_000, 70_000_000, 25, 200, 132_000),
    Bracket(70_000_000, 10_000_000_000, 10, 500, 2_232_000),
)
LEVERAGE_DEFAULT = 20
# Deribit's 2 % initial and 1 % maintenance, without their growth with size.
INVERSE_BRACKETS = (Bracket(0, 10_000_000_000, 50, 100, 0),)
INVERSE_LEVERAGE_DEFAULT = 50


@dataclass(frozen=True, slots=True)
class Listing:
    """
    One perpetual: its steps, limits, bands, margin and fee rates.

    A linear one has sizes in the base coin and settles in the quote coin; an
    inverse one has sizes in the quote coin (``lot_size`` is a number of dollars)
    and settles in the base coin. *Value* is always in the ``settlement`` coin.

    ``notional_min`` is in the quote coin, ``size_max_lots`` bounds one limit
    order, ``market_size_max_lots`` one market order. A limit order may be
    ``limit_band`` through the mark, a market order trades within ``market_band``
    of it. Fee rates are fractions of the traded value.
    """

    symbol: str
    base: str
    quote: str
    tick_size: Decimal
    lot_size: Decimal
    notional_min: Decimal = Decimal(5)
    size_max_lots: int = 10**12
    market_size_max_lots: int = 10**12
    fee_rate_maker: Decimal = Decimal("0.0002")
    fee_rate_taker: Decimal = Decimal("0.0005")
    is_inverse: bool = False
    settlement: str = ""
    size_min_lots: int = 1
    limit_band: Fraction = Fraction(1, 10)
    market_band: Fraction = Fraction(1, 20)
    brackets: tuple[Bracket, ...] = ()
    leverage_default: int = 0
    price_decimals: int = field(init=False)
    size_decimals: int = field(init=False)
    _tick_factor: int = field(init=False)
    _lot_factor: int = field(init=False)
    _units_numerator: int = field(init=False)
    _units_denominator: int = field(init=False)
    notional_min_units: int = field(init=False)

    def __post_init__(self) -> None:
        for name in ("tick_size", "lot_size"):
            value: Decimal = getattr(self, name)
            if not value > 0:
                msg = f"{self.symbol}: {name} must be positive, was {value}"
                raise ValueError(msg)
        put = object.__setattr__
        put(self, "price_decimals", decimals_of(self.tick_size))
        put(self, "size_decimals", decimals_of(self.lot_size))
        put(self, "_tick_factor", int(self.tick_size * 10**self.price_decimals))
        put(self, "_lot_factor", int(self.lot_size * 10**self.size_decimals))
        if not self.settlement:
            put(self, "settlement", self.base if self.is_inverse else self.quote)
        if not self.brackets:
            put(self, "brackets", INVERSE_BRACKETS if self.is_inverse else BRACKETS)
        if not self.leverage_default:
            usual = INVERSE_LEVERAGE_DEFAULT if self.is_inverse else LEVERAGE_DEFAULT
            put(self, "leverage_default", usual)
        tick = Fraction(*step_ratio(self.tick_size))
        scale = Fraction(*step_ratio(self.lot_size)) * UNITS_PER_COIN
        scale = scale / tick if self.is_inverse else scale * tick
        put(self, "_units_numerator", scale.numerator)
        put(self, "_units_denominator", scale.denominator)
        put(self, "notional_min_units", to_units(self.notional_min))

    @property
    def pnl_sign(self) -> int:
        """+1 where a long gains as the value rises, -1 for inverse ones."""
        return -1 if self.is_inverse else 1

    def value_units(self, price_ticks: int, size_lots: int) -> int:
        """Return the value of ``size_lots`` at ``price_ticks``, in units."""
        if self.is_inverse:
            return divide_half_even(
                size_lots * self._units_numerator,
                price_ticks * self._units_denominator,
            )
        exact = price_ticks * size_lots * self._units_numerator
        if self._units_denominator == 1:
            return exact
        return divide_half_even(exact, self._units_denominator)

    def exact_value(self, price_ticks: int, size_lots: int) -> Fraction:
        """Return the value in units, not rounded."""
        if self.is_inverse:
            return Fraction(
                size_lots * self._units_numerator,
                price_ticks * self._units_denominator,
            )
        return Fraction(
            price_ticks * size_lots * self._units_numerator, self._units_denominator
        )

    def quote_units(self, price_ticks: int, size_lots: int) -> int:
        """Return what ``size_lots`` are worth in the quote coin, 1e-8 of it."""
        if not self.is_inverse:
            return self.value_units(price_ticks, size_lots)
        return to_units(self.lot_size) * size_lots

    def fee_units(self, value_units: int, rate: Decimal) -> int:
        """Return the fee on a value, in units."""
        numerator, denominator = step_ratio(rate)
        return divide_half_even(value_units * numerator, denominator)

    def price_text(self, price_ticks: int) -> str:
        """Return a price as the venue writes it."""
        return fixed_text(price_ticks * self._tick_factor, self.price_decimals)

    def size_text(self, size_lots: int) -> str:
        """Return a size as the venue writes it."""
        return fixed_text(size_lots * self._lot_factor, self.size_decimals)

    def quote_text(self, tick_lots: int) -> str:
        """Return an exact sum of price ticks × lots as text in the quote coin."""
        return fixed_text(
            tick_lots * self._tick_factor * self._lot_factor,
            self.price_decimals + self.size_decimals,
        )

    def average_text(self, value_units: int, size_lots: int) -> str:
        """
        Return the average price of ``size_lots`` that cost ``value_units``.

        Six digits past the tick. It is for show: no booking is made from it.
        """
        decimals = max(UNIT_DECIMALS, self.price_decimals + 6)
        lots = size_lots * self._lot_factor
        if not lots or not value_units:
            return fixed_text(0, decimals)
        power = decimals + self.size_decimals - UNIT_DECIMALS
        if self.is_inverse:
            scale = 10 ** (decimals + UNIT_DECIMALS - self.size_decimals)
            return fixed_text(divide_half_even(lots * scale, value_units), decimals)
        return fixed_text(divide_half_even(value_units * 10**power, lots), decimals)

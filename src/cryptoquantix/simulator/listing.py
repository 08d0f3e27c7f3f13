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


@dataclass(frozen=True, slots=True)
class Listing:
    """
    One linear perpetual: its steps, limits and fee rates.

    ``notional_min`` is in the quote coin, ``size_max_lots`` bounds one limit
    order, ``market_size_max_lots`` one market order. Fee rates are fractions of
    the traded value.
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
        scale = Fraction(*step_ratio(self.tick_size)) * UNITS_PER_COIN
        scale *= Fraction(*step_ratio(self.lot_size))
        put(self, "_units_numerator", scale.numerator)
        put(self, "_units_denominator", scale.denominator)
        put(self, "notional_min_units", to_units(self.notional_min))

    def value_units(self, price_ticks: int, size_lots: int) -> int:
        """Return the value of ``size_lots`` at ``price_ticks``, in units."""
        exact = price_ticks * size_lots * self._units_numerator
        if self._units_denominator == 1:
            return exact
        return divide_half_even(exact, self._units_denominator)

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
        Return ``value_units`` per base coin as a price, six digits past the tick.

        An average price is for show: no booking is made from it.
        """
        decimals = max(UNIT_DECIMALS, self.price_decimals + 6)
        lots = size_lots * self._lot_factor
        if not lots:
            return fixed_text(0, decimals)
        power = decimals + self.size_decimals - UNIT_DECIMALS
        return fixed_text(divide_half_even(value_units * 10**power, lots), decimals)

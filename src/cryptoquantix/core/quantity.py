"""Decimal to integer ticks and lots and back; the only module that rounds."""

from __future__ import annotations

from decimal import ROUND_DOWN, ROUND_HALF_EVEN, ROUND_UP, Decimal, localcontext
from functools import lru_cache

from cryptoquantix.core.order import Side


def to_steps(value: Decimal, step: Decimal) -> int:
    """
    Return how many ``step`` make ``value``, exactly.

    Raises
    ------
    ValueError
        If ``value`` is no whole number of steps.

    Examples
    --------
    >>> to_steps(Decimal("0.30"), Decimal("0.1"))
    3
    """
    with localcontext(prec=60):
        steps = value / step
        whole = steps.to_integral_value()
    if whole != steps:
        msg = f"{value} is no whole number of steps of {step}"
        raise ValueError(msg)
    return int(whole)


def to_steps_nearest(value: Decimal, step: Decimal) -> int:
    """Return the number of steps nearest to ``value``, halves to even."""
    with localcontext(prec=60):
        return int((value / step).to_integral_value(rounding=ROUND_HALF_EVEN))


def to_lots_down(size: Decimal, lot_size: Decimal) -> int:
    """Return the whole lots within ``size``, toward zero: never more than asked."""
    with localcontext(prec=60):
        return int((size / lot_size).to_integral_value(rounding=ROUND_DOWN))


def to_other_lots(lots: int, lot_size: Decimal, other: Decimal) -> int:
    """
    Return ``lots`` of ``lot_size`` as whole lots of ``other`` size, toward zero.

    Examples
    --------
    >>> to_other_lots(5, Decimal("0.1"), Decimal("0.01"))
    50
    """
    if lot_size == other:
        return lots
    return to_lots_down(from_steps(lots, lot_size), other)


def to_price_ticks_passive(price: Decimal, tick_size: Decimal, side: Side) -> int:
    """Return the price tick at or behind ``price``: down to buy, up to sell."""
    rounding = ROUND_DOWN if side is Side.BUY else ROUND_UP
    with localcontext(prec=60):
        return int((price / tick_size).to_integral_value(rounding=rounding))


def from_steps(steps: int, step: Decimal) -> Decimal:
    """Return ``steps`` × ``step``, exactly, without an exponent.

    Examples
    --------
    >>> from_steps(1015, Decimal("0.00000001"))
    Decimal('0.00001015')
    """
    with localcontext(prec=60):
        return steps * step


@lru_cache(maxsize=4096)
def step_ratio(step: Decimal) -> tuple[int, int]:
    """Return ``step`` as an exact fraction of two integers."""
    return step.as_integer_ratio()


def float_from_steps(steps: int, step: Decimal) -> float:
    """
    Return the double nearest to ``steps`` × ``step``.

    The product is formed in integers and divided once, and Python's division of
    integers is correctly rounded: the result is the very double that parsing the
    decimal text gives, so that live bars and archived bars agree to the bit.

    Examples
    --------
    >>> float_from_steps(3, Decimal("0.1"))
    0.3
    >>> 3 * 0.1
    0.30000000000000004
    """
    numerator, denominator = step_ratio(step)
    return steps * numerator / denominator

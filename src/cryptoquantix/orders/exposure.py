"""
The most that may be at stake once everything under way has ended; it asks no venue.

What is unfinished may fill in whole, in part or not at all, and each in any order. The
figures here hold for every one of these ends: increases count as filled, and toward
one side only what moves the account that way; a reduction frees nothing before it is
done, but counts as done where that is worse.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from cryptoquantix.core.order import Side

_NONE = Decimal(0)


@dataclass(frozen=True, slots=True)
class UnderWay:
    """
    An order of which something may still reach the account, or did since it was read.

    ``value_quote`` is of the lots that a reading may lack, positive.
    """

    side: Side
    value_quote: Decimal
    is_increase: bool


@dataclass(frozen=True, slots=True)
class Exposure:
    """
    What may at most be at stake, in the quote currency, and on what equity.

    ``gross_quote`` adds up sizes, ``long_quote`` and ``short_quote`` are the furthest
    that the signed sum may come to lie on that side (negative: it stays on the other).
    """

    equity_quote: Decimal = _NONE
    gross_quote: Decimal = _NONE
    long_quote: Decimal = _NONE
    short_quote: Decimal = _NONE

    def __add__(self, other: Exposure) -> Exposure:
        """Return both together: what may happen here does not depend on there."""
        return Exposure(
            self.equity_quote + other.equity_quote,
            self.gross_quote + other.gross_quote,
            self.long_quote + other.long_quote,
            self.short_quote + other.short_quote,
        )

    def toward(self, side: Side) -> Decimal:
        """Return how far the signed sum may come to lie on ``side``."""
        return self.long_quote if side is Side.BUY else self.short_quote


def exposure_of(
    equity_quote: Decimal, held_quote: Iterable[Decimal], under_way: Iterable[UnderWay]
) -> Exposure:
    """
    Return the exposure of one account, or of a part of it.

    Parameters
    ----------
    equity_quote : Decimal
        What it is worth.
    held_quote : iterable of Decimal
        Each position's value as it was read, signed.
    under_way : iterable of UnderWay
        Whatever that reading may lack.

    Examples
    --------
    >>> bought = UnderWay(Side.BUY, Decimal(30), is_increase=True)
    >>> found = exposure_of(Decimal(100), [Decimal(50), Decimal(-10)], [bought])
    >>> found.gross_quote, found.long_quote, found.short_quote
    (Decimal('90'), Decimal('70'), Decimal('-40'))
    """
    held, orders = list(held_quote), list(under_way)
    net = sum(held, _NONE)
    more = dict.fromkeys(Side, _NONE)
    for order in orders:
        more[order.side] += order.value_quote
    return Exposure(
        equity_quote=equity_quote,
        gross_quote=sum((abs(value) for value in held), _NONE)
        + sum((o.value_quote for o in orders if o.is_increase), _NONE),
        long_quote=net + more[Side.BUY],
        short_quote=-net + more[Side.SELL],
    )

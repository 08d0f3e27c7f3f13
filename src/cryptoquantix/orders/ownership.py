"""
How much of a position is ours, by the fills that made it; it plans nothing.

A venue nets everybody's fills into one position. What our orders filled is ours, what
was there before or came of anybody else's orders is foreign. Where the two offset each
other it is ours that was reduced: a person, or the venue that liquidated, closed it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


def part_of(venue_lots: int, own_lots: int) -> int:
    """
    Return how much of the venue's position can be ours, both signed.

    Examples
    --------
    >>> part_of(8, 5), part_of(3, 5), part_of(-3, 5), part_of(-8, -5)
    (5, 3, 0, -5)
    """
    if venue_lots >= 0:
        return min(max(own_lots, 0), venue_lots)
    return max(min(own_lots, 0), venue_lots)


def explained(venue_lots: int, own_lots: int, coming: Iterable[int]) -> int:
    """
    Return what of the venue's position can be ours if ``coming`` may have filled.

    Parameters
    ----------
    venue_lots, own_lots : int
        The venue's position, and what our fills made as far as they are known.
    coming : iterable of int
        Signed lots of orders of ours that may have filled, each in part or in full.

    Examples
    --------
    >>> explained(3, 0, [5]), explained(8, 0, [5]), explained(2, 5, [-5])
    (3, 5, 2)
    """
    lots = list(coming)
    least = own_lots + sum(one for one in lots if one < 0)
    most = own_lots + sum(one for one in lots if one > 0)
    return part_of(venue_lots, min(max(venue_lots, least), most))


@dataclass(slots=True)
class Ownership:
    """A position as what is ours of it and what is not, signed lots."""

    own_lots: int = 0
    foreign_lots: int = 0

    def count(self, lots: int, *, is_ours: bool) -> None:
        """
        Count a fill, in the order of the venue's trades.

        Examples
        --------
        >>> both = Ownership(own_lots=5)
        >>> both.count(-8, is_ours=False)
        >>> both
        Ownership(own_lots=0, foreign_lots=-3)
        """
        if is_ours:
            self.own_lots += lots
        else:
            self.foreign_lots += lots
        self.settle(self.own_lots + self.foreign_lots)

    def settle(self, venue_lots: int) -> None:
        """Take what the position is in truth; what is missing of it was ours."""
        self.own_lots = part_of(venue_lots, self.own_lots)
        self.foreign_lots = venue_lots - self.own_lots

"""
A market maker: the ladder of quotes around a price; it has no position to care for.

Levels sit on a grid, so that most of them stay where they are when the price
moves a little, and their sizes are a function of the level alone: the same price in
the same weather always shows the same book. When the price is restless the maker
stands off further and shows less, so that a market order in a crash pays for it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

from cryptoquantix.simulator.listing import UNITS_PER_COIN, Listing


@dataclass(frozen=True, slots=True)
class LadderRule:
    """
    How a maker quotes.

    The half spread is ``price // half_spread_divisor`` and the grid step ``price
    // step_divisor`` ticks, each at least one tick. ``depth_quote`` is the value of
    the best level in the quote coin; each level behind it is a quarter larger
    than the one before the first.

    With ``spread_ticks`` the spread is that, whatever the price and its weather: the
    last print stood on one side of it, the seller's at the bid, the buyer's at the ask.
    """

    levels: int = 30
    half_spread_divisor: int = 50_000
    step_divisor: int = 10_000
    depth_quote: int = 25_000
    spread_ticks: int = 0

    def stressed(self, stress: float) -> LadderRule:
        """Return the rule for a price ``stress`` times as restless as on calm days."""
        quarters = int(stress * 4)
        return self if quarters <= 4 or self.spread_ticks else _stressed(self, quarters)


def fixed_spread(ticks: int) -> LadderRule:
    """Return the rule of a spread that stays, before a book without a bottom."""
    return LadderRule(
        levels=5, step_divisor=1_000_000_000, depth_quote=10**9, spread_ticks=ticks
    )


@lru_cache(maxsize=64)
def _stressed(rule: LadderRule, quarters: int) -> LadderRule:
    """Spread, step and depth all by the same factor, in quarters."""
    return replace(
        rule,
        half_spread_divisor=max(1, rule.half_spread_divisor * 4 // quarters),
        step_divisor=max(1, rule.step_divisor * 4 // quarters),
        depth_quote=max(1, rule.depth_quote * 4 // quarters),
    )


def ladder(
    listing: Listing, price_ticks: int, rule: LadderRule, *, is_sold: bool = False
) -> dict[tuple[int, int], int]:
    """
    Return lots by (sign, price ticks) that a maker shows around ``price_ticks``.

    ``is_sold`` says that a seller was the aggressor of the last print; it only counts
    where the spread is fixed.

    A price too near zero for a full ladder shows the bids that fit above it.
    """
    half = max(1, price_ticks // rule.half_spread_divisor)
    step = max(1, price_ticks // rule.step_divisor)
    quotes: dict[tuple[int, int], int] = {}
    for sign in (1, -1):
        best = price_ticks - sign * half
        if rule.spread_ticks:
            is_here = is_sold == (sign > 0)
            best = price_ticks - (0 if is_here else sign * rule.spread_ticks)
        grid = best // step * step if sign > 0 else -(-best // step) * step
        prices = [best, *(grid - sign * step * n for n in range(1, rule.levels))]
        for depth, price in enumerate(prices):
            if price > 0:
                quotes[sign, price] = _level_lots(listing, price, depth, rule)
    return quotes


def ladder_behind(
    listing: Listing, best: tuple[int, int, int, int], rule: LadderRule
) -> dict[tuple[int, int], int]:
    """
    Return lots by (sign, price ticks) where the best quotes are given.

    ``best`` is bid ticks, bid lots, ask ticks, ask lots. Levels behind them are the
    rule's: nobody told what is there. A best quote without a size shows none.
    """
    bid, bid_lots, ask, ask_lots = best
    step = max(1, bid // rule.step_divisor)
    quotes: dict[tuple[int, int], int] = {}
    for sign, price, lots in ((1, bid, bid_lots), (-1, ask, ask_lots)):
        grid = price // step * step if sign > 0 else -(-price // step) * step
        behind = (grid - sign * step * n for n in range(1, rule.levels))
        for depth, level in enumerate(behind, 1):
            if level > 0:
                quotes[sign, level] = _level_lots(listing, level, depth, rule)
        if lots > 0:
            quotes[sign, price] = lots
    return quotes


def _level_lots(
    listing: Listing, price_ticks: int, depth: int, rule: LadderRule
) -> int:
    lot_value = max(1, listing.quote_units(price_ticks, 1))
    lots = rule.depth_quote * UNITS_PER_COIN * (4 + depth) // (4 * lot_value)
    # A little unevenness, fixed per price: 90-110 % of the round figure.
    lots = lots * (90 + price_ticks * 7919 % 21) // 100
    return max(1, min(lots, listing.size_max_lots))

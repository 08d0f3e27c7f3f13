"""
USD a coin, checked: the median of the venues' votes; it reads no venue.

One venue's book is not the price of a coin: on 10 Oct 2025 one venue marked USDe at
0.65 while all others had it near 1. So a lone outlier moves nothing and is named, and
a coin that one venue alone rates is bounded and marked unchecked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from cryptoquantix.core.exposure import Reading

if TYPE_CHECKING:
    from cryptoquantix.risk.rules import Limits

DOLLARS: Final = frozenset(
    {
        *("", "USD", "USDT", "USDC", "FDUSD", "BUSD", "BFUSD", "USD1", "USDE", "DAI"),
        *("USYC", "BUIDL"),
    }
)
"""Coins meant to be worth a dollar: 1 where no venue rates them, never assumed else."""

FIXED: Final = frozenset({"", "USD"})
ONE: Final = Decimal(1)


@dataclass(frozen=True, slots=True)
class Rates:
    """
    The outcome of one check.

    ``unchecked`` are coins that fewer than two venues rate; ``outliers`` the votes
    that were left out, as (venue, coin); ``unvalued`` coins that nobody ever rated:
    they count as nothing and are named.
    """

    values: Mapping[str, Decimal] = field(default_factory=dict)
    unchecked: tuple[str, ...] = ()
    outliers: Mapping[tuple[str, str], Decimal] = field(default_factory=dict)
    unvalued: tuple[str, ...] = ()


def own_rates(reading: Reading) -> dict[str, Decimal]:
    """Return the venue's own rates of its coins; dollar coins without one at 1."""
    found = {"": ONE, "USD": ONE}
    for item in reading.coins:
        if item.rate is not None:
            found[item.coin] = item.rate
        elif item.coin in DOLLARS:
            found.setdefault(item.coin, ONE)
    found.update(reading.rates)
    wrong = [c for c, rate in found.items() if not (rate.is_finite() and rate > 0)]
    for coin in wrong:
        del found[coin]
    return found


def check(
    before: Mapping[str, Decimal],
    readings: Mapping[str, Reading],
    limits: Limits,
    *,
    is_partial: bool = False,
) -> Rates:
    """
    Return the rate of every coin that is held or rated.

    ``before`` are the rates of the last check: they say which of two votes that
    disagree left the other. In an ``is_partial`` round (a venue was not read) a vote
    that stands alone for the moment moves nothing.
    """
    values = dict(before)
    unchecked, unvalued = [], []
    outliers: dict[tuple[str, str], Decimal] = {}
    for coin, cast in _votes(readings).items():
        was = before.get(coin, ONE if coin in DOLLARS else None)
        if len(cast) > 1:
            found: Decimal | None
            found, out = _agreed(cast, was, limits)
            outliers |= {(venue, coin): rate for rate, venue in out}
        else:
            unchecked.append(coin)
            found = _alone(coin, cast, was, limits, is_partial=is_partial)
            if found is not None and cast and not is_partial and found != cast[0][0]:
                outliers[cast[0][1], coin] = cast[0][0]
        if found is None:
            unvalued.append(coin)
        else:
            values[coin] = found
    return Rates(values, tuple(unchecked), outliers, tuple(unvalued))


type _Vote = tuple[Decimal, str]


def _votes(readings: Mapping[str, Reading]) -> dict[str, list[_Vote]]:
    """Return the votes on each coin; none on a coin that is held and unrated."""
    votes: dict[str, list[_Vote]] = {}
    for venue, reading in readings.items():
        cast = dict(reading.rates)
        for item in reading.coins:
            if item.rate is not None:
                cast.setdefault(item.coin, item.rate)
            elif item.equity:
                votes.setdefault(item.coin, [])
        for coin, rate in cast.items():
            if rate.is_finite() and rate > 0:
                votes.setdefault(coin, []).append((rate, venue))
    for coin in FIXED:
        votes.pop(coin, None)
    return votes


def _agreed(
    cast: list[_Vote], was: Decimal | None, limits: Limits
) -> tuple[Decimal, list[_Vote]]:
    """Return the median of the votes, and those far from it."""
    bound = limits.rate_outlier_fraction
    if len(cast) == 2:
        (one, _), (two, _) = cast
        if abs(one - two) <= bound * min(one, two) or was is None:
            return (one + two) / 2, []
        stayed, left = sorted(cast, key=lambda vote: abs(vote[0] - was))
        return stayed[0], [left]
    middle = _middle(cast)
    return middle, [vote for vote in cast if abs(vote[0] - middle) > bound * middle]


def _middle(cast: list[_Vote]) -> Decimal:
    """Return the median; by hand, for it is taken for each coin each second."""
    rates = sorted(rate for rate, _ in cast)
    half = len(rates) // 2
    return rates[half] if len(rates) % 2 else (rates[half - 1] + rates[half]) / 2


def _alone(
    coin: str,
    cast: list[_Vote],
    was: Decimal | None,
    limits: Limits,
    *,
    is_partial: bool,
) -> Decimal | None:
    """
    Return a rate that no second venue checks: the venue's own, within bounds.

    A dollar coin stays near 1; any other may move so far from one second to the next.
    """
    if not cast or (is_partial and was is not None):
        return was
    rate = cast[0][0]
    if was is None:
        return rate
    bound = limits.rate_bound_fraction
    middle = ONE if coin in DOLLARS else was
    bound = bound if coin in DOLLARS else limits.rate_step_fraction
    return min(max(rate, middle * (1 - bound)), middle * (1 + bound))

"""
A day's record as a monoid: any window of days is the combination of its days.

This is what makes walk-forward cost one pass over the bars whatever the folds are.
It never looks at a bar.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

DAYS_PER_YEAR = 365.0

FIELDS = (
    "log_growth",
    "highest",
    "lowest",
    "deepest",
    "turnover",
    "fees",
    "funding",
    "trades",
    "held",
    "liquidations",
)

type Floats = NDArray[np.float64]


class Day(NamedTuple):
    """
    What an equity did over some days, as logs relative to their start.

    ``highest`` and ``lowest`` are the extremes of the log growth from the start (the
    start itself, 0, included); ``deepest`` is the largest fall from an extreme to a
    later value, positive. ``turnover``, ``fees`` and ``funding`` are fractions of
    equity, ``trades``, ``held`` (bars with a position) and ``liquidations`` counts.
    ``Day()`` is the identity: a day on which nothing happened.
    """

    log_growth: float = 0.0
    highest: float = 0.0
    lowest: float = 0.0
    deepest: float = 0.0
    turnover: float = 0.0
    fees: float = 0.0
    funding: float = 0.0
    trades: float = 0.0
    held: float = 0.0
    liquidations: float = 0.0


def combine(first: Day, then: Day) -> Day:
    """
    Return the record of ``first`` followed by ``then``; associative.

    Examples
    --------
    Up by 2, then down by 3: the deepest fall spans the border.

    >>> combine(Day(2.0, 2.0, 0.0, 0.0), Day(-3.0, 0.0, -3.0, 3.0))[:4]
    (-1.0, 2.0, -1.0, 3.0)
    """
    sums = [a + b for a, b in zip(first[4:], then[4:], strict=True)]
    return Day(
        first.log_growth + then.log_growth,
        max(first.highest, first.log_growth + then.highest),
        min(first.lowest, first.log_growth + then.lowest),
        max(
            first.deepest, then.deepest, first.highest - first.log_growth - then.lowest
        ),
        *sums,
    )


class Window(NamedTuple):
    """
    Metrics of a window of days, one value a cell.

    ``sharpe`` is annualized by 365 over daily returns; 0 where they do not vary.
    ``drawdown`` is a positive fraction, on equity marked at bar closes.
    """

    log_growth: Floats
    sharpe: Floats
    drawdown: Floats
    turnover: Floats
    fees: Floats
    funding: Floats
    trades: Floats
    held: Floats
    liquidations: Floats


def measure(records: Floats, start: int, stop: int) -> Window:
    """
    Return the metrics of days ``start`` to before ``stop``.

    Parameters
    ----------
    records : (cells, days, fields) float64
        Day records in the order of ``FIELDS``.

    Notes
    -----
    The combination of all days at once: within the window the fall into day ``d`` is
    from the highest before it to its own lowest, or lies within ``d``.
    """
    window = records[:, start:stop]
    growth = window[:, :, 0]
    after = np.cumsum(growth, axis=1)
    before = after - growth
    highest = np.maximum.accumulate(before + window[:, :, 1], axis=1)
    # The window's own start counts as a high; shift by one day to "before this day".
    earlier = np.concatenate((np.zeros((len(window), 1)), highest[:, :-1]), axis=1)
    falls = np.maximum(window[:, :, 3], earlier - before - window[:, :, 2])
    sums = window[:, :, 4:].sum(axis=1)
    return Window(
        after[:, -1] if stop > start else np.zeros(len(window)),
        sharpe(np.expm1(growth)),
        -np.expm1(-falls.max(axis=1, initial=0.0)),
        *(sums[:, i] for i in range(sums.shape[1])),
    )


def sharpe(returns: Floats) -> Floats:
    """
    Return the annualized Sharpe ratio of daily returns along the last axis.

    0 where there are fewer than two returns or they do not vary: no evidence.
    """
    count = returns.shape[-1]
    if count < 2:
        return np.zeros(returns.shape[:-1])
    deviation = returns.std(axis=-1, ddof=1)
    mean = returns.mean(axis=-1)
    varies = deviation > 1e-15
    safe = np.where(varies, deviation, 1.0)
    return np.where(varies, mean / safe * math.sqrt(DAYS_PER_YEAR), 0.0)

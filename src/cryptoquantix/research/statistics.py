"""
How much of a Sharpe ratio is luck: PSR, DSR, track-record length, beta.

Sharpe ratios here are **per period**, not annualized, and kurtosis is *raw* (3 for a
normal distribution): mixing either up is the common error of public code.

References
----------
Bailey and López de Prado, "The Sharpe Ratio Efficient Frontier" (2012) and
"The Deflated Sharpe Ratio" (2014).
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

type Floats = NDArray[np.float64]

EULER_GAMMA = 0.5772156649015329
_NORMAL = NormalDist()


class Moments(NamedTuple):
    """Of a series of returns: ``sharpe`` per period, ``kurtosis`` raw."""

    periods: int
    mean: float
    deviation: float
    sharpe: float
    skewness: float
    kurtosis: float


def moments(returns: Floats) -> Moments:
    """
    Return the moments of ``returns`` (n,); a series that does not vary has Sharpe 0.

    Deviation is the sample's (n - 1); skewness and kurtosis are the population's.
    """
    count = int(returns.size)
    mean = float(returns.mean()) if count else 0.0
    deviation = float(returns.std(ddof=1)) if count > 1 else 0.0
    if deviation <= 1e-15:
        return Moments(count, mean, 0.0, 0.0, 0.0, 3.0)
    scaled = (returns - mean) / float(returns.std())
    return Moments(
        count,
        mean,
        deviation,
        mean / deviation,
        float((scaled**3).mean()),
        float((scaled**4).mean()),
    )


def sharpe_variance(sharpe: float, skewness: float, kurtosis: float) -> float:
    """Return the variance of an estimated Sharpe ratio, times (periods - 1)."""
    return 1.0 - skewness * sharpe + (kurtosis - 1.0) / 4.0 * sharpe**2


def probabilistic_sharpe(measured: Moments, benchmark: float = 0.0) -> float:
    """
    Return the probability that the true Sharpe exceeds ``benchmark`` (per period).

    NaN where there is too little to say: fewer than three returns, or none varies.
    """
    if measured.periods < 3 or measured.deviation == 0.0:
        return math.nan
    variance = sharpe_variance(measured.sharpe, measured.skewness, measured.kurtosis)
    if variance <= 0.0:
        return math.nan
    z = (measured.sharpe - benchmark) * math.sqrt(measured.periods - 1)
    return _NORMAL.cdf(z / math.sqrt(variance))


def expected_highest_sharpe(trials: int, variance: float) -> float:
    """
    Return the Sharpe that the best of ``trials`` skill-less trials is expected to show.

    ``variance`` is that of the trials' Sharpe ratios, per period. One trial: 0.
    """
    if trials < 2:
        return 0.0
    typical = _NORMAL.inv_cdf(1.0 - 1.0 / trials)
    rare = _NORMAL.inv_cdf(1.0 - 1.0 / (trials * math.e))
    return math.sqrt(variance) * ((1.0 - EULER_GAMMA) * typical + EULER_GAMMA * rare)


def deflated_sharpe(measured: Moments, trials: int, variance: float) -> float:
    """Return the probability that the true Sharpe exceeds that of luck alone."""
    return probabilistic_sharpe(measured, expected_highest_sharpe(trials, variance))


def track_record_min(
    measured: Moments, benchmark: float = 0.0, confidence: float = 0.95
) -> float:
    """
    Return how many periods it takes to be ``confidence`` sure of this Sharpe.

    Infinite where the Sharpe does not exceed ``benchmark``.
    """
    excess = measured.sharpe - benchmark
    if excess <= 0.0:
        return math.inf
    variance = sharpe_variance(measured.sharpe, measured.skewness, measured.kurtosis)
    return 1.0 + variance * (_NORMAL.inv_cdf(confidence) / excess) ** 2


class Regression(NamedTuple):
    """Of returns on the market's: ``alpha`` per period, ``correlation`` of both."""

    alpha: float
    beta: float
    correlation: float


def regress(returns: Floats, market: Floats) -> Regression:
    """
    Return alpha and beta of ``returns`` (n,) on ``market`` (n,), stamped alike.

    NaN where the market does not vary.
    """
    spread = market - market.mean()
    variance = float(spread @ spread)
    if variance <= 1e-30:
        return Regression(math.nan, math.nan, math.nan)
    centered = returns - returns.mean()
    beta = float(spread @ centered) / variance
    own = float(centered @ centered)
    correlation = float(spread @ centered) / math.sqrt(variance * own) if own else 0.0
    return Regression(float(returns.mean() - beta * market.mean()), beta, correlation)


def rank_correlation(first: Floats, second: Floats) -> float:
    """Return Spearman's correlation; NaN where either does not vary."""
    if first.size < 3:
        return math.nan
    a, b = (_ranks(values) for values in (first, second))
    if np.ptp(a) == 0.0 or np.ptp(b) == 0.0:
        return math.nan
    return float(np.corrcoef(a, b)[0, 1])


def _ranks(values: Floats) -> Floats:
    """Return ranks from 0, ties sharing their mean rank."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    middle = ends - (counts + 1) / 2.0
    return middle[inverse].astype(np.float64)

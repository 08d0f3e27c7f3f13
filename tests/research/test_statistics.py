"""Golden values of Bailey and López de Prado, and laws of the rest."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cryptoquantix.research.statistics import (
    Moments,
    deflated_sharpe,
    expected_highest_sharpe,
    moments,
    probabilistic_sharpe,
    rank_correlation,
    regress,
    track_record_min,
)

PERIODS, PER_YEAR = 1250, 250
# An annual Sharpe of 2.5 and an annual variance of 0.5 among trials, per day.
SHARPE, VARIANCE = 2.5 / math.sqrt(PER_YEAR), 0.5 / PER_YEAR


def measured(skewness: float, kurtosis: float) -> Moments:
    return Moments(PERIODS, SHARPE, 1.0, SHARPE, skewness, kurtosis)


def test_the_luck_of_a_hundred_trials():
    assert expected_highest_sharpe(100, VARIANCE) == pytest.approx(0.1132, abs=5e-5)


@pytest.mark.parametrize(
    ("trials", "skewness", "kurtosis", "expected"),
    [(100, -3.0, 10.0, 0.9004), (46, -3.0, 10.0, 0.9505), (88, 0.0, 3.0, 0.9505)],
)
def test_the_deflated_sharpe_of_the_paper(trials, skewness, kurtosis, expected):
    found = deflated_sharpe(measured(skewness, kurtosis), trials, VARIANCE)
    assert found == pytest.approx(expected, abs=5e-5)


def test_excess_kurtosis_would_show():
    """The common error: 7 where 10 is meant gives 0.9018 instead of 0.9004."""
    found = deflated_sharpe(measured(-3.0, 7.0), 100, VARIANCE)
    assert found == pytest.approx(0.9018, abs=5e-5)


def test_one_trial_is_not_deflated():
    assert deflated_sharpe(measured(0, 3), 1, 0.0) == probabilistic_sharpe(
        measured(0, 3)
    )


def test_the_track_record_is_where_the_probability_reaches_the_confidence():
    series = measured(-1.0, 6.0)
    needed = track_record_min(series, 0.05, 0.95)
    at = probabilistic_sharpe(series._replace(periods=round(needed)), 0.05)
    assert at == pytest.approx(0.95, abs=1e-3)
    assert track_record_min(series, SHARPE) == math.inf


def test_moments_have_raw_kurtosis():
    returns = np.random.default_rng(1).normal(0.1, 2.0, 400_000)
    found = moments(returns)
    assert found.kurtosis == pytest.approx(3.0, abs=0.05)
    assert found.skewness == pytest.approx(0.0, abs=0.02)
    assert found.sharpe == pytest.approx(0.05, abs=0.01)


@pytest.mark.parametrize("returns", [[], [0.1], [0.1, 0.2], [0.0] * 50])
def test_too_little_evidence_is_no_number(returns):
    assert math.isnan(probabilistic_sharpe(moments(np.array(returns, dtype=float))))


def test_regression_recovers_alpha_and_beta():
    market = np.random.default_rng(2).normal(0, 0.02, 5000)
    line = regress(0.001 + 1.7 * market, market)
    assert line.alpha == pytest.approx(0.001)
    assert line.beta == pytest.approx(1.7)
    assert line.correlation == pytest.approx(1.0)
    assert math.isnan(regress(market, np.ones(5000)).beta)


def test_ranks_correlate_whatever_the_scale_and_share_ties():
    first = np.array([3.0, 1.0, 2.0, 5.0])
    assert rank_correlation(first, np.exp(first)) == pytest.approx(1.0)
    assert rank_correlation(first, -first) == pytest.approx(-1.0)
    assert math.isnan(rank_correlation(first, np.ones(4)))
    tied = np.array([1.0, 1.0, 2.0, 2.0])
    assert rank_correlation(tied, tied) == pytest.approx(1.0)

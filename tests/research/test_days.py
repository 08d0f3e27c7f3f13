"""Day records are a monoid, and a window of them is what the bars say."""

from __future__ import annotations

import math
from functools import reduce

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryptoquantix.research.account import Costs
from cryptoquantix.research.days import FIELDS, Day, combine, measure, sharpe
from cryptoquantix.research.history import days_of
from cryptoquantix.research.matrix import run_matrix
from cryptoquantix.research.passes import load_passes
from cryptoquantix.strategies import registry
from cryptoquantix.strategies.trend_breakout import parse_params
from histories import walk

# Sixty-fourths add without rounding, so that the law can be tested with ==.
steps = st.integers(-320, 320).map(lambda n: n / 64)


def day_of(moves: list[float]) -> Day:
    """The record of a path of log moves, by its definition."""
    path = np.concatenate(([0.0], np.cumsum(moves)))
    falls = np.maximum.accumulate(path) - path
    return Day(
        float(path[-1]), float(path.max()), float(path.min()), float(falls.max()),
        *(float(len(moves)) for _ in FIELDS[4:]),
    )  # fmt: skip


paths = st.lists(steps, max_size=12)


@given(paths, paths, paths)
def test_combining_is_associative(a, b, c):
    first, second, third = day_of(a), day_of(b), day_of(c)
    left = combine(combine(first, second), third)
    assert left == combine(first, combine(second, third))


@given(paths)
def test_a_day_on_which_nothing_happened_is_the_identity(moves):
    day = day_of(moves)
    assert combine(day, Day()) == day == combine(Day(), day)


@given(paths, paths)
def test_combining_two_paths_is_the_record_of_both_in_a_row(a, b):
    assert combine(day_of(a), day_of(b)) == day_of(a + b)


@given(st.lists(paths, min_size=1, max_size=8))
def test_measuring_a_window_is_combining_its_days(days):
    records = np.array([[day_of(moves) for moves in days]])
    window = measure(records, 0, len(days))
    whole = reduce(combine, (day_of(moves) for moves in days))
    assert window.log_growth[0] == pytest.approx(whole.log_growth)
    assert window.drawdown[0] == pytest.approx(-math.expm1(-whole.deepest))
    assert window.turnover[0] == whole.turnover


def test_an_empty_window_is_nothing():
    window = measure(np.ones((2, 5, len(FIELDS))), 3, 3)
    assert not np.array(window).any()


def test_a_series_that_does_not_vary_has_no_sharpe():
    assert sharpe(np.full((3, 10), 0.01)).tolist() == [0.0, 0.0, 0.0]
    assert sharpe(np.ones((2, 1))).tolist() == [0.0, 0.0]


def test_sharpe_is_annualized_by_365():
    returns = np.array([0.01, 0.03])
    expected = 0.02 / np.std(returns, ddof=1) * math.sqrt(365)
    assert sharpe(returns) == pytest.approx(expected)


@pytest.mark.parametrize(("start", "stop"), [(0, 41), (5, 20), (17, 18), (30, 41)])
def test_a_window_of_days_is_what_its_bars_say(start, stop, kernel_cache):
    """Growth, drawdown and Sharpe straight from the bars' equity."""
    history = walk(8, 41 * 144, seconds=600, funding=True)
    days = days_of(history)
    costs = Costs(0.0004, 0.0003, 0.01, 0.0, 0.0, 0.005)
    passes = load_passes(registry.load("trend_breakout"), kernel_cache)
    params = parse_params(
        {"gate_days": 3, "breakout_bars": 40, "exit_bars": 40, "exit_atr": 5.0,
         "atr_bars": 30, "volatility_bars": 100, "gate_band": 0.001}
    )  # fmt: skip
    records = run_matrix(
        passes, history, days, costs, cells=[params], progress=lambda _: None
    )[0]
    targets = passes.targets(history, params, history.close.size)
    equity, units = np.zeros(targets.size), np.zeros(targets.size)
    path = np.zeros_like(records)
    passes.path_driver.run_path(
        history, days.stops, costs, targets, 1000.0, equity, units, path, 0
    )
    # Without lots the account is the cell, scaled.
    np.testing.assert_allclose(records, path, rtol=1e-7, atol=1e-10)
    window = measure(records[np.newaxis], start, stop)
    before = equity[days.bar(start) - 1] if start else 1000.0
    inside = np.concatenate(([before], equity[days.bar(start) : days.bar(stop)]))
    assert window.log_growth[0] == pytest.approx(
        math.log(inside[-1] / before), abs=1e-9
    )
    falls = 1 - inside / np.maximum.accumulate(inside)
    assert window.drawdown[0] == pytest.approx(falls.max(), abs=1e-9)
    ends = equity[days.stops[start:stop] - 1]
    returns = ends / np.concatenate(([before], ends[:-1])) - 1
    assert window.sharpe[0] == pytest.approx(float(sharpe(returns)), abs=1e-6)
    assert records[:, FIELDS.index("trades")].sum() > 20

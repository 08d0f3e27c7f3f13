"""The strategy against a plain reading of its rules, and against itself compiled."""

from __future__ import annotations

import hashlib
import time

import numpy as np
import pytest

from cryptoquantix.core.clock import NS_PER_DAY
from cryptoquantix.core.errors import DisorderError
from cryptoquantix.kernel import is_compiled
from cryptoquantix.research.passes import load_passes
from cryptoquantix.strategies import registry
from cryptoquantix.strategies.stepper import Stepper
from cryptoquantix.strategies.trend_breakout import Params, parse_params
from histories import bars_of, cut, flat, real_history, walk
from plain_strategy import plain_digest

SHORT = {
    "gate_days": 3,
    "gate_band": 0.002,
    "breakout_bars": 30,
    "exit_bars": 40,
    "exit_atr": 4.0,
    "atr_bars": 25,
    "volatility_bars": 50,
    "volatility_target": 0.5,
    "leverage_max": 2.0,
}


def step_all(params, bars, cache) -> np.ndarray:
    stepper = Stepper("trend_breakout", params, cache)
    return np.array([stepper.step(bar) for bar in bars])


def by_the_book(bars, params: Params) -> np.ndarray:
    """The rules as the module's docstring states them, over whole lists."""
    high, low, close = ([getattr(b, n) for b in bars] for n in ("high", "low", "close"))
    daily: list[float] = []
    gate = side = 0
    size, true_range, variance, targets = 0.0, 0.0, 0.0, []
    for i, bar in enumerate(bars):
        if i:
            widest = max(high[i], close[i - 1]) - min(low[i], close[i - 1])
            moved = (close[i] / close[i - 1] - 1) ** 2
            true_range += (widest - true_range) / min(i, params.atr_bars)
            variance += (moved - variance) / min(i, params.volatility_bars)
        ends_day = bar.close_time_ns % NS_PER_DAY == 0
        if ends_day:
            daily.append(close[i])
            if len(daily) >= params.gate_days:
                mean = np.mean(daily[-params.gate_days :])
                if close[i] > mean * (1 + params.gate_band):
                    gate = 1
                elif close[i] < mean * (1 - params.gate_band):
                    gate = -1
        recent = slice(max(0, i + 1 - params.exit_bars), i + 1)
        before = slice(max(0, i - params.breakout_bars), i)
        stop_long = max(high[recent]) - params.exit_atr * true_range
        stop_short = min(low[recent]) + params.exit_atr * true_range
        was = side
        if side == 1 and (gate != 1 or close[i] < stop_long):
            side = 0
        if side == -1 and (gate != -1 or close[i] > stop_short):
            side = 0
        longest = max(params.breakout_bars, params.atr_bars, params.volatility_bars)
        warm = i >= max(longest, params.exit_bars - 1)
        if side == 0 and warm and len(daily) >= params.gate_days:
            if gate == 1 and close[i] > max(high[before]) and close[i] >= stop_long:
                side = 1
            if gate == -1 and close[i] < min(low[before]) and close[i] <= stop_short:
                side = -1
        if side and (side != was or ends_day):
            interval = bar.close_time_ns - bar.open_time_ns
            yearly = (variance * 365 * NS_PER_DAY / interval) ** 0.5
            size = min(params.leverage_max, params.volatility_target / yearly)
        targets.append(side * size if side else 0.0)
    return np.array(targets)


@pytest.mark.parametrize("seed", range(6))
def test_targets_are_those_of_the_rules_as_written(seed, kernel_cache):
    bars = bars_of(walk(seed, 3000, seconds=600))
    targets = step_all(SHORT, bars, kernel_cache)
    expected = by_the_book(bars, parse_params(SHORT))
    assert (targets > 0).any() or (targets < 0).any()
    np.testing.assert_allclose(targets, expected, rtol=1e-9, atol=0)


def test_the_walks_of_these_tests_trade_both_ways(kernel_cache):
    bars = bars_of(walk(1, 9000, seconds=600))
    targets = step_all(SHORT, bars, kernel_cache)
    assert (targets > 0).sum() > 100
    assert (targets < 0).sum() > 100
    assert (targets == 0).sum() > 100
    assert np.abs(targets).max() <= SHORT["leverage_max"]


def test_before_every_window_is_full_the_target_is_zero(kernel_cache):
    rising = flat(100.0 * 1.001 ** np.arange(900), seconds=600)
    params = {**SHORT, "gate_days": 2}
    targets = step_all(params, bars_of(rising), kernel_cache)
    # Midnight is bar 144's open: the second daily close is that of bar 287.
    assert not targets[:287].any()
    assert targets[287] > 0


def test_the_gate_stays_within_its_band_and_turns_beyond_it(kernel_cache):
    """Hysteresis: a dip under the mean that is inside the band closes nothing."""
    params = {**SHORT, "gate_days": 3, "gate_band": 0.05, "exit_atr": 1e6}
    up = 100.0 * 1.002 ** np.arange(4 * 144)
    dip = np.full(144, up[-1] * 0.80)  # mean of up, up, dip: the dip is far below
    small = np.full(144, up[-1] * 0.97)
    held = step_all(params, bars_of(flat(np.r_[up, small], seconds=600)), kernel_cache)
    turned = step_all(params, bars_of(flat(np.r_[up, dip], seconds=600)), kernel_cache)
    assert held[-2] > 0
    assert held[-1] > 0
    assert turned[-2] > 0
    # The gate turned: the long is closed, and the new low sells at once.
    assert turned[-1] <= 0


def test_a_midnight_without_a_bar_ends_the_day_with_the_last_close(kernel_cache):
    """Bars missing around midnight must not lose the day's close."""
    whole = flat(100.0 * 1.001 ** np.arange(5 * 144), seconds=600)
    bars = bars_of(whole)
    holed = [bar for i, bar in enumerate(bars) if i % 144 not in (0, 143)]
    params = {**SHORT, "gate_days": 3}
    with_hole = step_all(params, holed, kernel_cache)
    first = next(i for i, target in enumerate(with_hole) if target)
    assert (
        holed[first].open_time_ns // NS_PER_DAY
        == bars[3 * 144].open_time_ns // NS_PER_DAY
    )


def test_a_market_that_does_not_move_is_not_divided_by(kernel_cache):
    targets = step_all(
        SHORT, bars_of(flat(np.full(1000, 5.0), seconds=600)), kernel_cache
    )
    assert not targets.any()


def test_the_future_does_not_change_the_past(kernel_cache):
    history = walk(5, 4000, seconds=600)
    passes = load_passes(registry.load("trend_breakout"), kernel_cache)
    params = parse_params(SHORT)
    whole = passes.targets(history, params, 4000)
    for stop in (500, 2345, 3999):
        past = passes.targets(cut(history, 0, stop), params, stop)
        np.testing.assert_array_equal(past, whole[:stop])
    close = history.close * np.r_[np.ones(3000), np.full(1000, 3)]
    close.flags.writeable = False
    changed = history._replace(close=close)
    np.testing.assert_array_equal(
        passes.targets(changed, params, 4000)[:3000], whole[:3000]
    )


def test_a_bar_that_overlaps_the_last_is_refused_and_changes_nothing(kernel_cache):
    bars = bars_of(walk(2, 300, seconds=600))
    stepper = Stepper("trend_breakout", SHORT, kernel_cache)
    for bar in bars[:-1]:
        stepper.step(bar)
    with pytest.raises(DisorderError):
        stepper.step(bars[100])
    assert stepper.bars == 299
    stepper.step(bars[-1])


def test_a_stepper_compiles_once_whatever_numbers_it_is_given(kernel_cache):
    bars = bars_of(walk(2, 5))
    stepper = Stepper("trend_breakout", {"gate_days": 2.0}, kernel_cache)
    stepper.step(bars[0])
    stepper.step(bars[1]._replace(volume=0, close=np.float64(100.0), high=200, low=50))
    signatures = getattr(stepper._advance, "signatures", [None])
    assert len(signatures) == 1


def assert_one_rule(history, values, kernel_cache, tmp_path) -> None:
    """Matrix pass, live stepper and plain Python: the same targets to the bit."""
    bars = history.close.size
    passes = load_passes(registry.load("trend_breakout"), kernel_cache)
    matrix = passes.targets(history, parse_params(values), bars)
    live = step_all(values, bars_of(history), kernel_cache)
    assert np.count_nonzero(matrix) > 50, "a test on targets of 0 would say nothing"
    assert matrix.tobytes() == live.tobytes()
    digest = hashlib.sha256(matrix.tobytes()).hexdigest()
    assert plain_digest(history, values, tmp_path) == digest


def test_matrix_live_and_plain_python_agree_exactly(kernel_cache, tmp_path):
    assert_one_rule(walk(11, 6000, seconds=600), SHORT, kernel_cache, tmp_path)


@pytest.mark.real_data
def test_they_agree_exactly_on_a_real_month(real_data, kernel_cache, tmp_path):
    values = {
        "gate_days": 2,
        "gate_band": 0.005,
        "breakout_bars": 240,
        "exit_atr": 20.0,
    }
    assert_one_rule(real_history(real_data), values, kernel_cache, tmp_path)


@pytest.mark.skipif(not is_compiled(), reason="times compiled code")
def test_a_steps_cost_does_not_grow_with_the_lookback(kernel_cache):
    history = walk(4, 200_000)
    passes = load_passes(registry.load("trend_breakout"), kernel_cache)

    def seconds(lookback: int) -> float:
        names = ("breakout_bars", "exit_bars", "atr_bars", "volatility_bars")
        params = parse_params({**SHORT, **dict.fromkeys(names, lookback)})
        best = float("inf")
        for _ in range(5):
            began = time.perf_counter()
            passes.targets(history, params, 200_000)
            best = min(best, time.perf_counter() - began)
        return best

    seconds(200)
    # A hundred times the lookback: anything linear in it would be far beyond this.
    assert seconds(20_000) < 4.0 * seconds(200)

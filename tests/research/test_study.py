"""A whole study: no look-ahead, the right dates, honest costs, on any cores."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import polars as pl
import pytest

from cryptoquantix.core.errors import SettingsError
from cryptoquantix.kernel import is_compiled
from cryptoquantix.research import matrix
from cryptoquantix.research.days import FIELDS, measure
from cryptoquantix.research.history import Gaps, days_of, from_frame
from cryptoquantix.research.market import Market
from cryptoquantix.research.passes import load_passes
from cryptoquantix.research.results import (
    cell_table,
    equity_table,
    fold_table,
    summarize,
)
from cryptoquantix.research.study import market_growth, run_study
from cryptoquantix.research.study_file import parse_study
from cryptoquantix.strategies import registry
from histories import cut, walk

GRID = {"breakout_bars": [20, 40, 80], "exit_atr": [3.0, 6.0]}
FREE = {"fee_rate": 0.0, "slippage": 0.0, "no_trade_band": 0.0, "lot_size": 0.0,
        "notional_min": 0.0}  # fmt: skip


def study_of(name="trend_breakout", *, grid=None, costs=None, **walk_forward):
    parameters = (
        {"gate_days": 2, "gate_band": 0.001, "atr_bars": 30, "exit_bars": 40,
         "volatility_bars": 100, "volatility_target": 0.5}
        if name == "trend_breakout"
        else {}
    )  # fmt: skip
    return parse_study(
        {
            "data": {
                "instrument": "binance:BTCUSDT-PERP",
                "interval": "10m",
                "funding": "none",
            },
            "strategy": {"name": name},
            "parameters": parameters,
            "grid": GRID if grid is None else grid,
            "walk_forward": {"train_days": 8, "test_days": 4, **walk_forward},
            "costs": costs or {},
        }
    )  # fmt: skip


def market_of(history) -> Market:
    return Market(history, Gaps(0, 0), "a test", generated=True, funding="none")


def silent(stage, done, total):
    """Take progress and show none."""


@pytest.fixture(scope="module")
def history():
    return walk(21, 40 * 144, seconds=600)


@pytest.fixture(scope="module")
def result(history, kernel_cache):
    return run_study(study_of(), market_of(history), kernel_cache, silent)


def test_each_fold_trades_what_was_best_in_its_train_days(result):
    assert len(result.choices) == 8
    for choice in result.choices:
        train = measure(result.records, choice.fold.train_start, choice.fold.train_stop)
        grid = train.sharpe.reshape(3, 2)
        around = np.zeros_like(grid)
        for row in range(3):
            for column in range(2):
                near = [grid[row, column], grid[row, 1 - column]]
                near += [grid[r, column] for r in (row - 1, row + 1) if 0 <= r < 3]
                around[row, column] = np.mean(near)
        assert choice.cell == int(np.argmax(around))


def test_the_choice_and_the_path_do_not_change_when_the_future_does(
    history, result, kernel_cache
):
    """Cut the data after the fifth fold: the first five are what they were."""
    stop = result.choices[4].fold.test_stop
    past = cut(history, 0, result.days.bar(stop))
    early = run_study(study_of(), market_of(past), kernel_cache, silent)
    assert [c.cell for c in early.choices] == [c.cell for c in result.choices[:5]]
    bars = early.path.equity.size
    np.testing.assert_array_equal(early.path.equity, result.path.equity[:bars])
    np.testing.assert_array_equal(early.records, result.records[:, :stop])


def test_records_are_the_same_to_the_bit_on_one_core_and_on_many(
    history, result, kernel_cache, monkeypatch
):
    monkeypatch.setattr(matrix, "cores", lambda: 1)
    alone = run_study(study_of(), market_of(history), kernel_cache, silent)
    np.testing.assert_array_equal(alone.records, result.records)
    monkeypatch.setattr(matrix, "cores", lambda: 5)
    many = run_study(study_of(), market_of(history), kernel_cache, silent)
    np.testing.assert_array_equal(many.records, result.records)


def test_progress_rises_to_the_number_of_cells(history, kernel_cache):
    seen = []

    def report(stage, done, total):
        seen.append((stage, done, total))

    run_study(study_of(), market_of(history), kernel_cache, report)
    done = [entry[1] for entry in seen if entry[0] == "matrix"]
    assert done == sorted(done)
    assert done[-1] == 6


@pytest.mark.parametrize("bars", [1, 2_000, 10_000_000])
def test_records_are_the_same_to_the_bit_however_the_history_is_cut(
    history, result, kernel_cache, monkeypatch, bars
):
    monkeypatch.setattr(matrix, "STRETCH_BARS", bars)
    again = run_study(study_of(), market_of(history), kernel_cache, silent)
    np.testing.assert_array_equal(again.records, result.records)


@pytest.mark.skipif(not is_compiled(), reason="plain Python has no signatures")
def test_a_driver_has_one_signature_whatever_its_arrays_were_made_from(
    history, kernel_cache
):
    """Two would cost a second compilation, and two processes could confuse them."""
    names = ("open_time_ns", "close_time_ns", "open", "high", "low", "close", "volume")
    frame = pl.DataFrame({n.removesuffix("_ns"): getattr(history, n) for n in names})
    from_polars = from_frame(frame)
    strategy = registry.load("trend_breakout")
    passes = load_passes(strategy, kernel_cache)
    functions = (
        passes.driver.run_targets,
        passes.reading_driver.run_readings,
        passes.reading_driver.run_decisions,
        passes.lane_driver.run_lanes,
        passes.path_driver.run_path,
    )
    # Drivers are shared by a process, and other tests call them in ways of theirs:
    # what counts is that the second study needs no signature that the first did not.
    run_study(study_of(), market_of(history), kernel_cache, silent)
    first = [list(function.signatures) for function in functions]
    run_study(study_of(), market_of(from_polars), kernel_cache, silent)
    assert [list(function.signatures) for function in functions] == first
    assert all(first)


@pytest.mark.parametrize("target", [1.0, -0.5])
def test_a_strategy_that_holds_has_its_targets_beta(history, kernel_cache, target):
    """Dates of strategy and market must line up, or beta is near zero."""
    study = study_of("rules.hold", grid={"target": [target]}, costs=FREE)
    held = run_study(study, market_of(history), kernel_cache, silent)
    summary = summarize(held, 0.0)
    for part in ("out_of_sample", "in_sample_best"):
        assert summary[part]["beta"] == pytest.approx(target, abs=0.01)
        assert abs(summary[part]["correlation"]) > 0.999


def test_holding_without_costs_is_buy_and_hold(history, kernel_cache):
    study = study_of("rules.hold", grid={}, costs=FREE)
    held = run_study(study, market_of(history), kernel_cache, silent)
    days = days_of(history)
    growth = held.records[0, 1:, FIELDS.index("log_growth")]
    np.testing.assert_allclose(growth, market_growth(history, days)[1:], atol=1e-9)


def test_switching_parameters_carries_the_position_and_pays_for_the_change(
    history, kernel_cache
):
    """From long one to short one at a border: two equities traded, once."""
    study = study_of(
        "rules.hold",
        grid={"target": [1.0, -1.0]},
        costs={**FREE, "fee_rate": 0.001, "no_trade_band": 0.3},
        plateau=False,
    )
    held = run_study(study, market_of(history), kernel_cache, silent)
    cells = [choice.cell for choice in held.choices]
    switches = sum(a != b for a, b in pairwise(cells))
    assert switches > 0, "a test without a switch would say nothing"
    trades = held.path.records[:, FIELDS.index("trades")].sum()
    turnover = held.path.records[:, FIELDS.index("turnover")].sum()
    fees = held.path.records[:, FIELDS.index("fees")].sum()
    assert trades == 1 + switches
    assert turnover == pytest.approx(1 + 2 * switches, rel=0.2)
    assert fees == pytest.approx(0.001 * turnover)


def test_lots_are_whole_on_the_path(history, kernel_cache):
    costs = {"lot_size": 7.0, "equity": 10_000.0, "notional_min": 500.0}
    rounded = run_study(study_of(costs=costs), market_of(history), kernel_cache, silent)
    units = rounded.path.units
    held = np.abs(units[units != 0.0])
    assert held.size
    np.testing.assert_allclose(held / 7.0, np.round(held / 7.0), atol=1e-9)


def test_costs_only_take(history, kernel_cache):
    free = run_study(study_of(costs=FREE), market_of(history), kernel_cache, silent)
    dear = {**FREE, "fee_rate": 0.002, "slippage": 0.001}
    paid = run_study(study_of(costs=dear), market_of(history), kernel_cache, silent)
    growth = FIELDS.index("log_growth")
    traded = free.records[:, :, FIELDS.index("trades")].sum(axis=1) > 0
    assert traded.any()
    lost = free.records[:, :, growth].sum(axis=1) - paid.records[:, :, growth].sum(
        axis=1
    )
    assert (lost[traded] > 0).all()


def test_tables_and_summary_tell_one_story(result):
    summary, folds = summarize(result, 1.5), fold_table(result)
    equity, cells = equity_table(result), cell_table(result)
    assert summary["cells"] == cells.height == 6
    assert summary["folds"] == folds.height == 8
    assert summary["oos_sharpe"] == summary["out_of_sample"]["sharpe"]
    assert summary["generated"] is True
    assert (summary["source"], summary["funding"]) == ("a test", "none")
    assert set(summary["parameters_last"]) >= {"gate_days", "breakout_bars"}
    last = equity["equity"][-1] / 100_000.0
    assert last == pytest.approx(1 + summary["out_of_sample"]["return"])
    stitched = np.log1p(folds["test_return"].to_numpy()).sum()
    assert math.expm1(stitched) == pytest.approx(summary["out_of_sample"]["return"])
    assert equity["drawdown"].max() == pytest.approx(
        summary["out_of_sample"]["drawdown"]
    )
    assert equity["fold"].unique().sort().to_list() == list(range(8))
    assert equity["time"].is_sorted()
    assert folds["test_trades"].sum() == summary["out_of_sample"]["trades"] > 0


def test_too_few_days_for_one_fold_is_said(history, kernel_cache):
    with pytest.raises(
        SettingsError, match=r"one fold needs 12 days .* the data have 11"
    ):
        run_study(
            study_of(), market_of(cut(history, 0, 11 * 144)), kernel_cache, silent
        )


def test_a_matrix_that_would_not_fit_memory_is_refused(
    history, kernel_cache, monkeypatch
):
    monkeypatch.setattr(matrix, "RECORD_BYTES_MAX", 1000)
    with pytest.raises(SettingsError, match="use a smaller grid"):
        run_study(study_of(), market_of(history), kernel_cache, silent)

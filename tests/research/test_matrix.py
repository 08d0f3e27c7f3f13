"""A matrix: the same records whichever way its cells are packed, read and traded."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cryptoquantix.core.errors import SettingsError
from cryptoquantix.research import matrix
from cryptoquantix.research.account import (
    Costs,
    decide,
    open_account,
    open_tally,
    pass_bar,
    rescale,
    write_day,
)
from cryptoquantix.research.days import FIELDS
from cryptoquantix.research.history import bar_at, days_of
from cryptoquantix.research.matrix import run_matrix
from cryptoquantix.research.passes import load_passes
from cryptoquantix.strategies import registry
from histories import walk

COSTS = Costs(0.0005, 0.0003, 0.02, 0.0, 0.0, 0.005)
SHORT = {"gate_days": 2, "gate_band": 0.001, "atr_bars": 30, "volatility_bars": 100}


def plain(kernel):
    """The Python of a kernel."""
    return getattr(kernel, "py_func", kernel)


def records_one_by_one(history, costs, targets):
    """Day records of one cell by the account's own kernels, one bar after the other."""
    days = days_of(history)
    records = np.zeros((days.count, len(FIELDS)))
    account = open_account(1.0)
    for day in range(days.count):
        account, tally = rescale(account, 1.0), open_tally(1.0)
        for i in range(days.bar(day), days.bar(day + 1)):
            bar = plain(bar_at)(history, i)
            buy, sell = history.fill_buy[i], history.fill_sell[i]
            account, tally = pass_bar(account, tally, bar, costs, buy, sell)
            account = decide(account, targets[i], bar, costs)
        write_day(records[day], tally, account.equity)
    return records


def cells_of(strategy, *values):
    return [strategy.parse_params({**SHORT, **value}) for value in values]


@pytest.mark.parametrize("leverage", [1.0, 300.0])
def test_lanes_are_accounts_one_by_one_to_the_bit(kernel_cache, leverage):
    """With funding, a band, fills of two prices, and at 300 liquidations as well."""
    history = walk(3, 30 * 48, seconds=1800, funding=True)
    history = history._replace(
        fill_buy=history.open * 1.0001, fill_sell=history.open * 0.9999
    )
    strategy = registry.load("rules.halves")
    sizes = [leverage * size for size in (0.3, 0.6, 0.9, 1.1)]
    cells = [strategy.parse_params({"memory": 0.2, "size": size}) for size in sizes]
    passes = load_passes(strategy, kernel_cache)
    found = run_matrix(
        passes, history, days_of(history), COSTS, cells=cells, progress=print
    )
    for records, params in zip(found, cells, strict=True):
        targets = passes.targets(history, params, history.close.size)
        expected = records_one_by_one(history, COSTS, targets)
        np.testing.assert_array_equal(records, expected)
    for field in ("trades", "funding", "held"):
        assert found[:, :, FIELDS.index(field)].any()
    ruined = found[:, :, FIELDS.index("liquidations")].any()
    assert ruined == (leverage > 1.0)


@pytest.mark.parametrize("cores", [1, 3])
def test_what_is_read_once_for_all_is_what_each_would_read(
    kernel_cache, monkeypatch, cores
):
    """Cells that see the same are not next to each other in a grid, nor need be."""
    monkeypatch.setattr(matrix, "cores", lambda: cores)
    monkeypatch.setattr(matrix, "STRETCH_BARS", 500)
    history = walk(9, 30 * 144, seconds=600)
    strategy = registry.load("trend_breakout")
    cells = cells_of(
        strategy,
        {"breakout_bars": 40, "exit_bars": 30, "exit_atr": 3.0},
        {"breakout_bars": 80, "exit_bars": 30, "exit_atr": 3.0},
        {"breakout_bars": 40, "exit_bars": 30, "exit_atr": 5.0},
        {"breakout_bars": 20, "exit_bars": 30, "exit_atr": 5.0},
        {"breakout_bars": 40, "exit_bars": 30, "exit_atr": 9.0, "leverage_max": 0.7},
    )
    days = days_of(history)
    apart = replace(strategy, view_type=None)
    records = [
        run_matrix(
            load_passes(one, kernel_cache),
            history,
            days,
            COSTS,
            cells=cells,
            progress=print,
        )
        for one in (strategy, apart)
    ]
    np.testing.assert_array_equal(*records)
    assert (records[0][:, :, FIELDS.index("trades")].sum(axis=1) > 5).all()


def test_halves_that_do_not_make_the_step_are_refused(kernel_cache, monkeypatch):
    monkeypatch.setattr(matrix, "cores", lambda: 1)
    history = walk(3, 5 * 48, seconds=1800)
    strategy = registry.load("rules.halves")
    cells = [strategy.parse_params({"size": size, "lie": 1e-9}) for size in (0.5, 1.0)]
    passes = load_passes(strategy, kernel_cache)
    with pytest.raises(SettingsError, match="by its halves than by its step, first at"):
        run_matrix(
            passes, history, days_of(history), COSTS, cells=cells, progress=print
        )


def test_a_matrix_larger_than_a_pack_is_cut_into_packs(kernel_cache, monkeypatch):
    monkeypatch.setattr(matrix, "cores", lambda: 1)
    history = walk(3, 3 * 24, seconds=3600)
    strategy = registry.load("rules.hold")
    passes = load_passes(strategy, kernel_cache)
    count = passes.lane_driver.LANES_MAX + 3
    cells = [strategy.parse_params({"target": i / 100}) for i in range(count)]
    days, seen = days_of(history), []
    found = run_matrix(passes, history, days, COSTS, cells=cells, progress=seen.append)
    assert seen[-1] == count
    for cell in (0, 1, count // 2, count - 1):
        targets = np.full(history.close.size, cells[cell].target)
        expected = records_one_by_one(history, COSTS, targets)
        np.testing.assert_array_equal(found[cell], expected)

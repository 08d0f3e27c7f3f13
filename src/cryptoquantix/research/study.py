"""
A walk-forward study: matrix, choice a fold, stitched out-of-sample path.

It reads nothing and writes nothing: a study and a market in, a result out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cryptoquantix.research.days import FIELDS, Window, measure
from cryptoquantix.research.folds import Fold, cut_folds
from cryptoquantix.research.grid import Grid, build_grid
from cryptoquantix.research.history import Days, History, days_of
from cryptoquantix.research.market import Market
from cryptoquantix.research.matrix import run_matrix
from cryptoquantix.research.passes import Passes, load_passes
from cryptoquantix.research.selection import choose
from cryptoquantix.research.statistics import rank_correlation
from cryptoquantix.research.study_file import StudyFile
from cryptoquantix.strategies import registry

type Floats = NDArray[np.float64]
# Told the stage's name, how much of it is done and how much there is.
type Report = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Choice:
    """
    What a fold traded and how the choice fared against the other cells.

    ``train`` and ``test`` are the chosen cell's own (no lots); ``rank_correlation`` is
    between all cells' train scores and test Sharpe ratios, ``beat_share`` the share of
    cells whose test return the chosen one exceeded.
    """

    fold: Fold
    cell: int
    score: float
    train: Window
    test: Window
    rank_correlation: float
    beat_share: float


@dataclass(frozen=True, slots=True)
class OutOfSample:
    """The stitched out-of-sample path: ``first`` is its first bar in the history."""

    first: int
    first_day: int
    targets: Floats
    equity: Floats
    units: Floats
    records: Floats


@dataclass(frozen=True, slots=True)
class StudyResult:
    """Everything a report is made of."""

    study: StudyFile
    market: Market
    days: Days
    grid: Grid
    records: Floats
    choices: list[Choice]
    path: OutOfSample
    cell_next: int


def run_study(
    study: StudyFile, market: Market, cache_directory: Path | None, report: Report
) -> StudyResult:
    """
    Return the result of ``study`` on ``market``.

    Raises
    ------
    SettingsError
        If a parameter is unknown or wrong, or not one fold fits the data.
    """
    strategy = registry.load(study.strategy.name)
    grid = build_grid(strategy, study.parameters, study.grid)
    days = days_of(market.history)
    folds = cut_folds(days.count, study.fold_rule)
    report("compiling", 0, 1)
    passes = load_passes(strategy, cache_directory)
    records = run_matrix(
        passes,
        market.history,
        days,
        study.cell_costs,
        cells=grid.cells,
        progress=lambda done: report("matrix", done, len(grid.cells)),
    )
    choices = [choose_fold(study, grid, records, fold) for fold in folds]
    report("out of sample", 0, 1)
    path = stitch(study, passes, market.history, days, grid=grid, choices=choices)
    report("out of sample", 1, 1)
    newest = measure(
        records, max(0, days.count - study.walk_forward.train_days), days.count
    )
    cell_next, _ = choose(
        newest,
        study.walk_forward.select,
        grid.shape,
        use_plateau=study.walk_forward.plateau,
    )
    return StudyResult(study, market, days, grid, records, choices, path, cell_next)


def choose_fold(study: StudyFile, grid: Grid, records: Floats, fold: Fold) -> Choice:
    """Return what ``fold`` trades, decided on its train days alone."""
    train = measure(records, fold.train_start, fold.train_stop)
    test = measure(records, fold.test_start, fold.test_stop)
    cell, scores = choose(
        train,
        study.walk_forward.select,
        grid.shape,
        use_plateau=study.walk_forward.plateau,
    )
    others = np.delete(test.log_growth, cell)
    return Choice(
        fold,
        cell,
        float(scores[cell]),
        one_of(train, cell),
        one_of(test, cell),
        rank_correlation(scores, test.sharpe),
        float((others < test.log_growth[cell]).mean()) if others.size else np.nan,
    )


def one_of(window: Window, cell: int) -> Window:
    """Return the metrics of one cell alone, arrays of one."""
    return Window(*(values[cell : cell + 1] for values in window))


def stitch(
    study: StudyFile,
    passes: Passes,
    history: History,
    days: Days,
    *,
    grid: Grid,
    choices: list[Choice],
) -> OutOfSample:
    """
    Return the path that trades each fold's choice in its test window.

    One account goes through all of them: at a border it holds what it held, and pays
    for the change to what the next choice wants.
    """
    first_day, stop_day = choices[0].fold.test_start, choices[-1].fold.test_stop
    first, stop = days.bar(first_day), days.bar(stop_day)
    targets = np.zeros(stop - first)
    for cell in sorted({choice.cell for choice in choices}):
        mine = [choice.fold for choice in choices if choice.cell == cell]
        bars = days.bar(mine[-1].test_stop)
        own = passes.targets(history, grid.cells[cell], bars)
        for fold in mine:
            begin, end = days.bar(fold.test_start), days.bar(fold.test_stop)
            targets[begin - first : end - first] = own[begin:end]
    equity, units = np.zeros(stop - first), np.zeros(stop - first)
    records = np.zeros((stop_day - first_day, len(FIELDS)))
    passes.path_driver.run_path(
        history,
        days.stops[first_day:stop_day],
        study.path_costs,
        targets,
        study.costs.equity,
        equity,
        units,
        records,
        first,
    )
    return OutOfSample(first, first_day, targets, equity, units, records)


def market_growth(history: History, days: Days) -> Floats:
    """
    Return the log growth of the price a day, stamped as the day records are.

    From the last close of the day before to the last close of the day; the first day
    from its first open; 0 on a day without a bar.
    """
    closes = np.log(history.close[np.maximum(days.stops - 1, 0)])
    before = np.concatenate(([np.log(history.open[0])], closes[:-1]))
    growth: Floats = closes - before
    return growth

"""A study's result as tables and one summary; plain numbers, no files."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from cryptoquantix.data.schema import TIME
from cryptoquantix.research.days import DAYS_PER_YEAR, Window, measure
from cryptoquantix.research.statistics import (
    deflated_sharpe,
    expected_highest_sharpe,
    moments,
    probabilistic_sharpe,
    regress,
    track_record_min,
)
from cryptoquantix.research.study import StudyResult, market_growth, one_of

type Floats = NDArray[np.float64]


def summarize(result: StudyResult, seconds: float) -> dict[str, Any]:
    """Return the study's summary: JSON values only, None for what is not defined."""
    whole = measure(result.records, 0, result.days.count)
    trials = len(result.grid.cells)
    per_day = whole.sharpe / math.sqrt(DAYS_PER_YEAR)
    variance = float(np.var(per_day, ddof=1)) if trials > 1 else 0.0
    luck = expected_highest_sharpe(trials, variance)
    best = int(np.argmax(whole.sharpe))
    market = market_growth(result.market.history, result.days)
    first, count = result.path.first_day, len(result.path.records)
    tested_market = market[first : first + count]
    tested = _judge(result.path.records, tested_market, trials, variance)
    hindsight = _judge(result.records[best], market, trials, variance)
    earned = [window.log_growth[0] > 0.0 for window in fold_windows(result)]
    summary: dict[str, Any] = {
        **_about_data(result),
        **_about_rules(result),
        "cells": trials,
        "folds": len(result.choices),
        "folds_profitable": sum(map(bool, earned)),
        "days_untested": result.days.count - first - count,
        "oos_sharpe": tested["sharpe"],
        "out_of_sample": tested,
        "in_sample_best": {**hindsight, "parameters": result.grid.values(best)},
        "buy_and_hold": _market(tested_market, result),
        "selection": _selection(result, whole),
        "trials": trials,
        "trial_sharpe_deviation": math.sqrt(variance * DAYS_PER_YEAR),
        "luck_sharpe": luck * math.sqrt(DAYS_PER_YEAR),
        "parameters_last": result.grid.values(result.cell_next),
        "seconds": seconds,
    }
    cleaned: dict[str, Any] = _clean(summary)
    return cleaned


def _about_data(result: StudyResult) -> dict[str, Any]:
    data, market = result.study.data, result.market
    return {
        "instrument": data.instrument,
        "interval": data.interval,
        "source": market.source,
        "generated": market.generated,
        "funding": market.funding,
        "bars": int(market.history.close.size),
        "days": result.days.count,
        "first_ns": int(market.history.open_time_ns[0]),
        "last_ns": int(market.history.close_time_ns[-1]),
        "bars_missing": market.gaps.bars,
        "holes": market.gaps.holes,
    }


def _about_rules(result: StudyResult) -> dict[str, Any]:
    return {
        "strategy": result.study.strategy.name,
        "parameters": dict(result.grid.fixed),
        "grid": {name: list(values) for name, values in result.grid.axes},
        "walk_forward": _fields(result.study.walk_forward),
        "costs": _fields(result.study.costs),
        "fills": {
            **_fields(result.study.fills),
            "missing": result.market.fills_missing,
        },
    }


def fold_windows(result: StudyResult) -> list[Window]:
    """Return what the stitched path did in each fold's test window."""
    path = result.path
    return [
        measure(
            path.records[np.newaxis],
            choice.fold.test_start - path.first_day,
            choice.fold.test_stop - path.first_day,
        )
        for choice in result.choices
    ]


def fold_table(result: StudyResult) -> pl.DataFrame:
    """Return one row a fold: windows, choice, train and out-of-sample metrics."""
    days = result.days
    rows: list[dict[str, Any]] = []
    for choice, path in zip(result.choices, fold_windows(result), strict=True):
        fold = choice.fold
        rows.append(
            {
                "fold": fold.number,
                "train_start": days.start_ns(fold.train_start),
                "train_end": days.start_ns(fold.train_stop),
                "test_start": days.start_ns(fold.test_start),
                "test_end": days.start_ns(fold.test_stop),
                "cell": choice.cell,
                "score": choice.score,
                **_prefixed("train", choice.train),
                **_prefixed("test", path),
                "rank_correlation": choice.rank_correlation,
                "beat_share": choice.beat_share,
                **result.grid.values(choice.cell),
            }
        )
    times = ("train_start", "train_end", "test_start", "test_end")
    return pl.DataFrame(rows).with_columns(pl.col(name).cast(TIME) for name in times)


def equity_table(result: StudyResult) -> pl.DataFrame:
    """Return the stitched path, one row a bar, marked at its close."""
    path, history = result.path, result.market.history
    bars = slice(path.first, path.first + path.equity.size)
    start = result.study.costs.equity
    highest = np.maximum(np.maximum.accumulate(path.equity), start)
    fold = np.zeros(path.equity.size, dtype=np.int32)
    for choice in result.choices:
        fold[result.days.bar(choice.fold.test_start) - path.first :] = (
            choice.fold.number
        )
    return pl.DataFrame(
        {
            "time": history.close_time_ns[bars],
            "equity": path.equity,
            "drawdown": 1.0 - path.equity / highest,
            "position": path.units,
            "target": path.targets,
            "price": history.close[bars],
            "fold": fold,
        }
    ).with_columns(pl.col("time").cast(TIME))


def cell_table(result: StudyResult) -> pl.DataFrame:
    """Return one row a cell: its parameters and its metrics over all days."""
    whole = measure(result.records, 0, result.days.count)
    first = result.path.first_day
    tested = measure(result.records, first, first + len(result.path.records))
    names = result.study.grid or result.grid.values(0)
    columns: dict[str, Any] = {"cell": np.arange(len(result.grid.cells))}
    for name in names:
        columns[name] = [getattr(cell, name) for cell in result.grid.cells]
    columns["sharpe"] = whole.sharpe
    columns["return"] = np.expm1(whole.log_growth)
    columns["drawdown"] = whole.drawdown
    columns["trades"] = whole.trades
    columns["turnover"] = whole.turnover
    columns["fees"] = whole.fees
    columns["funding"] = whole.funding
    columns["sharpe_tested_days"] = tested.sharpe
    return pl.DataFrame(columns)


def _judge(
    records: Floats, market: Floats, trials: int, variance: float
) -> dict[str, Any]:
    """Return the metrics of one path's day records, (days, fields)."""
    window = measure(records[np.newaxis], 0, len(records))
    returns = np.expm1(records[:, 0])
    measured = moments(returns)
    line = regress(returns, np.expm1(market))
    growth = float(window.log_growth[0])
    return {
        "days": len(records),
        "return": math.expm1(growth),
        "yearly_growth": _yearly(growth, len(records)),
        "volatility": measured.deviation * math.sqrt(DAYS_PER_YEAR),
        "sharpe": float(window.sharpe[0]),
        "drawdown": float(window.drawdown[0]),
        "skewness": measured.skewness,
        "kurtosis": measured.kurtosis,
        "probabilistic_sharpe": probabilistic_sharpe(measured),
        "deflated_sharpe": deflated_sharpe(measured, trials, variance),
        "track_record_min_days": track_record_min(measured),
        "beta": line.beta,
        "alpha_yearly": line.alpha * DAYS_PER_YEAR,
        "correlation": line.correlation,
        **{name: float(getattr(window, name)[0]) for name in _SUMS},
    }


_SUMS = ("turnover", "fees", "funding", "trades", "held", "liquidations")


def _yearly(growth: float, days: int) -> float:
    """Return the yearly growth; None-able inf where a short window explodes."""
    exponent = growth * DAYS_PER_YEAR / max(days, 1)
    return math.expm1(exponent) if exponent < 700 else math.inf


def _market(growth: Floats, result: StudyResult) -> dict[str, Any]:
    """Return buy and hold over the tested days, from the price's closes by day."""
    path, history = result.path, result.market.history
    closes = history.close[path.first : path.first + path.equity.size]
    highest = np.maximum.accumulate(closes)
    window = moments(np.expm1(growth))
    return {
        "return": math.expm1(float(growth.sum())),
        "sharpe": window.sharpe * math.sqrt(DAYS_PER_YEAR),
        "drawdown": float((1.0 - closes / highest).max()),
        "volatility": window.deviation * math.sqrt(DAYS_PER_YEAR),
    }


def _selection(result: StudyResult, whole: Window) -> dict[str, Any]:
    """Return whether choosing on train days told anything about test days."""
    ranks = np.array([choice.rank_correlation for choice in result.choices])
    beaten = np.array([choice.beat_share for choice in result.choices])
    switches = sum(
        1
        for before, after in zip(result.choices, result.choices[1:], strict=False)
        if before.cell != after.cell
    )
    return {
        "rank_correlation": float(np.nanmean(ranks))
        if np.isfinite(ranks).any()
        else None,
        "beat_share": float(np.nanmean(beaten)) if np.isfinite(beaten).any() else None,
        "switches": switches,
        "cells_profitable": int((whole.log_growth > 0.0).sum()),
        "cells_traded": int((whole.trades > 0.0).sum()),
    }


def _prefixed(prefix: str, window: Window) -> dict[str, float]:
    own = one_of(window, 0)
    named = {name: float(values[0]) for name, values in own._asdict().items()}
    return {
        f"{prefix}_return": math.expm1(named.pop("log_growth")),
        **{f"{prefix}_{name}": value for name, value in named.items()},
    }


def _fields(section: object) -> dict[str, Any]:
    names = getattr(section, "__dataclass_fields__", {})
    return {name: getattr(section, name) for name in names}


def _clean(value: Any) -> Any:  # noqa: ANN401 - walks any JSON value
    """Return ``value`` without NaN and infinities, which JSON has no words for."""
    if isinstance(value, dict):
        return {name: _clean(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value

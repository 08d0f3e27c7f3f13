"""Bars for tests: seeded walks, and real ones where they are at hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from cryptoquantix.core.clock import NS_PER_SECOND
from cryptoquantix.core.market import Bar
from cryptoquantix.research.history import History

START_NS = 1_700_006_400 * NS_PER_SECOND  # 2023-11-15T00:00Z


def walk(seed: int, bars: int, *, seconds: int = 60, funding: bool = False) -> History:
    """A log walk with fat tails and drifting regimes."""
    rng = np.random.default_rng(seed)
    drift = np.repeat(rng.normal(0, 2e-4, bars // 500 + 1), 500)[:bars]
    close = 100.0 * np.exp(np.cumsum(drift + rng.standard_t(4, bars) * 1e-3))
    opened = np.concatenate(([100.0], close[:-1]))
    high = np.maximum(opened, close) * (1 + np.abs(rng.normal(0, 5e-4, bars)))
    low = np.minimum(opened, close) * (1 - np.abs(rng.normal(0, 5e-4, bars)))
    return make(opened, high, low, close, seconds=seconds, funding=funding)


def make(opened, high, low, close, *, seconds=60, funding=False, start=START_NS):
    """A history of consecutive bars."""
    count = len(close)
    times = start + np.arange(count + 1, dtype=np.int64) * seconds * NS_PER_SECOND
    charged = np.zeros(count)
    if funding:
        eight_hours = 8 * 3600 * NS_PER_SECOND
        charged[times[1:] % eight_hours == 0] = 1e-4
    arrays = [np.asarray(a, dtype=np.float64) for a in (opened, high, low, close)]
    all_of = (times[:-1], times[1:], *arrays, np.ones(count), charged, *arrays[:1] * 2)
    for array in all_of:
        array.flags.writeable = False
    return History(*all_of)


def flat(close, **kwargs):
    """Bars whose open, high and low are their close."""
    return make(close, close, close, close, **kwargs)


def bars_of(history: History) -> list[Bar]:
    """The history as single bars."""
    return [Bar(*row) for row in zip(*(a.tolist() for a in history[:8]), strict=True)]


def history_of(bars: list[Bar]) -> History:
    """Single bars as a history."""
    times, values = np.int64, np.float64
    kinds = (times, times, *(values,) * 6)
    columns = zip(*bars, strict=True)
    arrays = [np.array(c, k) for c, k in zip(columns, kinds, strict=True)]
    return History(*arrays, fill_buy=arrays[2], fill_sell=arrays[2])


def cut(history: History, start: int, stop: int) -> History:
    """The bars from ``start`` to before ``stop``."""
    return History(*(array[start:stop] for array in history))


def real_history(real_data: Path) -> History:
    """A real month of 1-minute bars (NEARUSDT perpetual, February 2025)."""
    name = "futures-um-NEARUSDT-1m-2025-02.csv"
    file = real_data / "market-data" / "ohlcv" / "binance-archive" / name
    frame = pl.read_csv(file)
    columns = [frame[name].to_numpy() for name in ("open", "high", "low", "close")]
    start = int(frame["open_time"][0]) * 1_000_000
    return make(*columns, start=start)

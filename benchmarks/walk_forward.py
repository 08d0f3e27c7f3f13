"""
A walk-forward study of trend_breakout over a parameter grid: ours against pandas.

By default 30 folds, 100 parameter sets and 1.58 million bars (three years of minutes).
Both do the same work on the same generated 1-minute bars: every parameter set over the
whole history (gate, channels, average true range, volatility, positions, next-open
fills with fees and slippage, daily returns), then the choice of a set per fold by its
train Sharpe ratio averaged with its grid neighbors, and the stitched out-of-sample
returns. Runs are interleaved, each in a fresh process; the time excludes imports.

The pandas contender is vectorized as one would write it: rolling and exponential
windows, forward fills instead of loops, every window computed once and shared by the
sets that need it. Its one approximation: the drift of a position's weight between two
bars ignores the costs paid in between (they are path dependent), which is what
`agree`, the largest difference of any daily log return, is made of. It computes no
drawdowns, and does not simulate the stitched account anew; ours computes the former.

Every cell of ours goes over all bars once and the folds are combinations of its days;
the contender's cells are likewise computed once and cut into folds afterwards. Both
share among cells what cells have in common: pandas its windows, ours what the strategy
reads of the market (see `strategies/contract.py`). If the daily returns differ by more
than `AGREE_MAX`, or one choice in twenty, the benchmark fails instead of printing.

Ours runs with its kernels in their cache, as every run but a user's first does; the
first one's time is `cold_seconds`.

    python benchmarks/walk_forward.py [--days 1095] [--runs 5]
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CONTENDERS = ("cryptoquantix", "pandas")
DAY_NS = 86_400_000_000_000
# Largest difference of a day's log return, and smallest part of equal choices.
AGREE_MAX, SAME_MIN = 2e-5, 0.95
FEE, SLIPPAGE = 0.0005, 0.0002
TRAIN_DAYS, TEST_DAYS = 180, 30
FIXED = {
    "gate_days": 5,
    "gate_band": 0.01,
    "volatility_bars": 1440,
    "volatility_target": 0.5,
    "leverage_max": 2.0,
    "atr_bars": 240,
}
GRID = {
    "breakout_bars": [240, 480, 960, 1440, 2880],
    "exit_bars": [240, 720, 1440, 2880],
    "exit_atr": [10.0, 20.0, 40.0, 60.0, 80.0],
}
SHAPE = tuple(len(values) for values in GRID.values())


def write_bars(file: Path, days: int) -> None:
    from decimal import Decimal

    from cryptoquantix.data.generator import generate_bars

    frame = generate_bars(
        11, 19_723 * DAY_NS, days, Decimal(100), tick_size=Decimal("0.01")
    )
    frame.write_parquet(file)


def run_cryptoquantix(file: Path, cache: Path):
    import polars as pl

    from cryptoquantix.research.account import Costs
    from cryptoquantix.research.days import measure
    from cryptoquantix.research.folds import FoldRule, cut_folds
    from cryptoquantix.research.grid import build_grid
    from cryptoquantix.research.history import days_of, from_frame
    from cryptoquantix.research.matrix import run_matrix
    from cryptoquantix.research.passes import load_passes
    from cryptoquantix.research.selection import choose
    from cryptoquantix.strategies import registry

    frame = pl.read_parquet(file)
    start = time.perf_counter()
    strategy = registry.load("trend_breakout")
    history = from_frame(frame)
    days = days_of(history)
    passes = load_passes(strategy, cache)
    grid = build_grid(strategy, FIXED, GRID)
    costs = Costs(FEE, SLIPPAGE, 0.0, 0.0, 0.0, 0.0)
    records = run_matrix(
        passes, history, days, costs, cells=grid.cells, progress=lambda _: None
    )
    daily = records[:, :, 0]
    cells, stitched = [], []
    for fold in cut_folds(days.count, FoldRule(TRAIN_DAYS, TEST_DAYS)):
        train = measure(records, fold.train_start, fold.train_stop)
        cell, _ = choose(train, "sharpe", SHAPE, use_plateau=True)
        cells.append(cell)
        stitched.append(daily[cell, fold.test_start : fold.test_stop])
    return time.perf_counter() - start, daily, cells, stitched


def run_pandas(file: Path, cache: Path):  # noqa: ARG001 - the same call as ours
    import itertools

    import numpy as np
    import pandas as pd
    import polars as pl

    frame = pl.read_parquet(file)
    columns = ("open", "high", "low", "close")
    opened = frame["open_time"].to_physical().to_numpy()
    bars = pd.DataFrame(
        {name: frame[name].to_numpy() for name in columns},
        index=pd.to_datetime(opened, utc=True),
    )
    start = time.perf_counter()
    close, high, low = bars["close"], bars["high"], bars["low"]
    day = bars.index.floor("D")
    day_end = pd.Series(day, bars.index).ne(pd.Series(day, bars.index).shift(-1))

    # The gate: daily closes, their mean, and a forward fill for the hysteresis.
    daily_close = close.groupby(day).last()
    mean = daily_close.rolling(FIXED["gate_days"]).mean()
    turn = np.select(
        [
            daily_close > mean * (1 + FIXED["gate_band"]),
            daily_close < mean * (1 - FIXED["gate_band"]),
        ],
        [1.0, -1.0],
        np.nan,
    )
    gate_daily = pd.Series(turn, daily_close.index).ffill().fillna(0.0)
    # Known at the close of the day's last bar, in force until the next day's last.
    gate = gate_daily.shift(1).reindex(day).set_axis(bars.index)
    gate[day_end] = gate_daily.to_numpy()
    gate = gate.fillna(0.0)

    def wilder(values: pd.Series, length: int) -> pd.Series:
        seeded = values.copy()
        seeded.iloc[1:length] = np.nan
        seeded.iloc[length] = values.iloc[1 : length + 1].mean()
        seeded.iloc[0] = np.nan
        return seeded.ewm(alpha=1 / length, adjust=False).mean()

    before = close.shift(1)
    true_range = np.maximum(high, before) - np.minimum(low, before)
    change = close / before - 1.0
    atr = wilder(true_range, FIXED["atr_bars"])
    variance = wilder(change**2, FIXED["volatility_bars"])
    volatility = np.sqrt(variance * 365 * 1440)
    wanted_size = np.minimum(
        FIXED["leverage_max"], FIXED["volatility_target"] / volatility
    )
    entry = {
        n: (high.rolling(n).max().shift(1), low.rolling(n).min().shift(1))
        for n in GRID["breakout_bars"]
    }
    trail = {
        n: (high.rolling(n).max(), low.rolling(n).min()) for n in GRID["exit_bars"]
    }
    ratio_open = (bars["open"].shift(-1) / close).to_numpy()  # next open over close
    ratio_close = (close.shift(-1) / close).to_numpy()

    def daily_growth(breakout: int, exit_bars: int, multiple: float) -> np.ndarray:
        stop_long = trail[exit_bars][0] - multiple * atr
        stop_short = trail[exit_bars][1] + multiple * atr
        out_long = (gate <= 0) | (close < stop_long)
        out_short = (gate >= 0) | (close > stop_short)
        known = volatility.notna() & atr.notna() & trail[exit_bars][0].notna()
        in_long = (close > entry[breakout][0]) & ~out_long & known
        in_short = (close < entry[breakout][1]) & ~out_short & known
        long = pd.Series(np.select([out_long, in_long], [0.0, 1.0], np.nan), bars.index)
        short = pd.Series(
            np.select([out_short, in_short], [0.0, 1.0], np.nan), bars.index
        )
        side = long.ffill().fillna(0.0) - short.ffill().fillna(0.0)
        resize = day_end | side.ne(side.shift(1).fillna(0.0))
        size = wanted_size.where(resize).ffill()
        target = (side * size).where(side != 0.0, 0.0).to_numpy()

        # Decided at a close, filled at the next open: what is held drifts with the
        # price; the trade is from the drifted weight to the target.
        drifted = np.zeros_like(target)
        drifted[1:] = (
            target[:-1] * ratio_close[:-1] / (1 + target[:-1] * (ratio_close[:-1] - 1))
        )
        traded = target - drifted
        price = ratio_open * (1 + SLIPPAGE * np.sign(traded))
        growth = (
            1
            + drifted * (price - 1)
            + target * (ratio_close - price)
            - np.abs(traded) * price * FEE
        )
        # The growth decided at bar t happens in bar t + 1, and belongs to its day.
        logs = np.concatenate(([0.0], np.log(growth[:-1])))
        return pd.Series(logs, bars.index).groupby(day).sum().to_numpy()

    daily = np.stack(
        [daily_growth(*cell) for cell in itertools.product(*GRID.values())]
    )
    returns = np.expm1(daily)
    cells, stitched = [], []
    for test in range(TRAIN_DAYS, daily.shape[1] - TEST_DAYS + 1, TEST_DAYS):
        train = returns[:, test - TRAIN_DAYS : test]
        deviation = train.std(axis=1, ddof=1)
        scores = np.where(
            deviation > 1e-15,
            train.mean(axis=1) / np.where(deviation > 1e-15, deviation, 1.0),
            0.0,
        )
        cell = int(np.argmax(neighbors(scores.reshape(SHAPE))))
        cells.append(cell)
        stitched.append(daily[cell, test : test + TEST_DAYS])
    return time.perf_counter() - start, daily, cells, stitched


def neighbors(grid):
    """Each score averaged with those one step along each axis."""
    import numpy as np

    total, count = grid.copy(), np.ones(grid.shape)
    for axis in range(grid.ndim):
        for shift in (1, -1):
            moved = np.roll(grid, shift, axis)
            present = np.ones(grid.shape)
            edge = [slice(None)] * grid.ndim
            edge[axis] = 0 if shift == 1 else -1
            moved[tuple(edge)] = present[tuple(edge)] = 0.0
            total += moved
            count += present
    return total / count


def child(contender: str, file: Path, cache: Path, out: Path) -> None:
    import numpy as np

    run = {"cryptoquantix": run_cryptoquantix, "pandas": run_pandas}[contender]
    before = resource.getrusage(resource.RUSAGE_SELF)
    seconds, daily, cells, stitched = run(file, cache)
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    np.savez(out, daily=daily, cells=cells, stitched=np.concatenate(stitched))
    status = Path("/proc/self/status").read_text()
    peak_kb = int(status.partition("VmHWM:")[2].split()[0])
    print(json.dumps({"seconds": seconds, "cpu": cpu, "peak_mb": peak_kb / 1024}))


def call(contender: str, file: Path, cache: Path, out: Path) -> dict[str, float]:
    command = [sys.executable, __file__, "--child", contender, file, cache, out]
    done = subprocess.run(
        [str(part) for part in command],
        check=True,
        capture_output=True,
        text=True,
        timeout=900,
    )
    return json.loads(done.stdout)


def compare(folder: Path, days: int, runs: int) -> None:
    import numpy as np

    file, cache = folder / "bars.parquet", folder / "kernels"
    write_bars(file, days)
    outs = {name: folder / f"{name}.npz" for name in CONTENDERS}
    cold = call("cryptoquantix", file, cache, outs["cryptoquantix"])
    found: dict[str, list[dict[str, float]]] = {name: [] for name in CONTENDERS}
    for _ in range(runs):
        for name in CONTENDERS:
            found[name].append(call(name, file, cache, outs[name]))
    ours, theirs = (np.load(outs[name]) for name in CONTENDERS)
    agree = float(np.abs(ours["daily"] - theirs["daily"]).max())
    same = float((ours["cells"] == theirs["cells"]).mean())
    stitched = float(abs(ours["stitched"].sum() - theirs["stitched"].sum()))
    if not (agree <= AGREE_MAX and same >= SAME_MIN):
        sys.exit(f"the two disagree: by {agree} a day, {same:.0%} of the choices equal")
    work = days * 1440 * int(np.prod(SHAPE))
    median = {
        name: statistics.median(one["seconds"] for one in found[name])
        for name in CONTENDERS
    }
    # On a machine shared with others the fastest run is the least disturbed one.
    best = {name: min(one["seconds"] for one in found[name]) for name in CONTENDERS}
    for name in CONTENDERS:
        line = {
            "benchmark": "walk_forward",
            "contender": name,
            "median_seconds": round(median[name], 4),
            "cpu_seconds": round(statistics.median(o["cpu"] for o in found[name]), 4),
            "unit": "bar and parameter set",
            "ns_per_unit": round(median[name] / work * 1e9, 2),
            "peak_mb": round(max(one["peak_mb"] for one in found[name]), 1),
            "ratio": round(median["cryptoquantix"] / median[name], 4),
            "best_seconds": round(best[name], 4),
            "best_ratio": round(best["cryptoquantix"] / best[name], 4),
            "agree": agree,
            "same_choices": same,
            "agree_stitched_log_return": stitched,
            "cold_seconds": round(cold["seconds"], 3) if name != "pandas" else None,
        }
        print(json.dumps(line), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--days", type=int, default=1095)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument(
        "--child", nargs=4, metavar=("CONTENDER", "FILE", "CACHE", "OUT")
    )
    options = parser.parse_args()
    if options.child:
        contender, *paths = options.child
        child(contender, *(Path(path) for path in paths))
        return
    with tempfile.TemporaryDirectory() as folder:
        compare(Path(folder), options.days, options.runs)


if __name__ == "__main__":
    main()

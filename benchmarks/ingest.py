"""
Zipped CSV trades to Parquet and 1-minute bars: ours against pandas.

Both do the same work on the same generated file: read the zip, write every trade to
Parquet (zstd), and its 1-minute bars to Parquet. Runs are interleaved, each in a
fresh process, whose peak memory is its own; the times exclude imports. pandas writes
with pyarrow where it is installed, else Polars writes for it.

    python benchmarks/ingest.py [--rows 2000000] [--runs 5]
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

MINUTE_NS = 60_000_000_000
CONTENDERS = ("cryptoquantix", "pandas")
NAME = "BTCUSDT-trades-2024-02-01"


def write_file(folder: Path, rows: int) -> Path:
    """Write a day of trades as Binance's USD-M archive has them, with a seed."""
    import numpy as np
    import polars as pl

    random = np.random.default_rng(7)
    prices = 430_000 + np.cumsum(random.integers(-1, 2, rows))
    lots = random.integers(1, 3000, rows)
    day_ms = 1_706_745_600_000
    frame = pl.DataFrame(
        {
            "id": np.arange(4_600_000_000, 4_600_000_000 + rows),
            "price": prices / 10,
            "qty": lots / 1000,
            "quote_qty": prices * lots / 10_000,
            "time": day_ms + np.sort(random.integers(0, 86_400_000, rows)),
            "is_buyer_maker": random.random(rows) < 0.5,
        }
    )
    text = frame.write_csv(float_scientific=False).encode()
    path = folder / f"futures-um-{NAME}.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{NAME}.csv", text)
    return path


def run_cryptoquantix(path: Path, out: Path) -> Path:
    from cryptoquantix.core.instrument import InstrumentId
    from cryptoquantix.data.build import build_bars
    from cryptoquantix.data.ingest import ingest

    start = time.perf_counter(), time.process_time()
    ingest(out, path)
    key = build_bars(out, InstrumentId.parse("binance:BTCUSDT-PERP"), "1m")
    report(start)
    return out / key.path


def run_pandas(path: Path, out: Path) -> Path:
    import pandas as pd

    start = time.perf_counter(), time.process_time()
    trades = pd.read_csv(
        path,
        dtype={"id": "int64", "price": "float64", "qty": "float64", "time": "int64"},
        usecols=["id", "price", "qty", "time", "is_buyer_maker"],
    )
    trades["time"] = pd.to_datetime(trades["time"], unit="ms", utc=True)
    write_pandas(trades, out / "ticks.parquet")
    trades["quote"] = trades["price"] * trades["qty"]
    groups = trades.groupby(trades["time"].dt.floor("min"))
    bars = groups["price"].agg(["first", "max", "min", "last"])
    bars.columns = ["open", "high", "low", "close"]
    bars["volume"] = groups["qty"].sum()
    bars["quote_volume"] = groups["quote"].sum()
    bars["trades"] = groups.size()
    (out / "bars").mkdir()
    write_pandas(bars.reset_index(names="open_time"), out / "bars" / "bars.parquet")
    report(start)
    return out / "bars"


def write_pandas(frame, path: Path) -> None:
    if importlib.util.find_spec("pyarrow") is not None:
        frame.to_parquet(path, compression="zstd")
        return
    import polars as pl

    columns = {}
    for name in frame.columns:
        column = frame[name]
        if str(column.dtype).startswith("datetime"):
            column = column.dt.tz_localize(None)
        columns[name] = column.to_numpy()
    pl.DataFrame(columns).write_parquet(path, compression="zstd")


def report(start: tuple[float, float]) -> None:
    seconds, cpu = time.perf_counter() - start[0], time.process_time() - start[1]
    # Not ru_maxrss, which a child inherits from the process that forked it.
    status = Path("/proc/self/status").read_text()
    peak_kb = int(status.partition("VmHWM:")[2].split()[0])
    print(json.dumps({"seconds": seconds, "cpu": cpu, "peak_mb": peak_kb / 1024}))


def read_bars(folder: Path):
    import polars as pl

    files = sorted(folder.rglob("*.parquet"))
    return pl.concat([pl.read_parquet(file, glob=False) for file in files])


def disagreement(ours: Path, theirs: Path) -> float:
    """Return the largest relative difference of any price or volume of a bar."""
    mine, other = read_bars(ours), read_bars(theirs)
    assert len(mine) == len(other), (len(mine), len(other))
    columns = ("open", "high", "low", "close", "volume", "quote_volume", "trades")
    return max(
        float(((mine[name] - other[name]).abs() / other[name].abs()).max() or 0.0)
        for name in columns
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--child", nargs=3, metavar=("CONTENDER", "FILE", "OUT"))
    options = parser.parse_args()
    if options.child:
        contender, path, out = options.child
        run = {"cryptoquantix": run_cryptoquantix, "pandas": run_pandas}[contender]
        run(Path(path), Path(out))
        return
    with tempfile.TemporaryDirectory() as folder:
        compare(Path(folder), options.rows, options.runs)


def compare(folder: Path, rows: int, runs: int) -> None:
    path = write_file(folder, rows)
    found: dict[str, list[dict[str, float]]] = {name: [] for name in CONTENDERS}
    for number in range(runs):
        for name in CONTENDERS:
            out = folder / f"{name}-{number}"
            out.mkdir()
            done = subprocess.run(
                [sys.executable, __file__, "--child", name, str(path), str(out)],
                check=True,
                capture_output=True,
                text=True,
                timeout=600,
            )
            found[name].append(json.loads(done.stdout))
    ours = folder / "cryptoquantix-0" / "bars"
    agree = disagreement(ours, folder / "pandas-0" / "bars")
    median = {
        name: statistics.median(one["seconds"] for one in found[name])
        for name in CONTENDERS
    }
    for name in CONTENDERS:
        line = {
            "benchmark": "ingest",
            "contender": name,
            "median_seconds": round(median[name], 4),
            "cpu_seconds": round(statistics.median(o["cpu"] for o in found[name]), 4),
            "unit": "trade",
            "ns_per_unit": round(median[name] / rows * 1e9, 1),
            "peak_mb": round(max(one["peak_mb"] for one in found[name]), 1),
            "ratio": round(median["cryptoquantix"] / median[name], 4),
            "agree": agree,
        }
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()

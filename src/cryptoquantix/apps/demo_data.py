"""
The market data of the demo: the user's own, a download, or generated and labelled so.

It chooses one series and does not trade it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Final

import polars as pl

from cryptoquantix.apps.download import NetworkError, download
from cryptoquantix.apps.ingest import ingest
from cryptoquantix.core.clock import NS_PER_DAY, NS_PER_SECOND
from cryptoquantix.core.errors import DataError
from cryptoquantix.core.instrument import InstrumentId
from cryptoquantix.data.catalog import Catalog
from cryptoquantix.data.generator import generate_bars, store_generated
from cryptoquantix.data.schema import DatasetKind

BAR_SECONDS: Final = 60
DAYS_MIN: Final = 8
_GENERATED: Final = InstrumentId.parse("binance:BTCUSDT-PERP")
_GENERATED_DAYS: Final = 30
_GENERATED_START_NS: Final = 1_704_067_200 * NS_PER_SECOND  # 2024-01-01
_SEED: Final = 7


@dataclass(frozen=True, slots=True)
class Series:
    """One run of 1-minute bars without a hole, and where it comes from."""

    catalog: Path
    instrument: InstrumentId
    start_ns: int
    end_ns: int
    bars: int
    ticks: int
    source: str
    generated: bool

    @property
    def days(self) -> float:
        """Its length."""
        return (self.end_ns - self.start_ns) / NS_PER_DAY


def find_series(data: Path | None, catalog: Path, say: Callable[[str], None]) -> Series:
    """
    Return the longest run of 1-minute bars of ``data``, ingested into ``catalog``.

    Without ``data`` a month of BTCUSDT is downloaded from Binance's public archive;
    without a network a month is generated, and ``say`` is told so.

    Raises
    ------
    DataError
        If ``data`` holds no run of eight days.
    """
    if data is not None:
        ingest([data], catalog)
        return _longest(catalog, str(data))
    try:
        files = download("BTCUSDT", "2024-01", catalog.parent / "archive")
    except NetworkError as error:
        say(f"no archive to download ({error}): generating a month instead")
        return _generate(catalog)
    ingest(files, catalog)
    return _longest(catalog, "Binance public archive, BTCUSDT 2024-01")


def _generate(catalog: Path) -> Series:
    bars = generate_bars(
        _SEED,
        _GENERATED_START_NS,
        _GENERATED_DAYS,
        Decimal(42_000),
        tick_size=Decimal("0.1"),
    )
    store_generated(catalog, _GENERATED, bars)
    return _longest(catalog, f"GENERATED (seed {_SEED}); no market ever traded it")


def _longest(catalog_path: Path, source: str) -> Series:
    catalog = Catalog(catalog_path)
    best: Series | None = None
    for dataset in catalog.datasets():
        if dataset.kind is DatasetKind.FUNDING or dataset.interval not in {"", "1m"}:
            continue
        frame = catalog.bars(dataset.instrument, BAR_SECONDS)
        start_ns, end_ns, bars = _longest_run(frame)
        if best is None or bars > best.bars:
            ticks = dataset.rows if dataset.kind is DatasetKind.TICKS else 0
            best = Series(
                catalog_path,
                dataset.instrument,
                start_ns,
                end_ns,
                bars,
                ticks,
                source,
                dataset.generated,
            )
    if best is None or best.days < DAYS_MIN:
        found = "none" if best is None else f"{best.days:.1f} days"
        msg = (
            f"the demo needs {DAYS_MIN} days of 1-minute bars (or trades) in a row "
            f"for its walk-forward, found {found} in {source}"
        )
        raise DataError(msg)
    return best


def _longest_run(frame: pl.LazyFrame) -> tuple[int, int, int]:
    """Return (start_ns, end_ns, bars) of the longest run without a hole."""
    runs = (
        frame.select("open_time", "close_time")
        .with_columns(
            (pl.col("open_time") != pl.col("close_time").shift(1))
            .fill_null(value=False)
            .cum_sum()
            .alias("run")
        )
        .group_by("run")
        .agg(
            pl.col("open_time").min().to_physical().alias("start"),
            pl.col("close_time").max().to_physical().alias("end"),
            pl.len().alias("bars"),
        )
        .sort("bars", "start", descending=[True, False])
        .head(1)
        .collect()
    )
    if runs.is_empty():
        return 0, 0, 0
    start, end, bars = runs.select("start", "end", "bars").row(0)
    return start, end, bars

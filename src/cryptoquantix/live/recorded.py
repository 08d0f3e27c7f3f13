"""What a catalog's ticks end with, and what of late is missing; it writes nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Final

import polars as pl

from cryptoquantix.core.clock import NS_PER_SECOND
from cryptoquantix.core.instrument import InstrumentId
from cryptoquantix.data.catalog import Catalog
from cryptoquantix.data.layout import DatasetKey, dataset_keys
from cryptoquantix.data.schema import DatasetKind
from cryptoquantix.data.segments import NOT_HEARD, recorded_gaps
from cryptoquantix.live.gap_filler import WantedGap

AGE_MAX_NS: Final = 24 * 3_600 * NS_PER_SECOND
_GAPS_MAX: Final = 100


def newest_ticks(root: Path) -> dict[InstrumentId, tuple[int, int]]:
    """Return id and time of the newest tick held of each instrument."""
    catalog = Catalog(root)
    found = {}
    for key in dataset_keys(root):
        # Of a catalog of years only each instrument's last day is read.
        dates = catalog.dates(key) if key.kind is DatasetKind.TICKS else []
        files = catalog.files(key, dates[-1]) if dates else []
        if not files:
            continue
        last = (
            pl.scan_parquet(files, glob=False, hive_partitioning=False)
            .select(pl.col("trade_id"), pl.col("time").to_physical())
            .sort("time", "trade_id")
            .tail(1)
            .collect(engine="streaming")
        )
        for trade_id, time_ns in last.iter_rows():
            found[key.instrument] = trade_id, time_ns
    return found


def open_gaps(
    root: Path, instruments: Collection[InstrumentId], now_ns: int
) -> Iterator[WantedGap]:
    """
    Yield what a recorder before this one missed within a day, and did not fetch.

    At most the newest hundred gaps of each instrument.
    """
    catalog = Catalog(root)
    for instrument in instruments:
        key = DatasetKey(DatasetKind.TICKS, instrument)
        gaps = [
            gap
            for gap in recorded_gaps(root, key)
            if gap.why == NOT_HEARD and 0 <= now_ns - gap.noted_ns <= AGE_MAX_NS
        ]
        decimals = catalog.marker(key).decimals if gaps else {}
        if decimals.keys() >= {"price", "size"}:
            # Whole numbers of a venue's steps are whole numbers of these.
            steps = (Decimal(1).scaleb(-decimals[name]) for name in ("price", "size"))
            tick_size, lot_size = steps
            for gap in gaps[-_GAPS_MAX:]:
                yield WantedGap(instrument, tick_size, lot_size, gap)

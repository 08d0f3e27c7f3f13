"""Bars of the ticks held, stored beside them day by day; it reads no archive."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from cryptoquantix.bars.batch import time_bars
from cryptoquantix.core.clock import NS_PER_SECOND
from cryptoquantix.core.errors import DataError
from cryptoquantix.core.instrument import InstrumentId
from cryptoquantix.data.catalog import Catalog
from cryptoquantix.data.layout import MARKER, DatasetKey, Marker, read_marker
from cryptoquantix.data.schema import DatasetKind, interval_seconds
from cryptoquantix.data.store import Staging, split_by_date, write_part

SOURCE = "built"


def build_bars(root: Path, instrument: InstrumentId, interval: str) -> DatasetKey:
    """
    Build and store the bars of all ticks held of ``instrument``.

    Bars stored by an earlier call are replaced. The bars are those of
    :func:`cryptoquantix.bars.batch.time_bars` over all days at once; memory holds
    one day's bars.

    Raises
    ------
    SettingsError
        If ``interval`` is unknown.
    DataError
        If there are no ticks, or bars of an archive are held under that name.
    """
    interval_ns = interval_seconds(interval) * NS_PER_SECOND
    catalog = Catalog(root)
    ticks = DatasetKey(DatasetKind.TICKS, instrument)
    marker = catalog.marker(ticks)
    key = DatasetKey(DatasetKind.BARS, instrument, interval)
    _refuse_archive_bars(root, key)
    parts: dict[str, int] = {}
    with Staging(root) as staging:
        last: pl.DataFrame | None = None
        for date in catalog.dates(ticks):
            files = catalog.files(ticks, date)
            day = pl.scan_parquet(files, glob=False, hive_partitioning=False)
            bars = _bars(day, last, interval_ns, marker)
            for bar_date, rows in split_by_date(bars, "open_time").items():
                number = parts.get(bar_date, 0)
                write_part(rows, staging.partition(key, bar_date), number)
                parts[bar_date] = number + 1
            last = pl.read_parquet(files[-1], glob=False).tail(1)
        decimals = {"price": "price", "volume": "size"}
        known = {
            name: marker.decimals[column]
            for name, column in decimals.items()
            if column in marker.decimals
        }
        built = Marker(SOURCE, generated=marker.generated, decimals=known)
        staging.commit(key, list(parts), built)
    return key


def _bars(
    day: pl.LazyFrame, last: pl.DataFrame | None, interval_ns: int, marker: Marker
) -> pl.DataFrame:
    """Return a day's bars, with the flat ones since the trade before it."""
    ticks = day if last is None else pl.concat((last.lazy(), day))
    bars = time_bars(
        ticks,
        interval_ns,
        price_decimals=marker.decimals.get("price"),
        size_decimals=marker.decimals.get("size"),
    ).collect(engine="streaming")
    # The trade before it has its bar already, from its own day.
    return bars if last is None else bars.slice(1)


def _refuse_archive_bars(root: Path, key: DatasetKey) -> None:
    folder = root / key.path
    if not (folder / MARKER).exists():
        return
    source = read_marker(folder).source
    if source != SOURCE:
        msg = (
            f"the catalog {root} holds {source} as {key}: built bars do not mix "
            f"with them"
        )
        raise DataError(msg)

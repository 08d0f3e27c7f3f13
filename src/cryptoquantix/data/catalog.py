"""What history we hold, as LazyFrames; it writes nothing and repairs nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from cryptoquantix.bars.batch import coarser_bars, time_bars
from cryptoquantix.core.clock import NS_PER_SECOND
from cryptoquantix.core.errors import DataError
from cryptoquantix.core.instrument import InstrumentId
from cryptoquantix.data.layout import (
    DatasetKey,
    Marker,
    dataset_keys,
    partition_dates,
    read_marker,
)
from cryptoquantix.data.schema import (
    INTERVALS,
    SCHEMAS,
    TIME,
    TIME_COLUMN,
    DatasetKind,
    interval_name,
)
from cryptoquantix.data.store import recover


@dataclass(frozen=True, slots=True)
class Dataset:
    """
    One dataset of a catalog and its extent.

    ``first_ns`` and ``last_ns`` are the times of the first and last row (of bars:
    the first open and the last, exclusive, close). ``generated`` data were made by
    a generator and never traded anywhere.
    """

    kind: DatasetKind
    instrument: InstrumentId
    interval: str
    first_ns: int
    last_ns: int
    rows: int
    source: str
    generated: bool

    @property
    def key(self) -> DatasetKey:
        """What names it."""
        return DatasetKey(self.kind, self.instrument, self.interval)


class Catalog:
    """
    A folder of datasets (:mod:`cryptoquantix.data.layout`).

    ``root`` need not exist; then it holds nothing. Ranges are half-open,
    ``[start_ns, end_ns)``, and None is open-ended. Frames come sorted by time.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(root)
        recover(self.root)

    def datasets(self) -> list[Dataset]:
        """Return every dataset held, sorted by kind and name."""
        return [self.dataset(key) for key in dataset_keys(self.root)]

    def dataset(self, key: DatasetKey) -> Dataset:
        """
        Return the extent of one dataset.

        Raises
        ------
        DataError
            If it is not held.
        """
        marker = self.marker(key)
        name = TIME_COLUMN[key.kind]
        time = pl.col(name)
        last = pl.col("close_time" if key.kind is DatasetKind.BARS else name)
        extent = (
            self.scan(key)
            .select(
                time.to_physical().min().alias("first"),
                last.to_physical().max().alias("last"),
                pl.len().alias("rows"),
            )
            .collect(engine="streaming")
        )
        first, final, rows = extent.row(0)
        return Dataset(
            key.kind,
            key.instrument,
            key.interval,
            first or 0,
            final or 0,
            rows,
            marker.source,
            marker.generated,
        )

    def marker(self, key: DatasetKey) -> Marker:
        """
        Return what is true of a whole dataset.

        Raises
        ------
        DataError
            If it is not held.
        """
        try:
            return read_marker(self.root / key.path)
        except DataError:
            msg = f"the catalog {self.root} holds no {key}"
            raise DataError(msg) from None

    def dates(self, key: DatasetKey) -> list[str]:
        """Return the UTC days held of a dataset, sorted; none if it is not held."""
        return partition_dates(self.root / key.path)

    def files(self, key: DatasetKey, date: str) -> list[Path]:
        """Return the part files of one day, in the order of their rows."""
        return sorted((self.root / key.partition(date)).glob("*.parquet"))

    def scan(
        self, key: DatasetKey, start_ns: int | None = None, end_ns: int | None = None
    ) -> pl.LazyFrame:
        """Return a dataset's rows with a time in the range, sorted; maybe none."""
        files = list(self._files(key, start_ns, end_ns))
        if not files:
            return pl.LazyFrame(schema=SCHEMAS[key.kind])
        frame = pl.scan_parquet(files, glob=False, hive_partitioning=False)
        return frame.filter(_within(key.kind, start_ns, end_ns))

    def parts(
        self, key: DatasetKey, start_ns: int | None = None, end_ns: int | None = None
    ) -> Iterator[pl.DataFrame]:
        """Yield the same rows one part file at a time: memory stays bounded."""
        for file in self._files(key, start_ns, end_ns):
            rows = pl.read_parquet(file, glob=False, hive_partitioning=False)
            yield rows.filter(_within(key.kind, start_ns, end_ns))

    def _files(
        self, key: DatasetKey, start_ns: int | None, end_ns: int | None
    ) -> Iterator[Path]:
        first = "" if start_ns is None else utc_date(start_ns)
        last = "~" if end_ns is None else utc_date(end_ns)
        for date in self.dates(key):
            if first <= date <= last:
                yield from self.files(key, date)

    def ticks(
        self,
        instrument: InstrumentId,
        start_ns: int | None = None,
        end_ns: int | None = None,
    ) -> pl.LazyFrame:
        """
        Return ticks (:data:`cryptoquantix.data.schema.TICKS`).

        Raises
        ------
        DataError
            If none of the instrument are held at all.
        """
        key = DatasetKey(DatasetKind.TICKS, instrument)
        self.marker(key)
        return self.scan(key, start_ns, end_ns)

    def funding(
        self,
        instrument: InstrumentId,
        start_ns: int | None = None,
        end_ns: int | None = None,
    ) -> pl.LazyFrame:
        """
        Return funding rates (:data:`cryptoquantix.data.schema.FUNDING`).

        Raises
        ------
        DataError
            If none of the instrument are held at all.
        """
        key = DatasetKey(DatasetKind.FUNDING, instrument)
        self.marker(key)
        return self.scan(key, start_ns, end_ns)

    def bars(
        self,
        instrument: InstrumentId,
        interval_seconds: int,
        start_ns: int | None = None,
        end_ns: int | None = None,
    ) -> pl.LazyFrame:
        """
        Return the bars that lie within the range, whole.

        Stored ones of that interval; else built from the stored finer interval that
        covers most days (the coarsest of several such); else built from ticks.

        Raises
        ------
        DataError
            If there is nothing to build them from.
        """
        interval = interval_name(interval_seconds)
        stored = DatasetKey(DatasetKind.BARS, instrument, interval)
        if self.dates(stored):
            return self._whole_bars(stored, start_ns, end_ns)
        interval_ns = interval_seconds * NS_PER_SECOND
        finer = self._finer(instrument, interval_seconds)
        if finer is not None:
            decimals = self.marker(finer).decimals
            return coarser_bars(
                self._whole_bars(finer, start_ns, end_ns),
                interval_ns,
                volume_decimals=decimals.get("volume"),
                quote_decimals=decimals.get("quote_volume"),
            )
        return self._bars_of_ticks(instrument, interval_ns, start_ns, end_ns)

    def _whole_bars(
        self, key: DatasetKey, start_ns: int | None, end_ns: int | None
    ) -> pl.LazyFrame:
        frame = self.scan(key, start_ns, end_ns)
        if end_ns is None:
            return frame
        return frame.filter(pl.col("close_time") <= pl.lit(end_ns).cast(TIME))

    def _finer(
        self, instrument: InstrumentId, interval_seconds: int
    ) -> DatasetKey | None:
        keys = [
            DatasetKey(DatasetKind.BARS, instrument, name)
            for name, seconds in INTERVALS.items()
            if seconds < interval_seconds and interval_seconds % seconds == 0
        ]
        held = [(len(self.dates(key)), INTERVALS[key.interval], key) for key in keys]
        days, _, best = max(held, key=lambda item: item[:2], default=(0, 0, None))
        return best if days else None

    def _bars_of_ticks(
        self,
        instrument: InstrumentId,
        interval_ns: int,
        start_ns: int | None,
        end_ns: int | None,
    ) -> pl.LazyFrame:
        key = DatasetKey(DatasetKind.TICKS, instrument)
        if not self.dates(key):
            msg = (
                f"the catalog {self.root} holds no bars of {instrument} to build bars "
                f"of {interval_ns // NS_PER_SECOND} s from, and no ticks"
            )
            raise DataError(msg)
        decimals = self.marker(key).decimals
        # Whole intervals only: a bar of some of its trades is a wrong bar.
        start = None if start_ns is None else -(-start_ns // interval_ns) * interval_ns
        end = None if end_ns is None else end_ns // interval_ns * interval_ns
        return time_bars(
            self.scan(key, start, end),
            interval_ns,
            price_decimals=decimals.get("price"),
            size_decimals=decimals.get("size"),
        )


def _within(kind: DatasetKind, start_ns: int | None, end_ns: int | None) -> pl.Expr:
    time = pl.col(TIME_COLUMN[kind])
    condition = pl.lit(value=True)
    if start_ns is not None:
        condition &= time >= pl.lit(start_ns).cast(TIME)
    if end_ns is not None:
        condition &= time < pl.lit(end_ns).cast(TIME)
    return condition


def utc_date(time_ns: int) -> str:
    """
    Return the UTC day of a time, as partitions are named.

    Examples
    --------
    >>> utc_date(1_730_000_000_000_000_000)
    '2024-10-27'
    """
    return str(pl.Series([time_ns]).cast(TIME).dt.date()[0])

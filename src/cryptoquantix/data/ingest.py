"""
Archive files into the catalog, streaming; it repairs and deletes nothing.

A file is parsed in chunks into staged part files. Days that the catalog does not
hold and that came in order are published as they are; others are merged with what
is there, an hour of ticks at a time, so that memory grows neither with the file nor
with the catalog. The same rows again change nothing; rows that are there already
with other values are counted and the first kept. All of a file is published, or
nothing of it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import numpy as np
import polars as pl

from cryptoquantix.bars.decimals import column_decimals
from cryptoquantix.core.errors import DataError
from cryptoquantix.data.archive import Answers, Archive, describe, is_archive_name
from cryptoquantix.data.catalog import Catalog
from cryptoquantix.data.layout import MARKER, DatasetKey, Marker, read_marker
from cryptoquantix.data.readers.binance import frames
from cryptoquantix.data.schema import (
    KEY_COLUMN,
    SCHEMAS,
    TIME_COLUMN,
    DatasetKind,
)
from cryptoquantix.data.store import Staging, split_by_date, write_part
from cryptoquantix.data.text import CHUNK_BYTES, chunks, verify_checksum

_HOURS = 24
_WRITES_BEHIND = 2
_DECIMAL_COLUMNS: dict[DatasetKind, dict[str, tuple[str, ...]]] = {
    DatasetKind.TICKS: {"price": ("price",), "size": ("size",)},
    DatasetKind.BARS: {
        "price": ("open", "high", "low", "close"),
        "volume": ("volume",),
        "quote_volume": ("quote_volume",),
    },
    DatasetKind.FUNDING: {},
}


@dataclass(frozen=True, slots=True)
class Ingested:
    """
    What one file brought.

    ``rows`` were read; ``added`` of them are new; ``duplicates`` were there already
    or twice in the file, of which ``conflicts`` with other values; ``disordered``
    came before the row in front of them.
    """

    path: Path
    key: DatasetKey
    rows: int
    added: int
    duplicates: int
    conflicts: int
    disordered: int
    days: int
    first_ns: int
    last_ns: int
    is_verified: bool


@dataclass(slots=True)
class _Seen:
    """What is known so far of the file being read."""

    rows: int = 0
    disordered: int = 0
    first_ns: int = 2**63 - 1
    last_ns: int = -1  # the latest time so far
    row_ns: int = -1  # the time of the row read last
    key_last: int = -1
    parts: dict[str, int] = field(default_factory=dict)  # by day, as are rows
    day_rows: dict[str, int] = field(default_factory=dict)
    unsorted: set[str] = field(default_factory=set)
    decimals: dict[str, int | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Merged:
    added: int = 0
    duplicates: int = 0
    conflicts: int = 0


def archive_files(paths: list[Path]) -> list[Path]:
    """
    Return the files to ingest: the ones named, and a folder's archives, sorted.

    Raises
    ------
    DataError
        If a path does not exist, or a folder holds no file named like an archive.
    """
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if is_archive_name(p))
            if not inside:
                msg = (
                    f"{path} holds no archive file, expected names like "
                    f"BTCUSDT-1m-2024-01.zip"
                )
                raise DataError(msg)
            files += inside
        elif path.exists():
            files.append(path)
        else:
            msg = f"no such file: {path}"
            raise DataError(msg)
    return files


def ingest(
    root: Path,
    path: Path,
    answers: Answers | None = None,
    on_bytes: Callable[[int], None] | None = None,
    *,
    chunk_bytes: int = CHUNK_BYTES,
) -> Ingested:
    """
    Add one archive file to the catalog at ``root``.

    A ``.CHECKSUM`` beside the file is verified first. ``on_bytes`` is told of
    progress through the text. On any error the catalog is as it was.

    Raises
    ------
    SettingsError
        If neither name nor ``answers`` say what the file holds.
    SchemaError
        If the text is not what it should be (:mod:`.readers.binance`).
    DataError
        If the file is broken or does not match its checksum, or the catalog cannot
        be written or holds data of another origin under that name.
    """
    archive = describe(path, answers)
    is_verified = verify_checksum(path)
    key = archive.key
    with Staging(root) as staging:
        old = _old_marker(root, archive)
        seen = _Seen(decimals=dict(old.decimals) if old else {})
        text = chunks(path, on_bytes, chunk_bytes)
        with _Writer(staging, key) as writer:
            for frame in frames(archive, text):
                _stage(writer, frame, seen)
        merged = _merge(Catalog(root), staging, key, seen)
        marker = _marker(archive, old, seen)
        dates = [date for date, part in merged.items() if part.added]
        if dates or marker != old:
            staging.commit(key, dates, marker)
    return Ingested(
        path,
        key,
        seen.rows,
        sum(part.added for part in merged.values()),
        sum(part.duplicates for part in merged.values()),
        sum(part.conflicts for part in merged.values()),
        seen.disordered,
        len(seen.parts),
        seen.first_ns,
        seen.last_ns,
        is_verified,
    )


def _old_marker(root: Path, archive: Archive) -> Marker | None:
    """Return the dataset's marker, if it may be added to."""
    folder = root / archive.key.path
    if not (folder / MARKER).exists():
        return None
    old = read_marker(folder)
    if old.source != archive.kind.value:
        msg = (
            f"the catalog {root} holds {old.source} as {archive.key}, and "
            f"{archive.path.name} holds {archive.kind.value}: the two do not mix, "
            f"use another catalog"
        )
        raise DataError(msg)
    return old


def _marker(archive: Archive, old: Marker | None, seen: _Seen) -> Marker:
    known = {
        name: decimals
        for name, decimals in seen.decimals.items()
        if decimals is not None
    }
    if old is not None:  # what was too long once stays so
        known = {name: known[name] for name in known if name in old.decimals}
    return Marker(archive.kind.value, generated=False, decimals=known)


class _Writer:
    """Writes part files on a thread of its own, a few behind the reader at most."""

    def __init__(self, staging: Staging, key: DatasetKey) -> None:
        self.key = key
        self._staging = staging
        self._pool = ThreadPoolExecutor(1, "part-writer")
        self._waiting: deque[Future[None]] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            while self._waiting and kind is None:
                self._waiting.popleft().result()
        finally:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def write(self, rows: pl.DataFrame, date: str, number: int) -> None:
        """Write rows as a part file of a day, soon."""
        folder = self._staging.partition(self.key, date)
        self._waiting.append(self._pool.submit(write_part, rows, folder, number))
        while len(self._waiting) > _WRITES_BEHIND:
            self._waiting.popleft().result()


def _stage(writer: _Writer, frame: pl.DataFrame, seen: _Seen) -> None:
    """Write a chunk's rows to staged part files, one per UTC day, sorted."""
    if not len(frame):
        return
    key = writer.key
    is_in_order = _note_order(key, frame, seen)
    if not is_in_order:
        frame = frame.sort(_order(key.kind), maintain_order=True)
    for date, rows in split_by_date(frame, TIME_COLUMN[key.kind]).items():
        number = seen.parts.get(date, 0)
        writer.write(rows, date, number)
        seen.parts[date] = number + 1
        seen.day_rows[date] = seen.day_rows.get(date, 0) + len(rows)
        if not is_in_order:
            seen.unsorted.add(date)
    _count_decimals(key, frame, seen)
    seen.rows += len(frame)


def _note_order(key: DatasetKey, frame: pl.DataFrame, seen: _Seen) -> bool:
    """Whether times do not fall and keys rise, from all rows before on; count falls."""
    times_ns = frame[TIME_COLUMN[key.kind]].to_physical().to_numpy()
    keys = frame[KEY_COLUMN[key.kind]].to_physical().to_numpy()
    falls = int(np.count_nonzero(times_ns[1:] < times_ns[:-1]))
    seen.disordered += falls + (int(times_ns[0]) < seen.row_ns)
    is_in_order = (
        not falls
        and int(times_ns[0]) >= seen.last_ns
        and int(keys[0]) > seen.key_last
        and bool(np.all(keys[1:] > keys[:-1]))
    )
    seen.row_ns = int(times_ns[-1])
    seen.first_ns = min(seen.first_ns, int(times_ns.min()))
    seen.last_ns = max(seen.last_ns, int(times_ns.max()))
    seen.key_last = max(seen.key_last, int(keys.max()))
    return is_in_order


def _count_decimals(key: DatasetKey, frame: pl.DataFrame, seen: _Seen) -> None:
    for name, columns in _DECIMAL_COLUMNS[key.kind].items():
        for column in columns:
            known = seen.decimals.get(name, 0)
            if known is None:
                break
            found = column_decimals(frame, column, at_least=known)
            seen.decimals[name] = found


def _merge(
    catalog: Catalog, staging: Staging, key: DatasetKey, seen: _Seen
) -> dict[str, _Merged]:
    """Make each staged day what is to be published; return what it adds, by day."""
    merged = {}
    for date, rows in seen.day_rows.items():
        held = catalog.files(key, date)
        if not held and date not in seen.unsorted:
            merged[date] = _Merged(added=rows)
        else:
            staged = sorted(staging.partition(key, date).glob("*.parquet"))
            merged[date] = _merge_day(staging, key, date, (held, staged))
    return merged


def _merge_day(
    staging: Staging, key: DatasetKey, date: str, files: tuple[list[Path], list[Path]]
) -> _Merged:
    """Replace the staged parts of a day by their union with the held ones."""
    held, staged = files
    scratch = staging.scratch
    added = duplicates = conflicts = number = 0
    for window in _windows(key.kind, date):
        old = _read(key, held, window)
        new = _read(key, staged, window)
        fresh, found = _compare(key, old, new)
        added += found.added
        duplicates += found.duplicates
        conflicts += found.conflicts
        rows = pl.concat((old, fresh)).sort(_order(key.kind))
        if len(rows):
            write_part(rows, scratch, number)
            number += 1
    folder = staging.partition(key, date)
    for file in staged:
        file.unlink()
    for file in scratch.iterdir():
        file.rename(folder / file.name)
    return _Merged(added, duplicates, conflicts)


def _compare(
    key: DatasetKey, old: pl.DataFrame, new: pl.DataFrame
) -> tuple[pl.DataFrame, _Merged]:
    """Return the rows of ``new`` that ``old`` lacks, and how the others compare."""
    name = KEY_COLUMN[key.kind]
    once = new.unique(subset=name, keep="first", maintain_order=True)
    distinct = pl.concat((old, new)).unique()
    fresh = once.join(old, on=name, how="anti")
    # Every distinct row beyond one per key has a key seen with other values.
    conflicts = len(distinct) - len(old) - len(fresh)
    return fresh, _Merged(len(fresh), len(new) - len(fresh), conflicts)


def _order(kind: DatasetKind) -> list[str]:
    return list(dict.fromkeys((TIME_COLUMN[kind], KEY_COLUMN[kind])))


def _windows(kind: DatasetKind, date: str) -> Iterator[pl.Expr]:
    """Yield conditions that part a day: hours for ticks, of which there are many."""
    if kind is not DatasetKind.TICKS:
        yield pl.lit(value=True)
        return
    time = pl.col(TIME_COLUMN[kind])
    midnight = pl.lit(date).str.to_datetime("%Y-%m-%d", time_unit="ns", time_zone="UTC")
    for hour in range(_HOURS):
        start = midnight + pl.duration(hours=hour, time_unit="ns")
        end = midnight + pl.duration(hours=hour + 1, time_unit="ns")
        yield (time >= start) & (time < end)


def _read(key: DatasetKey, files: list[Path], window: pl.Expr) -> pl.DataFrame:
    if not files:
        return pl.DataFrame(schema=SCHEMAS[key.kind])
    frame = pl.scan_parquet(files, glob=False, hive_partitioning=False)
    return frame.filter(window).collect(engine="streaming")

"""
Live ticks into the catalog, a segment at a time, and a day's segments into one file.

A segment is a part file of a day beside the others: written under a hidden name,
synced, and renamed, so that readers see it whole or not at all. Its name is its first
row's time and id: the same segment again replaces itself. What is known to be missing
lies beside the days in ``gaps.jsonl``. Nothing that is there is changed by a segment; a
compaction drops rows that are there twice, whole, and no others. A tick that an archive
brought before is not added again, nor one that is fetched a second time.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

import polars as pl

from cryptoquantix.core.errors import DataError
from cryptoquantix.data.catalog import Catalog
from cryptoquantix.data.layout import MARKER, DatasetKey, Marker, read_marker
from cryptoquantix.data.schema import TICKS, TIME_COLUMN
from cryptoquantix.data.store import Staging, locked, split_by_date

GAPS: Final = "gaps.jsonl"
NOT_HEARD: Final = "not heard"
UNAVAILABLE: Final = "not to be had"
RENUMBERED: Final = "renumbered"
FILLED: Final = "filled"
# What is said of a gap last may be on disk first: a fill is noted by another hand.
_WEIGHT: Final = {FILLED: 2, UNAVAILABLE: 1}
_HOURS: Final = 24


class RecordedGap(NamedTuple):
    """
    Ticks that a recorder did not get: after one id and before another.

    Times are of the ticks around it; ``noted_ns`` is wall time. ``why`` is one of
    ``NOT_HEARD``, ``UNAVAILABLE`` (the venue's history does not reach back so far),
    ``RENUMBERED`` and ``FILLED``, which ends what was noted of the same two ids.
    """

    after_id: int
    before_id: int
    from_ns: int
    until_ns: int
    noted_ns: int
    why: str


def segment_name(frame: pl.DataFrame) -> str:
    """Return the file name of a segment; names sort as their rows do."""
    first_ns = frame["time"].to_physical()[0]
    return f"seg-{first_ns:020d}-{frame['trade_id'][0]:020d}.parquet"


def add_segment(  # noqa: PLR0917 - one segment's parts
    root: Path,
    key: DatasetKey,
    frame: pl.DataFrame,
    marker: Marker,
    gaps: Iterable[RecordedGap] = (),
    *,
    is_late: bool = False,
) -> int:
    """
    Add sorted ticks to a dataset, and gaps to its list; return how many files.

    What the day's archive or compacted parts hold is left out; of ticks that come
    late, between others, what any file holds: a process before may have been killed
    at the same work, and have cut it into other segments.

    Raises
    ------
    BlockingIOError
        If another process is writing to the catalog: try again.
    DataError
        If the dataset holds ticks of another origin, or the disk refuses (as when it
        is full): then the catalog is as it was, or has some days' files of the segment.
    """
    assert frame.schema == TICKS, f"a segment of ticks, was {frame.schema}"
    folder = root / key.path
    written = 0
    try:
        root.mkdir(parents=True, exist_ok=True)
        with locked(root):
            merged = _merged_marker(root, key, marker)
            folder.mkdir(parents=True, exist_ok=True)
            for date, rows in split_by_date(frame, TIME_COLUMN[key.kind]).items():
                _write(rows, root / key.partition(date), is_late=is_late)
                written += 1
            _note(folder / GAPS, gaps)
            if merged is not None:
                _write_text(folder / MARKER, merged.text())
    except BlockingIOError:
        raise
    except OSError as error:
        msg = f"cannot write to the catalog {root}: {error.strerror or error}"
        raise DataError(msg) from None
    return written


def check_origin(root: Path, key: DatasetKey, marker: Marker) -> None:
    """
    Return if ticks of ``marker``'s origin may be added to a dataset.

    Raises
    ------
    DataError
        If it holds ticks of another origin.
    """
    folder = root / key.path
    if not (folder / MARKER).exists():
        return
    old = read_marker(folder)
    if (old.source, old.generated) != (marker.source, marker.generated):
        msg = (
            f"the catalog {root} holds {old.source} as {key}, and the recorder brings "
            f"{marker.source}: the two do not mix, use another catalog"
        )
        raise DataError(msg)


def recorded_gaps(root: Path, key: DatasetKey) -> list[RecordedGap]:
    """
    Return the gaps noted for a dataset, in the order of their ids, each once.

    Those that were filled are none.
    """
    path = root / key.path / GAPS
    if not path.exists():
        return []
    found: dict[tuple[int, int], RecordedGap] = {}
    for line in path.read_text().splitlines():
        try:
            gap = RecordedGap(**json.loads(line))
        except (ValueError, TypeError):
            continue  # the last line of a process that was killed
        ids = gap.after_id, gap.before_id
        if ids not in found or _weight(gap) > _weight(found[ids]):
            found[ids] = gap
    return [found[ids] for ids in sorted(found) if found[ids].why != FILLED]


def _weight(gap: RecordedGap) -> int:
    return _WEIGHT.get(gap.why, 0)


def compact(root: Path, key: DatasetKey, date: str) -> int:
    """
    Make one file of a day's parts and segments; return how many there were.

    Rows are read and sorted an hour at a time. 1 or 0 files are left as they are.

    Raises
    ------
    DataError
        If another process is writing, or the disk refuses: the day is as it was.
    """
    with Staging(root) as staging:
        files = Catalog(root).files(key, date)
        if len(files) < 2:
            return len(files)
        target = staging.partition(key, date) / "part-00000.parquet"
        rows = pl.scan_parquet(files, glob=False, hive_partitioning=False)
        try:
            pl.concat(_hours(rows, date)).sink_parquet(
                target, compression="zstd", compression_level=3, maintain_order=True
            )
        except (OSError, pl.exceptions.ComputeError) as error:
            msg = f"cannot write a day of {key} to the catalog: {error}"
            raise DataError(msg) from None
        staging.commit(key, [date], read_marker(root / key.path))
        return len(files)


def _hours(rows: pl.LazyFrame, date: str) -> list[pl.LazyFrame]:
    midnight = pl.lit(date).str.to_datetime("%Y-%m-%d", time_unit="ns", time_zone="UTC")
    time = pl.col("time")
    return [
        rows.filter(
            (time >= midnight + pl.duration(hours=hour, time_unit="ns"))
            & (time < midnight + pl.duration(hours=hour + 1, time_unit="ns"))
        )
        .unique(maintain_order=True)
        .sort("time", "trade_id", maintain_order=True)
        for hour in range(_HOURS)
    ]


def _merged_marker(root: Path, key: DatasetKey, marker: Marker) -> Marker | None:
    """Return the marker to write, None where the one that is there says it all."""
    folder = root / key.path
    if not (folder / MARKER).exists():
        return marker
    check_origin(root, key, marker)
    old = read_marker(folder)
    # A column whose decimals are not named has values that are too long for it.
    decimals = {
        name: max(count, marker.decimals.get(name, 0))
        for name, count in old.decimals.items()
        if name in marker.decimals
    }
    merged = Marker(old.source, generated=old.generated, decimals=decimals)
    return None if merged == old else merged


def _new(rows: pl.DataFrame, folder: Path, names: str) -> pl.DataFrame:
    """Return the rows that no file of a day that is named like that holds."""
    parts = sorted(folder.glob(names))
    if not parts:
        return rows
    first, last = rows["time"].min(), rows["time"].max()
    held = (
        pl.scan_parquet(parts, glob=False, hive_partitioning=False)
        .filter(pl.col("time").is_between(pl.lit(first), pl.lit(last)))
        .select("trade_id", "time")
        .collect(engine="streaming")
    )
    return rows.join(held, on=["trade_id", "time"], how="anti", maintain_order="left")


def _write(segment: pl.DataFrame, folder: Path, *, is_late: bool) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    rows = _new(segment, folder, "*.parquet" if is_late else "part-*.parquet")
    if not len(rows):
        return
    target = folder / segment_name(rows)
    temporary = target.with_name(f".{target.name}.new")
    try:
        rows.write_parquet(temporary, compression="zstd", compression_level=1)
        _sync(temporary)
        temporary.replace(target)
        _sync(folder)
    except pl.exceptions.ComputeError as error:
        temporary.unlink(missing_ok=True)
        raise OSError(str(error)) from None
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def _note(path: Path, gaps: Iterable[RecordedGap]) -> None:
    lines = "".join(json.dumps(gap._asdict()) + "\n" for gap in gaps)
    if not lines:
        return
    with path.open("a") as file:
        file.write(lines)
        file.flush()
        os.fsync(file.fileno())


def _write_text(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_text(text)
    _sync(temporary)
    temporary.replace(path)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

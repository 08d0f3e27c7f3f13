"""Gaps, duplicates and disorder in the catalog: reports, never repairs."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import polars as pl

from cryptoquantix.core.clock import NS_PER_SECOND
from cryptoquantix.core.errors import GapError
from cryptoquantix.core.instrument import InstrumentId, Venue
from cryptoquantix.data.catalog import Catalog
from cryptoquantix.data.layout import DatasetKey
from cryptoquantix.data.schema import (
    INTERVALS,
    KEY_COLUMN,
    TIME_COLUMN,
    DatasetKind,
    interval_name,
)
from cryptoquantix.data.segments import recorded_gaps

FOUND_MAX = 1000
"""Findings listed per dataset; beyond it they are only counted."""


class Problem(StrEnum):
    """What can be wrong with a dataset."""

    GAP = "gap"
    DUPLICATE = "duplicate"
    DISORDER = "disorder"


@dataclass(frozen=True, slots=True)
class Finding:
    """
    One problem between the rows at ``start_ns`` and ``end_ns``.

    ``count`` is how many rows it concerns: missing bars or trade ids of a gap.
    """

    problem: Problem
    start_ns: int
    end_ns: int
    count: int


@dataclass(frozen=True, slots=True)
class Report:
    """What was found in one dataset; ``counts`` sums rows by problem."""

    key: DatasetKey
    rows: int
    findings: tuple[Finding, ...]
    counts: dict[str, int]

    @property
    def is_clean(self) -> bool:
        """Whether nothing was found."""
        return not any(self.counts.values())


def check(catalog: Catalog, key: DatasetKey) -> Report:
    """
    Return what is wrong with a dataset, reading it once, a part file at a time.

    A gap of bars is a missing interval between the first and the last; a gap of
    ticks is missing trade ids, which venues count up by one. Bybit's do not tell what
    is missing: there a gap is one that the recorder noted, counted as one row. Funding
    has no fixed interval and so no gaps here.

    Raises
    ------
    DataError
        If the dataset is not held.
    """
    catalog.marker(key)
    findings: list[Finding] = []
    counts = dict.fromkeys(Problem, 0)
    rows, last = 0, None
    for part in catalog.parts(key):
        if not len(part):
            continue
        rows += len(part)
        for finding in _steps(key, part, last):
            counts[finding.problem] += finding.count
            if len(findings) < FOUND_MAX:
                findings.append(finding)
        last = part.tail(1)
    if key.kind is DatasetKind.TICKS and key.instrument.venue is Venue.BYBIT:
        for gap in recorded_gaps(catalog.root, key):
            counts[Problem.GAP] += 1
            findings.append(Finding(Problem.GAP, gap.from_ns, gap.until_ns, 1))
    named = {problem.value: count for problem, count in counts.items()}
    return Report(key, rows, tuple(findings), named)


def require_complete(
    catalog: Catalog,
    instrument: InstrumentId,
    interval_seconds: int,
    *,
    start_ns: int,
    end_ns: int,
) -> None:
    """
    Return if every bar of ``[start_ns, end_ns)`` is held, else stop the run.

    Raises
    ------
    GapError
        Naming the first missing bar and how many there are.
    DataError
        If there are no such bars at all.
    """
    interval_ns = interval_seconds * NS_PER_SECOND
    opens = (
        catalog.bars(instrument, interval_seconds, start_ns, end_ns)
        .select(pl.col("open_time").to_physical())
        .collect()
        .to_series()
        .to_numpy()
    )
    first_ns = -(-start_ns // interval_ns) * interval_ns
    expected = np.arange(first_ns, end_ns - interval_ns + 1, interval_ns)
    missing = np.setdiff1d(expected, opens, assume_unique=True)
    if len(missing):
        at = pl.Series(missing[:1]).cast(pl.Datetime("ns", "UTC"))[0]
        msg = (
            f"{instrument} {interval_name(interval_seconds)}: {len(missing)} of "
            f"{len(expected)} bars are missing, the first at {at:%Y-%m-%d %H:%M:%S} UTC"
        )
        raise GapError(msg)


def _steps(
    key: DatasetKey, part: pl.DataFrame, last: pl.DataFrame | None
) -> list[Finding]:
    """Return the findings between neighbors, the row before the part included."""
    rows = part if last is None else pl.concat((last, part))
    times = rows[TIME_COLUMN[key.kind]].to_physical().to_numpy()
    keys = rows[KEY_COLUMN[key.kind]].to_physical().to_numpy()
    found: list[Finding] = []
    for problem, where, counts in _problems(key, times, keys):
        found += (
            Finding(problem, int(times[i]), int(times[i + 1]), int(counts[i]))
            for i in np.flatnonzero(where)
        )
    return sorted(found, key=lambda finding: finding.start_ns)


_Problems = list[tuple[Problem, np.ndarray, np.ndarray]]


def _problems(key: DatasetKey, times: np.ndarray, keys: np.ndarray) -> _Problems:
    time_steps, key_steps = np.diff(times), np.diff(keys)
    one = np.ones(len(time_steps), dtype=np.int64)
    backward = time_steps < 0
    problems = [
        (Problem.DUPLICATE, key_steps == 0, one),
        (Problem.DISORDER, backward, one),
    ]
    if key.kind is DatasetKind.BARS:
        interval_ns = INTERVALS[key.interval] * NS_PER_SECOND
        missing = time_steps // interval_ns - 1
        problems.append((Problem.GAP, missing > 0, missing))
    elif key.kind is DatasetKind.TICKS and key.instrument.venue is not Venue.BYBIT:
        missing = key_steps - 1
        problems.append((Problem.GAP, missing > 0, missing))
    return problems

"""
The seconds of the last 26 hours, and what of them can still be a peak; no judging.

``condensed`` keeps of any number of samples the few that a later maximum can need, so
that a start reads a checkpoint and the samples after it, not a whole day.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from cryptoquantix.control.status import Sample
from cryptoquantix.core.clock import NS_PER_SECOND
from cryptoquantix.core.errors import StateCorrupt

SAMPLES_KEPT_NS: Final = 26 * 3_600 * NS_PER_SECOND
SAMPLES_LISTED_MAX: Final = 10_000

type Peak = tuple[int, int, Decimal]
"""Sequence, time in nanoseconds, unit value."""


@dataclass(frozen=True, slots=True)
class SampleRow:
    """One second: ``value`` is the unit value, ``None`` without a baseline."""

    time_ns: int
    is_complete: bool
    value: Decimal | None = None
    equity: Decimal | None = None
    high_water_mark: Decimal | None = None
    drawdown: Decimal | None = None


def put(connection: sqlite3.Connection, number: int, row: SampleRow) -> None:
    """Write one second."""
    texts = [
        None if value is None else f"{value:f}"
        for value in (row.value, row.equity, row.high_water_mark, row.drawdown)
    ]
    fields = (number, row.time_ns, int(row.is_complete), *texts)
    connection.execute(
        "INSERT INTO samples VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (*fields, _checksum(fields)),
    )


def forget(
    connection: sqlite3.Connection, *, before_ns: int, after: int, since_ns: int
) -> None:
    """
    Delete samples older than ``before_ns``.

    Complete ones stay that are numbered above ``after`` and not older than
    ``since_ns``: one of them may be a peak that nothing else remembers.
    """
    connection.execute(
        "DELETE FROM samples WHERE time_ns < ? "
        "AND NOT (complete = 1 AND sequence > ? AND time_ns >= ?)",
        (before_ns, after, since_ns),
    )


def peaks(connection: sqlite3.Connection, after: int) -> list[Peak]:
    """Return the values of complete samples numbered above ``after``, in order."""
    rows = connection.execute(
        "SELECT sequence, time_ns, value FROM samples WHERE sequence > ? "
        "AND complete = 1 AND value IS NOT NULL ORDER BY sequence",
        (after,),
    )
    return [(number, time_ns, Decimal(value)) for number, time_ns, value in rows]


def condensed(found: Iterable[Peak]) -> list[Peak]:
    """
    Return those that can be the maximum of a window that ends later.

    A sample with a later one at least as high behind it never can. The newest always
    stays, so that the age of the gap is known.

    Examples
    --------
    >>> condensed([(1, 1, Decimal(9)), (2, 2, Decimal(5)), (3, 3, Decimal(7))])
    [(1, 1, Decimal('9')), (3, 3, Decimal('7'))]
    """
    kept: list[Peak] = []
    for one in found:
        while kept and kept[-1][2] <= one[2]:
            kept.pop()
        kept.append(one)
    return kept


def listed(connection: sqlite3.Connection, after_ns: int, limit: int) -> list[Sample]:
    """Return at most ``limit`` samples after ``after_ns``, oldest first."""
    rows = connection.execute(
        "SELECT time_ns, equity, high_water_mark, drawdown, complete FROM samples "
        "WHERE time_ns > ? ORDER BY time_ns LIMIT ?",
        (after_ns, min(limit, SAMPLES_LISTED_MAX)),
    )
    return [
        Sample(time_ns, equity, peak, fraction, bool(complete))
        for time_ns, equity, peak, fraction, complete in rows
    ]


def check(connection: sqlite3.Connection, after: int = 0) -> int:
    """
    Check every sample numbered above ``after``; return how many.

    Raises
    ------
    StateCorrupt
        At the first that is not what was written.
    """
    count = 0
    for row in connection.execute(
        "SELECT * FROM samples WHERE sequence > ? ORDER BY sequence", (after,)
    ):
        if _checksum(row[:-1]) != row[-1]:
            msg = f"sample {row[0]} is not what was written"
            raise StateCorrupt(msg)
        count += 1
    return count


def _checksum(fields: tuple[object, ...]) -> int:
    return zlib.crc32(repr(fields).encode())

"""
The samples of a store as they grow: what is forgotten, and what a peak needs kept.

The window of the high-water mark ends at the newest complete sample, not now: a daemon
that has been blind for days, and was killed in them, still compares the first complete
reading with the peak from before. So what may be the peak of that window is never
forgotten, however long nothing complete follows.
"""

from __future__ import annotations

import sqlite3

from cryptoquantix.risk import samples
from cryptoquantix.risk.checkpoint import Checkpoint
from cryptoquantix.risk.samples import SAMPLES_KEPT_NS, Peak, SampleRow


class SampleLog:
    """
    The samples of one store; every write is part of a caller's transaction.

    ``_newest_ns`` is the time of the newest sample with a value that is on the disk.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        found = self.peaks()
        self._newest_ns = found[-1][1] if found else 0

    def put(self, number: int, row: SampleRow) -> None:
        """Write one second and forget what is older than 26 hours and no peak's."""
        samples.put(self._connection, number, row)
        newest_ns = row.time_ns if _has_value(row) else self._newest_ns
        samples.forget(
            self._connection,
            before_ns=row.time_ns - SAMPLES_KEPT_NS,
            after=Checkpoint.read(self._connection).sample_sequence,
            since_ns=newest_ns - SAMPLES_KEPT_NS,
        )

    def committed(self, row: SampleRow) -> None:
        """Take note that ``row`` is on the disk."""
        if _has_value(row):
            self._newest_ns = row.time_ns

    def peaks(self) -> list[Peak]:
        """Return what the window's peak can be, from the checkpoint on."""
        checkpoint = Checkpoint.read(self._connection)
        newer = samples.peaks(self._connection, checkpoint.sample_sequence)
        return samples.condensed([*checkpoint.peaks, *newer])

    def checkpoint(self, number: int, chained: str, now_ns: int) -> None:
        """Note what is checked so far: the chain's end, and the peaks of the window."""
        found = self.peaks()
        newest_ns = found[-1][1] if found else now_ns
        since_ns = min(now_ns, newest_ns) - SAMPLES_KEPT_NS
        checkpoint = Checkpoint(
            audit_sequence=number,
            audit_digest=chained,
            sample_sequence=found[-1][0] if found else 0,
            peaks=tuple(peak for peak in found if peak[1] > since_ns),
        )
        checkpoint.put(self._connection, number)


def _has_value(row: SampleRow) -> bool:
    return row.is_complete and row.value is not None

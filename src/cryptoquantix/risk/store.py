"""
The daemon's own memory: latch, samples, audit and alarms in one SQLite file.

Every write is durable when it returns. What cannot be read back as it was written is
set aside under a new name, never repaired and never deleted. A start checks what it
goes on from: the latch, the book, the last checkpoint and everything after it;
``cqx risk audit --verify`` checks the rest. All calls block: the daemon makes them from
its one store thread (``durable.py``).
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from decimal import Decimal
from pathlib import Path
from typing import Final, Self

from cryptoquantix.control.status import Alarm, AuditEntry, DrillResult, Sample
from cryptoquantix.core.errors import StateCorrupt
from cryptoquantix.risk import audit, samples, schema
from cryptoquantix.risk.checkpoint import Checkpoint
from cryptoquantix.risk.opening import (
    StoreUnavailable,
    checked_latch,
    lock_file,
    newest_sequence,
    set_aside,
)
from cryptoquantix.risk.readings import Block, ReadingsLog
from cryptoquantix.risk.sample_log import SampleLog
from cryptoquantix.risk.samples import SampleRow
from cryptoquantix.risk.state import Latch, digest, locked

ALARMS_LISTED_MAX: Final = 100
DRILLS_LISTED_MAX: Final = 100
BLOCK_KIND: Final = "readings"
DRILL_KIND: Final = "drill"


class RiskStore:
    """
    One open store, held by one process.

    ``sequence`` is the number of the newest entry; every entry takes the next one, so
    whoever has seen a higher number has seen a store that knew more. ``is_volatile``
    is a store in memory, of a daemon that has no disk; ``is_ignorant`` one that knows
    nothing of the store on it.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        lock: int | None,
        latch: Latch,
        *,
        readings: ReadingsLog | None = None,
    ) -> None:
        self._connection = connection
        self._lock = lock
        self._latch = latch
        self._sequence = newest_sequence(connection)
        self._audit_digest = audit.newest_digest(connection)
        self._samples = SampleLog(connection)
        self.readings = readings
        self.is_volatile = lock is None
        self.is_ignorant = False

    @classmethod
    def open(cls, path: Path, *, now_ns: int) -> Self:
        """
        Open or create the store; a corrupt one is set aside and replaced.

        Raises
        ------
        StoreUnavailable
            If the disk (full, say) lets nobody open it. It is left as it is then: a
            latch that cannot be read now is not a latch that was lost.
        SettingsError
            If another daemon holds the store, or its folder cannot be written.
        """
        lock = lock_file(path)
        try:
            store = cls._opened_or_replaced(path, lock, now_ns)
            store.readings = store.open_readings(path)
        except (sqlite3.Error, OSError) as error:
            os.close(lock)
            msg = (
                f"the risk store {path} cannot be opened: {error}; it is left as it "
                f"is (is the disk full, or another program at it?)"
            )
            raise StoreUnavailable(msg) from None
        return store

    @classmethod
    def in_memory(cls, path: Path, *, now_ns: int, why: str) -> Self:
        """
        Return a store without a disk, with all that can be read of the one at ``path``.

        What cannot be read is not believed to be empty: such a store is LOCKED.
        """
        try:
            connection = schema.rescued(path)
            schema.check_pages(connection)
            latch = checked_latch(connection)
        except (sqlite3.Error, StateCorrupt, OSError) as error:
            reason = f"the store can be neither written nor read ({why}; {error})"
            latch = locked(reason, since_ns=now_ns)
            store = cls._filled(schema.connect(":memory:"), None, latch, now_ns)
            store.is_ignorant = True
            return store
        return cls(connection, None, latch)

    @classmethod
    def _opened_or_replaced(cls, path: Path, lock: int, now_ns: int) -> Self:
        try:
            return cls._opened(path, lock, now_ns)
        except (sqlite3.Error, StateCorrupt) as error:
            if isinstance(error, sqlite3.Error) and not schema.is_damage(error):
                raise
            aside = set_aside(path, now_ns)
            reason = f"the store was corrupt ({error}); it is kept as {aside.name}"
            return cls._created(path, lock, now_ns, reason, is_corrupt=True)

    @classmethod
    def _opened(cls, path: Path, lock: int, now_ns: int) -> Self:
        if not path.exists():
            reason = "first start, or the store was lost"
            return cls._created(path, lock, now_ns, reason, is_corrupt=False)
        connection = schema.connect(path)
        try:
            schema.check_pages(connection)
            return cls(connection, lock, checked_latch(connection))
        except BaseException:
            connection.close()
            raise

    @classmethod
    def _created(
        cls, path: Path, lock: int, now_ns: int, reason: str, *, is_corrupt: bool
    ) -> Self:
        latch = locked(reason, since_ns=now_ns, is_store_corrupt=is_corrupt)
        connection = schema.connect(path)
        path.chmod(0o600)
        return cls._filled(connection, lock, latch, now_ns)

    @classmethod
    def _filled(
        cls, connection: sqlite3.Connection, lock: int | None, latch: Latch, now_ns: int
    ) -> Self:
        content = latch.to_json()
        row = (content, digest("latch", content))
        schema.create(connection)
        connection.execute("INSERT INTO latch VALUES (1, 1, ?, ?)", row)
        store = cls(connection, lock, latch)
        store.record(now_ns, "created", {"reason": latch.reason})
        return store

    def open_readings(self, path: Path) -> ReadingsLog:
        """Open the file of readings beside the store at ``path``."""
        found = audit.newest_of_kind(self._connection, BLOCK_KIND)
        newest = None if found is None else Block(**json.loads(found.content))
        beside = path.with_name("readings.sqlite")
        return ReadingsLog.open(beside, newest, audit.GENESIS)

    @property
    def sequence(self) -> int:
        """The number of the newest durable entry."""
        return self._sequence

    @property
    def latch(self) -> Latch:
        """The latch as last written."""
        return self._latch

    def write_latch(
        self, latch: Latch, now_ns: int, cause: str, sequence_floor: int = 0
    ) -> None:
        """
        Replace the latch and record why, in one durable transaction.

        The entry is numbered above ``sequence_floor``: what others have seen.
        """
        is_change = latch.state is not self._latch.state
        with self._transaction(max(sequence_floor, self._sequence) + 1) as number:
            chained = self._put_latch(number, latch, now_ns, cause)
        self._latch, self._audit_digest = latch, chained
        if is_change:
            self._keep_around(now_ns)

    def write_baseline(
        self,
        latch: Latch,
        cause: str,
        *,
        row: SampleRow,
        book: str,
        sequence_floor: int = 0,
    ) -> Latch:
        """
        Arm: latch, book and first sample in one transaction; return the latch written.

        Samples before this entry no longer count for the high-water mark.
        """
        with self._transaction(max(sequence_floor, self._sequence) + 1) as number:
            latch = replace(latch, baseline_sequence=number)
            self._put_second(number, row, book)
            chained = self._put_latch(number, latch, row.time_ns, cause)
        self._latch, self._audit_digest = latch, chained
        self._samples.committed(row)
        self._keep_around(row.time_ns)
        return latch

    def _put_latch(self, number: int, latch: Latch, now_ns: int, cause: str) -> str:
        content = latch.to_json()
        self._connection.execute(
            "UPDATE latch SET sequence = ?, content = ?, digest = ? WHERE id = 1",
            (number, content, digest("latch", content)),
        )
        entry = {"cause": cause, "latch": json.loads(content)}
        return self._append(number, now_ns, "latch", entry)

    def _keep_around(self, now_ns: int) -> None:
        if self.readings is not None:
            self.readings.keep_around(now_ns)

    def record(self, now_ns: int, kind: str, entry: dict[str, object]) -> None:
        """Append one entry to the audit log."""
        with self._transaction() as number:
            chained = self._append(number, now_ns, kind, entry)
        self._audit_digest = chained

    def _append(
        self, number: int, now_ns: int, kind: str, entry: dict[str, object]
    ) -> str:
        return audit.append(
            self._connection,
            self._audit_digest,
            number=number,
            now_ns=now_ns,
            kind=kind,
            entry=entry,
        )

    def add_sample(self, row: SampleRow, book: str, readings: str = "") -> None:
        """Write one second, with the book as it stands after it, and its readings."""
        with self._transaction() as number:
            self._put_second(number, row, book)
        self._samples.committed(row)
        if readings and self.readings is not None:
            self._add_readings(self.readings, row.time_ns, readings)

    def _add_readings(self, log: ReadingsLog, time_ns: int, text: str) -> None:
        """Write one second of readings; chain and checkpoint a finished block."""
        finished = log.finished(time_ns)
        if finished is not None:
            with self._transaction() as number:
                entry: dict[str, object] = asdict(finished)
                chained = self._append(number, time_ns, BLOCK_KIND, entry)
                self._samples.checkpoint(number, chained, time_ns)
            self._audit_digest = chained
            log.begin_next(time_ns)
        log.add(time_ns, text)

    def _put_second(self, number: int, row: SampleRow, book: str) -> None:
        self._samples.put(number, row)
        self._connection.execute(
            "INSERT INTO book VALUES (1, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET "
            "sequence = excluded.sequence, content = excluded.content, "
            "digest = excluded.digest",
            (number, book, digest("book", book)),
        )

    def adopt(self, other: RiskStore, latch: Latch, now_ns: int, why: str) -> None:
        """
        Take over what a daemon without a disk has learned: latch, book, peaks, alarms.

        ``other`` is its store in memory, ``latch`` what it stands at now.
        """
        found, book = other._samples.peaks(), other.book()
        floor = max(self._sequence, other.sequence) + 1
        with self._transaction(floor) as number:
            chained = self._put_latch(number, latch, now_ns, why)
            if book is not None:
                self._put_second(number, SampleRow(now_ns, is_complete=False), book)
            peaks = tuple((number, time_ns, value) for _, time_ns, value in found)
            Checkpoint(number, chained, number, peaks).put(self._connection, number)
            for alarm in other.alarms():
                self._connection.execute(
                    "INSERT INTO alarms (time_ns, severity, text) VALUES (?, ?, ?)",
                    (alarm.time_ns, alarm.severity, alarm.text),
                )
        self._latch, self._audit_digest = latch, chained

    def book(self) -> str | None:
        """Return the book as last written, ``None`` before the first."""
        found = self._connection.execute("SELECT content FROM book").fetchone()
        return None if found is None else str(found[0])

    def values(self, since_ns: int, baseline: int) -> list[tuple[int, Decimal]]:
        """
        Return (time_ns, unit value) of what can still be the peak, oldest first.

        Only samples after ``since_ns`` and from entry ``baseline`` on; the newest is
        always among them.
        """
        return [
            (time_ns, value)
            for number, time_ns, value in self._samples.peaks()
            if time_ns > since_ns and number >= baseline
        ]

    def samples(self, after_ns: int, limit: int) -> list[Sample]:
        """Return at most ``limit`` samples after ``after_ns``, oldest first."""
        return samples.listed(self._connection, after_ns, limit)

    def audit_entries(self, after: int, limit: int) -> list[AuditEntry]:
        """Return at most ``limit`` entries numbered above ``after``, oldest first."""
        return audit.entries(self._connection, after, limit)

    def drills(self) -> list[DrillResult]:
        """Return the newest result of each drill, newest first."""
        found: dict[str, DrillResult] = {}
        for entry in audit.of_kind(self._connection, DRILL_KIND, DRILLS_LISTED_MAX):
            result = DrillResult(**json.loads(entry.content))
            found.setdefault(result.drill, result)
        return list(found.values())

    def queue_alarm(self, now_ns: int, severity: str, text: str) -> None:
        """Queue one alarm for delivery by another process."""
        with self._transaction(self._sequence):
            self._connection.execute(
                "INSERT INTO alarms (time_ns, severity, text) VALUES (?, ?, ?)",
                (now_ns, severity, text),
            )

    def alarms(self) -> list[Alarm]:
        """Return the oldest undelivered alarms."""
        rows = self._connection.execute(
            "SELECT id, time_ns, severity, text FROM alarms "
            "WHERE acknowledged_ns IS NULL ORDER BY id LIMIT ?",
            (ALARMS_LISTED_MAX,),
        )
        return [Alarm(*row) for row in rows]

    def alarms_undelivered(self) -> int:
        """Return how many alarms wait for delivery."""
        row = self._connection.execute(
            "SELECT count(*) FROM alarms WHERE acknowledged_ns IS NULL"
        ).fetchone()
        return int(row[0])

    def acknowledge(self, alarm_id: int, now_ns: int) -> bool:
        """Mark one alarm delivered; return whether there is such an alarm."""
        with self._transaction(self._sequence):
            cursor = self._connection.execute(
                "UPDATE alarms SET acknowledged_ns = coalesce(acknowledged_ns, ?) "
                "WHERE id = ?",
                (now_ns, alarm_id),
            )
        return cursor.rowcount == 1

    def verify_audit(self) -> int:
        """
        Check the whole chain of the audit log and return its length.

        Raises
        ------
        StateCorrupt
            At the first entry that is not what was written.
        """
        return audit.check(self._connection)

    def close(self) -> None:
        """Close the file and let another daemon have it."""
        if self.readings is not None:
            self.readings.close()
        self._connection.close()
        if self._lock is not None:
            os.close(self._lock)

    @contextmanager
    def _transaction(self, number: int | None = None) -> Iterator[int]:
        """Run one durable write; the sequence moves only when it is on the disk."""
        number = self._sequence + 1 if number is None else number
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield number
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise
        self._sequence = number

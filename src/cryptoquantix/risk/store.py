"""
The daemon's own memory: latch, samples, audit and alarms in one SQLite file.

Every write is durable when it returns (WAL, ``synchronous=FULL``). What cannot be read
back as it was written is set aside under a new name, never repaired and never deleted.
All calls block: the daemon makes them from its one store thread (``durable.py``).
"""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Final, Self

from cryptoquantix.control.status import Alarm, Sample
from cryptoquantix.core.errors import SettingsError, StateCorrupt
from cryptoquantix.risk.state import Latch, digest, locked

SCHEMA_VERSION: Final = 1
SAMPLES_KEPT_NS: Final = 26 * 3_600 * 1_000_000_000
SAMPLES_LISTED_MAX: Final = 10_000
ALARMS_LISTED_MAX: Final = 100
GENESIS: Final = "0" * 64
# What SQLite says of the disk, the machine or other programs: it passes.
_PASSING: Final = frozenset(
    {
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,
    }
)
# Of these, a page that the disk does not give back is as good as lost.
_UNREADABLE: Final = frozenset(
    {
        sqlite3.SQLITE_IOERR_READ,
        sqlite3.SQLITE_IOERR_SHORT_READ,
        sqlite3.SQLITE_IOERR_CORRUPTFS,
    }
)

_SCHEMA: Final = """
CREATE TABLE latch (
  id INTEGER PRIMARY KEY CHECK (id = 1), sequence INTEGER NOT NULL,
  content TEXT NOT NULL, digest TEXT NOT NULL);
CREATE TABLE book (
  id INTEGER PRIMARY KEY CHECK (id = 1), sequence INTEGER NOT NULL,
  content TEXT NOT NULL, digest TEXT NOT NULL);
CREATE TABLE samples (
  sequence INTEGER PRIMARY KEY, time_ns INTEGER NOT NULL, complete INTEGER NOT NULL,
  value TEXT, equity TEXT, high_water_mark TEXT, drawdown TEXT,
  checksum INTEGER NOT NULL);
CREATE INDEX samples_by_time ON samples (time_ns);
CREATE TABLE audit (
  sequence INTEGER PRIMARY KEY, time_ns INTEGER NOT NULL, kind TEXT NOT NULL,
  content TEXT NOT NULL, digest TEXT NOT NULL);
CREATE TRIGGER audit_keeps BEFORE DELETE ON audit
  BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER audit_stands BEFORE UPDATE ON audit
  BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
CREATE TABLE alarms (
  id INTEGER PRIMARY KEY AUTOINCREMENT, time_ns INTEGER NOT NULL,
  severity TEXT NOT NULL, text TEXT NOT NULL, acknowledged_ns INTEGER);
"""


@dataclass(frozen=True, slots=True)
class SampleRow:
    """One second: ``value`` is the unit value, ``None`` without a baseline."""

    time_ns: int
    is_complete: bool
    value: Decimal | None = None
    equity: Decimal | None = None
    high_water_mark: Decimal | None = None
    drawdown: Decimal | None = None


class RiskStore:
    """
    One open store, held by one process.

    ``sequence`` is the number of the newest entry; every entry takes the next one, so
    whoever has seen a higher number has seen a store that knew more.
    """

    def __init__(
        self, connection: sqlite3.Connection, lock: int, latch: Latch, sequence: int
    ) -> None:
        self._connection = connection
        self._lock = lock
        self._latch = latch
        self._sequence = sequence
        self._audit_digest = _last_audit_digest(connection)

    @classmethod
    def open(cls, path: Path, *, now_ns: int) -> Self:
        """
        Open or create the store; a corrupt one is set aside and replaced.

        Raises
        ------
        SettingsError
            If another daemon holds the store, or its folder cannot be written, or
            the disk (full, say) lets nobody open it. It is left as it is then: a
            latch that cannot be read now is not a latch that was lost.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            msg = f"the risk store {path} cannot be opened: {error.strerror}"
            raise SettingsError(msg) from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            msg = f"another risk daemon holds the store {path}"
            raise SettingsError(msg) from None
        try:
            return cls._opened_or_replaced(path, lock, now_ns)
        except (sqlite3.Error, OSError) as error:
            os.close(lock)
            msg = (
                f"the risk store {path} cannot be opened: {error}; it is left as it "
                f"is (is the disk full, or another program at it?)"
            )
            raise SettingsError(msg) from None

    @classmethod
    def _opened_or_replaced(cls, path: Path, lock: int, now_ns: int) -> Self:
        try:
            return cls._opened(path, lock, now_ns)
        except (sqlite3.Error, StateCorrupt) as error:
            if isinstance(error, sqlite3.Error) and not _is_damage(error):
                raise
            aside = _set_aside(path, now_ns)
            reason = f"the store was corrupt ({error}); it is kept as {aside.name}"
            return cls._created(path, lock, now_ns, reason, is_corrupt=True)

    @classmethod
    def _opened(cls, path: Path, lock: int, now_ns: int) -> Self:
        if not path.exists():
            reason = "first start, or the store was lost"
            return cls._created(path, lock, now_ns, reason, is_corrupt=False)
        connection = _connect(path)
        try:
            latch = _checked_latch(connection)
            _check_records(connection)
            return cls(connection, lock, latch, _newest_sequence(connection))
        except BaseException:
            connection.close()
            raise

    @classmethod
    def _created(
        cls, path: Path, lock: int, now_ns: int, reason: str, *, is_corrupt: bool
    ) -> Self:
        latch = locked(reason, since_ns=now_ns, is_store_corrupt=is_corrupt)
        connection = _connect(path)
        content = latch.to_json()
        row = (content, digest("latch", content))
        connection.executescript(
            f"BEGIN; {_SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
        )
        connection.execute("INSERT INTO latch VALUES (1, 1, ?, ?)", row)
        path.chmod(0o600)
        store = cls(connection, lock, latch, 1)
        store.record(now_ns, "created", {"reason": reason})
        return store

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
        with self._transaction(max(sequence_floor, self._sequence) + 1) as number:
            chained = self._put_latch(number, latch, now_ns, cause)
        self._latch, self._audit_digest = latch, chained

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
            self._put_sample(number, row, book)
            chained = self._put_latch(number, latch, row.time_ns, cause)
        self._latch, self._audit_digest = latch, chained
        return latch

    def _put_latch(self, number: int, latch: Latch, now_ns: int, cause: str) -> str:
        content = latch.to_json()
        self._connection.execute(
            "UPDATE latch SET sequence = ?, content = ?, digest = ? WHERE id = 1",
            (number, content, digest("latch", content)),
        )
        entry = {"cause": cause, "latch": json.loads(content)}
        return self._append(number, now_ns, "latch", entry)

    def record(self, now_ns: int, kind: str, entry: dict[str, object]) -> None:
        """Append one entry to the audit log."""
        with self._transaction() as number:
            chained = self._append(number, now_ns, kind, entry)
        self._audit_digest = chained

    def _append(
        self, number: int, now_ns: int, kind: str, entry: dict[str, object]
    ) -> str:
        content = json.dumps(entry, sort_keys=True, default=str)
        fields = (str(number), str(now_ns), kind, content)
        chained = digest(self._audit_digest, *fields)
        self._connection.execute(
            "INSERT INTO audit VALUES (?, ?, ?, ?, ?)",
            (number, now_ns, kind, content, chained),
        )
        return chained

    def add_sample(self, row: SampleRow, book: str) -> None:
        """Write one second, with the book as it stands after it."""
        with self._transaction() as number:
            self._put_sample(number, row, book)

    def _put_sample(self, number: int, row: SampleRow, book: str) -> None:
        texts = [
            None if value is None else f"{value:f}"
            for value in (row.value, row.equity, row.high_water_mark, row.drawdown)
        ]
        fields = (number, row.time_ns, int(row.is_complete), *texts)
        self._connection.execute(
            "INSERT INTO samples VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (*fields, _checksum(fields)),
        )
        self._connection.execute(
            "INSERT INTO book VALUES (1, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET "
            "sequence = excluded.sequence, content = excluded.content, "
            "digest = excluded.digest",
            (number, book, digest("book", book)),
        )
        self._connection.execute(
            "DELETE FROM samples WHERE time_ns < ?", (row.time_ns - SAMPLES_KEPT_NS,)
        )

    def book(self) -> str | None:
        """Return the book as last written, ``None`` before the first."""
        found = self._connection.execute("SELECT content FROM book").fetchone()
        return None if found is None else str(found[0])

    def values(self, since_ns: int, baseline: int) -> list[tuple[int, Decimal]]:
        """Return (time_ns, unit value) of complete samples, oldest first."""
        rows = self._connection.execute(
            "SELECT time_ns, value FROM samples WHERE time_ns > ? AND sequence >= ? "
            "AND complete = 1 AND value IS NOT NULL ORDER BY sequence",
            (since_ns, baseline),
        )
        return [(time_ns, Decimal(value)) for time_ns, value in rows]

    def samples(self, after_ns: int, limit: int) -> list[Sample]:
        """Return at most ``limit`` samples after ``after_ns``, oldest first."""
        rows = self._connection.execute(
            "SELECT time_ns, equity, high_water_mark, drawdown, complete FROM samples "
            "WHERE time_ns > ? ORDER BY time_ns LIMIT ?",
            (after_ns, min(limit, SAMPLES_LISTED_MAX)),
        )
        return [
            Sample(time_ns, equity, peak, fraction, bool(complete))
            for time_ns, equity, peak, fraction, complete in rows
        ]

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
        chained, count = GENESIS, 0
        rows = self._connection.execute("SELECT * FROM audit ORDER BY sequence")
        for number, time_ns, kind, content, found in rows:
            chained = digest(chained, str(number), str(time_ns), kind, content)
            if chained != found:
                msg = f"entry {number} of the audit log is not what was written"
                raise StateCorrupt(msg)
            count += 1
        return count

    def close(self) -> None:
        """Close the file and let another daemon have it."""
        self._connection.close()
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


def _is_damage(error: sqlite3.Error) -> bool:
    """Return whether the file itself is the matter, and not the disk or a lock."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)
    return code in _UNREADABLE or code & 0xFF not in _PASSING


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path, isolation_level=None, check_same_thread=False, timeout=1.0
    )
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
    except BaseException:
        connection.close()
        raise
    return connection


def _checked_latch(connection: sqlite3.Connection) -> Latch:
    """Return the latch of a store whose every page and record is as written."""
    verdict = connection.execute("PRAGMA integrity_check").fetchone()[0]
    if verdict != "ok":
        msg = f"integrity check: {str(verdict).splitlines()[0]}"
        raise StateCorrupt(msg)
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version != SCHEMA_VERSION:
        msg = f"schema version {version}, expected {SCHEMA_VERSION}"
        raise StateCorrupt(msg)
    row = connection.execute("SELECT content, digest FROM latch").fetchone()
    if row is None or digest("latch", row[0]) != row[1]:
        msg = "the latch is not what was written"
        raise StateCorrupt(msg)
    return Latch.from_json(row[0])


def _check_records(connection: sqlite3.Connection) -> None:
    """Raise ``StateCorrupt`` when a record is not what was written."""
    book = connection.execute("SELECT content, digest FROM book").fetchone()
    if book is not None and digest("book", book[0]) != book[1]:
        msg = "the book is not what was written"
        raise StateCorrupt(msg)
    for row in connection.execute("SELECT * FROM samples"):
        if _checksum(row[:-1]) != row[-1]:
            msg = f"sample {row[0]} is not what was written"
            raise StateCorrupt(msg)


def _checksum(fields: tuple[object, ...]) -> int:
    return zlib.crc32(repr(fields).encode())


def _newest_sequence(connection: sqlite3.Connection) -> int:
    row = connection.execute(
        "SELECT max((SELECT coalesce(max(sequence), 0) FROM samples), "
        "(SELECT coalesce(max(sequence), 0) FROM audit), "
        "(SELECT sequence FROM latch))"
    ).fetchone()
    return int(row[0])


def _last_audit_digest(connection: sqlite3.Connection) -> str:
    row = connection.execute(
        "SELECT digest FROM audit ORDER BY sequence DESC LIMIT 1"
    ).fetchone()
    return GENESIS if row is None else str(row[0])


def _set_aside(path: Path, now_ns: int) -> Path:
    """Give a corrupt store another name, its journal with it."""
    aside = path.with_name(f"{path.name}.corrupt-{now_ns}")
    for suffix in ("", "-wal", "-shm"):
        part = Path(f"{path}{suffix}")
        if part.exists():
            part.rename(f"{aside}{suffix}")
    return aside

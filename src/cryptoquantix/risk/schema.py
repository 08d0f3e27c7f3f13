"""
The tables of the daemon's store and how its file is opened; it reads no record.

Every write is durable when it returns (WAL, ``synchronous=FULL``). Version 1 had no
checkpoint; it is brought up by adding one, and loses nothing.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final

from cryptoquantix.core.errors import StateCorrupt

SCHEMA_VERSION: Final = 2

_CHECKPOINT: Final = """
CREATE TABLE checkpoint (
  id INTEGER PRIMARY KEY CHECK (id = 1), sequence INTEGER NOT NULL,
  content TEXT NOT NULL, digest TEXT NOT NULL);
CREATE INDEX audit_by_kind ON audit (kind, sequence);
"""

_SCHEMA: Final = f"""
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
{_CHECKPOINT}"""

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


def is_damage(error: sqlite3.Error) -> bool:
    """Return whether the file itself is the matter, and not the disk or a lock."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)
    return code in _UNREADABLE or code & 0xFF not in _PASSING


def connect(path: Path | str) -> sqlite3.Connection:
    """Open the file (or ``:memory:``) for durable writes; it may be new and empty."""
    connection = sqlite3.connect(
        path, isolation_level=None, check_same_thread=False, timeout=1.0
    )
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        # Rows are added and seldom read: a larger cache only grows for hours.
        connection.execute("PRAGMA cache_size = -256")
    except BaseException:
        connection.close()
        raise
    return connection


def rescued(path: Path) -> sqlite3.Connection:
    """
    Return a copy in memory of a store whose disk takes no byte, its journal included.

    The exclusive mode keeps SQLite's index of the journal in memory, where it would
    need a file of its own.

    Raises
    ------
    sqlite3.Error
        If it cannot be read either.
    """
    source = sqlite3.connect(f"{path.resolve().as_uri()}?mode=rw", uri=True, timeout=1)
    copy = connect(":memory:")
    try:
        source.execute("PRAGMA locking_mode = EXCLUSIVE")
        source.backup(copy)
    except BaseException:
        copy.close()
        raise
    finally:
        source.close()
    return copy


def create(connection: sqlite3.Connection) -> None:
    """Make the tables of the newest version."""
    connection.executescript(
        f"BEGIN; {_SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
    )


def check_pages(connection: sqlite3.Connection) -> None:
    """
    Check pages and version, and bring an older version up to date.

    Raises
    ------
    StateCorrupt
        If it is not a store that this version can use.
    """
    verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if verdict != "ok":
        msg = f"integrity check: {str(verdict).splitlines()[0]}"
        raise StateCorrupt(msg)
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version == 1:
        connection.executescript(
            f"BEGIN; {_CHECKPOINT} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
        )
    elif version != SCHEMA_VERSION:
        msg = f"schema version {version}, expected {SCHEMA_VERSION}"
        raise StateCorrupt(msg)

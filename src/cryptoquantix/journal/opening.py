"""
How a journal's file is opened: its lock, its version, its log; it reads no order.

What is no journal, is damaged, or belongs to another process is refused here.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from cryptoquantix.core.errors import SettingsError, StateCorrupt
from cryptoquantix.journal.schema import SCHEMA_VERSION, upgrade

_LOG_BYTES: Final = 8_000_000
# Rows are added and seldom read: a larger cache only grows for hours.
_CACHE_KB: Final = 512
_LOG_PAGES: Final = 1_800  # a bound for when nobody tidies


def take_lock(path: Path) -> int:
    """Take the journal's lock for as long as this process lives."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        msg = f"cannot write the journal's directory {path.parent}: {error.strerror}"
        raise SettingsError(msg) from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        msg = f"the journal {path} is in use by another execution process"
        raise SettingsError(msg) from None
    return descriptor


def make_durable(connection: Any, _record: object) -> None:  # noqa: ANN401 - a DBAPI's
    """Let a new connection of SQLAlchemy's write to the disk, and wait for it."""
    cursor = connection.cursor()
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        "busy_timeout=2000",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def check(connection: sa.Connection, path: Path) -> None:
    """
    Bring a journal to the newest version.

    Raises
    ------
    StateCorrupt
        If it is damaged, or of a version that this build does not know.
    """
    execute = connection.exec_driver_sql
    version = execute("PRAGMA user_version").scalar_one()
    if version > SCHEMA_VERSION:
        msg = (
            f"the journal {path} is of version {version}, "
            f"this build reads up to {SCHEMA_VERSION}"
        )
        raise StateCorrupt(msg)
    found = execute("PRAGMA quick_check(1)").scalar_one()
    if found != "ok":
        msg = f"the journal {path} is damaged: {found}"
        raise StateCorrupt(msg)
    if version < SCHEMA_VERSION:
        # Asked for in words: the driver begins no transaction before a table is
        # made, and one killed between two tables would leave a journal of none.
        connection.commit()
        execute("BEGIN IMMEDIATE")
        upgrade(connection, version)
        execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    connection.commit()


def grow_log(connection: sa.Connection) -> None:
    """
    Give the write-ahead log its size now, so that no order pays for it.

    A commit that makes a file longer waits for the file system's own journal, some
    4 ms; one that overwrites takes 0.1 ms. What is written here is rolled back:
    the log keeps the length, and nothing else remembers.
    """
    execute = connection.exec_driver_sql
    execute(f"PRAGMA wal_autocheckpoint = {_LOG_PAGES}")
    execute("PRAGMA cache_size = 16")  # pages: so that it is written and not kept
    execute("INSERT INTO facts VALUES ('filler', zeroblob(?))", (_LOG_BYTES,))
    connection.rollback()
    execute(f"PRAGMA cache_size = -{_CACHE_KB}")
    connection.commit()


def driver(connection: sa.Connection) -> sqlite3.Connection:
    """Return the driver's connection below SQLAlchemy's: there is but the one."""
    found = connection.connection.driver_connection
    assert isinstance(found, sqlite3.Connection), "the journal is SQLite's"
    return found

"""
What must be so before a store is gone on from: its lock, and its records as written.

It repairs nothing: what is corrupt is given another name.
"""

from __future__ import annotations

import errno
import fcntl
import os
import sqlite3
from pathlib import Path
from typing import Final

from cryptoquantix.core.errors import SettingsError, StateCorrupt
from cryptoquantix.risk import audit, samples
from cryptoquantix.risk.checkpoint import Checkpoint
from cryptoquantix.risk.state import Latch, digest

_DISK_ERRORS: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS})


class StoreUnavailable(SettingsError):  # noqa: N818 - it names a state
    """The disk lets nobody open the store now; what it holds is not lost."""


def lock_file(path: Path) -> int:
    """Return the descriptor of the lock that one daemon at a time holds."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        msg = f"the risk store {path} cannot be opened: {error.strerror}"
        kind = StoreUnavailable if error.errno in _DISK_ERRORS else SettingsError
        raise kind(msg) from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        msg = f"another risk daemon holds the store {path}"
        raise SettingsError(msg) from None
    return lock


def checked_latch(connection: sqlite3.Connection) -> Latch:
    """Return the latch of a store that is as written, as far as a start needs it."""
    row = connection.execute("SELECT content, digest FROM latch").fetchone()
    if row is None or digest("latch", row[0]) != row[1]:
        msg = "the latch is not what was written"
        raise StateCorrupt(msg)
    book = connection.execute("SELECT content, digest FROM book").fetchone()
    if book is not None and digest("book", book[0]) != book[1]:
        msg = "the book is not what was written"
        raise StateCorrupt(msg)
    checkpoint = Checkpoint.read(connection)
    audit.check(connection, checkpoint.audit_sequence, checkpoint.audit_digest)
    samples.check(connection, checkpoint.sample_sequence)
    return Latch.from_json(row[0])


def newest_sequence(connection: sqlite3.Connection) -> int:
    """Return the number of the newest entry of any table."""
    row = connection.execute(
        "SELECT max((SELECT coalesce(max(sequence), 0) FROM samples), "
        "(SELECT coalesce(max(sequence), 0) FROM audit), "
        "(SELECT sequence FROM latch))"
    ).fetchone()
    return int(row[0])


def set_aside(path: Path, now_ns: int) -> Path:
    """Give a corrupt store another name, its journal with it."""
    aside = path.with_name(f"{path.name}.corrupt-{now_ns}")
    for suffix in ("", "-wal", "-shm"):
        part = Path(f"{path}{suffix}")
        if part.exists():
            part.rename(f"{aside}{suffix}")
    return aside

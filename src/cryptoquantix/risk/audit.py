"""
The audit log: appended to, chained by hashes, checked; nothing in it ever changes.

Each entry's digest is taken over the one before it, so that a changed, missing or
inserted entry breaks the chain from there on. Two triggers of the table refuse
``DELETE`` and ``UPDATE``; what must be pruned (readings) lives in a file of its own,
and only its hashes are entries here (``readings.py``).
"""

from __future__ import annotations

import json
import sqlite3
from typing import Final

from cryptoquantix.control.status import AuditEntry
from cryptoquantix.core.errors import StateCorrupt
from cryptoquantix.risk.state import digest

GENESIS: Final = "0" * 64
ENTRIES_LISTED_MAX: Final = 1_000


def append(
    connection: sqlite3.Connection,
    before: str,
    *,
    number: int,
    now_ns: int,
    kind: str,
    entry: dict[str, object],
) -> str:
    """Append one entry after the digest ``before``; return its own digest."""
    content = json.dumps(entry, sort_keys=True, default=str)
    chained = _chained(before, (number, now_ns, kind, content))
    connection.execute(
        "INSERT INTO audit VALUES (?, ?, ?, ?, ?)",
        (number, now_ns, kind, content, chained),
    )
    return chained


def newest_digest(connection: sqlite3.Connection) -> str:
    """Return the digest of the newest entry, ``GENESIS`` before the first."""
    row = connection.execute(
        "SELECT digest FROM audit ORDER BY sequence DESC LIMIT 1"
    ).fetchone()
    return GENESIS if row is None else str(row[0])


def entries(connection: sqlite3.Connection, after: int, limit: int) -> list[AuditEntry]:
    """Return at most ``limit`` entries numbered above ``after``, oldest first."""
    rows = connection.execute(
        "SELECT sequence, time_ns, kind, content FROM audit WHERE sequence > ? "
        "ORDER BY sequence LIMIT ?",
        (after, min(limit, ENTRIES_LISTED_MAX)),
    )
    return [AuditEntry(*row) for row in rows]


def newest(connection: sqlite3.Connection, limit: int) -> list[AuditEntry]:
    """Return the newest ``limit`` entries, oldest first."""
    rows = connection.execute(
        "SELECT sequence, time_ns, kind, content FROM audit "
        "ORDER BY sequence DESC LIMIT ?",
        (min(limit, ENTRIES_LISTED_MAX),),
    ).fetchall()
    return [AuditEntry(*row) for row in reversed(rows)]


def of_kind(
    connection: sqlite3.Connection, kind: str, limit: int = ENTRIES_LISTED_MAX
) -> list[AuditEntry]:
    """Return the newest ``limit`` entries of one kind, newest first."""
    rows = connection.execute(
        "SELECT sequence, time_ns, kind, content FROM audit WHERE kind = ? "
        "ORDER BY sequence DESC LIMIT ?",
        (kind, limit),
    )
    return [AuditEntry(*row) for row in rows]


def newest_of_kind(connection: sqlite3.Connection, kind: str) -> AuditEntry | None:
    """Return the newest entry of one kind, ``None`` before the first."""
    return next(iter(of_kind(connection, kind, 1)), None)


def check(connection: sqlite3.Connection, after: int = 0, before: str = GENESIS) -> int:
    """
    Check the chain behind entry ``after``, whose digest is ``before``; count it.

    Raises
    ------
    StateCorrupt
        At the first entry that is not what was written.
    """
    chained, count = before, 0
    rows = connection.execute(
        "SELECT sequence, time_ns, kind, content, digest FROM audit "
        "WHERE sequence > ? ORDER BY sequence",
        (after,),
    )
    for *fields, found in rows:
        chained = _chained(chained, tuple(fields))
        if chained != found:
            msg = f"entry {fields[0]} of the audit log is not what was written"
            raise StateCorrupt(msg)
        count += 1
    return count


def _chained(before: str, fields: tuple[object, ...]) -> str:
    return digest(before, *(str(field) for field in fields))

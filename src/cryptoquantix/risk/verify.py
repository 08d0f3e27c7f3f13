"""
Everything in a store checked against its hashes, from outside; it changes no byte.

A running daemon is not disturbed: the file is read beside it, in one snapshot.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from cryptoquantix.control.status import AuditEntry
from cryptoquantix.core.errors import SettingsError, StateCorrupt
from cryptoquantix.risk import audit, readings, samples
from cryptoquantix.risk.checkpoint import Checkpoint
from cryptoquantix.risk.readings import Block
from cryptoquantix.risk.schema import SCHEMA_VERSION
from cryptoquantix.risk.state import Latch, digest
from cryptoquantix.risk.store import BLOCK_KIND


@dataclass(frozen=True, slots=True)
class Verification:
    """What was checked, and the first thing that is not as written (or nothing)."""

    entries: int = 0
    samples: int = 0
    readings: int = 0
    blocks: int = 0
    blocks_pruned: int = 0
    problem: str = ""

    @property
    def is_good(self) -> bool:
        """Whether everything was as written."""
        return not self.problem


def verify(path: Path) -> Verification:
    """
    Check the store at ``path``: latch, book, samples, audit log and readings.

    Raises
    ------
    SettingsError
        If there is no store, or it cannot be opened.
    """
    connection = _open(path)
    counts: Counter[str] = Counter()
    try:
        _check(connection, path, counts)
    except StateCorrupt as error:
        return _made(counts, str(error))
    except sqlite3.DatabaseError as error:
        return _made(counts, f"the file cannot be read: {error}")
    finally:
        connection.close()
    return _made(counts)


def _made(counts: Counter[str], problem: str = "") -> Verification:
    return Verification(
        entries=counts["entries"],
        samples=counts["samples"],
        readings=counts["readings"],
        blocks=counts["blocks"],
        blocks_pruned=counts["blocks_pruned"],
        problem=problem,
    )


def newest_entries(path: Path, limit: int) -> list[AuditEntry]:
    """
    Return the newest entries of the audit log at ``path``, oldest first.

    Raises
    ------
    SettingsError
        If there is no store, or it cannot be opened.
    """
    connection = _open(path)
    try:
        return audit.newest(connection, limit)
    except sqlite3.DatabaseError as error:
        msg = f"the risk store {path} cannot be read: {error}"
        raise SettingsError(msg) from None
    finally:
        connection.close()


def _check(connection: sqlite3.Connection, path: Path, counts: Counter[str]) -> None:
    connection.execute("BEGIN")
    verdict = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if verdict != "ok" or version not in {1, SCHEMA_VERSION}:
        msg = f"the file is damaged (version {version}): {str(verdict).splitlines()[0]}"
        raise StateCorrupt(msg)
    counts["entries"] = audit.check(connection)
    _check_one(connection, "latch")
    _check_one(connection, "book")
    if version == SCHEMA_VERSION:
        Checkpoint.read(connection)
    counts["samples"] = samples.check(connection)
    rows = connection.execute(
        "SELECT content FROM audit WHERE kind = ? ORDER BY sequence", (BLOCK_KIND,)
    )
    blocks = [Block(**json.loads(content)) for (content,) in rows]
    beside = path.with_name("readings.sqlite")
    if not beside.exists():
        if blocks:
            msg = f"{beside.name} is missing, the readings of {len(blocks)} blocks"
            raise StateCorrupt(msg)
        return
    log = _open(beside)
    try:
        counts["readings"], counts["blocks"] = readings.check(
            log, blocks, audit.GENESIS
        )
        counts["blocks_pruned"] = len(blocks) - counts["blocks"]
    finally:
        log.close()


def _check_one(connection: sqlite3.Connection, name: str) -> None:
    row = connection.execute(f"SELECT content, digest FROM {name}").fetchone()  # noqa: S608 - a name of ours
    if row is None and name == "book":
        return  # before the first second
    if row is None or digest(name, row[0]) != row[1]:
        msg = f"the {name} is not what was written"
        raise StateCorrupt(msg)
    if name == "latch":
        Latch.from_json(row[0])


def _open(path: Path) -> sqlite3.Connection:
    if not path.exists():
        msg = f"there is no risk store at {path}"
        raise SettingsError(msg)
    try:
        uri = f"{path.resolve().as_uri()}?mode=ro"
        connection = sqlite3.connect(uri, uri=True, timeout=5.0, isolation_level=None)
        connection.execute("PRAGMA query_only = ON")
    except sqlite3.Error as error:
        msg = f"the risk store {path} cannot be opened: {error}"
        raise SettingsError(msg) from None
    return connection

"""
Every reading a decision was made on, for 26 hours and around each change of state.

A file of its own beside the store, because these rows are many and must go: losing it
loses no latch and no peak. Rows form blocks of five minutes; each row's digest is
chained to the one before, and each finished block's digest becomes an entry of the
audit log. Old blocks are deleted whole, and their hashes still stand in that chain.
"""

from __future__ import annotations

import hashlib
import sqlite3
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from cryptoquantix.core.clock import NS_PER_SECOND
from cryptoquantix.core.errors import StateCorrupt
from cryptoquantix.risk.schema import connect, is_damage

BLOCK_NS: Final = 300 * NS_PER_SECOND
KEPT_NS: Final = 26 * 3_600 * NS_PER_SECOND
AROUND_NS: Final = 60 * NS_PER_SECOND
"""Before and after a change of state, readings are kept for good."""

DICTIONARY_MAX: Final = 32_768
"""zlib looks no further back."""

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS readings (
  number INTEGER PRIMARY KEY, block INTEGER NOT NULL, time_ns INTEGER NOT NULL,
  content BLOB NOT NULL, digest TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS readings_by_block ON readings (block, number);
CREATE TABLE IF NOT EXISTS kept (block INTEGER PRIMARY KEY);
"""


@dataclass(frozen=True, slots=True)
class Block:
    """A finished block, as its entry in the audit log names it."""

    block: int
    first_ns: int
    last_ns: int
    count: int
    digest: str


class ReadingsLog:
    """
    The open file. ``before`` is the digest at which the open block's chain begins.

    All calls block: they are made from the store's thread.
    """

    def __init__(self, connection: sqlite3.Connection, block: int, before: str) -> None:
        self._connection = connection
        self._block = block
        self._digest = before
        self._first_ns = self._last_ns = 0
        self._count = 0
        self._dictionary = b""
        self._keep_until_ns = 0
        self.has_lost = False

    @classmethod
    def open(cls, path: Path, newest: Block | None, genesis: str) -> Self:
        """
        Open or create the file, and go on with the block that was open.

        A file that cannot be read is set aside: its readings are lost, and checking
        the audit log says so.
        """
        has_lost = False
        try:
            connection = _ready(path)
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise
            has_lost = True
            for suffix in ("", "-wal", "-shm"):
                part = Path(f"{path}{suffix}")
                if part.exists():
                    part.replace(f"{path}.corrupt{suffix}")
            connection = _ready(path)
        block = 1 if newest is None else newest.block + 1
        log = cls(connection, block, genesis if newest is None else newest.digest)
        log.has_lost = has_lost
        log._resume()
        return log

    def _resume(self) -> None:
        rows = self._connection.execute(
            "SELECT time_ns, content, digest FROM readings WHERE block = ? "
            "ORDER BY number",
            (self._block,),
        ).fetchall()
        if rows:
            self._count = len(rows)
            self._first_ns, self._last_ns = rows[0][0], rows[-1][0]
            self._digest = rows[-1][2]
            self._dictionary = zlib.decompress(rows[0][1])[-DICTIONARY_MAX:]

    def finished(self, time_ns: int) -> Block | None:
        """Return the open block if ``time_ns`` lies beyond it: it must be chained."""
        if not self._count or 0 <= time_ns - self._first_ns < BLOCK_NS:
            return None
        return Block(
            self._block, self._first_ns, self._last_ns, self._count, self._digest
        )

    def begin_next(self, now_ns: int) -> None:
        """Begin a new block: the finished one is an entry of the audit log now."""
        self._block += 1
        self._count = 0
        self._prune(now_ns)

    def add(self, time_ns: int, text: str) -> None:
        """Write one second's readings to the open block."""
        raw = text.encode()
        chained = row_digest(self._digest, self._block, time_ns, raw)
        packer = (
            zlib.compressobj(6, zdict=self._dictionary)
            if self._count
            else zlib.compressobj(6)
        )
        self._connection.execute(
            "INSERT INTO readings (block, time_ns, content, digest) "
            "VALUES (?, ?, ?, ?)",
            (self._block, time_ns, packer.compress(raw) + packer.flush(), chained),
        )
        if not self._count:
            self._first_ns = time_ns
            self._dictionary = raw[-DICTIONARY_MAX:]
            if time_ns < self._keep_until_ns:
                self._mark(self._block)
        self._digest, self._last_ns = chained, time_ns
        self._count += 1

    def _prune(self, now_ns: int) -> None:
        self._connection.execute(
            "DELETE FROM readings WHERE block IN (SELECT block FROM readings "
            "WHERE block < ? AND block NOT IN (SELECT block FROM kept) "
            "GROUP BY block HAVING max(time_ns) < ? ORDER BY block LIMIT 4)",
            (self._block, now_ns - KEPT_NS),
        )

    def keep_around(self, now_ns: int) -> None:
        """Keep for good what is read within a minute of now, before and after."""
        self._keep_until_ns = now_ns + AROUND_NS
        self._mark(self._block)
        if not self._count or now_ns - self._first_ns < AROUND_NS:
            self._mark(self._block - 1)

    def _mark(self, block: int) -> None:
        self._connection.execute("INSERT OR IGNORE INTO kept VALUES (?)", (block,))

    def close(self) -> None:
        """Close the file."""
        self._connection.close()


def row_digest(before: str, block: int, time_ns: int, raw: bytes) -> str:
    """Return the digest of one row, chained to the one before it."""
    head = f"{before}\x1f{block}\x1f{time_ns}\x1f".encode()
    return hashlib.sha256(head + raw).hexdigest()


def rows(connection: sqlite3.Connection, block: int) -> list[tuple[int, str, str]]:
    """Return (time_ns, text, digest) of one block, oldest first."""
    found: list[tuple[int, str, str]] = []
    dictionary = b""
    for time_ns, content, digest in connection.execute(
        "SELECT time_ns, content, digest FROM readings WHERE block = ? ORDER BY number",
        (block,),
    ):
        unpacker = zlib.decompressobj(zdict=dictionary) if found else None
        raw = unpacker.decompress(content) if unpacker else zlib.decompress(content)
        dictionary = dictionary or raw[-DICTIONARY_MAX:]
        found.append((time_ns, raw.decode(), digest))
    return found


def check(
    connection: sqlite3.Connection, blocks: Iterable[Block], genesis: str
) -> tuple[int, int]:
    """
    Check every block that is still there against the audit log; count rows and blocks.

    ``blocks`` are those the audit log names, oldest first. What is younger than 26
    hours before the newest, or marked to be kept, must be there.

    Raises
    ------
    StateCorrupt
        At the first reading that is not what was written.
    """
    named = list(blocks)
    newest_ns = named[-1].last_ns if named else 0
    kept = {block for (block,) in connection.execute("SELECT block FROM kept")}
    before, count, whole = genesis, 0, 0
    for block in named:
        found = _read(connection, block.block)
        # A block's length of grace: the daemon may be pruning meanwhile.
        is_young = block.last_ns > newest_ns - KEPT_NS + 2 * BLOCK_NS
        is_due = is_young or block.block in kept
        if found:
            end = _check_rows(block.block, found, before)
            if end != block.digest or len(found) != block.count:
                msg = f"the readings of block {block.block} are not what was written"
                raise StateCorrupt(msg)
            whole += 1
        elif is_due:
            msg = f"the readings of block {block.block} are missing"
            raise StateCorrupt(msg)
        before = block.digest
        count += len(found)
    open_block = named[-1].block + 1 if named else 1
    found = _read(connection, open_block)
    _check_rows(open_block, found, before)
    return count + len(found), whole


def _read(connection: sqlite3.Connection, block: int) -> list[tuple[int, str, str]]:
    try:
        return rows(connection, block)
    except (zlib.error, UnicodeDecodeError) as error:
        msg = f"the readings of block {block} cannot be read: {error}"
        raise StateCorrupt(msg) from None


def _check_rows(block: int, found: list[tuple[int, str, str]], before: str) -> str:
    for time_ns, text, digest in found:
        before = row_digest(before, block, time_ns, text.encode())
        if before != digest:
            msg = f"the reading of {time_ns} in block {block} is not what was written"
            raise StateCorrupt(msg)
    return before


def _ready(path: Path) -> sqlite3.Connection:
    connection = connect(path)
    try:
        connection.executescript(_SCHEMA)
        path.chmod(0o600)
    except BaseException:
        connection.close()
        raise
    return connection

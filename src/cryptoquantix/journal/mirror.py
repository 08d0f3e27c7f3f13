"""
The journal repeated in PostgreSQL, in order and once; execution never waits for it.

It reads what execution has written (SQLite lets it, beside the writer) and applies rows
by their sequence, together with the sequence reached, in one transaction a batch: a
server that stops, or a mirror that is killed, continues where it stood. It never writes
to the journal, and it refuses a server that holds another journal's rows.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import Any, Final

import asyncpg
import msgspec

from cryptoquantix.core.errors import SettingsError
from cryptoquantix.journal.reader import JournalReader
from cryptoquantix.journal.schema import HEAD, postgresql_statements
from cryptoquantix.journal.tables import MIRRORED

_LOG = logging.getLogger(__name__)

_BATCH: Final = 500
_POLL_SECONDS: Final = 0.25
_RETRY_SECONDS: Final = (0.5, 1.0, 2.0, 5.0, 10.0)
_TIMEOUT_SECONDS: Final = 10.0
_TABLES: Final = {table.name: table for table in MIRRORED}
_DECODER: Final = msgspec.json.Decoder(dict[str, Any])
# What a server that is away, restarting or full raises.
_AWAY: Final = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError)


class Mirror:
    """
    Repeats ``reader``'s journal at the PostgreSQL server ``url``.

    Raises
    ------
    SettingsError
        From :meth:`run`, if the server's database cannot be this journal's mirror.
    """

    def __init__(self, reader: JournalReader, url: str) -> None:
        self._reader = reader
        self._url = url
        self._name = reader.name()
        # For whoever asks: the last row at the server (None: not asked yet), and what
        # keeps the next ones from it.
        self.reached: int | None = None
        self.problem = "the server was not reached yet"

    async def run(self) -> None:
        """Repeat for ever, through restarts of the server; cancellation closes."""
        failures = 0
        while True:
            try:
                connection = await asyncpg.connect(
                    self._url,
                    timeout=_TIMEOUT_SECONDS,
                    command_timeout=_TIMEOUT_SECONDS,
                )
            except ValueError as error:
                msg = f"journal.mirror is no PostgreSQL address: {error}"
                raise SettingsError(msg) from None
            except _AWAY as error:
                failures = await self._wait(failures, error)
                continue
            try:
                await self._prepare(connection)
                failures = 0
                await self._repeat(connection)
            except _AWAY as error:
                failures = await self._wait(failures, error)
            finally:
                await _close(connection)

    async def _repeat(self, connection: asyncpg.Connection) -> None:
        behind = True
        while True:
            count = await self.copy(connection)
            self.problem = ""
            if behind and not count:
                _LOG.info("the mirror is up to date")
            behind = count > 0
            if count < _BATCH:
                await asyncio.sleep(_POLL_SECONDS)

    async def copy(self, connection: asyncpg.Connection) -> int:
        """Apply the next rows in one transaction; return how many."""
        async with connection.transaction():
            reached = await connection.fetchval(
                "SELECT sequence FROM mirror_state WHERE journal = $1 FOR UPDATE",
                self._name,
            )
            found = await asyncio.to_thread(self._reader.changes, reached, _BATCH)
            if not found:
                self.reached = reached
                return 0
            for _, name, row in found:
                values = _DECODER.decode(row)
                await connection.execute(_statement(name, values), *values.values())
            await connection.execute(
                "UPDATE mirror_state SET sequence = $2 WHERE journal = $1",
                self._name,
                found[-1][0],
            )
        self.reached = found[-1][0]
        return len(found)

    async def _wait(self, failures: int, error: Exception) -> int:
        # asyncpg's texts hold no password; the address does.
        why = str(error) or type(error).__name__
        self.problem = f"the server is away: {why}"
        if failures in {0, len(_RETRY_SECONDS)}:
            _LOG.warning("the mirror's server is away: %s", why)
        await asyncio.sleep(_RETRY_SECONDS[min(failures, len(_RETRY_SECONDS) - 1)])
        return failures + 1

    async def _prepare(self, connection: asyncpg.Connection) -> None:
        """Bring the database to this build's version and find our place in it."""
        version = None
        if await connection.fetchval("SELECT to_regclass('alembic_version')"):
            version = await connection.fetchval(
                "SELECT version_num FROM alembic_version"
            )
        if version is not None and version > HEAD:
            msg = f"the mirror is of version {version}, this build reads up to {HEAD}"
            raise SettingsError(msg)
        if version != HEAD:
            await connection.execute(postgresql_statements(version))
            _LOG.info("the mirror is of version %s now", HEAD)
        others = await connection.fetch(
            "SELECT journal FROM mirror_state WHERE journal <> $1", self._name
        )
        if others:
            msg = (
                "journal.mirror holds another journal's rows: give this journal a "
                "database of its own"
            )
            raise SettingsError(msg)
        await connection.execute(
            "INSERT INTO mirror_state VALUES ($1, 0) ON CONFLICT DO NOTHING", self._name
        )


def _statement(name: str, columns: Iterable[str]) -> str:
    """
    Return what writes a row as it now reads, whether it was there or not.

    A row of an earlier version has fewer columns: the others keep their defaults.
    """
    table = _TABLES[name]
    names = list(columns)
    assert set(names) <= set(table.columns.keys()), f"{name} has no such columns"
    keys = [column.name for column in table.primary_key]
    places = ", ".join(f"${number}" for number in range(1, len(names) + 1))
    updates = ", ".join(f'"{n}" = EXCLUDED."{n}"' for n in names if n not in keys)
    listed = ", ".join(f'"{n}"' for n in names)
    return (
        f'INSERT INTO "{name}" ({listed}) VALUES ({places}) '  # noqa: S608 - checked
        f"ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {updates}"
    )


async def _close(connection: asyncpg.Connection) -> None:
    try:
        await connection.close(timeout=2)
    except _AWAY:
        connection.terminate()

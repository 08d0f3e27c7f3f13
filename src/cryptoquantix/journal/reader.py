"""
A journal read while execution writes it; nothing is written, and no lock is taken.

Raises what a user can act on: there is no such file, or it is of another version.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

from cryptoquantix.core.errors import SettingsError, StateCorrupt
from cryptoquantix.journal.records import (
    CrossRecord,
    FillRecord,
    FlowRecord,
    OrderRecord,
)
from cryptoquantix.journal.schema import SCHEMA_VERSION

_INSTRUMENTS: Final = ("orders", "fills", "flows", "crosses", "baselines")
# A report's subject: an instrument, what is behind it of an order, or a venue alone.
_REPORTED: Final = "substr(subject, 1, instr(subject || ' ', ' ') - 1)"


class JournalReader:
    """
    The journal at ``path``, one query after another.

    Raises
    ------
    SettingsError
        If there is none, or it is of an earlier version (``cqx execution`` or
        ``cqx journal upgrade`` makes it a later one).
    StateCorrupt
        If it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        if not path.exists():
            msg = f"there is no journal at {path}"
            raise SettingsError(msg)
        (version,) = self.rows("PRAGMA user_version")[0].values()
        if version != SCHEMA_VERSION:
            msg = (
                f"the journal {path} is of version {version}, this build reads "
                f"{SCHEMA_VERSION}: run cqx journal upgrade while execution is stopped"
            )
            raise SettingsError(msg)

    def rows(self, query: str, *values: object) -> list[dict[str, Any]]:
        """Return the rows of a query, each by its columns' names."""
        with self._open() as connection:
            return [dict(row) for row in connection.execute(query, values)]

    def instruments(self) -> list[str]:
        """Return every instrument that the journal holds anything of, by name."""
        names = " UNION ".join(f"SELECT instrument FROM {one}" for one in _INSTRUMENTS)  # noqa: S608 - ours
        names += f" UNION SELECT {_REPORTED} FROM reports WHERE {_REPORTED} LIKE '%:%'"  # noqa: S608 - ours
        return sorted(row["instrument"] for row in self.rows(names))

    def orders(self, instrument: str = "") -> list[dict[str, Any]]:
        """Return orders as they stand, of one instrument or all, oldest first."""
        return self._of("orders", instrument, "created_ns, rowid")

    def records(self, instrument: str = "") -> dict[str, OrderRecord]:
        """Return orders as decided, of one instrument or all, by their ids."""
        return {
            row["client_order_id"]: _struct(row, OrderRecord)
            for row in self.orders(instrument)
        }

    def fills(self, instrument: str = "") -> list[FillRecord]:
        """Return fills of one instrument or all, in the order they were journalled."""
        found = self._of("fills", instrument)
        for row in found:
            row["is_inverse"] = bool(row["is_inverse"])
        return [_struct(row, FillRecord) for row in found]

    def flows(self, instrument: str = "") -> list[FlowRecord]:
        """Return funding of one instrument or all, in the order it was journalled."""
        rows = self._of("flows", instrument)
        return [_struct(row, FlowRecord) for row in rows]

    def crosses(self, instrument: str = "") -> list[CrossRecord]:
        """Return what strategies took over from each other, oldest first."""
        found = self._of("crosses", instrument)
        for row in found:
            row["is_inverse"] = bool(row["is_inverse"])
        return [_struct(row, CrossRecord) for row in found]

    def reports(self, instrument: str = "") -> list[dict[str, Any]]:
        """Return what a person should know, of one instrument or all, oldest first."""
        query = (
            f"SELECT * FROM reports WHERE ? IN ('', {_REPORTED}) "  # noqa: S608 - ours
            "ORDER BY sequence"
        )
        return self.rows(query, instrument)

    def changes(self, after: int, most: int) -> list[tuple[int, str, str]]:
        """Return the rows as written after a sequence number, at most ``most``."""
        query = (
            "SELECT sequence, table_name, row FROM changes WHERE sequence > ? "
            "ORDER BY sequence LIMIT ?"
        )
        return [
            (row["sequence"], row["table_name"], row["row"])
            for row in self.rows(query, after, most)
        ]

    def last_change(self) -> int:
        """Return the sequence number of the newest row written; 0: there is none."""
        found = self.rows("SELECT max(sequence) AS last FROM changes")
        return int(found[0]["last"] or 0)

    def name(self) -> str:
        """Return what tells this journal from any other."""
        return str(
            self.rows("SELECT value FROM facts WHERE name = 'journal'")[0]["value"]
        )

    def _of(
        self, table: str, instrument: str, order: str = "sequence"
    ) -> list[dict[str, Any]]:
        where, values = (
            ("WHERE instrument = ?", (instrument,)) if instrument else ("", ())
        )
        query = f"SELECT * FROM {table} {where} ORDER BY {order}"  # noqa: S608 - ours
        return self.rows(query, *values)

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            uri = f"{self._path.absolute().as_uri()}?mode=ro"
            with closing(sqlite3.connect(uri, uri=True, timeout=5)) as connection:
                connection.row_factory = sqlite3.Row
                yield connection
        except sqlite3.Error as error:
            msg = f"the journal {self._path} cannot be read: {error}"
            raise StateCorrupt(msg) from None


def _struct[S: msgspec.Struct](row: dict[str, Any], struct: type[S]) -> S:
    values = {name: row[name] for name in struct.__struct_fields__}
    return msgspec.convert(values, struct)

"""
The journal's tables, durable writes and queries; it decides nothing.

SQLite in WAL mode with ``synchronous=FULL``: when a write returns, it is on the disk.
A write that cannot be made durable raises :class:`JournalError`, and whoever was about
to send must not. One process writes one journal: a second is refused by a lock file.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy import exc

from cryptoquantix.core.errors import JournalError, StateCorrupt
from cryptoquantix.core.instrument import InstrumentId
from cryptoquantix.core.quantity import to_lots_down
from cryptoquantix.journal.filled import Filled
from cryptoquantix.journal.group import OrderGroup
from cryptoquantix.journal.opening import (
    check,
    driver,
    grow_log,
    make_durable,
    take_lock,
)
from cryptoquantix.journal.records import (
    Baseline,
    CrossRecord,
    FillRecord,
    FlowRecord,
    OrderNote,
    OrderRecord,
    OrderStanding,
    Report,
)
from cryptoquantix.journal.rows import (
    IS_KNOWN,
    STANDING_COLUMNS,
    insert,
    insert_note,
    insert_order,
    standing,
)
from cryptoquantix.journal.tables import baselines, crosses, fills, flows, reports
from cryptoquantix.journal.totals import (
    UNFINISHED,
    FillTotals,
    OwnedLots,
    SharedFill,
    owned_query,
    shared_query,
)


class Journal:
    """
    Execution's journal at ``path``, which is made where it is missing.

    Raises
    ------
    SettingsError
        If another process has it open, or the directory cannot be written.
    StateCorrupt
        If the file is no journal, is damaged, or is of another version.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = take_lock(path)
        self._group = OrderGroup(self.record_orders)
        self._fill_totals = FillTotals(self._rows)
        self.filled = Filled(self._rows)
        self._engine = sa.create_engine(f"sqlite:///{path}", poolclass=sa.StaticPool)
        sa.event.listen(self._engine, "connect", make_durable)
        try:
            self._connection = self._engine.connect()
            check(self._connection, path)
            grow_log(self._connection)
            self._driver = driver(self._connection)
        except exc.DatabaseError as error:
            self.close()
            msg = f"the journal {path} cannot be read: {error.orig}"
            raise StateCorrupt(msg) from None
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the file and give up the lock; closing twice is fine."""
        self._engine.dispose()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def __contains__(self, client_order_id: object) -> bool:
        """Return whether an order with this id was ever journalled."""
        return self._rows(IS_KNOWN, (client_order_id,)) != []

    # -- writing ----------------------------------------------------------------

    def record_order(self, record: OrderRecord) -> None:
        """
        Write an order durably, in the state JOURNALED; only then may it be sent.

        Raises
        ------
        JournalError
            If it could not be written, or its id or its attempt is already there.
        """
        self.record_orders((record,))

    async def record_order_soon(self, record: OrderRecord) -> None:
        """
        Do as :meth:`record_order`, with one commit for all orders of this turn.

        Cancellation before the commit leaves it unwritten.

        Raises
        ------
        JournalError
            If it could not be written.
        """
        await self._group.add(record)

    def record_orders(self, records: Sequence[OrderRecord]) -> None:
        """
        Write orders durably, all of them or none, as :meth:`record_order` does.

        Raises
        ------
        JournalError
            If one of them could not be written: then none is.
        """
        names = ", ".join(record.client_order_id for record in records)
        with self._writing(f"order {names}") as connection:
            for record in records:
                insert_order(connection, record)

    def record_note(self, note: OrderNote) -> None:
        """Write what was learned about an order, and its state after it."""
        with self._writing(f"{note.event} of {note.client_order_id}") as connection:
            insert_note(connection, note)

    def record_fills(self, records: Sequence[FillRecord]) -> list[FillRecord]:
        """Write the fills that are not there yet; return those, in their order."""
        new = self._record_new(fills, records, "fills")
        self._fill_totals.add(new)
        return new

    def record_flows(self, records: Sequence[FlowRecord]) -> list[FlowRecord]:
        """Write the funding that is not there yet; return that, in its order."""
        return self._record_new(flows, records, "fundings")

    def record_crosses(self, records: Sequence[CrossRecord]) -> list[CrossRecord]:
        """Write what strategies took over from each other, all or nothing, once."""
        return self._record_new(crosses, records, "crosses")

    def record_baseline(self, baseline: Baseline) -> None:
        """Write what an instrument held when the journal first met it, once."""
        with self._writing(f"baseline of {baseline.instrument}") as connection:
            insert(connection, baselines, msgspec.structs.asdict(baseline))

    def record_report(self, report: Report) -> None:
        """Write something a person should know."""
        with self._writing(f"report {report.kind}") as connection:
            insert(connection, reports, msgspec.structs.asdict(report))

    # -- queries ----------------------------------------------------------------

    def order(self, client_order_id: str) -> OrderStanding | None:
        """Return one order and where it stands, or None."""
        found = self._standings("client_order_id = ?", client_order_id)
        return found[0] if found else None

    def unfinished(self) -> list[OrderStanding]:
        """Return every order that is not in a terminal state, oldest first."""
        # By the states it may be in, and not by the others: those have an index.
        places = ", ".join("?" * len(UNFINISHED))
        return self._standings(f"state IN ({places})", *UNFINISHED)

    def attempts(
        self, *, account: str, strategy: str, instrument: InstrumentId, bar_ns: int
    ) -> list[OrderStanding]:
        """Return every attempt to follow one bar's target, in their order."""
        return self._standings(
            "account = ? AND strategy = ? AND instrument = ? AND bar_ns = ?",
            account,
            strategy,
            str(instrument),
            bar_ns,
        )

    def client_order_ids(
        self, instrument: InstrumentId, venue_order_ids: Iterable[str]
    ) -> dict[str, str]:
        """
        Return our id of each of the venue's order ids that are ours.

        Of one instrument: venues count their orders from one as others do, and
        Binance anew for each symbol.
        """
        ids = sorted({i for i in venue_order_ids if i})
        places = ", ".join("?" * len(ids))
        query = (
            "SELECT venue_order_id, client_order_id FROM orders "  # noqa: S608 - ours
            f"WHERE instrument = ? AND venue_order_id IN ({places})"
        )
        return dict(self._rows(query, (str(instrument), *ids)))

    def iter_fills(
        self, instrument: InstrumentId | None = None
    ) -> Iterator[FillRecord]:
        """Yield fills in the order they were journalled."""
        query = _select(fills, FillRecord).order_by(fills.c.sequence)
        if instrument is not None:
            query = query.where(fills.c.instrument == str(instrument))
        for row in self._rows(query):
            yield _struct(row, FillRecord)

    def size_filled_lots(self, instrument: InstrumentId, lot_size: Decimal) -> int:
        """Return the signed sum of an instrument's fills, in lots of that size."""
        return to_lots_down(self._fill_totals.of(str(instrument)).size, lot_size)

    def last_flow_ns(self, venue: str) -> int:
        """Return the venue's time of the newest funding journalled, or 0."""
        query = (
            "SELECT coalesce(max(venue_time_ns), 0) FROM flows WHERE instrument GLOB ?"
        )
        return int(self._rows(query, (f"{venue}:*",))[0][0])

    def first_baseline_ns(self, venue: str) -> int:
        """Return when this journal first met an instrument of a venue, or 0."""
        query = (
            "SELECT coalesce(min(time_ns), 0) FROM baselines WHERE instrument GLOB ?"
        )
        return int(self._rows(query, (f"{venue}:*",))[0][0])

    def iter_orders(self) -> Iterator[OrderStanding]:
        """Yield every order, oldest first."""
        yield from self._standings("1")

    def iter_flows(self) -> Iterator[FlowRecord]:
        """Yield funding in the order it was journalled."""
        query = _select(flows, FlowRecord).order_by(flows.c.sequence)
        for row in self._rows(query):
            yield _struct(row, FlowRecord)

    def owned_lots(self, instruments: Collection[InstrumentId]) -> list[OwnedLots]:
        """
        Return what strategies hold by ended orders of their own, and by crosses.

        Orders of several strategies at once are not in it: see :meth:`iter_shared`.
        """
        names = tuple(map(str, instruments))
        found = self._rows(owned_query(len(names)), names)
        return [OwnedLots(*row) for row in found]

    def iter_shared(
        self, instruments: Collection[InstrumentId]
    ) -> Iterator[SharedFill]:
        """Yield the ended orders of several strategies of which something filled."""
        names = tuple(map(str, instruments))
        with self._reading():
            for row in self._driver.execute(shared_query(len(names)), names):
                yield SharedFill(*row)

    def last_trade_id(self, instrument: InstrumentId) -> str:
        """Return the id of the newest journalled fill, or an empty string."""
        return self._fill_totals.of(str(instrument)).trade_id

    def baseline(self, instrument: InstrumentId) -> Baseline | None:
        """Return what the instrument held when the journal first met it, or None."""
        columns = ", ".join(Baseline.__struct_fields__)
        query = f"SELECT {columns} FROM baselines WHERE instrument = ?"  # noqa: S608 - ours
        rows = self._rows(query, (str(instrument),))
        return _struct(rows[0], Baseline) if rows else None

    def newest_reports(self, count: int) -> list[tuple[int, Report]]:
        """Return the newest ``count``, oldest first, each with its number."""
        columns = ", ".join(Report.__struct_fields__)
        query = (
            f"SELECT sequence, {columns} FROM reports "  # noqa: S608 - ours
            "ORDER BY sequence DESC LIMIT ?"
        )
        rows = self._rows(query, (count,))
        return [(row[0], Report(*row[1:])) for row in reversed(rows)]

    def iter_reports(self) -> Iterator[Report]:
        """Yield what a person should know, oldest first."""
        query = _select(reports, Report).order_by(reports.c.sequence)
        for row in self._rows(query):
            yield _struct(row, Report)

    # -- inside -----------------------------------------------------------------

    def _record_new[S: msgspec.Struct](
        self, table: sa.Table, records: Sequence[S], what: str
    ) -> list[S]:
        """Write the records none of whose keys is there; return those."""
        if not records:
            return []
        with self._writing(f"{len(records)} {what}") as connection:
            return [
                record
                for record in records
                if insert(
                    connection,
                    table,
                    msgspec.structs.asdict(record),
                    "INSERT OR IGNORE",
                )
            ]

    def _standings(self, condition: str, *values: object) -> list[OrderStanding]:
        query = (
            f"SELECT {STANDING_COLUMNS} FROM orders WHERE {condition} "  # noqa: S608 - ours
            "ORDER BY created_ns, bar_ns, attempt"
        )
        return [standing(row) for row in self._rows(query, values)]

    def _rows(
        self, query: sa.Select[Any] | str, values: tuple[object, ...] = ()
    ) -> list[tuple[Any, ...]]:
        with self._reading():
            if isinstance(query, str):
                # Past SQLAlchemy's rows, which cost more than SQLite's answer.
                found: list[tuple[Any, ...]] = self._driver.execute(
                    query, values
                ).fetchall()
                return found
            with self._connection.begin():
                return [tuple(row) for row in self._connection.execute(query)]

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except (exc.DatabaseError, sqlite3.Error) as error:
            cause = getattr(error, "orig", None) or error
            msg = f"the journal {self.path} cannot be read: {cause}"
            raise JournalError(msg) from None

    @contextmanager
    def _writing(self, what: str) -> Iterator[sqlite3.Connection]:
        try:
            # Commits, durably, or rolls everything back.
            with self._driver as connection:
                yield connection
        except sqlite3.Error as error:
            msg = f"the journal {self.path} could not write {what}: {error}"
            raise JournalError(msg) from None

    def tidy(self) -> None:
        """
        Move what the log holds into the database, so that the log begins anew.

        Some milliseconds: to be called now and then, and not on an order's way.
        """
        try:
            self._connection.exec_driver_sql("PRAGMA wal_checkpoint(PASSIVE)").all()
            self._connection.commit()
        except exc.DatabaseError as error:
            msg = f"the journal {self.path} could not be tidied: {error.orig}"
            raise JournalError(msg) from None


def _select(table: sa.Table, struct: type[msgspec.Struct]) -> sa.Select[Any]:
    return sa.select(*(table.c[name] for name in struct.__struct_fields__))


def _struct[S: msgspec.Struct](row: tuple[Any, ...], struct: type[S]) -> S:
    values = dict(zip(struct.__struct_fields__, row, strict=True))
    return msgspec.convert(values, struct)

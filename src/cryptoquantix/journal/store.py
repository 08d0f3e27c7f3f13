"""
The journal's tables, durable writes and queries; it decides nothing.

SQLite in WAL mode with ``synchronous=FULL``: when a write returns, it is on the disk.
A write that cannot be made durable raises :class:`JournalError`, and whoever was about
to send must not. One process writes one journal: a second is refused by a lock file.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
import sqlalchemy as sa
from sqlalchemy import exc

from cryptoquantix.core.errors import JournalError, SettingsError, StateCorrupt
from cryptoquantix.core.instrument import InstrumentId
from cryptoquantix.core.order import OrderState
from cryptoquantix.journal.records import (
    SCHEMA_VERSION,
    Baseline,
    FillRecord,
    OrderNote,
    OrderRecord,
    OrderStanding,
    Report,
)

_META: Final = sa.MetaData()
_TEXT, _INT, _REAL = sa.Text, sa.BigInteger, sa.Float

orders: Final = sa.Table(
    "orders",
    _META,
    sa.Column("client_order_id", _TEXT, primary_key=True),
    sa.Column("account", _TEXT, nullable=False),
    sa.Column("strategy", _TEXT, nullable=False),
    sa.Column("instrument", _TEXT, nullable=False),
    sa.Column("bar_ns", _INT, nullable=False),
    sa.Column("attempt", _INT, nullable=False),
    sa.Column("kind", _TEXT, nullable=False),
    sa.Column("side", _TEXT, nullable=False),
    sa.Column("size_lots", _INT, nullable=False),
    sa.Column("type", _TEXT, nullable=False),
    sa.Column("price_ticks", _INT),
    sa.Column("time_in_force", _TEXT, nullable=False),
    sa.Column("lot_size", _TEXT, nullable=False),
    sa.Column("target", _REAL, nullable=False),
    sa.Column("reference_price", _TEXT, nullable=False),
    sa.Column("wanted_lots", _INT, nullable=False),
    sa.Column("held_lots", _INT, nullable=False),
    sa.Column("created_ns", _INT, nullable=False),
    sa.Column("build", _TEXT, nullable=False),
    sa.Column("state", _TEXT, nullable=False, index=True),
    sa.Column("filled_lots", _INT, nullable=False, server_default="0"),
    sa.Column("venue_order_id", _TEXT, nullable=False, server_default="", index=True),
    sa.Column("updated_ns", _INT, nullable=False),
    sa.UniqueConstraint("account", "strategy", "instrument", "bar_ns", "attempt"),
    sqlite_with_rowid=True,
)
order_events: Final = sa.Table(
    "order_events",
    _META,
    sa.Column("sequence", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("client_order_id", sa.ForeignKey("orders.client_order_id"), index=True),
    sa.Column("time_ns", _INT, nullable=False),
    sa.Column("event", _TEXT, nullable=False),
    sa.Column("state", _TEXT, nullable=False),
    sa.Column("detail", _TEXT, nullable=False),
)
fills: Final = sa.Table(
    "fills",
    _META,
    sa.Column("sequence", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("instrument", _TEXT, nullable=False),
    sa.Column("trade_id", _TEXT, nullable=False),
    sa.Column("venue_order_id", _TEXT, nullable=False),
    sa.Column("client_order_id", _TEXT, nullable=False, index=True),
    sa.Column("side", _TEXT, nullable=False),
    sa.Column("size_lots", _INT, nullable=False),
    sa.Column("lot_size", _TEXT, nullable=False),
    sa.Column("price", _TEXT, nullable=False),
    sa.Column("fee", _TEXT, nullable=False),
    sa.Column("fee_currency", _TEXT, nullable=False),
    sa.Column("venue_time_ns", _INT, nullable=False),
    sa.Column("recorded_ns", _INT, nullable=False),
    sa.UniqueConstraint("instrument", "trade_id"),
)
baselines: Final = sa.Table(
    "baselines",
    _META,
    sa.Column("instrument", _TEXT, primary_key=True),
    sa.Column("size_lots", _INT, nullable=False),
    sa.Column("trade_id", _TEXT, nullable=False),
    sa.Column("time_ns", _INT, nullable=False),
)
reports: Final = sa.Table(
    "reports",
    _META,
    sa.Column("sequence", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("time_ns", _INT, nullable=False),
    sa.Column("kind", _TEXT, nullable=False),
    sa.Column("subject", _TEXT, nullable=False),
    sa.Column("text", _TEXT, nullable=False),
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
        self._lock = _lock(path)
        self._engine = sa.create_engine(f"sqlite:///{path}", poolclass=sa.StaticPool)
        sa.event.listen(self._engine, "connect", _durable)
        try:
            self._connection = self._engine.connect()
            self._check()
        except exc.DatabaseError as error:
            self.close()
            msg = f"the journal {path} cannot be read: {error.orig}"
            raise StateCorrupt(msg) from None
        except StateCorrupt:
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
        query = sa.select(orders.c.client_order_id).where(
            orders.c.client_order_id == client_order_id
        )
        return self._rows(query) != []

    # -- writing ----------------------------------------------------------------

    def record_order(self, record: OrderRecord) -> None:
        """
        Write an order durably, in the state JOURNALED; only then may it be sent.

        Raises
        ------
        JournalError
            If it could not be written, or its id or its attempt is already there.
        """
        values = msgspec.structs.asdict(record) | {
            "state": OrderState.JOURNALED.value,
            "updated_ns": record.created_ns,
        }
        with self._writing(f"order {record.client_order_id}") as connection:
            connection.execute(sa.insert(orders), _plain(values))

    def record_note(self, note: OrderNote) -> None:
        """Write what was learned about an order, and its state after it."""
        changes: dict[str, Any] = {"state": note.state, "updated_ns": note.time_ns}
        if note.filled_lots is not None:
            changes["filled_lots"] = note.filled_lots
        if note.venue_order_id is not None:
            changes["venue_order_id"] = note.venue_order_id
        event = {name: getattr(note, name) for name in _EVENT_COLUMNS}
        with self._writing(f"{note.event} of {note.client_order_id}") as connection:
            connection.execute(sa.insert(order_events), _plain(event))
            connection.execute(
                sa.update(orders)
                .where(orders.c.client_order_id == note.client_order_id)
                .values(_plain(changes))
            )

    def record_fills(self, records: Sequence[FillRecord]) -> list[FillRecord]:
        """Write the fills that are not there yet; return those, in their order."""
        new: list[FillRecord] = []
        if not records:
            return new
        with self._writing(f"{len(records)} fills") as connection:
            for record in records:
                statement = sa.insert(fills).prefix_with("OR IGNORE")
                values = _plain(msgspec.structs.asdict(record))
                if connection.execute(statement, values).rowcount:
                    new.append(record)
        return new

    def record_baseline(self, baseline: Baseline) -> None:
        """Write what an instrument held when the journal first met it, once."""
        with self._writing(f"baseline of {baseline.instrument}") as connection:
            connection.execute(
                sa.insert(baselines), _plain(msgspec.structs.asdict(baseline))
            )

    def record_report(self, report: Report) -> None:
        """Write something a person should know."""
        with self._writing(f"report {report.kind}") as connection:
            connection.execute(
                sa.insert(reports), _plain(msgspec.structs.asdict(report))
            )

    # -- queries ----------------------------------------------------------------

    def order(self, client_order_id: str) -> OrderStanding | None:
        """Return one order and where it stands, or None."""
        found = self._standings(orders.c.client_order_id == client_order_id)
        return found[0] if found else None

    def unfinished(self) -> list[OrderStanding]:
        """Return every order that is not in a terminal state, oldest first."""
        terminal = [state.value for state in OrderState if state.is_terminal]
        return self._standings(orders.c.state.not_in(terminal))

    def attempts(
        self, *, account: str, strategy: str, instrument: InstrumentId, bar_ns: int
    ) -> list[OrderStanding]:
        """Return every attempt to follow one bar's target, in their order."""
        return self._standings(
            sa.and_(
                orders.c.account == account,
                orders.c.strategy == strategy,
                orders.c.instrument == str(instrument),
                orders.c.bar_ns == bar_ns,
            )
        )

    def client_order_ids(self, venue_order_ids: Iterable[str]) -> dict[str, str]:
        """Return our id of each of the venue's order ids that are ours."""
        query = sa.select(orders.c.venue_order_id, orders.c.client_order_id).where(
            orders.c.venue_order_id.in_(sorted({i for i in venue_order_ids if i}))
        )
        return {row[0]: row[1] for row in self._rows(query)}

    def iter_fills(
        self, instrument: InstrumentId | None = None
    ) -> Iterator[FillRecord]:
        """Yield fills in the order they were journalled."""
        query = _select(fills, FillRecord).order_by(fills.c.sequence)
        if instrument is not None:
            query = query.where(fills.c.instrument == str(instrument))
        for row in self._rows(query):
            yield _struct(row, FillRecord)

    def size_filled_lots(self, instrument: InstrumentId) -> int:
        """Return the signed sum of an instrument's fills, in lots."""
        sign = sa.case({"buy": 1}, value=fills.c.side, else_=-1)
        total = sa.func.sum(fills.c.size_lots * sign)
        query = sa.select(sa.func.coalesce(total, 0)).where(
            fills.c.instrument == str(instrument)
        )
        return int(self._rows(query)[0][0])

    def last_trade_id(self, instrument: InstrumentId) -> str:
        """Return the id of the newest journalled fill, or an empty string."""
        query = (
            sa.select(fills.c.trade_id)
            .where(fills.c.instrument == str(instrument))
            .order_by(fills.c.sequence.desc())
            .limit(1)
        )
        rows = self._rows(query)
        return str(rows[0][0]) if rows else ""

    def baseline(self, instrument: InstrumentId) -> Baseline | None:
        """Return what the instrument held when the journal first met it, or None."""
        query = _select(baselines, Baseline).where(
            baselines.c.instrument == str(instrument)
        )
        rows = self._rows(query)
        return _struct(rows[0], Baseline) if rows else None

    def iter_reports(self) -> Iterator[Report]:
        """Yield what a person should know, oldest first."""
        query = _select(reports, Report).order_by(reports.c.sequence)
        for row in self._rows(query):
            yield _struct(row, Report)

    # -- inside -----------------------------------------------------------------

    def _standings(self, condition: sa.ColumnElement[bool]) -> list[OrderStanding]:
        query = (
            _select(orders, OrderRecord)
            .add_columns(
                orders.c.state,
                orders.c.filled_lots,
                orders.c.venue_order_id,
                orders.c.updated_ns,
            )
            .where(condition)
            .order_by(orders.c.created_ns, orders.c.bar_ns, orders.c.attempt)
        )
        return [_standing(row) for row in self._rows(query)]

    def _rows(self, query: sa.Select[Any]) -> list[tuple[Any, ...]]:
        try:
            with self._connection.begin():
                return [tuple(row) for row in self._connection.execute(query)]
        except exc.DatabaseError as error:
            msg = f"the journal {self.path} cannot be read: {error.orig}"
            raise JournalError(msg) from None

    @contextmanager
    def _writing(self, what: str) -> Iterator[sa.Connection]:
        try:
            with self._connection.begin():
                yield self._connection
        except (exc.DBAPIError, exc.InvalidRequestError) as error:
            cause = getattr(error, "orig", None) or error
            msg = f"the journal {self.path} could not write {what}: {cause}"
            raise JournalError(msg) from None

    def _check(self) -> None:
        execute = self._connection.exec_driver_sql
        version = execute("PRAGMA user_version").scalar_one()
        if version not in {0, SCHEMA_VERSION}:
            msg = (
                f"the journal {self.path} is of version {version}, "
                f"this build reads {SCHEMA_VERSION}"
            )
            raise StateCorrupt(msg)
        found = execute("PRAGMA quick_check(1)").scalar_one()
        if found != "ok":
            msg = f"the journal {self.path} is damaged: {found}"
            raise StateCorrupt(msg)
        if version == 0:
            _META.create_all(self._connection)
            execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        self._connection.commit()


_EVENT_COLUMNS: Final = ("client_order_id", "time_ns", "event", "state", "detail")


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """Return ``values`` as SQLite takes them: enums as their text."""
    return {
        name: str(value) if isinstance(value, str) else value
        for name, value in values.items()
    }


def _select(table: sa.Table, struct: type[msgspec.Struct]) -> sa.Select[Any]:
    return sa.select(*(table.c[name] for name in struct.__struct_fields__))


def _struct[S: msgspec.Struct](row: tuple[Any, ...], struct: type[S]) -> S:
    values = dict(zip(struct.__struct_fields__, row, strict=True))
    return msgspec.convert(values, struct)


def _standing(row: tuple[Any, ...]) -> OrderStanding:
    *record, state, filled_lots, venue_order_id, updated_ns = row
    values = dict(zip(OrderRecord.__struct_fields__, record, strict=True))
    return OrderStanding(
        record=msgspec.convert(values, OrderRecord),
        state=OrderState(state),
        filled_lots=filled_lots,
        venue_order_id=venue_order_id,
        updated_ns=updated_ns,
    )


def _durable(connection: Any, _record: object) -> None:  # noqa: ANN401 - a DBAPI's
    cursor = connection.cursor()
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        "busy_timeout=2000",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _lock(path: Path) -> int:
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

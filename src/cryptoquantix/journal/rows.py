"""
Rows of the journal in plain SQL, each told to the mirror as well; it commits nothing.

The way of an order is written in SQL, on the driver's own connection: SQLAlchemy takes
half a millisecond to build such a statement, and a third of a commit's time to carry
it out.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

import msgspec
import sqlalchemy as sa

from cryptoquantix.core.order import OrderState
from cryptoquantix.journal.records import OrderNote, OrderRecord, OrderStanding
from cryptoquantix.journal.tables import changes, order_events, orders

_JSON: Final = msgspec.json.Encoder()
_ORDER_COLUMNS: Final = tuple(column.name for column in orders.columns)
# As a new order's values come: the record's own, then where it stands at first.
_NEW_ORDER: Final = (
    *OrderRecord.__struct_fields__,
    *("state", "updated_ns", "filled_lots", "venue_order_id"),
)
_EVENT: Final = ("client_order_id", "time_ns", "event", "state", "detail")
STANDING_COLUMNS: Final = ", ".join(
    (
        *OrderRecord.__struct_fields__,
        *("state", "filled_lots", "venue_order_id", "updated_ns"),
    )
)
IS_KNOWN: Final = "SELECT 1 FROM orders WHERE client_order_id = ?"
_TELL: Final = f"INSERT INTO {changes.name} (table_name, row) VALUES (?, ?)"  # noqa: S608 - ours
_UPDATE_ORDER: Final = (
    "UPDATE orders SET state = ?, updated_ns = ?, "  # noqa: S608 - ours
    "filled_lots = coalesce(?, filled_lots), "
    "venue_order_id = coalesce(?, venue_order_id) WHERE client_order_id = ? "
    f"RETURNING {', '.join(_ORDER_COLUMNS)}"
)


def insert_order(connection: sqlite3.Connection, record: OrderRecord) -> None:
    """Write a new order in the state JOURNALED."""
    values = (
        *map(_plain, msgspec.structs.astuple(record)),
        *(OrderState.JOURNALED.value, record.created_ns, 0, ""),
    )
    connection.execute(_insert_text(orders.name, _NEW_ORDER, "INSERT"), values)
    _tell(connection, orders, dict(zip(_NEW_ORDER, values, strict=True)))


def insert_note(connection: sqlite3.Connection, note: OrderNote) -> None:
    """Write what was learned about an order, and its state after it."""
    event = dict(zip(_EVENT, (getattr(note, n) for n in _EVENT), strict=True))
    insert(connection, order_events, event)
    after = (
        note.state.value,
        note.time_ns,
        note.filled_lots,
        note.venue_order_id,
        note.client_order_id,
    )
    (row,) = connection.execute(_UPDATE_ORDER, after).fetchall()
    _tell(connection, orders, dict(zip(_ORDER_COLUMNS, row, strict=True)))


def insert(
    connection: sqlite3.Connection,
    table: sa.Table,
    values: Mapping[str, Any],
    verb: str = "INSERT",
) -> bool:
    """Write a row by ``verb``; return whether it was new."""
    row = {name: _plain(value) for name, value in values.items()}
    statement = _insert_text(table.name, tuple(row), verb)
    cursor = connection.execute(statement, tuple(row.values()))
    if not cursor.rowcount:
        return False
    if "sequence" in table.c:
        row = {"sequence": cursor.lastrowid} | row
    _tell(connection, table, row)
    return True


def standing(row: tuple[Any, ...]) -> OrderStanding:
    """Return the order of a row of ``STANDING_COLUMNS``."""
    *record, state, filled_lots, venue_order_id, updated_ns = row
    values = dict(zip(OrderRecord.__struct_fields__, record, strict=True))
    return OrderStanding(
        record=msgspec.convert(values, OrderRecord),
        state=OrderState(state),
        filled_lots=filled_lots,
        venue_order_id=venue_order_id,
        updated_ns=updated_ns,
    )


def _tell(
    connection: sqlite3.Connection, table: sa.Table, row: Mapping[str, Any]
) -> None:
    """Write down how a row now reads, in the same transaction: the mirror's input."""
    connection.execute(_TELL, (table.name, _JSON.encode(row).decode()))


@lru_cache
def _insert_text(table: str, names: tuple[str, ...], verb: str) -> str:
    listed = ", ".join(f'"{name}"' for name in names)
    places = ", ".join("?" * len(names))
    return f"{verb} INTO {table} ({listed}) VALUES ({places})"


def _plain(value: Any) -> Any:  # noqa: ANN401 - whatever a record holds
    """Return ``value`` as SQLite takes it: an enum as its text."""
    return str(value) if isinstance(value, str) else value

"""
The journal's tables as SQLAlchemy sees them; it writes nothing.

How they came to be so, version by version, is in ``migrations``: a change here needs a
new version there, and the test of both holds them to each other.
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

META: Final = sa.MetaData()


def _text(
    name: str, default: str | None = None, *, index: bool = False
) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=False, server_default=default, index=index)


def _int(name: str, default: str | None = None) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False, server_default=default)


def _key(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text, primary_key=True)


def _sequence() -> sa.Column[int]:
    """Return the number of a row, by the order of writing."""
    return sa.Column("sequence", sa.Integer, primary_key=True, autoincrement=True)


orders: Final = sa.Table(
    "orders",
    META,
    _key("client_order_id"),
    _text("account"),
    _text("strategy"),
    _text("instrument"),
    _int("bar_ns"),
    _int("attempt"),
    _text("kind"),
    _text("side"),
    _int("size_lots"),
    _text("type"),
    sa.Column("price_ticks", sa.BigInteger),
    _text("time_in_force"),
    _text("lot_size"),
    sa.Column("target", sa.Float, nullable=False),
    _text("reference_price"),
    _int("wanted_lots"),
    _int("held_lots"),
    _int("created_ns"),
    _text("build"),
    _text("state", index=True),
    _int("filled_lots", "0"),
    _text("venue_order_id", "", index=True),
    _int("updated_ns"),
    _text("shares", ""),
    _text("style", "market"),
    _text("tick_size", ""),
    sa.UniqueConstraint("account", "strategy", "instrument", "bar_ns", "attempt"),
    sqlite_with_rowid=True,
)
order_events: Final = sa.Table(
    "order_events",
    META,
    _sequence(),
    sa.Column("client_order_id", sa.ForeignKey("orders.client_order_id"), index=True),
    _int("time_ns"),
    _text("event"),
    _text("state"),
    _text("detail"),
)
fills: Final = sa.Table(
    "fills",
    META,
    _sequence(),
    _text("instrument"),
    _text("trade_id"),
    _text("venue_order_id"),
    _text("client_order_id", index=True),
    _text("side"),
    _int("size_lots"),
    _text("lot_size"),
    _text("price"),
    _text("fee"),
    _text("fee_currency"),
    _int("venue_time_ns"),
    _int("recorded_ns"),
    _text("settlement", ""),
    sa.Column("is_inverse", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.UniqueConstraint("instrument", "trade_id"),
)
flows: Final = sa.Table(
    "flows",
    META,
    _sequence(),
    _text("instrument"),
    _text("flow_id"),
    _text("cash"),
    _text("currency"),
    _int("venue_time_ns"),
    _int("recorded_ns"),
    sa.UniqueConstraint("instrument", "flow_id"),
)
baselines: Final = sa.Table(
    "baselines",
    META,
    _key("instrument"),
    _int("size_lots"),
    _text("trade_id"),
    _int("time_ns"),
)
reports: Final = sa.Table(
    "reports",
    META,
    _sequence(),
    _int("time_ns"),
    _text("kind"),
    _text("subject"),
    _text("text"),
)
crosses: Final = sa.Table(
    "crosses",
    META,
    _sequence(),
    _text("instrument"),
    _text("strategy"),
    _int("lots"),
    _text("lot_size"),
    _text("price"),
    _text("settlement"),
    sa.Column("is_inverse", sa.Boolean, nullable=False),
    _int("time_ns"),
    sa.UniqueConstraint("instrument", "strategy", "time_ns"),
)
MIRRORED: Final = (orders, order_events, fills, flows, baselines, reports, crosses)

# In SQLite alone: every row as it was written, in order, for the mirror to repeat.
changes: Final = sa.Table(
    "changes",
    META,
    _sequence(),
    _text("table_name"),
    _text("row"),
)
facts: Final = sa.Table(
    "facts",
    META,
    _key("name"),
    _text("value"),
)

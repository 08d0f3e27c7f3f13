"""
The journal's tables as SQLAlchemy sees them; it writes nothing.

How they came to be so, version by version, is in ``migrations``: a change here needs a
new version there, and the test of both holds them to each other.
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

META: Final = sa.MetaData()
_TEXT, _INT, _REAL = sa.Text, sa.BigInteger, sa.Float

orders: Final = sa.Table(
    "orders",
    META,
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
    sa.Column("shares", _TEXT, nullable=False, server_default=""),
    sa.Column("style", _TEXT, nullable=False, server_default="market"),
    sa.UniqueConstraint("account", "strategy", "instrument", "bar_ns", "attempt"),
    sqlite_with_rowid=True,
)
order_events: Final = sa.Table(
    "order_events",
    META,
    sa.Column("sequence", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("client_order_id", sa.ForeignKey("orders.client_order_id"), index=True),
    sa.Column("time_ns", _INT, nullable=False),
    sa.Column("event", _TEXT, nullable=False),
    sa.Column("state", _TEXT, nullable=False),
    sa.Column("detail", _TEXT, nullable=False),
)
fills: Final = sa.Table(
    "fills",
    META,
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
    sa.Column("settlement", _TEXT, nullable=False, server_default=""),
    sa.Column("is_inverse", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.UniqueConstraint("instrument", "trade_id"),
)
flows: Final = sa.Table(
    "flows",
    META,
    sa.Column("sequence", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("instrument", _TEXT, nullable=False),
    sa.Column("flow_id", _TEXT, nullable=False),
    sa.Column("cash", _TEXT, nullable=False),
    sa.Column("currency", _TEXT, nullable=False),
    sa.Column("venue_time_ns", _INT, nullable=False),
    sa.Column("recorded_ns", _INT, nullable=False),
    sa.UniqueConstraint("instrument", "flow_id"),
)
baselines: Final = sa.Table(
    "baselines",
    META,
    sa.Column("instrument", _TEXT, primary_key=True),
    sa.Column("size_lots", _INT, nullable=False),
    sa.Column("trade_id", _TEXT, nullable=False),
    sa.Column("time_ns", _INT, nullable=False),
)
reports: Final = sa.Table(
    "reports",
    META,
    sa.Column("sequence", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("time_ns", _INT, nullable=False),
    sa.Column("kind", _TEXT, nullable=False),
    sa.Column("subject", _TEXT, nullable=False),
    sa.Column("text", _TEXT, nullable=False),
)
MIRRORED: Final = (orders, order_events, fills, flows, baselines, reports)

# In SQLite alone: every row as it was written, in order, for the mirror to repeat.
changes: Final = sa.Table(
    "changes",
    META,
    sa.Column("sequence", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("table_name", _TEXT, nullable=False),
    sa.Column("row", _TEXT, nullable=False),
)
facts: Final = sa.Table(
    "facts",
    META,
    sa.Column("name", _TEXT, primary_key=True),
    sa.Column("value", _TEXT, nullable=False),
)

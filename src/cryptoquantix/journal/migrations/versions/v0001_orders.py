"""
Orders, what was learned of them, fills, baselines and reports.

What journals were before versions were kept; such a file is taken for this one.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_TEXT, _INT = sa.Text, sa.BigInteger


def upgrade() -> None:
    """Make the five tables."""
    _orders()
    op.create_table(
        "order_events",
        _sequence(),
        sa.Column("client_order_id", _TEXT, sa.ForeignKey("orders.client_order_id")),
        sa.Column("time_ns", _INT, nullable=False),
        *_texts("event", "state", "detail"),
    )
    op.create_index(
        "ix_order_events_client_order_id", "order_events", ["client_order_id"]
    )
    op.create_table(
        "fills",
        _sequence(),
        *_texts("instrument", "trade_id", "venue_order_id", "client_order_id", "side"),
        sa.Column("size_lots", _INT, nullable=False),
        *_texts("lot_size", "price", "fee", "fee_currency"),
        sa.Column("venue_time_ns", _INT, nullable=False),
        sa.Column("recorded_ns", _INT, nullable=False),
        sa.UniqueConstraint("instrument", "trade_id"),
    )
    op.create_index("ix_fills_client_order_id", "fills", ["client_order_id"])
    op.create_table(
        "baselines",
        sa.Column("instrument", _TEXT, primary_key=True),
        sa.Column("size_lots", _INT, nullable=False),
        *_texts("trade_id"),
        sa.Column("time_ns", _INT, nullable=False),
    )
    op.create_table(
        "reports",
        _sequence(),
        sa.Column("time_ns", _INT, nullable=False),
        *_texts("kind", "subject", "text"),
    )


def _orders() -> None:
    op.create_table(
        "orders",
        sa.Column("client_order_id", _TEXT, primary_key=True),
        *_texts("account", "strategy", "instrument"),
        sa.Column("bar_ns", _INT, nullable=False),
        sa.Column("attempt", _INT, nullable=False),
        *_texts("kind", "side"),
        sa.Column("size_lots", _INT, nullable=False),
        *_texts("type"),
        sa.Column("price_ticks", _INT),
        *_texts("time_in_force", "lot_size"),
        sa.Column("target", sa.Float, nullable=False),
        *_texts("reference_price"),
        sa.Column("wanted_lots", _INT, nullable=False),
        sa.Column("held_lots", _INT, nullable=False),
        sa.Column("created_ns", _INT, nullable=False),
        *_texts("build", "state"),
        sa.Column("filled_lots", _INT, nullable=False, server_default="0"),
        sa.Column("venue_order_id", _TEXT, nullable=False, server_default=""),
        sa.Column("updated_ns", _INT, nullable=False),
        sa.UniqueConstraint("account", "strategy", "instrument", "bar_ns", "attempt"),
    )
    op.create_index("ix_orders_state", "orders", ["state"])
    op.create_index("ix_orders_venue_order_id", "orders", ["venue_order_id"])


def _sequence() -> sa.Column[int]:
    return sa.Column("sequence", sa.Integer, primary_key=True, autoincrement=True)


def _texts(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, _TEXT, nullable=False) for name in names]

"""
Funding, whose order it was, how it was worked, and what the mirror repeats.

In SQLite every row of before is also written down as a change, so that a mirror that
begins now holds all that ever was.
"""

from __future__ import annotations

import json
import secrets

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_TEXT, _INT = sa.Text, sa.BigInteger
_BEFORE = ("orders", "order_events", "fills", "baselines", "reports")


def upgrade() -> None:
    """Add the columns and tables; tell SQLite's mirror of the rows of before."""
    for name, default in (("shares", ""), ("style", "market")):
        column = sa.Column(name, _TEXT, nullable=False, server_default=default)
        op.add_column("orders", column)
    settlement = sa.Column("settlement", _TEXT, nullable=False, server_default="")
    op.add_column("fills", settlement)
    is_inverse = sa.Column(
        "is_inverse", sa.Boolean, nullable=False, server_default=sa.false()
    )
    op.add_column("fills", is_inverse)
    op.create_table(
        "flows",
        sa.Column("sequence", sa.Integer, primary_key=True, autoincrement=True),
        *(
            sa.Column(name, _TEXT, nullable=False)
            for name in ("instrument", "flow_id", "cash", "currency")
        ),
        sa.Column("venue_time_ns", _INT, nullable=False),
        sa.Column("recorded_ns", _INT, nullable=False),
        sa.UniqueConstraint("instrument", "flow_id"),
    )
    if op.get_context().dialect.name == "sqlite":
        _keep_changes()
    else:
        op.create_table(
            "mirror_state",
            sa.Column("journal", _TEXT, primary_key=True),
            sa.Column("sequence", _INT, nullable=False),
        )


def _keep_changes() -> None:
    changes = op.create_table(
        "changes",
        sa.Column("sequence", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("table_name", _TEXT, nullable=False),
        sa.Column("row", _TEXT, nullable=False),
    )
    facts = op.create_table(
        "facts",
        sa.Column("name", _TEXT, primary_key=True),
        sa.Column("value", _TEXT, nullable=False),
    )
    op.bulk_insert(facts, [{"name": "journal", "value": secrets.token_hex(16)}])
    connection = op.get_bind()
    for name in _BEFORE:
        table = sa.Table(name, sa.MetaData(), autoload_with=connection)
        for row in connection.execute(sa.select(table)).mappings():
            written = {"table_name": name, "row": json.dumps(dict(row))}
            connection.execute(sa.insert(changes).values(written))

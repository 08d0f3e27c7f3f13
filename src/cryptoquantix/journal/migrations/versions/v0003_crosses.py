"""What strategies that trade against each other took over from one another."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_TEXT, _INT = sa.Text, sa.BigInteger


def upgrade() -> None:
    """Add the table; there were none before."""
    op.create_table(
        "crosses",
        sa.Column("sequence", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("instrument", _TEXT, nullable=False),
        sa.Column("strategy", _TEXT, nullable=False),
        sa.Column("lots", _INT, nullable=False),
        sa.Column("lot_size", _TEXT, nullable=False),
        sa.Column("price", _TEXT, nullable=False),
        sa.Column("settlement", _TEXT, nullable=False),
        sa.Column("is_inverse", sa.Boolean, nullable=False),
        sa.Column("time_ns", _INT, nullable=False),
        sa.UniqueConstraint("instrument", "strategy", "time_ns"),
    )

"""
The tick size beside an order's price, which is in ticks.

Venues change it; without it what an order's limit was is lost once they do. Of orders
of before it is not known, and stays empty.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the column."""
    column = sa.Column("tick_size", sa.Text, nullable=False, server_default="")
    op.add_column("orders", column)

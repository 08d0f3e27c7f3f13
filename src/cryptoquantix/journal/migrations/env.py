"""
Alembic's entry: runs the versions on the connection it is given; it opens none.

With ``dialect`` in the configuration's attributes it writes SQL instead (PostgreSQL is
reached through asyncpg, which Alembic cannot drive).
"""

from __future__ import annotations

from alembic import context

_attributes = context.config.attributes

if context.is_offline_mode():
    context.configure(
        dialect_name=_attributes["dialect"],
        output_buffer=_attributes["output"],
        literal_binds=True,
    )
else:
    context.configure(connection=_attributes["connection"])
with context.begin_transaction():
    context.run_migrations()

"""
Which version a journal is of, and how it becomes the newest; it keeps no rows.

Alembic runs the packaged versions. It is loaded only where a version is missing, so
that an ordinary start does not pay for it.
"""

from __future__ import annotations

import io
from typing import Any, Final

import sqlalchemy as sa

# The number in SQLite's ``user_version``, and Alembic's name of the same version.
SCHEMA_VERSION: Final = 4
HEAD: Final = f"{SCHEMA_VERSION:04d}"
_LOCATION: Final = "cryptoquantix.journal:migrations"


def upgrade(connection: sa.Connection, version: int) -> None:
    """
    Bring a SQLite journal of ``version`` (0: an empty file) to the newest.

    Runs in the connection's own transaction, which the caller commits: a journal is
    of the one version or of the other, never between.
    """
    from alembic import command  # noqa: PLC0415 - see above

    config = _config()
    config.attributes["connection"] = connection
    if version == 1:
        # Of before versions were kept: its tables are those of the first.
        command.stamp(config, "0001")
    command.upgrade(config, HEAD)


def postgresql_statements(version: str | None) -> str:
    """Return the SQL that brings a PostgreSQL mirror of ``version`` to the newest."""
    from alembic import command  # noqa: PLC0415 - see above

    config = _config()
    output = io.StringIO()
    config.attributes |= {"dialect": "postgresql", "output": output}
    command.upgrade(config, f"{version or 'base'}:{HEAD}", sql=True)
    return output.getvalue()


def _config() -> Any:  # noqa: ANN401 - Alembic's, whose import is put off
    from alembic.config import Config  # noqa: PLC0415 - see above

    config = Config()
    config.set_main_option("script_location", _LOCATION)
    return config

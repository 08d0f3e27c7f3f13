"""Sentences for what is wrong with settings; it reads none and shows no secret."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from cryptoquantix.core.errors import SettingsError

# pydantic's words name Python's types; who wrote TOML knows tables and lists.
_EXPECTED: Final = {
    "model_type": "must be a table",
    "model_attributes_type": "must be a table",
    "dict_type": "must be a table",
    "tuple_type": "must be a list",
    "list_type": "must be a list",
    "decimal_type": "must be a number",
    "decimal_parsing": "must be a number",
}
_NOT_SHOWN: Final = {"missing", "address"}


def first_sentence(error: ValidationError, file: Path) -> str:
    """Return what is wrong with the first wrong setting of ``file``."""
    first = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    if not where:
        return f"{file}: {first['msg']}"
    if first["type"] == "extra_forbidden":
        # Without its value: a secret's name may be what was mistyped.
        return f"there is no setting {where} ({file} or environment)"
    is_shown = first["type"] not in _NOT_SHOWN and not isinstance(first["input"], dict)
    found = f", was {first['input']!r}" if is_shown else ""
    expected = _EXPECTED.get(first["type"], first["msg"].removeprefix("Value error, "))
    return f"setting {where} ({file} or environment): {expected}{found}"


def refuse_mistyped(names: Iterable[str], known: Collection[str]) -> None:
    """
    Let environment variables pass whose table there is.

    Names without ``__`` are not looked at: the shell's own, such as those that the
    files of the Swarm stack are filled in with, begin with ``CQX_`` too.

    Raises
    ------
    SettingsError
        If ``CQX_TABLE__SETTING`` names a table that there is not: what was meant would
        keep its default, unsaid.
    """
    for name in sorted(names):
        table, divider, setting = name.removeprefix("CQX_").lower().partition("__")
        if name.startswith("CQX_") and divider and table not in known:
            where = f"{table}.{setting.replace('__', '.')}"
            msg = f"there is no setting {where} (environment variable {name})"
            raise SettingsError(msg)


def unread(error: Exception) -> str:
    """Return what is wrong with a variable whose value is no JSON."""
    field = str(error).partition('field "')[2].partition('"')[0]
    return (
        f"the environment variable CQX_{field.upper()} or one below it must hold JSON: "
        f"a table as {{...}}, a list as [...]"
    )

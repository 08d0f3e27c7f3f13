"""
Secrets kept in files: read from the file named, refused where others may read them.

A settings file that holds a secret must be its owner's alone. Files below
``/run/secrets`` are Docker's: they lie in the container's own memory, readable to
whoever is in that container, and are taken as they are.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, SecretStr

from cryptoquantix.core.errors import SettingsError

CONTAINER_SECRETS: Final = Path("/run/secrets")
SUFFIX: Final = "_file"
SECRET_BYTES_MAX: Final = 16_384
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


def refuse_open_file(
    file: Path, values: Mapping[str, Any], settings: BaseModel
) -> None:
    """
    Refuse a settings file that holds a secret and that others may read.

    ``values`` are the file's own, ``settings`` what became of them.

    Raises
    ------
    SettingsError
        One sentence with the setting and the way out.
    """
    held = next(_secrets(settings, values), "")
    if held:
        _refuse_readable(file, f"{file} holds a secret ({held})")


def with_secret_files[Section: BaseModel](
    section: Section, values: Mapping[str, Any], base: Path, where: str = ""
) -> Section:
    """
    Return ``section`` with every secret that it names a file for.

    ``key_file`` fills ``key``, and so on; relative paths are relative to ``base``. What
    the environment says of ``key``, were it nothing, goes before the file.

    Raises
    ------
    SettingsError
        If the settings file (``values``) gives both, or the secret's file cannot be
        read, is empty, or is open to others.
    """
    update: dict[str, Any] = {}
    for name, value in section:
        path, own = _below(where, name), _part(values, name)
        if isinstance(value, BaseModel):
            update[name] = with_secret_files(value, own, base, path)
        elif isinstance(value, dict):
            update[name] = {
                key: with_secret_files(item, _part(own, key), base, f"{path}.{key}")
                if isinstance(item, BaseModel)
                else item
                for key, item in value.items()
            }
        elif name.endswith(SUFFIX) and isinstance(value, Path):
            target = name.removesuffix(SUFFIX)
            if values.get(target) and values.get(name):
                msg = f"{_below(where, target)} and {path} are both set: leave one out"
                raise SettingsError(msg)
            if target not in section.model_fields_set:
                update[target] = SecretStr(_secret_of(base / value, path))
    return section.model_copy(update=update)


def _part(values: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = values.get(name)
    return found if isinstance(found, Mapping) else {}


def _secret_of(file: Path, setting: str) -> str:
    _refuse_readable(file, f"{file} ({setting}) is a secret")
    try:
        with file.open("rb") as opened:
            text = opened.read(SECRET_BYTES_MAX + 1).decode().strip()
    except (OSError, UnicodeDecodeError) as error:
        msg = f"cannot read the secret of {setting} in {file}: {error}"
        raise SettingsError(msg) from None
    if not text or len(text) > SECRET_BYTES_MAX:
        msg = f"{file} ({setting}) must hold one secret, was empty or too long"
        raise SettingsError(msg)
    return text


def _refuse_readable(file: Path, what: str) -> None:
    resolved = file.resolve()
    if os.name != "posix" or resolved.is_relative_to(CONTAINER_SECRETS):
        return
    try:
        mode = resolved.stat().st_mode
    except OSError as error:
        msg = f"cannot read {file}: {error.strerror}"
        raise SettingsError(msg) from None
    if mode & _OTHERS:
        msg = (
            f"{what} and others than its owner may read it "
            f"(mode {stat.S_IMODE(mode):04o}): chmod 600 {file}"
        )
        raise SettingsError(msg)


def _secrets(section: object, values: object, where: str = "") -> Iterator[str]:
    """Yield the name of each secret that ``values`` hold."""
    if isinstance(section, SecretStr) and values:
        yield where
    if not isinstance(values, Mapping):
        return
    if isinstance(section, BaseModel):
        section = dict(section)
    if isinstance(section, Mapping):
        for name in section.keys() & values.keys():
            yield from _secrets(section[name], values[name], _below(where, str(name)))


def _below(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name

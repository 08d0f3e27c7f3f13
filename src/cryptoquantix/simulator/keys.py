"""API keys of the simulated accounts, generated or from a file; it checks none."""

from __future__ import annotations

import json
import secrets
from pathlib import Path
from typing import Any

from cryptoquantix.core.errors import SettingsError

type KeyPair = dict[str, str]
type VenueKeys = dict[str, Any]

_BYTES = 32


def generate_keys() -> VenueKeys:
    """Return a fresh pair for trading and one for the risk daemon."""
    return _pair() | {"risk": _pair()}


def read_keys(path: Path, venue: str) -> VenueKeys:
    """
    Return the keys of ``venue`` in a JSON file, shaped like the ready line's.

    Raises
    ------
    SettingsError
        If the file cannot be read or lacks a key or a secret.
    """
    try:
        keys = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        msg = f"cannot read the keys {path}: {error.strerror}"
        raise SettingsError(msg) from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        msg = f"{path} is not valid JSON: {error}"
        raise SettingsError(msg) from None
    found: Any = keys.get(venue) if isinstance(keys, dict) else None
    if not _is_pair(found) or not _is_pair(found.get("risk")):
        msg = (
            f'{path} must hold {{"{venue}": {{"key", "secret", "risk": '
            '{"key", "secret"}}}'
        )
        raise SettingsError(msg)
    if found["key"] == found["risk"]["key"]:
        msg = f"{path}: the risk daemon must have a key of its own"
        raise SettingsError(msg)
    pair = {"key": found["key"], "secret": found["secret"]}
    risk = {"key": found["risk"]["key"], "secret": found["risk"]["secret"]}
    return {**pair, "risk": risk}


def _pair() -> KeyPair:
    return {"key": secrets.token_hex(_BYTES), "secret": secrets.token_hex(_BYTES)}


def _is_pair(value: object) -> bool:
    return isinstance(value, dict) and all(
        isinstance(value.get(name), str) and value[name] for name in ("key", "secret")
    )

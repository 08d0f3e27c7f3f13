"""
API keys and first deposits of the simulated accounts, generated or from a file.

It checks no signature; it only says which keys there are.
"""

from __future__ import annotations

import json
import secrets
from decimal import Decimal, InvalidOperation
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

    ``"balances": {"USDT": "5000"}`` beside them, if there, is the account's first
    deposit in place of the one asked for by option.

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
    balances = found.get("balances")
    if balances is None:
        return {**pair, "risk": risk}
    return {**pair, "risk": risk, "balances": _balances(balances, path)}


def _balances(value: object, path: Path) -> dict[str, str]:
    found = value if isinstance(value, dict) else {"": ""}
    for coin, amount in found.items():
        try:
            number = Decimal(amount) if isinstance(amount, str) else Decimal("NaN")
        except InvalidOperation:
            number = Decimal("NaN")
        if not coin or not (number.is_finite() and 0 <= number < 10**15):
            msg = f'{path}: balances must be like {{"USDT": "5000"}}, not {value!r}'
            raise SettingsError(msg)
    return found


def _pair() -> KeyPair:
    return {"key": secrets.token_hex(_BYTES), "secret": secrets.token_hex(_BYTES)}


def _is_pair(value: object) -> bool:
    return isinstance(value, dict) and all(
        isinstance(value.get(name), str) and value[name] for name in ("key", "secret")
    )

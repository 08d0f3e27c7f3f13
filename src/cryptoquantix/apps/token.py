"""
The token of the risk daemon's API: which one counts; it is never printed.

``risk.token`` of the settings counts; where it is empty, the one that ``cqx up`` made
in ``<directory>/risk/token`` (readable by its owner alone). ``cqx up`` makes one only
when every address is on this machine; elsewhere a token must be set.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from cryptoquantix.apps.settings import Settings
from cryptoquantix.core.errors import SettingsError


def token_path(settings: Settings) -> Path:
    """Return where ``cqx up`` keeps the token it made."""
    return settings.directory / "risk" / "token"


def risk_token(settings: Settings) -> str:
    """
    Return the token to speak to the daemon with; empty if there is none.

    Raises
    ------
    SettingsError
        If the file is there but not readable.
    """
    token = settings.risk.token.get_secret_value()
    if token:
        return token
    path = token_path(settings)
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        msg = f"cannot read the risk daemon's token in {path}: {error}"
        raise SettingsError(msg) from None


def make_risk_token(settings: Settings) -> str:
    """
    Return the token, making one first if there is none.

    Raises
    ------
    SettingsError
        If the file cannot be written.
    """
    token = risk_token(settings)
    if token:
        return token
    token = secrets.token_urlsafe(32)
    path = token_path(settings)
    fresh = path.with_name("token.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh.unlink(missing_ok=True)
        # Created with its rights, not given them afterwards.
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(token + "\n")
        fresh.replace(path)
    except OSError as error:
        msg = f"cannot write the risk daemon's token to {path}: {error.strerror}"
        raise SettingsError(msg) from None
    return token

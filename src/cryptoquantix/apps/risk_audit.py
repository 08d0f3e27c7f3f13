"""``cqx risk audit``: the daemon's audit log, listed or checked; it writes nothing."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptoquantix.apps.settings import load_settings
from cryptoquantix.core.clock import NS_PER_SECOND
from cryptoquantix.risk.verify import Verification, newest_entries
from cryptoquantix.risk.verify import verify as verify_store


def store_path(store: Path | None, config: Path | None) -> Path:
    """Return the store that is meant: named, or the settings' one."""
    return store if store is not None else load_settings(config).risk_store_path


def listed(path: Path, limit: int) -> list[dict[str, Any]]:
    """
    Return the newest entries, oldest first, their contents as values.

    Raises
    ------
    SettingsError
        If there is no store, or it cannot be opened.
    """
    return [
        asdict(entry) | {"content": json.loads(entry.content)}
        for entry in newest_entries(path, limit)
    ]


def lines(entries: list[dict[str, Any]]) -> str:
    """Return the entries as text for a person, one a line."""
    return "\n".join(
        f"{entry['sequence']:>8}  {_when(entry['time_ns'])}  {entry['kind']:<16}  "
        f"{_said(entry['content'])}"
        for entry in entries
    )


def verified(path: Path) -> dict[str, Any]:
    """
    Check the whole store; ``ok`` says whether everything is as written.

    Raises
    ------
    SettingsError
        If there is no store, or it cannot be opened.
    """
    found: Verification = verify_store(path)
    return {"ok": found.is_good, "store": str(path), **asdict(found)}


def sentence(found: dict[str, Any]) -> str:
    """Return the outcome for a person."""
    counted = (
        f"{found['entries']} entries of the audit log, {found['samples']} samples, "
        f"{found['readings']} readings in {found['blocks']} blocks "
        f"({found['blocks_pruned']} older ones as hashes)"
    )
    if found["ok"]:
        return f"as written: {counted}"
    return f"NOT AS WRITTEN: {found['problem']} (checked before it: {counted})"


def _when(time_ns: int) -> str:
    when = datetime.fromtimestamp(time_ns / NS_PER_SECOND, UTC)
    return f"{when:%Y-%m-%d %H:%M:%S}"


def _said(content: dict[str, Any]) -> str:
    for name in ("text", "cause"):
        if name in content:
            return str(content[name])
    return json.dumps(content)

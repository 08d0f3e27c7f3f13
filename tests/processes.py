"""Real processes for tests: each is started on free loopback ports and ended by id."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


def end(process: subprocess.Popen, seconds: float = 10.0) -> int:
    """End a process we started, politely first; return its exit code."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
    return process.wait(seconds)


def wait_for(condition, seconds: float = 20.0, step: float = 0.02):
    """Return the first true value of ``condition()``, or fail after ``seconds``."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(step)
    msg = f"not so within {seconds} s: {condition}"
    raise AssertionError(msg)


@dataclass
class NatsProcess:
    """A NATS server of a test."""

    process: subprocess.Popen
    directory: Path
    port: int

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"


@contextmanager
def start_nats(tmp_path: Path, port: int = -1) -> Iterator[NatsProcess]:
    """A real NATS server with JetStream in ``tmp_path/nats``; ended on exit."""
    from cryptoquantix.bus.server import nats_command

    directory = tmp_path / "nats"
    command = nats_command(directory, port)
    with (tmp_path / "nats.log").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        ports = directory / f"nats-server_{process.pid}.ports"

        def listening() -> int | None:
            assert process.poll() is None, (tmp_path / "nats.log").read_text()
            if not ports.exists() or not (text := ports.read_text()).strip():
                return None
            return int(json.loads(text)["nats"][0].rpartition(":")[2])

        yield NatsProcess(process, directory, wait_for(listening))
    finally:
        end(process)

"""Real processes for tests: each is started on free loopback ports and ended by id."""

from __future__ import annotations

import json
import select
import signal
import subprocess
import sys
import time
import urllib.request
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


def wait_for(condition, seconds: float = 60.0, step: float = 0.02):
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


@dataclass
class SimulatorProcess:
    """A simulator of a test; ``line`` is what it printed when it was ready."""

    process: subprocess.Popen
    line: dict

    @property
    def venue(self) -> dict:
        return self.line["venues"]["binance"]

    @property
    def rest(self) -> str:
        return self.venue["rest"]

    @property
    def ws(self) -> str:
        return self.venue["ws"]

    @property
    def admin_url(self) -> str:
        return self.line["admin"]

    def admin(self, path: str, value: dict | None = None) -> dict:
        """GET ``path`` of the admin API, or POST ``value`` to it."""
        data = None if value is None else json.dumps(value).encode()
        request = urllib.request.Request(self.admin_url + path, data)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def log(self, kind: str | None = None, after: int = 0) -> list[dict]:
        """What the simulator recorded, of one kind or all."""
        records = self.admin(f"/log?after={after}&limit=10000")["records"]
        return [r for r in records if kind in {None, r["kind"]}]


@contextmanager
def start_simulator(tmp_path: Path, *args: str) -> Iterator[SimulatorProcess]:
    """
    ``cqx simulate --json`` with ``args`` on free ports; ended on exit.

    Only Binance unless ``args`` name the venues: two more cost what no test of one
    venue needs.
    """
    command = [sys.executable, "-m", "cryptoquantix", "simulate", "--json", *args]
    if "--venues" not in args:
        command += ["--venues", "binance"]
    errors = tmp_path / "simulator.log"
    with errors.open("ab") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log)
    try:
        assert process.stdout is not None
        ready, _, _ = select.select([process.stdout], [], [], 60.0)
        text = process.stdout.readline() if ready else b""
        assert text, f"the simulator is not ready: {errors.read_text()}"
        yield SimulatorProcess(process, json.loads(text))
    finally:
        end(process)
        if process.stdout is not None:
            process.stdout.close()

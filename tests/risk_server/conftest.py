"""A real risk daemon against a real simulator, killed and started at will."""

from __future__ import annotations

import json
import os
import select
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest

from processes import end, start_simulator, wait_for
from trader import Trader


class RiskProcess:
    """``cqx risk`` on a store of its own; ``who`` arms by name."""

    def __init__(self, folder, venue, token="secret"):
        self.folder = folder
        self.token = token
        self.config = folder / "cqx.toml"
        self.process = None
        self.address = None
        self.state = None
        self.ready_seconds = None
        self.settings(venue)

    def settings(self, venue, **risk):
        lines = {"token": self.token} | risk
        own = venue["risk"]
        self.config.write_text(
            f"""directory = "{self.folder}/var"
[venues.binance]
rest = "{venue["rest"]}"
ws = "{venue["ws"]}"
key = "{venue["key"]}"
secret = "{venue["secret"]}"
risk = {{ key = "{own["key"]}", secret = "{own["secret"]}" }}
[risk]
"""
            + "\n".join(
                f"{name} = {json.dumps(value)}" for name, value in lines.items()
            )
        )

    @property
    def store(self):
        return self.folder / "var" / "risk" / "risk.sqlite"

    def command(self, *args):
        listen = [] if "--listen" in args else ["--listen", "127.0.0.1:0"]
        return [
            sys.executable,
            "-m",
            "cryptoquantix",
            "risk",
            "--json",
            "--config",
            str(self.config),
            *listen,
            *args,
        ]

    def start(self, env=None):
        started = time.monotonic()
        with (self.folder / "risk.log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command(),
                stdout=subprocess.PIPE,
                stderr=log,
                env=os.environ | {"PYTHONFAULTHANDLER": "1"} | (env or {}),
            )
        ready, _, _ = select.select([self.process.stdout], [], [], 40)
        line = self.process.stdout.readline() if ready else b""
        assert line, self.post_mortem()
        self.ready_seconds = time.monotonic() - started
        found = json.loads(line)
        self.address, self.state = found["listening"], found["state"]
        return self

    def post_mortem(self):
        """Say what a daemon that never became ready was doing."""
        code = self.process.poll()
        if code is None:
            self.process.send_signal(signal.SIGABRT)  # it prints every stack
            self.process.wait(5)
        return f"exit {code}: {(self.folder / 'risk.log').read_text()}"

    def refusal(self, *args):
        """Start it, expect it to end, and return (exit code, what it said)."""
        found = subprocess.run(
            self.command(*args), capture_output=True, timeout=30, check=False
        )
        return found.returncode, found.stderr.decode()

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(5)
        self.process.stdout.close()

    def stop(self):
        if self.process is not None and self.process.poll() is None:
            end(self.process)
        if self.process is not None:
            self.process.stdout.close()

    def call(self, path, value=None):
        request = urllib.request.Request(
            f"http://{self.address}{path}",
            data=None if value is None else json.dumps(value).encode(),
            headers={"Authorization": f"Bearer {self.token}"},
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            return json.load(error)

    def status(self):
        return self.call("/v1/status")

    def arm(self):
        found = self.call("/v1/rearm", {"who": "tests", "reason": "simulator"})
        assert found == {"ok": True, "state": "ARMED"}, found

    def until(self, *states, seconds=20):
        return wait_for(
            lambda: (found := self.status())["state"] in states and found, seconds
        )

    def audit(self):
        connection = sqlite3.connect(self.store)
        try:
            return connection.execute("SELECT kind, content FROM audit").fetchall()
        finally:
            connection.close()


@pytest.fixture
def simulator(tmp_path):
    args = ("--generate", "5", "--no-rate-limits")
    with start_simulator(tmp_path, *args) as process:
        yield process


@pytest.fixture
def trader(simulator):
    return Trader(simulator.rest, simulator.venue["key"], simulator.venue["secret"])


@pytest.fixture
def risk(tmp_path, simulator):
    found = RiskProcess(tmp_path, simulator.venue)
    yield found
    found.stop()

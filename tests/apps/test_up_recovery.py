"""Every process is killed by SIGKILL in turn; each comes back alone, a halt stays."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cryptoquantix.apps.rehearsal import write_settings
from cryptoquantix.supervisor.process import ProcessId, identify
from cryptoquantix.supervisor.record import read_record
from processes import end, start_simulator, wait_for

CQX = [sys.executable, "-m", "cryptoquantix"]
CHILDREN = ("nats", "feed-binance", "strategy", "execution", "alarms")
STRATEGY = {
    "name": "trend_breakout",
    "instrument": "binance:BTCUSDT-PERP",
    "bar_seconds": 60,
    "warmup_days": 1,
    "params": {"gate_days": 2},
}
TELEGRAM_TOKEN = "123456:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"


@contextmanager
def announced(command: list[str], log: Path) -> Iterator[tuple[subprocess.Popen, dict]]:
    """A process that announces itself by one JSON line; ended on exit."""
    with log.open("ab") as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors)
    try:
        ready, _, _ = select.select([process.stdout], [], [], 60.0)
        text = process.stdout.readline() if ready else b""
        assert text, log.read_text()
        yield process, json.loads(text)
    finally:
        end(process, 20.0)
        process.stdout.close()


class Deployment:
    """One `cqx up` and what it leaves on disk."""

    def __init__(self, tmp_path: Path, simulator: dict, telegram: str) -> None:
        self.directory = tmp_path
        self.telegram = telegram
        self.config = write_settings(
            tmp_path,
            simulator,
            catalog=tmp_path / "catalog",
            strategies=[STRATEGY],
            telegram={
                "base_url": telegram,
                "token": TELEGRAM_TOKEN,
                "chat_id": "42",
            },
        )
        self.seen: set[ProcessId] = set()

    @contextmanager
    def up(self, name: str) -> Iterator[subprocess.Popen]:
        command = [*CQX, "up", "--json", "--config", str(self.config)]
        with announced(command, self.directory / f"{name}.log") as (process, line):
            self.services()  # whatever fails from here on: its daemon is known
            assert set(line["services"]) == {*CHILDREN, "risk"}
            wait_for(self.is_ready, 60.0, 0.2)
            yield process

    def said(self, name: str) -> str:
        """The last lines of one ``cqx up``, to know why it did what it did."""
        return (self.directory / f"{name}.log").read_text()[-2_000:]

    def is_ready(self) -> bool:
        return all(service.condition == "ready" for service in self.services().values())

    def services(self) -> dict:
        record = wait_for(lambda: read_record(self.directory / "up" / "services.json"))
        for service in record.services:
            if service.pid and (process := identify(service.pid)):
                self.seen.add(process)
        return {service.name: service for service in record.services}

    def pids(self) -> dict[str, int]:
        return {name: service.pid for name, service in self.services().items()}

    def kill(self, name: str) -> None:
        """SIGKILL one service; return when it is back, and no other has moved."""
        before = self.services()
        assert before[name].is_alive, before[name]
        os.kill(before[name].pid, signal.SIGKILL)

        def is_back() -> bool:
            service = self.services()[name]
            return (
                service.restarts > before[name].restarts
                and service.condition == "ready"
                and service.is_alive
            )

        wait_for(is_back, 45.0, 0.1)
        after = self.services()
        assert after[name].pid != before[name].pid
        for other in before.keys() - {name}:
            assert after[other].pid == before[other].pid, other
            assert after[other].is_alive, other

    def cqx(self, *arguments: str) -> dict:
        command = [*CQX, *arguments, "--config", str(self.config), "--json"]
        run = subprocess.run(
            command, check=False, capture_output=True, text=True, timeout=30
        )
        assert run.stdout, run.stderr
        return json.loads(run.stdout)

    def state(self) -> str:
        return self.cqx("status")["state"]

    def messages(self) -> list[str]:
        url = f"{self.telegram}/calls?method=sendMessage"
        with urllib.request.urlopen(url, timeout=5) as answer:
            calls = json.load(answer)["calls"]
        return [call["parameters"]["text"] for call in calls if call["status"] == 200]

    def end_all(self) -> None:
        for process in self.seen:
            process.send(signal.SIGKILL)


@pytest.fixture
def deployment(tmp_path) -> Iterator[Deployment]:
    stand_in = [sys.executable, "-m", "cryptoquantix.drills.telegram_stand_in"]
    arguments = ("--generate", "1", "--instruments", "BTCUSDT")
    with (
        start_simulator(tmp_path, *arguments) as simulator,
        announced(stand_in, tmp_path / "telegram.log") as (_, telegram),
    ):
        made = Deployment(tmp_path, simulator.line, telegram["telegram"])
        try:
            yield made
        finally:
            made.end_all()


WHO = ("--who", "ada", "--reason", "a test")


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_each_service_comes_back_alone_and_a_halt_is_not_forgotten(
    deployment,
) -> None:
    with deployment.up("first"):
        assert set(deployment.pids()) == {*CHILDREN, "risk"}
        assert deployment.cqx("rearm", *WHO)["state"] == "ARMED"
        for name in CHILDREN:
            deployment.kill(name)
        deployment.kill("risk")
        wait_for(lambda: deployment.state() == "ARMED", 10.0, 0.2)

        deployment.cqx("halt", *WHO)
        wait_for(lambda: deployment.state() == "HALTED", 10.0, 0.2)
        deployment.kill("risk")
        status = wait_for(lambda: deployment.cqx("status"), 10.0)
        assert status["permit_mode"] == "halted"
        assert status["trip"]["cause"]
        wait_for(deployment.messages, 20.0, 0.2)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_halted_daemon_outlives_a_killed_cqx_up_and_is_adopted_by_the_next(
    deployment,
) -> None:
    with deployment.up("first") as up:
        deployment.cqx("halt", *WHO)
        wait_for(lambda: deployment.state() == "HALTED", 20.0, 0.2)

        # No orphan but the daemon, which still guards.
        pids = deployment.pids()
        children = [identify(pids[name]) for name in CHILDREN]
        daemon = identify(pids["risk"])
        os.kill(up.pid, signal.SIGKILL)
        up.wait(10)
        wait_for(lambda: not any(child.is_alive for child in children), 5.0)
        assert daemon.is_alive

    # It knows its settings as they were: others are not silently taken to hold.
    kept = deployment.config.read_text()
    deployment.config.write_text(kept.replace("[risk]", "[risk]\nhard_multiple = 3", 1))
    command = [*CQX, "up", "--config", str(deployment.config)]
    run = subprocess.run(command, check=False, capture_output=True, timeout=60)
    assert run.returncode == 1
    assert b"were changed since it began" in run.stderr
    notes = deployment.cqx("status")["remarks"]
    assert any("began with other settings" in one for one in notes)
    deployment.config.write_text(kept)

    with deployment.up("second") as up:
        assert deployment.pids()["risk"] == daemon.pid
        assert daemon.is_alive
        assert deployment.state() == "HALTED"
        # A rearm proves flat afresh; the halt after it is verified by this daemon.
        assert deployment.cqx("rearm", *WHO)["state"] == "ARMED"
        deployment.cqx("halt", *WHO)
        wait_for(lambda: deployment.cqx("status")["is_flat"], 20.0, 0.2)
        up.send_signal(signal.SIGTERM)
        assert up.wait(40) == 0
    assert not daemon.is_alive, deployment.said("second")
    assert "the book is flat" in deployment.said("second")

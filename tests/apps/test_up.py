"""What `cqx up` refuses, each in one sentence and before anything trades."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cryptoquantix.apps import up as up_module
from cryptoquantix.apps.settings import load_settings
from cryptoquantix.apps.up import Up, line, release
from cryptoquantix.core.clock import SystemClock
from cryptoquantix.risk_client.operator import OperatorClient
from cryptoquantix.supervisor.detached import Detached
from cryptoquantix.supervisor.process import identify
from cryptoquantix.supervisor.record import read_record
from cryptoquantix.supervisor.service import ServiceSpec
from cryptoquantix.supervisor.supervisor import Supervisor
from processes import wait_for

CONFIG = """
[nats]
url = "nats://127.0.0.1:{nats}"
[risk]
listen = "127.0.0.1:{risk}"
url = "http://127.0.0.1:{risk}"
[venues.binance]
rest = "{rest}"
ws = "ws://127.0.0.1:9"
[venues.binance.risk]
key = "k"
secret = "s"
"""


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def write(tmp_path: Path, rest="http://127.0.0.1:9", **ports: int) -> Path:
    nats, risk = free_ports(2)
    config = tmp_path / "cryptoquantix.toml"
    values = {"nats": nats, "risk": risk, "rest": rest} | ports
    config.write_text(CONFIG.format(**values))
    return config


def up(config: Path, *arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "cryptoquantix", "up", "--config", str(config)]
    return subprocess.run(
        [*command, *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=50,
    )


@pytest.fixture
def taken():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


@pytest.mark.parametrize("which", ["nats", "risk"])
def test_a_taken_port_is_one_sentence_that_names_who_has_it(
    tmp_path, taken, which
) -> None:
    run = up(write(tmp_path, **{which: taken}))
    assert run.returncode == 1
    (sentence,) = [x for x in run.stderr.splitlines() if x.startswith("cqx: ")]
    assert str(taken) in sentence
    assert f"pid {os.getpid()}" in sentence
    assert "Traceback" not in run.stderr


def test_a_live_venue_needs_to_be_said(tmp_path) -> None:
    run = up(write(tmp_path, rest="https://fapi.binance.com"))
    assert run.returncode == 1
    assert "--live" in run.stderr
    assert not (tmp_path / "var").exists()


def test_settings_without_a_venue_are_refused(tmp_path) -> None:
    config = tmp_path / "cryptoquantix.toml"
    config.write_text("")
    run = up(config)
    assert run.returncode == 1
    assert "cqx init" in run.stderr


def test_missing_keys_are_named_before_anything_starts(tmp_path) -> None:
    config = write(tmp_path)
    text = config.read_text().replace('key = "k"', 'key = ""')
    strategy = """
[[strategies]]
name = "trend_breakout"
instrument = "binance:BTCUSDT-PERP"
"""
    config.write_text(text + strategy)
    run = up(config)
    assert run.returncode == 1
    assert (
        "no value for venues.binance.key, venues.binance.secret, "
        "venues.binance.risk.key:"
    ) in run.stderr
    assert not (tmp_path / "var").exists()


@pytest.mark.parametrize(
    "named",
    [
        '[[strategies]]\nname = "trend_breakout"\ninstrument = "{}"\n',
        '[feeds]\ninstruments = ["{}"]\n',
    ],
)
def test_a_venue_without_an_address_is_named_before_anything_starts(
    tmp_path, named
) -> None:
    config = write(tmp_path)
    venue = config.read_text().replace("\nws =", '\nkey = "k"\nsecret = "s"\nws =')
    config.write_text(venue + named.format("bybit:BTCUSDT-PERP"))
    run = up(config)
    assert run.returncode == 1
    assert "bybit:BTCUSDT-PERP, but there is no [venues.bybit]" in run.stderr
    assert not (tmp_path / "var" / "logs").exists() or not any(
        one.name != "up.log" for one in (tmp_path / "var" / "logs").iterdir()
    ), "nothing was started"


async def test_a_paper_account_waits_for_its_venue(tmp_path, monkeypatch) -> None:
    """The machine is up before its network is."""
    network, told = tmp_path / "network", []
    script = f"test -e {network} && echo yes && exec sleep 60; echo 'cqx: no network'"
    spec = ServiceSpec(
        name="simulator",
        command=("/bin/sh", "-c", script),
        environment={"PATH": os.environ["PATH"]},
        log=tmp_path / "simulator.log",
        stop_seconds=3.0,
        ready_words=("yes",),
    )
    monkeypatch.setattr(up_module, "simulator_spec", lambda *_: spec)
    settings = load_settings(write(tmp_path))
    run = Up(settings, None, lambda state: told.append(line(state)), print)
    supervisor = Supervisor(
        record=tmp_path / "services.json", build="b", on_change=run._tell
    )
    monkeypatch.setattr(up_module, "simulator_ports", lambda *_: {})
    start = asyncio.create_task(run._start_simulator(supervisor))
    try:
        async with asyncio.timeout(30):
            while not any(one.restarts > 1 for one in supervisor.states):  # noqa: ASYNC110 - a process tells nobody
                await asyncio.sleep(0.02)
            assert not start.done()
            network.touch()
            await start
    finally:
        start.cancel()
        await supervisor.stop()
    assert "simulator     waiting: stopped: no network" in told
    assert told[-1] == "simulator     stopped: no network"


async def test_a_daemon_that_does_not_run_is_not_said_to_go_on(tmp_path) -> None:
    (port,) = free_ports(1)
    spec = ServiceSpec("risk", ("true",), {}, tmp_path / "risk.log", ready=_never)
    risk = Detached(spec, port=port, clock=SystemClock(), on_change=lambda _: None)
    async with OperatorClient(f"http://127.0.0.1:{port}", "t") as client:
        said = await release(risk, client, leave_unguarded=False)
    assert "the risk daemon does NOT run" in said


async def _never() -> bool:
    return False


def test_a_second_one_in_the_same_directory_is_refused(tmp_path) -> None:
    config = write(tmp_path)
    lock = tmp_path / "var" / "up" / "lock"
    lock.parent.mkdir(parents=True)
    code = (
        "import fcntl, os, sys, time\n"
        "file = open(sys.argv[1], 'w')\n"
        "fcntl.flock(file, fcntl.LOCK_EX)\n"
        "file.write(str(os.getpid())); file.flush()\n"
        "time.sleep(60)"
    )
    command = [sys.executable, "-c", code, str(lock)]
    with subprocess.Popen(command) as holder:
        try:
            wait_for(lambda: lock.exists() and lock.read_text())
            run = up(config)
        finally:
            holder.kill()
    assert run.returncode == 1
    assert f"already runs in {tmp_path / 'var'} (pid {holder.pid})" in run.stderr


def test_a_paper_account_is_told_of_a_taken_port_before_it_waits(
    tmp_path, taken
) -> None:
    config = write(tmp_path, rest=f"http://127.0.0.1:{taken}")
    with config.open("a") as file:
        file.write('[simulator]\nsource = "venue"\n')
    started = time.monotonic()
    run = up(config)
    assert time.monotonic() - started < 20.0
    assert run.returncode == 1
    said = run.stderr.splitlines()[-1]
    assert f"venues.binance.rest's port {taken} is taken by" in said
    assert f"pid {os.getpid()}" in said


def test_a_second_ctrl_c_ends_it_at_once_and_says_what_is_left(tmp_path) -> None:
    config = write(tmp_path)
    command = [sys.executable, "-m", "cryptoquantix", "up", "--config", str(config)]
    record = tmp_path / "var" / "up" / "services.json"

    def services() -> dict:
        found = read_record(record)
        return {one.name: one for one in found.services} if found else {}

    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as up:
        try:
            wait_for(lambda: "risk" in services() and services()["risk"].pid)
            nats = identify(services()["nats"].pid)
            daemon = identify(services()["risk"].pid)
            daemon.send(signal.SIGSTOP)  # whether the book is flat it will not say
            up.send_signal(signal.SIGINT)
            time.sleep(1.0)
            assert up.poll() is None
            up.send_signal(signal.SIGINT)
            _, said = up.communicate(timeout=5)
            assert up.returncode == 1
            assert f"the risk daemon keeps running (pid {daemon.pid})" in said
            assert "stopped at once" in said.splitlines()[-1]
            assert daemon.is_alive
            wait_for(lambda: not nats.is_alive, 2.0)
        finally:
            up.kill()
            if found := services().get("risk"):
                os.kill(found.pid, signal.SIGKILL)

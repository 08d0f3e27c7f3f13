"""A detached service outlives its supervisor and is adopted by the next one."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import aiohttp

from cryptoquantix.core.clock import SystemClock
from cryptoquantix.supervisor.detached import Detached
from cryptoquantix.supervisor.policy import RestartPolicy
from cryptoquantix.supervisor.process import ProcessId, identify, listener
from cryptoquantix.supervisor.service import Condition, ServiceSpec
from processes import wait_for

SERVER = """
import http.server, pathlib, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        stuck = pathlib.Path(sys.argv[2]).exists()
        self.send_response(503 if stuck else 200)
        self.end_headers()
    def log_message(self, *_): pass
http.server.HTTPServer.allow_reuse_address = True
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Case:
    """One detached server and those who look after it."""

    def __init__(self, tmp_path: Path) -> None:
        self.port = free_port()
        self.stuck = tmp_path / "stuck"
        self.seen: set[ProcessId] = set()
        command = (sys.executable, "-c", SERVER, str(self.port), str(self.stuck))
        environment = {"PATH": os.environ["PATH"]}
        self.spec = ServiceSpec(
            "server", command, environment, tmp_path / "log", self.healthy, 5.0
        )

    async def healthy(self) -> bool:
        try:
            async with (
                aiohttp.ClientSession() as http,
                http.get(f"http://127.0.0.1:{self.port}/") as answer,
            ):
                return answer.status == 200
        except aiohttp.ClientError:
            return False

    @asynccontextmanager
    async def watched(self, hung_seconds: float = 30.0):
        detached = Detached(
            self.spec,
            port=self.port,
            clock=SystemClock(),
            on_change=self.note,
            policy=RestartPolicy(first_seconds=0.05, longest_seconds=0.2),
            hung_seconds=hung_seconds,
        )
        task = asyncio.create_task(detached.run())
        try:
            yield detached
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def note(self, state) -> None:
        if state.pid and (process := identify(state.pid)):
            self.seen.add(process)

    def end_all(self) -> None:
        for process in self.seen:
            process.send(signal.SIGKILL)


async def until(condition, seconds: float = 8.0):
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - the condition is another process's
            await asyncio.sleep(0.01)


async def test_it_outlives_its_watcher_and_is_adopted_by_the_next(tmp_path) -> None:
    case = Case(tmp_path)
    try:
        async with case.watched() as first:
            await until(first.ready.is_set)
            pid = first.state.pid
        assert identify(pid) is not None
        async with case.watched() as second:
            await until(second.ready.is_set)
            assert second.state.pid == pid
            assert "adopted" in second.state.note
            assert second.state.restarts == 0
    finally:
        case.end_all()


async def test_killed_it_is_started_again_even_when_adopted(tmp_path) -> None:
    case = Case(tmp_path)
    try:
        async with case.watched() as first:
            await until(first.ready.is_set)
        async with case.watched() as second:
            await until(second.ready.is_set)
            pid = second.state.pid
            os.kill(pid, signal.SIGKILL)
            await until(lambda: second.state.restarts == 1 and second.ready.is_set())
            assert second.state.pid != pid
            assert listener(case.port).pid == second.state.pid
    finally:
        case.end_all()


async def test_alive_but_unhealthy_too_long_it_is_replaced(tmp_path) -> None:
    case = Case(tmp_path)
    try:
        async with case.watched(hung_seconds=0.5) as watched:
            await until(watched.ready.is_set)
            pid = watched.state.pid
            case.stuck.touch()
            await until(lambda: watched.state.restarts >= 1)
            assert "not healthy" in watched.state.note
            case.stuck.unlink()
            await until(lambda: watched.ready.is_set() and watched.state.pid != pid)
            assert identify(pid) is None
    finally:
        case.end_all()


UVLOOP = """
import asyncio, subprocess, sys, uvloop
from cryptoquantix.supervisor.child import LAUNCHER
async def main():
    command = (sys.executable, "-S", "-c", "import time; time.sleep(60)")
    launcher = await asyncio.create_subprocess_exec(
        *LAUNCHER, "detached", *command, stdout=subprocess.PIPE)
    text, _ = await asyncio.wait_for(launcher.communicate(), 10)
    print(text.decode().strip())
uvloop.run(main())
"""


def test_it_holds_none_of_its_starters_descriptors() -> None:
    """Under uvloop, whose pipes would else stay open in the service."""
    run = subprocess.run(
        [sys.executable, "-c", UVLOOP],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        timeout=30,
    )
    process = identify(int(run.stdout))
    try:
        wait_for(lambda: "sleep" in Path(f"/proc/{process.pid}/cmdline").read_text())
        descriptors = Path(f"/proc/{process.pid}/fd").iterdir()
        assert sorted(int(item.name) for item in descriptors) == [0, 1, 2]
    finally:
        process.send(signal.SIGKILL)


async def test_stop_ends_it(tmp_path) -> None:
    case = Case(tmp_path)
    try:
        async with case.watched() as watched:
            await until(watched.ready.is_set)
            pid = watched.state.pid
        await watched.stop()
        assert watched.state.condition is Condition.STOPPED
        wait_for(lambda: identify(pid) is None)
    finally:
        case.end_all()


async def test_one_that_cannot_be_started_is_tried_again(tmp_path) -> None:
    case = Case(tmp_path)
    folder = tmp_path / "logs"
    folder.write_text("in the way")
    case.spec = replace(case.spec, log=folder / "log")
    try:
        async with case.watched() as detached:
            await until(lambda: detached.state.restarts >= 2)
            assert "cannot be started" in detached.state.note
            folder.unlink()
            await until(detached.ready.is_set)
    finally:
        case.end_all()

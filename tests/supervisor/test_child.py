"""Real child processes: restarted alone, ended in time, never orphaned."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from cryptoquantix.core.clock import SystemClock
from cryptoquantix.supervisor.child import LAUNCHER, Child
from cryptoquantix.supervisor.policy import RestartPolicy
from cryptoquantix.supervisor.process import identify
from cryptoquantix.supervisor.service import Condition, ServiceSpec
from processes import wait_for

QUICK = RestartPolicy(first_seconds=0.05, longest_seconds=0.2)
SLEEP = "import time; time.sleep(60)"


def spec_of(tmp_path: Path, name: str, code: str, **changes) -> ServiceSpec:
    command = (sys.executable, "-S", "-c", code)
    environment = {"PATH": os.environ["PATH"]}
    spec = ServiceSpec(name, command, environment, tmp_path / f"{name}.log")
    return replace(spec, **changes)


@asynccontextmanager
async def running(*specs: ServiceSpec):
    children = [
        Child(spec, clock=SystemClock(), on_change=lambda _: None, policy=QUICK)
        for spec in specs
    ]
    tasks = [asyncio.create_task(child.run()) for child in children]
    try:
        yield children
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def until(condition, seconds: float = 8.0):
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - the condition is another process's
            await asyncio.sleep(0.01)


async def test_a_killed_child_comes_back_alone(tmp_path) -> None:
    specs = [spec_of(tmp_path, name, SLEEP) for name in ("one", "two")]
    async with running(*specs) as (one, two):
        await until(lambda: one.ready.is_set() and two.ready.is_set())
        first, other = one.state.pid, two.state.pid
        os.kill(first, signal.SIGKILL)
        await until(lambda: one.state.restarts == 1 and one.ready.is_set())
        assert one.state.pid != first
        assert "SIGKILL" in one.state.note
        assert two.state.pid == other
        assert two.state.restarts == 0


async def test_a_settings_error_is_reported_in_its_own_words(tmp_path) -> None:
    code = "import sys; print('noise'); sys.exit('cqx: no key for binance')"
    async with running(spec_of(tmp_path, "one", code)) as (one,):
        await until(lambda: one.state.restarts >= 3)
        assert one.state.note == "stopped: no key for binance"


async def test_a_child_that_cannot_be_started_waits_and_its_siblings_run_on(tmp_path):
    folder = tmp_path / "logs"
    folder.write_text("in the way")
    one_spec = spec_of(tmp_path, "one", SLEEP, log=folder / "one.log")
    async with running(one_spec, spec_of(tmp_path, "two", SLEEP)) as (one, two):
        await until(lambda: one.state.restarts >= 2 and two.ready.is_set())
        assert "cannot be started" in one.state.note
        folder.unlink()
        await until(one.ready.is_set)
        assert two.state.restarts == 0


async def test_a_command_that_is_not_there_is_one_sentence(tmp_path) -> None:
    spec = spec_of(tmp_path, "one", "", command=("/no/such/program",))
    async with running(spec) as (one,):
        await until(lambda: one.state.restarts >= 1)
        assert "cannot start /no/such/program" in one.state.note


async def test_a_child_ends_politely(tmp_path) -> None:
    code = (
        "import signal, sys, time\n"
        "def bye(*_): print('bye', flush=True); sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, bye)\n"
        "print('up', flush=True)\ntime.sleep(60)"
    )
    spec = spec_of(tmp_path, "one", code)
    async with running(spec) as (one,):
        await until(lambda: "up" in spec.log.read_text() if spec.log.exists() else "")
        pid = one.state.pid
    assert "bye" in spec.log.read_text()
    assert identify(pid) is None
    assert one.state.condition is Condition.STOPPED


async def test_a_child_that_ignores_sigterm_is_killed_with_its_own_children(
    tmp_path,
) -> None:
    code = (
        "import signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        f"inner = subprocess.Popen([sys.executable, '-S', '-c', {SLEEP!r}])\n"
        "print('inner', inner.pid, flush=True)\ntime.sleep(60)"
    )
    spec = spec_of(tmp_path, "one", code, stop_seconds=0.3)
    async with running(spec) as (one,):
        await until(lambda: spec.log.exists() and "inner" in spec.log.read_text())
        pid = one.state.pid
        inner = int(spec.log.read_text().split()[-1])
    assert identify(pid) is None
    wait_for(lambda: identify(inner) is None)


async def test_it_is_ready_when_its_probe_says_so(tmp_path) -> None:
    answers = iter([False, False, True])

    async def ready() -> bool:
        return next(answers, True)

    async with running(spec_of(tmp_path, "one", SLEEP, ready=ready)) as (one,):
        assert not one.ready.is_set()
        await until(one.ready.is_set)
        assert next(answers, None) is None


async def test_it_is_ready_when_its_log_says_so(tmp_path) -> None:
    code = "import time; time.sleep(0.3); print('at work', flush=True); time.sleep(60)"
    spec = spec_of(tmp_path, "one", code, ready_words=("no", "at work"))
    spec.log.write_text("at work\n")  # of the run before
    async with running(spec) as (one,):
        await until(lambda: one.state.condition is Condition.STARTING)
        assert not one.ready.is_set()
        await until(one.ready.is_set)
        assert spec.log.read_text().count("at work") == 2


async def test_a_child_gets_only_the_environment_it_was_given(
    tmp_path, monkeypatch
) -> None:
    monkeypatch.setenv("A_SECRET", "of somebody else")
    code = "import os; print(sorted(os.environ), flush=True)"
    spec = spec_of(tmp_path, "one", code)
    async with running(spec) as (one,):
        await until(lambda: one.state.restarts >= 1)
    assert "A_SECRET" not in spec.log.read_text()
    assert "PATH" in spec.log.read_text()


SUPERVISOR = """
import asyncio, sys
from pathlib import Path
from cryptoquantix.core.clock import SystemClock
from cryptoquantix.supervisor.child import Child
from cryptoquantix.supervisor.service import ServiceSpec

async def main():
    command = (sys.executable, "-S", "-c", "import time; time.sleep(60)")
    spec = ServiceSpec("one", command, {}, Path(sys.argv[1]))
    child = Child(spec, clock=SystemClock(), on_change=lambda _: None)
    task = asyncio.create_task(child.run())
    await child.ready.wait()
    print(child.state.pid, flush=True)
    await task

runner = asyncio.run
if sys.argv[2] == "uvloop":
    import uvloop
    runner = uvloop.run
runner(main())
"""


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_no_child_survives_the_sigkill_of_its_supervisor(tmp_path, loop) -> None:
    command = [sys.executable, "-c", SUPERVISOR, str(tmp_path / "log"), loop]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as supervisor:
        pid = int(supervisor.stdout.readline())
        child = wait_for(lambda: identify(pid))
        # The launcher must have become the command, else nothing is proven.
        wait_for(lambda: "time.sleep" in Path(f"/proc/{pid}/cmdline").read_text())
        supervisor.kill()
        supervisor.wait(5)
    wait_for(lambda: not child.is_alive, 5)


def test_a_child_whose_parent_died_first_does_not_start(tmp_path) -> None:
    """The parent is gone before the kernel was asked: no signal would ever come."""
    command = [*LAUNCHER, "child", "999999999", sys.executable, "-c", "print('up')"]
    run = subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=10
    )
    assert run.returncode != 0
    assert run.stdout == ""
    assert "supervisor is gone" in run.stderr

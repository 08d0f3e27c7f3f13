"""
One child process, kept running; it shares nothing with its siblings.

The child dies with this process, however this process dies. It has a session of
its own, so that Ctrl-C in a terminal reaches the supervisor alone, which then ends
its children in order.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, STDOUT, Process
from collections.abc import Callable
from pathlib import Path
from typing import Final

from cryptoquantix.core.clock import NS_PER_SECOND, Clock
from cryptoquantix.supervisor.policy import RestartPolicy, exit_text
from cryptoquantix.supervisor.process import identify
from cryptoquantix.supervisor.service import (
    Condition,
    ServiceSpec,
    ServiceState,
    bound_log,
    has_said,
    last_sentence,
)

LAUNCHER: Final = (
    sys.executable,
    "-I",
    "-S",
    str(Path(__file__).with_name("launch.py")),
)
_READY_POLL_SECONDS: Final = 0.1
_PROBE_SECONDS: Final = 5.0
_LOG_CHECK_SECONDS: Final = 60.0

type OnChange = Callable[[ServiceState], None]


class Child:
    """Run ``spec`` until stopped, restarting it alone by ``policy``."""

    def __init__(
        self,
        spec: ServiceSpec,
        *,
        clock: Clock,
        on_change: OnChange,
        policy: RestartPolicy | None = None,
    ) -> None:
        self.spec = spec
        self.state = ServiceState(spec.name, log=str(spec.log))
        self.ready = asyncio.Event()
        self._clock = clock
        self._on_change = on_change
        self._policy = policy or RestartPolicy()
        self._process: Process | None = None

    async def run(self) -> None:
        """Keep it running; cancellation ends the child within its deadline."""
        failures = 0
        try:
            while True:
                started_ns = self._clock.monotonic_ns()
                try:
                    code, sentence = await self._run_once()
                except OSError as error:
                    # A full disk or no memory: this one waits, the others run on.
                    code, sentence = None, f"it cannot be started: {error.strerror}"
                ran = (self._clock.monotonic_ns() - started_ns) / NS_PER_SECOND
                failures = self._policy.failures_after(failures, ran)
                self.state.restarts += 1
                self._change(Condition.WAITING, note=exit_text(code, sentence))
                await asyncio.sleep(self._policy.delay_seconds(failures))
        finally:
            await self._end()
            self._change(Condition.STOPPED)

    async def _run_once(self) -> tuple[int | None, str]:
        """Start it, watch it, return its exit code and last sentence."""
        spec = self.spec
        spec.log.parent.mkdir(parents=True, exist_ok=True)
        bound_log(spec.log)
        with spec.log.open("ab") as log:
            offset = log.tell()
            self._process = await asyncio.create_subprocess_exec(
                *LAUNCHER,
                "child",
                str(os.getpid()),
                *spec.command,
                stdin=DEVNULL,
                stdout=log,
                stderr=STDOUT,
                env=dict(spec.environment),
                start_new_session=True,
            )
        self._change(Condition.STARTING, pid=self._process.pid)
        watcher = asyncio.create_task(self._watch(offset), name=f"watch-{spec.name}")
        try:
            code = await self._process.wait()
        finally:
            watcher.cancel()
            await asyncio.gather(watcher, return_exceptions=True)
        self._process = None
        return code, last_sentence(spec.log, offset)

    async def _watch(self, offset: int) -> None:
        """Say when it is ready; then keep its log bounded."""
        await self._until_ready(offset)
        self._change(Condition.READY, pid=self.state.pid, note=self.state.note)
        self.ready.set()
        while True:
            await asyncio.sleep(_LOG_CHECK_SECONDS)
            with contextlib.suppress(OSError):
                await asyncio.to_thread(bound_log, self.spec.log)

    async def _until_ready(self, offset: int) -> None:
        """Return when what the spec asks for has been seen; ``offset`` of the log."""
        spec = self.spec
        words = spec.ready_words
        while words and not has_said(spec.log, offset, words):  # noqa: ASYNC110 - a file tells nobody
            await asyncio.sleep(_READY_POLL_SECONDS)
        while spec.ready is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_PROBE_SECONDS):
                    if await spec.ready():
                        return
            await asyncio.sleep(_READY_POLL_SECONDS)

    async def _end(self) -> None:
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(self.spec.stop_seconds):
                await process.wait()
        except TimeoutError:
            # The whole session: what the child itself started must not stay either.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()

    def _change(
        self, condition: Condition, *, pid: int | None = None, note: str = ""
    ) -> None:
        state = self.state
        if condition is not Condition.READY:
            self.ready.clear()
        state.condition = condition
        state.pid = pid
        known = identify(pid) if pid is not None else None
        state.started_ticks = known.started_ticks if known else None
        state.since_ns = self._clock.time_ns()
        state.note = note or state.note
        self._on_change(state)

"""
A service that outlives its supervisor: started without a parent, adopted when found.

Its end is noticed by its pid or, where that is unknown, by its port. Cancelling
`Detached.run` stops the watching and never the service.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from collections.abc import Awaitable, Callable
from typing import Final

from cryptoquantix.core.clock import NS_PER_SECOND, Clock
from cryptoquantix.supervisor.child import LAUNCHER, OnChange
from cryptoquantix.supervisor.policy import RestartPolicy, exit_text
from cryptoquantix.supervisor.process import (
    ProcessId,
    identify,
    is_listening,
    listener,
)
from cryptoquantix.supervisor.service import (
    Condition,
    ServiceSpec,
    ServiceState,
    bound_log,
    last_sentence,
)

_POLL_SECONDS: Final = 0.2
_PROBE_SECONDS: Final = 3.0
_HUNG_SECONDS: Final = 30.0
_LAUNCH_SECONDS: Final = 10.0

type Probe = Callable[[], Awaitable[bool]]


class Detached:
    """
    Keep ``spec`` running on ``port``, adopting what already listens there.

    Whether the one that listens may be adopted is decided before, by the caller.
    ``spec.ready`` is the health probe: a process that is alive but has not been
    healthy for 30 s is killed and started again, because what it guards is not
    guarded; its store makes that safe.
    """

    def __init__(
        self,
        spec: ServiceSpec,
        *,
        port: int,
        clock: Clock,
        on_change: OnChange,
        policy: RestartPolicy | None = None,
        hung_seconds: float = _HUNG_SECONDS,
    ) -> None:
        assert spec.ready is not None, "a detached service needs a health probe"
        self.spec = spec
        self.state = ServiceState(spec.name, log=str(spec.log))
        self.ready = asyncio.Event()
        self._probe = spec.ready
        self._port = port
        self._clock = clock
        self._on_change = on_change
        self._policy = policy or RestartPolicy()
        self._hung_ns = int(hung_seconds * NS_PER_SECOND)
        self._process: ProcessId | None = None
        self._log_offset = 0
        self._start_failure = ""

    async def run(self) -> None:
        """Watch for ever; cancellation leaves the service running."""
        failures = 0
        if is_listening(self._port):
            self._process = await asyncio.to_thread(listener, self._port)
            self._change(Condition.STARTING, note="adopted: it was already running")
        else:
            await self._try_start()
        while True:
            started_ns = self._clock.monotonic_ns()
            said = await self._watch()
            ran = (self._clock.monotonic_ns() - started_ns) / NS_PER_SECOND
            failures = self._policy.failures_after(failures, ran)
            self._process = None
            self.state.restarts += 1
            self._change(Condition.WAITING, note=exit_text(None, said))
            await asyncio.sleep(self._policy.delay_seconds(failures))
            await self._try_start()

    @property
    def is_running(self) -> bool:
        """Whether the service runs now, ready or not."""
        if self._process is None:
            # Another user's process: its port is all that can be seen of it.
            return is_listening(self._port)
        return self._process.is_alive

    async def stop(self) -> None:
        """End the service itself; call it after cancelling `run`."""
        if self._process is not None:
            await self._process.end(self.spec.stop_seconds)
        self._process = None
        self._change(Condition.STOPPED)

    async def _try_start(self) -> None:
        """Start it; where that fails, say so, and leave the next try to `run`."""
        self._start_failure = ""
        try:
            await self._start()
        except (OSError, TimeoutError) as error:
            why = getattr(error, "strerror", None) or "the launcher did not answer"
            self._start_failure = f"it cannot be started: {why}"

    async def _start(self) -> None:
        spec = self.spec
        spec.log.parent.mkdir(parents=True, exist_ok=True)
        bound_log(spec.log)
        with spec.log.open("ab") as log:
            self._log_offset = log.tell()
            launcher = await asyncio.create_subprocess_exec(
                *LAUNCHER,
                "detached",
                *spec.command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                env=dict(spec.environment),
            )
        async with asyncio.timeout(_LAUNCH_SECONDS):
            text, _ = await launcher.communicate()
        if text.strip().isdigit():
            self._process = identify(int(text))
        self._change(Condition.STARTING)

    async def _watch(self) -> str:
        """Return when it ended: what it said last, or why it was killed."""
        healthy_ns = self._clock.monotonic_ns()
        while self.is_running:
            if await self._is_healthy():
                healthy_ns = self._clock.monotonic_ns()
                if self.state.condition is not Condition.READY:
                    self._change(Condition.READY, note=self.state.note)
            elif self._clock.monotonic_ns() - healthy_ns > self._hung_ns:
                await self._kill()
                seconds = self._hung_ns / NS_PER_SECOND
                return f"it was not healthy for {seconds:.0f} s and was killed"
            await self._pause()
        if self._start_failure:
            return self._start_failure
        return last_sentence(self.spec.log, self._log_offset)

    async def _pause(self) -> None:
        """Wait a second between probes, but notice an end at once."""
        for _ in range(round(1.0 / _POLL_SECONDS)):
            if self.state.condition is not Condition.READY or not self.is_running:
                break
            await asyncio.sleep(_POLL_SECONDS)
        await asyncio.sleep(_POLL_SECONDS / 2)

    async def _is_healthy(self) -> bool:
        try:
            async with asyncio.timeout(_PROBE_SECONDS):
                return await self._probe()
        except TimeoutError:
            return False

    async def _kill(self) -> None:
        if self._process is not None:
            with contextlib.suppress(PermissionError):
                await self._process.end(0.5)

    def _change(self, condition: Condition, *, note: str = "") -> None:
        state = self.state
        state.condition = condition
        state.pid = self._process.pid if self._process else None
        state.started_ticks = self._process.started_ticks if self._process else None
        state.since_ns = self._clock.time_ns()
        state.note = note or state.note
        if condition is Condition.READY:
            self.ready.set()
        else:
            self.ready.clear()
        self._on_change(state)

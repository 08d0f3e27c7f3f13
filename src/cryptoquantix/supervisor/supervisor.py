"""
A set of services, each kept running alone; it knows nothing of what they do.

Stopping ends the children (the first group given first) and leaves what is
detached running: whether that may end is not for a supervisor to decide.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from cryptoquantix.core.errors import CryptoquantixError
from cryptoquantix.supervisor.record import write_record
from cryptoquantix.supervisor.service import Condition, ServiceSpec, ServiceState

_LOG = logging.getLogger(__name__)


class ServiceFailed(CryptoquantixError):  # noqa: N818 - it names a state
    """A service did not become ready in its time."""


class Supervised(Protocol):
    """What runs one service: `Child` or `Detached`."""

    spec: ServiceSpec
    state: ServiceState
    ready: asyncio.Event

    async def run(self) -> None:
        """Keep it running until cancelled."""
        ...


class Supervisor:
    """
    Runs services, tells of their changes and keeps the record of them.

    ``on_change`` is called with the state of a service whenever it changed.
    """

    def __init__(
        self, *, record: Path, build: str, on_change: Callable[[ServiceState], None]
    ) -> None:
        self._record = record
        self._build = build
        self._on_change = on_change
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._states: list[ServiceState] = []
        self._broken: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def states(self) -> tuple[ServiceState, ...]:
        """What is known of each service, in the order they were started."""
        return tuple(self._states)

    def changed(self, state: ServiceState) -> None:
        """Take note of a change (given to each service as its ``on_change``)."""
        _LOG.info(
            "service %s is %s%s",
            state.name,
            state.condition.value,
            f": {state.note}" if state.note else "",
        )
        try:
            write_record(self._record, self._build, self._states)
        except OSError as error:
            _LOG.warning("cannot write %s: %s", self._record, error)
        self._on_change(state)

    def start(self, service: Supervised) -> None:
        """Start to keep a service running."""
        self._states.append(service.state)
        task = asyncio.create_task(service.run(), name=service.spec.name)
        task.add_done_callback(self._ended)
        self._tasks[service.spec.name] = task

    async def wait_ready(self, service: Supervised, seconds: float | None) -> None:
        """
        Wait until ``service`` is ready, or as long as it takes where None.

        Raises
        ------
        ServiceFailed
            If it is not within ``seconds``: what it said last.
        """
        is_ready = asyncio.create_task(service.ready.wait())
        either: set[asyncio.Future[Any]] = {is_ready, self._broken}
        try:
            done, _ = await asyncio.wait(
                either, timeout=seconds, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            is_ready.cancel()
        if self._broken in done:
            self._broken.result()
        if not done:
            name = service.spec.name
            why = service.state.note or f"it said nothing (see {service.spec.log})"
            msg = f"{name} was not ready within {seconds:.0f} s: {why}"
            raise ServiceFailed(msg)

    async def watch(self) -> None:
        """Return never; raise what ended a service's loop, which is our own fault."""
        await self._broken

    async def stop(self, *names: str, but: str = "") -> None:
        """Stop services called ``names`` together; without names, all ``but`` one."""
        chosen = names or self._tasks.keys() - {but}
        tasks = [task for name, task in self._tasks.items() if name in chosen]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def forget(self) -> None:
        """Write the record of a supervisor that has stopped."""
        for state in self._states:
            if state.condition is not Condition.STOPPED:
                state.note = "left running"
        try:
            write_record(self._record, self._build, self._states)
        except OSError as error:
            _LOG.warning("cannot write %s: %s", self._record, error)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if task.cancelled() or self._broken.done():
            return
        error = task.exception()
        if error is not None:
            self._broken.set_exception(error)

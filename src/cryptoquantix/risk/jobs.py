"""Work beside the loop: one at a time under each name, and never the loop's fault."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from cryptoquantix.core.clock import Clock
from cryptoquantix.risk.flatten import FAILED


class Jobs:
    """
    Named background work of one daemon.

    A name that is still running is not started again; what fails is noted in one
    sentence and tried again whenever it is due again.
    """

    def __init__(self, clock: Clock, note: Callable[[str], None]) -> None:
        self._clock = clock
        self._note = note
        self._running: dict[str, asyncio.Task[None]] = {}
        self._due_ns: dict[str, int] = {}

    def is_due(self, name: str, every_ns: int) -> bool:
        """Return whether ``every_ns`` have passed since this was last due."""
        now_ns = self._clock.monotonic_ns()
        if now_ns - self._due_ns.get(name, -every_ns) < every_ns:
            return False
        self._due_ns[name] = now_ns
        return True

    def spawn(self, name: str, work: Coroutine[Any, Any, object]) -> None:
        """Run ``work`` beside the loop, unless ``name`` is running."""
        running = self._running.get(name)
        if running is not None and not running.done():
            work.close()
            return
        self._running[name] = asyncio.create_task(self._quietly(name, work), name=name)

    async def _quietly(self, name: str, work: Coroutine[Any, Any, object]) -> None:
        try:
            await work
        except FAILED as error:
            self._note(f"{name}: {error!r}")

    def stop(self) -> None:
        """Cancel everything that runs."""
        for task in self._running.values():
            task.cancel()

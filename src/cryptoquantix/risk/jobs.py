"""Work beside the loop: one at a time under each name, and never the loop's fault."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from cryptoquantix.core.clock import Clock
from cryptoquantix.risk.calls import FAILED


class Jobs:
    """
    Named background work of one daemon.

    A name that is still running is not started again; what fails is noted in one
    sentence and tried again whenever it is due again.
    """

    def __init__(self, clock: Clock, note: Callable[[str], None]) -> None:
        self._clock = clock
        self._note = note
        self._running: dict[str, asyncio.Task[object]] = {}
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
        # The work is the task itself: one that is stopped before it began is closed.
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(self._ended)
        self._running[name] = task

    def _ended(self, task: asyncio.Task[object]) -> None:
        if self._running.get(task.get_name()) is task:
            del self._running[task.get_name()]
        error = None if task.cancelled() else task.exception()
        if isinstance(error, FAILED):
            self._note(f"{task.get_name()}: {error!r}")
        elif error is not None:
            raise error  # to the loop's own handler, which logs it

    def stop(self) -> None:
        """Cancel everything that runs."""
        for task in tuple(self._running.values()):
            task.cancel()

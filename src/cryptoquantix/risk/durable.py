"""
The store on a thread of its own: a stalled disk delays no act.

Writes are made in order, by one thread. The latch is retried until it is written; the
caller waits for it no longer than its deadline. Samples and audit entries are dropped,
and counted, when the disk is too far behind.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, Self

from cryptoquantix.core.clock import NS_PER_SECOND, Clock
from cryptoquantix.core.errors import SettingsError
from cryptoquantix.risk.opening import StoreUnavailable
from cryptoquantix.risk.state import Latch
from cryptoquantix.risk.store import RiskStore

WAITING_MAX: Final = 120
RETRY_SECONDS: Final = 0.1


class DurableStore:
    """
    The one way to the store while the daemon runs.

    Canceling a waiting caller does not take back the write.
    """

    def __init__(
        self, store: RiskStore, clock: Clock, path: Path | None = None
    ) -> None:
        self._store = store
        self._path = path
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="risk-store")
        self._waiting = 0
        self._failing_since_ns: int | None = None
        self._kept: set[asyncio.Task[None]] = set()
        self._newest_latch = 0
        self._still = ""
        self.dropped = 0
        self.problem = ""

    @classmethod
    def open(cls, path: Path, clock: Clock) -> Self:
        """
        Open the store, or one in memory where the disk lets nobody open it.

        Raises
        ------
        SettingsError
            If another daemon holds the store, or its folder cannot be written.
        """
        now_ns = clock.time_ns()
        try:
            return cls(RiskStore.open(path, now_ns=now_ns), clock, path)
        except StoreUnavailable as error:
            store = RiskStore.in_memory(path, now_ns=now_ns, why=str(error))
            durable = cls(store, clock, path)
            durable.problem = str(error)
            return durable

    async def heal(self, latch: Latch | None) -> bool:
        """
        Try to open the disk's store in place of the one in memory; return if it is.

        It takes over what was learned, and ``latch``; with ``None`` it is believed as
        it is.
        """
        path, old = self._path, self._store
        assert path is not None

        def swap() -> bool:
            now_ns = self._clock.time_ns()
            try:
                store = RiskStore.open(path, now_ns=now_ns)
            except SettingsError as error:
                self._still = str(error)
                return False
            if latch is not None:
                store.adopt(old, latch, now_ns, "the store can be written again")
            self._store = store
            return True

        is_back = await self.ask(swap)
        self.problem = "" if is_back else self._still
        return is_back

    @property
    def sequence(self) -> int:
        """The number of the newest entry that is on the disk."""
        return self._store.sequence

    @property
    def failing_seconds(self) -> float:
        """How long nothing could be written; 0 when the last write was good."""
        if self._failing_since_ns is None:
            return 0.0
        return (self._clock.monotonic_ns() - self._failing_since_ns) / NS_PER_SECOND

    async def write_latch(
        self, latch: Latch, cause: str, *, deadline_seconds: float, floor: int = 0
    ) -> bool:
        """
        Write the latch; return whether it was durable within the deadline.

        Whatever the answer, the write goes on and is retried until it is done, or
        until a newer latch takes its place.
        """
        self._newest_latch += 1
        number, now_ns = self._newest_latch, self._clock.time_ns()

        def write() -> None:
            if number == self._newest_latch or not self.problem:
                self._store.write_latch(latch, now_ns, cause, floor)

        done, _ = await asyncio.wait({self.keep(write)}, timeout=deadline_seconds)
        return bool(done)

    def keep(self, call: Callable[[], object]) -> asyncio.Task[None]:
        """Run ``call`` on the thread, again and again until it succeeds."""
        task = asyncio.create_task(self._until_written(call))
        self._kept.add(task)
        task.add_done_callback(self._kept.discard)
        return task

    async def _until_written(self, call: Callable[[], object]) -> None:
        while True:
            try:
                await self.write(call)
            except (sqlite3.Error, OSError):
                await asyncio.sleep(RETRY_SECONDS)
            else:
                return

    async def ask[**P, T](
        self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Make one read on the store's thread and return its answer."""
        loop = asyncio.get_running_loop()
        return await asyncio.shield(
            loop.run_in_executor(self._thread, lambda: call(*args, **kwargs))
        )

    async def write[T](self, call: Callable[[], T]) -> T:
        """Make one write and return its answer; its fate is the disk's."""
        return await asyncio.shield(self._submit(call))

    def _submit[T](self, call: Callable[[], T]) -> asyncio.Future[T]:
        self._waiting += 1
        if self._failing_since_ns is None:
            self._failing_since_ns = self._clock.monotonic_ns()
        future = asyncio.get_running_loop().run_in_executor(self._thread, call)
        future.add_done_callback(self._note)
        return future

    def post[**P](
        self, call: Callable[P, object], *args: P.args, **kwargs: P.kwargs
    ) -> None:
        """Make one write without waiting for it; dropped when the disk is behind."""
        if self._waiting >= WAITING_MAX:
            self.dropped += 1
            return
        self._submit(lambda: call(*args, **kwargs))

    def _note(self, future: asyncio.Future[Any]) -> None:
        self._waiting -= 1
        error = None if future.cancelled() else future.exception()
        if error is None:
            self.problem = self.problem if self._store.is_volatile else ""
            now_ns = self._clock.monotonic_ns()
            self._failing_since_ns = now_ns if self._waiting else None
        else:
            self.problem = f"{type(error).__name__}: {error}"

    @property
    def store(self) -> RiskStore:
        """The store; call it through ``ask`` and ``post`` alone."""
        return self._store

    def close(self) -> None:
        """Finish what waits and close the file."""
        self._thread.shutdown(wait=True)
        self._store.close()

"""
A risk daemon that a drill may harm: killed, bereft of its memory, its disk or its time.

It is a process of the drill's own, on loopback, with a store of its own.
"""

from __future__ import annotations

import resource
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from cryptoquantix.supervisor.announced import AnnouncedProcess

_NO_ROOM: Final = 1


class DaemonProcess:
    """
    One daemon, started as often as it takes.

    Parameters
    ----------
    arguments : of ``python -m cryptoquantix``: ``risk --json --config ...``
    store : folder of its store
    log : file that takes its standard error
    environment : its whole environment
    """

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        store: Path,
        log: Path,
        environment: Mapping[str, str],
    ) -> None:
        self._arguments = list(arguments)
        self._store = store
        self._log = log
        self._environment = dict(environment)
        self._process: AnnouncedProcess | None = None

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self._process is not None and self._process.is_running

    async def start(self, *, clock_file: Path | None = None, kill_at: str = "") -> None:
        """
        Start it, and return when it has announced itself.

        ``clock_file`` holds seconds by which its wall clock is off; ``kill_at`` is
        the step of a halt at which it kills itself.
        """
        module = ["cryptoquantix"]
        if clock_file is not None:
            module = ["cryptoquantix.drills.stepped_clock", str(clock_file)]
        environment = dict(self._environment)
        if kill_at:
            environment["CQX_RISK__KILL_AT_STEP"] = kill_at
        self._process = AnnouncedProcess(
            [sys.executable, "-m", *module, *self._arguments],
            self._log,
            environment=environment,
        )
        await self._process.__aenter__()

    async def kill(self) -> None:
        """End it at once, as a crash does."""
        if self._process is not None:
            self._process.kill()
            await self._process.stop()

    async def stop(self) -> None:
        """End it as an operator does."""
        if self._process is not None:
            await self._process.stop()

    def lose_store(self) -> None:
        """Remove its store, as an empty volume does."""
        shutil.rmtree(self._store)

    def fill_disk(self) -> None:
        """
        Let each of its writes to a file fail, as on a full disk.

        A limit on file sizes, which this machine's kernel enforces (``EFBIG``): no
        mount and no rights are needed, and it can be taken back.
        """
        assert self._process is not None
        hard = resource.prlimit(self._process.pid, resource.RLIMIT_FSIZE)[1]
        resource.prlimit(self._process.pid, resource.RLIMIT_FSIZE, (_NO_ROOM, hard))

    def free_disk(self) -> None:
        """Let writes pass again."""
        assert self._process is not None
        hard = resource.prlimit(self._process.pid, resource.RLIMIT_FSIZE)[1]
        resource.prlimit(self._process.pid, resource.RLIMIT_FSIZE, (hard, hard))

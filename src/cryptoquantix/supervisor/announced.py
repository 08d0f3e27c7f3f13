"""
A child process that announces itself by one JSON line; it restarts none.

For the simulator, the daemon of a drill and the Bot API stand-in: short-lived parts
whose addresses are known only once they listen.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from cryptoquantix.core.errors import CryptoquantixError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType


class ChildFailed(CryptoquantixError):  # noqa: N818 - it names a state
    """A child ended, or stayed silent, before it announced itself."""


class AnnouncedProcess:
    """
    One child, started on entry and stopped on exit.

    Parameters
    ----------
    command : the program and its arguments
    log : file that takes its standard error
    deadline_seconds : how long it may take to announce itself
    grace_seconds : how long it may take to end once it was asked to
    environment : its whole environment; None: this process's
    """

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        *,
        deadline_seconds: float = 20.0,
        grace_seconds: float = 5.0,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._command = command
        self._log = log
        self._deadline_seconds = deadline_seconds
        self._grace_seconds = grace_seconds
        self._environment = environment
        self._process: asyncio.subprocess.Process | None = None
        self.line: dict[str, Any] = {}

    @property
    def pid(self) -> int:
        """The child's process id."""
        assert self._process is not None, "used outside its context"
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether the child has not ended yet."""
        return self._process is not None and self._process.returncode is None

    async def __aenter__(self) -> Self:
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                env=self._environment,
            )
        try:
            self.line = await self._read_line()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    async def stop(self) -> None:
        """End the child: SIGTERM, and SIGKILL when its grace is over."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        with suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), self._grace_seconds)
        except TimeoutError:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    def kill(self) -> None:
        """End the child at once, as a crash does."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.kill()

    async def _read_line(self) -> dict[str, Any]:
        assert self._process is not None
        assert self._process.stdout is not None
        try:
            text = await asyncio.wait_for(
                self._process.stdout.readline(), self._deadline_seconds
            )
            value = json.loads(text)
        except (TimeoutError, ValueError):
            value = None
        if not isinstance(value, dict):
            said = _last_line(self._log)
            msg = f"{self._log.stem} did not start: {said or 'it said nothing'}"
            raise ChildFailed(msg)
        return value


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else ""

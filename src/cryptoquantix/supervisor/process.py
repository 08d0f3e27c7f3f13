"""Processes by pid *and* start time, so that a reused pid is never signaled."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_POLL_SECONDS: Final = 0.1
_TCP_LISTEN: Final = "0A"


@dataclass(frozen=True, slots=True)
class ProcessId:
    """``started_ticks`` is the kernel's start time of the process (clock ticks)."""

    pid: int
    started_ticks: int

    @property
    def is_alive(self) -> bool:
        """Whether this very process runs; a zombie does not."""
        return identify(self.pid) == self

    def send(self, number: signal.Signals) -> None:
        """Send a signal to this very process; nothing happens if it is gone."""
        with contextlib.suppress(ProcessLookupError):
            descriptor = os.pidfd_open(self.pid)
            try:
                # The descriptor pins the process: check, then signal, without a race.
                if self.is_alive:
                    signal.pidfd_send_signal(descriptor, number)
            finally:
                os.close(descriptor)

    async def wait_gone(self, seconds: float) -> bool:
        """Return whether it has ended within ``seconds``; for processes not ours."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self.is_alive:  # noqa: ASYNC110 - the kernel sends no event
                    await asyncio.sleep(_POLL_SECONDS)
        return not self.is_alive

    async def end(self, patience_seconds: float) -> None:
        """Ask it to end, and kill it after ``patience_seconds``."""
        self.send(signal.SIGTERM)
        if not await self.wait_gone(patience_seconds):
            self.send(signal.SIGKILL)
            await self.wait_gone(patience_seconds)


def identify(pid: int) -> ProcessId | None:
    """Return the identity of the running process ``pid``, or None."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # The name in parentheses may itself hold spaces and parentheses.
    fields = text.rpartition(")")[2].split()
    if fields[0] in {"Z", "X"}:
        return None
    return ProcessId(pid, int(fields[19]))


def listener(port: int) -> ProcessId | None:
    """Return the process of ours that listens on a TCP ``port``, or None."""
    sockets = {f"socket:[{inode}]" for inode in _listening(port)}
    if not sockets:
        return None
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and _holds(entry / "fd", sockets):
            return identify(int(entry.name))
    return None


def describe(process: ProcessId | None) -> str:
    """Return who a process is, for a sentence."""
    if process is None:
        return "another program"
    try:
        name = Path(f"/proc/{process.pid}/comm").read_text().strip()
    except OSError:
        name = "?"
    return f"{name} (pid {process.pid})"


def is_listening(port: int) -> bool:
    """Return whether any process listens on a TCP ``port`` of this machine."""
    return bool(_listening(port))


def _listening(port: int) -> list[str]:
    inodes = []
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            local_port = int(fields[1].rpartition(":")[2], 16)
            if fields[3] == _TCP_LISTEN and local_port == port:
                inodes.append(fields[9])
    return inodes


def _holds(descriptors: Path, sockets: set[str]) -> bool:
    try:
        return any(str(item.readlink()) in sockets for item in descriptors.iterdir())
    except OSError:
        return False

"""
The file in which progress survives a restart; a full disk delays no alarm.

Written whole, synced and renamed, by a thread, whenever something changed. Where it
cannot be written, delivery goes on from memory and this is said once: after a restart
an alarm may then come twice. What people wrote is not replayed even then.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
from pathlib import Path
from typing import Final, TextIO

from cryptoquantix.alarms.progress import Progress
from cryptoquantix.core.errors import SettingsError, StateCorrupt

_LOG = logging.getLogger(__name__)

_FILE: Final = "progress.json"
_PAUSE_SECONDS: Final = 0.05
_RETRY_SECONDS: Final = 2.0


class Keeper:
    """
    Holds the progress of one alarms process, and its folder against a second one.

    Parameters
    ----------
    folder : Path
        Of this process alone; made if missing.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock: TextIO | None = None
        self._is_dirty = asyncio.Event()
        self._wanted = 0
        self._written = 0
        self.notice = ""
        self.problem = ""
        self.progress = Progress()

    def open(self) -> Progress:
        """
        Take the folder and return what an earlier process left.

        What cannot be read is put aside, and ``notice`` says so.

        Raises
        ------
        SettingsError
            If another process has the folder.
        """
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = (self._folder / "lock").open("a+")
            self._take_lock(self._lock)
        except OSError as error:
            self._cannot(error)  # a full or read-only disk: what is there still counts
        try:
            self.progress = _read(self._folder / _FILE)
        except FileNotFoundError:
            pass
        except StateCorrupt as error:
            self._put_aside(str(error))
        except OSError as error:
            self._cannot(error)
        return self.progress

    def changed(self) -> None:
        """Say that ``progress`` is not as it was."""
        self._wanted += 1
        self._is_dirty.set()

    async def run(self) -> None:
        """Write whenever something changed; cancellation leaves the last whole file."""
        while True:
            await self._is_dirty.wait()
            self._is_dirty.clear()
            number, text = self._wanted, self.progress.to_json()
            try:
                await asyncio.to_thread(_write, self._folder / _FILE, text)
            except OSError as error:
                self._cannot(error)
                self._is_dirty.set()
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            if self.problem:
                _LOG.warning("progress can be written again")
            self._written, self.problem = number, ""
            await asyncio.sleep(_PAUSE_SECONDS)

    async def flush(self, seconds: float) -> bool:
        """Return whether all of now is on the disk, waiting at most ``seconds``."""
        self.changed()
        wanted = self._wanted
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._written < wanted:  # noqa: ASYNC110 - a thread tells nobody
                    await asyncio.sleep(0.01)
        return self._written >= wanted

    def close(self) -> None:
        """Write a last time and let the folder go."""
        if self._written < self._wanted:
            try:
                _write(self._folder / _FILE, self.progress.to_json())
            except OSError as error:
                self._cannot(error)
        if self._lock is not None:
            self._lock.close()

    def _take_lock(self, lock: TextIO) -> None:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            number = lock.read().strip() or "?"
            lock.close()
            msg = f"cqx alarms already runs in {self._folder} (pid {number})"
            raise SettingsError(msg) from None
        with contextlib.suppress(OSError):  # a full disk: the lock holds without it
            lock.truncate(0)
            lock.write(f"{os.getpid()}\n")
            lock.flush()

    def _put_aside(self, why: str) -> None:
        path = self._folder / _FILE
        aside = path.with_suffix(".corrupt")
        with contextlib.suppress(OSError):
            path.replace(aside)
        self.notice = (
            f"{path} was {why}; it is kept as {aside.name}. Alarms delivered before "
            f"may come again."
        )
        _LOG.error(self.notice)

    def _cannot(self, error: OSError) -> None:
        problem = (
            f"progress cannot be kept in {self._folder} ({error.strerror or error}): "
            f"after a restart of cqx alarms, alarms may come twice"
        )
        if problem != self.problem:
            self.problem = problem
            _LOG.error(problem)


def read_progress(folder: Path) -> Progress | None:
    """Return what the process of ``folder`` wrote last; None if there is nothing."""
    try:
        return _read(folder / _FILE)
    except (OSError, StateCorrupt):
        return None


def _read(path: Path) -> Progress:
    try:
        return Progress.from_json(path.read_text())
    except UnicodeDecodeError as error:
        raise StateCorrupt(str(error)) from None


def _write(path: Path, text: str) -> None:
    fresh = path.with_name(path.name + ".new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)

"""
Messages on disk before they are in the catalog; it reads none of what they say.

An append-only file of records, each with its length and a checksum. What was handed to
:meth:`TickSpool.append` survives the process's death at once, and the machine's after
the next :meth:`TickSpool.sync`. A record cut short by either ends the file's reading:
nothing half-written is ever believed.
"""

from __future__ import annotations

import contextlib
import logging
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_HEADER: Final = struct.Struct("<II")
_RECORD_BYTES_MAX: Final = 16 * 1024 * 1024
_OPEN: Final = ".open"
_CLOSED: Final = ".spool"

_log = logging.getLogger(__name__)


class TickSpool:
    """
    One spool file, written by one process.

    Parameters
    ----------
    folder : Path
        Where spool files lie; made if missing.
    number : int
        Names the file; files are read in the order of their numbers.

    Raises
    ------
    OSError
        If the file cannot be made.
    """

    def __init__(self, folder: Path, number: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / f"{number:020d}{_OPEN}"
        self.size = 0
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        self._descriptor = os.open(self.path, flags, 0o644)

    def append(self, payload: bytes) -> None:
        """
        Write one record.

        Raises
        ------
        OSError
            If it cannot be written whole (a full disk); the file then still ends with
            the record before it.
        """
        record = _HEADER.pack(len(payload), zlib.crc32(payload)) + payload
        try:
            written = os.write(self._descriptor, record)
        except OSError:
            self._forget_rest()
            raise
        if written != len(record):
            self._forget_rest()
            raise OSError(28, "record not written whole")
        self.size += written

    def sync(self) -> None:
        """
        Wait until what was appended is on disk.

        Raises
        ------
        OSError
            If the disk refuses.
        """
        os.fsync(self._descriptor)

    def close(self) -> Path:
        """
        End the file and give it the name of a whole one; return that.

        Raises
        ------
        OSError
            If the disk refuses.
        """
        try:
            os.fsync(self._descriptor)
        finally:
            os.close(self._descriptor)
        closed = self.path.with_suffix(_CLOSED)
        self.path.rename(closed)
        return closed

    def abandon(self) -> None:
        """Let go of the file as it is: of what is in it, what is whole will be read."""
        os.close(self._descriptor)
        with contextlib.suppress(OSError):  # then the next process adopts it
            if self.size:
                self.path.rename(self.path.with_suffix(_CLOSED))
            else:
                self.path.unlink()

    def _forget_rest(self) -> None:
        try:
            os.ftruncate(self._descriptor, self.size)
        except OSError:
            return  # the checksum tells it apart


def adopt(folder: Path) -> None:
    """
    Take over the files of processes that were killed, however broken at their ends.

    Only while no other process writes here: :func:`spool_files` names no file that is
    being written.
    """
    for path in folder.glob(f"*{_OPEN}"):
        try:
            path.rename(path.with_suffix(_CLOSED))
        except OSError as error:
            _log.warning("spool file not taken over", extra={"error": str(error)})


def spool_files(folder: Path) -> list[Path]:
    """Return a folder's files that are no longer written, oldest first."""
    return sorted(folder.glob(f"*{_CLOSED}"), key=lambda path: path.stem)


def read_spool(path: Path) -> Iterator[bytes]:
    """Yield the payloads of a spool file up to its end or its first broken record."""
    with path.open("rb") as file:
        while len(header := file.read(_HEADER.size)) == _HEADER.size:
            length, checksum = _HEADER.unpack(header)
            if length > _RECORD_BYTES_MAX:
                return
            payload = file.read(length)
            if len(payload) != length or zlib.crc32(payload) != checksum:
                return
            yield payload

"""One recorder a folder: two would store the same ticks twice; it records nothing."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Final

from cryptoquantix.core.errors import SettingsError

_LOCK: Final = "LOCK"


class RecorderLock:
    """
    The right to be the one recorder of a folder, until :meth:`release` or the end.

    Raises
    ------
    SettingsError
        If another process records here, or the folder cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            msg = f"cannot write to {folder}: {error.strerror}"
            raise SettingsError(msg) from None
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._descriptor)
            msg = f"another recorder writes to {folder}"
            raise SettingsError(msg) from None

    def release(self) -> None:
        """Let another recorder begin."""
        os.close(self._descriptor)

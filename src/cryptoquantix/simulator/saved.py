"""
A simulator's books on disk: written whole or not at all, read back or refused.

The file is a header, a checksum and the object graph of the venues' cores. It is a
file of this program for this program: reading it makes none but the simulator's own
kinds of object, and a file that was changed or cut is refused.
"""

from __future__ import annotations

import hashlib
import io
import os
import pickle
from pathlib import Path
from typing import Any, Final

from cryptoquantix.core.errors import SettingsError

_HEADER: Final = b"cryptoquantix simulator state 2\n"
_ADMITTED: Final = {
    "builtins": {"set", "frozenset", "complex", "range", "slice", "bytearray"},
    "collections": {"deque", "OrderedDict", "defaultdict", "Counter"},
    "decimal": {"Decimal"},
    "fractions": {"Fraction"},
    "copyreg": {"_reconstructor", "__newobj__"},
    "array": {"array", "_array_reconstructor"},
    "numpy": {"ndarray", "dtype"},
    "numpy._core.multiarray": {"_reconstruct", "scalar"},
    "numpy._core.numeric": {"_frombuffer"},
}
_OURS: Final = ("cryptoquantix.simulator.", "cryptoquantix.core.")


class _Reader(pickle.Unpickler):
    """Makes objects of the simulator's own classes and a few plain ones."""

    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401 - pickle's own
        is_ours = module.startswith(_OURS) and "." not in name
        if not is_ours and name not in _ADMITTED.get(module, ()):
            msg = f"{module}.{name} does not belong in a saved state"
            raise pickle.UnpicklingError(msg)
        found = super().find_class(module, name)
        if is_ours and not isinstance(found, type):
            msg = f"{module}.{name} is no class"
            raise pickle.UnpicklingError(msg)
        return found


def save(path: Path, state: dict[str, Any]) -> None:
    """
    Replace ``path`` with ``state``; a crash leaves the old file or the new one.

    Raises
    ------
    SettingsError
        If it cannot be written.
    """
    data = pickle.dumps(state, protocol=5)
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(_HEADER + hashlib.sha256(data).digest() + data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        msg = f"cannot write the state {path}: {error.strerror}"
        raise SettingsError(msg) from None


def load(path: Path) -> dict[str, Any]:
    """
    Return what was saved to ``path``.

    Raises
    ------
    SettingsError
        If it cannot be read, was changed or cut, or is of another version.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        msg = f"cannot read the state {path}: {error.strerror}"
        raise SettingsError(msg) from None
    start = len(_HEADER) + hashlib.sha256().digest_size
    data = content[start:]
    is_whole = content[len(_HEADER) : start] == hashlib.sha256(data).digest()
    if not content.startswith(_HEADER) or not is_whole:
        msg = f"{path} is no saved state of this simulator, or it is damaged"
        raise SettingsError(msg)
    try:
        state = _Reader(io.BytesIO(data)).load()
    except (
        pickle.UnpicklingError,
        AttributeError,
        ImportError,
        EOFError,
        IndexError,
        TypeError,
        ValueError,
    ) as error:
        msg = f"{path} was saved by another version of the simulator: {error}"
        raise SettingsError(msg) from None
    if not isinstance(state, dict):
        msg = f"{path} holds no state"
        raise SettingsError(msg)
    return state

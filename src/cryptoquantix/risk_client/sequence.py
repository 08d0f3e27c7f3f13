"""The highest permit sequence ever seen, on disk; it never writes half a number."""

from __future__ import annotations

import os
from pathlib import Path

from cryptoquantix.core.errors import StateCorrupt


def load_sequence(path: Path) -> int:
    """
    Return the sequence kept at ``path``, 0 if there is no file.

    Raises
    ------
    StateCorrupt
        If the file holds anything but one number: guessing 0 would hide that the
        daemon has lost its memory.
    """
    try:
        text = path.read_text()
    except FileNotFoundError:
        return 0
    except (OSError, UnicodeDecodeError) as error:
        msg = f"cannot read the permit sequence in {path}: {error}"
        raise StateCorrupt(msg) from None
    digits = text.strip()
    if not (digits.isascii() and digits.isdecimal() and len(digits) <= 19):
        msg = (
            f"{path} must hold one number, was {text[:40]!r}: check the risk "
            f"daemon's state with `cqx status`, then remove the file"
        )
        raise StateCorrupt(msg)
    return int(digits)


def save_sequence(path: Path, sequence: int) -> None:
    """Write ``sequence`` durably: a new file, synced, renamed over the old one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(path.name + ".new")
    with fresh.open("w") as file:
        file.write(f"{sequence}\n")
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)

"""
Run ``cqx`` with a wall clock that is off; it touches no other process's time.

    python -m cryptoquantix.drills.stepped_clock FILE risk --json --config ...

``FILE`` holds seconds, read again every tenth of a second: a change is a step of the
clock while the process runs. Wall time is all that moves, as when NTP or a person sets
the clock; monotonic time goes on.
"""

from __future__ import annotations

import runpy
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

_READ_NS: Final = 100_000_000
_NS: Final = 1_000_000_000


def stepped(
    file: Path, wall_ns: Callable[[], int], monotonic_ns: Callable[[], int]
) -> Callable[[], int]:
    """Return a wall clock that is off by the seconds in ``file``, 0 without it."""
    offset_ns, read_ns = 0, -_READ_NS

    def now_ns() -> int:
        nonlocal offset_ns, read_ns
        present_ns = monotonic_ns()
        if present_ns - read_ns >= _READ_NS:
            read_ns = present_ns
            offset_ns = int(float(file.read_text())) * _NS if file.exists() else 0
        return wall_ns() + offset_ns

    return now_ns


def main() -> None:
    """Set this process's clock off, and run the command."""
    file = Path(sys.argv[1])
    now_ns = stepped(file, time.time_ns, time.monotonic_ns)  # noqa: TID251 - replaced
    time.time_ns = now_ns  # noqa: TID251 - this is the seam
    time.time = lambda: now_ns() / _NS  # noqa: TID251 - this is the seam
    sys.argv = ["cqx", *sys.argv[2:]]
    runpy.run_module("cryptoquantix", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()

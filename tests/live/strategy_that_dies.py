"""
``cqx strategy`` that kills itself in the middle of keeping a state.

Run as a script: ``HOW COUNT --config FILE``. At the ``COUNT``-th snapshot it dies with
half of the draft written (``half``), with the draft whole and not in place
(``unplaced``), or with half of it in place (``torn``, as a disk without power has it).
"""

import os
import signal
import sys
from pathlib import Path

from cryptoquantix.live import snapshot


def main(how: str, count: int, config: str) -> None:
    from cryptoquantix.apps.strategy import run

    write, left = snapshot.write_draft, [count]

    def die(path: Path, data: bytes) -> None:
        left[0] -= 1
        if left[0]:
            write(path, data)
            return
        if how == "torn":
            path = path.with_suffix(".state")
        write(path, data if how == "unplaced" else data[: len(data) // 2])
        os.kill(os.getpid(), signal.SIGKILL)

    snapshot.write_draft = die
    run(Path(config))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[4])

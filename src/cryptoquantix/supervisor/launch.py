"""
Start one command so that it ends with its parent, or outlives it; nothing else.

Run by path with a bare interpreter (``python -I -S launch.py …``), so that no code
of ours runs between ``fork`` and ``exec`` of a process that may hold threads:

``child PARENT_PID COMMAND…``
    becomes COMMAND, which the kernel kills when the parent dies;
``detached COMMAND…``
    prints the pid of COMMAND, which runs in a session of its own and has no parent.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """Do what the module says; return only on a usage error."""
    match arguments:
        case ["child", parent, *command] if command:
            _die_with(int(parent))
            _become(command)
        case ["detached", *command] if command:
            _detach()
            _become(command)
        case _:
            sys.exit("usage: launch.py child PARENT_PID COMMAND… | detached COMMAND…")


def _die_with(parent: int) -> None:
    # SIGKILL, because a service that hangs on SIGTERM would trade on as an orphan;
    # every service must survive SIGKILL at any time anyway.
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        sys.exit(f"cqx: prctl failed: {os.strerror(ctypes.get_errno())}")
    if os.getppid() != parent:
        # The parent died before the line above: no signal will come any more.
        sys.exit("cqx: the supervisor is gone")


def _detach() -> None:
    pid = os.fork()
    if pid:
        os.write(1, f"{pid}\n".encode())
        os._exit(0)
    os.setsid()
    os.dup2(2, 1)  # the pid went to a pipe; from here on both go to the log


def _become(command: list[str]) -> None:
    # Loops of other make leak descriptors into children (uvloop does): a daemon that
    # holds its starter's pipe would keep that one waiting for its end.
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        os.execvp(command[0], command)  # noqa: S606 - no shell is the point
    except OSError as error:
        sys.stderr.write(f"cqx: cannot start {command[0]}: {error.strerror}\n")
        os._exit(127)


if __name__ == "__main__":
    main(sys.argv[1:])

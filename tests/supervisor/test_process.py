import os
import signal
import socket
import subprocess
import sys

from cryptoquantix.supervisor.process import (
    ProcessId,
    describe,
    identify,
    is_listening,
    listener,
)
from processes import wait_for


def test_a_reused_pid_is_another_process() -> None:
    own = identify(os.getpid())
    assert own is not None
    assert own.is_alive
    impostor = ProcessId(own.pid, own.started_ticks + 1)
    assert not impostor.is_alive
    impostor.send(signal.SIGKILL)  # else this test would not end well


def test_a_zombie_is_not_alive() -> None:
    child = subprocess.Popen([sys.executable, "-S", "-c", ""])
    try:
        wait_for(lambda: identify(child.pid) is None)
    finally:
        child.wait(5)
    ProcessId(child.pid, 1).send(signal.SIGTERM)


def test_who_listens_on_a_port_is_found() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port = server.getsockname()[1]
        assert not is_listening(port)
        assert listener(port) is None
        server.listen()
        assert is_listening(port)
        assert listener(port).pid == os.getpid()
        assert str(os.getpid()) in describe(listener(port))
    assert describe(None) == "another program"

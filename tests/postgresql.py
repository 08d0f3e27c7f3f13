"""A real PostgreSQL for tests, started as user postgres where root runs the tests."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import pytest

_PLACES = (
    "/usr/local/bin",
    *sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin"))),
)


def _program(name: str) -> str:
    found = shutil.which(name, path=os.pathsep.join((*_PLACES, os.environ["PATH"])))
    if found is None:
        pytest.skip(
            f"PostgreSQL is not installed: no {name} (apt-get install postgresql)"
        )
    return found


def is_installed() -> bool:
    """Whether there is a server to start: what can do without it asks before."""
    path = os.pathsep.join((*_PLACES, os.environ["PATH"]))
    return shutil.which("initdb", path=path) is not None


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


class PostgresServer:
    """One server with a database of its own, stopped and started as a test likes."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = _free_port()
        self._owner = None
        if os.geteuid() == 0:
            try:
                self._owner = pwd.getpwnam("postgres")
            except KeyError:
                pytest.skip(
                    "PostgreSQL refuses to run as root and there is no postgres"
                )
            os.chown(directory, self._owner.pw_uid, self._owner.pw_gid)
        self._data = directory / "data"
        self._run(
            _program("initdb"),
            *("-D", str(self._data), "-U", "cqx", "-A", "trust", "-N"),
            *("-E", "UTF8", "--locale=C"),
        )

    @property
    def url(self) -> str:
        return f"postgresql://cqx@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        options = (
            f"-p {self.port} -c listen_addresses=127.0.0.1 -c fsync=off "
            f"-c unix_socket_directories={self.directory}"
        )
        self._run(
            _program("pg_ctl"),
            *("start", "-w", "-t", "30", "-D", str(self._data), "-o", options),
            *("-l", str(self.directory / "log")),
        )

    def stop(self, mode: str = "immediate") -> None:
        self._run(
            _program("pg_ctl"),
            "stop",
            "-w",
            "-m",
            mode,
            "-D",
            str(self._data),
            check=False,
        )

    def query(self, text: str) -> list[tuple]:
        async def ask() -> list[tuple]:
            connection = await asyncpg.connect(self.url, timeout=5)
            try:
                return [tuple(row) for row in await connection.fetch(text)]
            finally:
                await connection.close()

        return asyncio.run(ask())

    def _run(self, *command: str, check: bool = True) -> None:
        extra = {}
        if self._owner is not None:
            ids = {"user": self._owner.pw_uid, "group": self._owner.pw_gid}
            extra = ids | {"extra_groups": []}
        done = subprocess.run(
            command,
            cwd=self.directory,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
            **extra,
        )
        assert not check or done.returncode == 0, done.stderr


@contextmanager
def start_postgresql() -> Iterator[PostgresServer]:
    """A server in a directory of its own below /tmp; ended and removed on exit."""
    directory = Path(tempfile.mkdtemp(prefix="cqx-postgresql-"))
    try:
        server = PostgresServer(directory)
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(directory, ignore_errors=True)

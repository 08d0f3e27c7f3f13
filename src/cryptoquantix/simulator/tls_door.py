"""
One TLS port for all venues: it looks at the host a request names and hands it on.

Clients keep the venues' own addresses; only where names lead, and whom to trust,
is different.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import web

from cryptoquantix.core.clock import Clock
from cryptoquantix.simulator.edges import listen
from cryptoquantix.simulator.server import VenueServer
from cryptoquantix.simulator.waiting_room import WaitingRoom

if TYPE_CHECKING:
    from cryptoquantix.simulator.tls import TlsFiles


def make_files(folder: Path, time_ns: int) -> TlsFiles:
    """Return new certificates in ``folder``; only this loads the cryptography."""
    from cryptoquantix.simulator import tls  # noqa: PLC0415 - slow, and rarely needed

    return tls.make_files(folder, datetime.fromtimestamp(time_ns / 1e9, UTC))


class TlsDoor:
    """The TLS port of a simulator."""

    def __init__(self, servers: Mapping[str, VenueServer], clock: Clock) -> None:
        self._servers = servers
        self._hosts: dict[str, VenueServer] = {}
        self._room = WaitingRoom(self._handle, clock)
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int, files: TlsFiles) -> int:
        """
        Listen and return the port; cancelled while binding, nothing listens.

        Raises
        ------
        SettingsError
            If the port is taken or the address is not of this machine.
        """
        from cryptoquantix.simulator import tls  # noqa: PLC0415 - see make_files

        self._hosts = {
            name: self._servers[venue]
            for name, venue in tls.VENUE_OF_HOST.items()
            if venue in self._servers
        }
        context = tls.server_context(files)
        self._server = await listen(self._room.server, host, port, context)
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Close the port and every connection."""
        if self._server is not None:
            self._server.close()
            await self._room.server.shutdown(1.0)

    def patrol(self) -> None:
        """Close idle connections; called about every second."""
        self._room.patrol()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        host = request.headers.get("Host", "").partition(":")[0].lower()
        server = self._hosts.get(host)
        if server is None:
            known = ", ".join(self._hosts)
            text = f"no venue is called {host[:80]!r} here; known: {known}"
            return web.Response(status=421, text=text)
        return await server.handle(request)

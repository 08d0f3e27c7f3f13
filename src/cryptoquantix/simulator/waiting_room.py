"""
Connections that ask for nothing: closed once they have been silent for too long.

A client that opens a connection has some seconds for its first whole request head,
and some minutes between two requests. So a crowd of idle or dribbling connections
costs memory for a bounded time and nobody else's answers. It reads no request.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from cryptoquantix.core.clock import Clock

HEAD_SECONDS: Final = 15.0  # for the first request's head
KEPT_SECONDS: Final = 120.0  # between two requests
BODY_SECONDS: Final = 30.0  # for a body, once its head has come

type Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class WaitingRoom:
    """An aiohttp server whose idle connections are closed by :meth:`patrol`."""

    def __init__(
        self, handler: Handler, clock: Clock, head_seconds: float = HEAD_SECONDS
    ) -> None:
        self._web: web.Server | None = None
        self._handler = handler
        self._clock = clock
        self._head_ns = int(head_seconds * 1e9)
        self._kept_ns = int(KEPT_SECONDS * 1e9)
        self._busy: set[object] = set()
        # Until when a connection may go on without a request.
        self._until: dict[object, int] = {}

    @property
    def server(self) -> web.Server:
        """The aiohttp server; made within the running loop that first asks."""
        if self._web is None:
            self._web = web.Server(self._handle, access_log=None)
        return self._web

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        protocol = request.protocol
        self._busy.add(protocol)
        try:
            return await self._handler(request)
        finally:
            self._busy.discard(protocol)
            self._until[protocol] = self._clock.monotonic_ns() + self._kept_ns

    def patrol(self) -> int:
        """Close connections whose time is up; return how many. Call it every second."""
        if self._web is None:
            return 0
        now_ns = self._clock.monotonic_ns()
        before, self._until = self._until, {}
        closed = 0
        for protocol in self._web.connections:
            if protocol in self._busy:
                continue
            until_ns = before.get(protocol, now_ns + self._head_ns)
            transport = protocol.transport
            if now_ns >= until_ns and transport is not None:
                transport.abort()
                closed += 1
            else:
                self._until[protocol] = until_ns
        return closed

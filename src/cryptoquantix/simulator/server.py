"""
The sockets of one simulated venue: HTTP and WebSocket on one port, and outages.

Slow readers are dropped once too much waits for them. A request, a message or a
connection that is malformed never ends the process.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable, Coroutine
from typing import Any, Final, cast

from aiohttp import WSMsgType, web

from cryptoquantix.core.clock import Clock
from cryptoquantix.core.errors import SettingsError
from cryptoquantix.simulator.venue import SimulatedVenue
from cryptoquantix.simulator.wire.messages import Request, Response, Subscriber

BACKLOG: Final = 2_048
BODY_BYTES_MAX: Final = 1_048_576
MESSAGE_BYTES_MAX: Final = 65_536
BUFFER_BYTES_MAX: Final = 64 * 1_048_576  # waiting for one reader, then it is cut
BUFFER_BYTES_HIGH: Final = 2 * 1_048_576  # beyond this a fast tape waits
STALLED_NS: Final = 5_000_000_000  # without progress a reader is cut
PING_SECONDS: Final = 180.0
OUTAGES: Final = ("refuse", "hang", "503")


class _Refusing(asyncio.Protocol):
    """A connection that is reset at once."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        _stream(transport).abort()


class _Hanging(asyncio.Protocol):
    """A connection that is accepted and never answered."""

    def __init__(self, held: set[asyncio.Transport]) -> None:
        self._held = held
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = _stream(transport)
        self._held.add(self._transport)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        if self._transport is not None:
            self._held.discard(self._transport)


class _Listener:
    """One WebSocket connection: its subscriber and its transport."""

    __slots__ = ("moved_ns", "subscriber", "transport", "waiting")

    def __init__(
        self, subscriber: Subscriber, transport: asyncio.Transport, now_ns: int
    ) -> None:
        self.subscriber = subscriber
        self.transport = transport
        self.moved_ns = now_ns
        self.waiting = 0

    def flush(self, monotonic_ns: int, *, silent: bool) -> int:
        """Write what waits; return how many bytes the reader has not taken yet."""
        frames = self.subscriber.frames
        if self.transport.is_closing():
            frames.clear()
            return 0
        if frames:
            if not silent:
                self.transport.write(b"".join(frames))
            frames.clear()
        waiting = self.transport.get_write_buffer_size()
        if waiting < self.waiting or not waiting:
            self.moved_ns = monotonic_ns
        self.waiting = waiting
        stalled = monotonic_ns - self.moved_ns > STALLED_NS
        if waiting > BUFFER_BYTES_MAX or (waiting > BUFFER_BYTES_HIGH and stalled):
            self.transport.abort()
            return 0
        return waiting


class VenueServer:
    """One venue on one port."""

    def __init__(self, venue: SimulatedVenue, clock: Clock) -> None:
        self.venue = venue
        self.outage: str | None = None
        self._clock = clock
        self._listeners: set[_Listener] = set()
        self._held: set[asyncio.Transport] = set()
        self._web: web.Server | None = None
        self._server: asyncio.Server | None = None
        self._end: asyncio.TimerHandle | None = None

    async def start(self, host: str, port: int) -> int:
        """
        Listen and return the port; cancelled while binding, nothing listens.

        Raises
        ------
        SettingsError
            If the port is taken or the address is not of this machine.
        """
        self._web = web.Server(self._handle, access_log=None)
        self._server = await listen(self._protocol, host, port)
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Close the port and every connection."""
        if self._end is not None:
            self._end.cancel()
        if self._server is not None:
            self._server.close()
        self._cut_all()
        if self._web is not None:
            await self._web.shutdown(1.0)

    def flush(self) -> int:
        """Write what waits for each listener; return the longest queue in bytes."""
        monotonic_ns = self._clock.monotonic_ns()
        silent = self.outage in {"hang", "refuse"}
        return max(
            (x.flush(monotonic_ns, silent=silent) for x in tuple(self._listeners)),
            default=0,
        )

    def begin_outage(self, kind: str, seconds: float) -> None:
        """Fail in the way ``kind`` says for ``seconds``; replaces one under way."""
        assert kind in OUTAGES, f"an outage is one of {OUTAGES}, was {kind!r}"
        if self._end is not None:
            self.end_outage()
        self.outage = kind
        self.venue.record.add(
            "outage",
            self._clock.time_ns(),
            venue=self.venue.name,
            outage=kind,
            seconds=seconds,
        )
        if kind == "refuse":
            self._cut_all()
        elif kind == "hang":
            for transport in self._transports():
                transport.pause_reading()
        loop = asyncio.get_running_loop()
        self._end = loop.call_later(seconds, self.end_outage)

    def end_outage(self) -> None:
        """Serve again. What was sent into a hang is lost, never done late."""
        if self._end is not None:
            self._end.cancel()
            self._end = None
        if self.outage == "hang":
            self._cut_all()
        self.outage = None
        self.venue.record.add(
            "outage", self._clock.time_ns(), venue=self.venue.name, outage=None
        )

    def _protocol(self) -> asyncio.BaseProtocol:
        if self.outage == "refuse":
            return _Refusing()
        if self.outage == "hang":
            return _Hanging(self._held)
        assert self._web is not None
        return self._web()

    def _transports(self) -> list[asyncio.Transport]:
        assert self._web is not None
        found = [connection.transport for connection in self._web.connections]
        return [_stream(t) for t in found if t is not None and not t.is_closing()]

    def _cut_all(self) -> None:
        for transport in [*self._transports(), *self._held]:
            transport.abort()
        self._held.clear()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if self.outage == "503":
            return _web(self.venue.unavailable(503))
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._listen(request)
        try:
            body = await _body(request)
        except web.HTTPRequestEntityTooLarge:
            return _web(self.venue.oversized())
        answer = self.venue.respond(_request(request, body), self._clock.time_ns())
        self.flush()
        return _web(answer)

    async def _listen(self, request: web.BaseRequest) -> web.StreamResponse:
        asked = _request(request, b"")
        found = self.venue.open_subscriber(asked, self._clock.time_ns())
        if isinstance(found, Response):
            return _web(found)
        socket = web.WebSocketResponse(
            heartbeat=PING_SECONDS, compress=False, max_msg_size=MESSAGE_BYTES_MAX
        )
        await socket.prepare(request)
        transport = request.transport
        if transport is None:
            self.venue.leave(found, self._clock.time_ns())
            return socket
        listener = _Listener(found, _stream(transport), self._clock.monotonic_ns())
        self._listeners.add(listener)
        self.flush()
        try:
            async for message in socket:
                if message.type in {WSMsgType.TEXT, WSMsgType.BINARY}:
                    self.venue.receive(found, message.data, self._clock.time_ns())
                    self.flush()
                    if found.close_code is not None:
                        await socket.close(code=found.close_code)
        finally:
            self._listeners.discard(listener)
            self.venue.leave(found, self._clock.time_ns())
        return socket


def _stream(transport: asyncio.BaseTransport) -> asyncio.Transport:
    # uvloop's transports have a Transport's methods without being one.
    return cast("asyncio.Transport", transport)


async def _body(request: web.BaseRequest) -> bytes:
    return await request.read() if request.body_exists else b""


def _request(request: web.BaseRequest, body: bytes) -> Request:
    path, _, query = request.raw_path.partition("?")
    headers = {name.lower(): value for name, value in request.headers.items()}
    address = request.remote or ""
    return Request(request.method, path, query, body, headers=headers, address=address)


def _web(answer: Response) -> web.Response:
    return web.Response(
        status=answer.status,
        body=answer.body,
        headers=answer.headers,
        content_type=answer.content_type,
    )


async def listen(
    factory: Callable[[], asyncio.BaseProtocol], host: str, port: int
) -> asyncio.Server:
    """Open a listening port, or say in one sentence why not."""
    loop = asyncio.get_running_loop()
    creation: Coroutine[Any, Any, asyncio.Server] = loop.create_server(
        factory, host, port, backlog=BACKLOG, reuse_address=True
    )
    try:
        return await creation
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            msg = f"port {port} on {host} is already in use"
        else:
            msg = f"cannot listen on {host}:{port}: {error.strerror or error}"
        raise SettingsError(msg) from None

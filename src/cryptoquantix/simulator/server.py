"""
The sockets of one simulated venue: HTTP and WebSocket on one port, and its faults.

Slow readers are dropped once too much waits for them. A request, a message or a
connection that is malformed never ends the process. What a fault does to a request
or a message is decided by the board and carried out here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final

import numpy as np
from aiohttp import WSMessage, WSMsgType, web

from cryptoquantix.core.clock import Clock
from cryptoquantix.simulator.delay import NO_DELAY, Delay, Outbox
from cryptoquantix.simulator.edges import (
    cut,
    listen,
    object_of,
    request_of,
    response_of,
    stream_of,
    web_answer,
)
from cryptoquantix.simulator.fault_kinds import ANSWERS, OUTAGES, WAITS, Kind
from cryptoquantix.simulator.fault_words import (
    answer,
    handshake_answer,
    message_answer,
    message_kinds,
    with_wrong_numbers,
)
from cryptoquantix.simulator.faults import Active, FaultBoard
from cryptoquantix.simulator.frame_gate import (
    FrameClass,
    FrameGate,
    frame_class,
    payload_of,
)
from cryptoquantix.simulator.listener import Listener
from cryptoquantix.simulator.venue import SimulatedVenue
from cryptoquantix.simulator.waiting_room import (
    BODY_SECONDS,
    HEAD_SECONDS,
    WaitingRoom,
)
from cryptoquantix.simulator.wire.messages import Request, Response, Subscriber

MESSAGE_BYTES_MAX: Final = 65_536
GOING_AWAY: Final = 1001
HOLD_STEP_SECONDS: Final = 0.1
_HANDSHAKE = (Kind.HANDSHAKE_REFUSED, Kind.MAINTENANCE)
_SILENT = (Kind.HALF_OPEN, Kind.NO_PONG)


class _Refusing(asyncio.Protocol):
    """A connection that is reset at once."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        stream_of(transport).abort()


class _Hanging(asyncio.Protocol):
    """A connection that is accepted and never answered."""

    def __init__(self, held: set[asyncio.Transport]) -> None:
        self._held = held
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = stream_of(transport)
        self._held.add(self._transport)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        if self._transport is not None:
            self._held.discard(self._transport)


class VenueServer:
    """One venue on one port."""

    def __init__(
        self,
        venue: SimulatedVenue,
        clock: Clock,
        board: FaultBoard | None = None,
        *,
        delay: Delay = NO_DELAY,
        head_seconds: float = HEAD_SECONDS,
    ) -> None:
        """``delay`` is of what WebSockets say; ``head_seconds`` a request may take."""
        self._delay = delay
        self._dice = np.random.default_rng(list(venue.name.encode()))
        self._wake: asyncio.TimerHandle | None = None
        self._room = WaitingRoom(self.handle, clock, head_seconds)
        self.venue = venue
        self.outage: str | None = None
        self.listeners: set[Listener] = set()
        self._clock = clock
        self._board = board or FaultBoard()
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
        self._web = self._room.server
        self._server = await listen(self._protocol, host, port)
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Close the port and every connection."""
        for timer in (self._end, self._wake):
            if timer is not None:
                timer.cancel()
        if self._server is not None:
            self._server.close()
        # Another venue's port may have been taken before this one was opened.
        if self._web is not None:
            self._cut_all()
            await self._web.shutdown(1.0)

    def flush(self) -> int:
        """Write what waits for each listener; return the longest queue in bytes."""
        if not self.listeners:
            return 0
        monotonic_ns = self._clock.monotonic_ns()
        silent = self.outage in {"hang", "refuse"}
        waiting = max(
            x.flush(monotonic_ns, silent=silent) for x in tuple(self.listeners)
        )
        if not self._delay.is_none and self._wake is None:
            self._set_alarm(monotonic_ns)
        return waiting

    def _set_alarm(self, monotonic_ns: int) -> None:
        """Come back when the next batch of any reader is due."""
        due = [
            x.outbox.due_ns
            for x in self.listeners
            if x.outbox is not None and x.outbox.due_ns is not None
        ]
        if due:
            seconds = max(0, min(due) - monotonic_ns) / 1e9
            self._wake = asyncio.get_running_loop().call_later(seconds, self._woken)

    def _woken(self) -> None:
        self._wake = None
        self.flush()

    def patrol(self) -> None:
        """Close what is idle or too old; called about every second."""
        self._room.patrol()
        now_ns = self._clock.monotonic_ns()
        for listener in tuple(self.listeners):
            if listener.is_overdue(now_ns) and not listener.transport.is_closing():
                listener.close(GOING_AWAY)

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

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request, whichever port it came in by."""
        if self.outage is not None:
            return await self._fail(request)
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._listen(request)
        body = await self._body(request)
        if isinstance(body, Response):
            return web_answer(body)
        asked = request_of(request, body)
        if not self._board.is_quiet:
            return await self._answer_faulty(request, asked)
        answered = self.venue.respond(asked, self._time_ns())
        self.flush()
        return web_answer(answered)

    async def _body(self, request: web.BaseRequest) -> bytes | Response:
        """Return a request's body, or the answer to one too large or too slow."""
        if not request.body_exists:
            return b""
        try:
            async with asyncio.timeout(BODY_SECONDS):
                return await request.read()
        except web.HTTPRequestEntityTooLarge:
            return self.venue.oversized()
        except TimeoutError:
            return self.venue.unavailable(408)

    async def _fail(self, request: web.BaseRequest) -> web.StreamResponse:
        if self.outage == "503":
            return web_answer(self.venue.unavailable(503))
        return await self._swallow(request)

    def _time_ns(self) -> int:
        return self._clock.time_ns() + self.venue.skew_ns

    def _protocol(self) -> asyncio.BaseProtocol:
        if self.outage == "refuse":
            return _Refusing()
        if self.outage == "hang":
            return _Hanging(self._held)
        assert self._web is not None
        return self._web()

    def _transports(self) -> list[asyncio.Transport]:
        assert self._web is not None
        found = {c.transport for c in self._web.connections if c.transport is not None}
        found |= {x.transport for x in self.listeners}
        return [stream_of(t) for t in found if not t.is_closing()]

    def _cut_all(self) -> None:
        for transport in [*self._transports(), *self._held]:
            transport.abort()
        self._held.clear()

    # What faults do to requests.

    async def _answer_faulty(
        self, request: web.BaseRequest, asked: Request
    ) -> web.StreamResponse:
        body = asked.body.decode(errors="replace")
        text = f"{asked.method} {asked.path}?{asked.query}&{body}"
        await asyncio.sleep(self._wait_seconds(text))
        struck = self._strike(ANSWERS, text)
        if struck is not None:
            return web_answer(self._refuse(asked, struck))
        answered = self.venue.respond(asked, self._time_ns())
        self.flush()
        wrong = self._strike((Kind.WRONG_NUMBERS,), text)
        if wrong is not None:
            self._note(wrong, f"the answer to {asked.method} {asked.path} is wrong")
            answered.body = with_wrong_numbers(answered.body, wrong)
        late = self._strike((Kind.LATE_ANSWER,), text)
        if late is not None:
            await asyncio.sleep(late.wait_ns() / 1e9)
        lost = self._strike((Kind.LOST_ANSWER,), text)
        if lost is not None:
            self._note(lost, f"the answer to {asked.method} {asked.path} is lost")
            if lost.fault.mode == "cut":
                cut(request)
            return await self._swallow(request, lost.end_ns)
        return web_answer(answered)

    def _strike(self, kinds: Iterable[Kind], text: str) -> Active | None:
        now_ns = self._clock.monotonic_ns()
        return self._board.strike(kinds, self.venue.name, text, now_ns)

    def _wait_seconds(self, text: str) -> float:
        struck = self._strike(WAITS, text)
        return struck.wait_ns() / 1e9 if struck is not None else 0.0

    def _refuse(self, asked: Request, struck: Active) -> Response:
        time_ns = self._time_ns()
        said = answer(self.venue.name, struck, self._clock.monotonic_ns(), time_ns)
        response = response_of(said)
        response.notes = (f"fault {struck.kind.value}",)
        self.venue.log_request(asked.method, asked.path, response, time_ns)
        return response

    async def _swallow(
        self, request: web.BaseRequest, end_ns: int | None = None
    ) -> web.StreamResponse:
        """Hold a request without an answer until its time is up, then cut it."""
        transport = request.transport
        while transport is not None and not transport.is_closing():
            if end_ns is None and self.outage != "hang":
                break
            if end_ns is not None and self._clock.monotonic_ns() >= end_ns:
                break
            await asyncio.sleep(HOLD_STEP_SECONDS)
        cut(request)
        return web.Response(status=500)

    def _note(self, active: Active, text: str) -> None:
        self.venue.record.add(
            "fault",
            self._clock.time_ns(),
            venue=self.venue.name,
            fault=active.kind.value,
            id=active.id,
            event=text,
        )

    # WebSocket.

    async def _listen(self, request: web.BaseRequest) -> web.StreamResponse:
        asked = request_of(request, b"")
        if not self._board.is_quiet:
            struck = self._strike(_HANDSHAKE, f"GET {asked.path}?{asked.query}")
            if struck is not None:
                self._note(struck, "handshake refused")
                now_ns = self._clock.monotonic_ns()
                return web_answer(response_of(handshake_answer(struck, now_ns)))
        found = self.venue.open_subscriber(asked, self._time_ns())
        if isinstance(found, Response):
            return web_answer(found)
        socket = web.WebSocketResponse(
            heartbeat=self.venue.ping_seconds,
            autoping=False,
            compress=False,
            max_msg_size=MESSAGE_BYTES_MAX,
        )
        await socket.prepare(request)
        transport = request.transport
        if transport is None:
            self.venue.leave(found, self._time_ns())
            return socket
        listener = Listener(
            found,
            stream_of(transport),
            FrameGate(self._board, self.venue.name),
            path=request.raw_path,
            now_ns=self._clock.monotonic_ns(),
            outbox=None if self._delay.is_none else Outbox(self._delay, self._dice),
        )
        self.listeners.add(listener)
        self.flush()
        try:
            async for message in socket:
                await self._on_message(socket, listener, message)
                if found.close_code is not None:
                    listener.hurry()
                    await socket.close(code=found.close_code)
        finally:
            self.listeners.discard(listener)
            self.venue.leave(found, self._time_ns())
        return socket

    async def _on_message(
        self, socket: web.WebSocketResponse, listener: Listener, message: WSMessage
    ) -> None:
        listener.heard_ns = self._clock.monotonic_ns()
        if message.type is WSMsgType.PING:
            if not self._is_silent():
                await socket.pong(message.data)
        elif message.type in {WSMsgType.TEXT, WSMsgType.BINARY}:
            if self._board.is_quiet:
                self._receive(listener.subscriber, message.data)
            else:
                await self._receive_faulty(listener, message.data)

    def _is_silent(self) -> bool:
        if self._board.is_quiet:
            return False
        now_ns = self._clock.monotonic_ns()
        return bool(self._board.under_way(_SILENT, self.venue.name, now_ns))

    def _receive(self, subscriber: Subscriber, data: str | bytes) -> None:
        self.venue.receive(subscriber, data, self._time_ns())
        self.flush()

    async def _receive_faulty(self, listener: Listener, data: str | bytes) -> None:
        text = data if isinstance(data, str) else data.decode(errors="replace")
        slow = self._strike((Kind.SLOW_AUTH,), text)
        if slow is not None:
            # Only the login waits: what comes after it is heard before it.
            loop = asyncio.get_running_loop()
            loop.call_later(
                slow.wait_ns() / 1e9, self._receive, listener.subscriber, data
            )
            return
        late = self._strike((Kind.LATENCY,), text)
        if late is not None:
            await asyncio.sleep(late.wait_ns() / 1e9)
        struck = self._strike(message_kinds(self.venue.name), text)
        if struck is not None:
            self._note(struck, "message refused")
            now_ns = self._clock.monotonic_ns()
            asked = object_of(text)
            listener.say(message_answer(self.venue.name, struck, asked, now_ns))
            self.flush()
            return
        before = len(listener.subscriber.frames)
        self.venue.receive(listener.subscriber, data, self._time_ns())
        lost = self._strike((Kind.LOST_ANSWER,), text)
        if lost is not None:
            self._note(lost, "the answer to a message is lost")
            _forget_answers(listener.subscriber.frames, before)
        self.flush()


def _forget_answers(frames: list[bytes], since: int) -> None:
    frames[since:] = [
        f for f in frames[since:] if frame_class(payload_of(f)) is not FrameClass.ANSWER
    ]

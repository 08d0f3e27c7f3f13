"""
One market-data WebSocket that stays up: it dials, subscribes and dials again.

It decodes nothing and knows no venue. A session begins when the venue has confirmed
every subscription and ends with the socket. A dead socket is told from a quiet market
by pings, in the venue's own words: no data for a while asks for a pong, and no pong
ends the session.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from picows import (
    WSAutoPingStrategy,
    WSError,
    WSFrame,
    WSListener,
    WSMsgType,
    WSTransport,
    ws_connect,
)

from cryptoquantix.core.clock import NS_PER_SECOND, Clock
from cryptoquantix.venues.backoff import Backoff
from cryptoquantix.venues.dialect import (
    Answer,
    PingPolicy,
    Reply,
    SocketPlan,
    StreamDialect,
)
from cryptoquantix.venues.feed import FeedDecoder

_DIAL_SECONDS: Final = 5.0
_ACKNOWLEDGE_SECONDS: Final = 5.0
_IDLE_SECONDS: Final = 5.0
_PONG_SECONDS: Final = 5.0
_CLOSE_SECONDS: Final = 1.0
_FRAME_BYTES_MAX: Final = 1024 * 1024
_PONG_BYTES_MAX: Final = 400
_STABLE_NS: Final = 5 * NS_PER_SECOND

_log = logging.getLogger(__name__)


class MarketSocket:
    """
    A socket as planned, for as long as :meth:`run` runs.

    Parameters
    ----------
    plan : SocketPlan
        Where to dial, and what to subscribe to.
    dialect : StreamDialect
        How to ask for it.
    decoder : FeedDecoder
        Takes every text frame, and is told of every new session.
    backoff : Backoff
        How long to wait between sessions.
    clock : Clock
        Tells how long a session lasted.
    """

    def __init__(  # noqa: PLR0917 - five parts, all needed
        self,
        plan: SocketPlan,
        dialect: StreamDialect,
        decoder: FeedDecoder,
        backoff: Backoff,
        clock: Clock,
    ) -> None:
        assert plan.streams, "a socket subscribes to something"
        self.plan = plan
        self.url = plan.url
        self.reconnects = 0
        self.subscribed_monotonic_ns = -1
        self._dialect = dialect
        self._decoder = decoder
        self._decode = decoder.decode if plan.trade_symbols else decoder.decode_quotes
        self._backoff = backoff
        self._clock = clock
        self._transport: WSTransport | None = None

    @property
    def is_connected(self) -> bool:
        """Whether every subscription of a live session was acknowledged."""
        return self.subscribed_monotonic_ns >= 0

    async def run(self) -> None:
        """Keep a session up, for ever; cancellation closes the socket."""
        while True:
            reason = await self._session()
            _log.warning(
                "market data socket ended",
                extra={"address": self.url, "reason": reason},
            )
            await asyncio.sleep(self._backoff.next_seconds())
            self.reconnects += 1

    def restart(self, reason: str) -> None:
        """End the session, if there is one, so that a new one is dialed."""
        if self._transport is not None:
            _log.warning(
                "market data socket given up",
                extra={"address": self.url, "reason": reason},
            )
            self._transport.disconnect(graceful=False)

    async def _session(self) -> str:
        try:
            return await self._dial_and_listen()
        except (OSError, TimeoutError, WSError) as error:
            return str(error) or type(error).__name__
        finally:
            self.subscribed_monotonic_ns = -1
            transport, self._transport = self._transport, None
            if transport is not None:
                await _close(transport)

    async def _dial_and_listen(self) -> str:
        ping = self._dialect.ping
        listener = _Listener(self._decoder, self._decode, ping)
        plan = self.plan
        self._decoder.begin_session(
            plan.trade_symbols, plan.quote_symbols, plan.mark_symbols
        )
        # Some venues drop a connection that is never pinged, however busy it is.
        strategy = (
            WSAutoPingStrategy.PING_PERIODICALLY
            if ping.is_periodic
            else WSAutoPingStrategy.PING_WHEN_IDLE
        )
        # Its own bound is of the handshake: a host that swallows packets would keep
        # the name and TCP part before it waiting for minutes.
        async with asyncio.timeout(2 * _DIAL_SECONDS):
            self._transport, _ = await ws_connect(
                lambda: listener,
                self.url,
                websocket_handshake_timeout=_DIAL_SECONDS,
                enable_auto_ping=True,
                auto_ping_idle_timeout=_IDLE_SECONDS,
                auto_ping_reply_timeout=_PONG_SECONDS,
                auto_ping_strategy=strategy,
                max_frame_size=_FRAME_BYTES_MAX,
                logger_name="feed",
            )
        await self._subscribe(self._transport, listener)
        self.subscribed_monotonic_ns = self._clock.monotonic_ns()
        _log.info(
            "market data subscribed",
            extra={"address": self.url, "streams": len(self.plan.streams)},
        )
        await self._transport.wait_disconnected()
        lasted_ns = self._clock.monotonic_ns() - self.subscribed_monotonic_ns
        if lasted_ns >= _STABLE_NS:
            self._backoff.reset()
        return f"closed after {lasted_ns / NS_PER_SECOND:.1f} s"

    async def _subscribe(self, transport: WSTransport, listener: _Listener) -> None:
        requests = self._dialect.requests(self.plan.streams)
        for request_id, (message, wanted) in enumerate(requests, 1):
            transport.send(WSMsgType.TEXT, message)
            async with asyncio.timeout(_ACKNOWLEDGE_SECONDS):
                answer = await listener.answer()
            if answer is None:
                msg = "closed before the subscription was acknowledged"
                raise ConnectionResetError(msg)
            if answer.error or answer.id != request_id:
                msg = f"subscription {request_id} of {len(requests)} {answer.error}"
                raise ConnectionRefusedError(msg)
            missing = set(wanted).difference(answer.streams or ())
            if missing:
                msg = f"{len(missing)} streams not confirmed, as {min(missing)}"
                raise ConnectionRefusedError(msg)


class _Listener(WSListener):
    """Passes frames to the decoder, and its pending ticks on once per turn."""

    def __init__(
        self,
        decoder: FeedDecoder,
        decode: Callable[[bytes | memoryview], Answer | Reply | None],
        ping: PingPolicy,
    ) -> None:
        self._decoder = decoder
        self._decode = decode
        self._ping = ping
        self._transport: WSTransport | None = None
        self._answers: asyncio.Queue[Answer | None] = asyncio.Queue(16)
        self._parts: list[bytes] = []
        self._parts_bytes = 0
        self._call_soon: Callable[[Callable[[], None]], object] = (
            asyncio.get_running_loop().call_soon
        )

    async def answer(self) -> Answer | None:
        """Return the next answer to a request, or None once the socket is gone."""
        return await self._answers.get()

    def send_user_specific_ping(self, transport: WSTransport) -> None:
        """Ask whether the connection lives; called by picows when it is time to."""
        if self._ping.message is None:
            transport.send_ping()
        else:
            transport.send(WSMsgType.TEXT, self._ping.message)

    def is_user_specific_pong(self, frame: WSFrame) -> bool:
        """Return whether a frame answers the ping; called while one is awaited."""
        if self._ping.message is None:
            return frame.msg_type is WSMsgType.PONG
        if frame.msg_type is not WSMsgType.TEXT:
            return False
        payload = frame.get_payload_as_memoryview()
        return len(payload) < _PONG_BYTES_MAX and self._ping.mark in bytes(payload)

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Keep the transport, to reply on it; called by picows."""
        self._transport = transport

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Take one frame; called by picows for each."""
        if frame.msg_type is WSMsgType.TEXT and frame.fin:
            self._on_text(frame.get_payload_as_memoryview())
        elif frame.msg_type is WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code())
            transport.disconnect()
        elif frame.msg_type in {WSMsgType.TEXT, WSMsgType.CONTINUATION}:
            self._on_part(transport, frame)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """Wake whoever waits for an answer; called by picows at the end."""
        del transport
        self._put_answer(None)

    def _on_text(self, payload: bytes | memoryview) -> None:
        decoder = self._decoder
        was_pending = decoder.has_pending
        answer = self._decode(payload)
        if decoder.has_pending and not was_pending:
            self._call_soon(decoder.flush)
        if answer is not None:
            self._on_answer(answer)

    def _on_answer(self, answer: Answer | Reply) -> None:
        if isinstance(answer, Answer):
            self._put_answer(answer)
        elif self._transport is not None:
            self._transport.send(WSMsgType.TEXT, answer.payload)

    def _on_part(self, transport: WSTransport, frame: WSFrame) -> None:
        part = frame.get_payload_as_bytes()
        self._parts_bytes += len(part)
        if self._parts_bytes > _FRAME_BYTES_MAX:
            transport.disconnect(graceful=False)
            return
        self._parts.append(part)
        if frame.fin:
            whole = b"".join(self._parts)
            self._parts, self._parts_bytes = [], 0
            self._on_text(whole)

    def _put_answer(self, answer: Answer | None) -> None:
        if self._answers.full():
            self._answers.get_nowait()
        self._answers.put_nowait(answer)


async def _close(transport: WSTransport) -> None:
    """Close politely, within a bound; a peer that does not answer is cut off."""
    if transport.is_disconnected:
        return
    transport.send_close()
    transport.disconnect()
    try:
        async with asyncio.timeout(_CLOSE_SECONDS):
            await transport.wait_disconnected()
    except (TimeoutError, OSError, WSError):
        transport.disconnect(graceful=False)

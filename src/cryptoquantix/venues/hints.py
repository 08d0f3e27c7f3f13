"""
The venues' private streams as hints that something changed; they tell nothing else.

Private messages are lost, doubled and overtaken. So none is read for what it says: any
message, and every new session, says only "look now", and what there is to see is asked
over REST. A stream that is down costs seconds, never the truth.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Protocol

from picows import (
    WSAutoPingStrategy,
    WSError,
    WSFrame,
    WSListener,
    WSMsgType,
    WSTransport,
    ws_connect,
)

from cryptoquantix.core.clock import NS_PER_MS, NS_PER_SECOND, Clock
from cryptoquantix.core.errors import CryptoquantixError
from cryptoquantix.venues.backoff import Backoff

_LOG = logging.getLogger(__name__)

_DIAL_SECONDS: Final = 5.0
_IDLE_SECONDS: Final = 15.0
_PONG_SECONDS: Final = 5.0
_STABLE_NS: Final = 5 * NS_PER_SECOND
_FRAME_BYTES_MAX: Final = 1024 * 1024
_LOGIN_NS: Final = 10 * NS_PER_SECOND
_KEEP_SECONDS: Final = 25 * 60.0
_HEARTBEAT_SECONDS: Final = 30


@dataclass(frozen=True, slots=True)
class Session:
    """Where to dial and what to say first."""

    url: str
    logins: tuple[str, ...] = ()


class HintDialect(Protocol):
    """How one venue's private stream is opened and kept."""

    async def open(self) -> Session:
        """Return the next session's address and first messages."""
        ...

    async def keep(self) -> None:
        """Keep the session alive; called every 25 minutes."""
        ...

    def reply(self, payload: bytes) -> str:
        """Return what a message asks for in answer, or nothing."""
        ...

    def is_over(self, payload: bytes) -> bool:
        """Return whether a message says that the session is worth nothing more."""
        ...


class BinanceHints:
    """The user data stream, by a listen key that is renewed."""

    def __init__(
        self,
        ws: str,
        listen_key: Callable[[], Awaitable[str]],
        keep_listen_key: Callable[[], Awaitable[None]],
    ) -> None:
        self._ws = ws.rstrip("/")
        self._listen_key = listen_key
        self._keep_listen_key = keep_listen_key

    async def open(self) -> Session:
        """Ask for a listen key."""
        key = await self._listen_key()
        return Session(f"{self._ws}/private/ws?listenKey={key}")

    async def keep(self) -> None:
        """Renew the listen key, which holds for an hour."""
        await self._keep_listen_key()

    def reply(self, payload: bytes) -> str:
        """Nothing is asked for."""
        del payload
        return ""

    def is_over(self, payload: bytes) -> bool:
        """Return whether the key ran out: the socket stays open and is mute."""
        return b'"listenKeyExpired"' in payload


class BybitHints:
    """The private topics; ``dcp.future`` counts us for the disconnection protection."""

    def __init__(self, ws: str, key: str, secret: str, clock: Clock) -> None:
        self._ws = ws.rstrip("/")
        self._key = key
        self._secret = secret
        self._clock = clock

    async def open(self) -> Session:
        """Sign a login and name the topics."""
        expires = (self._clock.time_ns() + _LOGIN_NS) // NS_PER_MS
        signature = _sign(self._secret, f"GET/realtime{expires}")
        login = {"op": "auth", "args": [self._key, expires, signature]}
        topics = {
            "op": "subscribe",
            "args": ["order", "execution", "position", "dcp.future"],
        }
        url = f"{self._ws}/v5/private"
        return Session(url, (json.dumps(login), json.dumps(topics)))

    async def keep(self) -> None:
        """Nothing is to be renewed."""

    def reply(self, payload: bytes) -> str:
        """Nothing is asked for."""
        del payload
        return ""

    def is_over(self, payload: bytes) -> bool:
        """Return whether the login or a topic was refused."""
        return b'"success":false' in payload.replace(b" ", b"")


class DeribitHints:
    """Orders and trades of every instrument, over JSON-RPC."""

    def __init__(self, ws: str, key: str, secret: str, clock: Clock) -> None:
        self._ws = ws.rstrip("/")
        self._key = key
        self._secret = secret
        self._clock = clock

    async def open(self) -> Session:
        """Sign a login, ask for heartbeats and subscribe."""
        stamp = self._clock.time_ns() // NS_PER_MS
        nonce = f"hints{stamp}"
        login = {
            "grant_type": "client_signature",
            "client_id": self._key,
            "timestamp": stamp,
            "nonce": nonce,
            "data": "",
            "signature": _sign(self._secret, f"{stamp}\n{nonce}\n"),
        }
        channels = [f"user.{what}.any.any.raw" for what in ("orders", "trades")]
        calls: tuple[tuple[str, dict[str, object]], ...] = (
            ("public/auth", login),
            ("public/set_heartbeat", {"interval": _HEARTBEAT_SECONDS}),
            ("private/subscribe", {"channels": channels}),
        )
        return Session(
            f"{self._ws}/ws/api/v2",
            tuple(_rpc(number, *call) for number, call in enumerate(calls, 1)),
        )

    async def keep(self) -> None:
        """Nothing is to be renewed."""

    def reply(self, payload: bytes) -> str:
        """Answer a heartbeat that asks whether we live."""
        return _rpc(9, "public/test", {}) if b'"test_request"' in payload else ""

    def is_over(self, payload: bytes) -> bool:
        """Return whether a call was refused."""
        return b'"error"' in payload


class HintStream:
    """
    Calls ``on_hint`` whenever something may have changed, while :meth:`run` runs.

    Parameters
    ----------
    venue : str
        For the log.
    dialect : HintDialect
        How the venue's private stream is opened.
    on_hint : callable
        Called in the loop's own thread; must not block.
    """

    def __init__(
        self,
        venue: str,
        dialect: HintDialect,
        on_hint: Callable[[], None],
        *,
        backoff: Backoff,
        clock: Clock,
    ) -> None:
        self._venue = venue
        self._dialect = dialect
        self._on_hint = on_hint
        self._backoff = backoff
        self._clock = clock
        self.sessions = 0

    async def run(self) -> None:
        """Keep a session up for ever; cancellation closes it."""
        while True:
            began_ns = self._clock.monotonic_ns()
            try:
                await self._session()
                reason = "closed"
            except (OSError, TimeoutError, WSError, CryptoquantixError) as error:
                reason = str(error) or type(error).__name__
            extra = {"venue": self._venue, "reason": reason}
            _LOG.warning("private stream ended", extra=extra)
            if self._clock.monotonic_ns() - began_ns >= _STABLE_NS:
                self._backoff.reset()
            await asyncio.sleep(self._backoff.next_seconds())

    async def _session(self) -> None:
        session = await self._dialect.open()
        listener = _Listener(self._dialect, self._on_hint)
        async with asyncio.timeout(2 * _DIAL_SECONDS):
            transport, _ = await ws_connect(
                lambda: listener,
                session.url,
                websocket_handshake_timeout=_DIAL_SECONDS,
                enable_auto_ping=True,
                auto_ping_idle_timeout=_IDLE_SECONDS,
                auto_ping_reply_timeout=_PONG_SECONDS,
                auto_ping_strategy=WSAutoPingStrategy.PING_PERIODICALLY,
                max_frame_size=_FRAME_BYTES_MAX,
                logger_name="hints",
            )
        keeper = asyncio.create_task(self._keep())
        try:
            for message in session.logins:
                transport.send(WSMsgType.TEXT, message.encode())
            self.sessions += 1
            # What happened while there was no stream is seen now.
            self._on_hint()
            await transport.wait_disconnected()
        finally:
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)
            transport.disconnect(graceful=False)

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(_KEEP_SECONDS)
            try:
                await self._dialect.keep()
            except CryptoquantixError as error:
                _LOG.warning("the private stream was not renewed: %s", error)


class _Listener(WSListener):
    """Takes every message for a hint."""

    def __init__(self, dialect: HintDialect, on_hint: Callable[[], None]) -> None:
        self._dialect = dialect
        self._on_hint = on_hint

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Take one frame; called by picows for each."""
        if frame.msg_type is WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code())
            transport.disconnect()
        elif frame.msg_type in {WSMsgType.TEXT, WSMsgType.CONTINUATION}:
            payload = frame.get_payload_as_bytes()
            answer = self._dialect.reply(payload)
            if answer:
                transport.send(WSMsgType.TEXT, answer.encode())
            elif self._dialect.is_over(payload):
                _LOG.warning("private stream refused: %s", payload[:200])
                transport.disconnect(graceful=False)
            else:
                self._on_hint()


def _sign(secret: str, text: str) -> str:
    return hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()


def _rpc(number: int, method: str, params: dict[str, object]) -> str:
    call = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
    return json.dumps(call)

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
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

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
from cryptoquantix.core.errors import CryptoquantixError
from cryptoquantix.venues.backoff import Backoff

_LOG = logging.getLogger(__name__)

_DIAL_SECONDS: Final = 5.0
_IDLE_SECONDS: Final = 15.0
_PONG_SECONDS: Final = 5.0
_STABLE_NS: Final = 5 * NS_PER_SECOND
_FRAME_BYTES_MAX: Final = 1024 * 1024
_LOGIN_MS: Final = 10_000
_KEEP_SECONDS: Final = 25 * 60.0
_PING_SECONDS: Final = 15.0
_HEARTBEAT_SECONDS: Final = 30
_ALIVE_ID: Final = 9


@dataclass(frozen=True, slots=True)
class Session:
    """
    Where to dial, what to say first, and what to say every 15 seconds if anything.

    Nothing more is said before that first word is answered: a venue may refuse to
    subscribe whom it does not know yet.
    """

    url: str
    login: str = ""
    ping: str = ""


class Heard(NamedTuple):
    """
    What a message asks for: answers, another look, or an end to the session.

    ``is_over`` where it says that the session is worth nothing more.
    """

    replies: tuple[str, ...] = ()
    is_hint: bool = True
    is_over: bool = False


class HintDialect(Protocol):
    """How one venue's private stream is opened and kept."""

    async def open(self) -> Session:
        """Return the next session's address and first message."""
        ...

    async def keep(self) -> None:
        """Keep the session alive; called every 25 minutes."""
        ...

    def hear(self, payload: bytes) -> Heard:
        """Return what a message means."""
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

    def hear(self, payload: bytes) -> Heard:
        """Take everything for a hint; a key that ran out leaves the socket mute."""
        return Heard(is_over=b'"listenKeyExpired"' in payload)


class _SignedHints:
    """A stream that is opened by a login, signed at the venue's time."""

    def __init__(
        self, ws: str, key: str, secret: str, venue_time_ms: Callable[[], int]
    ) -> None:
        self._ws = ws.rstrip("/")
        self._key = key
        self._secret = secret
        self._venue_time_ms = venue_time_ms

    async def keep(self) -> None:
        """Nothing is to be renewed."""


class BybitHints(_SignedHints):
    """The private topics; ``dcp.future`` counts us for the disconnection protection."""

    async def open(self) -> Session:
        """Sign a login. The venue closes what has been silent for ten minutes."""
        expires = self._venue_time_ms() + _LOGIN_MS
        signature = _sign(self._secret, f"GET/realtime{expires}")
        login = {"op": "auth", "args": [self._key, expires, signature]}
        ping = json.dumps({"op": "ping"})
        return Session(f"{self._ws}/v5/private", json.dumps(login), ping)

    def hear(self, payload: bytes) -> Heard:
        """Subscribe once the login is taken; end where it or a topic is refused."""
        text = payload.replace(b" ", b"")
        if b'"success":false' in text:
            return Heard(is_over=True)
        if b'"op":"pong"' in text:
            return Heard(is_hint=False)
        if b'"op":"auth"' in text:
            names = ["order", "execution", "position", "dcp.future"]
            return Heard((json.dumps({"op": "subscribe", "args": names}),))
        return Heard()


class DeribitHints(_SignedHints):
    """Orders and trades of every instrument, over JSON-RPC."""

    async def open(self) -> Session:
        """Sign a login."""
        stamp = self._venue_time_ms()
        nonce = f"hints{stamp}"
        login = {
            "grant_type": "client_signature",
            "client_id": self._key,
            "timestamp": stamp,
            "nonce": nonce,
            "data": "",
            "signature": _sign(self._secret, f"{stamp}\n{nonce}\n"),
        }
        return Session(f"{self._ws}/ws/api/v2", _rpc(1, "public/auth", login))

    def hear(self, payload: bytes) -> Heard:
        """
        Subscribe once the login is taken, and answer whether we live.

        The session ends where a call was refused.
        """
        if b'"error"' in payload:
            return Heard(is_over=True)
        if b'"access_token"' in payload:
            channels = [f"user.{what}.any.any.raw" for what in ("orders", "trades")]
            interval = {"interval": _HEARTBEAT_SECONDS}
            return Heard(
                (
                    _rpc(2, "public/set_heartbeat", interval),
                    _rpc(3, "private/subscribe", {"channels": channels}),
                )
            )
        if b'"test_request"' in payload:
            return Heard((_rpc(_ALIVE_ID, "public/test", {}),), is_hint=False)
        return Heard(is_hint=b'"heartbeat"' not in payload)


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
        keepers = [asyncio.create_task(self._keep(transport))]
        if session.ping:
            ping = session.ping.encode()
            keepers.append(asyncio.create_task(_ping(transport, ping)))
        try:
            if session.login:
                transport.send(WSMsgType.TEXT, session.login.encode())
            self.sessions += 1
            # What happened while there was no stream is seen now.
            self._on_hint()
            await transport.wait_disconnected()
        finally:
            for keeper in keepers:
                keeper.cancel()
            await asyncio.gather(*keepers, return_exceptions=True)
            transport.disconnect(graceful=False)

    async def _keep(self, transport: WSTransport) -> None:
        while True:
            await asyncio.sleep(_KEEP_SECONDS)
            try:
                await self._dialect.keep()
            except CryptoquantixError as error:
                # Unrenewed it would fall mute without a word: a new one is asked for.
                _LOG.warning("the private stream was not renewed: %s", error)
                transport.disconnect(graceful=False)
                return


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
            heard = self._dialect.hear(payload)
            if heard.is_over:
                _LOG.warning("private stream refused: %s", payload[:200])
                transport.disconnect(graceful=False)
                return
            for reply in heard.replies:
                transport.send(WSMsgType.TEXT, reply.encode())
            if heard.is_hint:
                self._on_hint()


async def _ping(transport: WSTransport, payload: bytes) -> None:
    while True:
        await asyncio.sleep(_PING_SECONDS)
        transport.send(WSMsgType.TEXT, payload)


def _sign(secret: str, text: str) -> str:
    return hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()


def _rpc(number: int, method: str, params: Mapping[str, object]) -> str:
    call = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
    return json.dumps(call)

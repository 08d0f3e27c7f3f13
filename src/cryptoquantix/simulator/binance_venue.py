"""Binance USD-M as a simulated venue: its REST front door and its streams."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import parse_qs

import msgspec

from cryptoquantix.simulator.history import PrintedTrade
from cryptoquantix.simulator.orders import VenueEvent
from cryptoquantix.simulator.record import Record
from cryptoquantix.simulator.rules import BINANCE
from cryptoquantix.simulator.venue import SimulatedVenue
from cryptoquantix.simulator.wire import messages
from cryptoquantix.simulator.wire.binance import BinanceWire
from cryptoquantix.simulator.wire.binance_errors import BinanceError
from cryptoquantix.simulator.wire.binance_streams import BinanceStreams, Subscriber
from cryptoquantix.simulator.wire.messages import Key, Request, Response

PING_SECONDS = 180.0
CONNECTION_LIFE_NS = 86_400_000_000_000
_KEPT = ("listen_keys", "listen_keys_made", "client_ids_made")


class BinanceVenue(SimulatedVenue):
    """A venue that speaks Binance USD-M's protocol."""

    name = "binance"
    ping_seconds = PING_SECONDS

    def __init__(
        self,
        keys: Iterable[Key],
        record: Record,
        *,
        seed: str,
        is_lenient: bool = False,
        is_limited: bool = True,
    ) -> None:
        super().__init__(BINANCE, record)
        self._is_limited = is_limited
        self.wire = BinanceWire(
            self.exchange,
            keys,
            listen_key_seed=seed,
            is_lenient=is_lenient,
            is_limited=is_limited,
        )
        self.streams = BinanceStreams(
            self.wire.state, is_lenient=is_lenient, is_limited=is_limited
        )

    def answer(self, request: Request, time_ns: int) -> Response:
        """Carry out one REST request; never raises for bad input."""
        return self.wire.respond(request, time_ns)

    def open_subscriber(
        self, request: Request, time_ns: int
    ) -> messages.Subscriber | Response:
        """Return the subscriber of a new connection, or why there is none."""
        try:
            self.wire.limits.spend_connection(request.address, time_ns)
        except BinanceError as error:
            refusal = _error(error.status, error.code, error.text)
            refusal.headers["Retry-After"] = str(error.retry_after_seconds)
            return refusal
        streams, is_combined = stream_names(request)
        subscriber = Subscriber(is_combined=is_combined)
        subscriber.life_ns = CONNECTION_LIFE_NS if self._is_limited else 0
        for stream in streams:
            refused = self.streams.subscribe(subscriber, stream)
            if refused:
                self.streams.leave(subscriber)
                return _error(400, -1125, refused)
        return subscriber

    def on_message(
        self, subscriber: messages.Subscriber, text: str | bytes, time_ns: int
    ) -> None:
        """Carry out one WebSocket message."""
        assert isinstance(subscriber, Subscriber), f"{subscriber!r} is another venue's"
        self.streams.receive(subscriber, text, time_ns)

    def on_leave(self, subscriber: messages.Subscriber, time_ns: int) -> None:
        """Forget a subscriber whose connection is gone."""
        del time_ns
        assert isinstance(subscriber, Subscriber), f"{subscriber!r} is another venue's"
        self.streams.leave(subscriber)

    def on_events(self, events: Sequence[VenueEvent]) -> None:
        """Queue user-data events."""
        self.streams.on_events(events)

    def on_trade(self, symbol: str, printed: PrintedTrade, time_ns: int) -> None:
        """Queue an aggTrade."""
        self.streams.on_trade(symbol, printed, time_ns)

    def on_turn(self, time_ns: int) -> None:
        """Queue best quotes and closed bars."""
        self.streams.on_turn(time_ns)

    def on_timer(self, time_ns: int) -> None:
        """Queue depth, mark prices, open bars; listen keys expire."""
        self.streams.on_timer(time_ns)

    def expire_sessions(self, time_ns: int) -> int:
        """Let every listen key expire now; its readers are told."""
        keys = self.wire.state.listen_keys
        count = len(keys)
        for key, (owner, _) in list(keys.items()):
            keys[key] = owner, 0
        self.streams.on_timer(time_ns)
        return count

    def kept(self) -> dict[str, Any]:
        """Return listen keys and counters."""
        state = self.wire.state
        return {name: getattr(state, name) for name in _KEPT}

    def take_back(self, kept: dict[str, Any]) -> None:
        """Take in listen keys and counters."""
        for name in _KEPT:
            setattr(self.wire.state, name, kept[name])

    def unavailable(self, status: int) -> Response:
        """Return -1001 with an HTTP status."""
        return _error(status, -1001, "Service temporarily unavailable.")

    def oversized(self) -> Response:
        """Return the answer to a body that is too large."""
        return _error(413, -1100, "Request body too large.")


def stream_names(request: Request) -> tuple[list[str], bool]:
    """
    Return the streams a WebSocket address names, and whether they are combined.

    ``/ws/<stream>``, ``/stream?streams=a/b``, each also below ``/market``,
    ``/public`` and ``/private``; ``?listenKey=``; a bare number names none.
    """
    path = request.path
    for prefix in ("/market", "/public", "/private"):
        path = path.removeprefix(prefix)
    query = parse_qs(request.query)
    names = query.get("streams", [""])[0].split("/")
    if path.startswith("/ws/"):
        names += path.removeprefix("/ws/").split("/")
    names.append(query.get("listenKey", [""])[0])
    wanted = [name for name in names if name and not name.isdecimal()]
    return wanted, path.startswith("/stream")


def _error(status: int, code: int, text: str) -> Response:
    body = msgspec.json.encode({"code": code, "msg": text})
    return Response(status, body, code=code)

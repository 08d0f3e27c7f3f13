"""
Binance USD-M's streams: sockets, subscriptions and frames; it opens no connection.

Trades are ``aggTrade`` (fills of one aggressor at one price), numbered without holes.
Trades and marks come from ``/market``, best quotes from ``/public``, which carries far
more messages. Trade times are ``T``, event times ``E``. Written from the venue's
documentation and recorded messages.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import batched
from typing import Any, Final

import msgspec

from cryptoquantix.core.clock import NS_PER_MS
from cryptoquantix.core.market import BestQuote
from cryptoquantix.venues.dialect import Answer, PingPolicy, SocketPlan, sharded
from cryptoquantix.venues.feed import BATCH_MAX, FeedDecoder
from cryptoquantix.venues.instrument_stream import InstrumentStream

# The venue allows 1 024 streams a connection (an older page: 200; a socket has 200 at
# most), and ten messages a second from a client.
_STREAMS_PER_REQUEST: Final = 50


class AggTrade(msgspec.Struct, tag_field="e", tag="aggTrade", gc=False):
    """One trade print."""

    E: int
    s: str
    a: int
    p: str
    q: str
    T: int
    m: bool


class BookTicker(msgspec.Struct, tag_field="e", tag="bookTicker", gc=False):
    """Best bid (``b``, size ``B``) and ask (``a``, size ``A``)."""

    E: int
    T: int
    s: str
    b: str
    B: str
    a: str
    A: str


class MarkPrice(msgspec.Struct, tag_field="e", tag="markPriceUpdate", gc=False):
    """Mark price, index price, and the funding rate due at ``T``."""

    E: int
    s: str
    p: str
    i: str
    r: str
    T: int


MarketEvent = AggTrade | BookTicker | MarkPrice


class _Acknowledgement(msgspec.Struct):
    """The answer to a request: ``result`` null, or an ``error``."""

    id: int
    result: Any = None
    error: Any = None


class _Envelope(msgspec.Struct):
    """A combined stream's wrapping of an event."""

    stream: str
    data: msgspec.Raw


_EVENT: Final = msgspec.json.Decoder(MarketEvent)
_ENVELOPE: Final = msgspec.json.Decoder(_Envelope)
_ACKNOWLEDGEMENT: Final = msgspec.json.Decoder(_Acknowledgement)


class BinanceStreams:
    """Which sockets there are, and how one subscribes."""

    ping = PingPolicy()

    def sockets(self, ws_url: str, symbols: Sequence[str]) -> list[SocketPlan]:
        """Return the sockets of ``symbols``, two for each hundred."""
        base = ws_url.rstrip("/")
        return sharded(
            symbols,
            trades=(f"{base}/market/ws", ["{}@aggTrade", "{}@markPrice@1s"]),
            quotes=(f"{base}/public/ws", ["{}@bookTicker"]),
            spell=str.lower,
            marks_come_with="trades",
        )

    def requests(self, streams: Sequence[str]) -> list[tuple[bytes, list[str]]]:
        """Return the subscriptions, fifty streams each."""
        chunks = batched(streams, _STREAMS_PER_REQUEST)
        return [
            (
                msgspec.json.encode(
                    {"method": "SUBSCRIBE", "params": chunk, "id": request_id}
                ),
                [],  # the answer names no stream
            )
            for request_id, chunk in enumerate(chunks, 1)
        ]


class BinanceDecoder(FeedDecoder):
    """Reads Binance's frames; both kinds of socket speak one language."""

    def decode(  # noqa: C901, PLR0912 - the hot path, in one piece: calls cost
        self,
        payload: bytes | memoryview,
        _read: Any = _EVENT.decode,  # noqa: ANN401 - bound once: this is the hot path
    ) -> Answer | None:
        """Take one text frame; return it if it is the answer to a request."""
        try:
            event = _read(payload)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return self._decode_other(payload)
        stream = self.streams.get(event.s)
        if stream is None:
            self._refuse(payload, f"{event.s} was not subscribed to")
            return None
        if not self.has_pending:
            self._begin_turn(event.E)
        try:
            if type(event) is AggTrade:
                price = stream.known_prices.get(event.p) or stream.prices.read(event.p)
                size = stream.known_sizes.get(event.q)
                if size is None:
                    size = stream.sizes.read(event.q)
                trade_id = event.a
                tick = (event.T * NS_PER_MS, price, size, event.m, trade_id)
                if trade_id == stream.next_id:
                    stream.next_id = trade_id + 1
                    ticks = stream.ticks
                    if not ticks:
                        self._pending.append(stream)
                    ticks.append(tick)
                    if len(ticks) >= BATCH_MAX:
                        self._hand_on(stream)
                else:
                    self._take_odd(stream, tick)
            else:
                self._take_other(stream, event)
        except ValueError as error:
            self._misfit(stream, payload, error)
        return None

    def decode_quotes(self, payload: bytes | memoryview) -> Answer | None:
        """Take one text frame of a socket that carries quotes."""
        return self.decode(payload)

    def _take_other(
        self, stream: InstrumentStream, event: BookTicker | MarkPrice
    ) -> None:
        if type(event) is MarkPrice:
            mark = stream.mark
            mark.mark, mark.index, mark.funding_rate = event.p, event.i, event.r
            mark.next_funding_ns = event.T * NS_PER_MS
            mark.time_ns = event.E * NS_PER_MS
            self._take_mark(stream)
        else:
            assert type(event) is BookTicker, "one of the three"
            quote = BestQuote(
                event.T * NS_PER_MS,
                stream.prices.read(event.b),
                stream.sizes.read(event.B),
                stream.prices.read(event.a),
                stream.sizes.read(event.A),
            )
            self._take_quote(stream, quote)

    def _decode_other(self, payload: bytes | memoryview) -> Answer | None:
        try:
            answer = _ACKNOWLEDGEMENT.decode(payload)
            error = "" if answer.error is None else f"refused: {answer.error}"
            return Answer(answer.id, error)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            pass
        try:
            inner = _ENVELOPE.decode(payload).data
            _EVENT.decode(inner)  # an envelope of something else ends here
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            self._refuse(payload, str(error))
            return None
        return self.decode(memoryview(inner))

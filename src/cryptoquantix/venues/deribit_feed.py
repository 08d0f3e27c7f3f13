"""
Deribit's streams: sockets, channels and frames; it opens no connection.

Trades are numbered by ``trade_seq``, per instrument and without holes. Channels are the
ones that need no login (every 100 ms). The venue leaves a channel it refuses out of its
answer, so the answer is compared with what was asked. Prices are JSON numbers: the
shortest decimal that gives the same double is what the venue wrote. Written from the
venue's documentation and recorded messages.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from itertools import batched
from typing import Any, Final

import msgspec

from cryptoquantix.core.clock import NS_PER_MS
from cryptoquantix.core.market import BestQuote
from cryptoquantix.venues.dialect import Answer, PingPolicy, Reply, SocketPlan, sharded
from cryptoquantix.venues.feed import BATCH_MAX, FeedDecoder
from cryptoquantix.venues.instrument_stream import InstrumentStream, Mark

# 32 connections an address and 500 channels a connection are allowed.
_CHANNELS_PER_REQUEST: Final = 100
_HEARTBEAT_SECONDS: Final = 10
_TEST: Final = b'{"jsonrpc":"2.0","id":"alive","method":"public/test","params":{}}'


class _Trade(msgspec.Struct, gc=False):
    trade_seq: int
    timestamp: int
    price: float
    amount: float
    direction: str


class _TradeParams(msgspec.Struct, gc=False):
    channel: str = ""
    data: list[_Trade] = []
    type: str = ""


class _TradeMessage(msgspec.Struct, gc=False):
    params: _TradeParams | None = None


class _Fields(msgspec.Struct, gc=False):
    """Of ``quote`` the best prices, of ``ticker`` also mark, index and funding."""

    timestamp: int
    best_bid_price: float | None = None
    best_bid_amount: float | None = None
    best_ask_price: float | None = None
    best_ask_amount: float | None = None
    mark_price: float | None = None
    index_price: float | None = None
    funding_8h: float | None = None


class _UpdateParams(msgspec.Struct, gc=False):
    channel: str = ""
    data: _Fields | None = None
    type: str = ""


class _UpdateMessage(msgspec.Struct, gc=False):
    params: _UpdateParams | None = None


class _Acknowledgement(msgspec.Struct):
    """The answer to a request, or an error that belongs to none."""

    id: int | str | None = None
    result: Any = None
    error: Any = None


_TRADES: Final = msgspec.json.Decoder(_TradeMessage)
_UPDATE: Final = msgspec.json.Decoder(_UpdateMessage)
_ACKNOWLEDGEMENT: Final = msgspec.json.Decoder(_Acknowledgement)


class DeribitStreams:
    """Which sockets there are, and how one subscribes."""

    ping = PingPolicy(_TEST, b'"alive"')

    def sockets(self, ws_url: str, symbols: Sequence[str]) -> list[SocketPlan]:
        """Return the sockets of ``symbols``, two for each hundred."""
        url = f"{ws_url.rstrip('/')}/ws/api/v2"
        return sharded(
            symbols,
            trades=(url, ["trades.{}.100ms"]),
            quotes=(url, ["quote.{}", "ticker.{}.100ms"]),
        )

    def requests(self, streams: Sequence[str]) -> list[tuple[bytes, list[str]]]:
        """Return the subscriptions, and the wish for heartbeats."""
        wishes: list[tuple[str, dict[str, Any], list[str]]] = [
            ("public/set_heartbeat", {"interval": _HEARTBEAT_SECONDS}, [])
        ]
        wishes += [
            ("public/subscribe", {"channels": chunk}, list(chunk))
            for chunk in batched(streams, _CHANNELS_PER_REQUEST)
        ]
        return [
            (
                msgspec.json.encode(
                    {
                        "jsonrpc": "2.0",
                        "id": request_id,
                        "method": method,
                        "params": params,
                    }
                ),
                wanted,
            )
            for request_id, (method, params, wanted) in enumerate(wishes, 1)
        ]


class DeribitDecoder(FeedDecoder):
    """Reads Deribit's frames; one message carries the trades of 100 ms."""

    def decode(self, payload: bytes | memoryview) -> Answer | Reply | None:
        """Take one text frame of trades; return what answers or wants an answer."""
        try:
            params = _TRADES.decode(payload).params
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            self._refuse(payload, str(error))
            return None
        if params is None or not params.channel:
            return self._decode_other(payload, params)
        stream = self._stream(params.channel)
        if stream is None or not params.data:
            self._refuse(payload, f"{params.channel} was not subscribed to")
            return None
        if not self.has_pending:
            self._begin_turn(params.data[-1].timestamp)
        try:
            self._take_trades(stream, params.data)
        except ValueError as error:
            self._misfit(stream, payload, error)
        return None

    def decode_quotes(self, payload: bytes | memoryview) -> Answer | Reply | None:
        """Take one text frame of quotes or tickers; return what else it may be."""
        try:
            params = _UPDATE.decode(payload).params
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            self._refuse(payload, str(error))
            return None
        if params is None or not params.channel:
            return self._decode_other(payload, params)
        stream = self._stream(params.channel)
        if stream is None or params.data is None:
            self._refuse(payload, f"{params.channel} was not subscribed to")
            return None
        if not self.has_pending:
            self._begin_turn(params.data.timestamp)
        try:
            if params.channel.startswith("ticker."):
                if _read_mark(stream.mark, params.data):
                    self._take_mark(stream)
            else:
                self._take_best(stream, params.data)
        except ValueError as error:
            self._misfit(stream, payload, error)
        return None

    def _stream(self, channel: str) -> InstrumentStream | None:
        parts = channel.split(".", 2)
        return self.streams.get(parts[1]) if len(parts) > 1 else None

    def _take_trades(self, stream: InstrumentStream, trades: list[_Trade]) -> None:
        prices, sizes = stream.known_prices, stream.known_sizes
        self._pending.append(stream)
        for trade in trades:
            price = prices.get(trade.price) or stream.prices.read(trade.price)
            size = sizes.get(trade.amount)
            if size is None:
                size = stream.sizes.read(trade.amount)
            trade_id = trade.trade_seq
            is_maker = trade.direction == "sell"
            tick = (trade.timestamp * NS_PER_MS, price, size, is_maker, trade_id)
            if trade_id == stream.next_id:
                stream.next_id = trade_id + 1
                stream.ticks.append(tick)
                if len(stream.ticks) >= BATCH_MAX:
                    self._hand_on(stream)
            else:
                self._take_odd(stream, tick)

    def _take_best(self, stream: InstrumentStream, fields: _Fields) -> None:
        if not (fields.best_bid_price and fields.best_ask_price):
            return  # one side is empty: there is no best quote
        quote = BestQuote(
            fields.timestamp * NS_PER_MS,
            stream.prices.read(fields.best_bid_price),
            stream.sizes.read(fields.best_bid_amount or 0.0),
            stream.prices.read(fields.best_ask_price),
            stream.sizes.read(fields.best_ask_amount or 0.0),
        )
        self._take_quote(stream, quote)

    def _decode_other(
        self,
        payload: bytes | memoryview,
        params: _TradeParams | _UpdateParams | None,
    ) -> Answer | Reply | None:
        if params is not None:
            return Reply(_TEST) if params.type == "test_request" else None
        try:
            answer = _ACKNOWLEDGEMENT.decode(payload)
        except (msgspec.MsgspecError, UnicodeDecodeError) as unreadable:
            self._refuse(payload, str(unreadable))
            return None
        if not isinstance(answer.id, int):
            if answer.error is not None:
                self._refuse(payload, "an error of no request of ours")
            return None
        error = "" if answer.error is None else f"refused: {answer.error}"
        is_list = isinstance(answer.result, list)
        return Answer(answer.id, error, tuple(answer.result) if is_list else None)


def _read_mark(mark: Mark, fields: _Fields) -> bool:
    """Take what a ticker says; return whether it says the mark price."""
    if fields.mark_price is None:
        return False
    mark.mark = decimal_text(fields.mark_price)
    mark.index = decimal_text(fields.index_price or 0.0)
    mark.funding_rate = decimal_text(fields.funding_8h or 0.0)
    mark.time_ns = fields.timestamp * NS_PER_MS
    return True


def decimal_text(value: float) -> str:
    """
    Return the shortest decimal text of a JSON number, without an exponent.

    Examples
    --------
    >>> decimal_text(45000.0), decimal_text(1e-06)
    ('45000', '0.000001')
    """
    return format(Decimal(repr(value)), "f").removesuffix(".0")

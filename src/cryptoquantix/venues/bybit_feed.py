"""
Bybit v5 linear's streams: sockets, topics and frames; it opens no connection.

Trades carry no number without holes: ``seq`` rises with every match, and the prints of
one match share it. A print's id here is its ``seq`` times 65 536 plus its place among
them: the same print has the same id wherever it is read (stream or REST). What is
missing cannot be seen from such ids, only proven by overlap, so every new session is
spliced to what was seen before by REST, which holds the last 1 000 prints: after a
longer break the rest is told as lost. Written from the venue's documentation.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from cryptoquantix.core.clock import NS_PER_MS
from cryptoquantix.core.market import BestQuote
from cryptoquantix.venues.dialect import Answer, PingPolicy, SocketPlan, sharded
from cryptoquantix.venues.feed import BATCH_MAX, NO_ID, FeedDecoder
from cryptoquantix.venues.instrument_stream import (
    FAR,
    InstrumentStream,
    Mark,
    TickTuple,
)

SEQUENCE_SHIFT: Final = 16
_INDEX_MAX: Final = (1 << SEQUENCE_SHIFT) - 1
# A request may be 21 000 characters long.
_ARGS_CHARACTERS_MAX: Final = 10_000


class _Trade(msgspec.Struct, gc=False):
    T: int
    S: str
    v: str
    p: str
    seq: int


class _Trades(msgspec.Struct, gc=False):
    """A message of trades, or anything else, which has no data."""

    topic: str = ""
    ts: int = 0
    data: list[_Trade] = []


class _Fields(msgspec.Struct, gc=False):
    """Of ``orderbook.1`` sides, of ``tickers`` the fields that changed."""

    b: list[tuple[str, str]] = []
    a: list[tuple[str, str]] = []
    markPrice: str = ""  # noqa: N815 - the venue's spelling
    indexPrice: str = ""  # noqa: N815
    fundingRate: str = ""  # noqa: N815
    nextFundingTime: str = ""  # noqa: N815


class _Update(msgspec.Struct, gc=False):
    topic: str = ""
    ts: int = 0
    type: str = ""
    cts: int = 0
    data: _Fields | None = None


class _Acknowledgement(msgspec.Struct):
    """The answer to a subscription; to a ping it is ``op`` ping or pong."""

    op: str
    success: bool = True
    ret_msg: str = ""
    req_id: str = ""


_TRADES: Final = msgspec.json.Decoder(_Trades)
_UPDATE: Final = msgspec.json.Decoder(_Update)
_ACKNOWLEDGEMENT: Final = msgspec.json.Decoder(_Acknowledgement)


class BybitStreams:
    """Which sockets there are, and how one subscribes."""

    # The venue drops connections that send no ping for a while, busy or not.
    ping = PingPolicy(b'{"op":"ping","req_id":"ping"}', b'"pong"', is_periodic=True)

    def sockets(self, ws_url: str, symbols: Sequence[str]) -> list[SocketPlan]:
        """Return the sockets of ``symbols``, two for each hundred."""
        url = f"{ws_url.rstrip('/')}/v5/public/linear"
        return sharded(
            symbols,
            trades=(url, ["publicTrade.{}"]),
            quotes=(url, ["orderbook.1.{}", "tickers.{}"]),
        )

    def requests(self, streams: Sequence[str]) -> list[tuple[bytes, list[str]]]:
        """Return the subscriptions, each short enough for the venue."""
        chunks: list[list[str]] = [[]]
        for stream in streams:
            if sum(map(len, chunks[-1])) + len(stream) > _ARGS_CHARACTERS_MAX:
                chunks.append([])
            chunks[-1].append(stream)
        return [
            (
                msgspec.json.encode(
                    {"op": "subscribe", "req_id": str(request_id), "args": chunk}
                ),
                [],  # the answer names no topic
            )
            for request_id, chunk in enumerate(chunks, 1)
        ]


class BybitDecoder(FeedDecoder):
    """
    Reads Bybit's frames; one message carries many trades.

    The readers of the three venues look alike and stay apart: a call more for each
    message would cost more than it saves.
    """

    is_dense = False

    def decode(self, payload: bytes | memoryview) -> Answer | None:
        """Take one text frame of trades; return it if it answers a request."""
        try:
            message = _TRADES.decode(payload)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            self._refuse(payload, str(error))
            return None
        if not message.topic:
            return self._decode_answer(payload)
        stream = self.streams.get(message.topic.rpartition(".")[2])
        if stream is None:
            self._refuse(payload, f"{message.topic} was not subscribed to")
            return None
        if not self.has_pending:
            self._begin_turn(message.ts)
        try:
            self._take_trades(stream, message.data)
        except ValueError as error:
            self._misfit(stream, payload, error)
        return None

    def decode_quotes(self, payload: bytes | memoryview) -> Answer | None:
        """Take one text frame of quotes or tickers; return it if it is an answer."""
        try:
            message = _UPDATE.decode(payload)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            self._refuse(payload, str(error))
            return None
        if not message.topic:
            return self._decode_answer(payload)
        kind, _, symbol = message.topic.rpartition(".")
        stream = self.streams.get(symbol)
        if stream is None or message.data is None:
            self._refuse(payload, f"{message.topic!r} was not subscribed to")
            return None
        if not self.has_pending:
            self._begin_turn(message.ts)
        try:
            if kind == "tickers":
                if _read_mark(stream.mark, message.data, message.ts):
                    self._take_mark(stream)
            else:
                self._take_best(stream, message)
        except ValueError as error:
            self._misfit(stream, payload, error)
        return None

    def _take_trades(self, stream: InstrumentStream, trades: list[_Trade]) -> None:
        prices, sizes = stream.known_prices, stream.known_sizes
        self._pending.append(stream)
        for trade in trades:
            price = prices.get(trade.p) or stream.prices.read(trade.p)
            size = sizes.get(trade.v)
            if size is None:
                size = stream.sizes.read(trade.v)
            sequence = trade.seq
            if sequence == stream.sequence:
                stream.sequence_index += 1
            else:
                stream.sequence, stream.sequence_index = sequence, 0
            trade_id = (sequence << SEQUENCE_SHIFT) + stream.sequence_index
            tick = (trade.T * NS_PER_MS, price, size, trade.S == "Sell", trade_id)
            if trade_id >= stream.next_id > 0:
                stream.next_id = trade_id + 1
                stream.ticks.append(tick)
                if len(stream.ticks) >= BATCH_MAX:
                    self._hand_on(stream)
            else:
                self._take_doubtful(stream, tick)

    def _take_doubtful(self, stream: InstrumentStream, tick: TickTuple) -> None:
        """Take a session's first print, one while prints are held, or an old one."""
        before_id = ((tick[4] >> SEQUENCE_SHIFT) + 1) << SEQUENCE_SHIFT
        if stream.gap is not None and stream.gap.before_id < 0:
            stream.gap.before_id = before_id
            stream.gap.until_ns = tick[0]
        if stream.held is not None:
            self._hold(stream, tick)
        elif stream.next_id > 0:
            stream.duplicates += 1
        elif tick[4] <= stream.last_id:
            self._restart(stream, tick)
        else:
            is_start = stream.last_id < 0
            if is_start:  # nothing before this match is wanted
                match_id = before_id - (1 << SEQUENCE_SHIFT)
                stream.next_id, stream.last_id = NO_ID, match_id - 1
            self._open_gap(stream, tick, before_id, is_start=is_start)

    def _restart(self, stream: InstrumentStream, tick: TickTuple) -> None:
        """Go on from a first print that is older than the last one: begun anew."""
        far = stream.last_id - tick[4] > FAR << SEQUENCE_SHIFT
        if not far:  # what the session before has seen already
            stream.duplicates += 1
            return
        self._renumber(stream, tick[4])
        self._append(stream, tick)

    def _take_best(self, stream: InstrumentStream, message: _Update) -> None:
        fields = message.data
        assert fields is not None, "checked"
        best_bid, best_ask = _best(fields.b), _best(fields.a)
        if message.type == "delta":  # one side alone: the other one stays
            best_bid, best_ask = (
                best_bid or stream.sides[0],
                best_ask or stream.sides[1],
            )
        stream.sides = best_bid, best_ask
        if best_bid is None or best_ask is None:
            return  # one side is empty: there is no best quote
        (bid, bid_size), (ask, ask_size) = best_bid, best_ask
        quote = BestQuote(
            (message.cts or message.ts) * NS_PER_MS,
            stream.prices.read(bid),
            stream.sizes.read(bid_size),
            stream.prices.read(ask),
            stream.sizes.read(ask_size),
        )
        self._take_quote(stream, quote)

    def _decode_answer(self, payload: bytes | memoryview) -> Answer | None:
        try:
            answer = _ACKNOWLEDGEMENT.decode(payload)
        except (msgspec.MsgspecError, UnicodeDecodeError) as unreadable:
            self._refuse(payload, str(unreadable))
            return None
        if answer.op != "subscribe":
            return None  # a pong
        request_id = int(answer.req_id) if answer.req_id.isdigit() else 0
        error = "" if answer.success else f"refused: {answer.ret_msg}"
        return Answer(request_id, error)


def _best(levels: list[tuple[str, str]]) -> tuple[str, str] | None:
    """Return the first level that is there: one that left has size 0."""
    return next((one for one in levels if float(one[1])), None)


def _read_mark(mark: Mark, fields: _Fields, time_ms: int) -> bool:
    """Take the fields that changed; return whether the mark price is known."""
    mark.mark = fields.markPrice or mark.mark
    mark.index = fields.indexPrice or mark.index
    mark.funding_rate = fields.fundingRate or mark.funding_rate
    if fields.nextFundingTime:
        mark.next_funding_ns = int(fields.nextFundingTime) * NS_PER_MS
    mark.time_ns = time_ms * NS_PER_MS
    return bool(mark.mark)


def sequence_ids(sequences: Iterable[int]) -> list[int]:
    """
    Return the ids of prints in order, by their sequences.

    Examples
    --------
    >>> [one - (7 << 16) for one in sequence_ids([7, 7, 8])]
    [0, 1, 65536]
    """
    found: list[int] = []
    before, index = -1, 0
    for sequence in sequences:
        index = min(index + 1, _INDEX_MAX) if sequence == before else 0
        before = sequence
        found.append((sequence << SEQUENCE_SHIFT) + index)
    return found

"""
Binance USD-M WebSocket streams, sans-I/O: messages in, frames queued out.

Every message is a frame of its own; the server may write many at once. Trade time
``T`` is tape time, event time ``E`` wall time.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable
from typing import Any

import msgspec

from cryptoquantix.simulator.history import (
    INTERVALS,
    NS_PER_MINUTE,
    HistoryBar,
    PrintedTrade,
)
from cryptoquantix.simulator.listing import Listing
from cryptoquantix.simulator.market import Market
from cryptoquantix.simulator.orders import VenueEvent
from cryptoquantix.simulator.wire import messages
from cryptoquantix.simulator.wire.binance_events import (
    event_account,
    listen_key_expired,
    user_event,
)
from cryptoquantix.simulator.wire.binance_market import levels, rate_text
from cryptoquantix.simulator.wire.binance_payloads import mark_text, ms
from cryptoquantix.simulator.wire.binance_requests import VenueState
from cryptoquantix.simulator.wire.frames import text_frame

STREAMS_MAX = 1_024
MESSAGES_PER_SECOND = 10
SYMBOL_TYPE = 1  # a USD-M perpetual
CLOSE_TOO_MANY = 1008  # policy violation
_STREAM = re.compile(
    r"(?P<symbol>[a-z0-9_]{1,30})@(?:"
    r"(?P<plain>aggTrade|trade|bookTicker)"
    r"|(?P<mark>markPrice)(?:@1s)?"
    r"|kline_(?P<interval>\d{1,2}[mhdw])"
    r"|depth(?P<levels>5|10|20)?(?:@(?P<period>100|250|500)ms)?)\Z"
)


class Subscriber(messages.Subscriber):
    """One connection and what it wants."""

    __slots__ = ("is_combined", "received", "streams")

    def __init__(self, *, is_combined: bool) -> None:
        super().__init__()
        self.is_combined = is_combined
        self.streams: set[str] = set()
        self.received: deque[int] = deque(maxlen=MESSAGES_PER_SECOND)


class _Topic:
    """The subscribers of one stream, and what was last sent to them."""

    def __init__(self, name: str, market: Market, parts: dict[str, str | None]) -> None:
        self.name = name
        self.market = market
        self.parts = parts
        self.subscribers: set[Subscriber] = set()
        self.sent: Any = None
        self.touched: set[tuple[int, int]] | None = None
        self.due_ns = 0

    def send(self, payload: bytes) -> None:
        send(self.name, payload, self.subscribers)


def send(stream: str, payload: bytes, subscribers: Iterable[Subscriber]) -> None:
    """Queue one message, wrapped for those who asked for the combined form."""
    bare = wrapped = b""
    for subscriber in subscribers:
        if subscriber.is_combined:
            wrapped = wrapped or text_frame(
                b'{"stream":"' + stream.encode() + b'","data":' + payload + b"}"
            )
            subscriber.frames.append(wrapped)
        else:
            bare = bare or text_frame(payload)
            subscriber.frames.append(bare)


class BinanceStreams:
    """Who listens to what, and the messages for them."""

    def __init__(
        self, state: VenueState, *, is_lenient: bool = False, is_limited: bool = True
    ) -> None:
        self._state = state
        self._is_limited = is_limited
        self._is_lenient = is_lenient
        self._topics: dict[str, _Topic] = {}
        self._trades: dict[str, _Topic] = {}
        self._raw_trades: dict[str, _Topic] = {}
        self._private: dict[str, set[Subscriber]] = {}

    # What clients ask for.

    def subscribe(self, subscriber: Subscriber, stream: str) -> str:
        """Add a stream to a subscriber; return why not, empty if it was done."""
        if len(subscriber.streams) >= STREAMS_MAX:
            return f"more than {STREAMS_MAX} streams on one connection"
        if stream in self._state.listen_keys:
            self._private.setdefault(stream, set()).add(subscriber)
            subscriber.streams.add(stream)
            return ""
        topic = self._topic(stream)
        if topic is None:
            if not self._is_lenient:
                return f"unknown stream {stream[:60]!r}"
            subscriber.streams.add(stream)
            return ""
        topic.subscribers.add(subscriber)
        subscriber.streams.add(stream)
        return ""

    def unsubscribe(self, subscriber: Subscriber, stream: str) -> None:
        """Take a stream from a subscriber."""
        subscriber.streams.discard(stream)
        self._private.get(stream, set()).discard(subscriber)
        topic = self._topics.get(stream)
        if topic is not None:
            topic.subscribers.discard(subscriber)
            if not topic.subscribers:
                del self._topics[stream]
                if topic.touched is not None:
                    topic.market.book.untrack(topic.touched)
                if topic.parts["plain"] == "aggTrade":
                    del self._trades[topic.market.listing.symbol]
                elif topic.parts["plain"] == "trade":
                    del self._raw_trades[topic.market.listing.symbol]

    def leave(self, subscriber: Subscriber) -> None:
        """Forget a subscriber whose connection is gone."""
        for stream in list(subscriber.streams):
            self.unsubscribe(subscriber, stream)

    def receive(self, subscriber: Subscriber, text: str | bytes, time_ns: int) -> None:
        """
        Carry out one message of a client and queue the answer.

        The eleventh within a second is not answered: it ends the connection.
        """
        received = subscriber.received
        is_hasty = (
            len(received) == MESSAGES_PER_SECOND
            and time_ns - received[0] < 1_000_000_000
        )
        received.append(time_ns)
        if is_hasty and self._is_limited:
            subscriber.close_code = CLOSE_TOO_MANY
        if subscriber.close_code is not None:
            return
        try:
            message = msgspec.json.decode(text)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            message = None
        if not isinstance(message, dict) or not _is_id(message.get("id")):
            self._answer(subscriber, {"error": _error(2, "Invalid request")})
            return
        answer = self._command(subscriber, message)
        self._answer(subscriber, answer | {"id": message.get("id")})

    def _command(
        self, subscriber: Subscriber, message: dict[str, Any]
    ) -> dict[str, Any]:
        method, streams = message.get("method"), message.get("params", [])
        if method == "LIST_SUBSCRIPTIONS":
            return {"result": sorted(subscriber.streams)}
        if method not in {"SUBSCRIBE", "UNSUBSCRIBE"}:
            return {"error": _error(2, f"Invalid request: unknown method {method!r}")}
        if not isinstance(streams, list) or not all(
            isinstance(s, str) for s in streams
        ):
            return {"error": _error(2, "Invalid request: params must be streams")}
        for stream in streams:
            if method == "UNSUBSCRIBE":
                self.unsubscribe(subscriber, stream)
            elif refused := self.subscribe(subscriber, stream):
                return {"error": _error(2, f"Invalid request: {refused}")}
        return {"result": None}

    # What happens.

    def on_trade(self, symbol: str, trade: PrintedTrade, time_ns: int) -> None:
        """Queue a trade for those who listen; called for every trade of the tape."""
        topic = self._trades.get(symbol)
        if symbol in self._raw_trades:
            raw = self._raw_trades[symbol]
            raw.send(_raw_trade(raw.market.listing, trade, time_ns))
        if topic is None:
            return
        listing = topic.market.listing
        size = listing.size_text(trade.size_lots)
        topic.send(
            (
                f'{{"e":"aggTrade","E":{time_ns // 1_000_000},"s":"{symbol}",'
                f'"a":{trade.id},"p":"{listing.price_text(trade.price_ticks)}",'
                f'"q":"{size}","nq":"{size}","f":{trade.id},'
                f'"l":{trade.id},"T":{trade.time_ns // 1_000_000},'
                f'"m":{"true" if trade.is_buyer_maker else "false"}}}'
            ).encode()
        )

    def on_events(self, events: Iterable[VenueEvent]) -> None:
        """Queue account events for the listen keys of their account."""
        if not any(self._private.values()):
            return
        coin = self._state.exchange.clearing.coin
        for event in events:
            message = user_event(event, coin)
            if message is None:
                continue
            account_id = event_account(event)
            payload = msgspec.json.encode(message)
            for key, (owner, _) in self._state.listen_keys.items():
                if owner == account_id:
                    send(key, payload, self._private.get(key, ()))

    def on_turn(self, time_ns: int) -> None:
        """Queue what follows the price: best quotes and bars that have closed."""
        for topic in list(self._topics.values()):
            if topic.parts["plain"] == "bookTicker":
                self._send_best(topic, time_ns)
            elif topic.parts["interval"]:
                self._send_closed_bars(topic, time_ns)

    def on_timer(self, time_ns: int) -> None:
        """Queue what is sent by the clock: depth, mark prices, open bars."""
        for topic in list(self._topics.values()):
            if time_ns < topic.due_ns or topic.parts["plain"]:
                continue
            if topic.market.is_halted:
                continue  # nothing is known of that market: nothing is said of it
            if topic.parts["mark"]:
                topic.due_ns = time_ns + 1_000_000_000
                self._send_mark(topic, time_ns)
            elif topic.parts["interval"]:
                topic.due_ns = time_ns + 250_000_000
                self._send_open_bar(topic, time_ns)
            else:
                period_ms = int(topic.parts["period"] or 250)
                topic.due_ns = time_ns + period_ms * 1_000_000
                self._send_depth(topic, time_ns)
        self._expire_keys(time_ns)

    # The messages.

    def _send_best(self, topic: _Topic, time_ns: int) -> None:
        market = topic.market
        self._state.exchange.quote(market, time_ns)
        bids, asks = levels(market, 1, 1), levels(market, -1, 1)
        if not bids or not asks or (bids, asks) == topic.sent:
            return
        topic.sent = bids, asks
        topic.send(
            msgspec.json.encode(
                {
                    "e": "bookTicker",
                    "u": market.book.update_id,
                    "s": market.listing.symbol,
                    "ps": market.listing.symbol,
                    "st": SYMBOL_TYPE,
                    "b": bids[0][0],
                    "B": bids[0][1],
                    "a": asks[0][0],
                    "A": asks[0][1],
                    "T": ms(market.tape_ns),
                    "E": ms(time_ns),
                }
            )
        )

    def _send_mark(self, topic: _Topic, time_ns: int) -> None:
        market = topic.market
        rules = self._state.exchange.rules
        index = mark_text(market.listing, market.index_ticks)
        topic.send(
            msgspec.json.encode(
                {
                    "e": "markPriceUpdate",
                    "E": ms(time_ns),
                    "s": market.listing.symbol,
                    "p": mark_text(market.listing, market.mark_ticks),
                    "i": index,
                    "P": index,
                    "r": rate_text(market.funding_rate(rules)),
                    "T": ms(market.next_funding_ns),
                    "st": SYMBOL_TYPE,
                }
            )
        )

    def _send_closed_bars(self, topic: _Topic, time_ns: int) -> None:
        interval = topic.parts["interval"] or "1m"
        current = topic.market.history.current(interval)
        if current is None:
            return
        since = topic.sent
        if since is not None and since < current.open_minute:
            end_ns = (current.open_minute - 1) * NS_PER_MINUTE
            for bar in topic.market.history.bars(
                interval, since * NS_PER_MINUTE, end_ns, 1500
            ):
                topic.send(_kline(topic.market, interval, bar, time_ns, closed=True))
        topic.sent = current.open_minute

    def _send_open_bar(self, topic: _Topic, time_ns: int) -> None:
        interval = topic.parts["interval"] or "1m"
        current = topic.market.history.current(interval)
        if current is not None and current.trades:
            topic.send(_kline(topic.market, interval, current, time_ns, closed=False))

    def _send_depth(self, topic: _Topic, time_ns: int) -> None:
        market = topic.market
        self._state.exchange.quote(market, time_ns)
        last_id = topic.sent
        if last_id == market.book.update_id:
            return
        bids, asks = _depth_sides(topic)
        first_id = market.book.update_id if last_id is None else last_id + 1
        topic.sent = market.book.update_id
        topic.send(
            msgspec.json.encode(
                {
                    "e": "depthUpdate",
                    "E": ms(time_ns),
                    "T": ms(market.tape_ns),
                    "s": market.listing.symbol,
                    "ps": market.listing.symbol,
                    "st": SYMBOL_TYPE,
                    "U": first_id,
                    "u": market.book.update_id,
                    "pu": first_id - 1 if last_id is None else last_id,
                    "b": bids,
                    "a": asks,
                }
            )
        )

    def _expire_keys(self, time_ns: int) -> None:
        keys = self._state.listen_keys
        for key in [k for k, (_, expiry) in keys.items() if time_ns >= expiry]:
            del keys[key]
            payload = msgspec.json.encode(listen_key_expired(key, time_ns))
            send(key, payload, self._private.get(key, ()))

    def _topic(self, stream: str) -> _Topic | None:
        topic = self._topics.get(stream)
        if topic is not None:
            return topic
        found = _STREAM.match(stream)
        if found is None or found["interval"] not in {None, *INTERVALS}:
            return None
        market = self._state.exchange.markets.get(found["symbol"].upper())
        if market is None:
            return None
        topic = _Topic(stream, market, found.groupdict())
        self._topics[stream] = topic
        if topic.parts["plain"] == "aggTrade":
            self._trades[market.listing.symbol] = topic
        elif topic.parts["plain"] == "trade":
            self._raw_trades[market.listing.symbol] = topic
        if not any(topic.parts[p] for p in ("plain", "mark", "interval", "levels")):
            # Diffs run from the book as it is now, which the snapshot will be.
            topic.sent = market.book.update_id
            topic.touched = market.book.track()
        return topic

    def _answer(self, subscriber: Subscriber, message: dict[str, Any]) -> None:
        subscriber.frames.append(text_frame(msgspec.json.encode(message)))


def _raw_trade(listing: Listing, trade: PrintedTrade, time_ns: int) -> bytes:
    """Return a trade as ``@trade`` has it, a stream the venue does not document."""
    return msgspec.json.encode(
        {
            "e": "trade",
            "E": ms(time_ns),
            "T": ms(trade.time_ns),
            "s": listing.symbol,
            "t": trade.id,
            "p": listing.price_text(trade.price_ticks),
            "q": listing.size_text(trade.size_lots),
            "X": "MARKET",
            "m": trade.is_buyer_maker,
        }
    )


def _depth_sides(topic: _Topic) -> tuple[list[list[str]], list[list[str]]]:
    """Return the top levels of a partial stream, or every level that changed."""
    market, touched = topic.market, topic.touched
    if touched is None:
        count = int(topic.parts["levels"] or 20)
        return levels(market, 1, count), levels(market, -1, count)
    listing, book = market.listing, market.book
    bids, asks = (
        [
            [
                listing.price_text(price),
                listing.size_text(book.level_lots(sign, price)),
            ]
            for found, price in sorted(touched)
            if found == sign
        ]
        for sign in (1, -1)
    )
    touched.clear()
    return bids, asks


def _kline(
    market: Market, interval: str, bar: HistoryBar, time_ns: int, *, closed: bool
) -> bytes:
    listing = market.listing
    close_minute = bar.open_minute + bar.minutes
    return msgspec.json.encode(
        {
            "e": "kline",
            "E": ms(time_ns),
            "s": listing.symbol,
            "k": {
                "t": ms(bar.open_minute * NS_PER_MINUTE),
                "T": ms(close_minute * NS_PER_MINUTE) - 1,
                "s": listing.symbol,
                "i": interval,
                "f": bar.first_id,
                "L": bar.last_id,
                "o": listing.price_text(bar.open),
                "c": listing.price_text(bar.close),
                "h": listing.price_text(bar.high),
                "l": listing.price_text(bar.low),
                "v": listing.size_text(bar.lots),
                "n": bar.trades,
                "x": closed,
                "q": listing.quote_text(bar.value),
                "V": listing.size_text(bar.taker_lots),
                "Q": listing.quote_text(bar.taker_value),
                "B": "0",
            },
        }
    )


def _error(code: int, text: str) -> dict[str, Any]:
    return {"code": code, "msg": text}


def _is_id(value: object) -> bool:
    return value is None or isinstance(value, int | str)

"""
Bybit's public topics, sans-I/O: what each last said, and what it says next.

A topic is shared by its subscribers. A new one gets a snapshot of what the others
know already, so that the same updates continue it for all.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from cryptoquantix.simulator.history import INTERVALS as MINUTES
from cryptoquantix.simulator.history import (
    NS_PER_MINUTE,
    HistoryBar,
    PrintedTrade,
    bar_open_minute,
)
from cryptoquantix.simulator.market import Market
from cryptoquantix.simulator.wire.bybit_facts import BybitState
from cryptoquantix.simulator.wire.bybit_ids import TRADE, ms, trimmed, uuid_text
from cryptoquantix.simulator.wire.bybit_market import INTERVALS, ticker
from cryptoquantix.simulator.wire.bybit_requests import Json
from cryptoquantix.simulator.wire.frames import text_frame
from cryptoquantix.simulator.wire.messages import Subscriber

NS_PER_MS = 1_000_000
# Depth of a book topic to the time between two of its messages.
DEPTH_PERIODS_NS = {
    1: 10 * NS_PER_MS,
    50: 20 * NS_PER_MS,
    200: 100 * NS_PER_MS,
    1000: 200 * NS_PER_MS,
}
QUIET_NS = 3_000 * NS_PER_MS  # after this orderbook.1 says the same again
TICKER_PERIOD_NS = 100 * NS_PER_MS
KLINE_PERIOD_NS = 1_000 * NS_PER_MS
TRADES_IN_MESSAGE = 1_024
_TOPIC = re.compile(
    r"(?:(?P<trade>publicTrade)|orderbook\.(?P<depth>1|50|200|1000)|(?P<ticker>tickers)"
    r"|kline\.(?P<interval>[0-9]{1,3}|D|W))\.(?P<symbol>[A-Z0-9]{1,30})\Z"
)

type Levels = dict[str, str]


class Topic:
    """One topic: its subscribers and what it last sent."""

    period_ns = 0

    def __init__(self, name: str, market: Market, state: BybitState) -> None:
        self.name = name
        self.market = market
        self.state = state
        self.subscribers: set[Subscriber] = set()
        self.due_ns = 0

    def greet(self, subscriber: Subscriber, time_ns: int) -> None:
        """Send a new subscriber where things stand; nothing by default."""

    def update(self, time_ns: int) -> None:
        """Send what is new; called about every 50 ms and after every burst."""

    def send(self, message: Json) -> None:
        """Queue one message for every subscriber."""
        frame = text_frame(msgspec.json.encode(message))
        for subscriber in self.subscribers:
            subscriber.frames.append(frame)

    def message(self, kind: str, data: Any, time_ns: int) -> Json:  # noqa: ANN401 - JSON
        """Return a message of this topic."""
        return {"topic": self.name, "type": kind, "ts": ms(time_ns), "data": data}

    def is_due(self, time_ns: int) -> bool:
        """Return whether the time between two messages has passed, and start it."""
        if time_ns < self.due_ns:
            return False
        self.due_ns = time_ns + self.period_ns
        return True


class TradeTopic(Topic):
    """Trades as they are printed; a burst of them is one message."""

    def __init__(self, name: str, market: Market, state: BybitState) -> None:
        super().__init__(name, market, state)
        self._waiting: list[bytes] = []
        self._last_ticks = market.price_ticks

    def add(self, trade: PrintedTrade, time_ns: int) -> None:
        """Take one printed trade; it is encoded by hand, as there are many."""
        listing = self.market.listing
        moved = trade.price_ticks - self._last_ticks
        self._last_ticks = trade.price_ticks
        tick = "PlusTick" if moved > 0 else "MinusTick" if moved else "ZeroPlusTick"
        self._waiting.append(
            (
                f'{{"T":{trade.time_ns // NS_PER_MS},"s":"{listing.symbol}",'
                f'"S":"{"Sell" if trade.is_buyer_maker else "Buy"}",'
                f'"v":"{listing.size_text(trade.size_lots)}",'
                f'"p":"{listing.price_text(trade.price_ticks)}","L":"{tick}",'
                f'"i":"{uuid_text(TRADE, trade.id)}","BT":false,"RPI":false,'
                f'"seq":{trade.id}}}'
            ).encode()
        )
        if len(self._waiting) >= TRADES_IN_MESSAGE:
            self.update(time_ns)

    def update(self, time_ns: int) -> None:
        """Send the trades that wait."""
        if not self._waiting:
            return
        head = f'{{"topic":"{self.name}","type":"snapshot","ts":{ms(time_ns)},"data":['
        frame = text_frame(head.encode() + b",".join(self._waiting) + b"]}")
        self._waiting.clear()
        for subscriber in self.subscribers:
            subscriber.frames.append(frame)


class BookTopic(Topic):
    """The best levels of the book: a snapshot, then what changes."""

    def __init__(
        self, name: str, market: Market, state: BybitState, depth: int
    ) -> None:
        super().__init__(name, market, state)
        self.depth = depth
        self.period_ns = DEPTH_PERIODS_NS[depth]
        self._sides: tuple[Levels, Levels] | None = None
        self._update_id = market.book.update_id
        self._book_id = 0
        self._sent_ns = 0

    def _read(self, time_ns: int) -> tuple[Levels, Levels]:
        self.state.exchange.quote(self.market, time_ns)
        self._book_id = self.market.book.update_id
        listing, book = self.market.listing, self.market.book
        bids, asks = (
            {
                listing.price_text(price): listing.size_text(lots)
                for price, lots in book.levels(sign, self.depth)
            }
            for sign in (1, -1)
        )
        return bids, asks

    def _data(self, bids: Levels, asks: Levels) -> Json:
        return {
            "s": self.market.listing.symbol,
            "b": [list(level) for level in bids.items()],
            "a": [list(level) for level in asks.items()],
            "u": self._update_id,
            "seq": self._book_id,
        }

    def _book_message(self, kind: str, data: Json, time_ns: int) -> Json:
        return self.message(kind, data, time_ns) | {"cts": ms(time_ns)}

    def greet(self, subscriber: Subscriber, time_ns: int) -> None:
        """Send the snapshot that the next update continues."""
        if self._sides is None:
            self._sides, self._update_id = self._read(time_ns), self._update_id + 1
            self._sent_ns = time_ns
        message = self._book_message("snapshot", self._data(*self._sides), time_ns)
        subscriber.frames.append(text_frame(msgspec.json.encode(message)))

    def update(self, time_ns: int) -> None:
        """Send the levels that changed; the best one alone always in full."""
        if self._sides is None or self.market.is_halted or not self.is_due(time_ns):
            return
        before, now = self._sides, self._read(time_ns)
        changed = [_difference(old, new) for old, new in zip(before, now, strict=True)]
        is_quiet = self.depth == 1 and time_ns - self._sent_ns >= QUIET_NS
        if not any(changed) and not is_quiet:
            return
        self._sides, self._sent_ns = now, time_ns
        self._update_id += 1 if any(changed) else 0
        kind, shown = ("snapshot", now) if self.depth == 1 else ("delta", changed)
        self.send(self._book_message(kind, self._data(*shown), time_ns))


def _difference(old: Levels, new: Levels) -> Levels:
    """Return levels that are new or changed, and with size 0 those that left."""
    gone = {price: "0" for price in old if price not in new}
    return gone | {p: size for p, size in new.items() if old.get(p) != size}


class TickerTopic(Topic):
    """Prices and figures of the day: a snapshot, then the fields that change."""

    period_ns = TICKER_PERIOD_NS

    def __init__(self, name: str, market: Market, state: BybitState) -> None:
        super().__init__(name, market, state)
        self._fields: Json | None = None
        self._last_ticks = market.price_ticks
        self._direction = "ZeroPlusTick"

    def _read(self, time_ns: int) -> Json:
        self.state.exchange.quote(self.market, time_ns)
        price = self.market.price_ticks
        if price != self._last_ticks:
            self._direction = "PlusTick" if price > self._last_ticks else "MinusTick"
            self._last_ticks = price
        fields = ticker(self.state, self.market, time_ns)
        return {
            "symbol": fields.pop("symbol"),
            "tickDirection": self._direction,
        } | fields

    def _full(self, kind: str, data: Json, time_ns: int) -> Json:
        sequence = self.market.book.update_id
        return self.message(kind, data, time_ns) | {"cs": sequence}

    def greet(self, subscriber: Subscriber, time_ns: int) -> None:
        """Send every field as the last message left them."""
        if self._fields is None:
            self._fields = self._read(time_ns)
        message = self._full("snapshot", self._fields, time_ns)
        subscriber.frames.append(text_frame(msgspec.json.encode(message)))

    def update(self, time_ns: int) -> None:
        """Send the fields that changed."""
        if self._fields is None or self.market.is_halted or not self.is_due(time_ns):
            return
        before, now = self._fields, self._read(time_ns)
        changed = {name: value for name, value in now.items() if before[name] != value}
        if changed:
            self._fields = now
            data = {"symbol": now["symbol"]} | changed
            self.send(self._full("delta", data, time_ns))


class KlineTopic(Topic):
    """Bars: the open one once a second, and each when it closes."""

    period_ns = KLINE_PERIOD_NS

    def __init__(
        self, name: str, market: Market, state: BybitState, interval: str
    ) -> None:
        super().__init__(name, market, state)
        self.interval = interval
        self._since: int | None = None
        self._trades = -1

    def update(self, time_ns: int) -> None:
        """Send bars that closed, and the open one if it changed."""
        history, length = self.market.history, INTERVALS[self.interval]
        minute = self.market.tape_ns // NS_PER_MINUTE
        opened = bar_open_minute(minute, MINUTES[length])
        if opened == self._since and time_ns < self.due_ns:
            return
        current = history.current(length)
        if current is None:
            return
        since = self._since
        if since is not None and since < current.open_minute:
            end_ns = (current.open_minute - 1) * NS_PER_MINUTE
            for bar in history.bars(length, since * NS_PER_MINUTE, end_ns, 1000):
                self._send_bar(bar, time_ns, is_closed=True)
        self._since = current.open_minute
        # A tape that does not move does not repeat its bar either.
        if history.last_id != self._trades and self.is_due(time_ns):
            self._trades = history.last_id
            self._send_bar(current, time_ns, is_closed=False)

    def _send_bar(self, bar: HistoryBar, time_ns: int, *, is_closed: bool) -> None:
        listing = self.market.listing
        start = ms(bar.open_minute * NS_PER_MINUTE)
        row = {
            "start": start,
            "end": start + bar.minutes * 60_000 - 1,
            "interval": self.interval,
            "open": listing.price_text(bar.open),
            "close": listing.price_text(bar.close),
            "high": listing.price_text(bar.high),
            "low": listing.price_text(bar.low),
            "volume": listing.size_text(bar.lots),
            "turnover": trimmed(listing.quote_text(bar.value)),
            "confirm": is_closed,
            "timestamp": ms(self.market.tape_ns),
        }
        self.send(self.message("snapshot", [row], time_ns))


def make_topic(name: str, state: BybitState) -> Topic | None:
    """Return a topic by its name, None if the venue has none of that name."""
    found = _TOPIC.match(name)
    market = state.exchange.markets.get(found["symbol"]) if found else None
    if found is None or market is None or found["interval"] not in {None, *INTERVALS}:
        return None
    if found["depth"]:
        return BookTopic(name, market, state, int(found["depth"]))
    if found["interval"]:
        return KlineTopic(name, market, state, found["interval"])
    plain = TradeTopic if found["trade"] else TickerTopic
    return plain(name, market, state)

"""What each of Deribit's public channels sends, and what it sent last."""

from __future__ import annotations

from decimal import Decimal

from cryptoquantix.simulator.conditional import ConditionalExchange
from cryptoquantix.simulator.history import NS_PER_MINUTE, PrintedTrade
from cryptoquantix.simulator.market import Market
from cryptoquantix.simulator.wire.deribit_channels import Channel
from cryptoquantix.simulator.wire.deribit_market import (
    RESOLUTIONS,
    Day,
    bar_json,
    best,
    index_price,
    levels,
    tick_direction,
    ticker_json,
)
from cryptoquantix.simulator.wire.deribit_payloads import (
    ZERO,
    amount,
    coin_prefix,
    ms,
    plain,
    price,
)
from cryptoquantix.simulator.wire.deribit_requests import Json, notification
from cryptoquantix.simulator.wire.deribit_session import Session
from cryptoquantix.simulator.wire.frames import text_frame

_PERIOD_NS = 100_000_000
_OPEN_BAR_NS = 250_000_000
_HEAD = b'{"jsonrpc":"2.0","method":"subscription","params":{"channel":"'


class Topic:
    """One public channel: its listeners, and how it goes on."""

    def __init__(self, channel: Channel, market: Market) -> None:
        self.channel = channel
        self.market = market
        self.sessions: set[Session] = set()
        self._due_ns = 0

    @property
    def is_raw(self) -> bool:
        """Whether every change is told at once."""
        return self.channel.interval == "raw"

    @property
    def is_wanted(self) -> bool:
        """Whether anybody listens or is about to."""
        return bool(self.sessions)

    def is_due(self, time_ns: int) -> bool:
        """Return whether the channel's interval has passed, and start the next."""
        if time_ns < self._due_ns:
            return False
        self._due_ns = time_ns + _PERIOD_NS
        return True

    def add(self, session: Session) -> None:
        """Tell a connection from now on."""
        self.sessions.add(session)

    def end(self) -> None:
        """Let go of what the channel holds, after its last listener has left."""

    def on_trade(self, trade: PrintedTrade) -> None:
        """Take a trade that was printed."""

    def turn(self, exchange: ConditionalExchange, time_ns: int) -> None:
        """Send what follows a burst of trades."""

    def time(self, exchange: ConditionalExchange, time_ns: int) -> None:
        """Send what is due by the clock."""

    def send(self, data: object) -> None:
        """Send one notification to every listener."""
        self.send_frame(text_frame(notification(self.channel.name, data)))

    def send_frame(self, frame: bytes) -> None:
        """Queue one frame for every listener."""
        for session in self.sessions:
            session.frames.append(frame)


class TradesTopic(Topic):
    """Trades: each at once, or those of a tenth of a second together."""

    def __init__(self, channel: Channel, market: Market) -> None:
        super().__init__(channel, market)
        self._waiting: list[str] = []
        self._direction, self._before = 1, market.price_ticks
        self._head = _HEAD + channel.name.encode() + b'","data":['
        listing = market.listing
        self._prefix = coin_prefix(listing.settlement)

    def on_trade(self, trade: PrintedTrade) -> None:
        """Send a trade, or keep it for the next tenth of a second."""
        market = self.market
        listing = market.listing
        ticks, lots, number = trade.price_ticks, trade.size_lots, trade.id
        self._direction = tick_direction(self._direction, self._before, ticks)
        self._before = ticks
        self._waiting.append(
            f'{{"timestamp":{trade.time_ns // 1_000_000},'
            f'"price":{listing.price_text(ticks)},'
            f'"amount":{listing.size_text(lots)},'
            f'"direction":"{"sell" if trade.is_buyer_maker else "buy"}",'
            f'"index_price":{listing.price_text(market.index_ticks)},'
            f'"instrument_name":"{listing.symbol}","trade_seq":{number},'
            f'"mark_price":{listing.price_text(market.mark_ticks)},'
            f'"tick_direction":{self._direction},"contracts":{lots},'
            f'"trade_id":"{self._prefix}{number}"}}'
        )
        if self.is_raw:
            self._flush()

    def time(self, exchange: ConditionalExchange, time_ns: int) -> None:
        """Send the trades that wait."""
        del exchange
        if self._waiting and self.is_due(time_ns):
            self._flush()

    def _flush(self) -> None:
        data = ",".join(self._waiting).encode()
        self._waiting.clear()
        self.send_frame(text_frame(self._head + data + b"]}}"))


class BookTopic(Topic):
    """The whole book: a snapshot for each new listener, then what changed."""

    def __init__(self, channel: Channel, market: Market) -> None:
        super().__init__(channel, market)
        self._touched = market.book.track()
        self._shown: dict[tuple[int, int], int] = {}
        self._change_id = 0
        self._new: set[Session] = set()

    def add(self, session: Session) -> None:
        """Begin with a snapshot, which follows the acknowledgement."""
        self._new.add(session)

    @property
    def is_wanted(self) -> bool:
        """Whether anybody listens or waits for a snapshot."""
        return bool(self.sessions or self._new)

    def end(self) -> None:
        """Track the book no longer."""
        self.market.book.untrack(self._touched)

    def turn(self, exchange: ConditionalExchange, time_ns: int) -> None:
        """Send changes at once where the channel is raw."""
        if self.is_raw:
            self._send(exchange, time_ns)

    def time(self, exchange: ConditionalExchange, time_ns: int) -> None:
        """Send changes, and snapshots to new listeners."""
        if self._new or self.is_raw or self.is_due(time_ns):
            self._send(exchange, time_ns)

    def drop(self, session: Session) -> None:
        """Forget a listener who left before its snapshot."""
        self._new.discard(session)

    def _send(self, exchange: ConditionalExchange, time_ns: int) -> None:
        market = self.market
        exchange.quote(market, time_ns)
        bids, asks = self._changes()
        if bids or asks:
            before, self._change_id = self._change_id, market.book.update_id
            if self.sessions:
                head = {"type": "change", "prev_change_id": before}
                self.send(self._message(head, bids, asks, time_ns))
        if self._new:
            if not self._change_id:
                self._change_id = market.book.update_id
            self._send_snapshot(time_ns)

    def _send_snapshot(self, time_ns: int) -> None:
        listing = self.market.listing
        sides = [
            [
                ["new", price(listing, ticks), amount(listing, lots)]
                for (side, ticks), lots in sorted(
                    self._shown.items(), key=lambda level: -sign * level[0][1]
                )
                if side == sign
            ]
            for sign in (1, -1)
        ]
        head = {"type": "snapshot", "prev_change_id": None}
        message = self._message(head, sides[0], sides[1], time_ns)
        frame = text_frame(notification(self.channel.name, message))
        for session in self._new:
            session.frames.append(frame)
        self.sessions |= self._new
        self._new.clear()

    def _message(
        self,
        head: Json,
        bids: list[list[object]],
        asks: list[list[object]],
        time_ns: int,
    ) -> Json:
        return head | {
            "instrument_name": self.market.listing.symbol,
            "timestamp": ms(time_ns),
            "change_id": self._change_id,
            "bids": bids,
            "asks": asks,
        }

    def _changes(self) -> tuple[list[list[object]], list[list[object]]]:
        """Return what changed since the last time, bids and asks."""
        book, shown, listing = self.market.book, self._shown, self.market.listing
        if not shown:
            for sign in (1, -1):
                for ticks, lots in book.levels(sign, 100_000):
                    shown[sign, ticks] = lots
            self._touched.clear()
            return [], []
        sides: dict[int, list[list[object]]] = {1: [], -1: []}
        for sign, ticks in sorted(self._touched):
            lots, before = book.level_lots(sign, ticks), shown.get((sign, ticks), 0)
            if lots == before:
                continue
            if lots:
                shown[sign, ticks] = lots
                word, size = "change" if before else "new", amount(listing, lots)
            else:
                del shown[sign, ticks]
                word, size = "delete", ZERO
            sides[sign].append([word, price(listing, ticks), size])
        self._touched.clear()
        return sides[1], sides[-1]


class LevelsTopic(Topic):
    """The top of the book as it is, without changes."""

    def __init__(self, channel: Channel, market: Market) -> None:
        super().__init__(channel, market)
        self._sent_id = 0

    def add(self, session: Session) -> None:
        """Send the book as it is at the next chance."""
        super().add(session)
        self._sent_id = 0

    def turn(self, exchange: ConditionalExchange, time_ns: int) -> None:
        """Send at once where the channel is raw."""
        if self.is_raw:
            self._send(exchange, time_ns)

    def time(self, exchange: ConditionalExchange, time_ns: int) -> None:
        """Send what changed within the interval."""
        if self.is_due(time_ns):
            self._send(exchange, time_ns)

    def _send(self, exchange: ConditionalExchange, time_ns: int) -> None:
        exchange.quote(self.market, time_ns)
        number = self.market.book.update_id
        if number == self._sent_id:
            return
        self._sent_id = number
        depth = self.channel.depth
        self.send(
            {
                "instrument_name": self.market.listing.symbol,
                "timestamp": ms(time_ns),
                "change_id": number,
                "bids": levels(self.market, 1, depth),
                "asks": levels(self.market, -1, depth),
            }
        )


class QuoteTopic(Topic):
    """Best prices and amounts, whenever they change."""

    def __init__(self, channel: Channel, market: Market) -> None:
        super().__init__(channel, market)
        self._sent: dict[str, Decimal] = {}

    def add(self, session: Session) -> None:
        """Send them anew at the next chance."""
        super().add(session)
        self._sent = {}

    def turn(self, exchange: ConditionalExchange, time_ns: int) -> None:
        """Send them if they changed."""
        exchange.quote(self.market, time_ns)
        now = best(self.market)
        if now == self._sent:
            return
        self._sent = now
        head = {"instrument_name": self.market.listing.symbol, "timestamp": ms(time_ns)}
        self.send(head | now)

    def time(self, exchange: ConditionalExchange, time_ns: int) -> None:
        """Send them if they changed."""
        self.turn(exchange, time_ns)


class TickerTopic(Topic):
    """The ticker, whenever anything in it but its time has changed."""

    def __init__(self, channel: Channel, market: Market) -> None:
        super().__init__(channel, market)
        self._seen: tuple[int, ...] = ()
        self._day = Day(market)

    def add(self, session: Session) -> None:
        """Send it anew at the next chance."""
        super().add(session)
        self._seen = ()

    def turn(self, exchange: ConditionalExchange, time_ns: int) -> None:
        """Send at once where the channel is raw."""
        if self.is_raw:
            self._send(exchange, time_ns)

    def time(self, exchange: ConditionalExchange, time_ns: int) -> None:
        """Send what changed within the interval."""
        if self.is_due(time_ns):
            self._send(exchange, time_ns)

    def _send(self, exchange: ConditionalExchange, time_ns: int) -> None:
        market = self.market
        exchange.quote(market, time_ns)
        seen = market.book.update_id, market.history.last_id, market.mark_ticks
        if seen == self._seen:
            return
        self._seen = seen
        self.send(ticker_json(exchange, market, time_ns, self._day))


class ChartTopic(Topic):
    """Bars: each that closed, and the open one four times a second."""

    def __init__(self, channel: Channel, market: Market) -> None:
        super().__init__(channel, market)
        self._interval = RESOLUTIONS[channel.resolution]
        self._minute: int | None = None
        self._last_id = -1
        self._next_ns = 0

    def turn(self, exchange: ConditionalExchange, time_ns: int) -> None:
        """Send the bars that have closed, in their final state."""
        del exchange, time_ns
        current = self.market.history.current(self._interval)
        if current is None:
            return
        since = self._minute
        if since is not None and since < current.open_minute:
            end_ns = (current.open_minute - 1) * NS_PER_MINUTE
            for bar in self.market.history.bars(
                self._interval, since * NS_PER_MINUTE, end_ns, 1_500
            ):
                self.send(bar_json(self.market.listing, bar))
        self._minute = current.open_minute

    def time(self, exchange: ConditionalExchange, time_ns: int) -> None:
        """Send the open bar, if it has changed."""
        if time_ns < self._next_ns:
            return
        self._next_ns = time_ns + _OPEN_BAR_NS
        self.turn(exchange, time_ns)
        current = self.market.history.current(self._interval)
        if current is None or self.market.history.last_id == self._last_id:
            return
        self._last_id = self.market.history.last_id
        self.send(bar_json(self.market.listing, current))


class PerpetualTopic(Topic):
    """Interest and index of a perpetual, whenever one of them has changed."""

    def __init__(self, channel: Channel, market: Market) -> None:
        super().__init__(channel, market)
        self._sent: dict[str, Decimal] = {}

    def add(self, session: Session) -> None:
        """Send them anew at the next chance."""
        super().add(session)
        self._sent = {}

    def turn(self, exchange: ConditionalExchange, time_ns: int) -> None:
        """Send at once where the channel is raw."""
        if self.is_raw:
            self._send(exchange, time_ns)

    def time(self, exchange: ConditionalExchange, time_ns: int) -> None:
        """Send what changed within the interval."""
        if self.is_due(time_ns):
            self._send(exchange, time_ns)

    def _send(self, exchange: ConditionalExchange, time_ns: int) -> None:
        market = self.market
        now = {
            "interest": plain(market.funding_rate(exchange.rules)),
            "index_price": price(market.listing, market.index_ticks),
        }
        if now != self._sent:
            self._sent = now
            self.send({"timestamp": ms(time_ns)} | now)


class IndexTopic(Topic):
    """A price index, whenever it has changed; ``market`` is any."""

    def __init__(self, channel: Channel, market: Market) -> None:
        super().__init__(channel, market)
        self._sent: Decimal | None = None

    def add(self, session: Session) -> None:
        """Send it anew at the next chance."""
        super().add(session)
        self._sent = None

    def turn(self, exchange: ConditionalExchange, time_ns: int) -> None:
        """Send it if it changed."""
        name = self.channel.resolution
        now = index_price(exchange, name)
        if now is None or now == self._sent:
            return
        self._sent = now
        self.send({"timestamp": ms(time_ns), "price": now, "index_name": name})

    def time(self, exchange: ConditionalExchange, time_ns: int) -> None:
        """Send it if it changed without a trade."""
        self.turn(exchange, time_ns)


_KINDS: dict[str, type[Topic]] = {
    "perpetual": PerpetualTopic,
    "index": IndexTopic,
    "trades": TradesTopic,
    "book": BookTopic,
    "levels": LevelsTopic,
    "quote": QuoteTopic,
    "ticker": TickerTopic,
    "chart": ChartTopic,
}


def make_topic(channel: Channel, market: Market) -> Topic:
    """Return a new topic for a public channel."""
    return _KINDS[channel.what](channel, market)

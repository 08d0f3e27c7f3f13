"""
Deribit's channels, sans-I/O: who listens to what, and frames queued for them.

Trade times are those of the tape, all other times wall times.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cryptoquantix.simulator.history import PrintedTrade
from cryptoquantix.simulator.orders import (
    AlgoChanged,
    AlgoStatus,
    FundsChanged,
    OrderChanged,
    VenueEvent,
)
from cryptoquantix.simulator.wire.deribit_account import (
    portfolio_json,
    position_json,
)
from cryptoquantix.simulator.wire.deribit_calls import CURRENCIES, VenueState
from cryptoquantix.simulator.wire.deribit_channels import Channel, parse_channel
from cryptoquantix.simulator.wire.deribit_errors import (
    DeribitError,
    invalid_parameter,
    unauthorized,
)
from cryptoquantix.simulator.wire.deribit_market import RESOLUTIONS, index_price
from cryptoquantix.simulator.wire.deribit_payloads import (
    algo_json,
    fill_json,
    order_json,
)
from cryptoquantix.simulator.wire.deribit_requests import Json, notification
from cryptoquantix.simulator.wire.deribit_session import CHANNELS_MAX, Session
from cryptoquantix.simulator.wire.deribit_topics import BookTopic, Topic, make_topic

_PERIOD_NS = 100_000_000
_PORTFOLIO_NS = 1_000_000_000


class _Feed:
    """One private channel of one connection; what waits is told together."""

    def __init__(self, session: Session, channel: Channel) -> None:
        self.session = session
        self.channel = channel
        self.waiting: list[Json] = []
        self.is_stale = True  # a portfolio that has to be told anew
        self.sent: dict[str, Json] = {}
        self.due_ns = 0

    def tell(self, data: list[Json]) -> None:
        """Tell at once, or keep it for the end of the interval."""
        if self.channel.interval != "raw":
            self.waiting += data
        elif self.channel.what == "trades":
            self.send(data)
        else:
            for item in data:
                self.send(item)

    def send(self, data: object) -> None:
        """Queue one notification."""
        self.session.send(notification(self.channel.name, data))

    def flush(self, time_ns: int) -> None:
        """Send what waits, if its interval has passed."""
        if self.waiting and time_ns >= self.due_ns:
            self.due_ns = time_ns + _PERIOD_NS
            waiting, self.waiting = self.waiting, []
            if self.channel.what == "changes":
                for item in waiting:
                    self.send(item)
            else:
                self.send(waiting)


class DeribitStreams:
    """Every connection and what it listens to."""

    def __init__(self, state: VenueState, *, is_lenient: bool = False) -> None:
        self._state = state
        self._is_lenient = is_lenient
        self.sessions: dict[int, Session] = {}
        self.opened = 0
        self._topics: dict[str, Topic] = {}
        self._of_symbol: dict[str, list[Topic]] = {}
        self._feeds: dict[tuple[int, str], _Feed] = {}
        state.subscriptions = self

    # What clients ask for.

    def open(self) -> Session:
        """Return a new connection."""
        self.opened += 1
        session = Session(self.opened)
        self.sessions[session.id] = session
        return session

    def leave(self, session: Session) -> None:
        """Forget a connection that is gone."""
        self.sessions.pop(session.id, None)
        self.unsubscribe(session, list(session.channels))

    def log_out(self) -> None:
        """End every login; private channels end with it."""
        for session in self.sessions.values():
            private = [n for n in session.channels if n.startswith("user.")]
            self.unsubscribe(session, private)
            session.login = None

    def subscribe(self, session: Session, names: Sequence[str]) -> list[str]:
        """
        Add channels to a connection: all of them or, if one is refused, none.

        Raises
        ------
        DeribitError
            13009 or 13778 without a login that the channel needs, -32602 for a
            channel there is not.
        """
        new = [name for name in dict.fromkeys(names) if name not in session.channels]
        if len(session.channels) + len(new) > CHANNELS_MAX:
            raise invalid_parameter(
                name="channels", reason=f"more than {CHANNELS_MAX} channels"
            )
        found = [(name, self._channel(session, name)) for name in new]
        for name, channel in found:
            session.channels.add(name)
            if channel is None:
                continue
            if channel.is_private:
                self._feeds[session.id, name] = _Feed(session, channel)
            else:
                self._topic(channel).add(session)
        return [name for name in dict.fromkeys(names) if name in session.channels]

    def unsubscribe(self, session: Session, names: Sequence[str]) -> list[str]:
        """Take channels from a connection and return those it had."""
        had = [name for name in dict.fromkeys(names) if name in session.channels]
        for name in had:
            session.channels.discard(name)
            self._feeds.pop((session.id, name), None)
            topic = self._topics.get(name)
            if topic is None:
                continue
            topic.sessions.discard(session)
            if isinstance(topic, BookTopic):
                topic.drop(session)
            if not topic.is_wanted:
                del self._topics[name]
                self._of_symbol[topic.channel.symbol].remove(topic)
                topic.end()
        return had

    def _channel(self, session: Session, name: str) -> Channel | None:
        """Return a channel that a connection may have, or refuse it."""
        channel = parse_channel(name)
        is_known = channel is not None and self._is_listed(channel)
        if channel is None or not is_known:
            if self._is_lenient:
                return None
            raise invalid_parameter(
                name="channels", reason=f"unknown channel {name[:80]!r}"
            )
        if channel.is_private and session.login is None:
            raise unauthorized(reason="not logged in")
        if channel.is_raw and session.login is None:
            raise DeribitError(
                13778, "raw_subscriptions_not_available_for_unauthorized"
            )
        return channel

    def _is_listed(self, channel: Channel) -> bool:
        if channel.symbol and channel.symbol not in self._state.exchange.markets:
            return False
        if channel.what == "chart":
            return channel.resolution in RESOLUTIONS
        if channel.what == "index":
            return index_price(self._state.exchange, channel.resolution) is not None
        return not channel.coin or channel.coin in CURRENCIES

    def _topic(self, channel: Channel) -> Topic:
        topic = self._topics.get(channel.name)
        if topic is None:
            markets = self._state.exchange.markets
            # A price index is of no instrument.
            market = markets[channel.symbol or next(iter(markets))]
            topic = make_topic(channel, market)
            self._topics[channel.name] = topic
            self._of_symbol.setdefault(channel.symbol, []).append(topic)
        return topic

    # What happens.

    def on_trade(self, symbol: str, trade: PrintedTrade) -> None:
        """Queue a trade that was printed; called for every trade of the tape."""
        for topic in self._of_symbol.get(symbol, ()):
            topic.on_trade(trade)

    def on_turn(self, time_ns: int) -> None:
        """Queue what follows a burst of trades."""
        for topic in list(self._topics.values()):
            topic.turn(self._state.exchange, time_ns)

    def on_timer(self, time_ns: int) -> None:
        """Queue what the clock brings, heartbeats too."""
        for topic in list(self._topics.values()):
            topic.time(self._state.exchange, time_ns)
        for feed in self._feeds.values():
            if feed.channel.what == "portfolio":
                self._tell_portfolio(feed, time_ns)
            else:
                feed.flush(time_ns)
        for session in self.sessions.values():
            session.beat(time_ns)

    def on_events(self, events: Iterable[VenueEvent]) -> None:
        """Queue what happened to accounts."""
        if not self._feeds:
            return
        for event in events:
            if isinstance(event, OrderChanged):
                fills = [fill_json(event.fill)] if event.fill else []
                order = order_json(event.order)
                account_id = event.order.account_id
                self._tell(account_id, event.order.listing.symbol, order, fills)
            elif isinstance(event, AlgoChanged):
                algo = event.algo
                if algo.status not in {AlgoStatus.TRIGGERING, AlgoStatus.FINISHED}:
                    symbol = algo.listing.symbol
                    self._tell(algo.account_id, symbol, algo_json(algo), [])
            elif isinstance(event, FundsChanged):
                self._spoil(event.account_id, event.coin)

    def _tell(
        self, account_id: int, symbol: str, order: Json, fills: list[Json]
    ) -> None:
        exchange = self._state.exchange
        market = exchange.markets[symbol]
        settlement = market.listing.settlement
        self._spoil(account_id, settlement)
        for feed in self._feeds.values():
            channel = feed.channel
            if feed.session.account_id != account_id or channel.what == "portfolio":
                continue
            if not channel.covers(symbol, settlement):
                continue
            if channel.what == "orders":
                feed.tell([order])
            elif channel.what == "trades":
                if fills:
                    feed.tell(fills)
            else:
                account = exchange.clearing.accounts[account_id]
                held = [position_json(exchange, account, market)] if fills else []
                feed.tell(
                    [
                        {
                            "instrument_name": symbol,
                            "trades": fills,
                            "positions": held,
                            "orders": [order],
                        }
                    ]
                )

    def _spoil(self, account_id: int, coin: str) -> None:
        for feed in self._feeds.values():
            channel = feed.channel
            if channel.what == "portfolio" and feed.session.account_id == account_id:
                feed.is_stale = feed.is_stale or channel.coin in {"", coin}

    def _tell_portfolio(self, feed: _Feed, time_ns: int) -> None:
        """Tell a portfolio that was changed at once, one that moves every second."""
        if not feed.is_stale and time_ns < feed.due_ns:
            return
        feed.due_ns = time_ns + _PORTFOLIO_NS
        exchange = self._state.exchange
        account = exchange.clearing.accounts.get(feed.session.account_id)
        if account is None:
            return
        coins = [feed.channel.coin] if feed.channel.coin else exchange.rules.coins
        for coin in coins:
            data = portfolio_json(exchange, account, coin)
            if feed.is_stale or data != feed.sent.get(coin):
                feed.send(data)
            feed.sent[coin] = data
        feed.is_stale = False

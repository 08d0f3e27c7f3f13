"""
One simulated venue without sockets, whatever its protocol: core, watches, log.

Everything that happens goes through here, so that the log misses nothing. A venue's
own module adds the wire: REST requests answered, WebSocket messages, streams.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple

from cryptoquantix.simulator.conditional import ConditionalExchange
from cryptoquantix.simulator.exchange import Print
from cryptoquantix.simulator.history import PrintedTrade, PriorBar
from cryptoquantix.simulator.listing import (
    Listing,
    divide_half_even,
    money_text,
    to_units,
)
from cryptoquantix.simulator.maker import LadderRule
from cryptoquantix.simulator.market import (
    Market,
    MirroredMark,
    MirroredQuote,
    scaled,
)
from cryptoquantix.simulator.orders import (
    AlgoChanged,
    FundsChanged,
    LeverageChanged,
    ModeChanged,
    OrderChanged,
    VenueEvent,
    VenueOrder,
)
from cryptoquantix.simulator.record import Record
from cryptoquantix.simulator.rules import VenueRules
from cryptoquantix.simulator.tape import TapeEntry
from cryptoquantix.simulator.watch import JointWatch, Watch
from cryptoquantix.simulator.wire.messages import Request, Response, Subscriber


class Conversion(NamedTuple):
    """How a tape's ticks and lots become those of one listing of a venue."""

    listing: Listing
    ticks: Fraction  # of the listing per tick of the tape
    lots: Fraction  # of the listing per lot of the tape; inverse: per tick x lot
    is_same: bool  # as on the tape: nothing to convert

    @classmethod
    def between(cls, tape: Listing, listing: Listing) -> Conversion:
        """Return how trades of ``tape`` are printed as trades of ``listing``."""
        ticks = Fraction(tape.tick_size) / Fraction(listing.tick_size)
        lots = Fraction(tape.lot_size) / Fraction(listing.lot_size)
        if listing.is_inverse and not tape.is_inverse:
            lots *= Fraction(tape.tick_size)
        is_same = ticks == lots == 1 and not listing.is_inverse
        return cls(listing, ticks, lots, is_same)

    def price_ticks(self, ticks: int) -> int:
        """Return a price of the tape in ticks of the listing, at least one."""
        return max(1, scaled(ticks, self.ticks))

    def size_lots(self, lots: int, price_ticks: int) -> int:
        """Return a size of the tape, traded at a tape price, in lots of the listing."""
        value = lots * price_ticks if self.listing.is_inverse else lots
        return scaled(value, self.lots)

    def trade(self, trade: Print) -> Print:
        """Return a trade of the tape as one of the listing."""
        if self.is_same:
            return trade
        return trade._replace(
            price_ticks=self.price_ticks(trade.price_ticks),
            size_lots=max(1, self.size_lots(trade.size_lots, trade.price_ticks)),
        )

    def bar(self, bar: PriorBar) -> PriorBar:
        """Return a bar from before the tape as one of the listing."""
        if self.is_same:
            return bar
        opened, high, low, close = map(
            self.price_ticks, (bar.open, bar.high, bar.low, bar.close)
        )
        size = self.size_lots(bar.lots, bar.close)
        return bar._replace(
            open=opened,
            high=high,
            low=low,
            close=close,
            lots=size,
            value=size * close,
        )


class SimulatedVenue(ABC):
    """
    The venue as a whole, driven by calls that carry the wall time.

    A subclass sets ``name``, makes its wire in ``__init__`` and implements the
    abstract methods. What happens reaches it through ``on_events`` (in order, after
    each command), ``on_trade``, ``on_turn`` and ``on_timer``.
    """

    name: str
    ping_seconds: float | None = None  # between the pings a venue sends, if any
    ladder_rule: LadderRule | None = None  # how its makers quote; None: as usual
    skew_ns: int = 0  # how far its clock is ahead of true time

    def __init__(self, rules: VenueRules, record: Record) -> None:
        self.rules = rules
        self.exchange = ConditionalExchange(rules)
        self.exchange.clearing.on_equity = self._see_equity
        self.record = record
        self.watches: dict[int, Watch] = {}
        self.joint: JointWatch | None = None
        self._routes: dict[str, list[Conversion]] = {}

    # What a venue's own module adds.

    @abstractmethod
    def answer(self, request: Request, time_ns: int) -> Response:
        """Carry out one REST request; never raises for bad input."""

    @abstractmethod
    def open_subscriber(self, request: Request, time_ns: int) -> Subscriber | Response:
        """Return the subscriber of a new WebSocket connection, or a refusal."""

    @abstractmethod
    def on_message(
        self, subscriber: Subscriber, text: str | bytes, time_ns: int
    ) -> None:
        """Carry out one WebSocket message; never raises for bad input."""

    @abstractmethod
    def on_leave(self, subscriber: Subscriber, time_ns: int) -> None:
        """Forget a subscriber whose connection is gone."""

    @abstractmethod
    def on_events(self, events: Sequence[VenueEvent]) -> None:
        """Queue what account events make private streams say."""

    @abstractmethod
    def on_trade(self, symbol: str, printed: PrintedTrade, time_ns: int) -> None:
        """Queue a trade that was printed."""

    @abstractmethod
    def on_turn(self, time_ns: int) -> None:
        """Queue what follows a burst of trades: quotes, closed bars."""

    @abstractmethod
    def on_timer(self, time_ns: int) -> None:
        """Queue what the clock brings; called about every 50 ms."""

    @abstractmethod
    def unavailable(self, status: int) -> Response:
        """Return the venue's answer while it is down, with an HTTP status."""

    @abstractmethod
    def oversized(self) -> Response:
        """Return the venue's answer to a body that is too large."""

    def expire_sessions(self, time_ns: int) -> int:
        """End every private session as the venue would; return how many."""
        del time_ns
        return 0

    def kept(self) -> dict[str, Any]:
        """Return what of the wire outlives a restart, as plain values."""
        return {}

    def take_back(self, kept: dict[str, Any]) -> None:
        """Take in what :meth:`kept` returned before the restart."""
        del kept

    def listings_for(self, tape: Listing) -> list[Listing]:
        """Return what this venue lists for an instrument of the tape."""
        return [tape]

    def with_rules(self, listing: Listing) -> Listing:
        """Return an instrument of the venue with its bands, fees and margins."""
        return listing

    def open_account(self, balance: Decimal, time_ns: int) -> int:
        """Open an account worth ``balance`` of the value coin; return its number."""
        account = self.exchange.clearing.open_account(to_units(balance), time_ns)
        return account.id

    # What clients do.

    def respond(self, request: Request, time_ns: int) -> Response:
        """Carry out one REST request, log it and queue what follows from it."""
        response = self.answer(request, time_ns)
        self.log_request(request.method, request.path, response, time_ns)
        self.settle()
        return response

    def receive(
        self, subscriber: Subscriber, text: str | bytes, time_ns: int = 0
    ) -> None:
        """Carry out one WebSocket message."""
        self.on_message(subscriber, text, time_ns)
        self.settle()

    def leave(self, subscriber: Subscriber, time_ns: int) -> None:
        """Forget a connection; what its loss brings is done."""
        self.on_leave(subscriber, time_ns)
        self.settle()

    def log_request(
        self, method: str, path: str, response: Response, time_ns: int
    ) -> None:
        """Log one request and how it ended; JSON-RPC wires log each call."""
        self.record.add(
            "request",
            time_ns,
            venue=self.name,
            method=method,
            path=path[:200],
            key_role=response.key_role,
            status=response.status,
            code=response.code,
            notes=list(response.notes),
            **response.summary,
        )

    # What the tape and time do.

    def add_instrument(
        self,
        tape: Listing,
        price_ticks: int,
        *,
        tape_ns: int,
        prior: Iterable[PriorBar] = (),
    ) -> list[Market]:
        """List an instrument of the tape under this venue's own symbols."""
        bars = list(prior)
        markets = []
        for listing in self.listings_for(tape):
            conversion = Conversion.between(tape, listing)
            price = conversion.price_ticks(price_ticks)
            market = self.exchange.list_instrument(
                listing, price, rule=self.ladder_rule
            )
            market.tape_ns = tape_ns
            market.preload(conversion.bar(bar) for bar in bars)
            self._routes.setdefault(tape.symbol, []).append(conversion)
            markets.append(market)
        return markets

    def reach(self, tape_ns: int, time_ns: int) -> None:
        """Do what is due at a tape time before which everything was played."""
        self.exchange.reach(tape_ns, time_ns)
        self.settle()

    def add_mirror(
        self, listing: Listing, price_ticks: int, *, tape_ns: int, prior: list[PriorBar]
    ) -> Market:
        """
        List an instrument that mirrors a market; halted until that is heard.

        Raises
        ------
        ValueError
            If it settles in a coin that this venue's simulation does not know.
        """
        if listing.settlement not in self.rules.coins:
            known = ", ".join(self.rules.coins)
            msg = (
                f"{self.name} is simulated for what settles in {known}, "
                f"{listing.symbol} settles in {listing.settlement}"
            )
            raise ValueError(msg)
        market = self.exchange.list_instrument(self.with_rules(listing), price_ticks)
        market.tape_ns = tape_ns
        market.is_mirror = market.is_halted = True
        market.preload(prior)
        return market

    def take_print(self, symbol: str, trade: Print, time_ns: int) -> None:
        """Print a trade of a mirrored market."""
        printed = self.exchange.tick(symbol, trade, time_ns)
        self.on_trade(symbol, printed, time_ns)
        self.settle()

    def take_quote(self, symbol: str, quote: MirroredQuote, time_ns: int) -> None:
        """Show the best quotes of a mirrored market."""
        self.exchange.see_quote(symbol, quote, time_ns)
        self.settle()

    def take_mark(self, symbol: str, mark: MirroredMark, time_ns: int) -> None:
        """Take mark, index and funding of a mirrored market."""
        self.exchange.see_mark(symbol, mark, time_ns)
        self.settle()

    def take_standing(self, symbol: str, why: str, time_ns: int) -> None:
        """Halt a mirrored market, saying why, or with "" let it go on."""
        self.exchange.halt(symbol, is_halted=bool(why))
        state = "halted" if why else "open"
        self.record.add(
            "market", time_ns, venue=self.name, symbol=symbol, state=state, why=why
        )

    def tick(self, entry: TapeEntry, time_ns: int) -> None:
        """Print one trade of the tape, if it is listed here."""
        for conversion in self._routes.get(entry.symbol, ()):
            symbol = conversion.listing.symbol
            trade = conversion.trade(entry.trade)
            printed = self.exchange.tick(symbol, trade, time_ns)
            self.on_trade(symbol, printed, time_ns)
        self.settle()

    def turn(self, time_ns: int) -> None:
        """Queue what follows a burst of trades."""
        self.on_turn(time_ns)
        self.settle()

    def timer(self, time_ns: int) -> None:
        """Do what the clock brings: depth, marks, dead-man's switches, refills."""
        self.exchange.refresh(time_ns)
        self.on_timer(time_ns)
        self.settle()

    # What the operator does.

    def shock(self, symbol: str, factor: Fraction, time_ns: int) -> None:
        """Multiply the price of a symbol, now and for the rest of the tape."""
        printed = self.exchange.shock(symbol, factor, time_ns)
        self.on_trade(symbol, printed, time_ns)
        self.turn(time_ns)

    def depeg(self, symbol: str, premium: Fraction, time_ns: int) -> None:
        """Let a symbol trade at ``premium`` × index here alone; 1 ends it."""
        printed = self.exchange.depeg(symbol, premium, time_ns)
        self.on_trade(symbol, printed, time_ns)
        self.turn(time_ns)

    def transfer(
        self, account_id: int, units: int, time_ns: int, coin: str = ""
    ) -> None:
        """
        Move money into (or out of) an account.

        Raises
        ------
        ValueError
            If the venue has no such coin or no such account.
        """
        if coin and coin not in self.rules.known_coins:
            known = ", ".join(self.rules.known_coins)
            msg = f"{self.name} has accounts in {known}, not in {coin}"
            raise ValueError(msg)
        if account_id not in self.exchange.clearing.accounts:
            msg = f"{self.name} has no account {account_id}"
            raise ValueError(msg)
        clearing = self.exchange.clearing
        account = clearing.accounts[account_id]
        before = clearing.worth_units(account)
        wallet = account.wallet_of(coin or account.coin)
        self.exchange.transfer(account_id, units, time_ns, coin)
        watch = self.watches.get(account_id)
        moved = account.wallet_of(coin or account.coin) - wallet
        after = before + _nearest(moved * clearing.coin_price(coin or account.coin))
        if watch is not None:
            watch.move(before, after)
        if self.joint is not None:
            self.joint.move(self.name, before, after)
        self.settle()

    def set_coin_price(self, coin: str, usd: Fraction | None, time_ns: int) -> None:
        """Say what a coin is worth in dollars at this venue; None ends it."""
        self.exchange.set_coin_price(coin, usd, time_ns)
        self.settle()

    def coin_prices(self) -> dict[str, str]:
        """Return what each coin of the venue is worth in dollars."""
        price = self.exchange.clearing.coin_price
        names = dict.fromkeys([*self.rules.known_coins, "USDT", "USDC"])
        return {coin: money_text(_nearest(price(coin) * 10**8)) for coin in names}

    def watch(self, account_id: int, threshold: Decimal, time_ns: int) -> Watch:
        """Start tracking an account's peak and drawdown from here."""
        account = self.exchange.clearing.accounts[account_id]
        equity = self.exchange.clearing.worth_units(account)
        watch = Watch.begin(Fraction(threshold), equity, time_ns)
        self.watches[account_id] = watch
        return watch

    def account_json(self, account_id: int) -> dict[str, Any]:
        """Return the account's true books as the admin API shows them."""
        clearing = self.exchange.clearing
        account = clearing.accounts[account_id]
        positions = [
            {
                "symbol": held.listing.symbol,
                "leg": held.leg.value,
                "size": held.listing.size_text(held.size_lots),
                "entry": held.listing.average_text(
                    abs(held.cost_units), abs(held.size_lots)
                ),
                "mark": held.listing.price_text(market.mark_ticks),
                "upnl": money_text(held.unrealized_units(market.mark_ticks)),
                "coin": held.listing.settlement,
            }
            for market, held in clearing.open_holdings(account)
        ]
        orders = [
            _order_json(order)
            for market in self.exchange.markets.values()
            for order in market.open_orders.values()
            if order.account_id == account_id
        ]
        algos = [
            {
                "id": a.id,
                "client_id": a.request.order.client_id,
                "symbol": a.request.order.symbol,
                "side": a.request.order.side.value,
                "type": a.request.order.original_type,
                "size": a.listing.size_text(a.request.order.size_lots),
                "trigger": a.listing.price_text(min(a.trigger_ticks, 10**17)),
                "reduce_only": a.request.order.is_reduce_only
                or a.request.order.is_close_position,
            }
            for a in self.exchange.open_algos(account_id)
        ]
        margin = clearing.margin(account)
        return {
            "wallet": money_text(account.wallet_units),
            "equity": money_text(clearing.worth_units(account)),
            "wallets": {c: money_text(u) for c, u in account.wallets.items()},
            "rates": self.coin_prices(),
            "initial_margin": money_text(margin.initial),
            "maintenance_margin": money_text(margin.maintenance),
            "positions": positions,
            "open_orders": orders,
            "algo_orders": algos,
        }

    def is_flat(self, account_id: int) -> bool:
        """Return whether an account has neither a position nor any open order."""
        core = self.exchange
        account = core.clearing.accounts.get(account_id)
        if account is None:
            return False
        return not (
            core.clearing.open_holdings(account)
            or any(m.orders_of(account_id) for m in core.markets.values())
            or core.open_algos(account_id)
        )

    def prices_json(self) -> dict[str, str]:
        """Return last prices by symbol."""
        return {
            symbol: market.listing.price_text(market.price_ticks)
            for symbol, market in self.exchange.markets.items()
        }

    def tape_ticks(self) -> dict[str, int]:
        """Return the last prices of the tape in its own ticks, by its symbols."""
        return {
            symbol: max(1, _nearest(market.raw_ticks / found[0].ticks))
            for symbol, found in self._routes.items()
            for market in (self.exchange.markets[found[0].listing.symbol],)
        }

    def listings(self) -> dict[str, Listing]:
        """Return what is listed, by symbol."""
        return {s: m.listing for s, m in self.exchange.markets.items()}

    def _see_equity(self, account_id: int, equity_units: int, time_ns: int) -> None:
        watch = self.watches.get(account_id)
        if watch is not None:
            watch.see(equity_units, time_ns)
        if self.joint is not None:
            self.joint.see(self.name, equity_units, time_ns - self.skew_ns)

    def settle(self) -> None:
        """Hand the core's events to streams and log."""
        events = self.exchange.drain()
        if events:
            self.on_events(events)
            for event in events:
                self._log(event)

    def _log(self, event: VenueEvent) -> None:
        if isinstance(event, OrderChanged):
            self._log_order(event)
        elif isinstance(event, AlgoChanged):
            algo = event.algo
            self.record.add(
                "algo",
                event.time_ns,
                venue=self.name,
                status=algo.status.value,
                algo_id=algo.id,
                client_id=algo.request.order.client_id,
                symbol=algo.request.order.symbol,
                side=algo.request.order.side.value,
                type=algo.request.order.original_type,
                order_id=algo.child.id if algo.child else None,
            )
        elif isinstance(event, ModeChanged):
            self.record.add(
                "mode",
                event.time_ns,
                venue=self.name,
                symbol=event.symbol,
                is_hedged=event.is_hedged,
            )
        elif isinstance(event, LeverageChanged):
            self.record.add(
                "leverage",
                event.time_ns,
                venue=self.name,
                symbol=event.symbol,
                leverage=event.leverage,
            )
        elif isinstance(event, FundsChanged):
            self._log_funds(event)
        else:
            self.record.add("flat", event.time_ns, venue=self.name)

    def _log_funds(self, event: FundsChanged) -> None:
        if event.reason != "ORDER":
            self.record.add(
                "funds",
                event.time_ns,
                venue=self.name,
                reason=event.reason,
                coin=event.coin,
                change=money_text(event.change_units),
                wallet=money_text(event.wallet_units),
            )

    def _log_order(self, event: OrderChanged) -> None:
        order, fill = event.order, event.fill
        common = {
            "venue": self.name,
            "order_id": order.id,
            "client_id": order.request.client_id,
            "symbol": order.request.symbol,
            "side": order.request.side.value,
            "origin": order.request.origin.value,
            "leg": order.request.leg.value,
        }
        if fill is None:
            event_name = "accepted" if event.execution == "NEW" else None
            self.record.add(
                "order",
                event.time_ns,
                event=event_name or event.execution.lower(),
                status=order.status.value,
                reduce_only=order.request.is_reduce_only,
                type=order.request.order_type,
                size=order.listing.size_text(order.size_lots),
                reason=order.end_reason.value,
                **common,
            )
            return
        self.record.add(
            "fill",
            event.time_ns,
            trade_id=fill.trade_id,
            price=order.listing.price_text(fill.price_ticks),
            size=order.listing.size_text(fill.size_lots),
            fee=money_text(fill.fee_units),
            realized=money_text(fill.realized_units),
            reduce_only=order.request.is_reduce_only,
            is_maker=fill.is_maker,
            position_after=order.listing.size_text(fill.position_after),
            status=order.status.value,
            **common,
        )


def _order_json(order: VenueOrder) -> dict[str, Any]:
    return {
        "id": order.id,
        "client_id": order.request.client_id,
        "symbol": order.request.symbol,
        "side": order.request.side.value,
        "type": order.request.order_type,
        "price": order.listing.price_text(order.price_ticks),
        "size": order.listing.size_text(order.size_lots),
        "filled": order.listing.size_text(order.filled_lots),
        "reduce_only": order.request.is_reduce_only,
    }


def _nearest(value: Fraction | int) -> int:
    return divide_half_even(value.numerator, value.denominator)

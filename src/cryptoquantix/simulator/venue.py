"""
One simulated Binance USD-M venue without sockets: core, wire, streams, watches, log.

Everything that happens goes through here, so that the log misses nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from fractions import Fraction
from typing import Any

from cryptoquantix.simulator.conditional import ConditionalExchange
from cryptoquantix.simulator.listing import Listing, money_text
from cryptoquantix.simulator.orders import (
    AlgoChanged,
    OrderChanged,
    VenueEvent,
    VenueOrder,
    WentFlat,
)
from cryptoquantix.simulator.record import Record
from cryptoquantix.simulator.tape import TapeEntry
from cryptoquantix.simulator.watch import Watch
from cryptoquantix.simulator.wire.binance import BinanceWire, Request, Response
from cryptoquantix.simulator.wire.binance_payloads import entry_price
from cryptoquantix.simulator.wire.binance_requests import Key
from cryptoquantix.simulator.wire.binance_streams import BinanceStreams, Subscriber

COIN = "USDT"


class BinanceVenue:
    """The venue as a whole, driven by calls that carry the wall time."""

    name = "binance"

    def __init__(
        self,
        keys: Iterable[Key],
        record: Record,
        *,
        listen_key_seed: str,
        is_lenient: bool = False,
        is_limited: bool = True,
    ) -> None:
        self.exchange = ConditionalExchange(COIN)
        self.exchange.clearing.on_equity = self._see_equity
        self.record = record
        self.watches: dict[int, Watch] = {}
        self.wire = BinanceWire(
            self.exchange,
            keys,
            listen_key_seed=listen_key_seed,
            is_lenient=is_lenient,
            is_limited=is_limited,
        )
        self.streams = BinanceStreams(self.wire.state, is_lenient=is_lenient)

    # What clients do.

    def respond(self, request: Request, time_ns: int) -> Response:
        """Carry out one REST request, log it and queue what follows from it."""
        response = self.wire.respond(request, time_ns)
        self.record.add(
            "request",
            time_ns,
            venue=self.name,
            method=request.method,
            path=request.path[:200],
            key_role=response.key_role,
            status=response.status,
            code=response.code,
            notes=list(response.notes),
            **response.summary,
        )
        self._settle()
        return response

    def receive(self, subscriber: Subscriber, text: str | bytes) -> None:
        """Carry out one WebSocket message."""
        self.streams.receive(subscriber, text)

    # What the tape and time do.

    def tick(self, entry: TapeEntry, time_ns: int) -> None:
        """Print one trade of the tape."""
        symbol, trade = entry
        printed = self.exchange.tick(symbol, trade, time_ns)
        self.streams.on_trade(symbol, printed, time_ns)
        self._settle()

    def turn(self, time_ns: int) -> None:
        """Queue what follows a burst of trades."""
        self.streams.on_turn(time_ns)
        self._settle()

    def timer(self, time_ns: int) -> None:
        """Do what the clock brings: depth, marks, dead-man's switches, refills."""
        self.exchange.refresh(time_ns)
        self.streams.on_timer(time_ns)
        self._settle()

    # What the operator does.

    def shock(self, symbol: str, factor: Fraction, time_ns: int) -> None:
        """Multiply the price of a symbol, now and for the rest of the tape."""
        printed = self.exchange.shock(symbol, factor, time_ns)
        self.streams.on_trade(symbol, printed, time_ns)
        self.streams.on_turn(time_ns)
        self._settle()

    def transfer(self, account_id: int, units: int, time_ns: int) -> None:
        """Move money into (or out of) an account."""
        account = self.exchange.clearing.accounts[account_id]
        before = self.exchange.clearing.equity_units(account)
        self.exchange.transfer(account_id, units, time_ns)
        watch = self.watches.get(account_id)
        if watch is not None:
            watch.move(before, before + units)
        self._settle()

    def watch(self, account_id: int, threshold: Decimal, time_ns: int) -> Watch:
        """Start tracking an account's peak and drawdown from here."""
        account = self.exchange.clearing.accounts[account_id]
        equity = self.exchange.clearing.equity_units(account)
        watch = Watch.begin(Fraction(threshold), equity, time_ns)
        self.watches[account_id] = watch
        return watch

    def account_json(self, account_id: int) -> dict[str, Any]:
        """Return the account's true books as the admin API shows them."""
        clearing = self.exchange.clearing
        account = clearing.accounts[account_id]
        positions = [
            {
                "symbol": symbol,
                "size": held.listing.size_text(held.size_lots),
                "entry": entry_price(held),
                "mark": held.listing.price_text(clearing.markets[symbol].price_ticks),
                "upnl": money_text(
                    held.unrealized_units(clearing.markets[symbol].price_ticks)
                ),
            }
            for symbol, held in account.holdings.items()
            if held.size_lots
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
            "equity": money_text(margin.equity),
            "initial_margin": money_text(margin.initial),
            "maintenance_margin": money_text(margin.maintenance),
            "positions": positions,
            "open_orders": orders,
            "algo_orders": algos,
        }

    def prices_json(self) -> dict[str, str]:
        """Return last prices by symbol."""
        return {
            symbol: market.listing.price_text(market.price_ticks)
            for symbol, market in self.exchange.markets.items()
        }

    def listings(self) -> dict[str, Listing]:
        """Return what is listed, by symbol."""
        return {s: m.listing for s, m in self.exchange.markets.items()}

    def _see_equity(self, account_id: int, equity_units: int, time_ns: int) -> None:
        watch = self.watches.get(account_id)
        if watch is not None:
            watch.see(equity_units, time_ns)

    def _settle(self) -> None:
        """Hand the core's events to streams and log."""
        events = self.exchange.drain()
        if events:
            self.streams.on_events(events)
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
        elif isinstance(event, WentFlat):
            self.record.add("flat", event.time_ns, venue=self.name)
        elif event.reason != "ORDER":
            self.record.add(
                "funds",
                event.time_ns,
                venue=self.name,
                reason=event.reason,
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

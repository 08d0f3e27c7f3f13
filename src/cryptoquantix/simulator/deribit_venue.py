"""Deribit as a simulated venue: its listings, its JSON-RPC door and its channels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

from cryptoquantix.simulator.history import PrintedTrade
from cryptoquantix.simulator.listing import (
    INVERSE_BRACKETS,
    UNITS_PER_COIN,
    Listing,
    to_units,
)
from cryptoquantix.simulator.orders import AlgoOrder, EndReason, VenueEvent
from cryptoquantix.simulator.record import Record
from cryptoquantix.simulator.rules import DERIBIT
from cryptoquantix.simulator.venue import SimulatedVenue
from cryptoquantix.simulator.wire import messages
from cryptoquantix.simulator.wire.deribit import DeribitWire
from cryptoquantix.simulator.wire.deribit_errors import (
    DeribitError,
    too_many_requests,
)
from cryptoquantix.simulator.wire.deribit_limits import CONNECTIONS_MAX, IDLE_NS
from cryptoquantix.simulator.wire.deribit_payloads import session_of
from cryptoquantix.simulator.wire.deribit_requests import answer
from cryptoquantix.simulator.wire.deribit_session import Session
from cryptoquantix.simulator.wire.deribit_streams import DeribitStreams
from cryptoquantix.simulator.wire.messages import Key, Request, Response

SOCKET_PATH = "/ws/api/v2"
# Steps the venue publishes: (tick, dollars of a contract) of inverse perpetuals,
# (tick, coins of a contract) of linear ones. Others keep the tape's own steps.
_INVERSE = {
    "BTC": (Decimal("0.5"), Decimal(10)),
    "ETH": (Decimal("0.05"), Decimal(1)),
}
_LINEAR = {
    "BTC": (Decimal("0.5"), Decimal("0.001")),
    "ETH": (Decimal("0.05"), Decimal("0.001")),
}
_BAND = Fraction(3, 200)  # the venue's own in tickers: 1.5 % around the mark
_LEVERAGE = 50


class DeribitVenue(SimulatedVenue):
    """A venue that speaks Deribit's protocol, over HTTP and a WebSocket."""

    name = "deribit"

    def __init__(
        self,
        keys: Iterable[Key],
        record: Record,
        *,
        seed: str,
        is_lenient: bool = False,
        is_limited: bool = True,
    ) -> None:
        super().__init__(DERIBIT, record)
        self._is_limited = is_limited
        self.wire = DeribitWire(
            self.exchange,
            keys,
            token_seed=seed,
            is_lenient=is_lenient,
            is_limited=is_limited,
        )
        self.streams = DeribitStreams(self.wire.state, is_lenient=is_lenient)

    def listings_for(self, tape: Listing) -> list[Listing]:
        """Return an inverse perpetual where there is one, and a linear one."""
        found = []
        if tape.base in _INVERSE:
            found.append(_inverse(tape.base))
        tick, lot = _LINEAR.get(tape.base, (tape.tick_size, tape.lot_size))
        found.append(_linear(tape.base, tick, lot))
        return found

    def with_rules(self, listing: Listing) -> Listing:
        """Return an instrument with the venue's bands, fees and margins."""
        return _with_rules(listing)

    def open_account(self, balance: Decimal, time_ns: int) -> int:
        """Open an account worth ``balance``, the same in each coin that has a price."""
        clearing = self.exchange.clearing
        account = clearing.open_account(0, time_ns)
        prices = {coin: clearing.coin_price(coin) for coin in self.rules.coins}
        known = {coin: price for coin, price in prices.items() if price}
        share = Fraction(balance) / len(known)
        for coin, price in known.items():
            amount = share / price * UNITS_PER_COIN
            units = int(amount) if coin != self.rules.value_coin else 0
            account.book("TRANSFER", units, time_ns, coin=coin)
        # What rounding left over, and its own share, in the value coin.
        rest = to_units(balance) - clearing.worth_units(account)
        clearing.transfer(account, rest, time_ns, self.rules.value_coin)
        return account.id

    def answer(self, request: Request, time_ns: int) -> Response:
        """Carry out one HTTP request; never raises for bad input."""
        return self.wire.respond(request, time_ns)

    def open_subscriber(
        self, request: Request, time_ns: int
    ) -> messages.Subscriber | Response:
        """Return a new connection; there is one address for them."""
        if request.path.rstrip("/") != SOCKET_PATH:
            error = DeribitError(-32601, "Method not found", {"path": request.path})
            return _refusal(404, error, time_ns)
        address = request.address
        if self._is_limited:
            held = sum(s.address == address for s in self.streams.sessions.values())
            if held >= CONNECTIONS_MAX:
                error = too_many_requests()
                error.data = {"reason": f"{held} connections of this address are open"}
                return _refusal(429, error, time_ns)
        session = self.streams.open()
        session.address = address
        session.idle_ns = IDLE_NS if self._is_limited else 0
        return session

    def on_message(
        self, subscriber: messages.Subscriber, text: str | bytes, time_ns: int
    ) -> None:
        """Carry out one JSON-RPC message and log it like a request."""
        assert isinstance(subscriber, Session), f"{subscriber!r} is another venue's"
        response = self.wire.receive(subscriber, text, time_ns)
        method = response.summary.pop("method", "")
        self.log_request("WS", method, response, time_ns)

    def on_leave(self, subscriber: messages.Subscriber, time_ns: int) -> None:
        """Forget a connection; cancel what came by it, if that was asked for."""
        assert isinstance(subscriber, Session), f"{subscriber!r} is another venue's"
        self.streams.leave(subscriber)
        if subscriber.cancels_on_disconnect:
            self._cancel_of(subscriber, time_ns)

    def _cancel_of(self, session: Session, time_ns: int) -> None:
        for market in self.exchange.markets.values():
            for order in list(market.open_orders.values()):
                if session_of(order.request) == session.id:
                    self.exchange.cancel(order, time_ns, EndReason.DEAD_MAN)
            algos: list[AlgoOrder] = list(market.triggers.orders.values())
            for algo in algos:
                if session_of(algo.request.order) == session.id:
                    self.exchange.cancel_algo(algo, time_ns)

    def expire_sessions(self, time_ns: int) -> int:
        """Let every token expire now; connections are logged out."""
        del time_ns
        self.streams.log_out()
        return self.wire.state.gate.revoke()

    def kept(self) -> dict[str, Any]:
        """Return the accounts' switches, and how many connections there were."""
        accounts = sorted(self.wire.state.cancels_on_disconnect)
        return {"cancels_on_disconnect": accounts, "opened": self.streams.opened}

    def take_back(self, kept: dict[str, Any]) -> None:
        """Go on after a restart: connections get numbers never used before."""
        self.wire.state.cancels_on_disconnect = set(kept["cancels_on_disconnect"])
        self.streams.opened = kept["opened"]

    def on_events(self, events: Sequence[VenueEvent]) -> None:
        """Queue what private channels say of events."""
        self.streams.on_events(events)

    def on_trade(self, symbol: str, printed: PrintedTrade, time_ns: int) -> None:
        """Queue a trade."""
        del time_ns
        self.streams.on_trade(symbol, printed)

    def on_turn(self, time_ns: int) -> None:
        """Queue quotes, raw channels and closed bars."""
        self.streams.on_turn(time_ns)

    def on_timer(self, time_ns: int) -> None:
        """Queue books, tickers, trades of the last tenth of a second, heartbeats."""
        self.streams.on_timer(time_ns)

    def unavailable(self, status: int) -> Response:
        """Return 11051, the venue's word for maintenance, with an HTTP status."""
        return _refusal(status, DeribitError(11051, "system_maintenance"), 0)

    def oversized(self) -> Response:
        """Return the answer to a body that is too large."""
        error = DeribitError(-32600, "Invalid Request", {"reason": "body too large"})
        return _refusal(413, error, 0)


def _inverse(base: str) -> Listing:
    tick, contract = _INVERSE[base]
    return _with_rules(
        Listing(
            symbol=f"{base}-PERPETUAL",
            base=base,
            quote="USD",
            tick_size=tick,
            lot_size=contract,
            notional_min=Decimal(0),
            is_inverse=True,
        )
    )


def _linear(base: str, tick: Decimal, lot: Decimal) -> Listing:
    return _with_rules(
        Listing(
            symbol=f"{base}_USDC-PERPETUAL",
            base=base,
            quote="USDC",
            tick_size=tick,
            lot_size=lot,
            notional_min=Decimal(0),
        )
    )


def _with_rules(listing: Listing) -> Listing:
    return replace(
        listing,
        limit_band=_BAND,
        market_band=_BAND,
        brackets=INVERSE_BRACKETS,
        leverage_default=_LEVERAGE,
        fee_rate_maker=Decimal(0),
        fee_rate_taker=Decimal("0.0005"),
    )


def _refusal(status: int, error: DeribitError, time_ns: int) -> Response:
    body = answer(None, {"error": error.json()}, time_ns, has_id=False)
    return Response(status, body, code=error.code)

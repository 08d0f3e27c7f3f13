"""Bybit v5 linear as a simulated venue: its REST front door and its streams."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from cryptoquantix.simulator.history import PrintedTrade
from cryptoquantix.simulator.listing import Listing
from cryptoquantix.simulator.orders import FillDetail, OrderChanged, VenueEvent
from cryptoquantix.simulator.record import Record
from cryptoquantix.simulator.refusals import CommandRefusedError
from cryptoquantix.simulator.rules import BYBIT
from cryptoquantix.simulator.venue import SimulatedVenue
from cryptoquantix.simulator.wire import messages
from cryptoquantix.simulator.wire.bybit import BybitWire, envelope
from cryptoquantix.simulator.wire.bybit_conditional import Guard
from cryptoquantix.simulator.wire.bybit_errors import BybitError
from cryptoquantix.simulator.wire.bybit_facts import BybitState
from cryptoquantix.simulator.wire.bybit_streams import (
    PRIVATE_PATH,
    BybitStreams,
    BybitSubscriber,
)
from cryptoquantix.simulator.wire.messages import Key, Request, Response

# The venue's base rates for linear perpetuals, and its default leverage.
FEE_RATE_MAKER = Decimal("0.0002")
FEE_RATE_TAKER = Decimal("0.00055")
LEVERAGE_DEFAULT = 10
IDLE_SECONDS_MIN, IDLE_SECONDS_MAX = 30, 600
_ACTIVE_TIME = re.compile(r"(?:^|&)max_active_time=(\d{1,4})([sm])(?:&|$)")
_KEPT = (
    "created_ticks",
    "created_algo_ticks",
    "positions",
    "charges",
    "attached",
    "dead_men",
    "client_ids_made",
    "charges_made",
)


class BybitVenue(SimulatedVenue):
    """A venue that speaks Bybit's v5 protocol."""

    name = "bybit"

    def __init__(
        self,
        keys: Iterable[Key],
        record: Record,
        *,
        seed: str,
        is_lenient: bool = False,
        is_limited: bool = True,
    ) -> None:
        super().__init__(BYBIT, record)
        self._is_limited = is_limited
        self.state = BybitState(self.exchange, seed=seed)
        self.wire = BybitWire(
            self.state, keys, is_lenient=is_lenient, is_limited=is_limited
        )
        self.streams = BybitStreams(self.state, self.wire.keys, is_lenient=is_lenient)
        self._to_protect: list[FillDetail] = []

    def listings_for(self, tape: Listing) -> list[Listing]:
        """Return the instrument under the same symbol, with this venue's fees."""
        if tape.is_inverse or tape.quote != "USDT":
            return []
        return [self.with_rules(tape)]

    def with_rules(self, listing: Listing) -> Listing:
        """Return an instrument with the venue's fees and leverage."""
        return replace(
            listing,
            fee_rate_maker=FEE_RATE_MAKER,
            fee_rate_taker=FEE_RATE_TAKER,
            leverage_default=LEVERAGE_DEFAULT,
        )

    def answer(self, request: Request, time_ns: int) -> Response:
        """Carry out one REST request; never raises for bad input."""
        return self.wire.respond(request, time_ns)

    def open_subscriber(
        self, request: Request, time_ns: int
    ) -> messages.Subscriber | Response:
        """Return the subscriber of a new connection, or why there is none."""
        try:
            self.wire.limits.spend_connection(request.address, time_ns)
        except BybitError as error:
            return _refusal(error.status, error.code, error.text, time_ns)
        subscriber = self.streams.open(request.path)
        if subscriber is None:
            return _refusal(404, 10404, "path not found", time_ns)
        subscriber.is_kept_by_data = True
        if self._is_limited:
            subscriber.idle_ns = idle_ns(request)
        return subscriber

    def on_message(
        self, subscriber: messages.Subscriber, text: str | bytes, time_ns: int
    ) -> None:
        """Carry out one WebSocket message."""
        assert isinstance(subscriber, BybitSubscriber), f"{subscriber!r} is another's"
        self.streams.receive(subscriber, text, time_ns)

    def on_leave(self, subscriber: messages.Subscriber, time_ns: int) -> None:
        """Forget a subscriber; the disconnection protection starts to count."""
        assert isinstance(subscriber, BybitSubscriber), f"{subscriber!r} is another's"
        self.streams.leave(subscriber, time_ns)

    def on_events(self, events: Sequence[VenueEvent]) -> None:
        """Queue private messages, and note which fills bring a protection."""
        charges = self.state.take(events)
        self.streams.on_events(events, charges, events[-1].time_ns)
        for event in events:
            if isinstance(event, OrderChanged) and event.fill is not None:
                order = event.order
                is_first = order.filled_lots == event.fill.size_lots
                if is_first and order.id in self.state.attached:
                    self._to_protect.append(event.fill)

    def settle(self) -> None:
        """Hand the core's events on; what they bring about is done and handed on."""
        super().settle()
        while self._to_protect:
            for fill in self._to_protect:
                self._protect(fill)
            self._to_protect.clear()
            super().settle()

    def _protect(self, fill: FillDetail) -> None:
        """Put an order's take profit and stop loss on the position it opened."""
        order = fill.order
        account = self.exchange.clearing.accounts[order.account_id]
        held = account.held(order.listing.symbol, order.request.leg)
        if held is None or held.sign != order.request.side.sign:
            return
        attached = self.state.attached[order.id]
        try:
            Guard(self.state, account.id, held, fill.time_ns).protect(attached)
        except CommandRefusedError as refused:
            self.record.add(
                "algo",
                fill.time_ns,
                venue=self.name,
                status="REJECTED",
                symbol=order.listing.symbol,
                reason=str(refused),
            )

    def on_trade(self, symbol: str, printed: PrintedTrade, time_ns: int) -> None:
        """Take a trade for the public topic."""
        self.streams.on_trade(symbol, printed, time_ns)

    def on_turn(self, time_ns: int) -> None:
        """Queue what a burst of trades makes public topics say."""
        self.streams.on_turn(time_ns)

    def on_timer(self, time_ns: int) -> None:
        """Queue what is due; dead-man's switches fire."""
        self.streams.on_timer(time_ns)

    def expire_sessions(self, time_ns: int) -> int:
        """Close every connection that has authenticated; return how many."""
        del time_ns
        return self.streams.expire()

    def kept(self) -> dict[str, Any]:
        """Return what the core does not keep of orders and positions."""
        return {name: getattr(self.state, name) for name in _KEPT}

    def take_back(self, kept: dict[str, Any]) -> None:
        """Take it in; a disconnection counts again once somebody has listened."""
        for name in _KEPT:
            setattr(self.state, name, kept[name])
        for dead_man in self.state.dead_men.values():
            dead_man.since_ns = None

    def unavailable(self, status: int) -> Response:
        """Return 10016 with an HTTP status."""
        return _refusal(status, 10016, "Server error.", 0)

    def oversized(self) -> Response:
        """Return the answer to a body that is too large."""
        return _refusal(413, 10001, "params error: the body is too large", 0)


def idle_ns(request: Request) -> int:
    """
    Return how long a connection may be silent on both sides.

    Ten minutes, or on the private stream what ``max_active_time`` says (``45s``).
    """
    found = _ACTIVE_TIME.search(request.query)
    if found is None or request.path != PRIVATE_PATH:
        return IDLE_SECONDS_MAX * 1_000_000_000
    seconds = int(found[1]) * (60 if found[2] == "m" else 1)
    seconds = min(max(seconds, IDLE_SECONDS_MIN), IDLE_SECONDS_MAX)
    return seconds * 1_000_000_000


def _refusal(status: int, code: int, text: str, time_ns: int) -> Response:
    return Response(status, envelope(code, text, time_ns=time_ns), code=code)

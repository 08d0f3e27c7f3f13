"""The venue port as a small account in memory, with faults a test turns on.

``answers`` decides what becomes of each order request: accepted and answered, accepted
with the answer lost, lost on the way, refused, or hanging.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from decimal import Decimal

from cryptoquantix.control.permit import Permit, PermitAnswer, PermitMode
from cryptoquantix.core.account import AccountSnapshot, Position
from cryptoquantix.core.errors import (
    OrderNotFound,
    OrderRefused,
    OutcomeUnknown,
    VenueUnavailable,
)
from cryptoquantix.core.exposure import DeadManSwitch
from cryptoquantix.core.instrument import Instrument, InstrumentId, Venue
from cryptoquantix.core.order import Fill, Increase, OrderState, OrderType
from cryptoquantix.venues.port import BestQuote, VenueFill, VenueOrder

BTC = InstrumentId.parse("binance:BTCUSDT-PERP")
ETH = InstrumentId.parse("binance:ETHUSDT-PERP")
SOL = InstrumentId.parse("binance:SOLUSDT-PERP")

OK = "ok"
LOST_ANSWER = "accepted, answer lost"
LOST_REQUEST = "never arrived, no answer"
REFUSE = "refused"
UNREACHABLE = "unreachable"
HANG = "hang"


def instrument(id_: InstrumentId, most: int = 0) -> Instrument:
    return Instrument(
        id=id_,
        tick_size=Decimal("0.1"),
        lot_size=Decimal("0.001"),
        notional_min=Decimal(5),
        settlement="USDT",
        base=id_.symbol.removesuffix("USDT"),
        quote="USDT",
        size_market_max_lots=most,
    )


class FakePermits:
    """A permit source whose answers the test sets; it counts what it was told."""

    def __init__(self, clock, mode=PermitMode.TRADE):
        self._clock = clock
        self.mode = mode
        self.told = []

    def current(self):
        if self.mode is None:
            return None
        answer = PermitAnswer("n", self.mode, "h", "b", 1)
        return Permit(answer, self._clock.monotonic_ns())

    def reconciled(self):
        self.told.append("reconciled")

    def unreconciled(self):
        self.told.append("unreconciled")


class FakeVenue:
    """One account; every market order fills at once at the mark."""

    venue = Venue.BINANCE

    def __init__(self, *ids: InstrumentId, most: int = 0, lag: int = 0):
        self.listed = {id_: instrument(id_, most) for id_ in (ids or (BTC,))}
        self.listed_now = {}
        self.prices = dict.fromkeys(self.listed, Decimal(1000))
        self.equity = Decimal(10_000)
        self.held = {}
        self.orders = {}
        self.sent = []
        self.trades = []
        self.canceled = []
        self.can_amend = False
        self.amended = []
        self.resting_ticks = {}
        self.answers = []
        self.lag = lag
        self._shown = []
        self.is_down = False
        self.look_ups = []
        self.funded = []
        self.kept = []
        self.delay = 0.0

    async def open(self):
        self._check()

    async def close(self):
        pass

    def instruments(self):
        return self.listed

    async def read_instruments(self):
        self._check()
        return self.listed_now or self.listed

    def _check(self):
        if self.is_down:
            msg = "down"
            raise VenueUnavailable(msg, venue="binance")

    async def account(self):
        self._check()
        await asyncio.sleep(0)
        self._shown.append(dict(self.held))
        shown = self._shown[max(0, len(self._shown) - 1 - self.lag)]
        return AccountSnapshot(
            equity_quote=self.equity,
            balance_quote=self.equity,
            currency="USDT",
            positions=tuple(
                Position(id_, lots, Decimal(1), self.prices[id_], Decimal(0))
                for id_, lots in shown.items()
                if lots
            ),
            receipt_time_ns=0,
        )

    async def marks(self, instruments):
        self._check()
        return {id_: self.prices[id_] for id_ in instruments}

    async def open_orders(self, instruments):
        self._check()
        return [o for o in self.orders.values() if o.state is OrderState.WORKING]

    async def place_increase(self, order, permit_check):
        permit_check()
        return await self._take(order)

    async def place_reduction(self, order):
        return await self._take(order)

    async def _take(self, order):
        answer = self.answers.pop(0) if self.answers else OK
        await asyncio.sleep(self.delay)
        if answer == UNREACHABLE or self.is_down:
            msg = "unreachable"
            raise VenueUnavailable(msg, venue="binance")
        self.sent.append(order)
        if answer == HANG:
            await asyncio.sleep(60)
        if answer == REFUSE:
            msg = "no"
            raise OrderRefused(msg, venue="binance", reason="-2019")
        if answer != LOST_REQUEST:
            self._accept(order)
        if answer in {LOST_ANSWER, LOST_REQUEST}:
            msg = "no answer"
            raise OutcomeUnknown(msg, venue="binance")
        return self.orders[order.client_order_id]

    def _accept(self, order):
        assert order.client_order_id not in self.orders, "the same id twice"
        is_market = order.type is OrderType.MARKET
        lots = order.size_lots if is_market else 0
        held = self.held.get(order.instrument, 0)
        if not isinstance(order, Increase):
            assert held * order.side.sign < 0, "reduce-only order would increase"
            lots = min(lots, abs(held))
        found = VenueOrder(
            venue_order_id=str(len(self.orders) + 1),
            client_order_id=order.client_order_id,
            instrument=order.instrument,
            side=order.side,
            size_lots=order.size_lots,
            filled_lots=lots,
            state=OrderState.FILLED if is_market else OrderState.WORKING,
            is_reduce_only=not isinstance(order, Increase),
            is_conditional=False,
        )
        self.orders[order.client_order_id] = found
        if lots:
            self.fill(found, lots)

    def fill(self, order, lots):
        """Let ``lots`` of an order fill at the mark."""
        held = self.held.get(order.instrument, 0)
        self.held[order.instrument] = held + order.side.sign * lots
        fill = Fill(
            trade_id=str(len(self.trades) + 1),
            client_order_id="",
            instrument=order.instrument,
            side=order.side,
            size_lots=lots,
            price=self.prices[order.instrument],
            fee=Decimal("0.01"),
            fee_currency="USDT",
            venue_time_ns=len(self.trades),
        )
        self.trades.append(VenueFill(fill, order.venue_order_id))

    async def quotes(self, instruments):
        self._check()
        return {
            id_: BestQuote(self.prices[id_] - 1, self.prices[id_] + 1)
            for id_ in instruments
        }

    async def funding(self, instruments, since_ns):
        self._check()
        return [f for f in self.funded if f.venue_time_ns >= since_ns]

    async def keep_dead_man(self, resting):
        self.kept.append(set(resting))
        return DeadManSwitch(bool(resting), "resting orders")

    async def amend(self, order, permit_check):
        if permit_check is not None:
            permit_check()
        answer = self.answers.pop(0) if self.answers else OK
        self.amended.append((order.client_order_id, order.price_ticks))
        if answer == UNREACHABLE:
            msg = "unreachable"
            raise VenueUnavailable(msg, venue="binance")
        found = self.orders[order.client_order_id]
        if found.state is not OrderState.WORKING:
            msg = "unknown"
            raise OrderNotFound(msg, venue="binance")
        if answer != LOST_REQUEST:
            self.resting_ticks[order.client_order_id] = order.price_ticks
        if answer in {LOST_ANSWER, LOST_REQUEST}:
            msg = "no answer"
            raise OutcomeUnknown(msg, venue="binance")
        return found

    async def cancel(self, instrument, client_order_id):
        self._check()
        found = self.orders.get(client_order_id)
        if found is None or found.state is not OrderState.WORKING:
            msg = "unknown"
            raise OrderNotFound(msg, venue="binance")
        self.canceled.append(client_order_id)
        self.orders[client_order_id] = replace(found, state=OrderState.CANCELED)

    async def order_by_client_id(self, instrument, client_order_id):
        self.look_ups.append(client_order_id)
        self._check()
        if client_order_id not in self.orders:
            msg = "unknown"
            raise OrderNotFound(msg, venue="binance")
        return self.orders[client_order_id]

    async def fills(self, instrument, after_trade_id):
        self._check()
        after = int(after_trade_id or 0)
        return [
            t
            for t in self.trades
            if t.fill.instrument == instrument and int(t.fill.trade_id) > after
        ]

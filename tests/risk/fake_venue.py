"""A venue in memory that satisfies the daemon's port, with faults on demand."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import replace
from decimal import Decimal

from cryptoquantix.core.errors import OrderRefused, VenueUnavailable
from cryptoquantix.core.exposure import (
    Contract,
    DeadManSwitch,
    OpenOrder,
    OrderClass,
    Reading,
)
from cryptoquantix.core.order import Side
from risk.readings import held


def contract(symbol, market_max="1000", size_min="0.1"):
    return Contract(
        symbol=symbol,
        tick_size=Decimal("0.01"),
        lot_size=Decimal("0.1"),
        size_min=Decimal(size_min),
        size_market_max=Decimal(market_max),
        size_max=Decimal(10_000),
    )


def order(symbol, number, *, may_increase=True, order_class=OrderClass.NORMAL):
    return OpenOrder(
        symbol=symbol,
        order_id=str(number),
        client_order_id=f"c{number}",
        order_class=order_class,
        side=Side.BUY,
        size=Decimal(1),
        may_increase=may_increase,
    )


class FakeVenue:
    """
    Fills market closes at once.

    ``faults[name]`` is a list of what the next calls of ``name`` do: an exception to
    raise, or ``"hang"``. ``log`` holds every acting call in order.
    """

    def __init__(self, clock, name="binance", balance="100000"):
        self.name = name
        self.clock = clock
        self.balance = Decimal(balance)
        self.positions = {}
        self.orders = {}
        self.listed = {}
        self.log = []
        self.reads = []
        self.faults = defaultdict(list)
        self.always = {}
        self.fill_part = Decimal(1)
        self.entries = ()
        self.equity_second = None
        self.on_close = None
        self.switch = DeadManSwitch(None, "nothing")

    def hold(self, symbol, size, mark=100, entry=100, **contract_fields):
        self.positions[symbol] = held(symbol, size, mark, entry)
        self.listed.setdefault(symbol, contract(symbol, **contract_fields))

    def rest(self, found):
        self.orders[found.order_id] = found
        self.listed.setdefault(found.symbol, contract(found.symbol))

    def mark(self, symbol, price):
        self.positions[symbol] = replace(
            self.positions[symbol], mark_price=Decimal(price)
        )

    @property
    def equity(self):
        return self.balance + sum(
            (p.size * (p.mark_price - p.entry_price) for p in self.positions.values()),
            Decimal(0),
        )

    async def _act(self, name, what):
        self.log.append((name, what))
        await self._fault(name)

    async def _fault(self, name):
        fault = self.always.get(name)
        if self.faults[name]:
            fault = self.faults[name].pop(0)
        if fault == "hang":
            await asyncio.Event().wait()
        if isinstance(fault, BaseException):
            raise fault

    async def check_keys(self):
        await self._fault("check_keys")

    async def contracts(self):
        await self._fault("contracts")
        return self.listed

    async def reading(self):
        self.reads.append("reading")
        await self._fault("reading")
        return Reading(
            self.name,
            self.equity,
            self.balance,
            tuple(self.positions.values()),
            self.clock.time_ns(),
        )

    async def positions_again(self):
        self.reads.append("positions_again")
        await self._fault("positions_again")
        return tuple(self.positions.values())

    async def equity_again(self):
        await self._fault("equity_again")
        return self.equity if self.equity_second is None else self.equity_second

    async def open_orders(self, symbols=None):
        self.reads.append("open_orders")
        await self._fault("open_orders")
        return tuple(
            o for o in self.orders.values() if symbols is None or o.symbol in symbols
        )

    async def cancel(self, found):
        await self._act("cancel", found.order_id)
        self.orders.pop(found.order_id, None)

    async def cancel_all(self, symbol, order_class):
        await self._act("cancel_all", (symbol, order_class.value))
        self.orders = {
            key: o
            for key, o in self.orders.items()
            if (o.symbol, o.order_class) != (symbol, order_class)
        }

    async def close_position(self, close):
        kind = "market" if close.price is None else "ioc"
        await self._act(kind, close)
        if self.on_close is not None:
            self.on_close(close)
        position = self.positions.get(close.symbol)
        if position is None:
            raise refused()
        size = min(close.size * self.fill_part, abs(position.size))
        left = position.size - size.copy_sign(position.size)
        if left:
            self.positions[close.symbol] = replace(position, size=left)
        else:
            del self.positions[close.symbol]

    async def ledger(self, since_ns):
        await self._fault("ledger")
        return tuple(e for e in self.entries if e.time_ns >= since_ns)

    async def dead_man_switch(self):
        self.reads.append("dead_man_switch")
        await self._fault("dead_man_switch")
        return self.switch

    async def keep_warm(self):
        await self._fault("keep_warm")

    def acts(self, *names):
        return [what for name, what in self.log if name in names]


def down(name="binance"):
    return VenueUnavailable("down", venue=name, request="x")


def refused(reason="-4131"):
    return OrderRefused("refused", venue="binance", request="close", reason=reason)

"""
One venue, from "cancel" to "verified flat", in steps that can be resumed.

Every step acts on what the venue says at that moment, so a step done twice is harmless
and a step interrupted anywhere is simply done again. It never opens anything: all it
sends are cancels and reduce-only closes. Rounds are repeated until flat is verified;
only the caller ends them.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import (
    Awaitable,
    Callable,
    Collection,
    Coroutine,
    Iterable,
    Mapping,
)
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from cryptoquantix.control.status import RiskState
from cryptoquantix.core.errors import OrderRefused
from cryptoquantix.core.exposure import (
    CloseOrder,
    Contract,
    HeldPosition,
    OpenOrder,
    OrderClass,
)
from cryptoquantix.risk.closing import band_order, close_orders, why_left
from cryptoquantix.risk.port import RiskVenue

CALL_SECONDS: Final = 2.0
"""No single request is waited for longer."""

BARRIER_SECONDS: Final = 0.3
"""A request that hangs longer no longer holds up the next step; it goes on beside."""

FILTERED_MAX: Final = 40
VERIFY_GAP_SECONDS: Final = 0.5
PAUSES_SECONDS: Final = (0.1, 0.2, 0.4, 0.8, 1.0)

FAILED: Final = (Exception,)
"""Whatever one request does, a fault in our own code included, the others go out."""


@dataclass(frozen=True, slots=True)
class Remains:
    """What one venue still holds; ``is_complete`` when every read succeeded."""

    orders: tuple[OpenOrder, ...] = ()
    positions: tuple[HeldPosition, ...] = ()
    is_complete: bool = False
    problem: str = "not read yet"


type Noted = Callable[[str], None]


type Call[T] = Callable[[], Awaitable[T]]
"""A request not made yet: a task canceled before its first step makes none."""


async def within[T](seconds: float, call: Call[T]) -> T:
    """Make ``call`` and await it no longer than ``seconds``; else ``TimeoutError``."""
    async with asyncio.timeout(seconds):
        return await call()


class VenueFlattener:
    """
    Cancels and closes at one venue.

    ``note`` takes one sentence per failure for the audit log. Canceling any coroutine
    of it leaves the venue in a state from which ``run`` can start again.
    """

    def __init__(self, venue: RiskVenue, *, halt_id: str, note: Noted) -> None:
        self._venue = venue
        self.halt_id = halt_id
        self._note = note
        self._contracts: Mapping[str, Contract] = {}
        self._symbols: set[str] = set()
        self._beside: set[asyncio.Task[bool]] = set()
        self.remains = Remains()

    def know(self, symbols: Iterable[str]) -> None:
        """Remember symbols to cancel in even when orders cannot be read."""
        self._symbols.update(symbols)

    @property
    def symbols(self) -> frozenset[str]:
        """Every symbol in which something was seen."""
        return frozenset(self._symbols)

    async def run(
        self,
        step: RiskState,
        *,
        on_step: Callable[[RiskState], None],
        on_sent: Callable[[], None],
    ) -> None:
        """Go from ``step`` to verified flat, in as many rounds as it takes."""
        attempt = 0
        while True:
            if step in {RiskState.TRIPPED, RiskState.CANCELING}:
                on_step(RiskState.CANCELING)
                await self.cancel_increasing()
            if step is not RiskState.VERIFYING:
                on_step(RiskState.CLOSING)
                await self.close_positions(attempt)
                await self.cancel_rest()
                on_sent()
            on_step(RiskState.VERIFYING)
            if await self.verify():
                on_step(RiskState.HALTED)
                return
            step = RiskState.CANCELING
            await asyncio.sleep(PAUSES_SECONDS[min(attempt, len(PAUSES_SECONDS) - 1)])
            attempt += 1

    async def cancel_increasing(self) -> bool:
        """Cancel what could increase; return whether all of it was acknowledged."""
        orders = await self._read_orders()
        if orders is None:
            await self._cancel_blindly()
            return False
        wanted = [order for order in orders if order.may_increase]
        return await self._cancel(wanted, orders)

    async def cancel_rest(self) -> None:
        """Cancel what is left: protective orders, whose positions are closed now."""
        # Known symbols cost little (2 each, 80 for all); verifying reads them all.
        known = self.symbols if len(self.symbols) <= FILTERED_MAX else None
        orders, positions = await asyncio.gather(
            self._read_orders(known), self._read_positions()
        )
        if orders is None:
            await self._cancel_blindly()
            return
        if positions is None:
            positions = self.remains.positions
        still = {held.symbol for held in positions if not self.why_left(held)}
        await self._cancel(
            [o for o in orders if o.may_increase or o.symbol not in still], orders
        )

    async def close_positions(self, attempt: int) -> None:
        """Close every position the venue lists, all at once."""
        await self.prepare()
        positions = await self._read_positions()
        if positions is None:
            positions = self.remains.positions
        await self._all(self._close(held, attempt) for held in positions)

    async def verify(self) -> bool:
        """Return whether two reads, 500 ms apart, show nothing at all."""
        for number in range(2):
            if number:
                await asyncio.sleep(VERIFY_GAP_SECONDS)
            self.remains = await self.look()
            if not self.is_flat:
                return False
        return True

    @property
    def is_flat(self) -> bool:
        """Whether the latest complete look found nothing that can be closed."""
        return (
            self.remains.is_complete and not self.remains.orders and not self.closable
        )

    @property
    def closable(self) -> list[HeldPosition]:
        """Positions of the latest look that can be closed."""
        return [held for held in self.remains.positions if not self.why_left(held)]

    def why_left(self, held: HeldPosition) -> str:
        """Return why ``held`` is named and not closed, or an empty text."""
        return why_left(held, self._contracts.get(held.symbol))

    async def look(self, symbols: Collection[str] | None = None) -> Remains:
        """Read orders of every class, and positions from two endpoints."""
        await self.prepare()
        try:
            orders, reading, again = await asyncio.gather(
                within(CALL_SECONDS, lambda: self._venue.open_orders(symbols)),
                within(CALL_SECONDS, self._venue.reading),
                within(CALL_SECONDS, self._venue.positions_again),
            )
        except FAILED as error:
            problem = f"{type(error).__name__}: {error}"
            self._note(f"{self._venue.name} cannot be read: {problem}")
            return Remains(self.remains.orders, self.remains.positions, problem=problem)
        held = {(p.symbol, p.leg): p for p in (*reading.positions, *again) if p.size}
        self._learn(orders, held.values())
        return Remains(
            tuple(orders), tuple(held.values()), is_complete=True, problem=""
        )

    def _learn(
        self, orders: Iterable[OpenOrder], positions: Iterable[HeldPosition]
    ) -> None:
        self.know(order.symbol for order in orders)
        self.know(held.symbol for held in positions)

    async def _read_orders(
        self, symbols: Collection[str] | None = None
    ) -> tuple[OpenOrder, ...] | None:
        try:
            orders = await within(
                CALL_SECONDS, lambda: self._venue.open_orders(symbols)
            )
        except FAILED as error:
            self._note(f"{self._venue.name}: open orders cannot be read: {error!r}")
            return None
        self._learn(orders, ())
        self.remains = Remains(orders, self.remains.positions, problem="acting")
        return orders

    async def _read_positions(self) -> tuple[HeldPosition, ...] | None:
        for read in (self._listed, self._venue.positions_again):
            try:
                found = await within(CALL_SECONDS / 2, read)
            except FAILED as error:
                self._note(f"{self._venue.name}: positions cannot be read: {error!r}")
                continue
            positions = tuple(held for held in found if held.size)
            self._learn((), positions)
            self.remains = Remains(self.remains.orders, positions, problem="acting")
            return positions
        return None

    async def _listed(self) -> tuple[HeldPosition, ...]:
        return (await self._venue.reading()).positions

    async def prepare(self) -> None:
        """Read the contracts, unless they are known."""
        if self._contracts:
            return
        try:
            self._contracts = await within(CALL_SECONDS, self._venue.contracts)
        except FAILED as error:
            self._note(f"{self._venue.name}: contracts cannot be read: {error!r}")

    async def _cancel(
        self, wanted: Iterable[OpenOrder], orders: Iterable[OpenOrder]
    ) -> bool:
        """
        Cancel ``wanted``: by symbol where that spares nothing else, else singly.

        A venue's cancel-all cannot tell protective orders from others.
        """
        groups: dict[tuple[str, OrderClass], list[OpenOrder]] = defaultdict(list)
        for order in wanted:
            groups[order.symbol, order.order_class].append(order)
        standing: dict[tuple[str, OrderClass], int] = defaultdict(int)
        for order in orders:
            standing[order.symbol, order.order_class] += 1
        calls: list[Coroutine[Any, Any, bool]] = []
        for (symbol, order_class), group in groups.items():
            if len(group) == standing[symbol, order_class] and len(group) > 1:
                call = partial(self._venue.cancel_all, symbol, order_class)
                calls.append(self._try(call, f"cancel all {order_class} in {symbol}"))
            else:
                calls.extend(
                    self._try(partial(self._venue.cancel, o), f"cancel {o.order_id}")
                    for o in group
                )
        return await self._all(calls)

    async def _cancel_blindly(self) -> None:
        await self._all(
            self._try(
                partial(self._venue.cancel_all, symbol, order_class),
                f"cancel all {order_class} in {symbol}",
            )
            for symbol in sorted(self._symbols)
            for order_class in OrderClass
        )

    async def _close(self, held: HeldPosition, attempt: int) -> bool:
        contract = self._contracts.get(held.symbol)
        if why_left(held, contract):
            return True
        orders = close_orders(held, contract, halt_id=self.halt_id, attempt=attempt)
        done = await asyncio.gather(
            *(self._close_slice(held, order, contract) for order in orders)
        )
        return all(done)

    async def _close_slice(
        self, held: HeldPosition, order: CloseOrder, contract: Contract | None
    ) -> bool:
        """Send one close; where the market order is refused, go through the band."""
        try:
            await within(CALL_SECONDS, lambda: self._venue.close_position(order))
        except OrderRefused as error:
            self._note(f"{self._venue.name} refused {order}: {error}")
        except FAILED as error:
            self._note(f"{self._venue.name}: unknown outcome of {order}: {error!r}")
            return False
        else:
            return True
        await self._clear_way(held.symbol)
        if contract is None:
            return False
        limit = band_order(held, order, contract, halt_id=self.halt_id)
        call = partial(self._venue.close_position, limit)
        return await self._try(call, f"close {limit}")

    async def _clear_way(self, symbol: str) -> None:
        """Cancel what rests in ``symbol``: its reduce-only orders may block a close."""
        await asyncio.gather(
            *(
                self._try(
                    partial(self._venue.cancel, order), f"cancel {order.order_id}"
                )
                for order in self.remains.orders
                if order.symbol == symbol and not order.may_increase
            )
        )

    async def _try(self, call: Call[None], what: str) -> bool:
        try:
            await within(CALL_SECONDS, call)
        except FAILED as error:
            self._note(f"{self._venue.name}: {what}: {error!r}")
            return False
        return True

    async def _all(self, calls: Iterable[Coroutine[Any, Any, bool]]) -> bool:
        """Run ``calls`` at once; one that hangs goes on beside the next step."""
        tasks = {asyncio.create_task(call) for call in calls}
        if not tasks:
            return True
        done, hanging = await asyncio.wait(tasks, timeout=BARRIER_SECONDS)
        for task in hanging:
            self._beside.add(task)
            task.add_done_callback(self._beside.discard)
        return not hanging and all(task.result() for task in done)

"""
One venue, from "cancel" to "verified flat", in steps that can be resumed.

Every step acts on what the venue says at that moment, so a step done twice is harmless
and a step interrupted anywhere is simply done again. It never opens anything: all it
sends are cancels and reduce-only closes. Rounds are repeated until flat is verified;
only the caller ends them.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import (
    Callable,
    Coroutine,
    Iterable,
    Mapping,
)
from decimal import Decimal
from functools import partial
from typing import Any, Final

from cryptoquantix.control.status import RiskState
from cryptoquantix.core.errors import OrderRefused
from cryptoquantix.core.exposure import (
    Act,
    CloseOrder,
    Contract,
    HeldPosition,
    OpenOrder,
    OrderClass,
)
from cryptoquantix.risk import calls
from cryptoquantix.risk.calls import FAILED, Call, within
from cryptoquantix.risk.closing import (
    band_order,
    close_orders,
    is_cut,
    most_first,
    why_left,
)
from cryptoquantix.risk.look import Complained, VenueLook
from cryptoquantix.risk.pacing import Pacer
from cryptoquantix.risk.port import RiskVenue
from cryptoquantix.risk.steps import Reached, nothing

BARRIER_SECONDS: Final = 0.3
"""A request that hangs longer no longer holds up the next step; it goes on beside."""

FILTERED_MAX: Final = 40
CANCEL_SECONDS_MAX: Final = 0.5
"""Where single cancels would take longer, all orders go at once: closes come next."""

CLOSE_ROUNDS_MAX: Final = 50
"""Sets of slices sent in a row while a position still has more of them."""
VERIFY_GAP_SECONDS: Final = 0.5
PAUSES_SECONDS: Final = (0.1, 0.2, 0.4, 0.8, 1.0)


class VenueFlattener(VenueLook):
    """
    Cancels and closes at one venue.

    ``complain`` takes what went wrong, for the audit log; ``reached`` is told each
    numbered step. Canceling any coroutine of it leaves the venue in a state from which
    ``run`` can start again.
    """

    def __init__(
        self,
        venue: RiskVenue,
        *,
        halt_id: str,
        complain: Complained,
        reached: Reached = nothing,
    ) -> None:
        super().__init__(venue, complain=complain)
        self.halt_id = halt_id
        self._reached = reached
        self._pacer = Pacer(getattr(venue, "paces", {}))
        self._beside: set[asyncio.Task[bool]] = set()

    async def run(
        self,
        step: RiskState,
        *,
        on_step: Callable[[RiskState], None],
        on_sent: Callable[[], None],
    ) -> None:
        """Go from ``step`` to verified flat, in as many rounds as it takes."""
        attempt = 0
        self._has_seen_all = False
        while True:
            self._silent_seconds = 0.0
            if step in {RiskState.TRIPPED, RiskState.CANCELING}:
                on_step(RiskState.CANCELING)
                self._reached("canceling")
                await self.cancel_increasing(is_again=attempt > 0)
            if step is not RiskState.VERIFYING:
                on_step(RiskState.CLOSING)
                self._reached("closing")
                await self.close_positions(attempt)
                self._reached("rest")
                await self.cancel_rest()
                on_sent()
            on_step(RiskState.VERIFYING)
            self._reached("verifying")
            if not await self._still_holds() and await self.verify():
                self._reached("verified")
                on_step(RiskState.HALTED)
                return
            step = RiskState.CANCELING
            await asyncio.sleep(self._pause(attempt))
            attempt += 1

    def _pause(self, attempt: int) -> float:
        """
        Return how long to wait before the next round.

        A venue that asked for silence refuses in its client, without a byte sent; the
        round after the end of it should not come late.
        """
        pause = PAUSES_SECONDS[min(attempt, len(PAUSES_SECONDS) - 1)]
        return min(pause, self._silent_seconds) if self._silent_seconds else pause

    async def _still_holds(self) -> bool:
        """
        Return whether positions are left, by one cheap read.

        A thin book takes many rounds: looking for every open order in each of them
        (weight 80 at Binance) would spend the budget that the closes need.
        """
        positions = await self._read_positions()
        return any(not self.why_left(held) for held in positions or ())

    async def cancel_increasing(self, *, is_again: bool = False) -> bool:
        """
        Cancel what could increase; return whether all of it was acknowledged.

        With ``is_again`` in the symbols known by now: what appears elsewhere is found
        when flat is verified.
        """
        is_known = is_again and self._has_seen_all and len(self.symbols) <= FILTERED_MAX
        orders = await self._read_orders(self.symbols if is_known else None)
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
        """
        Close every position the venue lists, all at once, the largest first.

        A position of more slices than one set holds is read and sent on without a
        pause, as long as it shrinks.
        """
        await self.prepare()
        before: Mapping[tuple[str, str], Decimal] = {}
        for number in range(CLOSE_ROUNDS_MAX):
            positions = await self._read_positions()
            if positions is None:
                positions = self.remains.positions
            if number:
                positions = tuple(p for p in positions if _shrank(p, before))
            await self._all(
                self._close(held, attempt + number) for held in most_first(positions)
            )
            cut = [p for p in positions if is_cut(p, self._contracts.get(p.symbol))]
            if not cut:
                return
            before = {(p.symbol, p.leg): abs(p.size) for p in cut}

    async def verify(self) -> bool:
        """Return whether two reads, 500 ms apart, show nothing at all."""
        for number in range(2):
            if number:
                await asyncio.sleep(VERIFY_GAP_SECONDS)
            self.remains = await self.look()
            if not self.is_flat:
                return False
            if not number:
                self._reached("seen-once")
        return True

    async def _cancel(
        self, wanted: Iterable[OpenOrder], orders: Iterable[OpenOrder]
    ) -> bool:
        """
        Cancel ``wanted``: by symbol where that spares nothing else, else singly.

        A venue's cancel-all cannot tell protective orders from others.
        """
        acts = self._cancels(list(wanted), orders)
        everything = getattr(self._venue, "cancel_everything", None)
        if everything is not None:
            seconds = self._pacer.seconds(act for act, _, _ in acts)
            if seconds > CANCEL_SECONDS_MAX:
                acts = [(Act.CANCEL_ALL, everything, "cancel everything")]
        return await self._all(self._cancel_one(*act) for act in acts)

    def _cancels(
        self, wanted: list[OpenOrder], orders: Iterable[OpenOrder]
    ) -> list[tuple[Act, Call[None], str]]:
        groups: dict[tuple[str, OrderClass], list[OpenOrder]] = defaultdict(list)
        for order in wanted:
            groups[order.symbol, order.order_class].append(order)
        standing = Counter((order.symbol, order.order_class) for order in orders)
        acts: list[tuple[Act, Call[None], str]] = []
        for (symbol, order_class), group in groups.items():
            if len(group) == standing[symbol, order_class] and len(group) > 1:
                call = partial(self._venue.cancel_all, symbol, order_class)
                what = f"cancel all {order_class} in {symbol}"
                acts.append((Act.CANCEL_ALL, call, what))
            else:
                acts.extend(
                    (Act.CANCEL, partial(self._venue.cancel, o), f"cancel {o.order_id}")
                    for o in group
                )
        return acts

    async def _cancel_blindly(self) -> None:
        everything = getattr(self._venue, "cancel_everything", None)
        if everything is not None:
            await self._all(
                [self._cancel_one(Act.CANCEL_ALL, everything, "cancel everything")]
            )
            return
        await self._all(
            self._cancel_one(
                Act.CANCEL_ALL,
                partial(self._venue.cancel_all, symbol, order_class),
                f"cancel all {order_class} in {symbol}",
            )
            for symbol in sorted(self._symbols)
            for order_class in OrderClass
        )

    async def _cancel_one(self, act: Act, call: Call[None], what: str) -> bool:
        await self._pacer.turn(act)
        self._reached("cancel-sent")
        done = await self._try(call, what)
        self._reached("cancel-answered")
        return done

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
            await self._send_close(order)
        except OrderRefused as error:
            self._failed("the venue refused a close", error, f"{order}")
        except FAILED as error:
            self._failed("unknown outcome of a close", error, f"{order}")
            return False
        else:
            return True
        await self._clear_way(held.symbol)
        if contract is None:
            return False
        limit = band_order(held, order, contract, halt_id=self.halt_id)
        return await self._try(partial(self._send_close, limit), f"close {limit}")

    async def _send_close(self, order: CloseOrder) -> None:
        await self._pacer.turn(Act.CLOSE)
        self._reached("close-sent")
        await within(calls.CALL_SECONDS, lambda: self._venue.close_position(order))
        self._reached("close-answered")

    async def _clear_way(self, symbol: str) -> None:
        """Cancel what rests in ``symbol``: its reduce-only orders may block a close."""
        await asyncio.gather(
            *(
                self._cancel_one(
                    Act.CANCEL,
                    partial(self._venue.cancel, order),
                    f"cancel {order.order_id}",
                )
                for order in self.remains.orders
                if order.symbol == symbol and not order.may_increase
            )
        )

    async def _try(self, call: Call[None], what: str) -> bool:
        try:
            await within(calls.CALL_SECONDS, call)
        except FAILED as error:
            self._failed(what.split(" ", 1)[0], error, what)
            return False
        return True

    async def _all(self, calls: Iterable[Coroutine[Any, Any, bool]]) -> bool:
        """
        Run ``calls`` at once; one that hangs goes on beside the next step.

        What waits for its turn does not hang: the barrier begins when the last has had
        its turn.
        """
        tasks = {asyncio.create_task(call) for call in calls}
        hanging = tasks
        while hanging:
            was_held = self._pacer.is_holding
            _, hanging = await asyncio.wait(hanging, timeout=BARRIER_SECONDS)
            if not (was_held or self._pacer.is_holding):
                break
        for task in hanging:
            self._beside.add(task)
            task.add_done_callback(self._beside.discard)
        return not hanging and all(task.result() for task in tasks)


def _shrank(held: HeldPosition, before: Mapping[tuple[str, str], Decimal]) -> bool:
    """Return whether ``held`` had more slices to send, and the last ones went off."""
    size = before.get((held.symbol, held.leg))
    return size is not None and abs(held.size) < size

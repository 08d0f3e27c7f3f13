"""
A halt over all venues at once, and the guard after it; it decides none and ends none.

Every venue has its own task: one that hangs, or fails in a way nobody thought of,
delays no other and is started again where it stood.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from typing import Final

from cryptoquantix.control.status import (
    RemainingOrder,
    RemainingPosition,
    RiskState,
)
from cryptoquantix.core.exposure import Reading
from cryptoquantix.risk import calls
from cryptoquantix.risk.calls import FAILED, within
from cryptoquantix.risk.flatten import VenueFlattener
from cryptoquantix.risk.look import Complained
from cryptoquantix.risk.port import RiskVenue
from cryptoquantix.risk.state import Latch
from cryptoquantix.risk.steps import Reached, nothing

RESTART_SECONDS: Final = 0.5
PROOF_SECONDS: Final = 4.0
"""How long a proof of flat that could not be read is begun again: whoever asked waits
up to twice that, which must stay within an operator's patience for one answer."""

GUARD_SYMBOLS_MAX: Final = 4
"""Symbols read each second (request weight 2 each); beyond, all in turn."""

GUARD_ALL_SECONDS: Final = 30
"""Between reads of the open orders of every symbol (request weight 80).

A client whose venue shows all of them cheaply says so (``reads_all_cheaply``).
"""


class Halt:
    """
    Carries a halt out and guards what it left.

    ``on_step`` is told each step of each venue, ``on_sent`` when a venue's first round
    is out.
    """

    def __init__(
        self,
        venues: Mapping[str, RiskVenue],
        *,
        complain: Complained,
        on_step: Callable[[str, RiskState], None],
        on_sent: Callable[[str], None],
        reached: Reached = nothing,
    ) -> None:
        self._venues = venues
        self._complain = complain
        self._reached = reached
        self._on_step = on_step
        self._on_sent = on_sent
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._turns = dict.fromkeys(venues, 0)
        self.flatteners = {
            name: VenueFlattener(venue, halt_id="", complain=complain, reached=reached)
            for name, venue in venues.items()
        }

    def start(self, latch: Latch) -> None:
        """
        Start, or start again, every venue at the step where it stands.

        One that was verified before is verified again: that was another process's word.
        """
        halt_id = latch.trip.trip_id if latch.trip else ""
        self.stop()
        self._reached("revoked")
        for name, venue_flattener in self.flatteners.items():
            venue_flattener.halt_id = halt_id
            step = latch.steps.get(name, RiskState.TRIPPED)
            if step is RiskState.HALTED:
                step = RiskState.VERIFYING
            task = asyncio.create_task(self._venue(name, step), name=f"halt {name}")
            self._tasks[name] = task

    def stop(self) -> None:
        """End what is running; only for a new start or the end of the process."""
        for task in self._tasks.values():
            task.cancel()
        self._tasks.clear()

    async def _venue(self, name: str, step: RiskState) -> None:
        """Carry one venue to verified flat, whatever happens on the way."""
        current = step

        def stepped(reached: RiskState) -> None:
            nonlocal current
            current = reached
            self._on_step(name, reached)

        while True:
            try:
                await self.flatteners[name].run(
                    current, on_step=stepped, on_sent=lambda: self._on_sent(name)
                )
            except FAILED as error:
                sentence = f"halt at {name}: {error!r}; starting again"
                self._complain(f"halt {name} {type(error).__name__}", sentence)
                current = RiskState.CANCELING
                await asyncio.sleep(RESTART_SECONDS)
            else:
                return

    async def guard(self, name: str, reading: Reading | None) -> str:
        """
        Look after a venue that was flat; return what appeared and was dealt with.

        ``reading`` is this second's, ``None`` when there is none.
        """
        flattener = self.flatteners[name]
        self._turns[name] += 1
        symbols = self._guarded(name, reading)
        orders = await within(
            calls.CALL_SECONDS, lambda: self._venues[name].open_orders(symbols)
        )
        held = [p for p in reading.positions if p.size] if reading else []
        found = [f"order {o.client_order_id} in {o.symbol}" for o in orders]
        found += [
            f"position {p.size:f} {p.symbol}" for p in held if not flattener.why_left(p)
        ]
        if not found:
            if not flattener.is_flat:
                await flattener.verify()  # an earlier look may have failed
            return ""
        await flattener.cancel_increasing()
        await flattener.close_positions(self._turns[name])
        await flattener.cancel_rest()
        await flattener.verify()
        return f"{name}: appeared after the halt and was removed: {', '.join(found)}"

    def _guarded(self, name: str, reading: Reading | None) -> Collection[str] | None:
        """Return the symbols to read orders of in this second; ``None`` for all."""
        turn = self._turns[name]
        is_hinted = reading is not None and reading.hints_orders
        is_cheap = getattr(self._venues[name], "reads_all_cheaply", False)
        if is_cheap or is_hinted or turn % GUARD_ALL_SECONDS == 0:
            return None
        symbols = self.flatteners[name].symbols
        if len(symbols) <= GUARD_SYMBOLS_MAX:
            return symbols
        ordered = sorted(symbols)
        first = turn * GUARD_SYMBOLS_MAX % len(ordered)
        return frozenset((ordered * 2)[first : first + GUARD_SYMBOLS_MAX])

    async def prove_flat(self) -> str:
        """Return what is left by fresh reads at every venue, or an empty text."""
        await asyncio.gather(*map(_prove, self.flatteners.values()))
        return self.not_flat()

    def not_flat(self) -> str:
        """Return ``NOT FLAT`` with amounts, or an empty text when flat is verified."""
        parts = []
        for name, flattener in self.flatteners.items():
            if flattener.is_flat:
                continue
            held = [f"{p.size:f} {p.symbol}" for p in flattener.closable]
            orders = len(flattener.remains.orders)
            problem = flattener.remains.problem
            shown = [*held, f"{orders} open orders"] if held or orders else []
            text = ", ".join([*shown, problem] if problem else shown)
            parts.append(f"{name}: {text}")
        return f"NOT FLAT: {'; '.join(parts)}" if parts else ""

    def remaining_orders(self) -> tuple[RemainingOrder, ...]:
        """Return the open orders as last read."""
        return tuple(
            RemainingOrder(
                venue=name,
                symbol=order.symbol,
                order_id=order.order_id,
                client_order_id=order.client_order_id,
                order_class=order.order_class.value,
                side=order.side.value,
                size=f"{order.size:f}",
                may_increase=order.may_increase,
            )
            for name, flattener in self.flatteners.items()
            for order in flattener.remains.orders
        )

    def remaining_positions(self) -> tuple[RemainingPosition, ...]:
        """Return the positions as last read; what is left alone says why."""
        return tuple(
            RemainingPosition(
                venue=name,
                symbol=held.symbol,
                leg=held.leg,
                size=f"{held.size:f}",
                mark_price=f"{held.mark_price:f}",
                why_left=flattener.why_left(held),
            )
            for name, flattener in self.flatteners.items()
            for held in flattener.remains.positions
        )


async def _prove(flattener: VenueFlattener) -> None:
    """
    Verify, again where the venue could not be read: what is open is an answer.

    A list of all orders waits for the budget of request weight, which services that
    were started again just now may have spent.
    """
    until = asyncio.get_running_loop().time() + PROOF_SECONDS
    while not await flattener.verify() and not flattener.remains.is_complete:
        if asyncio.get_running_loop().time() >= until:
            return
        await asyncio.sleep(RESTART_SECONDS)

"""
What one venue still holds, as it says itself; it changes nothing there.

What cannot be read leaves what was seen last, and a sentence that says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from cryptoquantix.core.clock import NS_PER_SECOND
from cryptoquantix.core.errors import RateLimited
from cryptoquantix.core.exposure import Contract, HeldPosition, OpenOrder
from cryptoquantix.risk import calls
from cryptoquantix.risk.calls import FAILED, within
from cryptoquantix.risk.closing import why_left
from cryptoquantix.risk.port import RiskVenue

SILENCE_SECONDS_MIN: Final = 0.05


@dataclass(frozen=True, slots=True)
class Remains:
    """What one venue still holds; ``is_complete`` when every read succeeded."""

    orders: tuple[OpenOrder, ...] = ()
    positions: tuple[HeldPosition, ...] = ()
    is_complete: bool = False
    problem: str = "not read yet"


type Complained = Callable[[str, str], None]
"""Takes what kind of thing went wrong, and the sentence."""


class VenueLook:
    """
    Reads what one venue holds, and remembers it as ``remains``.

    ``complain`` takes what went wrong, for the audit log.
    """

    def __init__(self, venue: RiskVenue, *, complain: Complained) -> None:
        self._venue = venue
        self._complain = complain
        self._contracts: Mapping[str, Contract] = {}
        self._symbols: set[str] = set()
        self._silent_seconds = 0.0
        self._has_seen_all = False
        self.remains = Remains()

    def know(self, symbols: Iterable[str]) -> None:
        """Remember symbols to cancel in even when orders cannot be read."""
        self._symbols.update(symbols)

    @property
    def symbols(self) -> frozenset[str]:
        """Every symbol in which something was seen."""
        return frozenset(self._symbols)

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
                within(calls.CALL_SECONDS, lambda: self._venue.open_orders(symbols)),
                within(calls.CALL_SECONDS, self._venue.reading),
                within(calls.CALL_SECONDS, self._venue.positions_again),
            )
        except FAILED as error:
            problem = f"{type(error).__name__}: {error}"
            self._failed("cannot be read", error)
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
                calls.CALL_SECONDS, lambda: self._venue.open_orders(symbols)
            )
        except FAILED as error:
            self._failed("open orders cannot be read", error)
            return None
        self._has_seen_all = self._has_seen_all or symbols is None
        self._learn(orders, ())
        self.remains = Remains(orders, self.remains.positions, problem="acting")
        return orders

    async def _read_positions(self) -> tuple[HeldPosition, ...] | None:
        for read in (self._listed, self._venue.positions_again):
            try:
                found = await within(calls.CALL_SECONDS / 2, read)
            except FAILED as error:
                self._failed("positions cannot be read", error)
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
            self._contracts = await within(calls.CALL_SECONDS, self._venue.contracts)
        except FAILED as error:
            self._failed("contracts cannot be read", error)

    def _failed(self, kind: str, error: Exception, what: str = "") -> None:
        if isinstance(error, RateLimited):
            seconds = error.delay_ns / NS_PER_SECOND
            least = self._silent_seconds or seconds
            self._silent_seconds = max(SILENCE_SECONDS_MIN, min(least, seconds))
        sentence = f"{self._venue.name}: {what or kind}: {error!r}"
        key = f"{self._venue.name} {kind} {type(error).__name__}"
        self._complain(key, sentence)

"""
What execution needs of a venue, as a protocol; it implements nothing.

Everything is in ticks, lots and Decimal; the venue's own spellings stop here. Every
coroutine raises the errors of :mod:`cryptoquantix.core.errors` and none other, and
has a bound on how long it waits. Cancelling one that places an order leaves the
order's outcome unknown: the caller must treat it so.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol, Self

from cryptoquantix.core.account import AccountSnapshot
from cryptoquantix.core.exposure import DeadManSwitch
from cryptoquantix.core.instrument import Instrument, InstrumentId, Venue
from cryptoquantix.core.order import Fill, Increase, OrderState, Reduction, Side


@dataclass(frozen=True, slots=True)
class VenueOrder:
    """
    One order as the venue shows it.

    ``state`` is WORKING, FILLED, CANCELED (expired included) or REFUSED;
    ``is_conditional`` where it waits for a trigger. ``client_order_id`` is whatever
    the venue holds, ours or not.
    """

    venue_order_id: str
    client_order_id: str
    instrument: InstrumentId
    side: Side
    size_lots: int
    filled_lots: int
    state: OrderState
    is_reduce_only: bool
    is_conditional: bool
    detail: str = ""


@dataclass(frozen=True, slots=True)
class VenueFill:
    """
    One execution on the account, with the venue's id of its order.

    ``fill.client_order_id`` is empty: venues tell fills by their own order ids.
    """

    fill: Fill
    venue_order_id: str


@dataclass(frozen=True, slots=True)
class CashFlow:
    """
    Funding of one instrument, kept apart by the venue's own id of the booking.

    ``cash`` is positive where received, in ``currency``.
    """

    flow_id: str
    instrument: InstrumentId
    cash: Decimal
    currency: str
    venue_time_ns: int


@dataclass(frozen=True, slots=True)
class BestQuote:
    """The best resting prices; None on a side where nothing rests."""

    bid: Decimal | None
    ask: Decimal | None

    @classmethod
    def of(cls, bid: Decimal, ask: Decimal) -> Self:
        """Return a quote of prices as venues tell them: 0 where nothing rests."""
        return cls(bid or None, ask or None)


PermitCheck = Callable[[], None]
"""Raises :class:`~cryptoquantix.core.errors.Halted` unless an increase may be sent."""


class VenuePort(Protocol):
    """One account at one venue."""

    @property
    def venue(self) -> Venue:
        """Which venue it is."""
        ...

    async def open(self) -> None:
        """
        Read what must be known before trading: instruments, clock, mode, rights.

        Raises
        ------
        CredentialsRefused
            If the key is wrong, may withdraw, or the account is in hedge mode.
        """
        ...

    async def close(self) -> None:
        """Close every connection; closing twice is fine."""
        ...

    def instruments(self) -> Mapping[InstrumentId, Instrument]:
        """Return what is traded, as of :meth:`open`."""
        ...

    async def read_instruments(self) -> Mapping[InstrumentId, Instrument]:
        """Read anew what is traded; :meth:`instruments` stays as it was."""
        ...

    async def account(self) -> AccountSnapshot:
        """Return equity and every position."""
        ...

    async def marks(
        self, instruments: Iterable[InstrumentId]
    ) -> dict[InstrumentId, Decimal]:
        """Return mark prices."""
        ...

    async def quotes(
        self, instruments: Iterable[InstrumentId]
    ) -> dict[InstrumentId, BestQuote]:
        """Return the best bid and ask."""
        ...

    async def open_orders(
        self, instruments: Iterable[InstrumentId] | None
    ) -> list[VenueOrder]:
        """Return resting orders of every class, of all instruments where None."""
        ...

    async def place_increase(
        self, order: Increase, permit_check: PermitCheck
    ) -> VenueOrder:
        """
        Send an increase; ``permit_check`` runs right before the bytes are written.

        Raises
        ------
        Halted
            From ``permit_check``: no byte was written.
        """
        ...

    async def place_reduction(self, order: Reduction) -> VenueOrder:
        """Send a reduction; nothing of ours holds it up."""
        ...

    @property
    def can_amend(self) -> bool:
        """Whether a resting order may be given another price, and keeps the rest."""
        ...

    async def amend(
        self, order: Increase | Reduction, permit_check: PermitCheck | None
    ) -> VenueOrder:
        """
        Give the resting order with this id the price of ``order``, and nothing else.

        An increase needs ``permit_check``, which runs right before the bytes go out.
        """
        ...

    async def cancel(self, instrument: InstrumentId, client_order_id: str) -> None:
        """Cancel one order; :class:`OrderNotFound` where it rests no more."""
        ...

    async def order_by_client_id(
        self, instrument: InstrumentId, client_order_id: str
    ) -> VenueOrder:
        """Return one order of any state; :class:`OrderNotFound` where unknown."""
        ...

    async def fills(
        self, instrument: InstrumentId, after_trade_id: str
    ) -> list[VenueFill]:
        """Return fills newer than ``after_trade_id``, oldest first (empty: newest)."""
        ...

    async def funding(
        self, instruments: Iterable[InstrumentId], since_ns: int
    ) -> list[CashFlow]:
        """Return funding booked at ``since_ns`` or later, oldest first."""
        ...

    async def keep_dead_man(self, resting: Collection[InstrumentId]) -> DeadManSwitch:
        """
        Arm, or keep alive, the venue's own switch for orders resting in ``resting``.

        To be called every ten seconds while something rests, and once when nothing
        does. Says whether it is armed and for what; a venue that refuses, or whose
        switch would not cover our orders, is no error.
        """
        ...

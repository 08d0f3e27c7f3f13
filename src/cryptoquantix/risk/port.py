"""
What the daemon needs of a venue; it reaches none.

Clients satisfy it by shape (``venues/emergency.py`` never imports it); the values that
pass are in ``core/exposure.py``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from decimal import Decimal
from typing import Protocol

from cryptoquantix.core.exposure import (
    Act,
    CloseOrder,
    Contract,
    DeadManSwitch,
    HeldPosition,
    LedgerEntry,
    OpenOrder,
    OrderClass,
    Pace,
    Reading,
)


class RiskVenue(Protocol):
    """
    One venue. Every call raises a ``VenueError`` subclass when it fails.

    Any call may be canceled by its caller's deadline; what was sent may then have
    been accepted, which is why closes are reduce-only and repeated from fresh
    positions alone.
    """

    @property
    def name(self) -> str:
        """The venue's name in this project."""
        ...

    async def check_keys(self) -> None:
        """Raise ``CredentialsRefused`` for a key the daemon must not run with."""
        ...

    async def contracts(self) -> Mapping[str, Contract]:
        """Return the steps of every symbol; read once, then kept."""
        ...

    async def reading(self) -> Reading:
        """Read the account by the cheapest complete call."""
        ...

    async def positions_again(self) -> tuple[HeldPosition, ...]:
        """Read the positions by another endpoint than ``reading`` uses."""
        ...

    async def equity_again(self) -> Decimal:
        """Read equity by another endpoint than ``reading`` uses."""
        ...

    async def open_orders(
        self, symbols: Collection[str] | None = None
    ) -> tuple[OpenOrder, ...]:
        """Return open orders of every class; of every symbol when none is named."""
        ...

    async def cancel(self, order: OpenOrder) -> None:
        """Cancel one order; one that is gone already is success."""
        ...

    async def cancel_all(self, symbol: str, order_class: OrderClass) -> None:
        """Cancel every order of one class and symbol."""
        ...

    async def close_position(self, order: CloseOrder) -> None:
        """Send one reduce-only order."""
        ...

    async def ledger(self, since_ns: int) -> tuple[LedgerEntry, ...]:
        """Return ledger entries from ``since_ns`` on, oldest first."""
        ...

    async def dead_man_switch(self) -> DeadManSwitch:
        """Ask the venue for its own switch over the orders of this account."""
        ...

    async def keep_warm(self) -> None:
        """Keep connections open, so that an emergency call has none to dial."""
        ...


class PacedVenue(Protocol):
    """
    What a venue with tight order limits says besides; each part may be missing.

    Acts are paced by the caller, most urgent first: a client queues none of them.
    Where a venue asks for silence, the client raises ``RateLimited`` for the calls that
    share that limit, with what is left of it, and sends no byte.
    """

    @property
    def paces(self) -> Mapping[Act, Pace]:
        """The documented budgets of acts; an act without one is not paced."""
        ...

    async def cancel_everything(self) -> None:
        """Cancel every order of every class by the fewest calls, protective ones."""
        ...

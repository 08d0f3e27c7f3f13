"""
The account's owner at a simulated venue, whichever it is; it reads no log.

Drills act from outside, as a person with a venue's web page would, and share no
code with the adapters that they put to the test.
"""

from __future__ import annotations

import asyncio
from decimal import Decimal
from types import TracebackType
from typing import Any, Final, Protocol, Self

import aiohttp

from cryptoquantix.core.errors import RateLimited, VenueError
from cryptoquantix.drills.book import BookOrder, Listing

_TIMEOUT: Final = aiohttp.ClientTimeout(total=5)
_PAUSE_SECONDS: Final = 0.25
_TRIES_MAX: Final = 40  # ten seconds: no venue's order budget takes longer to refill


class AccountOwner(Protocol):
    """One account at one venue, used with ``async with``."""

    @property
    def venue(self) -> str:
        """The venue's name."""
        ...

    async def listings(self) -> list[Listing]:
        """Return what can be traded, with its steps, in the venue's order."""
        ...

    async def prices(self) -> dict[str, Decimal]:
        """Return the last price of every symbol."""
        ...

    async def send(self, order: BookOrder) -> None:
        """Place one order; ``RateLimited`` when the venue's budget is spent."""
        ...

    async def __aenter__(self) -> Self:
        """Open its connection."""
        ...

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close its connection."""
        ...


async def place(owner: AccountOwner, order: BookOrder) -> None:
    """
    Place one order, waiting where the venue's order budget is spent.

    Raises
    ------
    VenueError
        If the venue refuses it, or is still too busy after ten seconds.
    """
    for _ in range(_TRIES_MAX):
        try:
            await owner.send(order)
        except RateLimited:
            await asyncio.sleep(_PAUSE_SECONDS)
        else:
            return
    msg = f"{owner.venue} takes no order for ten seconds: too many requests"
    raise RateLimited(msg, venue=owner.venue)


class Wire:
    """HTTP with JSON answers, for the owners' small clients."""

    def __init__(self, venue: str, rest: str) -> None:
        self.venue = venue
        self._rest = rest
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(timeout=_TIMEOUT)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def request(
        self,
        method: str,
        target: str,
        headers: dict[str, str] | None = None,
        body: bytes | None = None,
    ) -> tuple[int, Any]:
        """
        Return status and JSON of one answer.

        Cancellation leaves the request's outcome unknown, as it would a person.

        Raises
        ------
        VenueError
            If no JSON came back.
        """
        assert self._session is not None, "used outside its context"
        try:
            async with self._session.request(
                method, self._rest + target, headers=headers, data=body
            ) as answer:
                return answer.status, await answer.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            path = target.partition("?")[0]
            msg = f"{self.venue} gave no answer to {method} {path}: {error!r}"
            raise VenueError(msg, venue=self.venue, request=path) from None

    def refusal(self, request: str, answer: object, *, is_busy: bool) -> VenueError:
        """Return the error for a refused request: the venue's own words."""
        msg = f"{self.venue}: {request} was refused: {answer}"
        if is_busy:
            return RateLimited(msg, venue=self.venue, request=request)
        return VenueError(msg, venue=self.venue, request=request)

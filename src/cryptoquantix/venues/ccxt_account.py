"""
What the three ccxt ports have in common: budgets, clock and errors; it knows no order.

Native parameters and raw answers only (ccxt's implicit methods): every price and size
stays decimal text until it is ticks and lots, and no unified parameter leaks. ccxt
signs and sends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any, Final

from cryptoquantix.core.clock import NS_PER_MS, NS_PER_SECOND, Clock
from cryptoquantix.core.errors import (
    CredentialsRefused,
    CryptoquantixError,
    OrderNotFound,
    RateLimited,
    VenueUnavailable,
)
from cryptoquantix.core.instrument import Instrument, InstrumentId, Venue
from cryptoquantix.core.order import Increase, Reduction
from cryptoquantix.core.quantity import from_steps
from cryptoquantix.venues.answers import UNREADABLE, plain, shaped
from cryptoquantix.venues.ccxt_wire import (
    ATTEMPT,
    Attempt,
    close_wire,
    failure_of,
    open_wire,
)
from cryptoquantix.venues.errors import (
    Failure,
    is_clock_doubtful,
    order_error,
    read_error,
)
from cryptoquantix.venues.port import PermitCheck, VenueOrder
from cryptoquantix.venues.weight import WeightBudget

# An increase that must queue for longer is better decided anew.
_INCREASE_WAIT_SECONDS: Final = 2.0
_CLOCK_AGE_NS_MAX: Final = 600 * NS_PER_SECOND


class CcxtAccount:
    """
    One account at ``venue``, one-way position mode.

    Parameters
    ----------
    rest : str
        The venue's REST address; every address of ccxt is held to it.
    key, secret : str
        Execution's own key: trading allowed, withdrawing not.
    budget, order_budget : WeightBudget
        Our half of what the venue allows for reading and for acting; one and the same
        where the venue counts them together.
    """

    def __init__(
        self,
        venue: Venue,
        *,
        rest: str,
        key: str,
        secret: str,
        clock: Clock,
        budget: WeightBudget,
        order_budget: WeightBudget | None = None,
    ) -> None:
        self._venue = venue
        self._rest = rest
        self._key = key
        self._secret = secret
        self._clock = clock
        self._wire: Any = None
        self._clock_read_ns = 0
        self._is_clock_doubtful = True
        self._instruments: dict[InstrumentId, Instrument] = {}
        self.budget = budget
        self.order_budget = order_budget or budget

    @property
    def venue(self) -> Venue:
        """Which venue it is."""
        return self._venue

    def instruments(self) -> Mapping[InstrumentId, Instrument]:
        """Return what is traded, as of ``open``."""
        return self._instruments

    async def read_instruments(self) -> dict[InstrumentId, Instrument]:
        """Read anew what is traded; ``instruments`` stays as of ``open``."""
        return {item.id: item for item in (await self._perpetuals()).values()}

    def venue_time_ms(self) -> int:
        """Return the venue's clock, as far as it is known."""
        ahead_ms = 0
        if self._wire is not None:
            ahead_ms = int(self._wire.options.get("timeDifference", 0))
        return self._clock.time_ns() // NS_PER_MS - ahead_ms

    async def close(self) -> None:
        """Close every connection; closing twice is fine."""
        if self._wire is not None:
            await close_wire(self._wire)

    async def place_increase(
        self, order: Increase, permit_check: PermitCheck
    ) -> VenueOrder:
        """Send an increase; ``permit_check`` runs right before the bytes go out."""
        permit_check()
        await self._take_turn(order)
        attempt = Attempt(check=permit_check, is_once=True)
        return await self._place(order, attempt)

    async def place_reduction(self, order: Reduction) -> VenueOrder:
        """Send a reduction; nothing of ours holds it up."""
        await self._take_turn(order)
        return await self._place(order, Attempt(is_once=True))

    @property
    def can_amend(self) -> bool:
        """Whether a resting order may be given another price, and keeps the rest."""
        return False

    async def amend(
        self, order: Increase | Reduction, permit_check: PermitCheck | None
    ) -> VenueOrder:
        """Give the resting order with this id the price of ``order``, nothing else."""
        assert self.can_amend, "asked only where it can be done"
        if isinstance(order, Increase):
            assert permit_check is not None, "an increase needs a permit"
            permit_check()
        await self._take_turn(order)
        return await self._amend(order, Attempt(check=permit_check, is_once=True))

    async def _take_turn(self, order: Increase | Reduction) -> None:
        """Take an order's weight: an increase waits for it, within a bound."""
        try:
            async with asyncio.timeout(_INCREASE_WAIT_SECONDS):
                is_urgent = isinstance(order, Reduction)
                await self.order_budget.take(1, is_urgent=is_urgent)
        except TimeoutError:
            msg = f"no request weight was free for the order at {self._venue}: not sent"
            request = f"order {order.client_order_id}"
            raise VenueUnavailable(msg, venue=self._venue, request=request) from None

    # -- a venue's own ----------------------------------------------------------

    async def _perpetuals(self) -> dict[str, Instrument]:
        """Read what is traded, by the venue's symbol."""
        raise NotImplementedError

    async def _place(self, order: Increase | Reduction, attempt: Attempt) -> VenueOrder:
        """Send an order, reduce-only where it is a reduction."""
        raise NotImplementedError

    async def _amend(self, order: Increase | Reduction, attempt: Attempt) -> VenueOrder:
        """Send a resting order's new price."""
        raise NotImplementedError

    async def _venue_time_ms(self) -> int:
        """Return the venue's clock, by a call that needs no clock of ours."""
        raise NotImplementedError

    # -- the wire ---------------------------------------------------------------

    def _connect(self) -> None:
        if self._wire is None:
            self._wire = open_wire(self._rest, self._key, self._secret, self._venue)

    async def _read(self, request: str, weight: int, method: str, **params: str) -> Any:  # noqa: ANN401 - JSON
        await self.budget.take(weight)
        if self._is_clock_stale():
            await self._read_clock()
        return await self._call(request, Attempt(), method, params)

    async def _read_each(
        self,
        request: str,
        weight: int,
        method: str,
        instruments: Iterable[InstrumentId],
        *,
        name: str = "symbol",
        **params: str,
    ) -> dict[InstrumentId, Any]:
        """Ask the same of each instrument, all at once, under ``name``."""
        wanted = list(instruments)
        answers = await asyncio.gather(
            *(
                self._read(request, weight, method, **params, **{name: id_.symbol})
                for id_ in wanted
            )
        )
        return dict(zip(wanted, answers, strict=True))

    async def _call(
        self,
        request: str,
        attempt: Attempt,
        method: str,
        params: Mapping[str, Any],
        *,
        changes_orders: bool = False,
    ) -> Any:  # noqa: ANN401 - JSON
        assert self._wire is not None, "the venue is not open"
        token = ATTEMPT.set(attempt)
        try:
            return await getattr(self._wire, method)(dict(params))
        except CryptoquantixError:
            raise
        except Exception as error:  # noqa: BLE001 - ccxt lets others' through
            failure = failure_of(self._venue, error, request, is_sent=attempt.is_sent)
            tell = order_error if changes_orders else read_error
            told = tell(failure)
            self._heed(failure, told)
            if isinstance(told, CredentialsRefused):
                msg = f"{told} (key venues.{self._venue}.key)"
                raise CredentialsRefused(
                    msg, venue=self._venue, request=request
                ) from None
            raise told from None
        finally:
            ATTEMPT.reset(token)

    def _heed(self, failure: Failure, told: Exception) -> None:
        """Keep to what the venue just said: wait when limited, set the clock."""
        if isinstance(told, RateLimited):
            self.budget.close_for(told.delay_ns)
            self.order_budget.close_for(told.delay_ns)
        if is_clock_doubtful(failure):
            self._is_clock_doubtful = True

    def _is_clock_stale(self) -> bool:
        age_ns = self._clock.monotonic_ns() - self._clock_read_ns
        return self._is_clock_doubtful or age_ns > _CLOCK_AGE_NS_MAX

    async def _read_clock(self) -> None:
        """Measure how far our clock is from the venue's; ccxt stamps with it."""
        self._is_clock_doubtful = False
        await self.budget.take(1)
        before_ns = self._clock.monotonic_ns()
        venue_ms = await self._venue_time_ms()
        after_ns = self._clock.monotonic_ns()
        # Venues refuse stamps 1 s ahead of them and take 2 s old ones: half the way
        # is the best guess, and what is left of the error makes us late, not early.
        midway_ns = self._clock.time_ns() - (after_ns - before_ns) // 2
        self._wire.options["timeDifference"] = midway_ns // NS_PER_MS - venue_ms
        self._clock_read_ns = after_ns

    def _shaped(self, request: str) -> Any:  # noqa: ANN401 - a context manager
        return shaped(self._venue, request)

    def _size_text(self, order: Increase | Reduction) -> str:
        lot_size = self._instruments[order.instrument].lot_size
        return plain(from_steps(order.size_lots, lot_size))

    def _price_text(self, order: Increase | Reduction) -> str:
        assert order.price_ticks is not None, "checked by the order itself"
        tick_size = self._instruments[order.instrument].tick_size
        return plain(from_steps(order.price_ticks, tick_size))

    def _unknown_order(self, request: str) -> OrderNotFound:
        """Return the error of an order that an answer does not hold."""
        msg = f"{self.venue} does not know the order of {request}"
        return OrderNotFound(msg, venue=self.venue, request=request)

    def _refuse_unfit(self, unfit: str, request: str) -> None:
        """Refuse a key that may do too much, or too little."""
        if unfit:
            msg = f"the {self.venue} key {unfit} (key venues.{self.venue}.key)"
            raise CredentialsRefused(msg, venue=self.venue, request=request)

    def _unreadable_order(self, request: str, error: Exception) -> Exception:
        """Return the error of an order whose answer says nothing."""
        assert isinstance(error, UNREADABLE), "anything else says what it is"
        text = f"an answer of unknown shape: {error!r}"
        return order_error(Failure(self._venue, request, is_sent=True, text=text))


def among(
    orders: Iterable[VenueOrder], instruments: Iterable[InstrumentId] | None
) -> list[VenueOrder]:
    """Return the orders in ``instruments``, all where None."""
    wanted = None if instruments is None else set(instruments)
    return [o for o in orders if wanted is None or o.instrument in wanted]

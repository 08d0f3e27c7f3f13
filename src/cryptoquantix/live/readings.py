"""
What one venue says, read in time and given to the engine; it sends and cancels nothing.

Everything is read every few seconds, what a hint or an ended order may have changed at
once, and an order whose outcome is unknown is looked up until it is known.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Final

from cryptoquantix.core.clock import NS_PER_SECOND, Clock
from cryptoquantix.core.errors import CredentialsRefused, VenueError
from cryptoquantix.core.order import OrderState
from cryptoquantix.journal.records import OrderStanding
from cryptoquantix.live.bookkeeping import Bookkeeping
from cryptoquantix.live.engine import Engine
from cryptoquantix.live.events import Effect, Now
from cryptoquantix.live.sender import Sender
from cryptoquantix.venues.port import VenueOrder, VenuePort

_LOG = logging.getLogger(__name__)

# Quick look-ups cover the receive window and the two that prove absence; a venue that
# has not answered by then is asked slowly, at little weight.
_LOOK_UP_SECONDS: Final = 0.25
_LOOK_UPS_QUICK: Final = 20
_LOOK_UP_SLOW_NS: Final = 2 * NS_PER_SECOND
# A cycle weighs 10 for the account and 3 an instrument (mark, two classes of orders):
# this pace spends half of our 1 200 a minute at most.
_READ_SECONDS_MIN: Final = 2.0
_READ_SECONDS_MAX: Final = 12.0
_READ_SECONDS_PER_INSTRUMENT: Final = 0.6
_FILLS_NS: Final = 15 * NS_PER_SECOND
_FILLS_NS_PER_INSTRUMENT: Final = 2 * NS_PER_SECOND
_BUNCH_SECONDS: Final = 0.05
_ENDED_SECONDS: Final = 0.03
_HINT_SECONDS: Final = 1.0
_SWEEP_NS: Final = 60 * NS_PER_SECOND
_RETRY_SECONDS: Final = (0.5, 1.0, 2.0, 5.0)
_REFUSED_SECONDS: Final = 30.0


class Readings:
    """
    One desk's readings of its venue.

    Parameters
    ----------
    port, sender, clock
        The venue, who looks orders up, and the time.
    now : callable
        Returns the moment with the permit that holds.
    carry_out : callable
        Takes what an engine decided from a reading.
    doubt : callable
        Told when something was answered that cannot be read.
    """

    def __init__(
        self,
        *,
        port: VenuePort,
        sender: Sender,
        clock: Clock,
        now: Callable[[], Now],
        carry_out: Callable[[Engine, Iterable[Effect]], None],
        doubt: Callable[[], None],
    ) -> None:
        self.is_unreachable = False
        self._port = port
        self._sender = sender
        self._clock = clock
        self._now = now
        self._carry_out = carry_out
        self._doubt = doubt
        self._wake = asyncio.Event()
        self._due: asyncio.TimerHandle | None = None
        self._look_ups: dict[str, tuple[int, int]] = {}
        self._hinted = False
        self._hint_read_ns = -NS_PER_SECOND
        self._is_read_wanted = False
        self._swept_ns = 0
        self._filled_ns = 0
        self._ended_ns = 0

    # -- what others say --------------------------------------------------------

    def read_soon(self) -> None:
        """Read marks and account at once, whatever was read when."""
        self._is_read_wanted = True
        self._wake.set()

    def hint(self) -> None:
        """
        Take a hint that something changed at the venue: read soon.

        Hints come in bunches, and readings have a price: one reading follows a bunch,
        and the next hint's reading follows it a second later at the earliest.
        """
        if self._hinted:
            return
        self._hinted = True
        since_ns = self._clock.monotonic_ns() - self._hint_read_ns
        delay = max(_BUNCH_SECONDS, _HINT_SECONDS - since_ns / NS_PER_SECOND)
        self._wake_in(delay)

    def settled(self, engine: Engine, standing: OrderStanding) -> None:
        """Tell the engine where an order stands, and read what it changed."""
        engine.on_order(standing, self._now())
        if standing.state.is_terminal:
            self._ended_ns = self._clock.monotonic_ns()
            # Orders that other venues were sent at the same moment are answered first.
            self._wake_in(_ENDED_SECONDS)

    def _wake_in(self, seconds: float) -> None:
        """Read then at the latest: a reading that begins before answers this one."""
        loop = asyncio.get_running_loop()
        if self._due is not None and self._due.when() <= loop.time() + seconds:
            return
        self._forget_due()
        self._due = loop.call_later(seconds, self._wake.set)

    def _forget_due(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None

    # -- what is read -----------------------------------------------------------

    async def insist(
        self, attempt: Callable[[], Coroutine[Any, Any, None]], what: str
    ) -> None:
        """
        Try until it succeeds, ever more slowly.

        Raises
        ------
        CredentialsRefused
            A refused key ends it.
        """
        failures = 0
        while True:
            try:
                await attempt()
            except CredentialsRefused:
                raise
            except VenueError as error:
                self.is_unreachable = True
                step = min(failures, len(_RETRY_SECONDS) - 1)
                failures += 1
                _LOG.warning("%s failed: %s", what, error)
                await asyncio.sleep(_RETRY_SECONDS[step])
            else:
                self.is_unreachable = False
                return

    async def settle_unknown(self, engine: Engine) -> list[OrderStanding]:
        """
        Look up what an earlier process left; return what is unknown all the same.

        That ends after some quick look-ups that told nothing: a venue without an answer
        about one order keeps no other from being traded. It is looked up on.
        """
        while any(self._is_quick(standing) for standing in _unknown(engine)):
            await self._look_up(engine)
            await asyncio.sleep(_LOOK_UP_SECONDS)
        return _unknown(engine)

    async def look_up_for_ever(self, engine: Engine) -> None:
        """Look up what is unknown, for ever."""
        while True:
            await asyncio.sleep(_LOOK_UP_SECONDS)
            await self._look_up(engine)

    async def read_for_ever(self, engine: Engine, books: Bookkeeping) -> None:
        """Read everything at a pace, and at once what may have changed, for ever."""
        cycle = min(
            _READ_SECONDS_MAX,
            max(_READ_SECONDS_MIN, len(engine.traded) * _READ_SECONDS_PER_INSTRUMENT),
        )
        full_ns = self._clock.monotonic_ns()
        while True:
            is_woken = await self._sleep(cycle)
            now_ns = self._clock.monotonic_ns()
            is_due = now_ns - full_ns >= cycle * NS_PER_SECOND
            try:
                if is_woken and not is_due:
                    await self._read_woken(engine, books)
                else:
                    self._hinted = self._is_read_wanted = False
                    await self.read_all(engine, books)
                    full_ns = now_ns
                self.is_unreachable = False
            except VenueError as error:
                self.is_unreachable = True
                _LOG.warning("reading failed: %s", error)
                if type(error) is VenueError:
                    self._doubt()
                # Binance refuses the key during a ban, too: ask on, slowly.
                is_refused = isinstance(error, CredentialsRefused)
                await asyncio.sleep(
                    _REFUSED_SECONDS if is_refused else _RETRY_SECONDS[0]
                )

    async def read_all(self, engine: Engine, books: Bookkeeping) -> None:
        """Read marks, account, orders and fills, and compare them with ours."""
        marks = await self._port.marks(engine.traded)
        engine.on_marks(marks, self._now())
        asked_ns = now_ns = self._clock.monotonic_ns()
        account = await self._port.account()
        is_sweep = now_ns - self._swept_ns > _SWEEP_NS or self._swept_ns == 0
        orders = await self._port.open_orders(None if is_sweep else engine.traded)
        if is_sweep:
            self._swept_ns = now_ns
        # Orders are read after the positions and taken before them: what filled in
        # between is then missing from both, and not from the order alone.
        await self._take_orders(engine, books, orders)
        self._carry_out(engine, engine.on_account(account, asked_ns, self._now()))
        if self._are_fills_due(engine, now_ns):
            await books.take_fills(engine)
            self._filled_ns = now_ns
        books.compare(engine, orders)

    # -- inside -----------------------------------------------------------------

    async def _look_up(self, engine: Engine) -> None:
        """Look up the unknown orders that are due: often at first, then slowly."""
        now_ns = self._clock.monotonic_ns()
        due = [
            standing
            for standing in _unknown(engine)
            if self._look_ups.get(standing.record.client_order_id, (0, 0))[1] <= now_ns
        ]
        found = await asyncio.gather(*(self._sender.look_up(s) for s in due))
        for before, after in zip(due, found, strict=True):
            name = after.record.client_order_id
            if after.state is not before.state:
                self._look_ups.pop(name, None)
                self.settled(engine, after)
                continue
            count = self._look_ups.get(name, (0, 0))[0] + 1
            delay_ns = _LOOK_UP_SLOW_NS if count > _LOOK_UPS_QUICK else 0
            self._look_ups[name] = (count, now_ns + delay_ns)

    def _is_quick(self, standing: OrderStanding) -> bool:
        name = standing.record.client_order_id
        return self._look_ups.get(name, (0, 0))[0] < _LOOK_UPS_QUICK

    async def _sleep(self, seconds: float) -> bool:
        """Return after ``seconds``, or at once and True when an order ended."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        is_woken = self._wake.is_set()
        self._wake.clear()
        self._forget_due()
        return is_woken

    async def _read_woken(self, engine: Engine, books: Bookkeeping) -> None:
        """Read what a hint or an ended order may have changed, and no more."""
        is_hinted, self._hinted = self._hinted, False
        if self._is_read_wanted:
            self._is_read_wanted = False
            engine.on_marks(await self._port.marks(engine.traded), self._now())
        asked_ns = self._clock.monotonic_ns()
        if is_hinted:
            self._hint_read_ns = asked_ns
        account = await self._port.account()
        is_resting = any(s.state is OrderState.WORKING for s in engine.unfinished)
        if is_hinted and is_resting:
            orders = await self._port.open_orders(engine.traded)
            await self._take_orders(engine, books, orders)
        self._carry_out(engine, engine.on_account(account, asked_ns, self._now()))

    async def _take_orders(
        self, engine: Engine, books: Bookkeeping, orders: list[VenueOrder]
    ) -> None:
        for standing in await books.take_orders(orders, engine, self._sender):
            self.settled(engine, self._sender.newest(standing))

    def _are_fills_due(self, engine: Engine, now_ns: int) -> bool:
        every_ns = max(_FILLS_NS, len(engine.traded) * _FILLS_NS_PER_INSTRUMENT)
        return self._ended_ns >= self._filled_ns or now_ns - self._filled_ns > every_ns


def _unknown(engine: Engine) -> list[OrderStanding]:
    return [s for s in engine.unfinished if s.state is OrderState.OUTCOME_UNKNOWN]

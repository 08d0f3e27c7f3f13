"""
What a desk was told to do at its venue, each as a task of its own; it decides nothing.

A venue that hangs on one order delays no other instrument. An errand that fails for a
reason that is not the venue's ends the desk.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from cryptoquantix.core.clock import Clock
from cryptoquantix.core.errors import OrderNotFound, VenueError
from cryptoquantix.core.instrument import InstrumentId
from cryptoquantix.journal.records import OrderStanding
from cryptoquantix.live.engine import Engine
from cryptoquantix.live.events import (
    AmendOrder,
    AskQuote,
    CancelOrder,
    CrossLots,
    Effect,
    Notice,
    Now,
    SendOrder,
)
from cryptoquantix.live.sender import Sender, describe
from cryptoquantix.orders.styles import Quote
from cryptoquantix.venues.port import VenuePort

_LOG = logging.getLogger(__name__)


class Errands:
    """
    The requests of one desk that are under way.

    Parameters
    ----------
    port, sender, clock
        The venue, who sends orders to it, and the time.
    now : callable
        Returns the moment with the permit that holds.
    report : callable
        Tells a person.
    cross : callable
        Journals what strategies took over from each other.
    settled : callable
        Takes where an order of an engine stands, once the venue answered.
    hint : callable
        Asks for a reading soon.
    """

    def __init__(
        self,
        *,
        port: VenuePort,
        sender: Sender,
        clock: Clock,
        now: Callable[[], Now],
        report: Callable[[Notice], None],
        cross: Callable[[CrossLots], None],
        settled: Callable[[Engine, OrderStanding], None],
        hint: Callable[[], None],
    ) -> None:
        self._port = port
        self._sender = sender
        self._clock = clock
        self._now = now
        self._report = report
        self._cross = cross
        self._settled = settled
        self._hint = hint
        self._tasks: set[asyncio.Task[object]] = set()
        self._failed = asyncio.Event()
        self._error: BaseException | None = None
        self._is_over = False
        self._asked: set[InstrumentId] = set()

    @property
    def is_busy(self) -> bool:
        """True while a request is under way."""
        return bool(self._tasks)

    def carry_out(self, engine: Engine, effects: Iterable[Effect]) -> None:
        """Begin what an engine decided."""
        for effect in effects:
            if isinstance(effect, Notice):
                self._report(effect)
            elif isinstance(effect, CancelOrder):
                self._spawn(self.cancel(effect))
            elif isinstance(effect, AmendOrder):
                self._spawn(self._amend(engine, effect))
            elif isinstance(effect, CrossLots):
                self._cross(effect)
            elif isinstance(effect, AskQuote):
                self._ask_quote(engine, effect.instrument)
            else:
                self._spawn(self._send(engine, effect))

    async def watch(self) -> None:
        """
        Raise what an errand failed with; it returns never.

        Raises
        ------
        BaseException
            Whatever it was: the desk must not go on without it.
        """
        await self._failed.wait()
        assert self._error is not None, "set by fail"
        raise self._error

    def fail(self, error: BaseException) -> None:
        """End the desk with ``error``."""
        if self._error is None and not self._is_over:
            self._error = error
            self._failed.set()
        else:
            _LOG.error("failed after the end: %r", error)

    async def finish(self, seconds: float) -> None:
        """Let what is under way be answered for so long, then cancel it."""
        self._is_over = True
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def cancel(self, effect: CancelOrder) -> bool:
        """
        Cancel one order; return whether the venue took it, or rests it no more.

        What became of it is for the next reading to say.
        """
        is_done = True
        try:
            await self._port.cancel(effect.instrument, effect.client_order_id)
        except OrderNotFound:
            pass  # it ended by itself; the next reading says how
        except VenueError as error:
            _LOG.warning("cancel failed: %s", error)
            is_done = False
        self._hint()
        return is_done

    # -- inside -----------------------------------------------------------------

    def _spawn(self, work: Coroutine[Any, Any, object]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[object]) -> None:
        self._tasks.discard(task)
        if task.cancelled() or (error := task.exception()) is None:
            return
        self.fail(error)

    async def _send(self, engine: Engine, effect: SendOrder) -> None:
        started_ns = self._clock.monotonic_ns()
        standing = await self._sender.send(effect)
        took_ms = (self._clock.monotonic_ns() - started_ns) / 1e6
        _LOG.info(
            "order %s",
            standing.state.value,
            extra=describe(effect.record) | {"ms": round(took_ms, 1)},
        )
        self._settled(engine, standing)

    async def _amend(self, engine: Engine, effect: AmendOrder) -> None:
        order = effect.order
        standing, is_done = await self._sender.amend(order)
        engine.on_amended(order.instrument, order.client_order_id, is_done=is_done)
        _LOG.info(
            "amendment %s",
            "sent" if is_done else "not taken",
            extra=describe(standing.record) | {"ticks": order.price_ticks},
        )
        if any(s.record == standing.record for s in engine.unfinished):
            self._settled(engine, standing)

    def _ask_quote(self, engine: Engine, instrument: InstrumentId) -> None:
        if instrument not in self._asked:
            self._asked.add(instrument)
            self._spawn(self._quote(engine, instrument))

    async def _quote(self, engine: Engine, instrument: InstrumentId) -> None:
        try:
            found = (await self._port.quotes([instrument]))[instrument]
        except VenueError as error:
            _LOG.warning("no quote: %s", error)
            return
        finally:
            self._asked.discard(instrument)
        quote = Quote(found.bid, found.ask, self._clock.monotonic_ns())
        # An engine that was stopped meanwhile plans nothing.
        self.carry_out(engine, engine.on_quotes({instrument: quote}, self._now()))

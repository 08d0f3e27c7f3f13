"""
One venue's execution as asyncio tasks around the engine; it decides no order itself.

A desk first compares venue and journal, and only then acts. After that it reads the
account every few seconds and at once when an order ended, looks up every order whose
outcome is unknown, and carries out what the engine decides, each order as a task of its
own: a venue that hangs delays no instrument and no other venue.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import replace
from typing import Any, Final

from cryptoquantix.core.clock import NS_PER_SECOND, Clock
from cryptoquantix.core.errors import (
    CredentialsRefused,
    JournalError,
    OrderNotFound,
    SettingsError,
    VenueError,
)
from cryptoquantix.core.exposure import DeadManSwitch
from cryptoquantix.core.instrument import InstrumentId
from cryptoquantix.core.order import OrderState
from cryptoquantix.journal.records import OrderStanding, Report
from cryptoquantix.journal.store import Journal
from cryptoquantix.live.bookkeeping import Bookkeeping
from cryptoquantix.live.engine import Engine
from cryptoquantix.live.events import (
    AskQuote,
    CancelOrder,
    Effect,
    EngineSettings,
    Followed,
    Notice,
    Now,
    PermitSource,
    SendOrder,
    Wanted,
)
from cryptoquantix.live.sender import Sender, describe
from cryptoquantix.orders.styles import Quote
from cryptoquantix.venues.port import VenueOrder, VenuePort

_LOG = logging.getLogger(__name__)

_PLAN_SECONDS: Final = 1.0
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
_FUNDING_NS: Final = 600 * NS_PER_SECOND
_DEAD_MAN_SECONDS: Final = 10.0
_BUNCH_SECONDS: Final = 0.05
_HINT_SECONDS: Final = 1.0
_SWEEP_NS: Final = 60 * NS_PER_SECOND
_RETRY_SECONDS: Final = (0.5, 1.0, 2.0, 5.0)
_PAUSE_SECONDS: Final = 0.5
_REFUSED_SECONDS: Final = 30.0
# The venue's bound on an answer, and a little.
_FINISH_SECONDS: Final = 4.0


class Desk:
    """Execution at one venue, for one trading loop: a halt needs a new desk."""

    def __init__(
        self,
        *,
        venue: VenuePort,
        settings: EngineSettings,
        journal: Journal,
        permits: PermitSource,
        clock: Clock,
    ) -> None:
        self.venue = venue.venue
        self.is_unreachable = False
        self._port = venue
        self._settings = settings
        self._journal = journal
        self._permits = permits
        self._clock = clock
        self._sender = Sender(journal, venue, permits, clock)
        self._engine: Engine | None = None
        self._books: Bookkeeping | None = None
        self._targets: dict[tuple[str, InstrumentId], Wanted] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._failure: asyncio.Future[None] | None = None
        self._wake = asyncio.Event()
        self._look_ups: dict[str, tuple[int, int]] = {}
        self._switch: DeadManSwitch | None = None
        self._hinted = False
        self._hint_read_ns = -NS_PER_SECOND
        self._asked: set[InstrumentId] = set()
        self._is_read_wanted = False
        self._swept_ns = 0
        self._filled_ns = 0
        self._ended_ns = 0

    @property
    def is_reconciled(self) -> bool:
        """True from the first comparison with the venue on, until stopped."""
        return self._engine is not None and self._engine.is_reconciled

    @property
    def read_ns(self) -> int:
        """Wall time at which the newest reading was asked for; 0: there is none."""
        engine = self._engine
        if engine is None or not engine.is_reconciled:
            return 0
        age_ns = self._clock.monotonic_ns() - engine.read_ns
        return self._clock.time_ns() - age_ns

    def followed(self) -> list[Followed]:
        """Return how far each target has been followed; none while not trading."""
        engine = self._engine
        if engine is None:
            return []
        busy = bool(self._tasks)
        return [
            replace(one, is_idle=one.is_idle and not busy) for one in engine.followed()
        ]

    def read_soon(self) -> None:
        """Read marks and account at once, whatever was read when."""
        self._is_read_wanted = True
        self._wake.set()

    def on_target(self, wanted: Wanted, instrument: InstrumentId) -> None:
        """Take a target; the newest of each strategy and instrument counts."""
        self._targets[wanted.strategy, instrument] = wanted
        if self._engine is not None:
            self._carry_out(self._engine.on_target(wanted, instrument, self._now()))

    async def run(self) -> None:
        """
        Reconcile, then trade until cancelled; orders under way are left to ``stop``.

        Raises
        ------
        CredentialsRefused, SettingsError
            If the venue cannot be traded with these settings.
        JournalError
            If something could not be written: nothing is sent without it.
        """
        self._failure = asyncio.get_running_loop().create_future()
        engine = await self._start()
        self._engine = engine
        for (_, instrument), wanted in list(self._targets.items()):
            self._carry_out(engine.on_target(wanted, instrument, self._now()))
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch_failure())
            group.create_task(self._plan_for_ever(engine))
            group.create_task(self._look_up_for_ever(engine))
            group.create_task(self._read_for_ever(engine))
            group.create_task(self._tend_for_ever(engine))

    async def stop(self, *, cancel_increases: bool) -> None:
        """
        Let orders under way be answered, within a bound, and plan nothing more.

        Parameters
        ----------
        cancel_increases : bool
            Cancel resting increases too (reductions are left to do their work).
        """
        engine, self._engine = self._engine, None
        if engine is not None:
            engine.is_reconciled = False
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_FINISH_SECONDS)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if engine is None or not cancel_increases:
            return
        resting = [
            CancelOrder(s.record.order().instrument, s.record.client_order_id)
            for s in engine.unfinished
            if s.record.is_increase and s.state is OrderState.WORKING
        ]
        async with asyncio.timeout(_FINISH_SECONDS):
            await asyncio.gather(*(self._cancel(effect) for effect in resting))

    # -- start ------------------------------------------------------------------

    async def _start(self) -> Engine:
        """Open the venue, settle what an earlier process left, and compare."""
        await self._insist(self._port.open, "open")
        instruments = self._port.instruments()
        for subscription in self._settings.subscriptions:
            if subscription.instrument not in instruments:
                msg = f"{subscription.instrument} is not traded at {self.venue.value}"
                raise SettingsError(msg)
        engine = Engine(self._settings, instruments, self._journal)
        self._books = Bookkeeping(
            port=self._port,
            journal=self._journal,
            clock=self._clock,
            instruments=instruments,
            report=self._report,
        )
        for standing in self._journal.unfinished():
            if standing.record.order().instrument.venue is self.venue:
                engine.on_order(self._sender.recover(standing), self._now())
        while _unknown(engine):
            await self._look_up(engine)
            await asyncio.sleep(_LOOK_UP_SECONDS)
        await self._insist(lambda: self._books_open(engine), "reconcile")
        await self._insist(lambda: self._read_all(engine), "reconcile")
        engine.is_reconciled = True
        _LOG.info("reconciled", extra={"venue": self.venue.value})
        return engine

    async def _books_open(self, engine: Engine) -> None:
        assert self._books is not None, "made by _start"
        for id_ in engine.traded:
            await self._books.open(id_)

    async def _insist(
        self, attempt: Callable[[], Coroutine[Any, Any, None]], what: str
    ) -> None:
        """Try until it succeeds, ever more slowly; a refused key ends it."""
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

    # -- loops ------------------------------------------------------------------

    async def _watch_failure(self) -> None:
        assert self._failure is not None, "made by run"
        await self._failure

    async def _plan_for_ever(self, engine: Engine) -> None:
        while True:
            await asyncio.sleep(_PLAN_SECONDS)
            self._carry_out(engine.plan_all(self._now()))

    async def _look_up_for_ever(self, engine: Engine) -> None:
        while True:
            await asyncio.sleep(_LOOK_UP_SECONDS)
            await self._look_up(engine)

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
                self._settled(engine, after)
                continue
            count = self._look_ups.get(name, (0, 0))[0] + 1
            delay_ns = _LOOK_UP_SLOW_NS if count > _LOOK_UPS_QUICK else 0
            self._look_ups[name] = (count, now_ns + delay_ns)

    async def _read_for_ever(self, engine: Engine) -> None:
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
                    await self._read_woken(engine)
                else:
                    self._hinted = self._is_read_wanted = False
                    await self._read_all(engine)
                    full_ns = now_ns
                self.is_unreachable = False
            except VenueError as error:
                self.is_unreachable = True
                _LOG.warning("reading failed: %s", error)
                # Binance refuses the key during a ban, too: ask on, slowly.
                is_refused = isinstance(error, CredentialsRefused)
                await asyncio.sleep(
                    _REFUSED_SECONDS if is_refused else _RETRY_SECONDS[0]
                )

    async def _tend_for_ever(self, engine: Engine) -> None:
        """Keep the venue's dead-man's switch alive; book funding now and then."""
        assert self._books is not None, "made by _start"
        funding_ns = 0
        while True:
            try:
                await self._keep_dead_man(engine)
                now_ns = self._clock.monotonic_ns()
                if now_ns >= funding_ns:
                    await self._books.take_funding(engine)
                    funding_ns = now_ns + _FUNDING_NS
            except VenueError as error:
                _LOG.warning("tending failed: %s", error)
            await asyncio.sleep(_DEAD_MAN_SECONDS)

    async def _keep_dead_man(self, engine: Engine) -> None:
        resting = {
            s.record.order().instrument
            for s in engine.unfinished
            if s.state is OrderState.WORKING
        }
        switch = await self._port.keep_dead_man(resting)
        if switch != self._switch and (resting or self._switch is None):
            self._switch = switch
            word = {True: "armed", False: "not armed", None: "unknown"}[switch.is_armed]
            text = f"{word}: {switch.scope}; {switch.text}".rstrip("; ")
            self._report(Notice("dead man's switch", self.venue.value, text))

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
        asyncio.get_running_loop().call_later(delay, self._wake.set)

    async def _sleep(self, seconds: float) -> bool:
        """Return after ``seconds``, or at once and True when an order ended."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        is_woken = self._wake.is_set()
        self._wake.clear()
        return is_woken

    async def _read_woken(self, engine: Engine) -> None:
        """Read what a hint or an ended order may have changed, and no more."""
        assert self._books is not None, "made by _start"
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
            await self._take_orders(engine, await self._port.open_orders(engine.traded))
        self._carry_out(engine.on_account(account, asked_ns, self._now()))

    async def _take_orders(self, engine: Engine, orders: list[VenueOrder]) -> None:
        assert self._books is not None, "made by _start"
        for standing in await self._books.take_orders(orders, engine, self._sender):
            self._settled(engine, standing)

    async def _read_all(self, engine: Engine) -> None:
        """Read marks, account, orders and fills, and compare them with ours."""
        assert self._books is not None, "made by _start"
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
        await self._take_orders(engine, orders)
        self._carry_out(engine.on_account(account, asked_ns, self._now()))
        if self._are_fills_due(engine, now_ns):
            await self._books.take_fills(engine)
            self._filled_ns = now_ns
        self._books.compare(engine, orders)

    def _are_fills_due(self, engine: Engine, now_ns: int) -> bool:
        every_ns = max(_FILLS_NS, len(engine.traded) * _FILLS_NS_PER_INSTRUMENT)
        return self._ended_ns >= self._filled_ns or now_ns - self._filled_ns > every_ns

    # -- effects ----------------------------------------------------------------

    def _carry_out(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Notice):
                self._report(effect)
            elif isinstance(effect, CancelOrder):
                self._spawn(self._cancel(effect))
            elif isinstance(effect, AskQuote):
                self._ask_quote(effect.instrument)
            else:
                self._spawn(self._send(effect))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled() or (error := task.exception()) is None:
            return
        self._fail(error)

    def _fail(self, error: BaseException) -> None:
        """End the desk with ``error``."""
        if self._failure is not None and not self._failure.done():
            self._failure.set_exception(error)
        else:
            _LOG.error("failed after the end: %r", error)

    def _ask_quote(self, instrument: InstrumentId) -> None:
        if instrument not in self._asked:
            self._asked.add(instrument)
            self._spawn(self._quote(instrument))

    async def _quote(self, instrument: InstrumentId) -> None:
        engine = self._engine
        try:
            found = (await self._port.quotes([instrument]))[instrument]
        except VenueError as error:
            _LOG.warning("no quote: %s", error)
            return
        finally:
            self._asked.discard(instrument)
        if engine is not None and engine is self._engine:
            read_ns = self._clock.monotonic_ns()
            quote = Quote(found.bid, found.ask, read_ns)
            self._carry_out(engine.on_quotes({instrument: quote}, self._now()))

    async def _send(self, effect: SendOrder) -> None:
        started_ns = self._clock.monotonic_ns()
        engine = self._engine
        standing = await self._sender.send(effect)
        took_ms = (self._clock.monotonic_ns() - started_ns) / 1e6
        _LOG.info(
            "order %s",
            standing.state.value,
            extra=describe(effect.record) | {"ms": round(took_ms, 1)},
        )
        if engine is not None:
            self._settled(engine, standing)

    async def _cancel(self, effect: CancelOrder) -> None:
        try:
            await self._port.cancel(effect.instrument, effect.client_order_id)
        except OrderNotFound:
            pass  # it ended by itself; the next reading says how
        except VenueError as error:
            _LOG.warning("cancel failed: %s", error)
        self.hint()

    def _settled(self, engine: Engine, standing: OrderStanding) -> None:
        """Tell the engine where an order stands, and read what it changed."""
        engine.on_order(standing, self._now())
        if standing.state.is_terminal:
            self._ended_ns = self._clock.monotonic_ns()
            self._wake.set()

    def _report(self, notice: Notice) -> None:
        _LOG.warning("%s: %s", notice.kind, notice.text, extra={"of": notice.subject})
        time_ns = self._clock.time_ns()
        report = Report(time_ns, notice.kind, notice.subject, notice.text)
        try:
            self._journal.record_report(report)
        except JournalError as error:
            self._fail(error)

    def _now(self) -> Now:
        # The permit first: the moment must not be earlier than the permit's own.
        permit = self._permits.current()
        return Now(self._clock.time_ns(), self._clock.monotonic_ns(), permit)


def _unknown(engine: Engine) -> list[OrderStanding]:
    return [s for s in engine.unfinished if s.state is OrderState.OUTCOME_UNKNOWN]

"""
One venue's execution as asyncio tasks around the engine; it decides no order itself.

A desk first compares venue and journal, and only then acts: it gives the engine what is
read (:mod:`.readings`), carries out what the engine decides (:mod:`.errands`), and ends
in order, or with the first error that no later try can mend.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from cryptoquantix.core.clock import NS_PER_SECOND, Clock
from cryptoquantix.core.errors import (
    JournalError,
    SettingsError,
    VenueError,
    VenueUnavailable,
)
from cryptoquantix.core.exposure import DeadManSwitch
from cryptoquantix.core.instrument import InstrumentId
from cryptoquantix.core.order import OrderState
from cryptoquantix.journal.records import OrderStanding, Report
from cryptoquantix.journal.store import Journal
from cryptoquantix.live.bookkeeping import Bookkeeping
from cryptoquantix.live.engine import Engine
from cryptoquantix.live.errands import Errands
from cryptoquantix.live.events import (
    CancelOrder,
    CrossLots,
    EngineSettings,
    Followed,
    Held,
    Notice,
    Now,
    OnStop,
    PermitSource,
    Wanted,
)
from cryptoquantix.live.portfolio import Portfolio
from cryptoquantix.live.readings import Readings
from cryptoquantix.live.sender import Sender, describe
from cryptoquantix.live.steps_watch import StepsWatch, has_other_steps
from cryptoquantix.venues.port import VenuePort

_LOG = logging.getLogger(__name__)

_PLAN_SECONDS: Final = 1.0
_FUNDING_NS: Final = 600 * NS_PER_SECOND
_DEAD_MAN_SECONDS: Final = 10.0
# The venue's bound on an answer, and a little.
_FINISH_SECONDS: Final = 4.0
_OPEN_SECONDS: Final = 3.0
_CANCEL_SECONDS: Final = 4.0
_CANCELS_MAX: Final = 8
_CANCEL_AGAIN_SECONDS: Final = 0.5
_NOTE_SECONDS: Final = 1.0
_RELEASE_SECONDS: Final = 2.0


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
        portfolio: Portfolio | None = None,
    ) -> None:
        self.venue = venue.venue
        self._port = venue
        self._settings = settings
        self._journal = journal
        self._permits = permits
        self._clock = clock
        self._portfolio = portfolio
        self._sender = Sender(journal, venue, permits, clock)
        traded = (one.instrument for one in settings.subscriptions)
        self._steps = StepsWatch(venue, traded)
        self._errands = Errands(
            port=venue,
            sender=self._sender,
            clock=clock,
            now=self._now,
            report=self._report,
            cross=self._cross,
            settled=self._settled,
            hint=self.hint,
        )
        self._readings = Readings(
            port=venue,
            sender=self._sender,
            clock=clock,
            now=self._now,
            carry_out=self._errands.carry_out,
            doubt=self._steps.doubt,
        )
        self._engine: Engine | None = None
        self._is_open = False
        self._targets: dict[tuple[str, InstrumentId], Wanted] = {}
        self._switch: DeadManSwitch | None = None

    @property
    def is_unreachable(self) -> bool:
        """True while the venue does not answer."""
        return self._readings.is_unreachable

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
        busy = self._errands.is_busy
        return [
            replace(one, is_idle=one.is_idle and not busy) for one in engine.followed()
        ]

    def held(self) -> list[Held]:
        """Return what is held here, and what is traded; none while not trading."""
        engine = self._engine
        if engine is None or engine.account is None:
            return []
        known = self._port.instruments()
        positions = {p.instrument: p for p in engine.account.positions if p.size_lots}
        works = [s.record.order().instrument for s in engine.unfinished]
        return [
            Held(known[id_], positions.get(id_), works.count(id_), id_ in engine.traded)
            for id_ in sorted({*engine.traded, *positions})
            if id_ in known
        ]

    def read_soon(self) -> None:
        """Read marks and account at once, whatever was read when."""
        self._readings.read_soon()

    def hint(self) -> None:
        """Take a hint that something changed at the venue: read soon."""
        self._readings.hint()

    def on_target(self, wanted: Wanted, instrument: InstrumentId) -> None:
        """Take a target; the newest of each strategy and instrument counts."""
        self._targets[wanted.strategy, instrument] = wanted
        if self._engine is not None:
            self._take_target(self._engine, wanted, instrument)

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
        engine, books = await self._start()
        self._engine = engine
        for (_, instrument), wanted in list(self._targets.items()):
            self._take_target(engine, wanted, instrument)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._errands.watch())
            group.create_task(self._steps.run())
            group.create_task(self._plan_for_ever(engine))
            group.create_task(self._readings.look_up_for_ever(engine))
            group.create_task(self._readings.read_for_ever(engine, books))
            group.create_task(self._tend_for_ever(engine, books))

    async def stop(self, on_stop: OnStop | None) -> None:
        """
        Let orders under way be answered, within a bound, and plan nothing more.

        Parameters
        ----------
        on_stop : OnStop or None
            What becomes of resting orders, and of those that may rest because their
            answer never came. None after a halt: they are the daemon's then, and so is
            the venue's switch.
        """
        engine, self._engine = self._engine, None
        if engine is not None:
            engine.is_reconciled = False
        await self._errands.finish(_FINISH_SECONDS)
        if on_stop is None:
            return
        # Before the first comparison the orders of an earlier process are ours, too.
        unfinished = self._found() if engine is None else engine.unfinished
        resting = [s for s in unfinished if s.record.price_ticks is not None]
        going = [s for s in resting if _is_to_go(s, on_stop)]
        if going and not await self._open_at_end():
            for standing in going:
                _LOG.error("it may still rest", extra=describe(standing.record))
            return
        is_left = all(await asyncio.gather(*(self._cancel_at_end(s) for s in going)))
        left = [s for s in resting if not _is_to_go(s, on_stop)]
        if left and is_left:
            await self._release_dead_man(left)

    async def _open_at_end(self) -> bool:
        """Open a venue that never was, for the sake of its cancels."""
        if not self._is_open:
            with contextlib.suppress(TimeoutError, VenueError):
                async with asyncio.timeout(_OPEN_SECONDS):
                    await self._open()
        return self._is_open

    async def _cancel_at_end(self, standing: OrderStanding) -> bool:
        """Cancel an order that nobody will look after; return whether it was."""
        record = standing.record
        effect = CancelOrder(record.order().instrument, record.client_order_id)
        if effect.instrument not in self._port.instruments():
            _LOG.error("it may still rest, delisted", extra=describe(record))
            return False
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CANCEL_SECONDS):
                for _ in range(_CANCELS_MAX):
                    is_taken = await self._errands.cancel(effect)
                    if is_taken and await self._is_over(record.client_order_id):
                        return True
                    await asyncio.sleep(_CANCEL_AGAIN_SECONDS)
        _LOG.error("it may still rest", extra=describe(record))
        return False

    async def _is_over(self, client_order_id: str) -> bool:
        """
        Journal what became of a canceled order; return whether it can rest no more.

        No reading of this process will. One without an answer may reach the venue
        after the cancel that found nothing: that has to be proven like any absence.
        """
        standing = self._journal.order(client_order_id)
        if standing is None:
            return True  # never written, so never sent
        is_known = standing.state is OrderState.WORKING
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_NOTE_SECONDS):
                standing = await self._sender.look_up(standing)
        return is_known or standing.state.is_terminal

    async def _release_dead_man(self, left: Sequence[OrderStanding]) -> None:
        """Let the venue's switch go: it would cancel what is left on purpose."""
        for standing in left:
            _LOG.info("left resting", extra=describe(standing.record))
        try:
            async with asyncio.timeout(_RELEASE_SECONDS):
                await self._port.keep_dead_man(())
        except (TimeoutError, VenueError) as error:
            _LOG.warning("the venue's switch may cancel what is left: %r", error)

    # -- inside -----------------------------------------------------------------

    async def _start(self) -> tuple[Engine, Bookkeeping]:
        """Open the venue, settle what an earlier process left, and compare."""
        readings = self._readings
        await readings.insist(self._open, "open")
        instruments = self._port.instruments()
        for subscription in self._settings.subscriptions:
            if subscription.instrument not in instruments:
                msg = f"{subscription.instrument} is not traded at {self.venue.value}"
                raise SettingsError(msg)
        await readings.insist(self._cancel_misfits, "cancel")
        engine = Engine(
            self._settings,
            instruments,
            self._journal,
            self._portfolio,
            can_amend=self._port.can_amend,
        )
        if self._portfolio is not None:
            self._portfolio.join(self.venue, engine.exposure)
        books = Bookkeeping(
            port=self._port,
            journal=self._journal,
            clock=self._clock,
            instruments=instruments,
            report=self._report,
        )
        for standing in self._found():
            if standing.record.order().instrument in instruments:
                engine.on_order(standing, self._now())
            else:
                self._not_followed(standing, "its instrument is listed no more")
        for standing in await readings.settle_unknown(engine):
            self._not_followed(standing, "the venue does not say what became of it")
        await readings.insist(lambda: _begin(books, engine), "reconcile")
        await readings.insist(lambda: readings.read_all(engine, books), "reconcile")
        engine.is_reconciled = True
        _LOG.info("reconciled", extra={"venue": self.venue.value})
        return engine, books

    async def _open(self) -> None:
        await self._port.open()
        self._is_open = True

    def _found(self) -> list[OrderStanding]:
        """Return the orders that the journal holds for unfinished here."""
        return [
            self._sender.recover(standing)
            for standing in self._journal.unfinished()
            if standing.record.order().instrument.venue is self.venue
        ]

    async def _cancel_misfits(self) -> None:
        """Cancel what rests in steps of before: its lots would be taken for others."""
        for standing in self._found():
            if not has_other_steps(standing.record, self._port.instruments()):
                continue
            if not await self._cancel_at_end(standing):
                name = standing.record.client_order_id
                msg = f"{name} is in steps of before and may still rest"
                raise VenueUnavailable(msg, venue=self.venue.value, request="cancel")

    def _not_followed(self, standing: OrderStanding, why: str) -> None:
        """Tell a person to look at an order of an earlier process."""
        record = standing.record
        subject = f"{record.instrument} {record.client_order_id}"
        text = f"{record.side.value} {record.size_lots} lots, {standing.state}: {why}"
        self._report(Notice("order not followed", subject, text))

    def _take_target(
        self, engine: Engine, wanted: Wanted, instrument: InstrumentId
    ) -> None:
        effects = engine.on_target(wanted, instrument, self._now())
        self._errands.carry_out(engine, effects)

    async def _plan_for_ever(self, engine: Engine) -> None:
        while True:
            await asyncio.sleep(_PLAN_SECONDS)
            self._errands.carry_out(engine, engine.plan_all(self._now()))

    async def _tend_for_ever(self, engine: Engine, books: Bookkeeping) -> None:
        """Keep the venue's dead-man's switch alive; book funding now and then."""
        funding_ns = 0
        while True:
            try:
                await self._keep_dead_man(engine)
                now_ns = self._clock.monotonic_ns()
                if now_ns >= funding_ns:
                    await books.take_funding(engine)
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

    def _settled(self, engine: Engine, standing: OrderStanding) -> None:
        self._readings.settled(engine, standing)

    def _report(self, notice: Notice) -> None:
        _LOG.warning("%s: %s", notice.kind, notice.text, extra={"of": notice.subject})
        time_ns = self._clock.time_ns()
        report = Report(time_ns, notice.kind, notice.subject, notice.text)
        try:
            self._journal.record_report(report)
        except JournalError as error:
            self._errands.fail(error)

    def _cross(self, effect: CrossLots) -> None:
        try:
            self._journal.record_crosses(effect.records)
        except JournalError as error:
            self._errands.fail(error)

    def _now(self) -> Now:
        # The permit first: the moment must not be earlier than the permit's own.
        permit = self._permits.current()
        return Now(self._clock.time_ns(), self._clock.monotonic_ns(), permit)


async def _begin(books: Bookkeeping, engine: Engine) -> None:
    for id_ in engine.traded:
        await books.open(id_, engine)


def _is_to_go(standing: OrderStanding, on_stop: OnStop) -> bool:
    is_increase = standing.record.is_increase
    return on_stop is OnStop.CANCEL or (
        on_stop is OnStop.CANCEL_INCREASES and is_increase
    )

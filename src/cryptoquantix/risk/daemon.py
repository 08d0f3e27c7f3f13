"""
The loop: one second after another, and what follows from each; unknown means locked.

It decides by ``watch`` and ``rules``, moves by ``machine``'s table, acts through
``halt``, remembers through ``durable``, and speaks to others only through values:
permits, status, alarms.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Final, cast

from cryptoquantix.control.status import RiskState, TripRecord
from cryptoquantix.core.clock import NS_PER_SECOND, Clock
from cryptoquantix.core.errors import StateCorrupt
from cryptoquantix.risk import book as books
from cryptoquantix.risk import formula
from cryptoquantix.risk.calls import FAILED
from cryptoquantix.risk.chronicle import Chronicle
from cryptoquantix.risk.complaints import Complaints
from cryptoquantix.risk.concerns import Concerns
from cryptoquantix.risk.durable import DurableStore
from cryptoquantix.risk.halt import Halt
from cryptoquantix.risk.jobs import Jobs
from cryptoquantix.risk.machine import Event, follow
from cryptoquantix.risk.orphans import Orphans
from cryptoquantix.risk.permits import PermitDesk
from cryptoquantix.risk.port import RiskVenue
from cryptoquantix.risk.recorded import Readings, RecordedVenue
from cryptoquantix.risk.rules import Limits, drawdown
from cryptoquantix.risk.samples import SampleRow
from cryptoquantix.risk.state import Latch, locked, tripped
from cryptoquantix.risk.steps import Reached, nothing
from cryptoquantix.risk.upkeep import Upkeep
from cryptoquantix.risk.watch import Sight, Watch
from cryptoquantix.risk.window import HighWaterMark

LATCH_SECONDS: Final = 0.1
WRITE_SECONDS: Final = 2.0
DISK_SECONDS: Final = 5.0
HEAL_NS: Final = 2 * NS_PER_SECOND


class Daemon:
    """
    One risk daemon over its venues.

    ``resume``, then ``check_keys``, then ``run``. What others may ask of it is in
    ``commands`` and ``report``. Canceling ``run`` stops everything it started and
    leaves the store ready for the next start.
    """

    def __init__(
        self,
        venues: Mapping[str, RiskVenue],
        durable: DurableStore,
        *,
        limits: Limits,
        clock: Clock,
        build: str,
        reached: Reached = nothing,
        settings: str = "",
    ) -> None:
        self.limits = limits
        self.clock = clock
        self.durable = durable
        self.chronicle = Chronicle(durable, clock)
        self.note = self.chronicle.note
        self.record = self.chronicle.record
        self.alarm = self.chronicle.alarm
        self.build = build
        self.settings = settings
        self.reached = reached
        self.latch: Latch = durable.store.latch
        self.readings = Readings(clock)
        recorded = {name: RecordedVenue(v, self.readings) for name, v in venues.items()}
        self.watch = Watch(
            cast("Mapping[str, RiskVenue]", recorded),
            limits=limits,
            clock=clock,
            note=self.note,
        )
        self.complaints = Complaints(clock, self.note)
        self.halt_acts = Halt(
            venues,
            complain=self.complaints.add,
            on_step=self._stepped,
            on_sent=self._sent,
            reached=reached,
        )
        self.desk = PermitDesk(build=build, started_ns=clock.monotonic_ns())
        self.venues = venues
        self.concerns = Concerns(limits, self.alarm)
        self.sight = Sight(is_complete=False, problem="no reading yet")
        self.second_ns: int | None = None
        self.late_ns_max = 0
        self.missed_seconds = 0
        self.sequence_floor = 0
        self._steps_written = 0
        self.started_ns = clock.monotonic_ns()
        self.jobs = Jobs(clock, self.note)
        self.upkeep = Upkeep(self)
        self.orphans = Orphans(
            self.halt_acts.flatteners,
            covers=self.upkeep.switches.covers,
            jobs=self.jobs,
            record=self.record,
        )
        self.arming = asyncio.Lock()

    @property
    def state(self) -> RiskState:
        """The latch's state, or ``BLIND`` where an armed daemon cannot see."""
        is_blind = self.concerns.is_blind
        return (
            follow(self.latch.state, Event.SIGHT_LOST)
            if is_blind
            else (self.latch.state)
        )

    def resume(self) -> None:
        """Go on from the store: book, peak and all. Call it before ``run``."""
        store = self.durable.store
        if self.latch.is_store_corrupt:
            self.alarm("critical", f"{self.latch.reason}. A named person must rearm.")
        if store.is_volatile:
            self.alarm("critical", f"No disk: {self.durable.problem}. Entries stop.")
        if store.readings is not None and store.readings.has_lost:
            self.alarm("warning", "The log of readings was corrupt and begins anew.")
        if self.latch.state is RiskState.ARMED:
            self.concerns.texts["blind"] = "blind: no complete reading since the start"
        content = store.book()
        if content is None:
            return
        try:
            book = books.from_json(content, self.clock.monotonic_ns())
        except StateCorrupt as error:
            reason = f"the store was corrupt ({error})"
            if self.latch.state.is_halt:  # which needs no peak to go on
                self.alarm("critical", f"{reason}: the halt stands.")
            else:
                self.lock(reason, is_store_corrupt=True)
            return
        # all that is kept: after a gap of days the first complete reading is still
        # compared with the peak from before it
        values = store.values(0, self.latch.baseline_sequence)
        self.watch.resume(book, HighWaterMark(values))
        newest_ns = values[-1][0] if values else 0
        gap_ns = self.clock.time_ns() - newest_ns
        self.record("resumed", {"samples": len(values), "gap_ns": gap_ns})

    def lock(
        self, reason: str, *, floor: int = 0, is_store_corrupt: bool = False
    ) -> None:
        """Stop trusting the store: nothing increases until a person arms again."""
        now_ns = self.clock.time_ns()
        self.latch = locked(reason, since_ns=now_ns, is_store_corrupt=is_store_corrupt)
        self.jobs.spawn("lock", self.write_latch(reason, floor))
        self.alarm("critical", f"Locked: {reason}. A named person must rearm.")

    def forgot(self, sequence_seen: int) -> None:
        """Take note that others have seen more than the store knows."""
        self.sequence_floor = sequence_seen
        reason = (
            f"the store is older than what execution has seen (entry "
            f"{self.durable.sequence} of at least {sequence_seen})"
        )
        state = self.latch.state
        if follow(state, Event.MEMORY_LOST) is not state:
            self.lock(reason, floor=sequence_seen)
        else:
            self.jobs.spawn("floor", self.write_latch(reason, sequence_seen))

    def armed(self, latch: Latch) -> None:
        """Begin anew from the baseline that has just been written."""
        self.latch = latch
        self.concerns.clear()
        self.orphans.forget()
        self.alarm("info", f"Armed by {latch.who}: {latch.reason}.")

    # -- the loop ---------------------------------------------------------------

    async def run(self) -> None:
        """Run for ever, one second after another on the monotonic clock."""
        self.carry_on()
        due_ns = self.clock.monotonic_ns()
        try:
            while True:
                await asyncio.sleep(
                    max(0, due_ns - self.clock.monotonic_ns()) / NS_PER_SECOND
                )
                due_ns = self._lateness(due_ns) + NS_PER_SECOND
                await self.second()
        finally:
            self.halt_acts.stop()
            self.jobs.stop()

    def carry_on(self) -> None:
        """Take up a halt where it stands."""
        if self.latch.is_acting:
            self.note(f"resuming the halt at {self.latch.state}")
            self.halt_acts.start(self.latch)
        elif self.latch.state is RiskState.HALTED:
            self.jobs.spawn("prove flat", self.halt_acts.prove_flat())

    def _lateness(self, due_ns: int) -> int:
        """Measure how late this second is; whole seconds missed are an event."""
        late_ns = max(0, self.clock.monotonic_ns() - due_ns)
        self.late_ns_max = max(self.late_ns_max, late_ns)
        missed = late_ns // NS_PER_SECOND
        if missed:
            self.missed_seconds += missed
            self.record("missed_seconds", {"seconds": missed, "late_ns": late_ns})
        return due_ns + missed * NS_PER_SECOND

    async def second(self) -> None:
        """Look once, decide, write down. A fault of our own makes it a blind second."""
        is_armed = self.latch.state is RiskState.ARMED
        try:
            self.sight = await self.watch.look(is_judging=is_armed)
            self.concerns.texts.pop("fault", None)
        except FAILED as error:
            self.note(f"fault in the loop: {error!r}")
            self.concerns.texts["fault"] = f"fault in the loop: {error!r}"
            self.sight = Sight(is_complete=False, problem=f"{error!r}")
        self.second_ns = self.clock.monotonic_ns()
        if self.latch.state is RiskState.ARMED:
            await self._armed_second(self.sight)
        else:
            self._guard()
        self._write_sample(self.sight)
        is_failing = self.durable.failing_seconds >= DISK_SECONDS
        is_failing = is_failing or self.durable.store.is_volatile
        self.concerns.disk(is_failing=is_failing, problem=self.durable.problem)
        if self.durable.store.is_volatile and self.jobs.is_due("disk", HEAL_NS):
            self.jobs.spawn("disk", self._heal())
        self.upkeep.second()

    async def _armed_second(self, sight: Sight) -> None:
        if sight.is_trip:
            await self._trip_by_drawdown(sight)
            return
        since_ns = self.watch.complete_ns
        now_ns = self.clock.monotonic_ns()
        blind_ns = None if since_ns is None else now_ns - since_ns
        self.concerns.see(sight, self.watch.book, blind_ns)
        is_long = (blind_ns or now_ns - self.started_ns) >= self.limits.blind_cancel_ns
        if is_long and not sight.is_complete:
            self.orphans.cancel_blind()
        self.orphans.second(now_ns, self.desk.answered_ns, self.limits.orphan_ns)

    async def _trip_by_drawdown(self, sight: Sight) -> None:
        assert sight.value is not None
        assert sight.peak is not None
        fraction = drawdown(sight.value, sight.peak)
        units = self.watch.book.units_now
        reason = formula.trip_reason(self.watch.book, sight, self.limits)
        record = self.trip_record("drawdown")
        record = replace(
            record,
            equity=f"{sight.value * units:.8f}",
            peak=f"{sight.peak * units:.8f}",
            drawdown=str(fraction),
        )
        await self.trip(record, reason, "the daemon", RiskState.HALTED)

    def trip_record(self, cause: str) -> TripRecord:
        """Return the record of a trip decided now."""
        now_ns = self.clock.time_ns()
        return TripRecord(trip_id=f"{now_ns:x}", cause=cause, decided_time_ns=now_ns)

    async def trip(
        self, record: TripRecord, reason: str, who: str, goal: RiskState
    ) -> None:
        """
        Latch, revoke, act: no permit is given from the first line on.

        It waits for nothing but the disk, and for that no longer than 100 ms.
        """
        self.latch = tripped(
            self.latch,
            record,
            venues=tuple(self.venues),
            reason=reason,
            who=who,
            goal=goal,
        )
        self.reached("decided")
        for name, reading in self.watch.book.last.items():
            held = {position.symbol for position in reading.positions}
            if name in self.halt_acts.flatteners:
                self.halt_acts.flatteners[name].know(held)
        decided = self.latch
        is_durable = await self.durable.write_latch(
            self.latch, f"trip by {who}: {reason}", deadline_seconds=LATCH_SECONDS
        )
        self.reached("latched")
        if self.latch.trip is not decided.trip:
            return  # another word came in while the disk was waited for: it acts
        self.halt_acts.start(self.latch)
        if not is_durable:
            self.note("the latch was not durable in time: acting, and writing on")
        word = "Halt" if goal is RiskState.HALTED else "Flatten"
        self.alarm("critical", f"{word} by {who}: {reason}. Canceling and closing.")

    # -- what a halt reports ----------------------------------------------------

    def _stepped(self, venue: str, step: RiskState) -> None:
        before = self.latch.state
        self.latch = self.latch.stepped(venue, step)
        is_done = before != self.latch.state and not self.latch.is_acting
        if is_done and self.latch.trip is not None:
            trip = replace(self.latch.trip, flat_time_ns=self.clock.time_ns())
            self.latch = replace(self.latch, trip=trip)
        if is_done:
            self.reached("halted")
        work = self._write_step(f"{venue} is at {step.value}", is_done=is_done)
        self._steps_written += 1  # a name of its own: no write is left out for another
        self.jobs.spawn(f"latch {venue} {step} {self._steps_written}", work)
        if is_done:
            self.alarm(
                "critical",
                f"Flat is verified: no open order and no position at "
                f"{', '.join(self.venues)}. {self.latch.state.value}.",
            )

    async def _write_step(self, cause: str, *, is_done: bool) -> None:
        await self.write_latch(cause)
        if is_done:
            self.reached("halt-written")

    def _sent(self, venue: str) -> None:
        del venue
        trip = self.latch.trip
        if trip is not None and trip.sent_time_ns is None:
            trip = replace(trip, sent_time_ns=self.clock.time_ns())
            self.latch = replace(self.latch, trip=trip)

    async def write_latch(self, cause: str, floor: int = 0) -> None:
        """Write the latch as it stands now, and record why."""
        await self.durable.write_latch(
            self.latch, cause, deadline_seconds=WRITE_SECONDS, floor=floor
        )

    def _guard(self) -> None:
        """Look after every venue that is flat, also while another is not yet."""
        if not (self.latch.is_acting or self.latch.state is RiskState.HALTED):
            return
        for name in self.venues:
            if self.latch.steps.get(name, self.latch.state) is RiskState.HALTED:
                self.jobs.spawn(f"guard {name}", self._guard_venue(name))

    async def _guard_venue(self, name: str) -> None:
        is_fresh = name not in self.watch.problems
        reading = self.watch.book.last.get(name) if is_fresh else None
        found = await self.halt_acts.guard(name, reading)
        if found:
            self.note(found)
            self.alarm("critical", found)

    # -- what is written down ---------------------------------------------------

    def _write_sample(self, sight: Sight) -> None:
        book = self.watch.book
        row = SampleRow(self.watch.sample_time_ns(), sight.is_complete)
        if sight.is_complete:
            row = replace(row, equity=book.equity, value=sight.value)
        if sight.value is not None and sight.peak is not None:
            row = replace(
                row,
                high_water_mark=sight.peak * book.units,
                drawdown=drawdown(sight.value, sight.peak),
            )
        content = books.to_json(book, self.clock.monotonic_ns())
        readings = self.readings.take()
        self.durable.post(lambda: self.durable.store.add_sample(row, content, readings))

    async def check_keys(self) -> None:
        """Check every venue's key before the first second; see ``Upkeep``."""
        await self.upkeep.check_keys()

    async def _heal(self) -> None:
        """Try to have a disk again; go on from whichever store knows more."""
        is_ignorant = self.durable.store.is_ignorant and not self.latch.who
        if not await self.durable.heal(None if is_ignorant else self.latch):
            return
        if is_ignorant and self.latch.state is RiskState.LOCKED and not self.latch.who:
            self.latch = self.durable.store.latch
            self.resume()
            self.carry_on()
        else:
            await self.write_latch("the store can be written again")
        self.alarm("warning", "The store can be written again.")

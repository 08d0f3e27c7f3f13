"""
The loop: one second after another, and what follows from each; unknown means locked.

It decides by ``watch`` and ``rules``, acts through ``halt``, remembers through
``durable``, and speaks to others only through values: permits, status, alarms.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from cryptoquantix.control.status import RiskState, TripRecord
from cryptoquantix.core.clock import NS_PER_SECOND, Clock
from cryptoquantix.core.errors import CredentialsRefused, StateCorrupt
from cryptoquantix.risk import book as books
from cryptoquantix.risk.concerns import Concerns
from cryptoquantix.risk.durable import DurableStore
from cryptoquantix.risk.flatten import FAILED
from cryptoquantix.risk.halt import Halt
from cryptoquantix.risk.jobs import Jobs
from cryptoquantix.risk.permits import PermitDesk
from cryptoquantix.risk.port import RiskVenue
from cryptoquantix.risk.rules import Limits, drawdown
from cryptoquantix.risk.samples import SampleRow
from cryptoquantix.risk.state import Latch, locked, tripped
from cryptoquantix.risk.watch import Sight, Watch
from cryptoquantix.risk.window import WINDOW_NS, HighWaterMark

LATCH_SECONDS: Final = 0.1
WRITE_SECONDS: Final = 2.0
KEYS_SECONDS: Final = 1.0
WARM_NS: Final = 10 * NS_PER_SECOND
LEDGER_NS: Final = 60 * NS_PER_SECOND
LEDGER_SOON_NS: Final = 2 * NS_PER_SECOND
LEDGER_BACK_NS: Final = 600 * NS_PER_SECOND
RETRY_NS: Final = 2 * NS_PER_SECOND
DISK_SECONDS: Final = 5.0


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
    ) -> None:
        self.limits = limits
        self.clock = clock
        self.durable = durable
        self.build = build
        self.latch: Latch = durable.store.latch
        self.watch = Watch(venues, limits=limits, clock=clock, note=self.note)
        self.halt_acts = Halt(
            venues, note=self.note, on_step=self._stepped, on_sent=self._sent
        )
        self.desk = PermitDesk(build=build, started_ns=clock.monotonic_ns())
        self.venues = venues
        self.concerns = Concerns(limits, self.alarm)
        self.sight = Sight(is_complete=False, problem="no reading yet")
        self.second_ns: int | None = None
        self.late_ns_max = 0
        self.missed_seconds = 0
        self.sequence_floor = 0
        self.alarms_undelivered = durable.store.alarms_undelivered()
        self.started_ns = clock.monotonic_ns()
        self.jobs = Jobs(clock, self.note)
        self._orphans_done_for: int | None = None
        self.commanding = asyncio.Lock()

    @property
    def state(self) -> RiskState:
        """The latch's state, or ``BLIND`` where an armed daemon cannot see."""
        if self.latch.state is RiskState.ARMED and self.concerns.is_blind:
            return RiskState.BLIND
        return self.latch.state

    def resume(self) -> None:
        """Go on from the store: book, peak and all. Call it before ``run``."""
        store = self.durable.store
        if self.latch.is_store_corrupt:
            self.alarm("critical", f"{self.latch.reason}. A named person must rearm.")
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
        since_ns = self.clock.time_ns() - WINDOW_NS
        values = store.values(since_ns, self.latch.baseline_sequence)
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
        if self.latch.state is RiskState.ARMED:
            self.lock(reason, floor=sequence_seen)
        else:
            self.jobs.spawn("floor", self.write_latch(reason, sequence_seen))

    def armed(self, latch: Latch) -> None:
        """Begin anew from the baseline that has just been written."""
        self.latch = latch
        self.concerns.clear()
        self._orphans_done_for = None
        self.alarm("info", f"Armed by {latch.who}: {latch.reason}.")

    # -- the loop ---------------------------------------------------------------

    async def run(self) -> None:
        """Run for ever, one second after another on the monotonic clock."""
        if self.latch.is_acting:
            self.note(f"resuming the halt at {self.latch.state}")
            self.halt_acts.start(self.latch)
        elif self.latch.state is RiskState.HALTED:
            self.jobs.spawn("prove flat", self.halt_acts.prove_flat())
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
        elif self.latch.state is RiskState.HALTED:
            self._guard()
        self._write_sample(self.sight)
        self._housekeeping()

    async def _armed_second(self, sight: Sight) -> None:
        if sight.is_trip:
            await self._trip_by_drawdown(sight)
            return
        since_ns = self.watch.complete_ns
        now_ns = self.clock.monotonic_ns()
        blind_ns = None if since_ns is None else now_ns - since_ns
        self.concerns.see(sight, self.watch.book, blind_ns)
        is_long = (blind_ns or now_ns - self.started_ns) >= self.limits.blind_cancel_ns
        if is_long and not sight.is_complete and self.jobs.is_due("blind", RETRY_NS):
            work = self._cancel_increasing("blind for 60 s")
            self.jobs.spawn("cancel increasing", work)
        self._orphans()

    async def _trip_by_drawdown(self, sight: Sight) -> None:
        assert sight.value is not None
        assert sight.peak is not None
        fraction = drawdown(sight.value, sight.peak)
        units = self.watch.book.units
        reason = (
            f"drawdown {fraction * 100:.4f} % reached the limit of "
            f"{self.limits.drawdown_fraction_max * 100:.2f} %"
        )
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
        """Latch, revoke, act: no permit is given from the first line on."""
        self.latch = tripped(
            self.latch,
            record,
            venues=tuple(self.venues),
            reason=reason,
            who=who,
            goal=goal,
        )
        for name, reading in self.watch.book.last.items():
            held = {position.symbol for position in reading.positions}
            self.halt_acts.flatteners[name].know(held)
        is_durable = await self.durable.write_latch(
            self.latch, f"trip by {who}: {reason}", deadline_seconds=LATCH_SECONDS
        )
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
        self.jobs.spawn(
            f"latch {venue} {step}", self.write_latch(f"{venue} is at {step.value}")
        )
        if is_done:
            self.alarm(
                "critical",
                f"Flat is verified: no open order and no position at "
                f"{', '.join(self.venues)}. {self.latch.state.value}.",
            )

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
        if not self.latch.goal.is_halt:
            return
        for name in self.venues:
            self.jobs.spawn(f"guard {name}", self._guard_venue(name))

    async def _guard_venue(self, name: str) -> None:
        is_fresh = name not in self.watch.problems
        reading = self.watch.book.last.get(name) if is_fresh else None
        found = await self.halt_acts.guard(name, reading)
        if found:
            self.note(found)
            self.alarm("critical", found)

    # -- orders that nobody looks after -----------------------------------------

    def _orphans(self) -> None:
        """Cancel increasing orders that nobody has looked after for 10 s."""
        asked_ns = self.desk.answered_ns
        is_gone = self.clock.monotonic_ns() - asked_ns >= self.limits.orphan_ns
        if not is_gone or self._orphans_done_for == asked_ns:
            return
        if self.jobs.is_due("orphans", RETRY_NS):
            self.jobs.spawn("cancel increasing", self._cancel_orphans(asked_ns))

    async def _cancel_orphans(self, asked_ns: int) -> None:
        if await self._cancel_increasing("no permit holder for 10 s"):
            self._orphans_done_for = asked_ns

    async def _cancel_increasing(self, why: str) -> bool:
        flatteners = self.halt_acts.flatteners
        done = await asyncio.gather(
            *(each.cancel_increasing() for each in flatteners.values())
        )
        self.record("cancel_increasing", {"why": why, "done": all(done)})
        return all(done)

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
        self.durable.post(self.durable.store.add_sample, row, content)

    def note(self, text: str) -> None:
        """Record one sentence in the audit log."""
        self.record("note", {"text": text})

    def record(self, kind: str, entry: dict[str, object]) -> None:
        """Record one event in the audit log, without waiting for the disk."""
        now_ns = self.clock.time_ns()
        self.durable.post(self.durable.store.record, now_ns, kind, entry)

    def alarm(self, severity: str, text: str) -> None:
        """Queue one alarm; its delivery is another process's business."""
        now_ns, store = self.clock.time_ns(), self.durable.store
        self.alarms_undelivered += 1
        self.durable.keep(lambda: store.queue_alarm(now_ns, severity, text))

    async def acknowledge(self, alarm_id: int) -> bool:
        """Take one alarm as delivered; return whether there is such an alarm."""
        store, now_ns = self.durable.store, self.clock.time_ns()
        is_known = await self.durable.write(lambda: store.acknowledge(alarm_id, now_ns))
        self.alarms_undelivered = await self.durable.ask(store.alarms_undelivered)
        return is_known

    # -- beside the loop --------------------------------------------------------

    def _housekeeping(self) -> None:
        is_failing = self.durable.failing_seconds >= DISK_SECONDS
        self.concerns.disk(is_failing=is_failing, problem=self.durable.problem)
        waiting = {item.venue for item in self.watch.book.suspense}
        for name, venue in self.venues.items():
            every_ns = LEDGER_SOON_NS if name in waiting else LEDGER_NS
            if self.watch.book.units > 0 and self.jobs.is_due(
                f"ledger {name}", every_ns
            ):
                self.jobs.spawn(f"ledger {name}", self._look_at_ledger(name, venue))
            if self.jobs.is_due(f"contracts {name}", RETRY_NS):
                prepare = self.halt_acts.flatteners[name].prepare()
                self.jobs.spawn(f"contracts {name}", prepare)
            if self.jobs.is_due(f"warm {name}", WARM_NS):
                self.jobs.spawn(f"warm {name}", venue.keep_warm())
            if f"keys {name}" in self.concerns.texts and self.jobs.is_due(
                "keys", RETRY_NS
            ):
                self.jobs.spawn(f"keys {name}", self._check_again(name, venue))

    async def _look_at_ledger(self, name: str, venue: RiskVenue) -> None:
        book = self.watch.book
        reading = book.last.get(name)
        from_ns = reading.time_ns if reading else self.clock.time_ns()
        starts = [s.time_ns for s in book.suspense if s.venue == name and s.time_ns]
        since_ns = max(book.opened_ns, min([from_ns, *starts]) - LEDGER_BACK_NS)
        entries = await asyncio.wait_for(venue.ledger(since_ns), 2.0)
        self.watch.take_ledger(name, entries)

    async def check_keys(self) -> None:
        """
        Check every venue's key before the first second.

        A venue that does not answer is asked again later: the daemon stays up, blind.

        Raises
        ------
        CredentialsRefused
            If a venue refuses a key, or a key may do what the daemon's must not.
        """
        await asyncio.gather(
            *(self._check(name, venue) for name, venue in self.venues.items())
        )

    async def _check(self, name: str, venue: RiskVenue) -> None:
        try:
            await asyncio.wait_for(venue.check_keys(), KEYS_SECONDS)
        except CredentialsRefused:
            raise
        except FAILED as error:
            self.note(f"{name}: the key could not be checked yet: {error!r}")
            self.concerns.texts[f"keys {name}"] = f"{name}: the key is not checked yet"
        else:
            self.concerns.texts.pop(f"keys {name}", None)

    async def _check_again(self, name: str, venue: RiskVenue) -> None:
        try:
            await self._check(name, venue)
        except CredentialsRefused as error:
            self.concerns.texts[f"keys {name}"] = str(error)

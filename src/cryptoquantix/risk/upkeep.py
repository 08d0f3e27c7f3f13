"""
What a daemon does beside its loop: keys, ledgers, contracts, switches; it judges none.

Each is a named job, so that one that hangs holds up no second and no other venue.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final, Protocol

from cryptoquantix.control.status import SelfTest
from cryptoquantix.core.clock import NS_PER_SECOND, Clock
from cryptoquantix.core.errors import CredentialsRefused
from cryptoquantix.risk import self_test
from cryptoquantix.risk.calls import FAILED
from cryptoquantix.risk.complaints import Complaints
from cryptoquantix.risk.concerns import Concerns
from cryptoquantix.risk.durable import DurableStore
from cryptoquantix.risk.halt import Halt
from cryptoquantix.risk.jobs import Jobs
from cryptoquantix.risk.port import RiskVenue
from cryptoquantix.risk.state import Latch
from cryptoquantix.risk.switches import ASK_NS, Switches
from cryptoquantix.risk.watch import Sight, Watch

KEYS_SECONDS: Final = 1.0
LEDGER_SECONDS: Final = 2.0
WARM_NS: Final = 10 * NS_PER_SECOND
LEDGER_NS: Final = 60 * NS_PER_SECOND
LEDGER_SOON_NS: Final = 2 * NS_PER_SECOND
LEDGER_BACK_NS: Final = 600 * NS_PER_SECOND
RETRY_NS: Final = 2 * NS_PER_SECOND


class Household(Protocol):
    """What the housekeeping needs of the daemon."""

    venues: Mapping[str, RiskVenue]
    durable: DurableStore
    clock: Clock
    watch: Watch
    sight: Sight
    concerns: Concerns
    complaints: Complaints
    halt_acts: Halt
    jobs: Jobs
    latch: Latch

    def note(self, text: str) -> None:
        """Record one sentence in the audit log."""

    def record(self, kind: str, entry: dict[str, object]) -> None:
        """Record one event in the audit log."""

    def alarm(self, severity: str, text: str) -> None:
        """Queue one alarm."""


class Upkeep:
    """The housekeeping of one daemon, a look at it every second."""

    def __init__(self, daemon: Household) -> None:
        self._daemon = daemon
        self.switches = Switches(daemon.clock, daemon.note)
        self.self_tests: tuple[SelfTest, ...] = ()
        self._is_tested = False

    def second(self) -> None:
        """Start what is due."""
        daemon, jobs = self._daemon, self._daemon.jobs
        waiting = {item.venue for item in daemon.watch.book.suspense}
        has_baseline = daemon.watch.book.units > 0
        for name, venue in daemon.venues.items():
            every_ns = LEDGER_SOON_NS if name in waiting else LEDGER_NS
            if has_baseline and jobs.is_due(f"ledger {name}", every_ns):
                jobs.spawn(f"ledger {name}", self._look_at_ledger(name, venue))
            if jobs.is_due(f"contracts {name}", RETRY_NS):
                prepare = daemon.halt_acts.flatteners[name].prepare()
                jobs.spawn(f"contracts {name}", prepare)
            if jobs.is_due(f"warm {name}", WARM_NS):
                jobs.spawn(f"warm {name}", venue.keep_warm())
            if jobs.is_due(f"switch {name}", ASK_NS):
                jobs.spawn(f"switch {name}", self.switches.ask(venue))
            if f"keys {name}" in daemon.concerns.texts and jobs.is_due(
                f"keys {name}", RETRY_NS
            ):
                jobs.spawn(f"keys {name}", self._check_again(name, venue))
        if not self._is_tested and daemon.sight.is_complete:
            self._is_tested = True
            jobs.spawn("self-test", self._test_itself())

    async def _look_at_ledger(self, name: str, venue: RiskVenue) -> None:
        daemon = self._daemon
        book = daemon.watch.book
        reading = book.last.get(name)
        from_ns = reading.time_ns if reading else daemon.clock.time_ns()
        starts = [s.time_ns for s in book.suspense if s.venue == name and s.time_ns]
        since_ns = max(book.opened_ns, min([from_ns, *starts]) - LEDGER_BACK_NS)
        entries = await asyncio.wait_for(venue.ledger(since_ns), LEDGER_SECONDS)
        daemon.watch.take_ledger(name, entries)

    async def _test_itself(self) -> None:
        daemon = self._daemon
        self.self_tests = await self_test.run(
            daemon.venues,
            daemon.durable,
            clock=daemon.clock,
            unchecked=daemon.concerns.texts,
        )
        for test in self.self_tests:
            daemon.record(
                "self_test",
                {"name": test.name, "passed": test.passed, "text": test.text},
            )
        failed = [test.text for test in self.self_tests if not test.passed]
        if failed:
            daemon.alarm("warning", f"Self-test: {'; '.join(failed)}.")

    async def check_keys(self) -> None:
        """
        Check every venue's key before the first second.

        A venue that does not answer is asked again later: the daemon stays up, blind.
        A halt is never kept waiting for it, nor ended by it: its keys are checked
        beside it, and one that is refused is a reason not to arm.

        Raises
        ------
        CredentialsRefused
            If a venue refuses a key, or a key may do what the daemon's must not.
        """
        venues = self._daemon.venues
        if self._daemon.latch.state.is_halt:
            for name in venues:
                text = f"{name}: the key is not checked yet"
                self._daemon.concerns.texts[f"keys {name}"] = text
            return
        await asyncio.gather(*(self._check(name, venues[name]) for name in venues))

    async def _check(self, name: str, venue: RiskVenue) -> None:
        texts = self._daemon.concerns.texts
        try:
            await asyncio.wait_for(venue.check_keys(), KEYS_SECONDS)
        except CredentialsRefused:
            raise
        except FAILED as error:
            self._daemon.complaints.add(
                f"keys {name}", f"{name}: the key could not be checked yet: {error!r}"
            )
            texts[f"keys {name}"] = f"{name}: the key is not checked yet"
        else:
            texts.pop(f"keys {name}", None)

    async def _check_again(self, name: str, venue: RiskVenue) -> None:
        try:
            await self._check(name, venue)
        except CredentialsRefused as error:
            self._daemon.concerns.texts[f"keys {name}"] = str(error)

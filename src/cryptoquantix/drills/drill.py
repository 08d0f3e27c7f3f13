"""A drill as a value, and how one is carried out; what each one is, is in ``every``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from cryptoquantix.control.status import RiskState
from cryptoquantix.core.errors import CryptoquantixError
from cryptoquantix.drills.book import Book
from cryptoquantix.drills.checks import Check
from cryptoquantix.drills.evidence import Evidence
from cryptoquantix.drills.kill import KillResult
from cryptoquantix.drills.stage import Stage
from cryptoquantix.drills.steps import Step, UntilPermit, Wait


@dataclass(frozen=True, slots=True)
class Drill:
    """
    One scenario: the book, what happens to it, and what must hold.

    ``venues_min`` accounts are needed. ``harms_daemon`` ones need a daemon of their
    own, ``needs_telegram`` ones the alarm process. ``is_kill`` ones end in a halt,
    and have times. Without ``has_rate_limits`` the venues count requests and refuse
    none: for drills that put an hour's crashes into a minute. ``venues`` are the ones
    it takes place at, where those are among the ones asked for.
    """

    name: str
    about: str
    steps: Sequence[Step]
    must_hold: Sequence[Check]
    quick: Sequence[Step] = ()
    book: Book = field(default_factory=Book)
    venues_min: int = 1
    balance: str = "100000"
    harms_daemon: bool = False
    needs_telegram: bool = False
    needs_permit: bool = False
    has_rate_limits: bool = True
    venues: tuple[str, ...] = ()
    is_kill: bool = True

    def venues_of(self, asked: Sequence[str]) -> tuple[str, ...]:
        """Return where it takes place, of the venues that were asked for."""
        return tuple(v for v in asked if v in self.venues) or tuple(asked)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one drill. Times are from the true crossing of the threshold."""

    drill: str
    passed: bool
    notes: str
    kill: KillResult | None = None

    def as_json(self) -> dict[str, Any]:
        """Return one flat object; times that make no sense are None."""
        times = self.kill.times if self.kill else None
        return {
            "drill": self.drill,
            "passed": self.passed,
            "detected_ms": times.detected_ms if times else None,
            "sent_ms": times.sent_ms if times else None,
            "flat_ms": times.flat_ms if times else None,
            "notes": self.notes,
        }

    def details(self) -> dict[str, Any]:
        """Return the outcome with all that is known of the kill."""
        return self.as_json() | (self.kill.as_json() if self.kill else {})

    def sentence(self) -> str:
        """Return the outcome as one line for a person."""
        word = "passed" if self.passed else "FAILED"
        if self.kill is None:
            return f"{self.drill}: {word}: {self.notes}"
        times = asdict(self.kill.times)
        shown = ", ".join(
            f"{name.removesuffix('_ms')} {'never' if ms is None else f'{ms:.0f} ms'}"
            for name, ms in times.items()
        )
        return f"{self.drill}: {word}: {shown}; {self.notes}"


async def perform(drill: Drill, stage: Stage, *, phase_seconds: float = 0) -> Outcome:
    """
    Arm, build the book, do what the drill does, and judge.

    ``phase_seconds`` is waited before the drill begins, so that what it does falls
    anywhere between two readings of the daemon.

    Cancellation leaves the accounts as they are; the daemon goes on guarding them.
    """
    problem = ""
    async with stage.watching():
        try:
            await _carry_out(drill, stage, phase_seconds)
        except CryptoquantixError as error:
            problem = str(error)
        if "begin" not in stage.marks:
            return Outcome(drill.name, passed=False, notes=problem)
        evidence = await stage.evidence()
    return judge(drill, evidence, problem)


async def _carry_out(drill: Drill, stage: Stage, phase_seconds: float) -> None:
    await stage.arm()
    await stage.until((RiskState.ARMED,), 5)
    await stage.build(drill.book)
    # Two readings of the daemon see the book; the venues' order budgets refill.
    await Wait(2.0).take(stage)
    await stage.until((RiskState.ARMED,), 5)
    if drill.needs_permit:
        await UntilPermit().take(stage)
    await stage.begin()
    await Wait(phase_seconds).take(stage)
    steps = drill.quick if stage.is_quick and drill.quick else drill.steps
    for step in steps:
        await step.take(stage)


def judge(drill: Drill, evidence: Evidence, problem: str = "") -> Outcome:
    """
    Return what came of a drill.

    ``problem`` is why it was not carried out to its end; the checks then say what
    else is known.
    """
    kill = evidence.kill() if drill.is_kill else None
    if problem:
        return Outcome(drill.name, passed=False, notes=problem, kill=kill)
    wrong = [text for check in drill.must_hold if (text := check(evidence))]
    if wrong:
        return Outcome(drill.name, passed=False, notes="; ".join(wrong), kill=kill)
    held = f"{len(drill.must_hold)} checks held at {', '.join(evidence.venues)}"
    return Outcome(drill.name, passed=True, notes=held, kill=kill)

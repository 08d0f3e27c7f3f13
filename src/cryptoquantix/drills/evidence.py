"""Everything that was seen of one drill, as plain values; it gathers none of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from cryptoquantix.control.permit import PermitMode
from cryptoquantix.control.status import RiskState, RiskStatus
from cryptoquantix.core.clock import NS_PER_SECOND
from cryptoquantix.drills.kill import KillResult
from cryptoquantix.drills.requests import Record
from cryptoquantix.drills.scorecard import KillTimes, read_kill_times
from cryptoquantix.drills.simulator_admin import TrueAccount


@dataclass(frozen=True, slots=True)
class Glance:
    """
    One look at the daemon from outside, in wall time.

    ``status`` is None where nothing answered. ``permit`` is what a holder of the
    permit may do at that instant, None where its last answer has run out.
    """

    time_ns: int
    status: RiskStatus | None
    permit: PermitMode | None = None


@dataclass(frozen=True, slots=True)
class Evidence:
    """
    What is judged.

    Attributes
    ----------
    venues
        Where the book was.
    records
        The simulator's log since the book stood, in true time.
    marks
        Wall time of what the drill did, by its name for it.
    crossed_ns
        When the true drawdown of all accounts together first reached 3 %.
    deepest
        The deepest true drawdown.
    accounts
        What each account truly held at the end.
    glances
        What the daemon said of itself on the way, oldest first.
    alarms
        Texts of the daemon's queue at the end, with their wall times.
    facts
        Other numbers a step found out, by name.
    """

    venues: tuple[str, ...]
    records: Sequence[Record]
    marks: Mapping[str, int]
    crossed_ns: int | None
    deepest: float
    accounts: Mapping[str, TrueAccount]
    glances: Sequence[Glance]
    alarms: Sequence[tuple[int, str]] = ()
    facts: Mapping[str, float] = field(default_factory=dict)

    @property
    def final(self) -> RiskStatus | None:
        """The last thing the daemon said of itself."""
        said = [g.status for g in self.glances if g.status is not None]
        return said[-1] if said else None

    def mark(self, name: str) -> int:
        """Return when the drill did what it calls ``name``."""
        return self.marks[name]

    def between(self, start: str, end: str | None) -> list[Glance]:
        """Return the glances from one mark to another, or to the end."""
        end_ns = self.marks[end] if end else None
        return [
            g
            for g in self.glances
            if g.time_ns >= self.marks[start]
            and (end_ns is None or g.time_ns <= end_ns)
        ]

    def first_state(self, state: RiskState, after: str) -> float | None:
        """Return seconds from a mark to the first glance that shows ``state``."""
        return next(
            (
                (g.time_ns - self.marks[after]) / NS_PER_SECOND
                for g in self.between(after, None)
                if g.status is not None and g.status.state is state
            ),
            None,
        )

    def times(self, venues: Sequence[str] = ()) -> KillTimes:
        """Return the times of the kill, at some venues or at all of the book's."""
        if self.crossed_ns is None:
            return KillTimes(None, None, None, None)
        return read_kill_times(self.records, self.crossed_ns, venues or self.venues)

    def kill(self) -> KillResult:
        """Return how the kill ended at all venues."""
        final = self.final
        return KillResult(
            drawdown=self.deepest,
            times=self.times(),
            open_orders=sum(
                a.open_orders + a.algo_orders for a in self.accounts.values()
            ),
            positions=sum(len(a.positions) for a in self.accounts.values()),
            latched=final is not None and final.state is RiskState.HALTED,
        )


def held_before(records: Sequence[Record]) -> dict[tuple[str, str, str], Decimal]:
    """Return the size after each key's latest fill, by (venue, symbol, leg)."""
    return {
        (r["venue"], r["symbol"], r["leg"]): Decimal(r["position_after"])
        for r in records
        if r["kind"] == "fill"
    }

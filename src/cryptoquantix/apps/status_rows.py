"""
What `cqx status` says of each service that trades, as rows; it asks nobody.

Every row has ``problem``: one sentence about what is missing or wrong, or nothing. What
was not heard is None or empty beside it. The names are those of ``--json`` and stay.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FeedRow:
    """One venue's market data: lag is receive time less the venue's event time."""

    venue: str
    problem: str
    age_ms: int | None = None
    instruments: int | None = None
    message_age_ms: int | None = None
    lag_ms: float | None = None
    clock_offset_ms: float | None = None
    clock_error_ms: float | None = None
    gaps: int | None = None
    trades_missing: int | None = None
    reconnects: int | None = None
    batches_dropped: int | None = None


@dataclass(frozen=True, slots=True)
class StrategyRow:
    """One strategy on one instrument: the age is of its newest bar's close."""

    strategy: str
    instrument: str
    problem: str
    age_ms: int | None = None
    state: str | None = None
    bar_seconds: int | None = None
    bar_age_ms: int | None = None
    target: float | None = None
    sequence: int | None = None
    is_followed: bool | None = None
    gaps: int | None = None


@dataclass(frozen=True, slots=True)
class ReadingRow:
    """How old execution's newest reading of a venue's account is."""

    venue: str
    problem: str
    age_ms: int | None = None


@dataclass(frozen=True, slots=True)
class PermitRow:
    """Execution's permit: None where it has none; only ``trade`` expires."""

    mode: str | None
    age_ms: int | None
    expires_ms: int | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ExecutionRow:
    """Execution as a whole."""

    problem: str
    age_ms: int | None = None
    permit: PermitRow | None = None
    readings: tuple[ReadingRow, ...] = ()


@dataclass(frozen=True, slots=True)
class PositionRow:
    """What is held of an instrument, signed decimal text, as execution read it last."""

    venue: str
    instrument: str
    size: str
    unit: str
    entry_price: str
    mark_price: str
    pnl_unrealized: str
    currency: str
    orders: int
    is_traded: bool


@dataclass(frozen=True, slots=True)
class ReportRow:
    """What execution reported to a person within a day."""

    age_ms: int
    kind: str
    subject: str
    text: str


@dataclass(frozen=True, slots=True)
class RecorderRow:
    """The recorder; ``backlog_ms`` is how old what is surely on disk is."""

    problem: str
    age_ms: int | None = None
    backlog_ms: int | None = None
    instruments: int | None = None
    ticks: int | None = None
    ticks_dropped: int | None = None
    gaps: int | None = None


@dataclass(frozen=True, slots=True)
class MirrorRow:
    """The journal's mirror; ``backlog_rows`` are in the journal and not there yet."""

    problem: str
    age_ms: int | None = None
    backlog_rows: int | None = None


@dataclass(frozen=True, slots=True)
class Trading:
    """All; ``execution``, ``recorder``, ``mirror`` are None where none is set."""

    bus_problem: str
    feeds: tuple[FeedRow, ...]
    strategies: tuple[StrategyRow, ...]
    execution: ExecutionRow | None
    positions: tuple[PositionRow, ...]
    recorder: RecorderRow | None
    mirror: MirrorRow | None
    reports: tuple[ReportRow, ...] = ()

    def problems(self) -> Iterator[str]:
        """Yield every row's problem, each with its name; the bus's alone if it is."""
        if self.bus_problem:
            yield self.bus_problem
        else:
            yield from self._heard()
        if self.mirror is not None and self.mirror.problem:
            yield f"mirror: {self.mirror.problem}"

    def _heard(self) -> Iterator[str]:
        rows = [(f"feed-{one.venue}", one.problem) for one in self.feeds]
        rows += [
            (f"{one.strategy} on {one.instrument}", one.problem)
            for one in self.strategies
        ]
        if self.execution is not None:
            rows.append(("execution", self.execution.problem))
            rows += [
                (f"execution at {one.venue}", one.problem)
                for one in self.execution.readings
            ]
        if self.recorder is not None:
            rows.append(("recorder", self.recorder.problem))
        rows += [
            (
                one.instrument,
                f"{one.size} {one.unit} is held, no strategy here trades it",
            )
            for one in self.positions
            if not one.is_traded
        ]
        yield from (f"{name}: {problem}" for name, problem in rows if problem)

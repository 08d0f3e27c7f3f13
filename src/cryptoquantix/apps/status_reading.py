"""
From what was heard to the rows of `cqx status`; it asks nobody and shows nothing.

A service that was not heard has a row too, which says so: nothing is left out because
a part is down.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from cryptoquantix.apps.heard import Heard, StrategyKey
from cryptoquantix.apps.mirror_progress import MirrorProgress
from cryptoquantix.apps.settings import Settings
from cryptoquantix.apps.status_rows import (
    ExecutionRow,
    FeedRow,
    MirrorRow,
    PermitRow,
    PositionRow,
    ReadingRow,
    RecorderRow,
    ReportRow,
    StrategyRow,
    Trading,
)
from cryptoquantix.bus.messages import (
    WARMING,
    ExecutionStatus,
    FeedStatus,
    StrategyStatus,
)
from cryptoquantix.control.permit import PERMIT_LIFE_NS, PermitMode
from cryptoquantix.core.clock import NS_PER_DAY, NS_PER_MS

SILENT: Final = "it says nothing on the bus"
# Beyond these a row names a problem.
CLOCK_OFFSET_MS_MAX: Final = 500
LATENCY_MS_MAX: Final = 2_000
MESSAGE_AGE_MS_MAX: Final = 15_000
READING_AGE_MS_MAX: Final = 30_000
PERMIT_AGE_NS_MAX: Final = 2 * PERMIT_LIFE_NS
SYNC_AGE_MS_MAX: Final = 15_000
BARS_MAX: Final = 3
MIRROR_AGE_MS_MAX: Final = 10_000
MIRROR_ROWS_MAX: Final = 5_000
SECONDS_PER_DAY: Final = 86_400


def trading(
    settings: Settings,
    heard: Heard,
    mirrored: MirrorProgress | None,
    journal_rows: int | None,
    *,
    build: str,
    now_ns: int,
) -> Trading:
    """
    Return what was heard, and what was not, of all that ``settings`` run.

    Parameters
    ----------
    mirrored : MirrorProgress or None
        What the mirror said last.
    journal_rows : int or None
        The journal's newest sequence number; None where it cannot be read.
    """
    venues = {one.venue.value for one in settings.fed_instruments} | heard.feeds.keys()
    keys = [(one.name, one.instrument) for one in settings.strategies]
    keys += [key for key in heard.strategies if key not in keys]
    seconds = {
        (one.name, one.instrument): one.bar_seconds for one in settings.strategies
    }
    silent = "not heard: see the bus" if heard.problem else SILENT
    moment = _Moment(heard, silent, build, now_ns)
    return Trading(
        bus_problem=heard.problem,
        feeds=tuple(_feed(venue, moment) for venue in sorted(venues)),
        strategies=tuple(_strategy(key, seconds.get(key), moment) for key in keys),
        execution=_execution(settings, moment),
        positions=_positions(heard.execution),
        recorder=_recorder(settings, moment),
        mirror=_mirror(settings, mirrored, journal_rows, now_ns),
        reports=_reports(heard.execution, now_ns),
    )


@dataclass(frozen=True, slots=True)
class _Moment:
    """What was heard; ``silent`` is said of what was not."""

    heard: Heard
    silent: str
    build: str
    now_ns: int


def _feed(venue: str, moment: _Moment) -> FeedRow:
    status, now_ns = moment.heard.feeds.get(venue), moment.now_ns
    if status is None:
        return FeedRow(venue, moment.silent)
    offset = None
    if status.clock_error_ns >= 0:
        offset = status.clock_offset_ns / NS_PER_MS
    row = FeedRow(
        venue,
        "",
        age_ms=_age_ms(status.time_ns, now_ns),
        instruments=len(status.streams),
        message_age_ms=_ms(status.last_message_age_ns),
        lag_ms=round(status.latency_ns / NS_PER_MS, 1),
        clock_offset_ms=None if offset is None else round(offset, 1),
        clock_error_ms=None
        if offset is None
        else round(status.clock_error_ns / NS_PER_MS, 1),
        gaps=status.gaps,
        trades_missing=sum(one.trades_missing for one in status.streams),
        reconnects=status.reconnects,
        batches_dropped=status.batches_dropped,
    )
    return _with(row, _feed_problem(status, row, moment.build))


def _feed_problem(status: FeedStatus, row: FeedRow, build: str) -> str:
    quiet, offset = row.message_age_ms, row.clock_offset_ms
    found = [
        (status.build != build, f"it runs build {status.build}, this is {build}"),
        (not status.connected, "it is not connected to the venue"),
        (quiet is None, "it has not heard anything of the venue yet"),
        (
            quiet is not None and quiet > MESSAGE_AGE_MS_MAX,
            f"it has heard nothing of the venue for {(quiet or 0) // 1000} s",
        ),
        (
            offset is not None and abs(offset) > CLOCK_OFFSET_MS_MAX,
            f"the venue's clock is {offset} ms from ours",
        ),
        (
            (row.lag_ms or 0) + (offset or 0) > LATENCY_MS_MAX,
            f"what it receives is {row.lag_ms} ms old",
        ),
    ]
    return next((text for is_so, text in found if is_so), "")


def _strategy(
    key: StrategyKey, bar_seconds: int | None, moment: _Moment
) -> StrategyRow:
    heard, now_ns = moment.heard, moment.now_ns
    strategy, instrument = key
    status = heard.strategies.get(key)
    followed = {
        (one.strategy, one.instrument): one
        for one in (heard.execution.targets if heard.execution else ())
    }.get(key)
    if status is None:
        return StrategyRow(
            strategy,
            instrument,
            moment.silent,
            bar_seconds=bar_seconds,
            bar_age_ms=None
            if followed is None
            else _age_ms(followed.bar_close_ns, now_ns),
            is_followed=None if followed is None else followed.is_idle,
        )
    row = StrategyRow(
        strategy,
        instrument,
        "",
        age_ms=_age_ms(status.time_ns, now_ns),
        state=status.state,
        bar_seconds=bar_seconds,
        bar_age_ms=_age_ms(status.bar_close_ns, now_ns)
        if status.bar_close_ns
        else None,
        target=None if status.state == WARMING else status.target,
        sequence=status.sequence,
        is_followed=None
        if followed is None
        else followed.sequence == status.sequence and followed.is_idle,
        gaps=status.gaps,
    )
    return _with(row, _strategy_problem(status, row))


def _strategy_problem(status: StrategyStatus, row: StrategyRow) -> str:
    if status.is_stale:
        return "its market data are stale: the target stands"
    if status.state == WARMING:
        days = (row.bar_seconds or 60) / SECONDS_PER_DAY
        return (
            f"it is warming up, and its last target stands: {status.bars * days:.1f} "
            f"of {status.warmup_bars * days:.3g} days of history"
        )
    if status.targets_unpublished:
        return f"{status.targets_unpublished} targets wait for the bus"
    # A bar closes with the first trade after its end: one that is a bar old is young.
    bound_ms = (BARS_MAX * (row.bar_seconds or 60)) * 1000
    if row.bar_age_ms is not None and row.bar_age_ms > bound_ms:
        return f"its newest bar closed {row.bar_age_ms // 1000} s ago"
    return ""


def _execution(settings: Settings, moment: _Moment) -> ExecutionRow | None:
    status, build, now_ns = moment.heard.execution, moment.build, moment.now_ns
    if status is None:
        return ExecutionRow(moment.silent) if settings.strategies else None
    problem = ""
    if status.build != build:
        problem = f"it runs build {status.build}, this is {build}"
    else:
        problem = execution_problem(status)
    return ExecutionRow(
        problem,
        age_ms=_age_ms(status.time_ns, now_ns),
        permit=_permit(status),
        readings=tuple(
            ReadingRow(
                venue,
                reading_problem(
                    read_ns, is_away=venue in status.unreachable, now_ns=now_ns
                ),
                _age_ms(read_ns, now_ns) if read_ns else None,
            )
            for venue, read_ns in sorted(status.read_ns.items())
        ),
    )


def _permit(status: ExecutionStatus) -> PermitRow:
    if not status.permit:
        return PermitRow(None, None, None)
    expires_ms = None
    if status.permit == PermitMode.TRADE:
        expires_ms = max(0, PERMIT_LIFE_NS - status.permit_age_ns) // NS_PER_MS
    age_ms = _ms(status.permit_age_ns)
    return PermitRow(status.permit, age_ms, expires_ms, status.permit_reason)


def execution_problem(status: ExecutionStatus) -> str:
    """Return what is wrong with execution as a whole, or nothing."""
    if not status.permit:
        return "the risk daemon has not answered it"
    if status.permit_age_ns > PERMIT_AGE_NS_MAX:
        return f"the risk daemon last answered it {status.permit_age_ns // 10**9} s ago"
    if status.permit != PermitMode.HALTED and not status.read_ns:
        return "it trades at no venue"
    return ""


def reading_problem(read_ns: int, *, is_away: bool, now_ns: int) -> str:
    """Return what is wrong with execution's reading of one account, or nothing."""
    if is_away:
        return "the venue does not answer"
    if not read_ns:
        return "the account was not read yet"
    age_ms = _age_ms(read_ns, now_ns)
    if age_ms > READING_AGE_MS_MAX:
        return f"the account was last read {age_ms // 1000} s ago"
    return ""


def _positions(status: ExecutionStatus | None) -> tuple[PositionRow, ...]:
    return tuple(
        PositionRow(
            venue=one.instrument.partition(":")[0],
            instrument=one.instrument,
            size=one.size,
            unit=one.unit,
            entry_price=one.entry_price,
            mark_price=one.mark_price,
            pnl_unrealized=one.pnl_unrealized,
            currency=one.currency,
            orders=one.orders,
            is_traded=one.is_traded,
        )
        for one in (status.positions if status else ())
    )


def _reports(status: ExecutionStatus | None, now_ns: int) -> tuple[ReportRow, ...]:
    return tuple(
        ReportRow(_age_ms(one.time_ns, now_ns), one.kind, one.subject, one.text)
        for one in (status.reports if status else ())
        if now_ns - one.time_ns < NS_PER_DAY
    )


def _recorder(settings: Settings, moment: _Moment) -> RecorderRow | None:
    status, now_ns = moment.heard.recorder, moment.now_ns
    if status is None:
        return RecorderRow(moment.silent) if settings.recorder.enabled else None
    backlog_ms = None
    if status.synced_ns:
        backlog_ms = max(0, status.time_ns - status.synced_ns) // NS_PER_MS
    problem = status.problem
    if not problem and (backlog_ms or 0) > SYNC_AGE_MS_MAX:
        problem = f"what it heard is on disk up to {(backlog_ms or 0) // 1000} s ago"
    return RecorderRow(
        problem,
        age_ms=_age_ms(status.time_ns, now_ns),
        backlog_ms=backlog_ms,
        instruments=status.instruments,
        ticks=status.ticks,
        ticks_dropped=status.ticks_dropped,
        gaps=status.gaps,
    )


def _mirror(
    settings: Settings,
    progress: MirrorProgress | None,
    journal_rows: int | None,
    now_ns: int,
) -> MirrorRow | None:
    if not settings.journal.mirror.get_secret_value():
        return None
    if progress is None:
        return MirrorRow("it has not run here")
    age_ms = _age_ms(progress.time_ns, now_ns)
    backlog = None
    if progress.sequence is not None and journal_rows is not None:
        backlog = max(0, journal_rows - progress.sequence)
    problem = progress.problem
    if age_ms > MIRROR_AGE_MS_MAX:
        problem = f"it does not run: it was last heard of {age_ms // 1000} s ago"
    elif not problem and (backlog or 0) > MIRROR_ROWS_MAX:
        problem = f"it is {backlog} rows behind"
    return MirrorRow(problem, age_ms, backlog)


def _with[R: (FeedRow, StrategyRow)](row: R, problem: str) -> R:
    return replace(row, problem=problem)


def _age_ms(time_ns: int, now_ns: int) -> int:
    return max(0, now_ns - time_ns) // NS_PER_MS


def _ms(age_ns: int) -> int | None:
    return None if age_ns < 0 else age_ns // NS_PER_MS

"""
The tables of `cqx status` about what trades: words for rows, nothing computed.

They are narrow: a screen of 80 columns holds them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal, InvalidOperation
from typing import Final

from rich.table import Table
from rich.text import Text

from cryptoquantix.apps.services import EXECUTION, FEED, MIRROR, RECORDER, STRATEGY
from cryptoquantix.apps.status_rows import (
    ExecutionRow,
    FeedRow,
    MirrorRow,
    PositionRow,
    RecorderRow,
    ReportRow,
    StrategyRow,
    Trading,
)
from cryptoquantix.core.clock import NS_PER_MS
from cryptoquantix.supervisor.record import ServiceReport, SupervisorReport
from cryptoquantix.supervisor.service import Condition

RED: Final = "bold red"
YELLOW: Final = "yellow"
REPORTS_MAX: Final = 5


def plain_table(title: str, *columns: str) -> Table:
    """Return a table without frames, which would cost a screen its lines."""
    return Table(
        *columns,
        title=title,
        title_justify="left",
        title_style="bold",
        header_style="dim",
        box=None,
        min_width=len(title),
        pad_edge=False,
    )


def age(age_ms: int | None) -> str:
    """Return an age for a person."""
    return "never" if age_ms is None else f"{span(age_ms)} ago"


def span(time_ms: int) -> str:
    """Return a length of time for a person."""
    if time_ms < 10_000:
        return f"{time_ms} ms"
    seconds = time_ms // 1000
    if seconds < 7200:
        return f"{seconds} s"
    hours = seconds // 3600
    return f"{hours} h" if hours < 72 else f"{hours // 24} days"


def services(
    report: SupervisorReport | None, trading: Trading | None, now_ns: int
) -> Table:
    """Return a row a service: how it does, and what it says of itself."""
    title = "Services: `cqx up` has not run here"
    if report is not None:
        is_up = "runs" if report.is_alive else "does not run"
        title = f"Services: `cqx up` {is_up} (pid {report.pid})"
    table = plain_table(title, "service", "is", "since", "again", "says")
    said = dict(_said(trading)) if trading is not None else {}
    for service in report.services if report is not None else ():
        words = said.pop(service.name, Text(""))
        if not (service.is_alive and service.condition == Condition.READY):
            words = Text(service.note, style=RED) if service.note else words
        table.add_row(*_service(service, now_ns), words)
    for name, words in said.items():
        table.add_row(name, "", "", "", words)
    return table


def _service(service: ServiceReport, now_ns: int) -> tuple[str | Text, ...]:
    condition = service.condition if service.is_alive else "not running"
    is_well = service.is_alive and condition == Condition.READY
    return (
        service.name,
        Text(condition, style="" if is_well else RED),
        age((now_ns - service.since_ns) // NS_PER_MS),
        str(service.restarts or ""),
    )


def _said(trading: Trading) -> Iterator[tuple[str, Text]]:
    for feed in trading.feeds:
        yield f"{FEED}{feed.venue}", _or_problem(feed.problem, _feed, feed)
    if trading.strategies:
        yield STRATEGY, _strategies(trading.strategies)
    if trading.execution is not None:
        yield EXECUTION, _execution(trading.execution)
    if trading.recorder is not None:
        yield (
            RECORDER,
            _or_problem(trading.recorder.problem, _recorder, trading.recorder),
        )
    if trading.mirror is not None:
        yield MIRROR, _or_problem(trading.mirror.problem, _mirror, trading.mirror)


def _or_problem[R](problem: str, words: Callable[[R], str], row: R) -> Text:
    return Text(problem, style=RED) if problem else Text(words(row))


def _feed(row: FeedRow) -> str:
    clock = "not measured"
    if row.clock_offset_ms is not None:
        clock = f"{row.clock_offset_ms:+.1f} ms"
    lost = f", {row.trades_missing} trades missing" if row.trades_missing else ""
    return f"lag {row.lag_ms} ms, clock {clock}, {row.gaps} gaps{lost}"


def _strategies(rows: tuple[StrategyRow, ...]) -> Text:
    wrong = sum(bool(row.problem) for row in rows)
    if not wrong:
        return Text(f"{len(rows)} well")
    if wrong == len(rows) == 1 or len({row.problem for row in rows}) == 1:
        return Text(rows[0].problem, style=RED)
    return Text(f"{wrong} of {len(rows)} not well", style=RED)


def _execution(row: ExecutionRow) -> Text:
    if row.problem:
        return Text(row.problem, style=RED)
    text = Text(f"permit {permit(row)}")
    for reading in row.readings:
        problem = f": {reading.problem}" if reading.problem else ""
        words = f", {reading.venue} read {age(reading.age_ms)}{problem}"
        text.append(words, style=RED if problem else "")
    return text


def permit(row: ExecutionRow) -> str:
    """Return execution's permit for a person."""
    if row.permit is None or row.permit.mode is None:
        return "none"
    if row.permit.expires_ms is None:
        reason = f" ({row.permit.reason})" if row.permit.reason else ""
        return f"{row.permit.mode}{reason}"
    return f"{row.permit.mode} for {row.permit.expires_ms} ms"


def _recorder(row: RecorderRow) -> str:
    backlog = (
        "nothing yet" if row.backlog_ms is None else f"{span(row.backlog_ms)} behind"
    )
    dropped = f", {row.ticks_dropped} dropped" if row.ticks_dropped else ""
    return f"{backlog}, {row.ticks:,} ticks, {row.gaps} gaps{dropped}"


def _mirror(row: MirrorRow) -> str:
    return "unknown" if row.backlog_rows is None else f"{row.backlog_rows} rows behind"


def strategies(rows: tuple[StrategyRow, ...]) -> Table:
    """Return a row a strategy and instrument."""
    names = ("strategy", "instrument", "target", "last bar", "is")
    table = plain_table("Strategies", *names)
    table.columns[2].justify = "right"
    for row in rows:
        target = "?" if row.target is None else f"{row.target:+.3f}"
        followed = {True: "followed", False: "not followed yet", None: "not followed"}
        words = ", ".join(one for one in (row.state, followed[row.is_followed]) if one)
        table.add_row(
            row.strategy,
            row.instrument,
            target,
            age(row.bar_age_ms),
            Text(row.problem or words, style=RED if row.problem else ""),
        )
    return table


def positions(rows: tuple[PositionRow, ...]) -> Table:
    """Return a row an instrument, as execution read the accounts last."""
    names = ("instrument", "size", "entry", "mark", "unrealized", "orders")
    table = plain_table("Positions", *names)
    for column in table.columns[1:]:
        column.justify = "right"
    for row in rows:
        is_open = bool(row.entry_price)
        foreign = "" if row.is_traded else " (not ours)"
        table.add_row(
            Text(row.instrument + foreign, style=YELLOW if foreign else ""),
            f"{grouped(row.size)} {row.unit}" if is_open else "flat",
            grouped(row.entry_price),
            grouped(row.mark_price),
            f"{grouped(row.pnl_unrealized)} {row.currency}" if is_open else "",
            str(row.orders or ""),
        )
    return table


def reports(rows: tuple[ReportRow, ...]) -> Table:
    """Return a row a report, the newest first."""
    title = "Reports: `cqx journal reports` has all"
    table = plain_table(title, "when", "what", "of", "says")
    for row in rows[: -REPORTS_MAX - 1 : -1]:
        table.add_row(age(row.age_ms), row.kind, row.subject, Text(row.text))
    return table


def grouped(text: str) -> str:
    """Return decimal text as people read it: grouped, at most eight places."""
    try:
        value = Decimal(text)
    except InvalidOperation:
        return text
    shown = f"{value:,.8f}"
    return shown.rstrip("0").rstrip(".")

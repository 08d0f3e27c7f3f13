"""``cqx status`` for a person: rows of words, nothing computed."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from rich.console import Console
from rich.table import Table

from cryptoquantix.control.status import RiskStatus, TripRecord
from cryptoquantix.core.clock import NS_PER_MS, NS_PER_SECOND
from cryptoquantix.supervisor.record import ServiceReport, SupervisorReport

_WIDTH = 110


def view(
    status: RiskStatus | None,
    report: SupervisorReport | None,
    *,
    problems: Sequence[str],
    remarks: Sequence[str],
    now_ns: int,
) -> str:
    """Return the whole page as text; colors only where the terminal has them."""
    stream = io.StringIO()
    console = Console(file=stream, width=_WIDTH, highlight=False, no_color=True)
    if status is not None:
        console.print(_guard(status))
        if status.remaining_orders or status.remaining_positions:
            console.print(_remaining(status))
    if report is None:
        console.print("Services: `cqx up` has not run here.")
    else:
        console.print(_services(report, now_ns))
    for sentence in problems:
        console.print(f"PROBLEM  {sentence}", markup=False)
    for sentence in remarks:
        console.print(f"note     {sentence}", markup=False)
    if not problems:
        console.print("The guard is well.")
    return stream.getvalue().rstrip("\n")


def _guard(status: RiskStatus) -> Table:
    table = Table(title="Risk daemon", show_header=False, title_justify="left")
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in _guard_rows(status):
        table.add_row(name, value)
    return table


def _guard_rows(status: RiskStatus) -> Iterator[tuple[str, str]]:
    reason = f" - {status.reason}" if status.reason else ""
    yield "state", f"{status.state}{reason}"
    yield "permit", f"{status.permit_mode}, held by {status.holder or 'nobody'}"
    yield "drawdown", f"{_or_unknown(status.drawdown)} of at most {status.limit}"
    yield "formula", status.formula
    yield "equity", _or_unknown(status.equity)
    yield "24 h high-water mark", _or_unknown(status.high_water_mark)
    yield "last complete reading", _age(status.last_complete_reading_age_ms)
    yield "last loop", _age(status.loop_age_ms)
    yield "book", _book(status)
    for venue in status.venues:
        problem = f", {venue.problem}" if venue.problem else ""
        text = f"equity {_or_unknown(venue.equity)}, {_age(venue.reading_age_ms)}"
        yield venue.venue, text + problem
    if status.trip is not None:
        yield from _trip_rows(status.trip)
    yield "alarms undelivered", str(status.alarms_undelivered)
    yield "sequence, build", f"{status.sequence}, {status.build}"


def _trip_rows(trip: TripRecord) -> Iterator[tuple[str, str]]:
    yield "trip", f"{trip.cause} at {_when(trip.decided_time_ns)}"
    if trip.drawdown is not None:
        numbers = f"drawdown {trip.drawdown} = 1 - {trip.equity} / {trip.peak}"
        yield "decided on", numbers
    yield "all sent", _after(trip.sent_time_ns, trip.decided_time_ns)
    yield "verified flat", _after(trip.flat_time_ns, trip.decided_time_ns)


def _remaining(status: RiskStatus) -> Table:
    table = Table("venue", "symbol", "what", "size", title="Open", title_justify="left")
    for position in status.remaining_positions:
        what = "dust" if position.is_dust else f"position {position.leg}"
        table.add_row(position.venue, position.symbol, what, position.size)
    for order in status.remaining_orders:
        what = f"{order.order_class} order {order.side}"
        table.add_row(order.venue, order.symbol, what, order.size)
    return table


def _services(report: SupervisorReport, now_ns: int) -> Table:
    is_up = "runs" if report.is_alive else "does not run"
    table = Table(
        *("service", "is", "pid", "restarts", "since", "note"),
        title=f"Services: `cqx up` {is_up} (pid {report.pid})",
        title_justify="left",
    )
    for service in report.services:
        table.add_row(*_service_row(service, now_ns))
    return table


def _service_row(service: ServiceReport, now_ns: int) -> tuple[str, ...]:
    condition = service.condition if service.is_alive else "not running"
    return (
        service.name,
        condition,
        str(service.pid or ""),
        str(service.restarts),
        _age((now_ns - service.since_ns) // NS_PER_MS),
        service.note,
    )


def _book(status: RiskStatus) -> str:
    if status.not_flat:
        return status.not_flat
    return {True: "flat", False: "positions or orders are open", None: "unknown"}[
        status.is_flat
    ]


def _or_unknown(value: str | None) -> str:
    return "unknown" if value is None else value


def _age(age_ms: int | None) -> str:
    if age_ms is None:
        return "never"
    if age_ms < 10_000:
        return f"{age_ms} ms ago"
    seconds = age_ms // 1000
    if seconds < 7200:
        return f"{seconds} s ago"
    return f"{seconds // 3600} h ago"


def _when(time_ns: int) -> str:
    when = datetime.fromtimestamp(time_ns / NS_PER_SECOND, UTC)
    return f"{when:%Y-%m-%d %H:%M:%S} UTC"


def _after(time_ns: int | None, start_ns: int) -> str:
    if time_ns is None:
        return "not yet"
    return f"{(time_ns - start_ns) // NS_PER_MS} ms after the decision"

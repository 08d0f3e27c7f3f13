"""``cqx status`` for a person: rows of words, nothing computed."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields, is_dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cryptoquantix.apps.status_rows import Trading
from cryptoquantix.apps.status_tables import (
    RED,
    YELLOW,
    age,
    grouped,
    plain_table,
    positions,
    reports,
    services,
    strategies,
)
from cryptoquantix.control.status import RiskStatus, TripRecord, VenueStatus
from cryptoquantix.core.clock import NS_PER_MS, NS_PER_SECOND
from cryptoquantix.supervisor.record import SupervisorReport

WIDTH: Final = 120
# What has a row, a table or a place of its own; the rest is shown as it is named.
_SHOWN: Final = {
    *("state", "permit_mode", "reason", "sequence", "time_ns", "equity"),
    *("high_water_mark", "drawdown", "limit", "formula", "holder", "trip"),
    *("last_complete_reading_age_ms", "loop_age_ms", "remaining_orders"),
    *("remaining_positions", "is_flat", "not_flat", "alarms_undelivered", "build"),
    *("is_store_corrupt", "unexplained", "late_ms_max", "missed_seconds", "venues"),
    *("self_tests", "drill", "drill_age_ms", "settings"),
    "held_positions",
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is wrong with the guard, what else to look at, and the alarms' rows."""

    problems: Sequence[str] = ()
    remarks: Sequence[str] = ()
    alarms: Sequence[tuple[str, str]] = ()


def view(
    status: RiskStatus | None,
    report: SupervisorReport | None,
    trading: Trading | None = None,
    *,
    verdict: Verdict,
    now_ns: int,
    is_color: bool = False,
    width: int = WIDTH,
) -> str:
    """
    Return the whole page as text of ``width`` columns.

    With ``is_color``, what is wrong is red.
    """
    stream = io.StringIO()
    console = Console(
        file=stream,
        width=width,
        highlight=False,
        force_terminal=is_color,
        no_color=not is_color,
    )
    if status is not None:
        for table in _of_the_daemon(status, verdict.alarms, trading):
            console.print(table)
    console.print(services(report, trading, now_ns))
    for table in _of_the_book(status, trading):
        console.print(table)
    for sentence in verdict.problems:
        console.print(f"PROBLEM  {sentence}", markup=False, style=RED)
    for sentence in verdict.remarks:
        console.print(f"note     {sentence}", markup=False)
    if not verdict.problems:
        console.print("The guard is well.")
    return "\n".join(line.rstrip() for line in stream.getvalue().rstrip().split("\n"))


def _of_the_book(status: RiskStatus | None, trading: Trading | None) -> Iterator[Table]:
    if trading is not None and trading.strategies:
        yield strategies(trading.strategies)
    if trading is not None and trading.positions:
        yield positions(trading.positions)
    elif status is not None and status.held_positions:
        yield _held(status)
    if trading is not None and trading.reports:
        yield reports(trading.reports)


def _of_the_daemon(
    status: RiskStatus,
    alarms: Sequence[tuple[str, str]],
    trading: Trading | None,
) -> Iterator[Table]:
    yield _guard(status, alarms, trading)
    if status.venues:
        yield _venues(status)
    if status.remaining_orders or status.remaining_positions:
        yield _remaining(status)


def _guard(
    status: RiskStatus,
    alarms: Sequence[tuple[str, str]],
    trading: Trading | None,
) -> Table:
    table = plain_table("Risk daemon")
    table.show_header = False
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    rows = (*_guard_rows(status, trading), *alarms, *_other_rows(status))
    for name, value in rows:
        table.add_row(name, Text(value, style=RED if _is_bad(value) else ""))
    return table


def _guard_rows(
    status: RiskStatus, trading: Trading | None
) -> Iterator[tuple[str, str]]:
    reason = f" - {status.reason}" if status.reason else ""
    yield "state", f"{status.state}{reason}"
    yield "permit", _permit(status, trading)
    yield "drawdown", f"{_or_unknown(status.drawdown)} of at most {status.limit}"
    yield "formula", status.formula
    yield "equity", _money(status.equity)
    yield "24 h high-water mark", _money(status.high_water_mark)
    yield "unexplained", _unexplained(status.unexplained)
    yield "last complete reading", age(status.last_complete_reading_age_ms)
    yield "last loop", f"{age(status.loop_age_ms)}, {_lateness(status)}"
    yield "book", _book(status)
    if status.trip is not None:
        yield from _trip_rows(status.trip)
    yield "last drill", _drill(status)
    if status.self_tests:
        yield "self-tests", _self_tests(status)
    yield "alarms undelivered", str(status.alarms_undelivered)
    yield "sequence, build", f"{status.sequence}, {status.build}"


def _permit(status: RiskStatus, trading: Trading | None) -> str:
    held = f"{status.permit_mode}, held by {status.holder or 'nobody'}"
    execution = None if trading is None else trading.execution
    expires = execution.permit.expires_ms if execution and execution.permit else None
    return held if expires is None else f"{held}, expires in {expires} ms"


def _other_rows(status: RiskStatus) -> Iterator[tuple[str, str]]:
    """Yield what a newer daemon says and this page has no row for, in its words."""
    for item in fields(status):
        value = getattr(status, item.name)
        if item.name not in _SHOWN and value:
            yield item.name.replace("_", " "), _plain(value)


def _plain(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return "; ".join(_plain(one) for one in value)
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    if isinstance(value, dict):
        return ", ".join(f"{name} {one}" for name, one in value.items() if one)
    return str(value)


def _venues(status: RiskStatus) -> Table:
    names = ("venue", "equity", "read", "dead-man's switch", "problem")
    table = plain_table("Venues", *names)
    for venue in status.venues:
        table.add_row(
            venue.venue,
            _money(venue.equity),
            age(venue.reading_age_ms),
            _switch(venue),
            Text(venue.problem, style=RED if venue.problem else ""),
        )
    return table


def _switch(venue: VenueStatus) -> Text:
    """Return the switch in words: red where it is absent, yellow where unknown."""
    if venue.dead_man_armed:
        return Text(venue.dead_man or "armed")
    if venue.dead_man_armed is None:
        return Text(venue.dead_man, style=YELLOW)
    said = venue.dead_man.removeprefix("ABSENT").removeprefix(": ")
    return Text(f"ABSENT: {said}" if said else "ABSENT", style=RED)


def _drill(status: RiskStatus) -> str:
    drill = status.drill
    if drill is None:
        return "never: `cqx drill` tries the kill switch on a simulator"
    outcome = "passed" if drill.passed else "FAILED"
    flat = "" if drill.flat_ms is None else f", flat after {drill.flat_ms:.0f} ms"
    return f"{drill.drill} {outcome}{flat}, {age(status.drill_age_ms)}"


def _self_tests(status: RiskStatus) -> str:
    failed = [test for test in status.self_tests if not test.passed]
    if not failed:
        return f"{len(status.self_tests)} passed"
    return "FAILED: " + "; ".join(f"{test.name}: {test.text}" for test in failed)


def _lateness(status: RiskStatus) -> str:
    missed = (
        f", {status.missed_seconds} seconds missed" if status.missed_seconds else ""
    )
    return f"at most {status.late_ms_max} ms late{missed}"


def _unexplained(value: str) -> str:
    return "0" if _money(value) in {"0.00", "-0.00"} else f"{_money(value)} (left out)"


def _money(value: str | None) -> str:
    """Return an amount as people read it; what is no number stays as it is."""
    try:
        return "unknown" if value is None else f"{Decimal(value):,.2f}"
    except InvalidOperation:
        return str(value)


def _is_bad(value: str) -> bool:
    return any(word in value for word in ("FAIL", "NOT FLAT"))


def _trip_rows(trip: TripRecord) -> Iterator[tuple[str, str]]:
    yield "trip", f"{trip.cause} at {_when(trip.decided_time_ns)}"
    if trip.drawdown is not None:
        numbers = f"drawdown {trip.drawdown} = 1 - {trip.equity} / {trip.peak}"
        yield "decided on", numbers
    yield "all sent", _after(trip.sent_time_ns, trip.decided_time_ns)
    yield "verified flat", _after(trip.flat_time_ns, trip.decided_time_ns)


def _held(status: RiskStatus) -> Table:
    """Return the daemon's own reading, for where execution tells nothing."""
    names = ("venue", "symbol", "size", "mark")
    table = plain_table("Positions, as the daemon read them", *names)
    for one in status.held_positions:
        table.add_row(one.venue, one.symbol, grouped(one.size), grouped(one.mark_price))
    return table


def _remaining(status: RiskStatus) -> Table:
    table = plain_table("Open", "venue", "symbol", "what", "size")
    for position in status.remaining_positions:
        what = "dust" if position.is_dust else f"position {position.leg}"
        table.add_row(position.venue, position.symbol, what, position.size)
    for order in status.remaining_orders:
        what = f"{order.order_class} order {order.side}"
        table.add_row(order.venue, order.symbol, what, order.size)
    return table


def _book(status: RiskStatus) -> str:
    if status.not_flat:
        return status.not_flat
    return {True: "flat", False: "positions or orders are open", None: "unknown"}[
        status.is_flat
    ]


def _or_unknown(value: str | None) -> str:
    return "unknown" if value is None else value


def _when(time_ns: int) -> str:
    when = datetime.fromtimestamp(time_ns / NS_PER_SECOND, UTC)
    return f"{when:%Y-%m-%d %H:%M:%S} UTC"


def _after(time_ns: int | None, start_ns: int) -> str:
    if time_ns is None:
        return "not yet"
    return f"{(time_ns - start_ns) // NS_PER_MS} ms after the decision"

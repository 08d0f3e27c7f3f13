"""The daemon's state as the status message; it changes nothing."""

from __future__ import annotations

from decimal import Decimal

from cryptoquantix.control.status import (
    RemainingPosition,
    RiskState,
    RiskStatus,
    VenueStatus,
)
from cryptoquantix.core.clock import NS_PER_MS
from cryptoquantix.risk import formula
from cryptoquantix.risk.commands import granting
from cryptoquantix.risk.daemon import Daemon
from cryptoquantix.risk.rules import drawdown
from cryptoquantix.risk.switches import shown

CENT = Decimal("0.01")


def status(daemon: Daemon, *, alarms_undelivered: int) -> RiskStatus:
    """Return everything the daemon knows of itself right now."""
    grant = granting(daemon)
    book, peak = daemon.watch.book, daemon.watch.mark.peak
    value = book.value
    mark = None if peak is None else peak * book.units_now
    fraction = None if value is None or peak is None else drawdown(value, peak)
    halts = daemon.halt_acts
    is_halt = daemon.latch.state.is_halt
    not_flat = halts.not_flat() if is_halt else ""
    return RiskStatus(
        state=daemon.state,
        permit_mode=grant.mode,
        reason=_reason(daemon, grant.reason),
        sequence=daemon.durable.sequence,
        time_ns=daemon.clock.time_ns(),
        equity=f"{book.equity:f}" if book.last else None,
        high_water_mark=None if mark is None else f"{mark:.8f}",
        drawdown=None if fraction is None else f"{fraction:f}",
        limit=f"{daemon.limits.drawdown_fraction_max:f}",
        formula=formula.text(book, peak, daemon.limits),
        last_complete_reading_age_ms=_age_ms(daemon, daemon.watch.complete_ns),
        loop_age_ms=_age_ms(daemon, daemon.second_ns),
        holder=daemon.desk.holder,
        trip=daemon.latch.trip,
        remaining_orders=halts.remaining_orders() if is_halt else (),
        remaining_positions=halts.remaining_positions() if is_halt else (),
        is_flat=not not_flat if is_halt else None,
        not_flat=not_flat,
        alarms_undelivered=alarms_undelivered,
        is_store_corrupt=daemon.latch.is_store_corrupt,
        build=daemon.build,
        unexplained=f"{book.suspended:f}",
        late_ms_max=daemon.late_ns_max // NS_PER_MS,
        missed_seconds=daemon.missed_seconds,
        venues=_venues(daemon),
        self_tests=daemon.upkeep.self_tests,
        drill=daemon.chronicle.drill,
        drill_age_ms=_drill_age_ms(daemon),
        settings=daemon.settings,
        held_positions=_held(daemon),
    )


def _held(daemon: Daemon) -> tuple[RemainingPosition, ...]:
    return tuple(
        RemainingPosition(
            venue=name,
            symbol=held.symbol,
            leg=held.leg,
            size=f"{held.size:f}",
            mark_price=f"{held.mark_price:f}",
        )
        for name, reading in daemon.watch.book.last.items()
        for held in reading.positions
        if held.size
    )


def _reason(daemon: Daemon, why_not_more: str) -> str:
    if daemon.latch.state is RiskState.ARMED:
        return why_not_more
    by = f" (by {daemon.latch.who})" if daemon.latch.who else ""
    return f"{daemon.latch.reason}{by}"


def _venues(daemon: Daemon) -> tuple[VenueStatus, ...]:
    now_ns = daemon.clock.time_ns()
    switches = daemon.upkeep.switches.found()
    found = []
    for name in daemon.venues:
        switch = switches.get(name)
        reading = daemon.watch.book.last.get(name)
        age_ns = None if reading is None else now_ns - reading.time_ns
        found.append(
            VenueStatus(
                venue=name,
                problem=daemon.watch.problems.get(name, ""),
                reading_age_ms=None if age_ns is None else age_ns // NS_PER_MS,
                equity=_worth(daemon, name),
                dead_man_armed=None if switch is None else switch.is_armed,
                dead_man="not asked yet" if switch is None else shown(switch),
            )
        )
    return tuple(found)


def _worth(daemon: Daemon, name: str) -> str | None:
    """Return a venue's equity in USD at checked rates, where it was ever read."""
    worth = daemon.watch.book.worth.get(name)
    return None if worth is None else f"{worth:f}"


def _drill_age_ms(daemon: Daemon) -> int | None:
    if daemon.chronicle.drill is None:
        return None
    return (daemon.clock.time_ns() - daemon.chronicle.drill.time_ns) // NS_PER_MS


def _age_ms(daemon: Daemon, since_ns: int | None) -> int | None:
    if since_ns is None:
        return None
    return (daemon.clock.monotonic_ns() - since_ns) // NS_PER_MS

"""What is wrong with the guard, as sentences; it asks nobody and changes nothing."""

from __future__ import annotations

from typing import Final

from cryptoquantix.control.status import RiskState, RiskStatus, SelfTest, VenueStatus

LOOP_AGE_MS_MAX: Final = 3_000
DRILL_AGE_MS_MAX: Final = 30 * 24 * 3_600_000


def problems(status: RiskStatus, build: str) -> list[str]:
    """
    Return every reason why this status is no good news; empty is exit code 0.

    A verified-flat HALTED and a LOCKED daemon are good news in this sense: they know
    where they stand and guard it. What a person must look at soon but guards nothing
    worse (undelivered alarms, a service that is down) is in `remarks`.
    """
    found = [
        (status.is_store_corrupt, f"the risk store is corrupt: {status.reason}"),
        (bool(status.not_flat), _not_flat(status)),
        (status.state is RiskState.BLIND, f"the daemon is blind: {status.reason}"),
        (
            status.state.is_halt and status.state is not RiskState.HALTED,
            f"a halt is being carried out ({status.state}): {status.reason}",
        ),
        (_is_stuck(status), f"the daemon's loop is {status.loop_age_ms} ms old"),
        (
            status.build != build,
            f"the daemon runs build {status.build}, this is {build}",
        ),
    ]
    found += [
        (bool(venue.problem), f"{venue.venue} cannot be read: {venue.problem}")
        for venue in status.venues
    ]
    return [sentence for is_so, sentence in found if is_so]


def remarks(status: RiskStatus) -> list[str]:
    """Return what a person should look at, though the guard itself is well."""
    venues = status.venues
    found = [
        (
            status.alarms_undelivered > 0,
            f"{status.alarms_undelivered} alarms are not delivered yet",
        ),
        (not status.holder, "nobody holds a permit: execution is not asking"),
        (
            status.state is RiskState.LOCKED,
            "LOCKED: no new positions until a named person arms it with `cqx rearm`",
        ),
        (
            status.state is RiskState.HALTED,
            "HALTED: no new positions until a named person ends it with `cqx rearm`",
        ),
        *_drill(status),
        *((not test.passed, _failed(test)) for test in status.self_tests),
        *((venue.dead_man_armed is False, _no_switch(venue)) for venue in venues),
    ]
    return [sentence for is_so, sentence in found if is_so]


def _drill(status: RiskStatus) -> list[tuple[bool, str]]:
    drill, age_ms = status.drill, status.drill_age_ms
    is_old = age_ms is not None and age_ms > DRILL_AGE_MS_MAX
    return [
        (drill is None, "no drill has been run: `cqx drill flash-crash`"),
        (drill is not None and not drill.passed, "the last drill FAILED"),
        (is_old, "the last drill is more than 30 days old"),
    ]


def _failed(test: SelfTest) -> str:
    return f"self-test {test.name} FAILED: {test.text}"


def _no_switch(venue: VenueStatus) -> str:
    return (
        f"{venue.venue}: the dead-man's switch is absent ({venue.dead_man}); there "
        f"the daemon cancels what may increase once nobody holds the permit"
    )


def _is_stuck(status: RiskStatus) -> bool:
    age = status.loop_age_ms
    return age is not None and age > LOOP_AGE_MS_MAX


def _not_flat(status: RiskStatus) -> str:
    text = status.not_flat
    return text if text.startswith("NOT FLAT") else f"NOT FLAT: {text}"

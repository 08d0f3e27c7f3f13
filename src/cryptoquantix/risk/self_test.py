"""
What a daemon finds out about itself at its start: clock, keys, disk; it mends nothing.

A drill shows that a halt works; this shows that nothing it needs is missing now.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Mapping
from typing import Final

from cryptoquantix.control.status import SelfTest
from cryptoquantix.core.clock import NS_PER_MS, Clock
from cryptoquantix.risk.durable import DurableStore
from cryptoquantix.risk.port import RiskVenue

DISK_MS_MAX: Final = 100
DISK_SECONDS: Final = 2.0
CLOCK_MS_MAX: Final = 1_000


async def run(
    venues: Mapping[str, RiskVenue],
    durable: DurableStore,
    *,
    clock: Clock,
    unchecked: Mapping[str, str],
) -> tuple[SelfTest, ...]:
    """Return every check; ``unchecked`` are the daemon's concerns, by name."""
    return (
        *(_key(name, unchecked.get(f"keys {name}", "")) for name in venues),
        *(_clock(name, venue) for name, venue in venues.items()),
        _time_sync(venues),
        await _disk(durable, clock),
    )


def _key(venue: str, problem: str) -> SelfTest:
    good = f"{venue}: the key reads and trades, and cannot withdraw"
    return SelfTest(f"key {venue}", passed=not problem, text=problem or good)


def _clock(name: str, venue: RiskVenue) -> SelfTest:
    ahead_ms = _ahead_ms(venue)
    if ahead_ms is None:
        text = f"{name}: its clock was not read"
        return SelfTest(f"clock {name}", passed=True, text=text)
    text = f"{name}: its clock is {ahead_ms} ms ahead of ours"
    return SelfTest(f"clock {name}", passed=abs(ahead_ms) <= CLOCK_MS_MAX, text=text)


def _time_sync(venues: Mapping[str, RiskVenue]) -> SelfTest:
    """Judge our clock by the venues': where all are off alike, it is ours."""
    found = [ms for ms in map(_ahead_ms, venues.values()) if ms is not None]
    off = [ms for ms in found if abs(ms) > CLOCK_MS_MAX]
    is_ours = bool(found) and len(off) == len(found)
    text = f"our clock agrees with {len(found) - len(off)} of {len(found)} venues"
    if is_ours:
        text = f"our clock is off by {-found[0]} ms: is it synchronized?"
    return SelfTest("time sync", passed=not is_ours, text=text)


def _ahead_ms(venue: RiskVenue) -> int | None:
    found = getattr(venue, "clock_ahead_ms", None)
    return found if isinstance(found, int) else None


async def _disk(durable: DurableStore, clock: Clock) -> SelfTest:
    """Time one durable write."""
    started_ns, now_ns = clock.monotonic_ns(), clock.time_ns()
    if durable.store.is_volatile:
        return SelfTest("disk", passed=False, text=f"no disk: {durable.problem}")
    try:
        await asyncio.wait_for(
            durable.write(lambda: durable.store.record(now_ns, "self_test", {})),
            DISK_SECONDS,
        )
    except (sqlite3.Error, OSError, TimeoutError) as error:
        return SelfTest("disk", passed=False, text=f"a write failed: {error!r}")
    took_ms = (clock.monotonic_ns() - started_ns) // NS_PER_MS
    text = f"a durable write took {took_ms} ms"
    return SelfTest("disk", passed=took_ms <= DISK_MS_MAX, text=text)

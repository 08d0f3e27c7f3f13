"""
Some drills in their quick form, with real processes; `make drills` runs every one.

Every drill can fail: against a daemon that never trips, and with its fault left out.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from cryptoquantix.apps import drill
from cryptoquantix.apps.drill import DrillOptions
from cryptoquantix.drills import every
from cryptoquantix.drills.steps import Fault, LoseStore

pytestmark = pytest.mark.slow
BINANCE = ("binance",)


def carried_out(name, **options):
    chosen = DrillOptions(is_quick=True, **options)
    result = drill.run(name, 1, lambda number, one: None, chosen)
    return result["drills"][0]


def test_a_disk_without_room_delays_no_close_and_loses_no_halt():
    summary = carried_out("disk-full", venues=BINANCE)
    assert summary["passed"], summary["notes"]


def test_a_daemon_that_never_trips_fails_the_drill(monkeypatch):
    """The limit is 100 %: nothing is detected, and the drill says so."""
    impatient = replace(every.FLASH_CRASH, steps=(every.Price("0.94"), every.Wait(3)))
    monkeypatch.setitem(every.EVERY, "flash-crash", impatient)
    broken = {"drawdown_fraction_max": "1.0"}
    summary = carried_out("flash-crash", venues=BINANCE, risk=broken)
    assert not summary["passed"]
    assert "the daemon is ARMED, not HALTED" in summary["notes"]
    assert summary["flat_ms"] is None


def test_a_drill_whose_fault_is_left_out_fails(monkeypatch):
    steps = [s for s in every.BAND_REFUSAL.steps if not isinstance(s, Fault)]
    harmless = replace(every.BAND_REFUSAL, steps=tuple(steps))
    monkeypatch.setitem(every.EVERY, "band-refusal", harmless)
    summary = carried_out("band-refusal", venues=BINANCE)
    assert not summary["passed"]
    assert "the fault missed" in summary["notes"]


def test_a_store_that_is_not_lost_fails_the_empty_volume(monkeypatch):
    kept = [s for s in every.EMPTY_VOLUME.quick if not isinstance(s, LoseStore)]
    monkeypatch.setitem(
        every.EVERY, "empty-volume", replace(every.EMPTY_VOLUME, quick=tuple(kept))
    )
    summary = carried_out("empty-volume", venues=BINANCE)
    assert not summary["passed"]
    assert "not LOCKED" in summary["notes"]

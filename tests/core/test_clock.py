"""The manual clock moves only when told; the system clock only forward."""

import time

import pytest

from cryptoquantix.core.clock import ManualClock, SystemClock


def test_a_manual_clock_moves_both_readings_together():
    clock = ManualClock(time_ns=100, monotonic_ns=5)
    clock.advance(7)
    assert (clock.time_ns(), clock.monotonic_ns()) == (107, 12)


def test_a_wall_step_leaves_the_monotonic_reading_alone():
    clock = ManualClock(time_ns=100, monotonic_ns=5)
    clock.step_wall(-60)
    assert (clock.time_ns(), clock.monotonic_ns()) == (40, 5)


def test_a_manual_clock_cannot_go_back():
    with pytest.raises(AssertionError, match="cannot go back"):
        ManualClock().advance(-1)


def test_the_system_clock_is_monotonic():
    clock = SystemClock()
    assert clock.monotonic_ns() <= clock.monotonic_ns()
    assert clock.time_ns() > 1_700_000_000_000_000_000


def test_a_suspended_machine_ages_what_was_known_before(monkeypatch):
    monkeypatch.setattr(time, "clock_gettime_ns", lambda which: which)
    assert SystemClock().monotonic_ns() == time.CLOCK_BOOTTIME

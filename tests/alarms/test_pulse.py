"""A loop that hangs ends its process."""

from __future__ import annotations

import threading

import pytest

from cryptoquantix.alarms import service
from cryptoquantix.core.clock import NS_PER_SECOND, ManualClock


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(service, "_PULSE_SECONDS", 0.01)


def test_a_loop_that_does_not_come_round_ends_the_process(quick) -> None:
    clock, ended = ManualClock(), threading.Event()
    pulse = service.Pulse(clock, ended.set)
    beats = [pulse.beat_of("one"), pulse.beat_of("two")]
    pulse.start()
    clock.advance(100 * NS_PER_SECOND)
    for beat in beats:
        beat()
    assert not ended.wait(0.1)
    clock.advance(100 * NS_PER_SECOND)
    beats[0]()
    clock.advance(30 * NS_PER_SECOND)
    assert pulse.hanging() == "two"
    assert ended.wait(5)


def test_after_a_sleep_of_the_machine_the_loops_get_a_turn_first(monkeypatch) -> None:
    monkeypatch.setattr(service, "_PULSE_SECONDS", 0.2)
    clock, ended = ManualClock(), threading.Event()
    pulse = service.Pulse(clock, ended.set)
    beat = pulse.beat_of("one")
    pulse.start()
    clock.advance(8 * 3600 * NS_PER_SECOND)
    assert not ended.wait(0.3)
    beat()
    assert not ended.wait(0.5)
    pulse.stop()

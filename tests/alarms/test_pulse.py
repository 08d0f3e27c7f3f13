"""A loop that hangs ends its process."""

from __future__ import annotations

import queue
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


class Turns(threading.Event):
    """A stop that is waited for as often as a test says, and for no time at all."""

    def __init__(self) -> None:
        super().__init__()
        self._waiting: queue.Queue[None] = queue.Queue()
        self._turns: queue.Queue[bool] = queue.Queue()

    def wait(self, timeout: float | None = None) -> bool:
        self._waiting.put(None)
        return self._turns.get()

    def begun(self) -> None:
        """Return when the thread waits; an ended one never does."""
        self._waiting.get(timeout=5)

    def next(self) -> None:
        """Let the thread look once, and return when it has."""
        self._turns.put(False)
        self.begun()

    def last(self) -> None:
        """Let the thread end."""
        self._turns.put(True)


def test_after_a_sleep_of_the_machine_the_loops_get_a_turn_first() -> None:
    clock, ended = ManualClock(), threading.Event()
    pulse = service.Pulse(clock, ended.set)
    pulse._stop = turns = Turns()
    beat = pulse.beat_of("one")
    pulse.start()
    turns.begun()
    clock.advance(8 * 3600 * NS_PER_SECOND)
    turns.next()
    assert not ended.is_set()
    beat()
    turns.next()
    turns.next()
    assert not ended.is_set()
    turns.last()

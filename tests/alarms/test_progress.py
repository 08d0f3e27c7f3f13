"""In whatever order things happen, each channel gets each alarm, and none is lost."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cryptoquantix.alarms.progress import (
    ENTRIES_MAX,
    UNSEEN_MAX,
    Ledger,
    Progress,
    key_of,
)
from cryptoquantix.control.status import Alarm
from cryptoquantix.core.errors import StateCorrupt

CHANNELS = ("telegram", "mail", "pager")


class World:
    """A daemon's queue, channels that count, and a ledger that restarts."""

    def __init__(self, required) -> None:
        self.required = required
        self.queue: dict[int, Alarm] = {}
        self.raised: list[Alarm] = []
        self.got: dict[str, Counter] = {name: Counter() for name in CHANNELS}
        self.ledger = self.open(Progress())
        self.disk = self.ledger.progress.to_json()

    def open(self, progress) -> Ledger:
        return Ledger(progress, channels=CHANNELS, required=self.required)

    def alarm(self) -> None:
        number = len(self.raised) + 1
        alarm = Alarm(number, number, "critical" if number % 2 else "info", "x")
        self.raised.append(alarm)
        self.queue[number] = alarm

    def poll(self) -> None:
        listed = list(self.queue.values())[:100]
        for alarm in listed:
            entry = self.ledger.knows(key_of(alarm))
            if entry is None:
                self.ledger.take(alarm, alarm.text, 0)
            elif self.ledger.is_satisfied(entry):
                assert any(self.got[name][entry.key] for name in CHANNELS)
                assert all(self.got[name][entry.key] for name in self.required)
                del self.queue[alarm.id]
                self.ledger.told_daemon(entry)
        self.save()

    def deliver(self, name: str) -> None:
        waiting = self.ledger.waiting(name)[:1]
        self.got[name].update(entry.key for entry in waiting)
        self.ledger.delivered(name, waiting)
        self.save()

    def save(self) -> None:
        self.disk = self.ledger.progress.to_json()

    def restart(self) -> None:
        self.ledger = self.open(Progress.from_json(self.disk))

    def settle(self) -> None:
        for _ in range(3 * len(self.raised) + 3):
            self.poll()
            for name in CHANNELS:
                self.deliver(name)


ACTS = st.lists(
    st.sampled_from(["alarm", "poll", "restart", *CHANNELS]), min_size=1, max_size=80
)


@settings(max_examples=150, deadline=None)
@given(acts=ACTS, required=st.sets(st.sampled_from(CHANNELS)))
def test_every_channel_gets_every_alarm_once_across_restarts(acts, required) -> None:
    world = World(required)
    for act in acts:
        if act in CHANNELS:
            world.deliver(act)
        else:
            getattr(world, act)()
    world.settle()
    assert world.queue == {}
    keys = Counter(key_of(alarm) for alarm in world.raised)
    for name in CHANNELS:
        assert world.got[name] == keys
    assert world.ledger.progress.entries == []


def test_what_waits_is_bounded_and_what_is_let_go_is_counted() -> None:
    ledger = Ledger(Progress(), channels=["telegram"])
    for number in range(ENTRIES_MAX + 50):
        ledger.raise_own(f"message {number}", "critical", number)
    assert len(ledger.progress.entries) == ENTRIES_MAX
    assert ledger.progress.entries[0].text == "message 50"
    assert ledger.progress.channels["telegram"].let_go == 50
    assert len(ledger.progress.unseen) == UNSEEN_MAX


def test_an_alarm_of_the_daemon_is_never_pushed_out() -> None:
    ledger = Ledger(Progress(), channels=["telegram"])
    for number in range(ENTRIES_MAX):
        assert ledger.take(Alarm(number, 0, "info", "x"), "x", 0)
    assert not ledger.take(Alarm(ENTRIES_MAX, 0, "info", "x"), "x", 0)
    assert len(ledger.waiting("telegram")) == ENTRIES_MAX


def test_a_channel_that_is_no_more_does_not_hold_an_alarm_back() -> None:
    progress = Progress()
    first = Ledger(progress, channels=["telegram", "old"])
    first.take(Alarm(1, 0, "info", "x"), "x", 0)
    first.delivered("telegram", first.waiting("telegram"))
    first.told_daemon(first.knows("1@0"))
    assert progress.entries
    Ledger(progress, channels=["telegram"])
    assert progress.entries == []


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", '{"version": 2}', '{"version": 1, "entries": [{}]}', "null"],
)
def test_what_is_no_progress_is_refused(text) -> None:
    with pytest.raises(StateCorrupt):
        Progress.from_json(text)


def test_progress_reads_what_it_wrote() -> None:
    progress = Progress()
    ledger = Ledger(progress, channels=["telegram"])
    ledger.take(Alarm(7, 9, "critical", "x"), "text", 11)
    ledger.raise_own("own", "warning", 12)
    text = progress.to_json()
    assert Progress.from_json(text) == progress
    assert json.loads(text)["version"] == 1

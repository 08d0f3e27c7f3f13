"""What services say is wrong with them: told once, and once that it is over."""

from __future__ import annotations

import pytest

from cryptoquantix.alarms.progress import Ledger, Progress
from cryptoquantix.alarms.services import (
    ABSENT_SECONDS,
    CALM_SECONDS,
    SILENT_SECONDS,
    ServiceWatch,
)
from cryptoquantix.core.clock import NS_PER_SECOND

FULL = "ticks are not recorded: No space left on device"


class SteppedClock:
    seconds = 1_000.0

    def monotonic_ns(self) -> int:
        return int(self.seconds * NS_PER_SECOND)

    def time_ns(self) -> int:
        return 1_700_000_000 * NS_PER_SECOND + self.monotonic_ns()


class Watched:
    def __init__(self, progress: Progress | None = None) -> None:
        self.clock = SteppedClock()
        self.progress = progress or Progress()
        self.raised = 0
        ledger = Ledger(self.progress, channels=["telegram"])
        self.watch = ServiceWatch(ledger, clock=self.clock, on_raised=self.count)

    def count(self) -> None:
        self.raised += 1

    def seconds(self, count: float, problem: str | None, patience: float = 0) -> None:
        """Let seconds pass, each with a report, or with none where it is None."""
        for _ in range(int(count)):
            self.clock.seconds += 1
            if problem is not None:
                self.watch.heard("recorder", problem, patience)
            self.watch.tick()

    @property
    def told(self) -> list[tuple[str, str]]:
        return [(entry.severity, entry.text) for entry in self.progress.entries]


@pytest.fixture
def watched():
    return Watched()


def test_a_problem_is_told_once_however_long_it_lasts(watched):
    watched.seconds(5, "")
    watched.seconds(300, FULL)
    [(severity, text)] = watched.told
    assert severity == "warning"
    assert "recorder" in text
    assert FULL in text
    assert watched.raised == 1


def test_what_is_over_for_a_while_is_told_and_may_come_again(watched):
    watched.seconds(5, FULL)
    watched.seconds(CALM_SECONDS + 2, "")
    watched.seconds(5, FULL)
    assert [severity for severity, _ in watched.told] == ["warning", "info", "warning"]
    assert "well again" in watched.told[1][1]


def test_a_disk_with_room_for_a_moment_is_one_problem(watched):
    for _ in range(20):
        watched.seconds(3, FULL)
        watched.seconds(CALM_SECONDS - 2, "")
    assert len(watched.told) == 1


def test_another_sentence_is_the_same_problem(watched):
    watched.seconds(3, FULL)
    watched.seconds(3, "cannot write to the catalog: No space left on device")
    assert len(watched.told) == 1


def test_what_mends_itself_in_time_is_no_alarm(watched):
    watched.seconds(50, "its market data are cut off", patience=60)
    watched.seconds(20, "", patience=60)
    assert watched.told == []
    watched.seconds(62, "its market data are cut off", patience=60)
    assert len(watched.told) == 1


def test_a_service_that_says_nothing_any_more_is_an_alarm(watched):
    watched.seconds(5, "")
    watched.seconds(SILENT_SECONDS + 2, None)
    [(_, text)] = watched.told
    assert "said nothing" in text
    watched.seconds(CALM_SECONDS + 2, "")
    assert len(watched.told) == 2


def test_one_that_was_never_heard_is_none(watched):
    watched.seconds(3 * SILENT_SECONDS, None)
    assert watched.told == []


def test_what_was_told_is_not_told_again_after_a_restart(watched):
    watched.seconds(5, FULL)
    again = Watched(Progress.from_json(watched.progress.to_json()))
    again.seconds(5, FULL)
    assert len(again.told) == 1
    again.seconds(CALM_SECONDS + 2, "")
    assert "well again" in again.told[1][1]


def test_one_that_is_expected_and_never_heard_is_an_alarm(watched):
    watched.watch.expect("recorder")
    watched.seconds(ABSENT_SECONDS - 1, None)
    assert watched.told == [], "it may still start"
    watched.seconds(300, None)
    [(severity, text)] = watched.told
    assert severity == "warning"
    assert "nothing was heard of it" in text
    watched.seconds(CALM_SECONDS + 2, "")
    assert "well again" in watched.told[1][1]
    watched.watch.expect("recorder")
    watched.seconds(5, "")
    assert len(watched.told) == 2


def test_expecting_one_whose_silence_was_told_is_no_all_clear(watched):
    watched.watch.expect("recorder")
    watched.seconds(ABSENT_SECONDS + 2, None)
    again = Watched(Progress.from_json(watched.progress.to_json()))
    again.watch.expect("recorder")
    again.seconds(ABSENT_SECONDS + 300, None)
    assert len(again.told) == 1


def test_a_part_falls_silent_with_its_service_and_has_problems_of_its_own(watched):
    for _ in range(30):
        watched.watch.heard("desk", FULL, 60, is_part=True)
        watched.seconds(1, "")
    watched.seconds(300, None)
    [(_, text)] = watched.told
    assert "the recorder has a problem" in text
    for _ in range(62):
        watched.watch.heard("desk", FULL, 60, is_part=True)
        watched.seconds(1, "")
    assert "the recorder is well again" in watched.told[1][1]
    assert "the desk has a problem" in watched.told[2][1]

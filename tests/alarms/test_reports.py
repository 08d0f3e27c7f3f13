"""What execution reports: told once, and a flood as one alarm an hour."""

from __future__ import annotations

import pytest

from cryptoquantix.alarms.progress import Ledger, Progress
from cryptoquantix.alarms.reports import (
    QUIET_SECONDS,
    SAME_SECONDS,
    Reported,
    ReportWatch,
)
from cryptoquantix.core.clock import NS_PER_SECOND

BTC, ETH = "binance:BTCUSDT-PERP", "binance:ETHUSDT-PERP"


class SteppedClock:
    seconds = 1_700_000_000.0

    def time_ns(self) -> int:
        return int(self.seconds * NS_PER_SECOND)

    monotonic_ns = time_ns


class Watched:
    """What the newest reports on the bus make of themselves."""

    def __init__(self) -> None:
        self.clock = SteppedClock()
        self.progress = Progress()
        self.shown: list[Reported] = []
        self.count = 0
        self.start()

    def start(self) -> None:
        """Begin as a new process does, from what the last one kept."""
        self.progress = Progress.from_json(self.progress.to_json())
        ledger = Ledger(self.progress, channels=["telegram"])
        self.watch = ReportWatch(ledger, clock=self.clock, on_raised=lambda: None)

    def report(self, kind: str, text: str, subject: str = BTC) -> None:
        self.count += 1
        key, now_ns = str(self.count), self.clock.time_ns()
        self.shown.append(Reported(key, now_ns, kind, subject, text))

    def seconds(self, count: float) -> None:
        self.clock.seconds += count
        for _ in range(3):
            self.watch.heard(self.shown[-16:])
            self.watch.tick()

    @property
    def told(self) -> list[str]:
        assert {entry.severity for entry in self.progress.entries} <= {"warning"}
        return [entry.text for entry in self.progress.entries]


@pytest.fixture
def watched():
    return Watched()


def test_a_report_is_told_once_also_across_a_restart_of_alarms(watched):
    watched.report("foreign order", "sell 5 lots")
    watched.seconds(1)
    [text] = watched.told
    assert f"execution reports: foreign order, {BTC}: sell 5 lots" in text
    watched.start()
    watched.seconds(QUIET_SECONDS + 1)
    assert len(watched.told) == 1


def test_a_flood_is_an_alarm_an_hour_and_none_of_it_is_lost(watched):
    for number in range(50):
        watched.report("foreign fills", f"{number} fills")
        watched.seconds(10)
    assert len(watched.told) == 1, "the first at once"
    watched.report("foreign fills", "elsewhere", ETH)
    watched.seconds(1)
    assert len(watched.told) == 2, "another instrument is another thing"
    watched.seconds(QUIET_SECONDS)
    assert "49 fills (and 48 more like it)" in watched.told[2]
    watched.seconds(QUIET_SECONDS + 1)
    assert len(watched.told) == 3


def test_what_waits_its_hour_is_told_by_the_next_process(watched):
    watched.report("position differs", "5 lots")
    watched.seconds(1)
    watched.report("position differs", "9 lots")
    watched.seconds(1)
    watched.start()
    watched.seconds(QUIET_SECONDS + 1)
    assert ["5 lots" in watched.told[0], "9 lots" in watched.told[1]] == [True, True]


def test_the_same_after_each_restart_of_execution_is_told_once_a_day(watched):
    for _ in range(20):
        watched.report("foreign position", "5 lots")
        watched.seconds(QUIET_SECONDS)
    assert len(watched.told) == 1
    watched.seconds(SAME_SECONDS)
    assert len(watched.told) == 1, "of what was reported then"
    watched.report("foreign position", "5 lots")
    watched.seconds(1)
    assert len(watched.told) == 2


def test_the_same_fills_twice_are_two_events(watched):
    watched.report("foreign fills", "1 fills of 5 lots")
    watched.seconds(1)
    watched.report("foreign fills", "1 fills of 5 lots")
    watched.seconds(QUIET_SECONDS + 1)
    assert len(watched.told) == 2


def test_what_is_a_day_old_wakes_nobody(watched):
    watched.report("foreign order", "sell 5 lots")
    watched.seconds(SAME_SECONDS + 1)
    assert watched.told == []

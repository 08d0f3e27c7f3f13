"""The page of ``cqx status`` shows what is there, and what is absent in red."""

from __future__ import annotations

from dataclasses import dataclass

from cryptoquantix.alarms.progress import Health, Progress, Unseen
from cryptoquantix.apps.alarms_view import alarms_view
from cryptoquantix.apps.status_view import Verdict, view
from cryptoquantix.control.status import (
    DrillResult,
    RemainingPosition,
    RiskStatus,
    SelfTest,
    VenueStatus,
)
from cryptoquantix.core.clock import NS_PER_SECOND
from statuses import WELL, status

RED, YELLOW = "\x1b[1;31m", "\x1b[33m"
HOUR_MS = 3_600_000


def page(found, **changes) -> str:
    verdict = Verdict(alarms=changes.pop("alarms", ()))
    return view(found, None, verdict=verdict, now_ns=0, **changes)


def line_with(text: str, word: str) -> str:
    return next(line for line in text.splitlines() if word in line)


def test_each_venue_has_its_switch_and_an_absent_one_is_red() -> None:
    venues = (
        VenueStatus("binance", "", 400, "99000", True, "armed, 8 s left"),
        VenueStatus("bybit", "", 500, "1000", False, "not offered to this key"),
        VenueStatus("deribit", "timed out", 9000, None),
    )
    text = page(status(venues=venues), is_color=True)
    assert RED not in line_with(text, "8 s left")
    assert f"{RED}ABSENT: not offered" in line_with(text, "bybit")
    assert f"{YELLOW}not asked yet" in line_with(text, "deribit")
    assert f"{RED}timed out" in line_with(text, "deribit")
    assert "\x1b" not in page(status(venues=venues))
    twice = page(status(venues=(VenueStatus("x", "", 1, "1", False, "ABSENT: why"),)))
    assert twice.count("ABSENT") == 1


def test_the_last_drill_has_its_age_and_outcome() -> None:
    assert "never" in line_with(page(status()), "last drill")
    drill = DrillResult("flash-crash", passed=True, time_ns=1, flat_ms=412.4)
    text = page(status(drill=drill, drill_age_ms=30 * HOUR_MS))
    assert "flash-crash passed, flat after 412 ms, 30 h ago" in text
    drill = DrillResult("adl", passed=False, time_ns=1)
    text = page(status(drill=drill, drill_age_ms=200 * HOUR_MS), is_color=True)
    assert f"{RED}adl FAILED, 8 days ago" in text


def test_a_failed_self_test_is_red_and_named() -> None:
    tests = (SelfTest("clock", True, "0.1 s off"), SelfTest("disk", False, "read-only"))
    text = page(status(self_tests=tests), is_color=True)
    assert f"{RED}FAILED: disk: read-only" in text
    assert "1 passed" in page(status(self_tests=tests[:1]))


def test_what_is_unexplained_is_shown() -> None:
    assert "-1,200.00 (left out)" in page(status(unexplained="-1200.0"))
    assert line_with(page(status()), "unexplained").split() == ["unexplained", "0"]


def test_a_field_of_a_newer_daemon_is_shown_in_its_own_words() -> None:
    @dataclass(frozen=True)
    class Newer(RiskStatus):
        in_transit: tuple = ()

    values = {name: getattr(WELL, name) for name in WELL.__slots__}
    moving = {"venue": "bybit", "size": "5 USDT"}
    text = page(Newer(**values, in_transit=(moving,)))
    assert "venue bybit, size 5 USDT" in line_with(text, "in transit")
    assert "in transit" not in page(Newer(**values))


def test_positions_are_the_daemons_where_execution_tells_none() -> None:
    held = (RemainingPosition("bybit", "ETHUSDT", "", "-2.500", "3000.10"),)
    text = page(status(held_positions=held))
    assert "as the daemon read them" in text
    assert line_with(text, "ETHUSDT").split() == ["bybit", "ETHUSDT", "-2.5", "3,000.1"]
    assert "Positions" not in page(status())


def test_the_alarms_process_is_shown_where_it_has_run() -> None:
    now_ns = 10**18
    assert alarms_view(None, now_ns).rows == ()
    progress = Progress(
        channels={"telegram": Health(), "pager": Health("HTTP 500", now_ns)},
        unseen=[Unseen("a", "CRITICAL now\ntripped", now_ns, now_ns)],
        time_ns=now_ns - 120 * NS_PER_SECOND,
    )
    found = alarms_view(progress, now_ns)
    assert ("alarm channels", "telegram ok, pager FAILS") in found.rows
    assert any("HTTP 500" in one for one in found.remarks)
    assert any("120 s: nobody is told" in one for one in found.remarks)
    assert any("CRITICAL now tripped" in one for one in found.remarks)
    assert found.value["channels"]["pager"] == {"ok": False, "problem": "HTTP 500"}
    text = page(status(), alarms=found.rows, is_color=True)
    assert f"{RED}telegram ok, pager FAILS" in text

"""Silence, old readings, a queue nobody takes: alarms, and people are called."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from alarms.rig import until
from cryptoquantix.alarms.apprise_channel import AppriseChannel
from cryptoquantix.alarms.duties import day_due, escalations_due, write_note
from cryptoquantix.alarms.progress import Unseen
from cryptoquantix.core.clock import NS_PER_SECOND, ManualClock, SystemClock

HOUR_NS = 3600 * NS_PER_SECOND
DAY_NS = 24 * HOUR_NS


@pytest.mark.parametrize("is_watch_only", [False, True])
@pytest.mark.parametrize("how", ["is_down", "is_stuck"])
async def test_a_silent_daemon_is_an_alarm_once_and_then_all_clear(
    rig, daemon, telegram, how, is_watch_only
) -> None:
    rig.silent_seconds, rig.is_watch_only = 0.2, is_watch_only
    rig.telegram(telegram.url)
    async with rig.running():
        setattr(daemon, how, True)
        await until(lambda: telegram.delivered)
        await asyncio.sleep(0.4)
        assert len(telegram.delivered) == 1
        assert "silent" in telegram.delivered[0]
        setattr(daemon, how, False)
        await until(lambda: len(telegram.delivered) == 2)
        assert "answers again" in telegram.delivered[1]


async def test_a_daemon_that_hangs_is_silent_before_its_answer_is_given_up(
    rig, daemon, telegram
) -> None:
    rig.silent_seconds = 0.3
    rig.telegram(telegram.url)
    async with rig.running():
        await asyncio.sleep(0.1)
        daemon.is_hanging = True
        await until(lambda: telegram.delivered, 1.5)
        daemon.is_hanging = False
        await until(lambda: len(telegram.delivered) == 2)
    assert "it does not answer" in telegram.delivered[0]


async def test_a_silence_that_was_told_is_not_told_again_after_a_restart(
    rig, daemon, telegram
) -> None:
    rig.silent_seconds = 0.1
    rig.telegram(telegram.url)
    daemon.is_down = True
    async with rig.running() as service:
        progress = service._ledger.progress
        await until(lambda: telegram.delivered and not progress.entries)
    async with rig.running():
        await asyncio.sleep(0.4)
        assert len(telegram.delivered) == 1
        daemon.is_down = False
        await until(lambda: len(telegram.delivered) == 2)
    assert "answers again" in telegram.delivered[1]


@pytest.mark.parametrize("age_ms", [60_000, None])
async def test_a_reading_that_is_too_old_is_an_alarm_and_its_return_is_told(
    rig, daemon, telegram, age_ms
) -> None:
    rig.reading_seconds = 0.5
    well = daemon.status
    daemon.status = replace(well, last_complete_reading_age_ms=age_ms)
    rig.telegram(telegram.url)
    async with rig.running():
        await until(lambda: telegram.delivered)
        await asyncio.sleep(0.3)
        assert len(telegram.delivered) == 1
        assert "no complete reading" in telegram.delivered[0]
        daemon.status = well
        await until(lambda: len(telegram.delivered) == 2)
    assert "complete readings are back" in telegram.delivered[1]


async def test_a_status_that_is_refused_is_said_with_the_reason(
    rig, daemon, telegram
) -> None:
    rig.reading_seconds, rig.is_watch_only = 0.3, True
    daemon.is_refusing = True
    rig.telegram(telegram.url)
    async with rig.running():
        await until(lambda: telegram.delivered)
    assert "refuses this credential" in telegram.delivered[0]


async def test_a_dead_channel_does_not_keep_silence_from_being_noticed(
    rig, daemon, caplog
) -> None:
    rig.silent_seconds = 0.2
    daemon.raise_alarm("stuck in the outbox")
    rig.telegram("http://127.0.0.1:9")
    async with rig.running():
        await until(lambda: "not delivered" in caplog.text)
        daemon.is_down = True
        await until(lambda: "silent" in caplog.text)


async def test_the_watchdog_leaves_the_queue_alone_and_tells_if_nobody_takes_it(
    rig, daemon, telegram
) -> None:
    rig.is_watch_only, rig.queue_seconds = True, 0.3
    daemon.raise_alarm("one")
    rig.telegram(telegram.url)
    async with rig.running():
        await until(lambda: telegram.delivered)
        assert "1 alarms of the risk daemon are undelivered" in telegram.delivered[0]
        daemon.alarms.clear()
        await until(lambda: len(telegram.delivered) == 2)
    assert daemon.acks == []
    assert daemon.taking.taker == ""


async def test_a_queue_that_moves_is_no_alarm(rig, daemon, telegram) -> None:
    rig.is_watch_only, rig.queue_seconds = True, 0.3
    rig.clock = clock = ManualClock(SystemClock().time_ns())
    rig.telegram(telegram.url)
    async with rig.running():
        for number in range(1, 9):
            daemon.alarms.clear()
            daemon.raise_alarm("next", number)
            asked = daemon.asked
            clock.advance(NS_PER_SECOND // 10)
            await until(lambda: daemon.asked > asked)  # noqa: B023
    assert telegram.delivered == []


async def test_what_nobody_acknowledges_is_repeated_to_who_is_to_be_called(
    rig, daemon, telegram, receiver
) -> None:
    rig.escalate_seconds, rig.escalations_max = 0.2, 2
    rig.escalation = rig.critical_only = ("pager",)
    rig.telegram(telegram.url)
    rig.channels.append(AppriseChannel("pager", receiver.url))
    daemon.raise_alarm("tripped")
    daemon.raise_alarm("a note", severity="info")
    async with rig.running():
        await until(lambda: len(receiver.got) == 3)
        await asyncio.sleep(0.4)
    assert len(receiver.got) == 3
    assert all("tripped" in text for text in receiver.texts)
    assert "nobody has acknowledged" in receiver.texts[1]
    assert len(telegram.delivered) == 2
    assert not any("nobody has" in text for text in telegram.delivered)


async def test_a_note_of_the_command_line_ends_it_and_the_called_are_told(
    rig, daemon, receiver
) -> None:
    rig.escalate_seconds = 0.2
    rig.channels.append(AppriseChannel("pager", receiver.url))
    daemon.raise_alarm("tripped")
    async with rig.running() as service:
        await until(lambda: len(receiver.got) >= 2)
        note = write_note(rig.folder / "acknowledged", "ada", SystemClock().time_ns())
        await until(lambda: any("ada has acknowledged" in t for t in receiver.texts))
        assert service._ledger.progress.unseen == []
        assert not note.exists()
        count = len(receiver.got)
        await asyncio.sleep(0.4)
        assert len(receiver.got) == count


async def test_a_silence_that_is_over_calls_nobody(rig, daemon, receiver) -> None:
    rig.escalate_seconds, rig.silent_seconds = 0.5, 0.3
    rig.clock = clock = ManualClock(SystemClock().time_ns())
    rig.channels.append(AppriseChannel("pager", receiver.url))
    async with rig.running():
        daemon.is_down = True
        clock.advance(4 * NS_PER_SECOND // 10)
        await until(lambda: receiver.got)
        daemon.is_down = False
        await until(lambda: len(receiver.got) == 2)
        for _ in range(7):
            asked = daemon.asked_health
            clock.advance(NS_PER_SECOND // 10)
            await until(lambda: daemon.asked_health > asked + 1)  # noqa: B023
        await asyncio.sleep(0.2)
    assert len(receiver.got) == 2


def test_escalations_go_on_after_a_restart_and_survive_a_clock_set_back() -> None:
    now = 100 * HOUR_NS
    unseen = [Unseen("a", "one", now, now), Unseen("b", "two", now, now + HOUR_NS)]
    assert escalations_due(unseen, now, seconds=600, times_max=6) == []
    found = escalations_due(unseen, now + 600 * NS_PER_SECOND, seconds=600, times_max=6)
    assert [one.key for one in found] == ["a", "b"]
    unseen[0].times = 6
    found = escalations_due(unseen, now + 601 * NS_PER_SECOND, seconds=600, times_max=6)
    assert [one.key for one in found] == ["b"]


def test_the_daily_report_comes_once_a_day_and_late_rather_than_not() -> None:
    midnight = 19_675 * DAY_NS  # 2023-11-14 00:00 UTC
    assert day_due(midnight + 6 * HOUR_NS, "07:00", "") == ("2023-11-13", True)
    assert day_due(midnight + 6 * HOUR_NS, "07:00", "2023-11-13") == ("", False)
    assert day_due(midnight + 7 * HOUR_NS, "07:00", "2023-11-13")[0] == "2023-11-14"
    assert day_due(midnight + 9 * HOUR_NS, "07:00", "2023-11-14") == ("", False)
    late = day_due(midnight + 3 * DAY_NS, "07:00", "2023-11-14")
    assert late == ("2023-11-16", False)
    assert day_due(midnight - DAY_NS, "07:00", "2023-11-14") == ("", False)
    assert day_due(midnight, "", "2023-11-01") == ("", False)


@pytest.mark.parametrize(
    ("is_watch_only", "is_down", "parts"),
    [
        (False, False, ("all clear", "99,000.00", "1.00 %", "no drill", "0.4 s ago")),
        (False, True, ("NOT CLEAR", "PROBLEM")),
        (True, False, ("watchdog", "ARMED")),
        (True, True, ("watchdog", "does not answer")),
    ],
)
async def test_the_daily_report_has_the_figures(
    rig, daemon, telegram, is_watch_only, is_down, parts
) -> None:
    rig.all_clear_at, rig.is_watch_only = "00:00", is_watch_only
    rig.telegram(telegram.url)
    daemon.is_down = is_down
    async with rig.running() as service:
        await until(lambda: service._ledger.progress.all_clear_day)
        await asyncio.sleep(0.1)
        assert telegram.delivered == []
        service._ledger.progress.all_clear_day = "2000-01-01"
        await until(lambda: telegram.delivered)
    for part in parts:
        assert part in telegram.delivered[0]


async def test_a_loop_that_fails_ends_the_process_with_an_error(
    rig, daemon, telegram, monkeypatch
) -> None:
    rig.telegram(telegram.url)

    def broken(*_):
        raise ZeroDivisionError

    async def run() -> None:
        async with rig.running() as service:
            monkeypatch.setattr(service._ledger, "take", broken)
            daemon.raise_alarm("one")
            await asyncio.sleep(0.5)

    with pytest.raises(BaseExceptionGroup) as caught:
        await run()
    assert caught.group_contains(ZeroDivisionError)

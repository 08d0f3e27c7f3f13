"""Alarms reach the channels at least once, whatever fails on the way."""

from __future__ import annotations

import asyncio
import errno
import json
import os

import pytest

from alarms.rig import OWNER, TOKEN, Rig, until
from cryptoquantix.alarms import apprise_channel, keeper
from cryptoquantix.alarms.apprise_channel import AppriseChannel
from cryptoquantix.alarms.channel import DeliveryError
from cryptoquantix.alarms.telegram import Telegram
from cryptoquantix.alarms.texts import TEXT_LENGTH_MAX, alarm_text
from cryptoquantix.control.status import Alarm
from cryptoquantix.core.clock import SystemClock
from cryptoquantix.core.errors import SettingsError
from cryptoquantix.drills.telegram_stand_in import TelegramStandIn

NOWHERE = "http://127.0.0.1:9"


def sends(telegram):
    return [call for call in telegram.calls if call.method == "sendMessage"]


async def test_an_alarm_is_delivered_then_acknowledged(rig, daemon, telegram) -> None:
    daemon.raise_alarm("drawdown 3.1 %")
    rig.telegram(telegram.url)
    async with rig.running():
        await until(lambda: daemon.acks == [1])
        await asyncio.sleep(0.1)
    assert telegram.delivered == [
        "CRITICAL 2023-11-14 22:13:20 UTC\ndrawdown 3.1 %",
    ]


async def test_every_channel_gets_it_and_one_is_enough_to_acknowledge(
    rig, daemon, telegram, receiver
) -> None:
    telegram.fail(1000, 502)
    rig.telegram(telegram.url)
    rig.channels.append(AppriseChannel("hook", receiver.url))
    daemon.raise_alarm("one")
    async with rig.running():
        await until(lambda: daemon.acks == [1])
        assert telegram.delivered == []
        telegram.fail(0)
        await until(lambda: telegram.delivered)
    assert receiver.texts == telegram.delivered


async def test_a_required_channel_must_have_it_before_the_daemon_is_told(
    rig, daemon, telegram, receiver
) -> None:
    telegram.fail(1000, 502)
    rig.telegram(telegram.url)
    rig.channels.append(AppriseChannel("hook", receiver.url))
    rig.required = ("telegram",)
    daemon.raise_alarm("one")
    async with rig.running():
        await until(lambda: receiver.got)
        await asyncio.sleep(0.2)
        assert daemon.acks == []
        telegram.fail(0)
        await until(lambda: daemon.acks == [1])
    assert len(receiver.got) == 1


async def test_a_restart_delivers_only_to_those_who_have_not_got_it(
    rig, daemon, telegram, receiver
) -> None:
    telegram.fail(1000, 500)
    rig.telegram(telegram.url)
    rig.channels.append(AppriseChannel("hook", receiver.url))
    daemon.raise_alarm("one")
    async with rig.running():
        await until(lambda: daemon.acks == [1])
    telegram.fail(0)
    async with rig.running():
        await until(lambda: telegram.delivered)
        await asyncio.sleep(0.2)
    assert len(telegram.delivered) == len(receiver.got) == 1
    assert daemon.acks == [1]


async def test_a_restart_before_the_acknowledgement_does_not_deliver_again(
    rig, daemon, telegram
) -> None:
    daemon.acks_to_fail = 10_000
    rig.telegram(telegram.url)
    daemon.raise_alarm("one")
    async with rig.running() as service:
        progress = service._ledger.progress
        await until(lambda: progress.entries and progress.entries[0].delivered)
    daemon.acks_to_fail = 0
    async with rig.running():
        await until(lambda: daemon.acks == [1])
    assert len(telegram.delivered) == 1


async def test_a_failing_channel_is_retried_in_order(rig, daemon, telegram) -> None:
    telegram.fail(5, 500, method="sendMessage")
    rig.telegram(telegram.url)
    daemon.raise_alarm("one")
    daemon.raise_alarm("two")
    async with rig.running():
        await until(lambda: daemon.acks == [1, 2])
    assert [text.split("\n")[1] for text in telegram.delivered] == ["one", "two"]
    assert len(sends(telegram)) == 7


async def test_telegram_says_how_long_to_wait_and_is_obeyed(
    rig, daemon, telegram
) -> None:
    telegram.fail(1, 429, method="sendMessage", retry_after=1)
    rig.telegram(telegram.url)
    daemon.raise_alarm("one")
    async with rig.running():
        await until(lambda: telegram.delivered)
    refused, taken = sends(telegram)
    assert refused.status == 429
    assert taken.time_ns - refused.time_ns >= 10**9


async def test_many_that_waited_together_go_as_one(rig, daemon, telegram) -> None:
    for number in range(1, 13):
        daemon.raise_alarm(f"alarm number {number}.")
    rig.telegram(telegram.url)
    async with rig.running():
        await until(lambda: len(daemon.acks) == 12)
    assert len(telegram.delivered) < 5
    text = "\n".join(telegram.delivered)
    assert [f"number {number}." in text for number in range(1, 13)] == [True] * 12


async def test_an_alarm_is_not_acknowledged_before_it_is_delivered(rig, daemon) -> None:
    daemon.raise_alarm("one")
    rig.telegram(NOWHERE)
    async with rig.running():
        await asyncio.sleep(0.3)
    assert daemon.acks == []
    assert list(daemon.alarms) == [1]


async def test_a_lost_acknowledgement_is_repeated_without_the_message(
    rig, daemon, telegram
) -> None:
    daemon.acks_to_fail = 3
    daemon.raise_alarm("one")
    rig.telegram(telegram.url)
    async with rig.running():
        await until(lambda: daemon.acks == [1])
        await asyncio.sleep(0.1)
    assert len(telegram.delivered) == 1


async def test_a_daemon_that_restarts_is_not_delivered_twice(
    rig, daemon, telegram
) -> None:
    daemon.acks_to_fail = 10_000
    daemon.raise_alarm("one")
    rig.telegram(telegram.url)
    async with rig.running():
        await until(lambda: telegram.delivered)
        daemon.is_down = True
        await asyncio.sleep(0.1)
        daemon.is_down, daemon.acks_to_fail = False, 0
        await until(lambda: daemon.acks == [1])
    assert len(telegram.delivered) == 1


async def test_the_same_number_in_a_new_store_is_another_alarm(
    rig, daemon, telegram
) -> None:
    daemon.raise_alarm("one", alarm_id=1)
    rig.telegram(telegram.url)
    async with rig.running():
        await until(lambda: daemon.acks == [1])
        daemon.raise_alarm("of a new store", alarm_id=1)
        await until(lambda: daemon.acks == [1, 1])
    assert len(telegram.delivered) == 2


async def test_two_processes_do_not_deliver_the_same_queue(
    rig, daemon, telegram, receiver, tmp_path
) -> None:
    rig.channels.append(AppriseChannel("hook", receiver.url))
    second = Rig(daemon, tmp_path / "second")
    second.channels.append(AppriseChannel("hook", receiver.url))
    async with rig.running(), second.running():
        for number in range(1, 11):
            daemon.raise_alarm(f"alarm {number}")
            await asyncio.sleep(0.02)
        await until(lambda: len(daemon.acks) == 10)
        await asyncio.sleep(0.1)
    text = "\n".join(receiver.texts)
    assert [text.count(f"alarm {number}\n") for number in range(1, 10)] <= [1] * 9
    assert text.count("alarm 10") == 1


async def test_one_folder_is_one_process(rig, daemon) -> None:
    async with rig.running():
        with pytest.raises(SettingsError, match=f"already runs.*{os.getpid()}"):
            async with rig.running():
                pass


async def test_a_full_disk_delays_nothing_and_is_told_once(
    rig, daemon, telegram, monkeypatch
) -> None:
    written = keeper._write

    def full(path, text):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(keeper, "_write", full)
    rig.telegram(telegram.url)
    daemon.raise_alarm("one")
    async with rig.running():
        await until(lambda: daemon.acks == [1])
        await until(lambda: len(telegram.delivered) == 2)
        await asyncio.sleep(0.2)
        assert "No space left on device" in telegram.delivered[1]
        assert len(telegram.delivered) == 2
        monkeypatch.setattr(keeper, "_write", written)
        file = rig.folder / "progress.json"
        await until(lambda: file.exists() and json.loads(file.read_text())["raised"])


async def test_progress_that_is_no_progress_is_put_aside_and_told(
    rig, daemon, telegram
) -> None:
    rig.folder.mkdir()
    (rig.folder / "progress.json").write_text('{"version": 1, "entries": [1]}')
    rig.telegram(telegram.url)
    daemon.raise_alarm("one")
    async with rig.running():
        await until(lambda: len(telegram.delivered) == 2)
    assert any("progress.corrupt" in text for text in telegram.delivered)
    assert (rig.folder / "progress.corrupt").exists()


async def test_a_channel_that_stays_down_is_told_on_the_others(
    rig, daemon, telegram, receiver
) -> None:
    rig.down_seconds = 0.1
    telegram.fail(1000, 502)
    rig.telegram(telegram.url)
    rig.channels.append(AppriseChannel("hook", receiver.url))
    daemon.raise_alarm("one")
    async with rig.running():
        await until(lambda: any("telegram has failed" in one for one in receiver.texts))
        telegram.fail(0)
        await until(lambda: any("telegram works" in one for one in receiver.texts))
    assert not any("telegram has failed" in one for one in telegram.delivered)


async def test_a_telegram_that_is_down_at_the_start_is_seen_and_keeps_nothing(
    rig, daemon, telegram
) -> None:
    telegram.fail(2, 502)
    rig.telegram(telegram.url)
    async with rig.running() as service:
        health = service._ledger.progress.channels
        await until(lambda: "502" in health["telegram"].problem)
        # Nothing was to be delivered: its own test finds that it is back.
        await until(lambda: not health["telegram"].problem)
        daemon.raise_alarm("one")
        await until(lambda: daemon.acks == [1])


async def test_without_a_channel_alarms_are_logged_and_stay_undelivered(
    rig, daemon, caplog
) -> None:
    daemon.raise_alarm("nobody hears")
    async with rig.running():
        await until(lambda: "nobody hears" in caplog.text)
        await asyncio.sleep(0.1)
    assert "no alarm channel is configured" in caplog.text
    assert caplog.text.count("nobody hears") == 1
    assert daemon.acks == []


async def test_without_a_channel_a_full_list_still_shows_the_newest(
    rig, daemon, caplog
) -> None:
    for number in range(1, 131):
        daemon.raise_alarm(f"alarm number {number}.", number)
    async with rig.running():
        await until(lambda: "alarm number 130." in caplog.text)
        await until(lambda: len(daemon.alarms) == 50)
    assert daemon.acks[0] == 1


async def test_what_was_only_logged_is_delivered_once_there_is_a_channel(
    rig, daemon, telegram, caplog
) -> None:
    daemon.raise_alarm("nobody heard")
    async with rig.running():
        await until(lambda: "nobody heard" in caplog.text)
    rig.telegram(telegram.url)
    async with rig.running():
        await until(lambda: daemon.acks == [1])
    assert "nobody heard" in telegram.delivered[0]


async def test_a_disk_that_was_full_at_the_start_keeps_nobody_from_being_told(
    rig, daemon, telegram
) -> None:
    rig.folder.parent.mkdir(exist_ok=True)
    rig.folder.write_text("a file where the folder should be")
    rig.telegram(telegram.url)
    daemon.raise_alarm("one")
    async with rig.running():
        await until(lambda: daemon.acks == [1])
        await until(lambda: len(telegram.delivered) == 2)
    assert any("progress cannot be kept" in text for text in telegram.delivered)


async def test_a_wrong_token_is_said_and_not_shown(rig, daemon, caplog) -> None:
    async with TelegramStandIn(SystemClock(), token="1:right") as telegram:
        rig.telegram(telegram.url)
        daemon.raise_alarm("one")
        async with rig.running():
            await until(lambda: "fails its self-test" in caplog.text)
            await until(lambda: "not delivered to telegram" in caplog.text)
    assert "Unauthorized" in caplog.text
    assert TOKEN not in caplog.text
    assert TOKEN.split(":")[1] not in caplog.text


async def test_a_telegram_that_hangs_is_given_up_in_time(telegram) -> None:
    telegram.fail(1, 502, hang_seconds=5)
    channel = Telegram(base_url=telegram.url, token=TOKEN, chat_id=str(OWNER))
    try:
        with pytest.raises(DeliveryError, match="did not answer"):
            await channel._ask(channel._bot.get_me(), 0.1)
    finally:
        await channel.close()


async def test_apprise_says_why_and_hides_its_url(receiver) -> None:
    receiver.failures = 1
    address = receiver.url.removeprefix("json://")
    secret = "hunter2secret"
    channel = AppriseChannel("hook", f"json://ada:{secret}@{address}/pathsecret")
    with pytest.raises(DeliveryError) as caught:
        await channel.deliver("WARNING now\nhello", "warning")
    assert "502" in str(caught.value)
    assert secret not in str(caught.value)
    await channel.deliver("WARNING now\nhello", "warning")
    assert receiver.got[0]["title"] == "WARNING now"
    assert receiver.got[0]["message"] == "hello"
    assert receiver.got[0]["type"] == "warning"


async def test_an_apprise_that_hangs_holds_neither_the_loop_nor_many_threads(
    receiver, monkeypatch
) -> None:
    monkeypatch.setattr(apprise_channel, "_ATTEMPT_SECONDS", 0.1)
    receiver.hang_seconds = 1.5
    channel = AppriseChannel("hook", receiver.url)
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.01)
            ticks += 1

    ticking = asyncio.create_task(tick())
    for _ in range(3):
        with pytest.raises(DeliveryError, match="no answer within"):
            await channel.deliver("a\nb", "info")
    with pytest.raises(DeliveryError, match="still hang"):
        await channel.deliver("a\nb", "info")
    assert ticks > 15
    ticking.cancel()
    await until(lambda: not any(one.is_alive() for one in channel._hanging))


def test_a_long_text_is_cut_to_what_telegram_takes() -> None:
    text = alarm_text(Alarm(1, 0, "info", "x" * 10_000))
    assert len(text) == TEXT_LENGTH_MAX
    assert text.endswith("[cut]")


@pytest.mark.parametrize(
    ("token", "chat_id", "names"),
    [("nonsense", "1", r"alarms\.telegram\.token"), (TOKEN, "", "chat_id")],
)
async def test_a_channel_that_cannot_work_is_one_sentence(
    token, chat_id, names
) -> None:
    with pytest.raises(SettingsError, match=names):
        Telegram(base_url="http://127.0.0.1:9", token=token, chat_id=chat_id)


def test_an_apprise_url_that_is_none_is_one_sentence_without_it() -> None:
    with pytest.raises(SettingsError, match=r"alarms\.apprise\.pager") as caught:
        AppriseChannel("pager", "nonsense://secret-token")
    assert "secret-token" not in str(caught.value)

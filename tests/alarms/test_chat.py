"""What people write to the bot is carried out once, or not at all."""

from __future__ import annotations

import asyncio
import json
import logging

import pytest

from alarms.rig import OWNER, TOKEN, until
from cryptoquantix.alarms.desk import Allowed
from cryptoquantix.alarms.keeper import read_progress
from cryptoquantix.control.permit import PermitMode
from cryptoquantix.control.status import RiskState, VenueStatus
from statuses import status

STRANGER = 99


def polls(telegram):
    return [call for call in telegram.calls if call.method == "getUpdates"]


@pytest.fixture
async def process(rig, telegram):
    rig.telegram(telegram.url)
    async with rig.running() as service:
        yield service


async def test_status_says_what_the_daemon_knows(process, daemon, telegram) -> None:
    daemon.status = status(
        state=RiskState.BLIND,
        permit_mode=PermitMode.REDUCE_ONLY,
        reason="binance is not readable",
        build=daemon.status.build,
        venues=(VenueStatus("binance", "timed out", 9000, "99000", False, "none"),),
    )
    telegram.say(OWNER, OWNER, "/status")
    await until(lambda: telegram.sent)
    ((chat, text),) = telegram.sent
    assert chat == str(OWNER)
    for part in ("BLIND", "99,000.00", "1.00 %", "timed out", "DEAD-MAN'S SWITCH"):
        assert part in text


async def test_a_confirmed_halt_reaches_the_daemon_once(
    process, daemon, telegram
) -> None:
    telegram.say(OWNER, OWNER, "/halt")
    await until(lambda: telegram.delivered)
    assert daemon.orders == []
    telegram.say(OWNER, OWNER, "/confirm 4821")
    telegram.say(OWNER, OWNER, "/confirm 4821")
    await until(lambda: len(telegram.delivered) == 3)
    assert daemon.orders == [
        (
            "halt",
            {
                "who": f"Telegram user {OWNER}",
                "reason": f"/halt confirmed in chat {OWNER}",
            },
        )
    ]
    assert any("now TRIPPED" in text for text in telegram.delivered)


async def test_an_order_is_tried_again_while_the_daemon_does_not_answer(
    process, daemon, telegram
) -> None:
    daemon.orders_to_fail = 2
    telegram.say(OWNER, OWNER, "/flatten")
    telegram.say(OWNER, OWNER, "/confirm 4821")
    await until(lambda: daemon.orders)
    assert [verb for verb, _ in daemon.orders] == ["flatten"]


async def test_a_restart_does_not_replay_an_old_order(rig, daemon, telegram) -> None:
    rig.telegram(telegram.url)
    async with rig.running():
        telegram.say(OWNER, OWNER, "/halt")
        await until(lambda: telegram.delivered)
        telegram.say(OWNER, OWNER, "/confirm 4821")
        await until(lambda: daemon.orders)
    # Telegram may offer everything once more: it was told nothing yet.
    telegram._updates.clear()
    telegram._update_ids = 0
    telegram.say(OWNER, OWNER, "/halt")
    telegram.say(OWNER, OWNER, "/confirm 4821")
    before = len(telegram.delivered)
    async with rig.running():
        await until(lambda: len(polls(telegram)) > 4)
        await asyncio.sleep(0.1)
        assert int(polls(telegram)[-1].parameters["offset"]) == 3
    assert len(daemon.orders) == 1
    assert len(telegram.delivered) == before


async def test_even_with_lost_progress_a_restart_replays_nothing(
    rig, daemon, telegram
) -> None:
    rig.telegram(telegram.url)
    telegram.say(OWNER, OWNER, "/halt", age_seconds=120)
    telegram.say(OWNER, OWNER, "/confirm 4821", age_seconds=100)
    telegram.say(OWNER, OWNER, "/confirm 4821")
    async with rig.running():
        await until(lambda: len(telegram.delivered) == 3)
    assert daemon.orders == []
    assert sum("Not carried out" in text for text in telegram.delivered) == 2


async def test_an_offset_of_another_bot_does_not_count(rig, daemon, telegram) -> None:
    first = rig.telegram(telegram.url)
    async with rig.running():
        for _ in range(5):
            telegram.say(OWNER, OWNER, "/help")
        await until(lambda: len(telegram.delivered) == 5)
    rig.channels.remove(first)
    await first.close()
    rig.telegram(telegram.url, token=TOKEN.replace("123456", "654321"))
    telegram._updates.clear()
    telegram._update_ids = 0
    telegram.say(OWNER, OWNER, "/help")
    async with rig.running():
        await until(lambda: len(telegram.delivered) == 6)


async def test_a_stranger_is_ignored_and_told_once_even_across_a_restart(
    rig, daemon, telegram
) -> None:
    rig.telegram(telegram.url)
    for _ in range(2):
        async with rig.running():
            for text in ("/halt", "/confirm 4821", "hello"):
                telegram.say(STRANGER, STRANGER, text)
            before = len(polls(telegram))
            await until(lambda: len(polls(telegram)) > before + 1)  # noqa: B023
            await until(lambda: telegram.delivered)
            await asyncio.sleep(0.1)
    assert daemon.orders == []
    ((chat, text),) = telegram.sent
    assert chat == str(OWNER)
    assert f"user {STRANGER} in chat {STRANGER}" in text


async def test_an_acknowledgement_in_the_chat_ends_the_repetition(
    rig, daemon, telegram
) -> None:
    rig.telegram(telegram.url)
    daemon.raise_alarm("tripped")
    async with rig.running() as service:
        await until(lambda: daemon.acks)
        telegram.say(OWNER, OWNER, "/ack")
        await until(lambda: len(telegram.delivered) == 2)
        telegram.say(OWNER, OWNER, "/ack")
        await until(lambda: len(telegram.delivered) == 3)
        assert service._ledger.progress.unseen == []
    assert telegram.delivered[1:] == ["Acknowledged: 1.", "Nothing waits for you."]


async def test_trouble_with_telegram_ends_no_chat(process, daemon, telegram) -> None:
    for failure in ({"status": 502}, {"status": 429, "retry_after": 1}):
        telegram.fail(2, method="getUpdates", **failure)
        telegram.say(OWNER, OWNER, "/help")
        before = len(telegram.delivered)
        await until(lambda: len(telegram.delivered) == before + 1)  # noqa: B023


async def test_what_people_write_is_in_no_log_and_on_no_disk(
    rig, daemon, telegram, caplog
) -> None:
    caplog.set_level(logging.DEBUG)
    rig.telegram(telegram.url)
    async with rig.running():
        telegram.say(OWNER, OWNER, "/halt xyzzy-1")
        telegram.say(OWNER, OWNER, "xyzzy-2")
        telegram.say(STRANGER, STRANGER, "xyzzy-3")
        await until(lambda: len(telegram.delivered) == 2)
        telegram.say(OWNER, OWNER, "/confirm 4821")
        await until(lambda: daemon.orders)
    kept = (rig.folder / "progress.json").read_text()
    assert json.loads(kept)["reading"]["offset"] == 5
    for text in (caplog.text, kept, json.dumps(daemon.orders)):
        for secret in ("xyzzy", "4821", TOKEN):
            assert secret not in text


async def test_the_one_that_only_stands_by_reads_no_chat(rig, daemon, telegram) -> None:
    daemon.taking.ask("another:process", monotonic_ns=rig.clock.monotonic_ns())
    rig.telegram(telegram.url)
    async with rig.running() as service:
        await until(lambda: service._listening.other)
        count = len(polls(telegram))
        telegram.say(OWNER, OWNER, "/halt")
        await asyncio.sleep(1.2)
        assert len(polls(telegram)) <= count + 1


async def test_no_commands_where_none_are_wanted(rig, daemon, telegram) -> None:
    rig.allowed = None
    rig.telegram(telegram.url)
    async with rig.running():
        telegram.say(OWNER, OWNER, "/halt")
        await asyncio.sleep(0.3)
    assert polls(telegram) == []


async def test_a_group_is_served_where_it_is_allowed(rig, daemon, telegram) -> None:
    rig.allowed = Allowed(frozenset({-100}), frozenset({OWNER}))
    rig.telegram(telegram.url)
    async with rig.running():
        telegram.say(-100, OWNER, "/help@stand_in_bot")
        await until(lambda: telegram.sent)
    assert telegram.sent[0][0] == "-100"
    assert read_progress(rig.folder).strangers == []

"""The stand-in answers a real bot library, records it and fails on demand."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request

import aiohttp
import pytest
from aiogram import Bot
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.exceptions import TelegramRetryAfter, TelegramServerError

from cryptoquantix.core.clock import SystemClock
from cryptoquantix.drills.telegram_stand_in import TelegramStandIn
from processes import end

TOKEN = "123456:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"


@pytest.fixture
async def stand_in():
    async with TelegramStandIn(SystemClock()) as running:
        yield running


@pytest.fixture
async def bot(stand_in):
    api = TelegramAPIServer.from_base(stand_in.url)
    async with Bot(TOKEN, session=AiohttpSession(api=api)) as made:
        yield made


async def test_a_bot_sends_and_the_call_is_recorded(stand_in, bot) -> None:
    assert (await bot.get_me()).username == "stand_in_bot"
    message = await bot.send_message("42", "hello <b>")
    assert message.text == "hello <b>"
    assert message.chat.id == 42
    assert stand_in.delivered == ["hello <b>"]
    async with (
        aiohttp.ClientSession() as http,
        http.get(f"{stand_in.url}/calls") as answer,
    ):
        calls = (await answer.json())["calls"]
    assert [call["method"] for call in calls] == ["getMe", "sendMessage"]
    assert calls[1]["parameters"] == {"chat_id": "42", "text": "hello <b>"}
    assert calls[1]["token"] == TOKEN


async def test_ordered_failures_fail_as_telegram_does(stand_in, bot) -> None:
    async with aiohttp.ClientSession() as http:
        order = {"count": 1, "status": 500}
        async with http.post(f"{stand_in.url}/fail", json=order) as answer:
            assert answer.status == 200
    with pytest.raises(TelegramServerError):
        await bot.send_message("42", "one")
    stand_in.fail(1, 429)
    with pytest.raises(TelegramRetryAfter):
        await bot.send_message("42", "two")
    await bot.send_message("42", "three")
    assert stand_in.delivered == ["three"]


async def test_updates_are_given_until_they_are_confirmed(stand_in, bot) -> None:
    message = {
        "message_id": 1,
        "date": 0,
        "chat": {"id": 42, "type": "private"},
        "text": "/status",
    }
    async with aiohttp.ClientSession() as http:
        body = {"message": message}
        async with http.post(f"{stand_in.url}/updates", json=body) as answer:
            number = (await answer.json())["update_id"]
    for _ in range(2):
        updates = await bot.get_updates()
        assert [update.update_id for update in updates] == [number]
    assert await bot.get_updates(offset=number + 1) == []


def test_as_a_process_it_prints_its_address() -> None:
    command = [sys.executable, "-m", "cryptoquantix.drills.telegram_stand_in"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            url = json.loads(process.stdout.readline())["telegram"]
            with urllib.request.urlopen(f"{url}/calls", timeout=5) as answer:
                assert json.load(answer) == {"calls": []}
        finally:
            assert end(process) == 0

"""Alarms reach the chat at least once, whatever fails on the way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import asynccontextmanager
from dataclasses import asdict

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from cryptoquantix.alarms import delivery as delivery_module
from cryptoquantix.alarms.channel import Telegram
from cryptoquantix.alarms.delivery import Delivery
from cryptoquantix.alarms.texts import TEXT_LENGTH_MAX, alarm_text
from cryptoquantix.control.status import Alarm
from cryptoquantix.core.clock import SystemClock
from cryptoquantix.core.errors import SettingsError
from cryptoquantix.drills.telegram_stand_in import TelegramStandIn
from cryptoquantix.risk_client.operator import OperatorClient

TOKEN = "123456:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"


class Daemon:
    """The daemon's alarm queue, with failures to inject."""

    def __init__(self) -> None:
        self.alarms: dict[int, Alarm] = {}
        self.acks: list[int] = []
        self.is_down = False
        self.is_stuck = False
        self.acks_to_fail = 0

    def raise_alarm(self, text: str, alarm_id: int | None = None) -> Alarm:
        number = alarm_id or len(self.alarms) + len(self.acks) + 1
        self.alarms[number] = Alarm(number, 1_700_000_000 * 10**9, "critical", text)
        return self.alarms[number]

    async def health(self, request: web.Request) -> web.Response:
        return web.json_response({}, status=503 if self.is_stuck else 200)

    async def list(self, request: web.Request) -> web.Response:
        if self.is_down:
            return web.Response(status=502, text="bad gateway")
        listed = list(self.alarms.values())[:100]
        return web.json_response({"alarms": [asdict(alarm) for alarm in listed]})

    async def ack(self, request: web.Request) -> web.Response:
        if self.acks_to_fail:
            self.acks_to_fail -= 1
            return web.Response(status=500)
        number = int(request.match_info["id"])
        if self.alarms.pop(number, None) is None:
            return web.json_response({"error": "unknown alarm"}, status=404)
        self.acks.append(number)
        return web.json_response({"ok": True})


@pytest.fixture
def daemon(monkeypatch) -> Daemon:
    monkeypatch.setattr(delivery_module, "_POLL_SECONDS", 0.02)
    monkeypatch.setattr(delivery_module, "_BACKOFF_SECONDS", (0.02, 0.05))
    return Daemon()


@asynccontextmanager
async def delivering(daemon: Daemon, telegram_url: str | None, silent_seconds=60.0):
    app = web.Application()
    app.router.add_get("/v1/health", daemon.health)
    app.router.add_get("/v1/alarms", daemon.list)
    app.router.add_post("/v1/alarms/{id}/ack", daemon.ack)
    async with TestServer(app) as server:
        url = str(server.make_url(""))
        channel = None
        if telegram_url:
            channel = Telegram(base_url=telegram_url, token=TOKEN, chat_id="42")
        async with OperatorClient(url, "") as client:
            work = Delivery(
                client,
                channel,
                clock=SystemClock(),
                silent_seconds=silent_seconds,
                daemon_url=url,
            )
            task = asyncio.create_task(work.run())
            try:
                yield
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                if channel:
                    await channel.close()


async def until(condition: Callable[[], object], seconds: float = 8.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - the condition is the other side's
            await asyncio.sleep(0.01)


@pytest.fixture
async def telegram():
    async with TelegramStandIn(SystemClock()) as running:
        yield running


async def test_an_alarm_is_delivered_then_acknowledged(daemon, telegram) -> None:
    daemon.raise_alarm("drawdown 3.1 %")
    async with delivering(daemon, telegram.url):
        await until(lambda: daemon.acks == [1])
        await asyncio.sleep(0.1)
    assert telegram.delivered == [
        "CRITICAL 2023-11-14 22:13:20 UTC\ndrawdown 3.1 %",
    ]


async def test_a_failing_channel_is_retried_in_order(daemon, telegram) -> None:
    telegram.fail(5, 500)
    daemon.raise_alarm("one")
    daemon.raise_alarm("two")
    async with delivering(daemon, telegram.url):
        await until(lambda: daemon.acks == [1, 2])
    assert [text.split("\n")[1] for text in telegram.delivered] == ["one", "two"]
    assert len(telegram.calls) == 7


async def test_an_alarm_is_not_acknowledged_before_it_is_delivered(daemon) -> None:
    daemon.raise_alarm("one")
    async with delivering(daemon, "http://127.0.0.1:9"):
        await asyncio.sleep(0.3)
    assert daemon.acks == []
    assert list(daemon.alarms) == [1]


async def test_a_lost_acknowledgement_is_repeated_without_the_message(
    daemon, telegram
) -> None:
    daemon.acks_to_fail = 3
    daemon.raise_alarm("one")
    async with delivering(daemon, telegram.url):
        await until(lambda: daemon.acks == [1])
        await asyncio.sleep(0.1)
    assert len(telegram.delivered) == 1


async def test_the_same_number_in_a_new_store_is_another_alarm(
    daemon, telegram
) -> None:
    daemon.raise_alarm("one", alarm_id=1)
    async with delivering(daemon, telegram.url):
        await until(lambda: daemon.acks == [1])
        daemon.raise_alarm("of a new store", alarm_id=1)
        await until(lambda: daemon.acks == [1, 1])
    assert len(telegram.delivered) == 2


@pytest.mark.parametrize("how", ["is_down", "is_stuck"])
async def test_a_silent_daemon_is_an_alarm_once_and_then_all_clear(
    daemon, telegram, how
) -> None:
    async with delivering(daemon, telegram.url, silent_seconds=0.2):
        setattr(daemon, how, True)
        await until(lambda: telegram.delivered)
        await asyncio.sleep(0.4)
        assert len(telegram.delivered) == 1
        assert "silent" in telegram.delivered[0]
        setattr(daemon, how, False)
        await until(lambda: len(telegram.delivered) == 2)
        assert "answers again" in telegram.delivered[1]


async def test_a_dead_channel_does_not_keep_silence_from_being_noticed(
    daemon, caplog
) -> None:
    daemon.raise_alarm("stuck in the outbox")
    async with delivering(daemon, "http://127.0.0.1:9", silent_seconds=0.2):
        await until(lambda: "not delivered" in caplog.text)
        daemon.is_down = True
        await until(lambda: "silent" in caplog.text)


async def test_without_a_channel_alarms_are_logged_and_stay_undelivered(
    daemon, caplog
) -> None:
    daemon.raise_alarm("nobody hears")
    async with delivering(daemon, None):
        await until(lambda: "nobody hears" in caplog.text)
        await asyncio.sleep(0.1)
    assert "no alarm channel is configured" in caplog.text
    assert caplog.text.count("nobody hears") == 1
    assert daemon.acks == []


async def test_without_a_channel_a_full_list_still_shows_the_newest(
    daemon, caplog
) -> None:
    for number in range(1, 131):
        daemon.raise_alarm(f"alarm number {number}.", number)
    async with delivering(daemon, None):
        await until(lambda: "alarm number 130." in caplog.text)
        await until(lambda: len(daemon.alarms) == 50)
    assert daemon.acks[0] == 1


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

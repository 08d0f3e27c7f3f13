"""A daemon, a Telegram and a rig for each test, all of them quick."""

from __future__ import annotations

import pytest

from alarms.rig import Daemon, Receiver, Rig
from cryptoquantix.alarms import chat, delivery, duties, keeper, listening
from cryptoquantix.core.clock import SystemClock
from cryptoquantix.drills.telegram_stand_in import TelegramStandIn


@pytest.fixture(autouse=True)
def quick(monkeypatch) -> None:
    monkeypatch.setattr(listening, "_POLL_SECONDS", 0.02)
    monkeypatch.setattr(listening, "_STATUS_SECONDS", 0.02)
    monkeypatch.setattr(delivery, "_BACKOFF_SECONDS", (0.02, 0.05))
    monkeypatch.setattr(delivery, "_TEST_SECONDS", 0.1)
    monkeypatch.setattr(chat, "_BACKOFF_SECONDS", (0.02, 0.05))
    monkeypatch.setattr(chat, "_POLL_SECONDS", 1)
    monkeypatch.setattr(chat, "_PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(chat, "_REPLY_SECONDS", (0.02, 0.02))
    monkeypatch.setattr(chat, "_ORDER_PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(duties, "_TICK_SECONDS", 0.02)
    monkeypatch.setattr(keeper, "_RETRY_SECONDS", 0.05)


@pytest.fixture
async def daemon():
    async with Daemon().served() as running:
        yield running


@pytest.fixture
async def telegram():
    async with TelegramStandIn(SystemClock()) as running:
        yield running


@pytest.fixture
async def receiver():
    async with Receiver().served() as running:
        yield running


async def quick_close(channel) -> None:
    """Close it without the quarter second that its library waits for TLS."""
    session = channel._bot.session._session if hasattr(channel, "_bot") else None
    if session is not None:
        await session.close()


@pytest.fixture
async def rig(daemon, tmp_path):
    made = Rig(daemon, tmp_path / "alarms")
    yield made
    for channel in made.channels:
        await quick_close(channel)

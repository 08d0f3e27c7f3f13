"""``cqx alarms``: deliver the daemon's alarms; it holds no venue key."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from cryptoquantix.alarms.channel import Channel, Telegram
from cryptoquantix.alarms.delivery import Delivery
from cryptoquantix.apps.logs import setup_logs
from cryptoquantix.apps.service import run_until_stopped
from cryptoquantix.apps.settings import Settings, TelegramSettings, load_settings
from cryptoquantix.apps.token import risk_token
from cryptoquantix.core.clock import SystemClock
from cryptoquantix.risk_client.operator import OperatorClient


def run(config: Path | None, *, on_ready: Callable[[dict[str, str]], None]) -> None:
    """Deliver until SIGTERM or SIGINT; ``on_ready`` gets what is listened to."""
    settings = load_settings(config)
    setup_logs("alarms")
    run_until_stopped(lambda: _run(settings, on_ready))


async def _run(settings: Settings, on_ready: Callable[[dict[str, str]], None]) -> None:
    channel = _channel(settings.alarms.telegram)
    url = settings.risk.url
    async with OperatorClient(url, risk_token(settings)) as client:
        delivery = Delivery(
            client,
            channel,
            clock=SystemClock(),
            silent_seconds=settings.alarms.daemon_silent_seconds,
            daemon_url=url,
        )
        on_ready({"daemon": url, "channel": channel.name if channel else "log"})
        try:
            await delivery.run()
        finally:
            if channel is not None:
                await channel.close()


def _channel(telegram: TelegramSettings) -> Channel | None:
    token = telegram.token.get_secret_value()
    if not token:
        return None
    return Telegram(base_url=telegram.base_url, token=token, chat_id=telegram.chat_id)

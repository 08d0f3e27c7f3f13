"""``cqx alarms``: deliver the daemon's alarms; it holds no venue key."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from cryptoquantix.alarms.apprise_channel import AppriseChannel
from cryptoquantix.alarms.channel import Channel, DeliveryError
from cryptoquantix.alarms.desk import Allowed
from cryptoquantix.alarms.duties import Habits
from cryptoquantix.alarms.service import Plan, Service
from cryptoquantix.alarms.telegram import NAME as TELEGRAM
from cryptoquantix.alarms.telegram import Telegram
from cryptoquantix.alarms.texts import message
from cryptoquantix.alarms.watching import Patience
from cryptoquantix.apps.acknowledge import FOLDER, WATCH_FOLDER
from cryptoquantix.apps.logs import setup_logs
from cryptoquantix.apps.service import run_until_stopped
from cryptoquantix.apps.settings import (
    AlarmSettings,
    Settings,
    TelegramSettings,
    load_settings,
)
from cryptoquantix.apps.token import risk_token
from cryptoquantix.core.clock import SystemClock
from cryptoquantix.core.errors import SettingsError
from cryptoquantix.risk_client.operator import OperatorClient

_CODES: Final = 9_000
_CODE_FIRST: Final = 1_000
_LOG_ONLY: Final = "log"
# A daemon that hangs must not be noticed much later than one that is gone.
_ANSWER_SECONDS: Final = 4.0

type OnReady = Callable[[dict[str, Any]], None]


def run(config: Path | None, *, is_watch_only: bool = False, on_ready: OnReady) -> None:
    """Deliver until SIGTERM or SIGINT; ``on_ready`` gets what is listened to."""
    settings = load_settings(config)
    setup_logs("alarms-watch" if is_watch_only else "alarms")
    run_until_stopped(lambda: _run(settings, on_ready, is_watch_only=is_watch_only))


def test(config: Path | None) -> dict[str, Any]:
    """
    Send one test alarm through every channel; return what became of each.

    Raises
    ------
    SettingsError
        If there is no channel.
    """
    settings = load_settings(config)
    return asyncio.run(_test(settings))


def test_text(result: dict[str, Any]) -> str:
    """Return `test`'s answer for a person."""
    return "\n".join(
        f"{name:<16}{'ok' if one['ok'] else one['problem']}"
        for name, one in result["channels"].items()
    )


async def _run(settings: Settings, on_ready: OnReady, *, is_watch_only: bool) -> None:
    channels = _channels(settings.alarms)
    plan = _plan(settings, is_watch_only=is_watch_only)
    try:
        async with OperatorClient(
            plan.url, risk_token(settings), answer_seconds=_ANSWER_SECONDS
        ) as client:
            service = Service(client, channels, plan, clock=SystemClock())
            names = [channel.name for channel in channels]
            on_ready(
                {
                    "daemon": plan.url,
                    "channel": names[0] if names else _LOG_ONLY,
                    "channels": names,
                    "watch_only": is_watch_only,
                }
            )
            async with asyncio.TaskGroup() as tasks:
                if settings.fed_instruments and not is_watch_only:
                    from cryptoquantix.apps.services_heard import (  # noqa: PLC0415 - NATS, for who has a bus
                        hear_services,
                    )

                    tasks.create_task(
                        hear_services(settings, service.services, service.reports)
                    )
                tasks.create_task(service.run())
    finally:
        for channel in channels:
            await channel.close()


async def _test(settings: Settings) -> dict[str, Any]:
    channels = _channels(settings.alarms)
    if not channels:
        msg = "no alarm channel is configured: see [alarms] in the settings"
        raise SettingsError(msg)
    text = message(
        "info",
        SystemClock().time_ns(),
        "this is a test of cryptoquantix's alarms. Nothing is wrong.",
    )
    try:
        found = await asyncio.gather(*(_try(channel, text) for channel in channels))
    finally:
        for channel in channels:
            await channel.close()
    results = {
        channel.name: {"ok": not problem, "problem": problem}
        for channel, problem in zip(channels, found, strict=True)
    }
    return {"ok": not any(found), "channels": results}


async def _try(channel: Channel, text: str) -> str:
    """Return why the channel did not take ``text``, or nothing."""
    try:
        await channel.deliver(text, "info")
    except DeliveryError as error:
        return str(error)
    return ""


def _channels(settings: AlarmSettings) -> Sequence[Channel]:
    """Return every configured channel, Telegram first."""
    found: list[Channel] = []
    telegram = settings.telegram
    token = telegram.token.get_secret_value()
    if token:
        found.append(
            Telegram(base_url=telegram.base_url, token=token, chat_id=telegram.chat_id)
        )
    for name, url in settings.apprise.items():
        if name in {TELEGRAM, _LOG_ONLY}:
            msg = f"alarms.apprise cannot have a channel called {name}"
            raise SettingsError(msg)
        if url.get_secret_value():
            found.append(AppriseChannel(name, url.get_secret_value()))
    _check_names(settings, {channel.name for channel in found})
    return found


def _check_names(settings: AlarmSettings, known: set[str]) -> None:
    for setting in ("required", "escalation", "critical_only"):
        unknown = sorted(set(getattr(settings, setting)) - known)
        if unknown:
            msg = (
                f"alarms.{setting} names {unknown[0]!r}, but the channels are "
                f"{', '.join(sorted(known)) or 'none'}"
            )
            raise SettingsError(msg)


def _plan(settings: Settings, *, is_watch_only: bool) -> Plan:
    alarms = settings.alarms
    return Plan(
        folder=settings.directory / (WATCH_FOLDER if is_watch_only else FOLDER),
        url=settings.risk.url,
        required=alarms.required,
        critical_only=alarms.critical_only,
        patience=Patience(
            silent_seconds=alarms.daemon_silent_seconds,
            reading_seconds=alarms.reading_age_seconds_max,
            queue_seconds=alarms.undelivered_seconds_max,
        ),
        habits=Habits(
            escalate_seconds=alarms.escalate_minutes * 60,
            escalations_max=alarms.escalations_max,
            escalation=alarms.escalation,
            all_clear_at=alarms.all_clear_at,
            is_watch_only=is_watch_only,
        ),
        down_seconds=alarms.channel_down_seconds,
        allowed=None if is_watch_only else _allowed(alarms.telegram),
        draw=_draw,
    )


def _allowed(telegram: TelegramSettings) -> Allowed | None:
    if not telegram.commands:
        return None
    chats = set(telegram.command_chat_ids)
    if not chats and telegram.chat_id.lstrip("-").isdecimal():
        chats = {int(telegram.chat_id)}
    if not chats:
        return None
    return Allowed(frozenset(chats), frozenset(telegram.command_user_ids))


def _draw() -> str:
    return str(_CODE_FIRST + secrets.randbelow(_CODES))

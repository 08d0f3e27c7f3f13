"""
Any channel that Apprise knows, by URL; its blocking calls never hold the loop.

Apprise is synchronous, so each attempt has a thread of its own and a deadline. A
thread that hangs is left behind; there are never more than a few of them. The URL
holds secrets: no part of it goes into a log or an error, whatever a plugin says.
"""

from __future__ import annotations

import asyncio
import logging
import re
import threading
import warnings
from typing import Final
from urllib.parse import unquote

import apprise

from cryptoquantix.alarms.channel import DeliveryError
from cryptoquantix.core.errors import SettingsError

_ATTEMPT_SECONDS: Final = 20.0
_HANGING_MAX: Final = 3
_REASON_MAX: Final = 200
_SECRET_LENGTH_MIN: Final = 4
_KINDS: Final = {
    "critical": apprise.NotifyType.FAILURE,
    "warning": apprise.NotifyType.WARNING,
}


class AppriseChannel:
    """
    One Apprise URL under a name.

    Raises
    ------
    SettingsError
        If Apprise does not understand the URL, which is not shown.
    """

    def __init__(self, name: str, url: str) -> None:
        self._name = name
        # What plugins log may hold the URL; what matters of it comes by callback.
        log = logging.getLogger("apprise")
        log.propagate = False
        if not log.handlers:
            log.addHandler(logging.NullHandler())
        self._apprise = apprise.Apprise()
        with warnings.catch_warnings():
            # The first URL loads every plugin, some of which use old modules.
            warnings.simplefilter("ignore", DeprecationWarning)
            is_understood = self._apprise.add(url)
        if not is_understood:
            msg = f"alarms.apprise.{name} is no URL that Apprise understands"
            raise SettingsError(msg)
        self._secrets = _secrets(url)
        self._hanging: set[threading.Thread] = set()

    @property
    def name(self) -> str:
        """What settings and status call it."""
        return self._name

    async def deliver(self, text: str, severity: str) -> None:
        """
        Notify once in a thread; cancellation leaves the thread to its end.

        Apprise has no way to say *wait so long*: a refusal is retried by the caller's
        own schedule.
        """
        self._hanging = {thread for thread in self._hanging if thread.is_alive()}
        if len(self._hanging) >= _HANGING_MAX:
            msg = f"{_HANGING_MAX} earlier attempts still hang"
            raise DeliveryError(msg)
        loop = asyncio.get_running_loop()
        done: asyncio.Future[str] = loop.create_future()

        def attempt() -> None:
            reason = self._notify(text, severity)
            try:
                loop.call_soon_threadsafe(_settle, done, reason)
            except RuntimeError:
                return  # the loop is closed: nobody waits any more

        thread = threading.Thread(target=attempt, name=f"to-{self._name}", daemon=True)
        self._hanging.add(thread)
        thread.start()
        try:
            async with asyncio.timeout(_ATTEMPT_SECONDS):
                reason = await done
        except TimeoutError:
            msg = f"no answer within {_ATTEMPT_SECONDS:.0f} s"
            raise DeliveryError(msg) from None
        if reason:
            raise DeliveryError(reason)

    async def check(self) -> None:
        """Find nothing out: Apprise cannot ask without sending a message."""

    async def close(self) -> None:
        """Release nothing: threads that hang end with the process."""

    def _notify(self, text: str, severity: str) -> str:
        """Return why it was not delivered, or nothing."""
        title, _, body = text.partition("\n")
        said: list[str] = []
        try:
            is_taken = self._apprise.notify(
                title=title,
                body=body or title,
                notify_type=_KINDS.get(severity, apprise.NotifyType.INFO),
                body_format=apprise.NotifyFormat.TEXT,
                log_callback=lambda entry, _: said.append(str(entry.message)),
                log_level=logging.WARNING,
            )
        except Exception as error:  # noqa: BLE001 - a plugin's fault is that channel's
            return self._hidden(f"{type(error).__name__}: {error}")
        if is_taken:
            return ""
        return self._hidden("; ".join(said)) or "it was not taken"

    def _hidden(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "[hidden]")
        return " ".join(text.split())[:_REASON_MAX]


def _settle(done: asyncio.Future[str], reason: str) -> None:
    if not done.done():
        done.set_result(reason)


def _secrets(url: str) -> tuple[str, ...]:
    """Return every part of ``url`` that might be secret, the longest first."""
    _, _, rest = url.partition("://")
    parts = {
        part
        for whole in (rest, unquote(rest))
        for part in re.split(r"[/?&=:@#,]+", whole)
        if len(part) >= _SECRET_LENGTH_MIN
    }
    return tuple(sorted(parts, key=len, reverse=True))

"""
One Telegram bot: alarms out, what people write in; it obeys nobody.

What a message means and who may send it is decided in ``desk``. Neither the token nor
what people write goes into a log or an error.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Final

from aiogram import Bot
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.exceptions import (
    AiogramError,
    TelegramConflictError,
    TelegramRetryAfter,
)
from aiogram.types import Message, Update
from aiogram.utils.token import TokenValidationError

from cryptoquantix.alarms.channel import DeliveryError
from cryptoquantix.core.clock import NS_PER_SECOND
from cryptoquantix.core.errors import SettingsError

NAME: Final = "telegram"
_REQUEST_SECONDS: Final = 15
_DELAY_SECONDS_MAX: Final = 300.0
_CONFLICT_SECONDS: Final = 15.0
_POLL_MARGIN_SECONDS: Final = 10
_UPDATES_MAX: Final = 50
_REASON_MAX: Final = 200


@dataclass(frozen=True, slots=True)
class Written:
    """
    What somebody wrote to the bot; ``user_id`` is 0 where Telegram names nobody.

    ``text`` is empty for what is no text (a picture, someone joining).
    """

    update_id: int
    chat_id: int
    user_id: int
    text: str
    time_ns: int
    is_forwarded: bool = False


class Telegram:
    """
    One bot, and the chat that its alarms go to.

    Parameters
    ----------
    base_url : str
        The Bot API's address; a stand-in's in tests and drills.
    token, chat_id : str
        Of the bot and the chat.

    Raises
    ------
    SettingsError
        If the token has not a token's shape or the chat is missing. An API that is
        down is no reason not to start.
    """

    def __init__(self, *, base_url: str, token: str, chat_id: str) -> None:
        if not chat_id:
            msg = "alarms.telegram.chat_id is empty but a token is set"
            raise SettingsError(msg)
        session = AiohttpSession(
            api=TelegramAPIServer.from_base(base_url), timeout=_REQUEST_SECONDS
        )
        try:
            self._bot = Bot(token, session=session)
        except TokenValidationError:
            msg = "alarms.telegram.token must look like 123456:ABC-DEF (ask @BotFather)"
            raise SettingsError(msg) from None
        self._token = token
        self._chat_id = chat_id
        self.bot_id = self._bot.id
        self.username = ""

    @property
    def name(self) -> str:
        """What settings and status call it."""
        return NAME

    async def deliver(self, text: str, severity: str) -> None:
        """
        Send ``text`` to the chat of the settings; info makes no sound there.

        Cancellation may leave the message sent or not.
        """
        is_silent = severity == "info"
        await self._ask(
            self._bot.send_message(
                self._chat_id, text, disable_notification=is_silent or None
            )
        )

    async def reply(self, chat_id: int, text: str) -> None:
        """Send ``text`` to ``chat_id``, as plain text: nothing can be bad markup."""
        await self._ask(self._bot.send_message(chat_id, text))

    async def check(self) -> None:
        """Ask Telegram whether it knows the bot and the chat."""
        me = await self._ask(self._bot.get_me())
        self.username = me.username or ""
        await self._ask(self._bot.get_chat(self._chat_id))

    async def updates(self, offset: int | None, poll_seconds: int) -> list[Written]:
        """
        Wait up to ``poll_seconds`` for what was written from update ``offset`` on.

        Asking with an offset tells Telegram to forget everything before it.
        """
        seconds = poll_seconds + _POLL_MARGIN_SECONDS
        found = await self._ask(
            self._bot.get_updates(
                offset=offset,
                limit=_UPDATES_MAX,
                timeout=poll_seconds,
                allowed_updates=["message"],
                request_timeout=seconds,
            ),
            seconds + 1.0,
        )
        return [_written(update) for update in found]

    async def close(self) -> None:
        """Close the connections to the API."""
        await self._bot.session.close()

    async def _ask[T](self, call: Awaitable[T], seconds: float = _REQUEST_SECONDS) -> T:
        try:
            async with asyncio.timeout(seconds):
                return await call
        except TelegramRetryAfter as error:
            delay = min(float(error.retry_after), _DELAY_SECONDS_MAX)
            msg = f"Telegram asks to wait {error.retry_after} s"
            raise DeliveryError(msg, delay) from None
        except TelegramConflictError:
            msg = "another process reads this bot's messages"
            raise DeliveryError(msg, _CONFLICT_SECONDS) from None
        except TimeoutError:
            msg = f"Telegram did not answer within {seconds:.0f} s"
            raise DeliveryError(msg) from None
        except (AiogramError, OSError, ValueError) as error:
            raise DeliveryError(self._reason(error)) from None

    def _reason(self, error: Exception) -> str:
        text = " ".join(str(error).replace(self._token, "[hidden]").split())
        return f"Telegram: {text}"[:_REASON_MAX]


def _written(update: Update) -> Written:
    message = update.message
    if message is None:
        return Written(update.update_id, 0, 0, "", 0)
    return Written(
        update_id=update.update_id,
        chat_id=message.chat.id,
        user_id=_author(message),
        text=message.text or "",
        time_ns=int(message.date.timestamp()) * NS_PER_SECOND,
        is_forwarded=message.forward_origin is not None,
    )


def _author(message: Message) -> int:
    """Return who wrote it; a chat that speaks for itself is nobody."""
    if message.from_user is None or message.sender_chat is not None:
        return 0
    return message.from_user.id

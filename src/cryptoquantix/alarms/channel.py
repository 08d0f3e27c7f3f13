"""Ways to reach a person; a channel that fails says so and never retries itself."""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

from aiogram import Bot
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.exceptions import AiogramError, TelegramRetryAfter
from aiogram.utils.token import TokenValidationError

from cryptoquantix.core.errors import CryptoquantixError, SettingsError

_REQUEST_SECONDS: Final = 15
_DELAY_SECONDS_MAX: Final = 300.0


class DeliveryError(CryptoquantixError):
    """A message was not delivered; try again after ``delay_seconds`` at least."""

    def __init__(self, text: str, delay_seconds: float = 0.0) -> None:
        super().__init__(text)
        self.delay_seconds = delay_seconds


class Channel(Protocol):
    """Where alarms go."""

    name: str

    async def deliver(self, text: str) -> None:
        """Send ``text`` once; `DeliveryError` unless it is known to have arrived."""
        ...

    async def close(self) -> None:
        """Release connections."""
        ...


class Telegram:
    """
    One chat of one bot.

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

    name = "telegram"

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
        self._chat_id = chat_id

    async def deliver(self, text: str) -> None:
        """
        Send ``text`` as plain text, so that nothing in it can be bad markup.

        Cancellation may leave the message sent or not.
        """
        try:
            async with asyncio.timeout(_REQUEST_SECONDS):
                await self._bot.send_message(self._chat_id, text)
        except TelegramRetryAfter as error:
            delay = min(float(error.retry_after), _DELAY_SECONDS_MAX)
            msg = f"Telegram asks to wait {error.retry_after} s"
            raise DeliveryError(msg, delay) from None
        except TimeoutError:
            msg = f"Telegram did not answer within {_REQUEST_SECONDS} s"
            raise DeliveryError(msg) from None
        except (AiogramError, OSError, ValueError) as error:
            msg = f"Telegram: {error}"
            raise DeliveryError(msg) from None

    async def close(self) -> None:
        """Close the connections to the API."""
        await self._bot.session.close()

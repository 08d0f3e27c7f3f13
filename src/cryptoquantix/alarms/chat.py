"""
Read what people write to the bot, and carry out what the desk allows.

How far was read is written down, Telegram is told, and old messages are refused: a
restart never replays a ``/halt``. Trouble here delays no alarm: it has its own loop.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from cryptoquantix.alarms.channel import DeliveryError
from cryptoquantix.alarms.desk import Act, Decision, Desk
from cryptoquantix.alarms.parts import Parts
from cryptoquantix.alarms.progress import STRANGERS_MAX, Reading
from cryptoquantix.alarms.telegram import Telegram, Written
from cryptoquantix.alarms.texts import message, status_text
from cryptoquantix.control.build import build_stamp
from cryptoquantix.core.clock import NS_PER_DAY, NS_PER_SECOND
from cryptoquantix.core.errors import DaemonError, DaemonUnreachable
from cryptoquantix.risk_client.verdict import problems, remarks

_LOG = logging.getLogger(__name__)

_POLL_SECONDS: Final = 25
_BACKOFF_SECONDS: Final = (1.0, 2.0, 5.0, 15.0, 30.0)
_STANDBY_SECONDS: Final = 1.0
_PAUSE_SECONDS: Final = 0.5
_REPLY_SECONDS: Final = (0.5, 1.0, 2.0, 5.0)
_ORDER_SECONDS: Final = 30.0
_ORDER_PAUSE_SECONDS: Final = 1.0
_KEPT_SECONDS: Final = 1.0
_TASKS_MAX: Final = 16

type Seen = Callable[[str], int]


class Chat:
    """
    The loop that reads the bot's messages.

    Parameters
    ----------
    is_reading : callable
        Whether this process is the one that reads: a bot's messages go to one reader.
    seen : callable
        Takes who has acknowledged; returns how many alarms that were.
    """

    def __init__(
        self,
        parts: Parts,
        telegram: Telegram,
        desk: Desk,
        *,
        is_reading: Callable[[], bool],
        seen: Seen,
    ) -> None:
        self._telegram = telegram
        self._desk = desk
        self._client = parts.client
        self._ledger = parts.ledger
        self._keeper = parts.keeper
        self._delivery = parts.delivery
        self._clock = parts.clock
        self._is_reading = is_reading
        self._seen = seen
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Read for ever; cancellation ends what is being carried out, too."""
        failures = 0
        async with asyncio.TaskGroup() as group:
            while True:
                if not self._is_reading():
                    await asyncio.sleep(_STANDBY_SECONDS)
                    continue
                try:
                    said = await self._telegram.updates(self._offset(), _POLL_SECONDS)
                except DeliveryError as error:
                    step = min(failures, len(_BACKOFF_SECONDS) - 1)
                    failures += 1
                    _LOG.warning("the chat cannot be read: %s", error)
                    delay = max(_BACKOFF_SECONDS[step], error.delay_seconds)
                    await asyncio.sleep(delay)
                    continue
                failures = 0
                for one in said:
                    self._take(one, group)
                if not said:
                    # Telegram waits for something; who does not is not hurried.
                    await asyncio.sleep(_PAUSE_SECONDS)

    def _offset(self) -> int | None:
        """
        Return from which update to read on, or None to leave it to Telegram.

        An offset tells Telegram to forget what is before it. After a quiet week its
        numbers start anew, perhaps below, so an offset counts for a day, as long as
        Telegram itself would keep a message.
        """
        reading = self._ledger.progress.reading
        is_other = reading.bot_id != self._telegram.bot_id
        age_ns = self._clock.time_ns() - reading.time_ns
        return None if is_other or age_ns > NS_PER_DAY else reading.offset

    def _take(self, said: Written, group: asyncio.TaskGroup) -> None:
        offset = self._offset()
        if offset is not None and said.update_id < offset:
            return
        self._ledger.progress.reading = Reading(
            self._telegram.bot_id, said.update_id + 1, self._clock.time_ns()
        )
        self._keeper.changed()
        self._desk.username = self._telegram.username
        decision = self._desk.decide(said)
        if decision.act is Act.STRANGER:
            self._note_stranger(said)
        elif decision.act is not Act.NOTHING:
            self._carry_out_beside(decision, said, group)

    def _carry_out_beside(
        self, decision: Decision, said: Written, group: asyncio.TaskGroup
    ) -> None:
        is_order = decision.act in {Act.HALT, Act.FLATTEN}
        if len(self._tasks) >= _TASKS_MAX and not is_order:
            _LOG.warning("too much at once: one message is not answered")
            return
        task = group.create_task(self._carry_out(decision, said), name="chat-answer")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _carry_out(self, decision: Decision, said: Written) -> None:
        match decision.act:
            case Act.STATUS:
                text = await self._status()
            case Act.ACKNOWLEDGE:
                count = self._seen(f"Telegram user {said.user_id}")
                text = f"Acknowledged: {count}." if count else "Nothing waits for you."
            case Act.HALT | Act.FLATTEN:
                text = await self._order(decision.act, said)
            case _:
                text = decision.text
        await self._reply(said.chat_id, text)

    async def _status(self) -> str:
        try:
            status = await self._client.status()
        except DaemonError as error:
            return f"PROBLEM: {error}"
        return status_text(status, problems(status, build_stamp()), remarks(status))

    async def _order(self, act: Act, said: Written) -> str:
        """Carry it out, trying again for half a minute: a second halt harms nobody."""
        who = f"Telegram user {said.user_id}"
        reason = f"/{act.value} confirmed in chat {said.chat_id}"
        _LOG.warning("%s by %s", act.value, who)
        await self._keeper.flush(_KEPT_SECONDS)
        order = self._client.halt if act is Act.HALT else self._client.flatten
        deadline_ns = self._clock.monotonic_ns() + int(_ORDER_SECONDS * NS_PER_SECOND)
        while True:
            try:
                state = await order(who=who, reason=reason)
            except DaemonUnreachable as error:
                if self._clock.monotonic_ns() < deadline_ns:
                    await asyncio.sleep(_ORDER_PAUSE_SECONDS)
                    continue
                return f"NOT CONFIRMED: {error}. Use `cqx {act.value}` on the machine."
            except DaemonError as error:
                return f"REFUSED: {error}"
            return f"{act.value}: the daemon is now {state}. Follow it with /status."

    async def _reply(self, chat_id: int, text: str) -> None:
        for pause in (*_REPLY_SECONDS, 0.0):
            try:
                await self._telegram.reply(chat_id, text)
            except DeliveryError as error:
                _LOG.warning("an answer was not delivered: %s", error)
                await asyncio.sleep(max(pause, error.delay_seconds))
            else:
                return

    def _note_stranger(self, said: Written) -> None:
        strangers = self._ledger.progress.strangers
        name = f"{said.chat_id}/{said.user_id}"
        if name in strangers or len(strangers) >= STRANGERS_MAX:
            return
        strangers.append(name)
        last = " Further ones are not told." if len(strangers) == STRANGERS_MAX else ""
        text = (
            f"somebody who is not allowed writes to the bot: user {said.user_id} in "
            f"chat {said.chat_id}. It is ignored and not told again.{last}"
        )
        now_ns = self._clock.time_ns()
        self._ledger.raise_own(message("warning", now_ns, text), "warning", now_ns)
        self._delivery.wake()

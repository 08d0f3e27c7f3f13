"""
Take the daemon's alarms to a person; it never acts on an account.

Two loops that do not wait for each other: one listens to the daemon and notices
its silence, the other delivers, with bounded backoff, for as long as it takes. What
the daemon raised stays in its store until it is acknowledged, which happens after
delivery: at least once, never lost.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from dataclasses import dataclass
from typing import Final

from cryptoquantix.alarms.channel import Channel, DeliveryError
from cryptoquantix.alarms.silence import Change, SilenceWatch
from cryptoquantix.alarms.texts import (
    NO_CHANNEL,
    alarm_text,
    heard_again_text,
    silence_text,
)
from cryptoquantix.control.status import Alarm
from cryptoquantix.core.clock import Clock
from cryptoquantix.core.errors import DaemonError
from cryptoquantix.risk_client.operator import OperatorClient

_LOG = logging.getLogger(__name__)

_POLL_SECONDS: Final = 0.5
_BACKOFF_SECONDS: Final = (0.5, 1.0, 2.0, 5.0, 15.0, 60.0)
_OUTBOX_MAX: Final = 256
_REMEMBERED_MAX: Final = 1024
_LOGGED_KEPT: Final = 50


@dataclass(frozen=True, slots=True)
class Message:
    """One text to deliver; ``alarm`` is None for what this process raised itself."""

    text: str
    alarm: Alarm | None = None


class Delivery:
    """
    The alarms process.

    Parameters
    ----------
    channel : Channel or None
        None logs alarms and leaves them unacknowledged, so that ``cqx status`` keeps
        saying that nobody was told. Beyond 50 the oldest are let go, because the
        daemon lists only 100 and a new alarm must still be seen.
    """

    def __init__(
        self,
        client: OperatorClient,
        channel: Channel | None,
        *,
        clock: Clock,
        silent_seconds: float,
        daemon_url: str,
    ) -> None:
        self._client = client
        self._channel = channel
        self._clock = clock
        self._daemon_url = daemon_url
        self._watch = SilenceWatch(silent_seconds, clock.monotonic_ns())
        self._outbox: asyncio.Queue[Message] = asyncio.Queue(_OUTBOX_MAX)
        self._queued: set[Alarm] = set()
        self._told: set[Alarm] = set()
        self._told_order: deque[Alarm] = deque()

    async def run(self) -> None:
        """Listen and deliver for ever; cancellation leaves the rest to the daemon."""
        if self._channel is None:
            _LOG.warning(NO_CHANNEL)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._listen(), name="alarms-listen")
            tasks.create_task(self._deliver(), name="alarms-deliver")

    async def _listen(self) -> None:
        while True:
            problem = await self._take_alarms()
            change = self._watch.observe(
                is_heard=not problem, monotonic_ns=self._clock.monotonic_ns()
            )
            if change is not None:
                self._raise_own(*change, problem)
            await asyncio.sleep(_POLL_SECONDS)

    async def _take_alarms(self) -> str:
        """Queue what is undelivered; return what is wrong with the daemon, or ''."""
        try:
            alarms = await self._client.alarms()
            await self._release(alarms)
        except DaemonError as error:
            return str(error)
        for alarm in alarms:
            is_known = alarm in self._queued or alarm in self._told
            if not is_known and not self._outbox.full():
                self._queued.add(alarm)
                self._outbox.put_nowait(Message(alarm_text(alarm), alarm))
        if await self._client.is_healthy():
            return ""
        return f"{self._daemon_url} answers, but its loop stands still"

    async def _release(self, alarms: list[Alarm]) -> None:
        """Acknowledge again what was told but is still listed."""
        told = [alarm for alarm in alarms if alarm in self._told]
        keep = _LOGGED_KEPT if self._channel is None else 0
        for alarm in told[: max(0, len(alarms) - keep)]:
            await self._client.acknowledge(alarm.id)

    def _raise_own(self, change: Change, seconds: float, problem: str) -> None:
        now_ns = self._clock.time_ns()
        if change is Change.FELL_SILENT:
            text = silence_text(now_ns, seconds, problem)
        else:
            text = heard_again_text(now_ns, seconds)
        _LOG.warning("%s", text)
        if self._outbox.full():
            _LOG.error("the outbox is full: this alarm is only in the log")
            return
        self._outbox.put_nowait(Message(text))

    async def _deliver(self) -> None:
        while True:
            message = await self._outbox.get()
            await self._deliver_one(message)
            alarm = message.alarm
            if alarm is None:
                continue
            self._remember(alarm)
            if self._channel is not None:
                await self._acknowledge(alarm)

    async def _deliver_one(self, message: Message) -> None:
        """Try until it is delivered; a channel that is down delays only its own."""
        if self._channel is None:
            _LOG.warning("%s", message.text)
            return
        failures = 0
        while True:
            try:
                await self._channel.deliver(message.text)
            except DeliveryError as error:
                step = min(failures, len(_BACKOFF_SECONDS) - 1)
                delay = max(_BACKOFF_SECONDS[step], error.delay_seconds)
                _LOG.warning("not delivered, trying again in %.1f s: %s", delay, error)
                failures += 1
                await asyncio.sleep(delay)
            else:
                return

    async def _acknowledge(self, alarm: Alarm) -> None:
        try:
            await self._client.acknowledge(alarm.id)
        except DaemonError as error:
            # Still listed: `_release` acknowledges it at a later poll.
            _LOG.warning("delivered but not acknowledged: %s", error)

    def _remember(self, alarm: Alarm) -> None:
        # The whole alarm, not its id: a new store counts its ids from one again.
        self._queued.discard(alarm)
        self._told.add(alarm)
        self._told_order.append(alarm)
        if len(self._told_order) > _REMEMBERED_MAX:
            self._told.discard(self._told_order.popleft())

"""
Ask the daemon for alarms, health and status; acknowledging is all it changes.

What the daemon raised stays in its store until enough channels have it: at least once,
never lost. The daemon gives its queue to one process at a time; the others only watch.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from cryptoquantix.alarms.parts import Parts
from cryptoquantix.alarms.progress import key_of
from cryptoquantix.alarms.texts import alarm_text
from cryptoquantix.alarms.watching import Watching
from cryptoquantix.control.status import Alarm
from cryptoquantix.core.clock import NS_PER_SECOND
from cryptoquantix.core.errors import DaemonError, DaemonUnreachable

_LOG = logging.getLogger(__name__)

_POLL_SECONDS: Final = 0.5
_STATUS_SECONDS: Final = 2.0
_LOGGED_KEPT: Final = 50


def taker_name(folder: Path) -> str:
    """Return a name for the process of ``folder`` that a restart keeps."""
    return f"{socket.gethostname()}:{os.fspath(folder)}"


class Listening:
    """
    The loop that asks.

    Parameters
    ----------
    taker : str
        Under which name the queue is taken; empty to leave it alone (watch only).
    is_reaching : bool
        Whether a channel reaches anybody. Without one, alarms are only logged and
        stay undelivered, so that ``cqx status`` keeps saying that nobody was told.
        Beyond 50 the oldest are let go, because the daemon lists only 100 and a new
        alarm must still be seen.
    """

    def __init__(
        self,
        parts: Parts,
        watching: Watching,
        *,
        taker: str,
        is_reaching: bool = True,
        beat: Callable[[], None] = lambda: None,
    ) -> None:
        self._client = parts.client
        self._ledger = parts.ledger
        self._delivery = parts.delivery
        self._clock = parts.clock
        self._url = parts.url
        self._watching = watching
        self._taker = taker
        self._kept = 0 if is_reaching else _LOGGED_KEPT
        self._is_reaching = is_reaching
        self._beat = beat
        self._status_asked_ns: int | None = None
        self.other = ""

    @property
    def is_taking(self) -> bool:
        """Whether this process delivers the queue, as far as is known."""
        return bool(self._taker) and not self.other

    async def run(self) -> None:
        """Ask for ever; cancellation ends it between two questions."""
        while True:
            problem = await self._take()
            self._watching.heard(problem)
            if not problem and self._is_status_due():
                await self._ask_status()
            self._beat()
            self._delivery.has_delivered.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_POLL_SECONDS):
                    await self._delivery.has_delivered.wait()

    async def _take(self) -> str:
        """Take what is undelivered; return what is wrong with the daemon, or ''."""
        if self._taker:
            try:
                alarms, other = await self._client.take_alarms(self._taker)
            except DaemonError as error:
                return str(error)
            self._note_other(other)
            if not other:
                await self._settle(alarms)
        if await self._client.is_healthy():
            return ""
        return f"{self._url} does not answer, or its loop stands still"

    def _note_other(self, other: str) -> None:
        if other == self.other:
            return
        self.other = other
        if other:
            _LOG.warning("alarms are delivered by %s; this process watches", other)
            self._ledger.leave_to_another()
        else:
            _LOG.warning("alarms are delivered by this process from now on")

    async def _settle(self, alarms: list[Alarm]) -> None:
        """Take new ones on, acknowledge what enough channels have."""
        is_news = False
        for alarm in alarms:
            if self._ledger.knows(key_of(alarm)) is None:
                text = alarm_text(alarm)
                is_news |= self._ledger.take(alarm, text, self._clock.time_ns())
        listed = {key_of(alarm) for alarm in alarms}
        for entry in list(self._ledger.progress.entries):
            if entry.alarm_id is not None and entry.key not in listed:
                self._ledger.told_daemon(entry)
        for alarm in self._delivered(alarms):
            self._beat()
            if not await self._acknowledge(alarm):
                break
        if is_news:
            self._delivery.wake()

    def _delivered(self, alarms: list[Alarm]) -> Iterator[Alarm]:
        """Yield the listed alarms that the daemon may forget."""
        for alarm in alarms[: max(0, len(alarms) - self._kept)]:
            entry = self._ledger.knows(key_of(alarm))
            if entry is not None and self._ledger.is_satisfied(entry):
                yield alarm

    async def _acknowledge(self, alarm: Alarm) -> bool:
        try:
            await self._client.acknowledge(alarm.id)
        except DaemonError as error:
            # Still listed: it is acknowledged at a later poll.
            _LOG.warning("delivered but not acknowledged: %s", error)
            return False
        entry = self._ledger.knows(key_of(alarm))
        if entry is not None:
            self._ledger.told_daemon(entry)
        self._delivery.wake()
        return True

    def _is_status_due(self) -> bool:
        now_ns = self._clock.monotonic_ns()
        asked_ns = self._status_asked_ns
        if asked_ns is not None and now_ns - asked_ns < _STATUS_SECONDS * NS_PER_SECOND:
            return False
        self._status_asked_ns = now_ns
        return True

    async def _ask_status(self) -> None:
        try:
            self._watching.status(await self._client.status())
            if not self.is_taking:
                self._watching.queue(await self._client.alarms())
        except DaemonUnreachable:
            return  # the silence is another watch's, and soon
        except DaemonError as error:
            self._watching.status(None, str(error))

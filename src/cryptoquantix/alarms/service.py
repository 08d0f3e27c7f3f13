"""
The alarms process put together; it opens no connection to a venue and orders nothing.

Every loop that ends with an error ends the process, visibly: the supervisor starts it
again, and its progress is on the disk. `Pulse` does the same to a loop that hangs.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptoquantix.alarms.channel import Channel
from cryptoquantix.alarms.chat import Chat
from cryptoquantix.alarms.delivery import Delivery, LogChannel
from cryptoquantix.alarms.desk import Allowed, Desk
from cryptoquantix.alarms.duties import NOTES, Duties, Habits
from cryptoquantix.alarms.keeper import Keeper
from cryptoquantix.alarms.listening import Listening, taker_name
from cryptoquantix.alarms.parts import Parts
from cryptoquantix.alarms.progress import Ledger
from cryptoquantix.alarms.reports import ReportWatch
from cryptoquantix.alarms.services import ServiceWatch
from cryptoquantix.alarms.telegram import Telegram
from cryptoquantix.alarms.texts import NO_CHANNEL
from cryptoquantix.alarms.watching import Patience, Watching
from cryptoquantix.core.clock import NS_PER_SECOND, Clock
from cryptoquantix.risk_client.operator import OperatorClient

_LOG = logging.getLogger(__name__)

_PULSE_SECONDS: Final = 5.0
_HANGING_SECONDS: Final = 120.0


@dataclass(frozen=True, slots=True)
class Plan:
    """
    How one alarms process works.

    ``allowed`` is None where no commands are taken; ``draw`` makes their codes.
    """

    folder: Path
    url: str
    required: tuple[str, ...]
    critical_only: tuple[str, ...]
    patience: Patience
    habits: Habits
    down_seconds: float
    allowed: Allowed | None
    draw: Callable[[], str]


class Pulse:
    """
    Ends the process when a loop has not come round for two minutes.

    A thread of its own, because a loop that hangs cannot look at itself.
    """

    def __init__(self, clock: Clock, end: Callable[[], None]) -> None:
        self._clock = clock
        self._end = end
        self._beats: dict[str, int] = {}
        self._stop = threading.Event()

    def beat_of(self, name: str) -> Callable[[], None]:
        """Return what the loop ``name`` calls each time it comes round."""

        def beat() -> None:
            self._beats[name] = self._clock.monotonic_ns()

        beat()
        return beat

    def start(self) -> None:
        """Begin to watch."""
        threading.Thread(target=self._watch, name="pulse", daemon=True).start()

    def stop(self) -> None:
        """End watching."""
        self._stop.set()

    def hanging(self) -> str:
        """Return the loop that hangs, or nothing."""
        now_ns = self._clock.monotonic_ns()
        for name, beat_ns in tuple(self._beats.items()):
            if now_ns - beat_ns > _HANGING_SECONDS * NS_PER_SECOND:
                return name
        return ""

    def _watch(self) -> None:
        times = 0
        while not self._stop.wait(_PULSE_SECONDS):
            # Twice: after the machine slept, the loops must get a turn first.
            times = times + 1 if self.hanging() else 0
            if times >= 2:
                _LOG.critical("the loop %s hangs: this process ends", self.hanging())
                self._end()
                return


def end_process() -> None:
    """End this process at once; what it knows is on the disk."""
    os._exit(70)


class Service:
    """
    One alarms process: its parts, and `run`.

    ``services`` is to be told what other services say of themselves, ``reports`` what
    execution reports.
    """

    def __init__(
        self,
        client: OperatorClient,
        channels: Sequence[Channel],
        plan: Plan,
        *,
        clock: Clock,
        end: Callable[[], None] = end_process,
    ) -> None:
        self._channels = list(channels) or [LogChannel()]
        self._is_reaching = bool(channels)
        self._keeper = Keeper(plan.folder)
        self._ledger = Ledger(
            self._keeper.open(),
            channels=[channel.name for channel in self._channels],
            required=plan.required,
            critical_only=plan.critical_only,
        )
        self._delivery = Delivery(
            self._ledger,
            self._channels,
            self._keeper,
            clock=clock,
            down_seconds=plan.down_seconds,
        )
        parts = Parts(
            client, self._ledger, self._keeper, self._delivery, clock, plan.url
        )
        self._pulse = Pulse(clock, end)
        watching = Watching(
            self._ledger, plan.patience, clock=clock, on_raised=self._delivery.wake
        )
        self.services = ServiceWatch(
            self._ledger, clock=clock, on_raised=self._delivery.wake
        )
        self.reports = ReportWatch(
            self._ledger, clock=clock, on_raised=self._delivery.wake
        )

        def tick() -> None:
            watching.tick()
            self.services.tick()
            self.reports.tick()

        self._duties = Duties(
            parts,
            plan.habits,
            notes=plan.folder / NOTES,
            watch=tick,
            beat=self._pulse.beat_of("duties"),
        )
        self._listening = Listening(
            parts,
            watching,
            taker="" if plan.habits.is_watch_only else taker_name(plan.folder),
            is_reaching=self._is_reaching,
            beat=self._pulse.beat_of("listening"),
        )
        self._chat = self._make_chat(parts, plan)

    async def run(self) -> None:
        """Deliver, listen, watch, answer; cancellation writes progress down."""
        if not self._is_reaching:
            _LOG.warning(NO_CHANNEL)
        self._pulse.start()
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._keeper.run(), name="alarms-keep")
                tasks.create_task(self._delivery.run(), name="alarms-deliver")
                tasks.create_task(self._listening.run(), name="alarms-listen")
                tasks.create_task(self._duties.run(), name="alarms-duties")
                if self._chat is not None:
                    tasks.create_task(self._chat.run(), name="alarms-chat")
        finally:
            self._pulse.stop()
            self._keeper.close()

    def _make_chat(self, parts: Parts, plan: Plan) -> Chat | None:
        telegram = next((c for c in self._channels if isinstance(c, Telegram)), None)
        if telegram is None or plan.allowed is None:
            return None
        return Chat(
            parts,
            telegram,
            Desk(plan.allowed, parts.clock, plan.draw),
            is_reading=lambda: self._listening.is_taking,
            seen=self._duties.seen,
        )

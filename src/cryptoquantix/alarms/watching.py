"""
The outside watchdog's judgement: silent, blind too long, alarms nobody takes.

It is told what was heard and puts alarms into the ledger; it asks and sends nothing.
One alarm each time, one all-clear after it, also across a restart.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from cryptoquantix.alarms.progress import CRITICAL, Ledger, key_of
from cryptoquantix.alarms.silence import Change, SilenceWatch
from cryptoquantix.alarms.texts import (
    again_text,
    queue_text,
    reading_text,
    silence_text,
)
from cryptoquantix.control.status import Alarm, RiskStatus
from cryptoquantix.core.clock import NS_PER_MS, Clock

_LOG = logging.getLogger(__name__)

SILENT: Final = "silent"
READING: Final = "reading"
QUEUE: Final = "queue"

type Text = Callable[[int, float], str]


@dataclass(frozen=True, slots=True)
class Patience:
    """How long, in seconds, each thing may be missing before it is an alarm."""

    silent_seconds: float
    reading_seconds: float
    queue_seconds: float


class Watching:
    """One process's view of one daemon."""

    def __init__(
        self,
        ledger: Ledger,
        patience: Patience,
        *,
        clock: Clock,
        on_raised: Callable[[], None],
    ) -> None:
        self._ledger = ledger
        self._clock = clock
        self._on_raised = on_raised
        limits = {
            SILENT: patience.silent_seconds,
            READING: patience.reading_seconds,
            QUEUE: patience.queue_seconds,
        }
        told = ledger.progress.silences
        self._watches = {
            name: SilenceWatch(seconds, clock.monotonic_ns(), is_silent=name in told)
            for name, seconds in limits.items()
        }
        self._oldest = ""
        self._problem = "nothing has been heard of it yet"

    def heard(self, problem: str) -> None:
        """Take whether the daemon is alive: ``problem`` says what is wrong, or ''."""
        self._problem = problem or "it does not answer"
        self._observe(
            SILENT,
            is_heard=not problem,
            text=lambda now_ns, seconds: silence_text(now_ns, seconds, problem),
        )

    def tick(self) -> None:
        """Let a second pass: a question that is not answered at all tells nothing."""
        self._observe(
            SILENT,
            is_heard=False,
            text=lambda now_ns, seconds: silence_text(now_ns, seconds, self._problem),
        )

    def status(self, status: RiskStatus | None, problem: str = "") -> None:
        """Take the age of the last complete reading; None where ``problem`` is."""
        age_ms = None if status is None else status.last_complete_reading_age_ms
        self._observe(
            READING,
            is_heard=age_ms is not None,
            age_ns=(age_ms or 0) * NS_PER_MS,
            text=lambda now_ns, seconds: reading_text(now_ns, seconds, problem),
        )

    def queue(self, alarms: Sequence[Alarm]) -> None:
        """Take the undelivered alarms that another process is to deliver."""
        oldest = key_of(alarms[0]) if alarms else ""
        is_moving = not oldest or oldest != self._oldest
        self._oldest = oldest
        self._observe(
            QUEUE,
            is_heard=is_moving,
            text=lambda now_ns, seconds: queue_text(now_ns, seconds, len(alarms)),
        )

    def _observe(
        self, name: str, *, is_heard: bool, text: Text, age_ns: int = 0
    ) -> None:
        change = self._watches[name].observe(
            is_heard=is_heard, monotonic_ns=self._clock.monotonic_ns(), age_ns=age_ns
        )
        if change is None:
            return
        now_ns, silences = self._clock.time_ns(), self._ledger.progress.silences
        what, seconds = change
        if what is Change.FELL_SILENT:
            told = text(now_ns, seconds)
            silences[name] = self._ledger.raise_own(told, CRITICAL, now_ns)
        else:
            told = again_text(name, now_ns, seconds)
            # What is over needs nobody to be called out of bed.
            self._ledger.seen([silences.pop(name, "")])
            self._ledger.raise_own(told, "info", now_ns)
        _LOG.warning("%s", told)
        self._on_raised()

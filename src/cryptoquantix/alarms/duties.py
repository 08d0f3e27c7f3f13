"""
What is due by the clock: repeating what nobody has seen, the daily report.

Also what a person acknowledged by command line, and a sign of life in the progress
file. Times are wall time, so that a restart goes on with them.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptoquantix.alarms.parts import Parts
from cryptoquantix.alarms.progress import CRITICAL, Unseen
from cryptoquantix.alarms.texts import (
    escalation_text,
    message,
    report_text,
    seen_text,
    watchdog_text,
)
from cryptoquantix.control.build import build_stamp
from cryptoquantix.control.status import RiskStatus
from cryptoquantix.core.clock import NS_PER_SECOND
from cryptoquantix.core.errors import DaemonError
from cryptoquantix.risk_client.verdict import problems, remarks

_LOG = logging.getLogger(__name__)

NOTES: Final = "acknowledged"
_TICK_SECONDS: Final = 1.0
_SLOW_TICKS: Final = 10
_NOTES_MAX: Final = 100
_NOTE_LENGTH_MAX: Final = 2_000
_WHO_MAX: Final = 100


@dataclass(frozen=True, slots=True)
class Habits:
    """When what is due; ``escalation`` empty: every channel."""

    escalate_seconds: float
    escalations_max: int
    escalation: tuple[str, ...]
    all_clear_at: str
    is_watch_only: bool


class Duties:
    """One process's clockwork."""

    def __init__(
        self,
        parts: Parts,
        habits: Habits,
        *,
        notes: Path,
        watch: Callable[[], None],
        beat: Callable[[], None] = lambda: None,
    ) -> None:
        self._client = parts.client
        self._ledger = parts.ledger
        self._keeper = parts.keeper
        self._delivery = parts.delivery
        self._clock = parts.clock
        self._url = parts.url
        self._habits = habits
        self._notes = notes
        self._watch = watch
        self._beat = beat
        self._told_problem = ""

    async def run(self) -> None:
        """Do what is due, for ever; cancellation ends it between two duties."""
        ticks = 0
        while True:
            await self._tick()
            if ticks % _SLOW_TICKS == 0:
                self._ledger.progress.time_ns = self._clock.time_ns()
                self._keeper.changed()
            ticks += 1
            self._beat()
            await asyncio.sleep(_TICK_SECONDS)

    async def _tick(self) -> None:
        for who in take_notes(self._notes):
            self.seen(who)
        self._watch()
        self._escalate()
        self._tell_problem()
        day, is_first = day_due(
            self._clock.time_ns(),
            self._habits.all_clear_at,
            self._ledger.progress.all_clear_day,
        )
        if day:
            self._ledger.progress.all_clear_day = day
            self._keeper.changed()
            if not is_first:
                await self._report()

    def seen(self, who: str) -> int:
        """Note that ``who`` has seen all critical alarms; return how many."""
        found = self._ledger.seen()
        if not found:
            return 0
        _LOG.warning("%s has acknowledged %d alarms", who, len(found))
        if any(one.times for one in found):
            now_ns = self._clock.time_ns()
            text = seen_text(now_ns, who, len(found))
            self._ledger.raise_own(text, "info", now_ns, channels=self._escalation())
        self._delivery.wake()
        return len(found)

    def _escalate(self) -> None:
        now_ns = self._clock.time_ns()
        due = escalations_due(
            self._ledger.progress.unseen,
            now_ns,
            seconds=self._habits.escalate_seconds,
            times_max=self._habits.escalations_max,
        )
        if not due:
            return
        for one in due:
            one.told_ns = now_ns
            one.times += 1
        minutes = (now_ns - min(one.since_ns for one in due)) / NS_PER_SECOND / 60
        self._ledger.raise_own(
            escalation_text(now_ns, [one.text for one in due], minutes),
            CRITICAL,
            now_ns,
            channels=self._escalation(),
            needs_person=False,
        )
        self._delivery.wake()

    def _escalation(self) -> list[str]:
        wanted = self._habits.escalation or self._ledger.channels
        return [name for name in self._ledger.channels if name in wanted]

    def _tell_problem(self) -> None:
        """Tell once what is wrong with our own memory."""
        problem = self._keeper.problem or self._keeper.notice
        if problem == self._told_problem:
            return
        self._told_problem = problem
        self._keeper.notice = ""
        if problem:
            now_ns = self._clock.time_ns()
            text = message("warning", now_ns, problem)
            self._ledger.raise_own(text, "warning", now_ns)
            self._delivery.wake()

    async def _report(self) -> None:
        status: RiskStatus | None = None
        wrong, notes = [], []
        try:
            status = await self._client.status()
        except DaemonError as error:
            wrong = [str(error)]
        else:
            wrong, notes = problems(status, build_stamp()), remarks(status)
        now_ns = self._clock.time_ns()
        if self._habits.is_watch_only:
            text = watchdog_text(now_ns, status, self._url)
        else:
            text = report_text(now_ns, status, wrong, notes)
        # Nothing that calls people: what is wrong has alarmed on its own.
        severity = "warning" if wrong else "info"
        self._ledger.raise_own(text, severity, now_ns)
        self._delivery.wake()


def escalations_due(
    unseen: list[Unseen], now_ns: int, *, seconds: float, times_max: int
) -> list[Unseen]:
    """
    Return what is to be repeated now.

    What was told in the future (the wall clock was set back) counts as told now.
    """
    due = []
    for one in unseen:
        one.told_ns = min(one.told_ns, now_ns)
        is_old = now_ns - one.told_ns >= seconds * NS_PER_SECOND
        if is_old and one.times < times_max:
            due.append(one)
    return due


def day_due(now_ns: int, at: str, last_day: str) -> tuple[str, bool]:
    """
    Return the day to note as reported, or nothing, and whether it is the first ever.

    A first start reports nothing of the past; days that were missed are one report.

    Examples
    --------
    >>> noon = 1_700_000_000 * 10**9  # 2023-11-14 22:13:20 UTC
    >>> day_due(noon, "07:00", "2023-11-13")
    ('2023-11-14', False)
    >>> day_due(noon, "23:00", "2023-11-13")
    ('', False)
    """
    if not at:
        return "", False
    now = datetime.fromtimestamp(now_ns / NS_PER_SECOND, UTC)
    is_past = f"{now:%H:%M}" >= at
    newest = f"{now if is_past else now - timedelta(days=1):%Y-%m-%d}"
    if not last_day:
        return newest, True
    return (newest, False) if newest > last_day else ("", False)


def write_note(folder: Path, who: str, time_ns: int) -> Path:
    """Leave a note that ``who`` has seen the alarms, for the process of ``folder``."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / f"{time_ns}-{os.getpid()}.json"
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps({"who": who[:_WHO_MAX]}))
    fresh.replace(path)
    return path


def take_notes(folder: Path) -> list[str]:
    """Return who left a note, and take the notes away."""
    found = []
    for path in sorted(folder.glob("*.json"))[:_NOTES_MAX]:
        try:
            who = json.loads(path.read_text()[:_NOTE_LENGTH_MAX])["who"]
            found.append(str(who)[:_WHO_MAX])
        except (OSError, ValueError, KeyError, TypeError):
            _LOG.warning("%s is no acknowledgement", path)
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            _LOG.warning("cannot take %s away: %s", path, error)
    return found

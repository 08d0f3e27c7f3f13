"""
What execution reports to a person, told as alarms; it judges none of it.

Reports come in floods (somebody trades the account by hand all day) and again after
each restart of execution: one alarm an hour of a kind and an instrument, with how many
there were, and what does not change once a day.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from cryptoquantix.alarms.progress import Ledger, Told
from cryptoquantix.alarms.texts import told_text
from cryptoquantix.core.clock import NS_PER_SECOND, Clock

QUIET_SECONDS: Final = 3_600.0
SAME_SECONDS: Final = 86_400.0
KEYS_MAX: Final = 1024
TOLD_MAX: Final = 256
_QUIET_NS: Final = int(QUIET_SECONDS * NS_PER_SECOND)
_SAME_NS: Final = int(SAME_SECONDS * NS_PER_SECOND)
# Of each place; execution shows fewer.
_NEWEST: Final = 64
# The same words are not the same event where each is counted once.
_COUNTED: Final = "foreign fills"

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Reported:
    """One report; ``key`` tells it from every other one."""

    key: str
    time_ns: int
    kind: str
    subject: str
    text: str

    @property
    def place(self) -> str:
        """What shares one alarm an hour."""
        return f"{self.kind} {self.subject}"


class ReportWatch:
    """One process's view of the reports that reach it, again and again."""

    def __init__(
        self, ledger: Ledger, *, clock: Clock, on_raised: Callable[[], None]
    ) -> None:
        self._ledger = ledger
        self._clock = clock
        self._on_raised = on_raised
        self._waiting: dict[str, dict[str, Reported]] = {}

    def heard(self, reports: Iterable[Reported]) -> None:
        """Take the newest reports, oldest first; what was taken before is let be."""
        now_ns = self._clock.time_ns()
        for report in reports:
            if report.key in self._ledger.progress.reports:
                continue
            if now_ns - report.time_ns >= _SAME_NS or self._is_known(report):
                self._taken([report.key])
            else:
                self._waiting.setdefault(report.place, {})[report.key] = report

    def tick(self) -> None:
        """Let a second pass."""
        now_ns = self._clock.time_ns()
        told = self._ledger.progress.reports_told
        for place, reports in list(self._waiting.items()):
            before = told.pop(place, None)
            # A clock set back makes no alarm wait.
            if before is not None and 0 <= now_ns - before.time_ns < _QUIET_NS:
                told[place] = before
                continue
            del self._waiting[place]
            newest = list(reports.values())[-1]
            self._taken(list(reports)[-_NEWEST:])
            told[place] = Told(now_ns, newest.text)
            for oldest in list(told)[:-TOLD_MAX]:
                del told[oldest]
            what = f"{newest.kind}, {newest.subject}: {newest.text}"
            text = told_text(now_ns, what, len(reports) - 1)
            self._ledger.raise_own(text, "warning", now_ns)
            _LOG.warning("%s", text)
            self._on_raised()

    def _taken(self, keys: list[str]) -> None:
        taken = self._ledger.progress.reports
        taken += keys
        del taken[:-KEYS_MAX]

    def _is_known(self, report: Reported) -> bool:
        """Return whether the same was told today: a restart reports it again."""
        told = self._ledger.progress.reports_told.get(report.place)
        age_ns = 0 if told is None else self._clock.time_ns() - told.time_ns
        return (
            told is not None
            and report.kind != _COUNTED
            and told.text == report.text
            and 0 <= age_ns < _SAME_NS
        )

"""
What other services say is wrong with them: one alarm each, one all-clear after it.

It is told what was heard, puts alarms into the ledger, and asks nobody. These are
warnings: the daemon guards the money without any of these services.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from cryptoquantix.alarms.progress import Ledger
from cryptoquantix.alarms.texts import service_again_text, service_text
from cryptoquantix.core.clock import NS_PER_SECOND, Clock

# A disk with room for a moment is full again the next.
CALM_SECONDS: Final = 10.0
SILENT_SECONDS: Final = 60.0
# From this process's own start: others start beside it, and compile first.
ABSENT_SECONDS: Final = 120.0
_SILENT_NS: Final = int(SILENT_SECONDS * NS_PER_SECOND)
_ABSENT_NS: Final = int(ABSENT_SECONDS * NS_PER_SECOND)
_PREFIX: Final = "service:"

_LOG = logging.getLogger(__name__)


@dataclass(slots=True)
class _Service:
    """What one service said last; times are monotonic."""

    problem: str
    since_ns: int  # it has had a problem, or none, since
    heard_ns: int
    patience_ns: int = 0
    is_part: bool = False
    is_expected: bool = False  # and was not heard yet


class ServiceWatch:
    """
    One process's view of the services whose reports reach it.

    What was told before a restart is not told again. A service that was heard once and
    then says nothing for a minute has a problem too, and so has one that is expected
    and never heard. A part of a service falls silent with it: that is told once.
    """

    def __init__(
        self, ledger: Ledger, *, clock: Clock, on_raised: Callable[[], None]
    ) -> None:
        self._ledger = ledger
        self._clock = clock
        self._on_raised = on_raised
        self._services: dict[str, _Service] = {}

    def expect(self, name: str) -> None:
        """Take it for a problem where ``name`` is not heard for two minutes."""
        now_ns = self._clock.monotonic_ns()
        self._services.setdefault(name, _Service("", now_ns, now_ns, is_expected=True))

    def heard(
        self,
        name: str,
        problem: str,
        patience_seconds: float = 0.0,
        *,
        is_part: bool = False,
    ) -> None:
        """Take a service's report: an alarm once ``problem`` lasts long enough."""
        now_ns = self._clock.monotonic_ns()
        patience_ns = int(patience_seconds * NS_PER_SECOND)
        before = self._services.get(name)
        since_ns = now_ns
        if (
            before is not None
            and not before.is_expected
            and now_ns - before.heard_ns <= _SILENT_NS
            and bool(before.problem) == bool(problem)
        ):
            since_ns = before.since_ns
        self._services[name] = _Service(
            problem, since_ns, now_ns, patience_ns, is_part=is_part
        )

    def tick(self) -> None:
        """Let a second pass."""
        now_ns = self._clock.monotonic_ns()
        for name, service in self._services.items():
            silent_ns = now_ns - service.heard_ns
            if service.is_expected:
                if silent_ns > _ABSENT_NS:
                    self._fails(name, "nothing was heard of it since alarms began")
            elif silent_ns > _SILENT_NS:
                if not service.is_part:
                    seconds = silent_ns / NS_PER_SECOND
                    self._fails(name, f"it has said nothing for {seconds:.0f} s")
            else:
                self._judge(name, service, now_ns)

    def _judge(self, name: str, service: _Service, now_ns: int) -> None:
        """Judge one that is heard, by what it says."""
        if not service.problem:
            if now_ns - service.since_ns >= CALM_SECONDS * NS_PER_SECOND:
                self._is_well(name)
        elif service.heard_ns - service.since_ns >= service.patience_ns:
            self._fails(name, service.problem)

    def _fails(self, name: str, problem: str) -> None:
        told = self._ledger.progress.silences
        if _PREFIX + name in told:
            return
        now_ns = self._clock.time_ns()
        text = service_text(now_ns, name, problem)
        told[_PREFIX + name] = self._ledger.raise_own(text, "warning", now_ns)
        self._tell(text)

    def _is_well(self, name: str) -> None:
        if self._ledger.progress.silences.pop(_PREFIX + name, None) is None:
            return
        now_ns = self._clock.time_ns()
        text = service_again_text(now_ns, name)
        self._ledger.raise_own(text, "info", now_ns)
        self._tell(text)

    def _tell(self, text: str) -> None:
        _LOG.warning("%s", text)
        self._on_raised()

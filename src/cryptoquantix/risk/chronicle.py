"""
What the daemon writes down and tells (audit, alarms, drills); it decides nothing.

Nothing here waits for the disk but what a person waits for.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from cryptoquantix.control.status import DrillResult
from cryptoquantix.core.clock import Clock
from cryptoquantix.risk.durable import DurableStore
from cryptoquantix.risk.store import DRILL_KIND


class Chronicle:
    """
    The audit log and the alarm queue, as one daemon writes them.

    ``drill`` is the newest result of a drill.
    """

    def __init__(self, durable: DurableStore, clock: Clock) -> None:
        self._durable = durable
        self._clock = clock
        self.alarms_undelivered = durable.store.alarms_undelivered()
        self.drill: DrillResult | None = next(iter(durable.store.drills()), None)

    def note(self, text: str) -> None:
        """Record one sentence in the audit log."""
        self.record("note", {"text": text})

    def record(self, kind: str, entry: dict[str, object]) -> None:
        """Record one event in the audit log, without waiting for the disk."""
        now_ns = self._clock.time_ns()
        self._durable.post(lambda: self._durable.store.record(now_ns, kind, entry))

    def alarm(self, severity: str, text: str) -> None:
        """Queue one alarm; its delivery is another process's business."""
        now_ns = self._clock.time_ns()
        self.alarms_undelivered += 1
        self._durable.keep(
            lambda: self._durable.store.queue_alarm(now_ns, severity, text)
        )

    async def acknowledge(self, alarm_id: int) -> bool:
        """Take one alarm as delivered; return whether there is such an alarm."""
        now_ns = self._clock.time_ns()
        is_known = await self._durable.write(
            lambda: self._durable.store.acknowledge(alarm_id, now_ns)
        )
        count = self._durable.store.alarms_undelivered
        self.alarms_undelivered = await self._durable.ask(count)
        return is_known

    async def add_drill(self, result: DrillResult) -> None:
        """Append the result of a drill to the audit log."""
        entry: dict[str, Any] = asdict(result)
        await self._durable.write(
            lambda: self._durable.store.record(result.time_ns, DRILL_KIND, entry)
        )
        self.drill = result

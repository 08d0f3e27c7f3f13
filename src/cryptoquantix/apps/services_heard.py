"""The services' own reports, from the bus to the alarms; it alters neither."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import nats.errors
from nats.aio.msg import Msg

from cryptoquantix.alarms.reports import Reported, ReportWatch
from cryptoquantix.alarms.services import ServiceWatch
from cryptoquantix.apps.settings import Settings
from cryptoquantix.apps.status_reading import execution_problem, reading_problem
from cryptoquantix.bus.connection import connect
from cryptoquantix.bus.messages import (
    ExecutionStatus,
    FeedStatus,
    MessageDecoder,
    RecorderStatus,
    StrategyStatus,
    ToldReport,
)
from cryptoquantix.bus.subjects import (
    EXECUTION_STATUS,
    RECORDER_STATUS,
    STRATEGY_STATUS,
)
from cryptoquantix.control.permit import PermitMode
from cryptoquantix.core.errors import SettingsError
from cryptoquantix.live.reconcile import POSITION_DIFFERS

# A feed dials again by itself, and fetches what it missed; a venue answers again.
PATIENCE_SECONDS: Final = 60.0
# A person who arms takes a look first.
PERMIT_SECONDS: Final = 300.0
# A strategy asks the venue for days of bars, by and by.
HISTORY_SECONDS: Final = 600.0
EXECUTION: Final = "execution"
STRATEGY: Final = "strategy service"

_log = logging.getLogger(__name__)


async def hear_services(
    settings: Settings, watch: ServiceWatch, reports: ReportWatch
) -> None:
    """
    Pass on what the services say once a second, for ever.

    A bus that is away is waited for; one that cannot be used is said once in the log:
    the alarms of the daemon do not need it. Cancellation closes the connection.
    """
    hearing = Hearing(watch, reports)
    if settings.strategies:
        hearing.expect_trading()
    try:
        client = await connect(settings.nats.url, "alarms")
    except (SettingsError, nats.errors.Error, OSError) as error:
        _log.warning("services are not heard", extra={"error": str(error)})
        return
    try:
        for subject, kind, take in hearing.subjects():
            await client.subscribe(subject, cb=_reader(kind, take))
        await asyncio.get_running_loop().create_future()
    finally:
        await client.close()


@dataclass(frozen=True, slots=True)
class Hearing:
    """What each service's status means for a person who sleeps."""

    watch: ServiceWatch
    reports: ReportWatch

    def subjects(self) -> list[tuple[str, Any, Callable[[Any], None]]]:
        """Return where each status comes from, of which kind, and who takes it."""
        return [
            ("feed.*", FeedStatus, self.on_feed),
            (RECORDER_STATUS, RecorderStatus, self.on_recorder),
            (STRATEGY_STATUS, StrategyStatus, self.on_strategy),
            (EXECUTION_STATUS, ExecutionStatus, self.on_execution),
        ]

    def expect_trading(self) -> None:
        """Miss what trades where it is never heard."""
        self.watch.expect(EXECUTION)
        self.watch.expect(STRATEGY)

    def on_feed(self, status: FeedStatus) -> None:
        """Take a feed's status."""
        problem = "" if status.connected else "its market data are cut off"
        self.watch.heard(f"feed of {status.venue}", problem, PATIENCE_SECONDS)

    def on_recorder(self, status: RecorderStatus) -> None:
        """Take the recorder's status."""
        self.watch.heard("recorder", status.problem)

    def on_strategy(self, status: StrategyStatus) -> None:
        """
        Take one strategy's status.

        All that trade at a venue share its market data, and all share the bus: a
        hundred strategies are not a hundred alarms. History each has its own.
        """
        waiting = status.targets_unpublished
        problem = f"{waiting} targets wait for the bus" if waiting else ""
        self.watch.heard(STRATEGY, problem, PATIENCE_SECONDS)
        venue = status.instrument.partition(":")[0]
        stale = "its market data are stale: the targets stand"
        self.watch.heard(
            f"{STRATEGY} at {venue}",
            stale if status.is_stale else "",
            PATIENCE_SECONDS,
            is_part=True,
        )
        # One that hears no market has an alarm already.
        is_live = status.is_stale or status.state == "live"
        self.watch.heard(
            f"strategy {status.strategy} on {status.instrument}",
            "" if is_live else f"it is {status.state} still: its last target stands",
            HISTORY_SECONDS,
            is_part=True,
        )

    def on_execution(self, status: ExecutionStatus) -> None:
        """Take execution's status, and what it reports."""
        problem, patience = execution_problem(status), PATIENCE_SECONDS
        if not problem and status.permit == PermitMode.REDUCE_ONLY:
            why = f": {status.permit_reason}" if status.permit_reason else ""
            problem, patience = f"it may only reduce{why}", PERMIT_SECONDS
        self.watch.heard(EXECUTION, problem, patience)
        for venue, read_ns in status.read_ns.items():
            is_away = venue in status.unreachable
            self.watch.heard(
                f"{EXECUTION} at {venue}",
                reading_problem(read_ns, is_away=is_away, now_ns=status.time_ns),
                PATIENCE_SECONDS,
                is_part=True,
            )
        self.reports.heard(_reported(one) for one in status.reports if _wakes(one.kind))


def _reported(one: ToldReport) -> Reported:
    # A new journal counts from one again.
    key = f"{one.sequence}@{one.time_ns}"
    # A foreign order's subject has its number behind the instrument.
    subject = one.subject.partition(" ")[0]
    return Reported(key, one.time_ns, one.kind, subject, one.text)


def _wakes(kind: str) -> bool:
    """Return whether a report is of something that nobody here did."""
    return kind.startswith("foreign") or kind in {
        POSITION_DIFFERS,
        "order not followed",
    }


def _reader(kind: Any, take: Callable[[Any], None]) -> Callable[[Msg], Any]:  # noqa: ANN401 - any status
    decoder = MessageDecoder(kind)

    async def on_message(message: Msg) -> None:
        status = decoder.decode(message.data)
        if status is not None:
            take(status)

    return on_message

"""
Execution's status on the bus, once a second and to whoever asks; it steers nothing.

Whoever plays a tape bar by bar waits for it: the newest target that was followed, and
whether anything is still under way. A question may ask for a fresh reading of the
accounts first; readings have a price, so they are not begun more often than paced.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from cryptoquantix.bus.connection import connect
from cryptoquantix.bus.messages import (
    ExecutionStatus,
    FollowedTarget,
    HeldPosition,
    ToldReport,
    encode,
)
from cryptoquantix.bus.subjects import EXECUTION_ASK, EXECUTION_STATUS, READ_FIRST
from cryptoquantix.control.build import build_stamp
from cryptoquantix.core.clock import NS_PER_MS, Clock
from cryptoquantix.core.errors import JournalError
from cryptoquantix.journal.store import Journal
from cryptoquantix.live.events import Held, PermitSource
from cryptoquantix.live.execution import Execution

STATUS_SECONDS: Final = 1.0
REPORTS_MAX: Final = 16
_READ_NS_MIN: Final = 20 * NS_PER_MS

_LOG = logging.getLogger(__name__)


class ExecutionReporter:
    """Says on the bus at ``url`` how far ``execution`` has come."""

    def __init__(  # noqa: PLR0917 - the parts of one composition
        self,
        url: str,
        execution: Execution,
        permits: PermitSource,
        clock: Clock,
        journal: Journal,
    ) -> None:
        self._url = url
        self._execution = execution
        self._permits = permits
        self._clock = clock
        self._journal = journal
        self._reports: list[ToldReport] = []
        self._read_ns = -_READ_NS_MIN

    async def run(self) -> None:
        """Report for ever, through restarts of the server; cancellation closes."""
        client = await connect(self._url, "execution status")
        try:
            await client.subscribe(EXECUTION_ASK, cb=self._answer)
            while True:
                self._look_for_reports()
                await _publish(client, EXECUTION_STATUS, encode(self.status()))
                await asyncio.sleep(STATUS_SECONDS)
        finally:
            await client.close()

    def status(self) -> ExecutionStatus:
        """Return how far every target has been followed."""
        permit = self._permits.current()
        desks = self._execution.desks
        now_ns = self._clock.monotonic_ns()
        return ExecutionStatus(
            time_ns=self._clock.time_ns(),
            build=build_stamp(),
            permit="" if permit is None else permit.answer.mode.value,
            read_ns={desk.venue.value: desk.read_ns for desk in desks},
            targets=[
                FollowedTarget(
                    strategy=one.strategy,
                    instrument=str(one.instrument),
                    bar_close_ns=one.bar_ns,
                    sequence=one.sequence,
                    held_lots=one.held_lots,
                    is_idle=one.is_idle,
                )
                for desk in desks
                for one in desk.followed()
            ],
            permit_age_ns=-1
            if permit is None
            else now_ns - permit.requested_monotonic_ns,
            unreachable=[desk.venue.value for desk in desks if desk.is_unreachable],
            positions=[_position(one) for desk in desks for one in desk.held()],
            permit_reason="" if permit is None else permit.answer.reason,
            reports=self._reports,
        )

    def _look_for_reports(self) -> None:
        try:
            found = self._journal.newest_reports(REPORTS_MAX)
        except JournalError as error:
            # Whoever writes it finds out, and ends; a status ends nothing.
            _LOG.debug("reports not read", extra={"error": str(error)})
            return
        self._reports = [
            ToldReport(number, one.time_ns, one.kind, one.subject, one.text)
            for number, one in found
        ]

    async def _answer(self, message: Msg) -> None:
        now_ns = self._clock.monotonic_ns()
        if message.data == READ_FIRST and now_ns - self._read_ns >= _READ_NS_MIN:
            self._read_ns = now_ns
            for desk in self._execution.desks:
                desk.read_soon()
        if message.reply:
            try:
                await message.respond(encode(self.status()))
            except nats.errors.Error as error:
                _LOG.debug("status not told", extra={"error": str(error)})


def _position(held: Held) -> HeldPosition:
    instrument, position = held.instrument, held.position
    lots = 0 if position is None else position.size_lots
    return HeldPosition(
        instrument=str(instrument.id),
        size=f"{lots * instrument.lot_size:f}",
        unit=instrument.quote if instrument.is_inverse else instrument.base,
        entry_price="" if position is None else f"{position.entry_price:f}",
        mark_price="" if position is None else f"{position.mark_price:f}",
        pnl_unrealized="" if position is None else f"{position.pnl_unrealized:f}",
        currency=instrument.settlement,
        orders=held.orders,
        is_traded=held.is_traded,
    )


async def _publish(client: Client, subject: str, data: bytes) -> None:
    try:
        await client.publish(subject, data)
    except nats.errors.Error as error:
        _LOG.debug("status not published", extra={"error": str(error)})

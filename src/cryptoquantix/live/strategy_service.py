"""
Strategies on live bars: ticks to bars to targets on the bus; it places no order.

Any number of strategies and instruments, each of them in a runner of its own
(:mod:`cryptoquantix.live.strategy_runner`). Stale data change no target: the last one
stands, and the status says so.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from cryptoquantix.bus import subjects
from cryptoquantix.bus.connection import (
    SUBSCRIPTION_BYTES_MAX,
    SUBSCRIPTION_MESSAGES_MAX,
)
from cryptoquantix.bus.messages import (
    WARMING,
    FeedStatus,
    MessageDecoder,
    QuoteMessage,
    StrategyStatus,
    TickBatch,
    encode,
)
from cryptoquantix.control.build import build_stamp
from cryptoquantix.core.clock import NS_PER_SECOND, Clock
from cryptoquantix.core.instrument import InstrumentId, Venue
from cryptoquantix.live.bar_seam import SeamState
from cryptoquantix.live.snapshot import SnapshotWriter
from cryptoquantix.live.strategy_runner import StrategyRunner
from cryptoquantix.live.target_publisher import TargetPublisher

FEED_SILENT_NS: Final = 3 * NS_PER_SECOND
STATUS_SECONDS: Final = 1.0

_log = logging.getLogger(__name__)


class StrategyService:
    """Any number of runners, fed from the bus."""

    def __init__(  # noqa: PLR0917 - five parts, all needed
        self,
        runners: list[StrategyRunner],
        publisher: TargetPublisher,
        client: Client,
        clock: Clock,
        writer: SnapshotWriter | None = None,
    ) -> None:
        self._runners = runners
        self._writer = writer
        self._publisher = publisher
        self._client = client
        self._clock = clock
        self._batches = MessageDecoder(TickBatch)
        self._quotes = MessageDecoder(QuoteMessage)
        self._statuses = MessageDecoder(FeedStatus)
        self._feeds: dict[str, tuple[int, FeedStatus]] = {}
        self._was_stale: dict[str, bool] = {}
        self._by_ticks = self._by(subjects.ticks)
        self._by_quotes = self._by(subjects.quotes)

    async def run(self) -> None:
        """Subscribe and serve, for ever; cancellation drops what is in flight."""
        for subject in self._by_quotes:
            await self._client.subscribe(subject, cb=self._on_quote)
        for subject in self._by_ticks:
            await self._client.subscribe(
                subject,
                cb=self._on_ticks,
                pending_msgs_limit=SUBSCRIPTION_MESSAGES_MAX,
                pending_bytes_limit=SUBSCRIPTION_BYTES_MAX,
            )
        for venue in {runner.plan.instrument.venue for runner in self._runners}:
            await self._client.subscribe(subjects.feed(venue), cb=self._on_feed)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._publisher.run())
            if self._writer is not None:
                group.create_task(self._writer.run())
            for runner in self._runners:
                group.create_task(runner.run())
            group.create_task(self._report())

    def _by(
        self, subject_of: Callable[[InstrumentId], str]
    ) -> dict[str, list[StrategyRunner]]:
        """Return the runners that listen to each subject."""
        found: dict[str, list[StrategyRunner]] = {}
        for runner in self._runners:
            found.setdefault(subject_of(runner.plan.instrument), []).append(runner)
        return found

    async def _on_ticks(self, message: Msg) -> None:
        batch = self._batches.decode(message.data)
        if batch is not None:
            for runner in self._by_ticks[message.subject]:
                runner.on_batch(batch)

    async def _on_quote(self, message: Msg) -> None:
        quote = self._quotes.decode(message.data)
        if quote is not None:
            for runner in self._by_quotes[message.subject]:
                runner.on_quote(quote)

    def is_stale(self, venue: Venue) -> bool:
        """Return whether the feed of ``venue`` is silent or not connected."""
        heard = self._feeds.get(venue.value)
        if heard is None:
            return True
        age_ns = self._clock.monotonic_ns() - heard[0]
        return age_ns > FEED_SILENT_NS or not heard[1].connected

    async def _on_feed(self, message: Msg) -> None:
        status = self._statuses.decode(message.data)
        if status is not None:
            self._feeds[status.venue] = (self._clock.monotonic_ns(), status)

    async def _report(self) -> None:
        while True:
            await asyncio.sleep(STATUS_SECONDS)
            for runner in self._runners:
                status = self._status(runner)
                self._log_staleness(runner.plan.key, is_stale=status.is_stale)
                try:
                    await self._client.publish(subjects.STRATEGY_STATUS, encode(status))
                except nats.errors.Error as error:
                    _log.debug("status not published", extra={"error": str(error)})

    def _log_staleness(self, key: str, *, is_stale: bool) -> None:
        if self._was_stale.get(key) != is_stale:
            self._was_stale[key] = is_stale
            _log.log(
                logging.WARNING if is_stale else logging.INFO,
                "feed stale: the target stands" if is_stale else "feed live",
                extra={"target_key": key},
            )

    def _status(self, runner: StrategyRunner) -> StrategyStatus:
        seam = runner.seam
        return StrategyStatus(
            strategy=runner.plan.name,
            instrument=str(runner.plan.instrument),
            build=build_stamp(),
            time_ns=self._clock.time_ns(),
            state=_state(runner),
            is_stale=self.is_stale(runner.plan.instrument.venue),
            bars=runner.bars,
            bar_close_ns=runner.bar_close_ns,
            target=runner.target,
            sequence=runner.sequence,
            gaps=seam.gaps,
            rebuilds=runner.rebuilds,
            ticks=seam.ticks,
            ticks_late=seam.late,
            messages_refused=self._batches.refused + runner.refused,
            targets_unpublished=self._publisher.waiting,
            bars_held=len(runner.held),
            warmup_bars=runner.plan.warmup_bars,
        )


def _state(runner: StrategyRunner) -> str:
    """Return the seam's state, or that its live bars do not make a target yet."""
    is_live = runner.seam.state is SeamState.LIVE
    return WARMING if is_live and not runner.is_warm else runner.seam.state.value

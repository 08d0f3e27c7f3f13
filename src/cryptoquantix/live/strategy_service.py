"""
Strategies on live bars: ticks to bars to targets on the bus; it places no order.

Each strategy is warmed up from fetched bars and then steps once per closed live bar,
with the same compiled step as research. A bar is closed by the first print after it
or, in a quiet market, once the venue's time has passed it and the venue itself says
that nothing was printed since. Stale data change no target: the last one
stands, and the status says so. Where ticks are missing, the bars of the gap are
fetched from the venue before the strategy goes on (:mod:`cryptoquantix.live.bar_seam`).
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
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
    FeedStatus,
    MessageDecoder,
    QuoteMessage,
    StrategyStatus,
    Target,
    TickBatch,
    encode,
)
from cryptoquantix.control.build import build_stamp
from cryptoquantix.core.clock import NS_PER_SECOND, Clock
from cryptoquantix.core.errors import VenueError
from cryptoquantix.core.instrument import InstrumentId, Venue
from cryptoquantix.core.market import Bar, Tick
from cryptoquantix.live.bar_seam import BarSeam, Span
from cryptoquantix.live.target_publisher import TargetPublisher
from cryptoquantix.live.warmup import History
from cryptoquantix.strategies.stepper import Stepper
from cryptoquantix.venues.backoff import Backoff

# Prints that are only late are here by then; a tape that plays fast is never so quiet.
QUIET_NS: Final = 2 * NS_PER_SECOND
_QUIET_POLL_SECONDS: Final = 0.5
# A venue that has a newer print than we saw: the feed finds out why, we look again.
_QUIET_RETRY_SECONDS: Final = 10.0
FEED_SILENT_NS: Final = 3 * NS_PER_SECOND
STATUS_SECONDS: Final = 1.0
_CHUNK_BARS: Final = 2_000

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StrategyPlan:
    """One strategy on one instrument; ``make_stepper`` gives it a fresh state."""

    name: str
    instrument: InstrumentId
    bar_seconds: int
    warmup_bars: int
    make_stepper: Callable[[], Stepper]

    @property
    def interval_ns(self) -> int:
        """Length of a bar."""
        return self.bar_seconds * NS_PER_SECOND

    @property
    def key(self) -> str:
        """Where its targets stand."""
        return subjects.target_key(self.name, self.instrument)


class StrategyRunner:
    """
    One strategy on one instrument: its bars, its state and its targets.

    Parameters
    ----------
    plan : StrategyPlan
        What to run.
    history : History
        Where bars that were not seen live come from.
    publisher : TargetPublisher
        Where targets go.
    last : Target or None
        The target that stands, of a run before this one: its sequence is continued,
        and the warm-up starts at the same bar, so that the state is the same.
    backoff : Backoff
        Between attempts to fetch bars.
    clock : Clock
        Stamps targets.
    """

    def __init__(  # noqa: PLR0917 - six parts, all needed
        self,
        plan: StrategyPlan,
        history: History,
        publisher: TargetPublisher,
        last: Target | None,
        backoff: Backoff,
        clock: Clock,
    ) -> None:
        self.plan = plan
        self.seam = BarSeam(plan.interval_ns)
        self.refused = 0
        self.rebuilds = 0
        self.bars = 0
        self.bar_close_ns = 0
        self.target = 0.0
        self.sequence = last.sequence if last is not None else 0
        self._history = history
        self._publisher = publisher
        self._backoff = backoff
        self._clock = clock
        self._stepper = plan.make_stepper()
        self._first_open_ns = last.warmup_from_ns if last is not None else 0
        self._wake = asyncio.Event()
        self._heard_ns = clock.monotonic_ns()
        self._quote_ns = 0

    def on_quote(self, quote: QuoteMessage) -> None:
        """Take the venue's time: quotes go on where trades do not."""
        self._quote_ns = quote.venue_time_ns

    def on_batch(self, batch: TickBatch) -> None:
        """Take prints as they arrive; step on every bar that they close."""
        try:
            steps = (Decimal(batch.tick_size), Decimal(batch.lot_size))
        except ArithmeticError:
            self.refused += 1
            return
        self._heard_ns = self._clock.monotonic_ns()
        add, follows = self.seam.add, batch.follows
        for tick in batch.ticks:
            for bar in add(Tick(*tick), *steps, follows):
                self._step(bar)
                self._publish(bar)
            follows = tick[4]  # nothing is missing within a batch
        if self.seam.wanted() is not None:
            self._wake.set()

    async def run(self) -> None:
        """Fetch missing bars and close quiet ones, for ever; see :meth:`on_batch`."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._fetch_for_ever())
            group.create_task(self._close_quiet_for_ever())

    async def _close_quiet_for_ever(self) -> None:
        while True:
            await asyncio.sleep(_QUIET_POLL_SECONDS)
            until_ns = self._quote_ns
            silent_ns = self._clock.monotonic_ns() - self._heard_ns
            if silent_ns < QUIET_NS or not self.seam.is_over(until_ns):
                continue
            try:
                newest = await self._history.newest_trade_id()
            except VenueError as error:
                _log.debug("newest trade not known", extra={"error": str(error)})
                await asyncio.sleep(_QUIET_RETRY_SECONDS)
                continue
            bars = self.seam.close_quiet(newest, until_ns)
            for bar in bars:
                self._step(bar)
                self._publish(bar)
            if not bars:
                await asyncio.sleep(_QUIET_RETRY_SECONDS)

    async def _fetch_for_ever(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while (span := self.seam.wanted()) is not None:
                try:
                    await self._bridge(span)
                except VenueError as error:
                    seconds = self._backoff.next_seconds()
                    _log.warning(
                        "bars not fetched",
                        extra={"target_key": self.plan.key, "error": str(error)},
                    )
                    await asyncio.sleep(seconds)
                else:
                    self._backoff.reset()

    async def _bridge(self, span: Span) -> None:
        bars = await self._history.fetch(span, self._start_ns(span))
        if not self.seam.is_current(span):
            return
        if span.from_ns is None:
            self._stepper = self.plan.make_stepper()
            self.bars = 0
            self._first_open_ns = bars[0].open_time_ns if bars else span.until_ns
        for index, bar in enumerate(bars):
            self._step(bar)
            if index % _CHUNK_BARS == _CHUNK_BARS - 1:
                await asyncio.sleep(0)
        self.rebuilds += 1
        _log.info(
            "bars fetched",
            extra={
                "target_key": self.plan.key,
                "bars": len(bars),
                "from_ns": bars[0].open_time_ns if bars else None,
                "until_ns": span.until_ns,
            },
        )
        if not self.seam.is_current(span):
            return  # the venue's time went back meanwhile: all over again
        if bars:
            self._publish(bars[-1])
        for bar in self.seam.complete(span):
            self._step(bar)
            self._publish(bar)

    def _start_ns(self, span: Span) -> int:
        """Return where the warm-up begins: where it began before, if that serves."""
        wanted_ns = self.plan.warmup_bars * self.plan.interval_ns
        before = self._first_open_ns
        if 0 < before < span.until_ns <= before + 2 * wanted_ns:
            return before
        return max(0, span.until_ns - wanted_ns)

    def _step(self, bar: Bar) -> None:
        self.target = self._stepper.step(bar)
        self.bar_close_ns = bar.close_time_ns
        self.bars += 1

    def _publish(self, bar: Bar) -> None:
        if not math.isfinite(self.target):
            _log.error(
                "target is no number: not published",
                extra={"target_key": self.plan.key, "bar_close_ns": bar.close_time_ns},
            )
            return
        self.sequence += 1
        target = Target(
            strategy=self.plan.name,
            instrument=str(self.plan.instrument),
            bar_close_ns=bar.close_time_ns,
            target=self.target,
            price=bar.close,
            sequence=self.sequence,
            published_ns=self._clock.time_ns(),
            warmup_from_ns=self._first_open_ns,
        )
        self._publisher.put(self.plan.key, target)


class StrategyService:
    """Any number of runners, fed from the bus."""

    def __init__(
        self,
        runners: list[StrategyRunner],
        publisher: TargetPublisher,
        client: Client,
        clock: Clock,
    ) -> None:
        self._runners = runners
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
            state=seam.state.value,
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
        )

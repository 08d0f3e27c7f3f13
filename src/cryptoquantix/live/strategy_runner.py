"""
One strategy on one instrument: live bars to targets; it fetches and sends nothing.

It is warmed up from fetched bars, or goes on from a snapshot and fetches only what it
missed, and then steps once per closed live bar, with the same compiled step as
research. A bar is closed by the first print after it or, in a quiet market, once the
venue's time has passed it and the venue itself says that nothing was printed since.
Where ticks are missing, the bars of the gap are fetched from the venue before the
strategy goes on (:mod:`cryptoquantix.live.bar_seam`).
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from cryptoquantix.bus import subjects
from cryptoquantix.bus.messages import QuoteMessage, Target, TickBatch
from cryptoquantix.control.build import build_stamp
from cryptoquantix.core.clock import NS_PER_SECOND, Clock
from cryptoquantix.core.errors import GapError, StateCorrupt, VenueError
from cryptoquantix.core.instrument import InstrumentId
from cryptoquantix.core.market import Bar, Tick
from cryptoquantix.live.bar_seam import BarSeam, Span
from cryptoquantix.live.funding import may_be_charged
from cryptoquantix.live.snapshot import (
    Identity,
    Snapshot,
    SnapshotStore,
    SnapshotWriter,
    refuse_large,
)
from cryptoquantix.live.target_publisher import TargetPublisher
from cryptoquantix.live.warmup import History
from cryptoquantix.strategies.stepper import Stepper
from cryptoquantix.venues.backoff import Backoff

# Prints that are only late are here by then; a tape that plays fast is never so quiet.
QUIET_NS: Final = 2 * NS_PER_SECOND
_QUIET_POLL_SECONDS: Final = 0.5
# A venue that has a newer print than we saw: the feed finds out why, we look again.
_QUIET_RETRY_SECONDS: Final = 10.0
_CHUNK_BARS: Final = 2_000
# Bars that may wait for a charge to be told: a week of minutes.
HELD_MAX: Final = 10_000

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StrategyPlan:
    """
    One strategy on one instrument; ``make_stepper`` gives it a fresh state.

    Of a strategy that ``reads_funding``, a bar in which funding may be charged waits
    until the venue has told what was. Before ``warmup_bars`` bars without a hole it
    has nothing to say, unless it is told to do with less (``is_warmup_required``).
    """

    name: str
    instrument: InstrumentId
    bar_seconds: int
    warmup_bars: int
    make_stepper: Callable[[], Stepper]
    reads_funding: bool = False
    is_warmup_required: bool = True

    @property
    def interval_ns(self) -> int:
        """Length of a bar."""
        return self.bar_seconds * NS_PER_SECOND

    @property
    def key(self) -> str:
        """Where its targets stand."""
        return subjects.target_key(self.name, self.instrument)


@dataclass(frozen=True)
class Snapshots:
    """Where a runner's snapshots are kept, and who writes them."""

    store: SnapshotStore
    writer: SnapshotWriter


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
    snapshots : Snapshots or None
        Where the state is kept from bar to bar; None keeps none.
    """

    def __init__(  # noqa: PLR0917 - seven parts, all needed
        self,
        plan: StrategyPlan,
        history: History,
        publisher: TargetPublisher,
        last: Target | None,
        backoff: Backoff,
        clock: Clock,
        snapshots: Snapshots | None = None,
    ) -> None:
        self.plan = plan
        self.refused = 0
        self.rebuilds = 0
        self.bars = 0
        self.bar_close_ns = 0
        self.target = 0.0
        self.sequence = last.sequence if last is not None else 0
        self._price = math.nan
        self._history = history
        self._publisher = publisher
        self._backoff = backoff
        self._clock = clock
        self._snapshots = snapshots
        self._stepper = plan.make_stepper()
        self._first_open_ns = last.warmup_from_ns if last is not None else 0
        self._identity = self._identify()
        self._is_confirmed = not self._restore(last)
        close_ns = None if self._is_confirmed else self.bar_close_ns
        self.seam = BarSeam(plan.interval_ns, close_ns=close_ns)
        self.held: deque[Bar] = deque()  # until the funding charged in them is told
        self._wake = asyncio.Event()
        self._heard_ns = clock.monotonic_ns()
        self._quote_ns = self._tick_ns = 0
        self._is_told_cold = False

    @property
    def is_warm(self) -> bool:
        """Whether its state is of enough bars for its targets to count."""
        return not self.plan.is_warmup_required or self.bars >= self.plan.warmup_bars

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
            self._tick_ns = tick[0]
            for bar in add(Tick(*tick), *steps, follows):
                self._advance(bar)
            follows = tick[4]  # nothing is missing within a batch
        if len(self.held) > HELD_MAX:
            self._begin_again("the venue does not tell what funding was charged")
        if self.seam.wanted() is not None or not self._is_confirmed:
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
                self._advance(bar)
            if not bars:
                await asyncio.sleep(_QUIET_RETRY_SECONDS)

    async def _fetch_for_ever(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._is_work():
                try:
                    await self._work()
                except VenueError as error:
                    seconds = self._backoff.next_seconds()
                    _log.warning(
                        "bars not fetched",
                        extra={"target_key": self.plan.key, "error": str(error)},
                    )
                    await asyncio.sleep(seconds)
                else:
                    self._backoff.reset()

    def _is_work(self) -> bool:
        is_wanted = self.seam.wanted() is not None
        return is_wanted or bool(self.held) or not self._is_confirmed

    async def _work(self) -> None:
        """Do the next thing that must be asked for."""
        span = self.seam.wanted()
        if span is not None and span.from_ns is None:
            self.held.clear()  # all is fetched anew
        if not self._is_confirmed:
            await self._confirm()
        elif self.held:
            await self._charge()
        elif span is not None:
            await self._bridge(span)

    async def _charge(self) -> None:
        """Take the bars that wait, once it is told what was charged in the first."""
        first = self.held[0]
        try:
            bar = await self._history.charged(first)
        except GapError as error:
            self._begin_again(str(error))
            return
        if not self.held or self.held[0] is not first:
            return
        self.held.popleft()
        self._take(bar)
        while self.held and not may_be_charged(self.held[0]):
            self._take(self.held.popleft())

    def _begin_again(self, reason: str) -> None:
        """Forget all, the prints included: the next one starts a whole warm-up."""
        extra = {"target_key": self.plan.key, "reason": reason}
        _log.warning("all is fetched anew", extra=extra)
        self.held.clear()
        self.seam = BarSeam(self.plan.interval_ns)

    async def _bridge(self, span: Span) -> None:
        try:
            bars = await self._history.fetch(span, self._start_ns(span))
        except GapError as error:
            self._start_over(str(error))
            return
        if not self.seam.is_current(span):
            return
        if span.from_ns is None:
            self._stepper = self.plan.make_stepper()
            self.bars = 0
            self._first_open_ns = bars[0].open_time_ns if bars else span.until_ns
        await self._replay(bars)
        if not self.seam.is_current(span):
            return  # the venue's time went back meanwhile: all over again
        if bars:
            self._tell()
        for bar in self.seam.complete(span):
            self._advance(bar)

    async def _replay(self, bars: list[Bar]) -> None:
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
                "until_ns": bars[-1].close_time_ns if bars else None,
            },
        )

    def _start_ns(self, span: Span) -> int:
        """Return where the warm-up begins: where it began before, if that serves."""
        wanted_ns = self.plan.warmup_bars * self.plan.interval_ns
        before = self._first_open_ns
        # A bar too late would leave windows that have grown since empty for days.
        if before > 0 and wanted_ns <= span.until_ns - before <= 2 * wanted_ns:
            return before
        return max(0, span.until_ns - wanted_ns)

    def _start_over(self, reason: str) -> None:
        """Forget the state: what is fetched next is a whole warm-up."""
        _log.warning(
            "the state is built anew from bars",
            extra={"target_key": self.plan.key, "reason": reason},
        )
        self.seam.start_over()

    def _advance(self, bar: Bar) -> None:
        """Take the next live bar, or hold it until its funding is told."""
        is_due = self.plan.reads_funding and may_be_charged(bar)
        if not is_due and not self.held:
            self._take(bar)
            return
        self.held.append(bar)
        self._wake.set()

    def _take(self, bar: Bar) -> None:
        self._step(bar)
        self._tell()

    def _step(self, bar: Bar) -> None:
        self.target = self._stepper.step(bar)
        self.bar_close_ns = bar.close_time_ns
        self._price = bar.close
        self.bars += 1

    def _tell(self) -> None:
        """Publish what was decided at the newest bar, and have the state kept."""
        if not self.is_warm:
            self._tell_cold()
        elif math.isfinite(self.target):
            self._is_told_cold = False
            self.sequence += 1
            self._publisher.put(self.plan.key, self._told())
        else:
            _log.error(
                "target is no number: not published",
                extra={"target_key": self.plan.key, "bar_close_ns": self.bar_close_ns},
            )
        if self._snapshots is not None and self._identity is not None:
            self._snapshots.writer.mark(self._identity, self._snapshot)

    def _tell_cold(self) -> None:
        """Say once that nothing is published: the last target stands."""
        if not self._is_told_cold:
            self._is_told_cold = True
            _log.warning(
                "too little history: no target is published before there is enough",
                extra={
                    "target_key": self.plan.key,
                    "bars": self.bars,
                    "warmup_bars": self.plan.warmup_bars,
                },
            )

    def _told(self) -> Target:
        return Target(
            strategy=self.plan.name,
            instrument=str(self.plan.instrument),
            bar_close_ns=self.bar_close_ns,
            target=self.target,
            price=self._price,
            sequence=self.sequence,
            published_ns=self._clock.time_ns(),
            warmup_from_ns=self._first_open_ns,
            market_ns=self._tick_ns,
        )

    # -- snapshots --------------------------------------------------------------

    def _identify(self) -> Identity | None:
        """Return what snapshots are kept as; None where none are."""
        if self._snapshots is None:
            return None
        stepper, key = self._stepper, self.plan.key
        try:
            refuse_large(stepper.save())
            layout = stepper.layout
        except StateCorrupt as error:
            extra = {"target_key": key, "reason": str(error)}
            _log.warning("no snapshots are kept: a restart replays", extra=extra)
            return None
        return Identity(
            key=key,
            code=stepper.code,
            build=build_stamp(),
            params=stepper.params_text,
            layout=layout,
            bar_seconds=self.plan.bar_seconds,
            warmup_bars=self.plan.warmup_bars,
            source=self._history.source,
        )

    def _snapshot(self) -> Snapshot:
        return Snapshot(
            warmup_from_ns=self._first_open_ns,
            bar_close_ns=self.bar_close_ns,
            bars=self.bars,
            price=self._price,
            target=self.target,
            sequence=self.sequence,
            state=self._stepper.save(),
        )

    def _restore(self, last: Target | None) -> bool:
        """Go on from the snapshot, if there is one that can be used."""
        if self._snapshots is None or self._identity is None:
            return False
        found = self._snapshots.store.read(self._identity)
        if found is None:
            return False
        reason = ""
        if last is not None and found.warmup_from_ns != last.warmup_from_ns:
            reason = "the target that stands was built from another bar on"
        try:
            if not reason:
                self._stepper.load(found.state, found.bar_close_ns, found.bars)
        except StateCorrupt as error:
            reason = str(error)
        if reason:
            extra = {"target_key": self.plan.key, "reason": reason}
            _log.warning("snapshot refused", extra=extra)
            return False
        self._first_open_ns = found.warmup_from_ns
        self.bar_close_ns, self.bars = found.bar_close_ns, found.bars
        self.target, self._price = found.target, found.price
        self.sequence = max(self.sequence, found.sequence)
        _log.info(
            "snapshot loaded",
            extra={"target_key": self.plan.key, "bar_close_ns": self.bar_close_ns},
        )
        return True

    async def _confirm(self) -> None:
        """
        Go on from the snapshot only if the venue knows the bar at which it stands.

        Another venue at the same address, or one that began anew, has another past:
        then the state is built anew.
        """
        close_ns, found = self.bar_close_ns, None
        if self.seam.close_ns == close_ns:
            found = await self._history.bar_closing(close_ns)
        self._is_confirmed = True
        if self.seam.close_ns != close_ns:
            return  # the venue's time went back: all over again
        if found is not None and found.close != self._price:
            self._start_over(
                f"the venue's bar that closed at {close_ns} closed at {found.close}, "
                f"that of the snapshot at {self._price}"
            )
        elif self.seam.wanted() is None:
            self._tell()  # nothing was missed: what stands is said once more

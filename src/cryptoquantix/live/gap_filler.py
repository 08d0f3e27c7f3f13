"""
Prints that a recorder did not hear, fetched from the venue; it asks with no key.

A recorder that was dead, whose bus was away or whose disk was full sees by the ids what
it missed. As far back as the venue's history reaches, that is fetched by REST and put
into the catalog beside what was heard; the rest stays a gap, noted with its own ends.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from decimal import Decimal
from enum import Enum
from typing import Final, NamedTuple

import numpy as np

from cryptoquantix.core.clock import NS_PER_SECOND, Clock
from cryptoquantix.core.errors import VenueError
from cryptoquantix.core.instrument import InstrumentId, Venue
from cryptoquantix.data.segments import (
    FILLED,
    NOT_HEARD,
    UNAVAILABLE,
    RecordedGap,
)
from cryptoquantix.live.segment_builder import Segment
from cryptoquantix.venues.backoff import Backoff
from cryptoquantix.venues.dialect import MATCH_IDS, WireTrade
from cryptoquantix.venues.instrument_stream import TickTuple
from cryptoquantix.venues.market_rest import MarketRest
from cryptoquantix.venues.steps import StepReader

PRINTS_MAX: Final = 500_000
GAP_SECONDS_MAX: Final = 3_600.0
WAITING_MAX: Final = 1_024
_SEGMENT_PRINTS: Final = 50_000
_UNUSABLE_MAX: Final = 3

type StoreFill = Callable[[Segment, list[RecordedGap]], bool]

_log = logging.getLogger(__name__)


class WantedGap(NamedTuple):
    """A gap of an instrument, and the steps of the prints around it."""

    instrument: InstrumentId
    tick_size: Decimal
    lot_size: Decimal
    gap: RecordedGap


class GapFiller:
    """
    Fills a recorder's gaps, one at a time at each venue.

    Parameters
    ----------
    rests : mapping of Venue to MarketRest
        Where prints are asked for; gaps at other venues stay as they are.
    store : callable
        Puts a segment into the catalog together with notes on gaps, in a thread;
        False where it cannot now.
    clock : Clock
        Bounds each gap's time.
    random : numpy.random.Generator
        Jitter between attempts.
    """

    def __init__(
        self,
        rests: Mapping[Venue, MarketRest],
        store: StoreFill,
        clock: Clock,
        random: np.random.Generator,
    ) -> None:
        self.prints = 0
        self._rests = rests
        self._store = store
        self._clock = clock
        self._random = random
        self._waiting: dict[Venue, asyncio.Queue[WantedGap]] = {
            venue: asyncio.Queue(WAITING_MAX) for venue in rests
        }
        self._known: set[tuple[InstrumentId, int, int]] = set()

    def begin(self, wanted: WantedGap) -> None:
        """Take charge of a gap, unless it is taken already or too many wait."""
        queue = self._waiting.get(wanted.instrument.venue)
        name = wanted.instrument, wanted.gap.after_id, wanted.gap.before_id
        if queue is None or name in self._known or queue.full():
            return
        self._known.add(name)
        queue.put_nowait(wanted)

    async def run(self) -> None:
        """Fill gaps for ever; cancellation leaves what is not stored a gap."""
        async with asyncio.TaskGroup() as group:
            for venue in self._waiting:
                group.create_task(self._serve(venue))

    async def _serve(self, venue: Venue) -> None:
        queue = self._waiting[venue]
        while True:
            wanted = await queue.get()
            filled = await _Fill(self, self._rests[venue], wanted).run()
            gap = wanted.gap
            self._known.discard((wanted.instrument, gap.after_id, gap.before_id))
            self.prints += filled
            _log.info(
                "gap",
                extra={
                    "instrument": str(wanted.instrument),
                    "after_id": gap.after_id,
                    "before_id": gap.before_id,
                    "filled": filled,
                },
            )

    async def store(self, segment: Segment, notes: list[RecordedGap]) -> bool:
        """Put prints and notes into the catalog; False where it cannot now."""
        return await asyncio.to_thread(self._store, segment, notes)

    def backoff(self) -> Backoff:
        """Return the pace of the attempts at one gap."""
        return Backoff(self._random, seconds_min=0.2, seconds_max=30.0)

    def now(self) -> tuple[int, int]:
        """Return wall and monotonic time."""
        return self._clock.time_ns(), self._clock.monotonic_ns()


class _Page(Enum):
    """What came of asking once."""

    NONE = "no answer"
    USELESS = "nothing of the gap"
    USED = "some of the gap, or all of it"
    LAST = "all there is, and prints are missing still"


class _Fill:
    """One gap on its way to be filled."""

    def __init__(self, filler: GapFiller, rest: MarketRest, wanted: WantedGap) -> None:
        self._filler = filler
        self._rest = rest
        self._instrument = wanted.instrument
        self._steps = wanted.tick_size, wanted.lot_size
        self._gap = wanted.gap
        self._missing = wanted.gap  # what is neither stored nor fetched
        self._fetched: list[TickTuple] = []
        self._prices = StepReader(wanted.tick_size, lowest=1)
        self._sizes = StepReader(wanted.lot_size)
        self._prints = 0
        self._backoff = filler.backoff()
        self._deadline_ns = filler.now()[1] + int(GAP_SECONDS_MAX * NS_PER_SECOND)

    async def run(self) -> int:
        """Fetch and store what is to be had; return how many prints that were."""
        why = await self._fetch_all()
        now_ns, _ = self._filler.now()
        left = self._missing._replace(noted_ns=now_ns, why=why)
        notes = [self._gap._replace(noted_ns=now_ns, why=FILLED)]
        if why and left[:2] == self._gap[:2]:
            notes = [] if why == NOT_HEARD else [left]
        elif why:
            notes.append(left)
        if notes or self._fetched:
            await self._flush(notes)
        return self._prints

    async def _fetch_all(self) -> str:
        """Return why prints are missing still; empty where none are."""
        before_id = self._gap.before_id
        if self._rest.is_dense and before_id - self._gap.after_id - 1 > PRINTS_MAX:
            return UNAVAILABLE
        refusals = 0
        while self._missing.after_id < before_id - 1 and refusals < _UNUSABLE_MAX:
            if self._filler.now()[1] > self._deadline_ns:
                return NOT_HEARD
            page = await self._try_page()
            if page is _Page.LAST:
                return UNAVAILABLE
            if page is _Page.USED:
                self._backoff.reset()
                is_full = len(self._fetched) >= _SEGMENT_PRINTS
                if is_full and not await self._flush([]):
                    return NOT_HEARD
                continue
            refusals += page is _Page.USELESS
            await asyncio.sleep(self._backoff.next_seconds())
        return UNAVAILABLE if refusals >= _UNUSABLE_MAX else ""

    async def _try_page(self) -> _Page:
        try:
            return await self._fetch_page()
        except VenueError as error:
            self._tell(error)
            return _Page.NONE
        except ValueError as error:  # the venue has changed the steps since
            self._tell(error)
            return _Page.LAST

    async def _fetch_page(self) -> _Page:
        """
        Fetch once.

        Where ids leave numbers out there is one page, the newest: its part of the gap
        is all there is.
        """
        after_id, before_id = self._missing.after_id, self._missing.before_id
        trades, is_usable = await self._rest.trades(
            self._instrument.symbol, after_id, before_id
        )
        found = [self._tick(trade) for trade in trades if trade.trade_id < before_id]
        if is_usable:
            last = found[-1] if found else (self._missing.from_ns, 0, 0, False, 0)
            last_id = last[4] if self._rest.is_dense else before_id - 1
            self._missing = self._missing._replace(after_id=last_id, from_ns=last[0])
        elif self._rest.is_dense or not trades:
            return _Page.USELESS
        elif trades[-1].trade_id < before_id - MATCH_IDS:
            return _Page.USELESS  # its answer is older than what was streamed
        elif found:
            first = found[0]
            self._missing = self._missing._replace(
                before_id=first[4], until_ns=first[0]
            )
        self._fetched += found
        return _Page.USED if is_usable else _Page.LAST

    def _tick(self, trade: WireTrade) -> TickTuple:
        price, size = self._prices.read(trade.price), self._sizes.read(trade.size)
        return trade.time_ns, price, size, trade.is_buyer_maker, trade.trade_id

    async def _flush(self, notes: list[RecordedGap]) -> bool:
        """Store what was fetched, with notes; False where it cannot be in time."""
        segment = Segment(self._instrument, *self._steps)
        segment.extend(self._fetched)
        while not await self._filler.store(segment, notes):
            if self._filler.now()[1] > self._deadline_ns:
                return False
            await asyncio.sleep(self._backoff.next_seconds())
        self._prints += len(self._fetched)
        self._fetched = []
        return True

    def _tell(self, error: Exception) -> None:
        _log.info(
            "missing prints not fetched",
            extra={"instrument": str(self._instrument), "error": str(error)},
        )

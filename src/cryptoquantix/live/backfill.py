"""
Missing prints fetched from the venue and put in their place; it publishes none itself.

A gap is filled or given up within a bound of time and prints, while newer prints wait
in the decoder. What cannot be had is told as lost: then bars of the gap come from the
venue's own, as after a consumer's own loss.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

import numpy as np

from cryptoquantix.core.clock import NS_PER_SECOND, Clock
from cryptoquantix.core.errors import VenueError
from cryptoquantix.venues.backoff import Backoff
from cryptoquantix.venues.feed import FeedDecoder
from cryptoquantix.venues.instrument_stream import Gap, InstrumentStream
from cryptoquantix.venues.market_rest import MarketRest

PRINTS_MAX: Final = 60_000
GAP_SECONDS_MAX: Final = 90.0
# Prints that only overtook each other are all here by then.
_REORDER_SECONDS: Final = 0.05
_UNUSABLE_MAX: Final = 5

_log = logging.getLogger(__name__)


class Backfill:
    """
    Fills the gaps of one feed.

    Parameters
    ----------
    decoder : FeedDecoder
        Whose gaps; ``on_gap`` is set to :meth:`begin`.
    rest : MarketRest
        Where missing prints are asked for.
    tell : callable
        Given the stream, the gap and ``open``, ``filled`` or ``lost``.
    clock : Clock
        Bounds each gap's time.
    random : numpy.random.Generator
        Jitter between attempts.
    """

    def __init__(  # noqa: PLR0917 - five parts, all needed
        self,
        decoder: FeedDecoder,
        rest: MarketRest,
        tell: Callable[[InstrumentStream, Gap, str], None],
        clock: Clock,
        random: np.random.Generator,
    ) -> None:
        self._decoder = decoder
        self._rest = rest
        self._tell = tell
        self._clock = clock
        self._random = random
        self._found: asyncio.Queue[tuple[InstrumentStream, Gap]] = asyncio.Queue()
        decoder.on_gap = self.begin

    def begin(self, stream: InstrumentStream, gap: Gap) -> None:
        """Take charge of a gap; called by the decoder."""
        self._found.put_nowait((stream, gap))

    async def run(self) -> None:
        """Fill gaps as they are found, for ever, each stream for itself."""
        async with asyncio.TaskGroup() as group:
            while True:
                stream, gap = await self._found.get()
                group.create_task(self._fill(stream, gap))

    async def _fill(self, stream: InstrumentStream, gap: Gap) -> None:
        await asyncio.sleep(_REORDER_SECONDS)
        if gap.missing is not None and not gap.missing and self._rest.is_dense:
            return
        if not gap.is_start:
            self._tell(stream, gap, "open")
        deadline_ns = self._clock.monotonic_ns() + int(GAP_SECONDS_MAX * NS_PER_SECOND)
        backoff = Backoff(self._random, seconds_min=0.1, seconds_max=5.0)
        refusals = 0
        while gap.missing is None:
            reason = self._hopeless(stream, deadline_ns, refusals)
            if reason:
                self._decoder.give_up(stream)
                _log.warning(
                    "missing prints given up",
                    extra={"instrument": str(stream.instrument.id), "reason": reason},
                )
                break
            if await self._fetch(stream, gap):
                backoff.reset()
            elif gap.missing is None:
                refusals += gap.before_id >= 0
                await asyncio.sleep(backoff.next_seconds())
        if not gap.is_start:
            self._tell(stream, gap, "lost" if gap.missing else "filled")

    def _hopeless(
        self, stream: InstrumentStream, deadline_ns: int, refusals: int
    ) -> str:
        wanted = stream.wanted()
        assert wanted is not None, "a gap is open"
        after_id, before_id = wanted
        if self._clock.monotonic_ns() > deadline_ns:
            return f"not filled within {GAP_SECONDS_MAX:.0f} s"
        if self._rest.is_dense and before_id - after_id - 1 > PRINTS_MAX:
            return f"more than {PRINTS_MAX} prints"
        if refusals >= _UNUSABLE_MAX:
            return "the venue no longer has them"
        return ""

    async def _fetch(self, stream: InstrumentStream, gap: Gap) -> bool:
        """Fetch and splice one page; return whether it was of use."""
        wanted = stream.wanted()
        if wanted is None or wanted[1] < 0:
            return False  # a new session has not brought its first print yet
        try:
            trades, is_usable = await self._rest.trades(
                stream.instrument.id.symbol, *wanted
            )
            ticks = [stream.wire_tick(trade) for trade in trades]
        except (VenueError, ValueError) as error:
            _log.info(
                "missing prints not fetched",
                extra={"instrument": str(stream.instrument.id), "error": str(error)},
            )
            return False
        if not is_usable or gap.missing is not None:
            return False
        if not self._rest.is_dense and stream.wanted() != wanted:
            return False  # the session ended meanwhile: what was held is gone
        self._decoder.splice(stream, ticks)
        return True

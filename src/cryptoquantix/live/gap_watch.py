"""
What is missing before each batch that a recorder hears; it fetches and stores nothing.

A recorder hears before it knows what it holds: its first batches wait for what a
recorder before it has left behind (:meth:`GapWatch.follow`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal

from cryptoquantix.bus.messages import TickBatch
from cryptoquantix.core.instrument import InstrumentId
from cryptoquantix.data.segments import NOT_HEARD
from cryptoquantix.live.gap_filler import WantedGap
from cryptoquantix.live.segment_builder import gap_before


class GapWatch:
    """
    Finds the gaps between the batches of each instrument.

    Parameters
    ----------
    begin : callable
        Told of each gap that may be fetched.
    """

    def __init__(self, begin: Callable[[WantedGap], None]) -> None:
        self._begin = begin
        self._last: dict[InstrumentId, tuple[int, int]] = {}
        # Heard before it is known what was held then; None once that is.
        self._first: dict[InstrumentId, TickBatch] | None = {}

    def hear(self, batch: TickBatch, instrument: InstrumentId, now_ns: int) -> None:
        """Take the next batch of an instrument."""
        last, newest = self._last.get(instrument), batch.ticks[-1]
        if last is None and self._first is not None:
            self._first[instrument] = batch
        is_gap = self._look(batch, instrument, last, now_ns)
        if is_gap or last is None or newest[4] > last[0]:
            self._last[instrument] = newest[4], newest[0]

    def follow(self, held: Mapping[InstrumentId, tuple[int, int]], now_ns: int) -> None:
        """Say what the newest tick was that is held from before the first batches."""
        first, self._first = self._first or {}, None
        for instrument, batch in first.items():
            self._look(batch, instrument, held.get(instrument), now_ns)
        self._last = {**held, **self._last}

    def _look(
        self,
        batch: TickBatch,
        instrument: InstrumentId,
        last: tuple[int, int] | None,
        now_ns: int,
    ) -> bool:
        gap = gap_before(batch, last, now_ns)
        if gap is not None and gap.why == NOT_HEARD:
            steps = Decimal(batch.tick_size), Decimal(batch.lot_size)
            self._begin(WantedGap(instrument, *steps, gap))
        return gap is not None

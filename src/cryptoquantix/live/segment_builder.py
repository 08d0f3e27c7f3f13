"""
Spooled messages to segments of ticks; it writes no file.

The ids decide: a print seen before is dropped, one that does not follow the last is
the start of another segment and a recorded gap. Prices and sizes become the very
doubles that parsing the venue's decimals would give.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

import numpy as np
import polars as pl

from cryptoquantix.bus.messages import MessageDecoder, TickBatch
from cryptoquantix.core.errors import SettingsError
from cryptoquantix.core.instrument import InstrumentId
from cryptoquantix.core.quantity import float_from_steps, step_ratio
from cryptoquantix.data.schema import TICKS, TIME
from cryptoquantix.data.segments import NOT_HEARD, RENUMBERED, RecordedGap
from cryptoquantix.live.bar_seam import LATER_NS
from cryptoquantix.venues.instrument_stream import TickTuple

_EXACT: Final = 2**53


@dataclass
class Segment:
    """
    Ticks of one instrument without a gap, and the gap before them, if there is one.

    ``first_id`` and ``last_id`` are its ends.
    """

    instrument: InstrumentId
    tick_size: Decimal
    lot_size: Decimal
    gap: RecordedGap | None = None
    times: array[int] = field(default_factory=lambda: array("q"))
    prices: array[int] = field(default_factory=lambda: array("q"))
    sizes: array[int] = field(default_factory=lambda: array("q"))
    makers: bytearray = field(default_factory=bytearray)
    ids: array[int] = field(default_factory=lambda: array("q"))

    @property
    def decimals(self) -> dict[str, int]:
        """How many decimals its prices and sizes have at most."""
        steps = {"price": self.tick_size, "size": self.lot_size}
        return {name: _places(step) for name, step in steps.items()}

    def extend(self, ticks: Iterable[TickTuple], after_id: int = -1) -> None:
        """Add those of ``ticks`` that come after an id."""
        for time_ns, price, size, is_maker, trade_id in ticks:
            if trade_id <= after_id:
                continue  # heard before
            self.times.append(time_ns)
            self.prices.append(price)
            self.sizes.append(size)
            self.makers.append(is_maker)
            self.ids.append(trade_id)

    def frame(self) -> pl.DataFrame:
        """Return its ticks as rows of the catalog, by time."""
        return pl.DataFrame(
            {
                "time": pl.Series(np.frombuffer(self.times, np.int64)).cast(TIME),
                "trade_id": np.frombuffer(self.ids, np.int64),
                "price": _doubles(self.prices, self.tick_size),
                "size": _doubles(self.sizes, self.lot_size),
                "is_buyer_maker": np.frombuffer(self.makers, np.bool_),
            },
            schema=TICKS,
        ).sort("time", "trade_id", maintain_order=True)


class SegmentBuilder:
    """
    Builds the segments of one spool file.

    Parameters
    ----------
    last : dict of InstrumentId to (int, int)
        Id and time of the newest tick already in the catalog. Afterwards ``last`` is
        that of the newest tick with these segments.
    """

    def __init__(self, last: dict[InstrumentId, tuple[int, int]]) -> None:
        self.refused = 0
        self.last = dict(last)
        self._decoder = MessageDecoder(TickBatch)

    def build(self, payloads: Iterable[bytes], noted_ns: int) -> list[Segment]:
        """Return the segments of one spool file, in order; maybe none."""
        done: list[Segment] = []
        current: dict[InstrumentId, Segment] = {}
        for payload in payloads:
            batch = self._decoder.decode(payload)
            named = instrument_of(batch) if batch is not None else None
            if batch is None or named is None:
                self.refused += 1
                continue
            segment = current.get(named)
            fresh = self._add(batch, named, segment, noted_ns)
            if fresh is not None:
                current[named] = fresh
                done.append(fresh)
        return [segment for segment in done if len(segment.ids)]

    def _add(
        self,
        batch: TickBatch,
        instrument: InstrumentId,
        segment: Segment | None,
        noted_ns: int,
    ) -> Segment | None:
        """Put a batch into ``segment``, or into a new one, which is returned."""
        last = self.last.get(instrument)
        steps = (Decimal(batch.tick_size), Decimal(batch.lot_size))
        gap = gap_before(batch, last, noted_ns)
        is_anew = gap is not None and gap.why == RENUMBERED
        fresh = None
        if segment is None or gap is not None or _steps_of(segment) != steps:
            fresh = segment = Segment(instrument, *steps, gap=gap)
        last_id = -1 if last is None or is_anew else last[0]
        segment.extend(batch.ticks, last_id)
        newest = batch.ticks[-1]
        if newest[4] > last_id:
            self.last[instrument] = newest[4], newest[0]
        return fresh


def instrument_of(batch: TickBatch) -> InstrumentId | None:
    """Return whose ticks a batch has; None where its names or steps are none."""
    try:
        Decimal(batch.tick_size), Decimal(batch.lot_size)
        return InstrumentId.parse(f"{batch.venue}:{batch.name}")
    except (SettingsError, ArithmeticError):
        return None


def gap_before(
    batch: TickBatch, last: tuple[int, int] | None, noted_ns: int
) -> RecordedGap | None:
    """
    Return what is missing between the last tick and a batch, None where nothing.

    Lower ids were heard before (the batch's end may be new), unless the feed says
    that nothing is known before them, or they are of a later time: a feed that is new
    itself takes its first print for one that follows, and cannot know better.
    """
    if last is None:
        return None
    (last_id, last_ns), first = last, batch.ticks[0]
    if first[4] <= last_id:
        is_anew = batch.follows == -1 or first[0] - last_ns > LATER_NS
        why = RENUMBERED if is_anew else ""
    else:
        is_next = first[4] == last_id + 1 or -1 < batch.follows <= last_id
        why = "" if is_next else NOT_HEARD
    if not why:
        return None
    return RecordedGap(last_id, first[4], last_ns, first[0], noted_ns, why)


def _steps_of(segment: Segment) -> tuple[Decimal, Decimal]:
    return segment.tick_size, segment.lot_size


def _doubles(steps: array[int], step: Decimal) -> np.ndarray:
    """Return the doubles nearest to ``steps`` × ``step``."""
    numerator, denominator = step_ratio(step)
    whole = np.frombuffer(steps, np.int64)
    most = int(np.abs(whole).max(initial=0)) * numerator
    if most < _EXACT and denominator < _EXACT:
        # Both sides are exact, and a division is correctly rounded.
        return (whole * numerator).astype(np.float64) / float(denominator)
    return np.array([float_from_steps(int(one), step) for one in whole])


def _places(step: Decimal) -> int:
    exponent = step.normalize().as_tuple().exponent
    assert isinstance(exponent, int), f"a step is a number, was {step}"
    return max(0, -exponent)

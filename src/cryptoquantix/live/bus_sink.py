"""
From a feed's decoder to the bus, through a bounded queue; it never waits for NATS.

What NATS is too slow to take is dropped and counted, quotes and marks first: the next
one replaces them.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import Final, Protocol

import nats.errors

from cryptoquantix.bus import subjects
from cryptoquantix.bus.messages import (
    GapNotice,
    MarkMessage,
    QuoteMessage,
    TickBatch,
    encode,
)
from cryptoquantix.core.instrument import Instrument
from cryptoquantix.core.market import BestQuote
from cryptoquantix.venues.instrument_stream import FeedSink, Gap, Mark, TickTuple

QUEUE_MAX: Final = 4_096

_log = logging.getLogger(__name__)


class Publisher(Protocol):
    """The part of a bus that a feed needs."""

    async def publish(self, subject: str, payload: bytes, /) -> None:
        """Send one message."""
        ...


class ServiceSink(FeedSink, Protocol):
    """Takes what a feed decodes and hands it on by itself."""

    batches_dropped: int

    def put_gap(
        self, instrument: Instrument, gap: Gap, state: str, noted_ns: int
    ) -> None:
        """Take a notice of missing prints."""
        ...

    async def run(self) -> None:
        """Hand on what was taken, for ever."""
        ...


class BusSink:
    """
    Takes what the feed decodes and publishes it from a bounded queue.

    Beyond ``queue_max`` messages, new ones are dropped and counted; quotes already
    beyond half of it, since the next one replaces them.
    """

    def __init__(self, client: Publisher, queue_max: int = QUEUE_MAX) -> None:
        self.batches_dropped = 0
        self._client = client
        self._queue: deque[tuple[str, bytes, bool]] = deque()
        self._queue_max = queue_max
        self._wake = asyncio.Event()

    def put_ticks(
        self,
        instrument: Instrument,
        ticks: list[TickTuple],
        receipt_time_ns: int,
        follows: int,
    ) -> None:
        """Queue a batch of prints."""
        if len(self._queue) >= self._queue_max:
            self._drop(subjects.ticks(instrument.id))
            return
        message = TickBatch(
            instrument.id.venue.value,
            instrument.id.name,
            str(instrument.tick_size),
            str(instrument.lot_size),
            receipt_time_ns,
            ticks,
            follows,
        )
        subject = subjects.ticks(instrument.id)
        self._queue.append((subject, encode(message), True))
        self._wake.set()

    def put_quote(
        self, instrument: Instrument, quote: BestQuote, receipt_time_ns: int
    ) -> None:
        """Queue a best quote, unless the queue is half full."""
        if len(self._queue) >= self._queue_max // 2:
            return
        message = QuoteMessage(
            instrument.id.venue.value,
            instrument.id.name,
            str(instrument.tick_size),
            str(instrument.lot_size),
            receipt_time_ns,
            *quote,
        )
        subject = subjects.quotes(instrument.id)
        self._queue.append((subject, encode(message), False))
        self._wake.set()

    def put_mark(
        self, instrument: Instrument, mark: Mark, receipt_time_ns: int
    ) -> None:
        """Queue a mark price, unless the queue is half full."""
        if len(self._queue) >= self._queue_max // 2:
            return
        message = MarkMessage(
            instrument.id.venue.value,
            instrument.id.name,
            receipt_time_ns,
            mark.time_ns,
            mark.mark,
            mark.index,
            mark.funding_rate,
            mark.next_funding_ns,
        )
        subject = subjects.marks(instrument.id)
        self._queue.append((subject, encode(message), False))
        self._wake.set()

    def put_gap(
        self, instrument: Instrument, gap: Gap, state: str, noted_ns: int
    ) -> None:
        """Queue a notice of missing prints, in order with the prints themselves."""
        message = GapNotice(
            instrument.id.venue.value,
            instrument.id.name,
            state,
            gap.after_id,
            gap.before_id,
            gap.from_ns,
            gap.until_ns,
            gap.missing or 0,
            noted_ns,
        )
        self._queue.append((subjects.gaps(instrument.id), encode(message), False))
        self._wake.set()

    async def run(self) -> None:
        """Publish what is queued, for ever; cancellation drops the queue."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._queue:
                subject, payload, is_ticks = self._queue.popleft()
                try:
                    await self._client.publish(subject, payload)
                except nats.errors.Error:
                    if is_ticks:
                        self._drop(subject)

    def _drop(self, subject: str) -> None:
        self.batches_dropped += 1
        dropped = self.batches_dropped
        if dropped & (dropped - 1) == 0:
            _log.warning(
                "ticks dropped: the bus is too slow or away",
                extra={"subject": subject, "batches_dropped": dropped},
            )

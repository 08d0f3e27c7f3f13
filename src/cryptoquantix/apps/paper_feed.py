"""
Public market data of the real venues into the simulator; no key, no order leaves.

Venues are heard by the same feed as live trading's. Where nothing is known of a market
(its sockets are away, prints are missing, it is silent for too long) it is halted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from decimal import Decimal
from typing import Any, Final

import numpy as np

from cryptoquantix.apps.paper import PaperPlan
from cryptoquantix.apps.settings import MarketSettings
from cryptoquantix.core.clock import NS_PER_SECOND, Clock
from cryptoquantix.core.instrument import Instrument
from cryptoquantix.core.market import BestQuote
from cryptoquantix.core.quantity import to_steps_nearest
from cryptoquantix.live.feed_service import FeedService
from cryptoquantix.simulator.exchange import Print
from cryptoquantix.simulator.inlet import Inlet, MirrorStatus, Standing
from cryptoquantix.simulator.market import MirroredMark, MirroredQuote
from cryptoquantix.simulator.world import World
from cryptoquantix.venues.instrument_stream import (
    Gap,
    InstrumentStream,
    Mark,
    TickTuple,
)
from cryptoquantix.venues.market_rest import MarketRest
from cryptoquantix.venues.socket import MarketSocket

LOOK_SECONDS: Final = 0.1
_RATE_STEP: Final = Decimal("1e-8")


class MirrorSink:
    """Hands what a feed decodes to the simulator's inlet, in its ticks and lots."""

    def __init__(
        self, inlet: Inlet, instruments: list[Instrument], clock: Clock
    ) -> None:
        self.batches_dropped = 0
        self.changed: set[str] = set()  # whose steps are not those listed any more
        self._inlet = inlet
        self._venue = instruments[0].id.venue.value
        self._listed = {one.id.symbol: one for one in instruments}
        self._clock = clock
        self.heard_ns: dict[str, int] = {}  # of the monotonic clock, by symbol

    def put_ticks(
        self,
        instrument: Instrument,
        ticks: list[TickTuple],
        receipt_time_ns: int,
        follows: int,
    ) -> None:
        """Queue prints."""
        del receipt_time_ns, follows
        symbol = self._hear(instrument)
        if symbol in self.changed:
            return
        for time_ns, price, size, is_buyer_maker, _ in ticks:
            told = Print(time_ns, price, size, is_buyer_maker)
            self._inlet.put(self._venue, symbol, told)

    def put_quote(
        self, instrument: Instrument, quote: BestQuote, receipt_time_ns: int
    ) -> None:
        """Queue a best quote."""
        del receipt_time_ns
        symbol = self._hear(instrument)
        if symbol not in self.changed:
            self._inlet.put(self._venue, symbol, MirroredQuote(*quote))

    def put_mark(
        self, instrument: Instrument, mark: Mark, receipt_time_ns: int
    ) -> None:
        """Queue mark, index and funding; finer prices than ticks are rounded."""
        del receipt_time_ns
        tick = instrument.tick_size
        rate = Decimal(mark.funding_rate or "0").quantize(_RATE_STEP)
        told = MirroredMark(
            mark.time_ns,
            to_steps_nearest(Decimal(mark.mark or "0"), tick),
            to_steps_nearest(Decimal(mark.index or "0"), tick),
            rate if mark.funding_rate else None,
            mark.next_funding_ns,
        )
        self._inlet.put(self._venue, self._hear(instrument), told)

    def put_gap(
        self, instrument: Instrument, gap: Gap, state: str, noted_ns: int
    ) -> None:
        """Do nothing: what is missing halts the market, see :class:`Mirror`."""

    async def run(self) -> None:
        """Wait for ever: everything was handed on at once."""
        await asyncio.Event().wait()

    def _hear(self, instrument: Instrument) -> str:
        symbol = instrument.id.symbol
        self.heard_ns[symbol] = self._clock.monotonic_ns()
        listed = self._listed[symbol]
        steps = instrument.tick_size, instrument.lot_size
        if instrument is not listed and steps != (listed.tick_size, listed.lot_size):
            self.changed.add(symbol)
        return symbol


class _NoBus:
    """A bus that nobody listens to."""

    async def publish(self, subject: str, payload: bytes, /) -> None:
        """Drop a message."""


class Mirror:
    """One venue's feed into the simulator, and what is known of its markets."""

    def __init__(
        self,
        instruments: list[Instrument],
        source: MarketSettings,
        inlet: Inlet,
        clock: Clock,
        *,
        stale_seconds: float,
    ) -> None:
        self._instruments = instruments
        self._source = source
        self._inlet = inlet
        self._clock = clock
        self._stale_ns = round(stale_seconds * NS_PER_SECOND)
        self._venue = instruments[0].id.venue
        self._status = MirrorStatus(source.ws)
        self._told: dict[str, str | None] = {}
        inlet.status[self._venue.value] = self._status

    async def run(self) -> None:
        """Mirror, for ever; cancellation closes the sockets."""
        random = np.random.default_rng(self._clock.time_ns())
        sink = MirrorSink(self._inlet, self._instruments, self._clock)
        async with MarketRest(self._source.rest, self._clock, self._venue) as rest:
            feed = FeedService(
                self._instruments,
                self._source.ws,
                rest,
                _NoBus(),
                self._clock,
                random,
                sink=sink,
            )
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(feed.run())
                tasks.create_task(self._watch(feed, sink))

    async def _watch(self, feed: FeedService, sink: MirrorSink) -> None:
        while True:
            self._look(feed, sink)
            await asyncio.sleep(LOOK_SECONDS)

    def _look(self, feed: FeedService, sink: MirrorSink) -> None:
        status, now_ns = self._status, self._clock.monotonic_ns()
        status.connected = all(socket.is_connected for socket in feed.sockets)
        status.reconnects = sum(socket.reconnects for socket in feed.sockets)
        status.latency_ns = feed.decoder.latency_ns
        for symbol, stream in feed.decoder.streams.items():
            why = _why_unknown(stream, feed.sockets)
            heard_ns = sink.heard_ns.get(symbol, 0)
            if not why and now_ns - heard_ns > self._stale_ns:
                why = f"silent for {self._stale_ns / NS_PER_SECOND:.0f} s"
            if symbol in sink.changed:
                why = "the venue has changed its steps: begin a new paper account"
            if why == self._told.get(symbol):
                continue
            self._told[symbol] = why
            self._inlet.put(self._venue.value, symbol, Standing(why))
            if why:
                status.halted[symbol] = why
            else:
                status.halted.pop(symbol, None)


def _why_unknown(stream: InstrumentStream, sockets: list[MarketSocket]) -> str:
    """Return why nothing can be said of a market now, "" where something can."""
    symbol = stream.instrument.id.symbol
    for socket in sockets:
        carried = (*socket.plan.trade_symbols, *socket.plan.quote_symbols)
        if symbol in carried and not socket.is_connected:
            return "the venue's market data are away"
    if not stream.is_quote_proven:
        return "no quote was heard yet"
    if stream.held is not None:
        return "missing trades are being fetched"
    return ""


def mirrors(
    paper: PaperPlan, world: World, clock: Clock, stale_seconds: float
) -> list[Callable[[], Coroutine[Any, Any, None]]]:
    """Return what runs beside the simulation: one feed a venue."""
    inlet = world.inlet
    assert inlet is not None, "a paper account's world has an inlet"
    return [
        Mirror(
            instruments,
            paper.sources[name],
            inlet,
            clock,
            stale_seconds=stale_seconds,
        ).run
        for name, instruments in paper.instruments.items()
    ]

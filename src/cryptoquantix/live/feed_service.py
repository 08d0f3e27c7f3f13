"""
One venue's feed as a service: sockets to NATS, watched; it never waits for NATS.

What NATS is too slow to take is dropped within a bound and counted, and the trade ids
tell the consumers what they miss. A subscription that the venue acknowledged and then
forgot is found by asking over REST whether there were trades.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from dataclasses import dataclass
from typing import Final

import nats.errors
import numpy as np
from nats.aio.client import Client

from cryptoquantix.bus import subjects
from cryptoquantix.bus.messages import (
    FeedStatus,
    QuoteMessage,
    StreamStatus,
    TickBatch,
    encode,
)
from cryptoquantix.control.build import build_stamp
from cryptoquantix.core.clock import NS_PER_SECOND, Clock
from cryptoquantix.core.errors import VenueError
from cryptoquantix.core.instrument import Instrument, Venue
from cryptoquantix.core.market import BestQuote
from cryptoquantix.venues import binance
from cryptoquantix.venues.backoff import Backoff
from cryptoquantix.venues.feed import FeedDecoder, InstrumentStream, TickTuple
from cryptoquantix.venues.market_rest import MarketRest
from cryptoquantix.venues.socket import STREAMS_MAX, MarketSocket

QUEUE_MAX: Final = 4_096
STATUS_SECONDS: Final = 1.0
SILENCE_NS: Final = 10 * NS_PER_SECOND
_PROBE_SECONDS: Final = 5.0

_log = logging.getLogger(__name__)


class BusSink:
    """
    Takes what the feed decodes and publishes it from a bounded queue.

    Beyond ``queue_max`` messages, new ones are dropped and counted; quotes already
    beyond half of it, since the next one replaces them.
    """

    def __init__(self, client: Client, queue_max: int = QUEUE_MAX) -> None:
        self.batches_dropped = 0
        self._client = client
        self._queue: deque[tuple[str, bytes, bool]] = deque()
        self._queue_max = queue_max
        self._wake = asyncio.Event()

    def put_ticks(
        self, instrument: Instrument, ticks: list[TickTuple], receipt_time_ns: int
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


@dataclass
class _Watched:
    """A socket and the instruments whose trades or quotes it carries."""

    socket: MarketSocket
    symbols: list[str]


class FeedService:
    """
    The feed of one venue.

    Parameters
    ----------
    instruments : list of Instrument
        At least one; their trades and best quotes are published.
    ws_url : str
        The venue's base address for streams.
    rest : MarketRest
        Asked only whether there were trades while a stream is silent.
    client : Client
        A connected bus.
    clock : Clock
        Wall time for receive times, monotonic for ages.
    random : numpy.random.Generator
        Jitter of reconnections.
    """

    def __init__(  # noqa: PLR0917 - six parts, all needed
        self,
        instruments: list[Instrument],
        ws_url: str,
        rest: MarketRest,
        client: Client,
        clock: Clock,
        random: np.random.Generator,
    ) -> None:
        assert instruments, "a feed needs an instrument"
        self.venue: Venue = instruments[0].id.venue
        self.sink = BusSink(client)
        self.decoder = FeedDecoder(instruments, self.sink, clock)
        self._rest = rest
        self._client = client
        self._clock = clock
        self._session = clock.time_ns()
        # By symbol: the session in which the venue was asked, and its newest trade.
        self._probed: dict[str, tuple[int, int]] = {}
        symbols = list(self.decoder.streams)

        self._trade_sockets: list[_Watched] = []
        self._quote_sockets: list[_Watched] = []
        for start in range(0, len(symbols), STREAMS_MAX):
            shard = symbols[start : start + STREAMS_MAX]
            trades = MarketSocket(
                binance.market_url(ws_url),
                [binance.trade_stream(symbol) for symbol in shard],
                self.decoder,
                shard,
                Backoff(random),
                clock,
            )
            quotes = MarketSocket(
                binance.public_url(ws_url),
                [binance.quote_stream(symbol) for symbol in shard],
                self.decoder,
                [],
                Backoff(random),
                clock,
            )
            self._trade_sockets.append(_Watched(trades, shard))
            self._quote_sockets.append(_Watched(quotes, shard))

    async def run(self) -> None:
        """Feed, for ever; cancellation closes the sockets."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.sink.run())
            for watched in self._trade_sockets + self._quote_sockets:
                group.create_task(watched.socket.run())
            group.create_task(self._report())
            group.create_task(self._watch_trades())
            group.create_task(self._watch_quotes())

    def status(self) -> FeedStatus:
        """Return what the feed says of itself now."""
        now_ns = self._clock.monotonic_ns()
        sockets = [one.socket for one in self._trade_sockets + self._quote_sockets]
        streams = [
            _stream_status(stream, now_ns) for stream in self.decoder.streams.values()
        ]
        ages = [age for one in streams for age in (one.trade_age_ns, one.quote_age_ns)]
        return FeedStatus(
            venue=self.venue.value,
            build=build_stamp(),
            session=self._session,
            time_ns=self._clock.time_ns(),
            connected=all(socket.is_connected for socket in sockets),
            last_message_age_ns=min((age for age in ages if age >= 0), default=-1),
            gaps=self.decoder.gaps,
            reconnects=sum(socket.reconnects for socket in sockets),
            batches_dropped=self.sink.batches_dropped,
            messages_refused=self.decoder.refused,
            latency_ns=self.decoder.latency_ns,
            streams=streams,
        )

    async def _report(self) -> None:
        subject = subjects.feed(self.venue)
        was_connected = False
        while True:
            status = self.status()
            if status.connected != was_connected:
                was_connected = status.connected
                _log.info("feed", extra={"connected": was_connected})
            try:
                await self._client.publish(subject, encode(status))
            except nats.errors.Error as error:
                _log.debug("status not published", extra={"error": str(error)})
            await asyncio.sleep(STATUS_SECONDS)

    async def _watch_trades(self) -> None:
        """Give up a socket whose instrument trades at the venue, and not here."""
        while True:
            await asyncio.sleep(_PROBE_SECONDS)
            for watched in self._trade_sockets:
                for symbol in watched.symbols:
                    if self._is_silent(watched.socket, symbol):
                        await self._probe(watched.socket, symbol)

    def _is_silent(self, socket: MarketSocket, symbol: str) -> bool:
        if not socket.is_connected:
            return False
        heard_ns = max(
            self.decoder.streams[symbol].trade_monotonic_ns,
            socket.subscribed_monotonic_ns,
        )
        return self._clock.monotonic_ns() - heard_ns > SILENCE_NS

    async def _probe(self, socket: MarketSocket, symbol: str) -> None:
        """Ask the venue for its newest trade; what came since we last asked is due."""
        session_ns = socket.subscribed_monotonic_ns
        try:
            newest = await self._rest.newest_trade_id(symbol)
        except VenueError as error:
            _log.debug("probe failed", extra={"symbol": symbol, "error": str(error)})
            return
        before = self._probed.get(symbol)
        self._probed[symbol] = (session_ns, newest)
        stream = self.decoder.streams[symbol]
        if before is None or before[0] != session_ns:
            return
        if newest <= max(before[1], stream.trade_id):
            return
        # A print of this moment may still be on its way: look again a little later.
        await asyncio.sleep(_PROBE_SECONDS)
        is_same = session_ns == socket.subscribed_monotonic_ns
        if is_same and stream.trade_id < newest and self._is_silent(socket, symbol):
            socket.restart(f"{symbol} trades at the venue, its stream is silent")

    async def _watch_quotes(self) -> None:
        """Give up a socket whose instrument trades while its quotes stand still."""
        # By symbol: the last quote heard, and when we noticed a trade after it.
        noticed: dict[str, tuple[int, int]] = {}
        while True:
            await asyncio.sleep(_PROBE_SECONDS)
            now_ns = self._clock.monotonic_ns()
            for watched in self._quote_sockets:
                since_ns = watched.socket.subscribed_monotonic_ns
                for symbol in watched.symbols if since_ns >= 0 else ():
                    stream = self.decoder.streams[symbol]
                    heard_ns = max(stream.quote_monotonic_ns, since_ns)
                    if stream.trade_monotonic_ns <= heard_ns:
                        continue
                    at = noticed.get(symbol)
                    if at is None or at[0] != heard_ns:
                        noticed[symbol] = (heard_ns, now_ns)
                    elif now_ns - at[1] > SILENCE_NS:
                        reason = f"{symbol} trades, its quotes are silent"
                        watched.socket.restart(reason)
                        break


def _stream_status(stream: InstrumentStream, now_ns: int) -> StreamStatus:
    def age(at_ns: int) -> int:
        return now_ns - at_ns if at_ns >= 0 else -1

    return StreamStatus(
        name=stream.instrument.id.name,
        trade_id=stream.trade_id,
        venue_time_ns=stream.venue_time_ns,
        trade_age_ns=age(stream.trade_monotonic_ns),
        quote_age_ns=age(stream.quote_monotonic_ns),
        trades=stream.trades,
        gaps=stream.gaps,
        trades_missing=stream.trades_missing,
        duplicates=stream.duplicates,
    )

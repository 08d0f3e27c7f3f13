"""
One venue's feed as a service: sockets to NATS, watched; it never waits for NATS.

What NATS is too slow to take is dropped within a bound and counted, and the trade ids
tell the consumers what they miss. A subscription that the venue acknowledged and then
forgot is found by asking over REST whether there were trades. Prints that were not
streamed are fetched (:mod:`cryptoquantix.live.backfill`).
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

import nats.errors
import numpy as np

from cryptoquantix.bus import subjects
from cryptoquantix.bus.messages import (
    FeedStatus,
    StreamStatus,
    encode,
)
from cryptoquantix.control.build import build_stamp
from cryptoquantix.core.clock import NS_PER_SECOND, Clock
from cryptoquantix.core.errors import VenueError
from cryptoquantix.core.instrument import Instrument, Venue
from cryptoquantix.live.backfill import Backfill
from cryptoquantix.live.bus_sink import BusSink, Publisher, ServiceSink
from cryptoquantix.live.feed_memory import FeedMemory
from cryptoquantix.venues.backoff import Backoff
from cryptoquantix.venues.clock_offset import ClockOffset
from cryptoquantix.venues.instrument_stream import Gap, InstrumentStream
from cryptoquantix.venues.market_rest import MarketRest
from cryptoquantix.venues.markets import DECODERS, STREAMS
from cryptoquantix.venues.socket import MarketSocket

STATUS_SECONDS: Final = 1.0
SILENCE_NS: Final = 10 * NS_PER_SECOND
QUOTELESS_MAX: Final = 2
MARK_SILENCE_NS: Final = 60 * NS_PER_SECOND
_MARK_SILENCE_MAX_NS: Final = 3_600 * NS_PER_SECOND
_PROBE_SECONDS: Final = 5.0
_CLOCK_FIRST: Final = 4
_CLOCK_FIRST_SECONDS: Final = 0.25
_CLOCK_SECONDS: Final = 30.0
_STEPS_SECONDS: Final = 5.0
_REMEMBER_SECONDS: Final = 0.25

_log = logging.getLogger(__name__)


class FeedService:
    """
    The feed of one venue.

    Parameters
    ----------
    instruments : list of Instrument
        At least one; their trades, best quotes and marks are published.
    ws_url : str
        The venue's base address for streams.
    rest : MarketRest
        Asked for missing prints, the venue's clock, and whether there were trades
        while a stream is silent.
    client : Client
        A connected bus.
    clock : Clock
        Wall time for receive times, monotonic for ages.
    random : numpy.random.Generator
        Jitter of reconnections.
    memory : FeedMemory, optional
        Where a feed before this one kept how far it had come.
    sink : ServiceSink, optional
        Takes the market data in place of the bus.
    """

    def __init__(  # noqa: PLR0917 - eight parts, six of them needed
        self,
        instruments: list[Instrument],
        ws_url: str,
        rest: MarketRest,
        client: Publisher,
        clock: Clock,
        random: np.random.Generator,
        memory: FeedMemory | None = None,
        sink: ServiceSink | None = None,
    ) -> None:
        assert instruments, "a feed needs an instrument"
        self.venue: Venue = instruments[0].id.venue
        self.sink: ServiceSink = BusSink(client) if sink is None else sink
        self.decoder = DECODERS[self.venue](instruments, self.sink, clock)
        self.backfill = Backfill(self.decoder, rest, self._tell, clock, random)
        self._rest = rest
        self._client = client
        self._clock = clock
        self._memory = memory
        self._offset = ClockOffset()
        self._session = clock.time_ns()
        # By symbol: the session in which the venue was asked, and its newest trade.
        self._probed: dict[str, tuple[int, int]] = {}
        # By symbol: the session in which prints were fetched that never came.
        self._caught_up: dict[str, int] = {}
        dialect = STREAMS[self.venue]
        self.sockets = [
            MarketSocket(plan, dialect, self.decoder, Backoff(random), clock)
            for plan in dialect.sockets(ws_url, list(self.decoder.streams))
        ]
        if memory is not None:
            for symbol, trade_id in memory.load(self._session).items():
                if symbol in self.decoder.streams:
                    self.decoder.streams[symbol].resume(trade_id)

    async def run(self) -> None:
        """Feed, for ever; cancellation closes the sockets."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.sink.run())
            group.create_task(self.backfill.run())
            for socket in self.sockets:
                group.create_task(socket.run())
            group.create_task(self._report())
            group.create_task(self._measure_clock())
            group.create_task(self._watch_steps())
            if self._memory is not None:
                group.create_task(self._remember(self._memory))
            group.create_task(self._watch_trades())
            group.create_task(self._watch_quotes())
            group.create_task(self._watch_marks())

    def status(self) -> FeedStatus:
        """Return what the feed says of itself now."""
        now_ns = self._clock.monotonic_ns()
        offset = self._offset.best()
        streams = [
            _stream_status(stream, now_ns) for stream in self.decoder.streams.values()
        ]
        ages = [age for one in streams for age in (one.trade_age_ns, one.quote_age_ns)]
        return FeedStatus(
            venue=self.venue.value,
            build=build_stamp(),
            session=self._session,
            time_ns=self._clock.time_ns(),
            connected=all(socket.is_connected for socket in self.sockets),
            last_message_age_ns=min((age for age in ages if age >= 0), default=-1),
            gaps=self.decoder.gaps,
            reconnects=sum(socket.reconnects for socket in self.sockets),
            batches_dropped=self.sink.batches_dropped,
            messages_refused=self.decoder.refused,
            latency_ns=self.decoder.latency_ns,
            streams=streams,
            clock_offset_ns=offset.offset_ns if offset else 0,
            clock_error_ns=offset.error_ns if offset else -1,
        )

    def _tell(self, stream: InstrumentStream, gap: Gap, state: str) -> None:
        self.sink.put_gap(stream.instrument, gap, state, self._clock.time_ns())
        _log.info(
            "gap",
            extra={
                "instrument": str(stream.instrument.id),
                "state": state,
                "after_id": gap.after_id,
                "before_id": gap.before_id,
                "missing": gap.missing,
            },
        )

    async def _measure_clock(self) -> None:
        asked = 0
        while True:
            sent_ns = self._clock.time_ns()
            try:
                venue_ns = await self._rest.server_time_ns()
            except VenueError as error:
                _log.debug("venue's clock not read", extra={"error": str(error)})
            else:
                received_ns = self._clock.time_ns()
                self._offset.add(
                    sent_ns=sent_ns, received_ns=received_ns, venue_ns=venue_ns
                )
                asked += 1
            is_new = asked < _CLOCK_FIRST
            await asyncio.sleep(_CLOCK_FIRST_SECONDS if is_new else _CLOCK_SECONDS)

    async def _watch_steps(self) -> None:
        """Read the instruments anew where prices no longer fit their steps."""
        seen = 0
        while True:
            await asyncio.sleep(_STEPS_SECONDS)
            if self.decoder.misfits == seen:
                continue
            try:
                listed = await self._rest.instruments()
            except VenueError as error:
                _log.warning("instruments not read", extra={"error": str(error)})
                continue
            seen = self.decoder.misfits
            for symbol in self.decoder.streams:
                if symbol in listed and self.decoder.change_steps(listed[symbol]):
                    _log.warning(
                        "the venue changed an instrument's steps",
                        extra={
                            "instrument": str(listed[symbol].id),
                            "tick_size": str(listed[symbol].tick_size),
                            "lot_size": str(listed[symbol].lot_size),
                        },
                    )

    async def _remember(self, memory: FeedMemory) -> None:
        """Keep how far the feed had come a moment ago."""
        before: dict[str, int] = {}
        while True:
            await asyncio.sleep(_REMEMBER_SECONDS)
            if before:
                memory.save(before, self._clock.time_ns())
            streams = self.decoder.streams.items()
            before = {name: s.trade_id for name, s in streams if s.trade_id >= 0}

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
            for socket in self.sockets:
                for symbol in socket.plan.trade_symbols:
                    if self._is_silent(socket, symbol):
                        await self._probe(socket, symbol)

    def _is_silent(self, socket: MarketSocket, symbol: str) -> bool:
        stream = self.decoder.streams[symbol]
        if not socket.is_connected or stream.held is not None:
            return False
        heard_ns = max(stream.trade_monotonic_ns, socket.subscribed_monotonic_ns)
        return self._clock.monotonic_ns() - heard_ns > SILENCE_NS

    async def _probe(self, socket: MarketSocket, symbol: str) -> None:
        """Ask the venue for its newest trade; what came since we last asked is due."""
        session_ns = socket.subscribed_monotonic_ns
        try:
            newest = await self._rest.newest_trade_id(symbol)
        except VenueError as error:
            _log.debug("probe failed", extra={"symbol": symbol, "error": str(error)})
            return
        stream = self.decoder.streams[symbol]
        before = self._probed.get(symbol)
        self._probed[symbol] = (session_ns, newest)
        is_same_session = before is not None and before[0] == session_ns
        seen = stream.trade_id if stream.trade_id >= 0 or before is None else before[1]
        if newest <= seen and (stream.trade_id >= 0 or is_same_session):
            stream.is_trade_proven = True
            return
        self.decoder.doubt(stream)
        if not stream.is_trade_proven and self._caught_up.get(symbol) != session_ns:
            # Traded while the socket was away, and not since.
            self._caught_up[symbol] = session_ns
            self.decoder.catch_up(stream, newest)
            return
        if before is None or not is_same_session or newest <= before[1]:
            return
        # A print of this moment may still be on its way: look again a little later.
        await asyncio.sleep(_PROBE_SECONDS)
        is_same = session_ns == socket.subscribed_monotonic_ns
        if is_same and stream.trade_id < newest and self._is_silent(socket, symbol):
            socket.restart(f"{symbol} trades at the venue, its stream is silent")

    async def _watch_quotes(self) -> None:
        """Give up a socket whose instrument trades while its quotes stand still."""
        # By symbol: the last quote heard, the last trade since, and how often it was
        # seen that trades went on without a quote.
        noticed: dict[str, tuple[int, int, int]] = {}
        while True:
            await asyncio.sleep(_PROBE_SECONDS)
            for socket in self.sockets:
                since_ns = socket.subscribed_monotonic_ns
                for symbol in socket.plan.quote_symbols if since_ns >= 0 else ():
                    stream = self.decoder.streams[symbol]
                    heard_ns = max(stream.quote_monotonic_ns, since_ns)
                    trade_ns = stream.trade_monotonic_ns
                    # A market that fell silent after a trade moves no quote either.
                    if trade_ns - heard_ns <= SILENCE_NS:
                        continue
                    before = noticed.get(symbol, (0, 0, 0))
                    count = before[2] if before[0] == heard_ns else 0
                    if trade_ns > before[1] or not count:
                        count += 1
                    noticed[symbol] = heard_ns, trade_ns, count
                    # One trade may leave the best quote as it was; a hundred streams
                    # share this socket, and none of them is cut off for that.
                    if count > QUOTELESS_MAX:
                        socket.restart(f"{symbol} trades, its quotes are silent")
                        break

    async def _watch_marks(self) -> None:
        """Give up a socket whose instrument is quoted while its mark stands still."""
        patience: dict[str, int] = {}
        while True:
            await asyncio.sleep(_PROBE_SECONDS)
            for socket in self.sockets:
                since_ns = socket.subscribed_monotonic_ns
                for symbol in socket.plan.mark_symbols if since_ns >= 0 else ():
                    stream = self.decoder.streams[symbol]
                    if stream.is_mark_proven:
                        patience.pop(symbol, None)
                    heard_ns = max(stream.mark_monotonic_ns, since_ns)
                    allowed_ns = patience.get(symbol, MARK_SILENCE_NS)
                    # Marks follow the book: where that stands still, they may.
                    if stream.quote_monotonic_ns - heard_ns > allowed_ns:
                        # Others share the socket: a venue that states no mark at all
                        # must not cut them off every minute.
                        patience[symbol] = min(2 * allowed_ns, _MARK_SILENCE_MAX_NS)
                        socket.restart(f"{symbol} is quoted, its mark is silent")
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
        trades_held=len(stream.held or ()),
        backfilled=stream.backfilled,
        is_trade_proven=stream.is_trade_proven,
        is_quote_proven=stream.is_quote_proven,
        mark_age_ns=age(stream.mark_monotonic_ns),
        is_mark_proven=stream.is_mark_proven,
    )

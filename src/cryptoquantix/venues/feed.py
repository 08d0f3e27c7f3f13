"""
Market-data messages to ticks and quotes; it holds no socket and publishes nothing.

The hot path of a feed: typed decoding straight from the frame's memory, decimal text
to whole ticks and lots, and the trade ids watched for what is missing. A trade id
that jumps is a gap: counted and reported, never hidden; one that was seen is dropped.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Final, Protocol

import msgspec

from cryptoquantix.core.clock import NS_PER_MS, Clock
from cryptoquantix.core.instrument import Instrument
from cryptoquantix.core.market import BestQuote
from cryptoquantix.venues.binance import (
    Acknowledgement,
    AggTrade,
    BookTicker,
    Envelope,
    MarketEvent,
)
from cryptoquantix.venues.steps import StepReader

BATCH_MAX: Final = 512

type TickTuple = tuple[int, int, int, bool, int]

_EVENT: Final = msgspec.json.Decoder(MarketEvent)
_ENVELOPE: Final = msgspec.json.Decoder(Envelope)
_ACKNOWLEDGEMENT: Final = msgspec.json.Decoder(Acknowledgement)
_log = logging.getLogger(__name__)


class FeedSink(Protocol):
    """Takes what a feed decodes, without waiting."""

    def put_ticks(
        self, instrument: Instrument, ticks: list[TickTuple], receipt_time_ns: int
    ) -> None:
        """Take prints in the order of arrival; the list is the sink's to keep."""
        ...

    def put_quote(
        self, instrument: Instrument, quote: BestQuote, receipt_time_ns: int
    ) -> None:
        """Take the newest best quote."""
        ...


class InstrumentStream:
    """What has arrived for one instrument, and what of it was not handed on yet."""

    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self.prices = StepReader(instrument.tick_size, lowest=1)
        self.sizes = StepReader(instrument.lot_size)
        # The readers' memories, one look-up away: most texts were seen before.
        self.known_prices = self.prices.known
        self.known_sizes = self.sizes.known
        self.trade_id = -1
        self.trade_id_before = -1  # the last one of the session before
        self.venue_time_ns = 0
        self.trade_monotonic_ns = -1
        self.quote_monotonic_ns = -1
        self.trades = 0
        self.gaps = 0
        self.trades_missing = 0
        self.duplicates = 0
        self.ticks: list[TickTuple] = []
        self.quote: BestQuote | None = None

    def begin_session(self) -> None:
        """Forget nothing, but expect that a new socket may start anywhere."""
        if self.trade_id >= 0:
            self.trade_id_before = self.trade_id
            self.trade_id = -1

    def accepts(self, trade_id: int) -> bool:
        """
        Return whether a print that does not follow the last one is to be used.

        A jump forward is a gap; an id not above the last is a duplicate. The first of
        a session may also be lower than the last of the session before: then the
        venue numbers anew, which is a gap of unknown size.
        """
        is_first = self.trade_id < 0
        last = self.trade_id_before if is_first else self.trade_id
        if last < 0 or trade_id == last + 1:
            return True
        if trade_id <= last and not is_first:
            self.duplicates += 1
            return False
        missing = max(0, trade_id - last - 1)
        self.gaps += 1
        self.trades_missing += missing
        _log.warning(
            "gap in trade ids",
            extra={
                "instrument": str(self.instrument.id),
                "trade_id_last": last,
                "trade_id_found": trade_id,
                "missing": missing,
            },
        )
        return True


class FeedDecoder:
    """
    Decodes the frames of a venue's market-data sockets and hands them on per turn.

    One for all sockets of a feed. The owner calls :meth:`flush` once per turn of the
    event loop in which ``has_pending`` became True; a full batch flushes by itself.
    A frame that cannot be read is counted in ``refused``, logged and dropped: no
    frame raises.

    Parameters
    ----------
    instruments : iterable of Instrument
        Those to decode; events of others are refused.
    sink : FeedSink
        Where ticks and quotes go.
    clock : Clock
        For receive times, read once per turn, when its first message was decoded.
    """

    def __init__(
        self, instruments: Iterable[Instrument], sink: FeedSink, clock: Clock
    ) -> None:
        self.streams = {one.id.symbol: InstrumentStream(one) for one in instruments}
        self.refused = 0
        self.latency_ns = 0
        self.has_pending = False
        self._sink = sink
        self._clock = clock
        self._receipt_time_ns = 0
        self._receipt_monotonic_ns = 0

    @property
    def gaps(self) -> int:
        """Jumps in trade ids since the start, over all instruments."""
        return sum(stream.gaps for stream in self.streams.values())

    def decode(self, payload: bytes | memoryview) -> Acknowledgement | None:
        """Take one text frame; return it if it is the answer to a request."""
        try:
            event = _EVENT.decode(payload)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return self._decode_other(payload)
        self._take(event, payload)
        return None

    def begin_session(self, symbols: Iterable[str]) -> None:
        """Say that the trades of ``symbols`` come from a new socket from now on."""
        for symbol in symbols:
            self.streams[symbol].begin_session()

    def flush(self) -> None:
        """Hand on everything decoded since the last flush."""
        self.has_pending = False
        receipt_time_ns = self._receipt_time_ns
        for stream in self.streams.values():
            if stream.ticks:
                ticks, stream.ticks = stream.ticks, []
                stream.trades += len(ticks)
                stream.venue_time_ns = ticks[-1][0]
                stream.trade_monotonic_ns = self._receipt_monotonic_ns
                self._sink.put_ticks(stream.instrument, ticks, receipt_time_ns)
            if stream.quote is not None:
                quote, stream.quote = stream.quote, None
                self._sink.put_quote(stream.instrument, quote, receipt_time_ns)

    def _take(self, event: MarketEvent, payload: bytes | memoryview) -> None:
        stream = self.streams.get(event.s)
        if stream is None:
            self._refuse(payload, f"{event.s} was not subscribed to")
            return
        if not self.has_pending:
            self._begin_turn(event.E)
        try:
            if type(event) is AggTrade:
                self._take_trade(stream, event)
            else:
                self._take_quote(stream, event)  # type: ignore[arg-type]
        except ValueError as error:
            self._refuse(payload, str(error))

    def _begin_turn(self, event_time_ms: int) -> None:
        self.has_pending = True
        self._receipt_time_ns = self._clock.time_ns()
        self._receipt_monotonic_ns = self._clock.monotonic_ns()
        self.latency_ns = self._receipt_time_ns - event_time_ms * NS_PER_MS

    def _take_trade(self, stream: InstrumentStream, event: AggTrade) -> None:
        price = stream.known_prices.get(event.p)
        if price is None:
            price = stream.prices.read(event.p)
        size = stream.known_sizes.get(event.q)
        if size is None:
            size = stream.sizes.read(event.q)
        trade_id = event.a
        if trade_id != stream.trade_id + 1 and not stream.accepts(trade_id):
            return
        stream.trade_id = trade_id
        ticks = stream.ticks
        ticks.append((event.T * NS_PER_MS, price, size, event.m, trade_id))
        if len(ticks) >= BATCH_MAX:
            self.flush()

    def _take_quote(self, stream: InstrumentStream, event: BookTicker) -> None:
        stream.quote = BestQuote(
            event.T * NS_PER_MS,
            stream.prices.read(event.b),
            stream.sizes.read(event.B),
            stream.prices.read(event.a),
            stream.sizes.read(event.A),
        )
        stream.quote_monotonic_ns = self._receipt_monotonic_ns

    def _decode_other(self, payload: bytes | memoryview) -> Acknowledgement | None:
        try:
            return _ACKNOWLEDGEMENT.decode(payload)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            pass
        try:
            event = _EVENT.decode(_ENVELOPE.decode(payload).data)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            self._refuse(payload, str(error))
        else:
            self._take(event, payload)
        return None

    def _refuse(self, payload: bytes | memoryview, reason: str) -> None:
        self.refused += 1
        # A flood of bad frames must not become a flood of log lines.
        if self.refused & (self.refused - 1) == 0:
            start = bytes(payload[:200]).decode(errors="replace")
            _log.warning(
                "message refused",
                extra={"reason": reason, "count": self.refused, "start": start},
            )

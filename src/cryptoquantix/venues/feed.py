"""
Market-data messages to ticks and quotes; it holds no socket and publishes nothing.

The venue-neutral part of a feed's hot path: what has arrived is handed on once per
turn of the event loop, and the trade ids are watched for what is missing. After a jump
newer prints are held back until the missing ones were fetched or given up, so that
what is handed on is in the venue's order. How a frame is read is the venue's own
module's (``binance_feed`` and so on).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Final

from cryptoquantix.core.clock import NS_PER_MS, Clock
from cryptoquantix.core.instrument import Instrument
from cryptoquantix.core.market import BestQuote
from cryptoquantix.venues.dialect import Answer, Reply
from cryptoquantix.venues.instrument_stream import (
    FeedSink,
    Gap,
    InstrumentStream,
    TickTuple,
)

BATCH_MAX: Final = 512
HELD_MAX: Final = 100_000
NO_ID: Final = -2  # no print may be handed on as it comes

_log = logging.getLogger(__name__)


class FeedDecoder:
    """
    What the sockets of one feed share: its streams, turns and gaps.

    A venue's subclass adds ``decode`` (of the sockets that carry trades) and
    ``decode_quotes`` (of the others). The owner calls :meth:`flush` once per turn of
    the event loop in which ``has_pending`` became True; a full batch flushes by
    itself. A frame that cannot be read is counted in ``refused``, logged and dropped:
    no frame raises. ``misfits`` counts those of them whose prices or sizes are not in
    the instrument's steps: the venue may have changed them.

    Parameters
    ----------
    instruments : iterable of Instrument
        Those to decode; events of others are refused.
    sink : FeedSink
        Where ticks, quotes and marks go.
    clock : Clock
        For receive times, read once per turn, when its first message was decoded.
    on_gap : callable, optional
        Told of a stream whose prints are held from now on, and why; it must see to
        it that :meth:`splice` or :meth:`give_up` is called. Without it nothing is
        held: what is missing is given up at once.
    """

    is_dense = True

    def __init__(
        self,
        instruments: Iterable[Instrument],
        sink: FeedSink,
        clock: Clock,
        on_gap: Callable[[InstrumentStream, Gap], None] | None = None,
    ) -> None:
        self.streams = {one.id.symbol: InstrumentStream(one) for one in instruments}
        self.refused = 0
        self.misfits = 0
        self.latency_ns = 0
        self.has_pending = False
        self.on_gap = on_gap
        self._sink = sink
        self._clock = clock
        self._pending: list[InstrumentStream] = []
        self._receipt_time_ns = 0
        self._receipt_monotonic_ns = 0

    @property
    def gaps(self) -> int:
        """Jumps in trade ids since the start, over all instruments."""
        return sum(stream.gaps for stream in self.streams.values())

    def decode(self, payload: bytes | memoryview) -> Answer | Reply | None:
        """Take one text frame of a socket that carries trades."""
        raise NotImplementedError

    def decode_quotes(self, payload: bytes | memoryview) -> Answer | Reply | None:
        """Take one text frame of a socket that carries quotes or marks."""
        raise NotImplementedError

    def begin_session(
        self,
        trade_symbols: Iterable[str],
        quote_symbols: Iterable[str] = (),
        mark_symbols: Iterable[str] = (),
    ) -> None:
        """Say that trades, quotes or marks come from a new socket from now on."""
        for symbol in trade_symbols:
            stream = self.streams[symbol]
            stream.is_trade_proven = False
            stream.session_floor = stream.next_id
            stream.sequence, stream.sequence_index = -1, 0
            if not self.is_dense:
                self._doubt(stream)
        for symbol in quote_symbols:
            self.streams[symbol].is_quote_proven = False
        for symbol in mark_symbols:
            self.streams[symbol].is_mark_proven = False

    def flush(self) -> None:
        """Hand on everything decoded since the last flush."""
        self.has_pending = False
        receipt_time_ns = self._receipt_time_ns
        pending, self._pending = self._pending, []
        for stream in pending:
            if stream.ticks:
                self._hand_on(stream)
            if stream.quote is not None:
                quote, stream.quote = stream.quote, None
                self._sink.put_quote(stream.instrument, quote, receipt_time_ns)
            if stream.has_mark:
                stream.has_mark = False
                self._sink.put_mark(stream.instrument, stream.mark, receipt_time_ns)

    def splice(self, stream: InstrumentStream, trades: Iterable[TickTuple]) -> bool:
        """
        Put fetched prints before the held ones; return whether none is missing now.

        Where ids leave numbers out, ``trades`` must overlap with the last print handed
        on and with the first one held.
        """
        assert stream.held is not None, "spliced only while prints are held"
        self._stamp()
        last = stream.last_id
        fetched = {tick[4]: tick for tick in trades if tick[4] > last}
        stream.backfilled += len(fetched.keys() - stream.held.keys())
        if self.is_dense:
            stream.held |= fetched
            return self._drain(stream)
        if stream.gap is None or not stream.gap.is_catch_up:
            stream.held |= fetched
            self._release(stream, 0)
            return True
        # What came meanwhile may not follow what was fetched: the next print decides.
        stream.held = fetched
        self._release(stream, 0)
        self._doubt(stream)
        return True

    def catch_up(self, stream: InstrumentStream, newest_id: int) -> None:
        """Say that the venue's newest print is ``newest_id``, which never came."""
        if stream.held is not None or not -1 < stream.trade_id < newest_id:
            return
        self._stamp()
        at_ns = stream.venue_time_ns
        gap = Gap(stream.trade_id, newest_id + 1, (at_ns, at_ns))
        gap.is_catch_up = True
        self._begin_gap(stream, gap)

    def doubt(self, stream: InstrumentStream) -> None:
        """
        Say that prints may be missing before the next one, though no id would tell.

        Does nothing where ids leave no number out.
        """
        if not self.is_dense and stream.held is None and stream.trade_id >= 0:
            self._doubt(stream)

    def change_steps(self, instrument: Instrument) -> bool:
        """
        Take an instrument as the venue lists it now; return whether its steps changed.

        Prints refused because of the old steps are missing, and fetched as others are.
        """
        stream = self.streams[instrument.id.symbol]
        old = stream.instrument
        steps = (instrument.tick_size, instrument.lot_size)
        if steps == (old.tick_size, old.lot_size):
            return False
        self.flush()
        if stream.held is not None:
            # What is held is counted in the old steps: it is fetched with the rest.
            stream.held.clear()
        self.doubt(stream)
        stream.use(instrument)
        return True

    def give_up(self, stream: InstrumentStream) -> None:
        """Hand on what is held, without what is missing."""
        assert stream.held is not None, "given up only while prints are held"
        self._stamp()
        if not self.is_dense:
            stream.follows = -1
            self._release(stream, -1)
            return
        missing = 0
        while stream.held:
            first = min(stream.held)
            missing += first - stream.last_id - 1
            stream.last_id = stream.follows = first - 1
            self._drain(stream, missing)
        if stream.gap is not None:  # nothing is held behind what is missing
            before_id = stream.gap.before_id
            missing += before_id - stream.last_id - 1
            stream.follows = before_id - 1
            self._close_gap(stream, before_id, missing)
        stream.trades_missing += missing

    # What the venues' decoders call.

    def _begin_turn(self, event_time_ms: int) -> None:
        self.has_pending = True
        self._stamp()
        self.latency_ns = self._receipt_time_ns - event_time_ms * NS_PER_MS

    def _stamp(self) -> None:
        self._receipt_time_ns = self._clock.time_ns()
        self._receipt_monotonic_ns = self._clock.monotonic_ns()

    def _take_odd(self, stream: InstrumentStream, tick: TickTuple) -> None:
        """Take a print that does not follow the last one, of ids without holes."""
        trade_id, next_id = tick[4], stream.next_id
        if stream.held is not None:
            self._hold(stream, tick)
        elif not next_id:  # the first of all
            stream.follows = trade_id - 1
            self._append(stream, tick)
        elif trade_id > next_id:
            self._open_gap(stream, tick, tick[4])
        elif stream.is_renumbered(trade_id):
            self._renumber(stream, trade_id)
            self._append(stream, tick)
        else:
            stream.duplicates += 1

    def _append(self, stream: InstrumentStream, tick: TickTuple) -> None:
        stream.next_id = tick[4] + 1
        stream.ticks.append(tick)
        self._pending.append(stream)

    def _open_gap(
        self,
        stream: InstrumentStream,
        tick: TickTuple,
        before_id: int,
        *,
        is_start: bool = False,
    ) -> None:
        """Hold ``tick`` and what comes after it, until what is missing was fetched."""
        span_ns = (stream.venue_time_ns, tick[0])
        gap = Gap(stream.trade_id, before_id, span_ns)
        gap.is_start = is_start
        self._begin_gap(stream, gap, tick)

    def _begin_gap(
        self, stream: InstrumentStream, gap: Gap, tick: TickTuple | None = None
    ) -> None:
        self._hand_on(stream)
        stream.last_id, stream.next_id = gap.after_id, NO_ID
        stream.held = {} if tick is None else {tick[4]: tick}
        stream.gap = gap
        if self.is_dense:
            stream.gaps += 1
            _log.warning(
                "gap in trade ids",
                extra={
                    "instrument": str(stream.instrument.id),
                    "trade_id_last": gap.after_id,
                    "trade_id_found": gap.before_id,
                    "missing": gap.before_id - gap.after_id - 1,
                },
            )
        if self.on_gap is None:
            self.give_up(stream)
        else:
            self.on_gap(stream, gap)

    def _hold(self, stream: InstrumentStream, tick: TickTuple) -> None:
        held = stream.held
        assert held is not None, "held"
        if tick[4] <= stream.last_id or tick[4] in held:
            stream.duplicates += 1
            return
        held[tick[4]] = tick
        if len(held) > HELD_MAX:
            self.give_up(stream)
        elif self.is_dense and tick[4] == stream.last_id + 1:
            self._drain(stream)

    def _drain(self, stream: InstrumentStream, missing: int = 0) -> bool:
        """Let go of held prints up to the next missing one; whether there is none."""
        held = stream.held
        assert held is not None, "held"
        next_id = stream.last_id + 1
        while (tick := held.pop(next_id, None)) is not None:
            stream.ticks.append(tick)
            next_id += 1
            if len(stream.ticks) >= BATCH_MAX:
                self._hand_on(stream)
        self._hand_on(stream)
        stream.last_id = next_id - 1
        gap = stream.gap
        if held and gap is not None:
            gap.before_id = min(held)
        if held or (gap is not None and next_id < gap.before_id):
            return False
        self._close_gap(stream, next_id, missing)
        return True

    def _release(self, stream: InstrumentStream, missing: int) -> None:
        """Let go of all held prints in the order of their ids, and go on live."""
        held = stream.held
        assert held is not None, "held"
        for trade_id in sorted(held):
            stream.ticks.append(held[trade_id])
            if len(stream.ticks) >= BATCH_MAX:
                self._hand_on(stream)
        self._hand_on(stream)
        if missing:
            stream.gaps += 1
        self._close_gap(stream, max(held, default=stream.last_id) + 1, missing)

    def _close_gap(self, stream: InstrumentStream, next_id: int, missing: int) -> None:
        stream.held, stream.next_id = None, next_id
        gap, stream.gap = stream.gap, None
        if gap is not None:
            gap.missing = missing

    def _doubt(self, stream: InstrumentStream) -> None:
        """
        Take the next print for the first after a gap, of ids that leave numbers out.

        What was held is fetched with the rest: prints may be missing behind it.
        """
        self._hand_on(stream)
        stream.last_id, stream.next_id = stream.trade_id, NO_ID
        if stream.held is not None:
            stream.held.clear()
            assert stream.gap is not None, "prints are held because of a gap"
            stream.gap.before_id = -1

    def _renumber(self, stream: InstrumentStream, trade_id: int) -> None:
        """Begin anew: the venue's ids do not go on from those before."""
        self._hand_on(stream)
        stream.gaps += 1
        stream.follows = -1
        _log.warning(
            "trade ids begin anew",
            extra={
                "instrument": str(stream.instrument.id),
                "trade_id_last": stream.next_id - 1,
                "trade_id_found": trade_id,
            },
        )

    def _hand_on(self, stream: InstrumentStream) -> None:
        if not stream.ticks:
            return
        ticks, stream.ticks = stream.ticks, []
        follows, stream.follows = stream.follows, ticks[-1][4]
        stream.trades += len(ticks)
        stream.venue_time_ns = ticks[-1][0]
        stream.trade_monotonic_ns = self._receipt_monotonic_ns
        stream.is_trade_proven = True
        self._sink.put_ticks(stream.instrument, ticks, self._receipt_time_ns, follows)

    def _take_quote(self, stream: InstrumentStream, quote: BestQuote) -> None:
        stream.quote = quote
        self._pending.append(stream)
        stream.quote_monotonic_ns = self._receipt_monotonic_ns
        stream.is_quote_proven = True

    def _take_mark(self, stream: InstrumentStream) -> None:
        stream.has_mark = True
        self._pending.append(stream)
        stream.mark_monotonic_ns = self._receipt_monotonic_ns
        stream.is_mark_proven = True

    def _misfit(
        self, stream: InstrumentStream, payload: bytes | memoryview, error: ValueError
    ) -> None:
        """Refuse a frame with a price or size that is no whole number of steps."""
        self.misfits += 1
        self.doubt(stream)
        self._refuse(payload, str(error))

    def _refuse(self, payload: bytes | memoryview, reason: str) -> None:
        self.refused += 1
        # A flood of bad frames must not become a flood of log lines.
        if self.refused & (self.refused - 1) == 0:
            start = bytes(payload[:200]).decode(errors="replace")
            _log.warning(
                "message refused",
                extra={"reason": reason, "count": self.refused, "start": start},
            )

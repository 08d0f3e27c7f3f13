"""
What a feed knows of one instrument, and who takes what it decodes; it decodes nothing.

Streams hold what has arrived and was not handed on yet, and, while prints are missing,
those that came after them.
"""

from __future__ import annotations

from typing import Final, Protocol

from cryptoquantix.core.instrument import Instrument
from cryptoquantix.core.market import BestQuote
from cryptoquantix.venues.dialect import WireTrade
from cryptoquantix.venues.steps import StepReader

# A venue that repeats itself does so for a moment; one that numbers anew starts low.
FAR: Final = 512
_MANY: Final = 64

type TickTuple = tuple[int, int, int, bool, int]


class Mark:
    """Mark and index price and funding of one instrument, as last told, as text."""

    __slots__ = ("funding_rate", "index", "mark", "next_funding_ns", "time_ns")

    def __init__(self) -> None:
        self.mark = ""
        self.index = ""
        self.funding_rate = ""
        self.next_funding_ns = 0
        self.time_ns = 0


class FeedSink(Protocol):
    """Takes what a feed decodes, without waiting."""

    def put_ticks(
        self,
        instrument: Instrument,
        ticks: list[TickTuple],
        receipt_time_ns: int,
        follows: int,
    ) -> None:
        """
        Take prints in the venue's order; the list is the sink's to keep.

        ``follows`` is the id of the print before the first, -1 where that is unknown.
        """
        ...

    def put_quote(
        self, instrument: Instrument, quote: BestQuote, receipt_time_ns: int
    ) -> None:
        """Take the newest best quote."""
        ...

    def put_mark(
        self, instrument: Instrument, mark: Mark, receipt_time_ns: int
    ) -> None:
        """Take the newest mark price and funding; the object stays the feed's."""
        ...


class Gap:
    """
    Missing prints of one stream: those after ``after_id`` and before ``before_id``.

    ``missing`` is None while the gap is open, then how many were not to be had: 0
    where all were, -1 where the ids do not tell. ``is_start`` where nothing came
    before: only the first print's own match is to be read whole. ``is_catch_up`` where
    no print has come after it yet.
    """

    __slots__ = (
        "after_id",
        "before_id",
        "from_ns",
        "is_catch_up",
        "is_start",
        "missing",
        "until_ns",
    )

    def __init__(self, after_id: int, before_id: int, span_ns: tuple[int, int]) -> None:
        self.is_start = False
        self.is_catch_up = False
        self.after_id = after_id
        self.before_id = before_id
        self.from_ns, self.until_ns = span_ns
        self.missing: int | None = None


class InstrumentStream:
    """What has arrived for one instrument, and what of it was not handed on yet."""

    def __init__(self, instrument: Instrument) -> None:
        self.use(instrument)
        # The id that leaves nothing out; 0 before the first print. Negative where no
        # print may be handed on as it comes: then ``last_id`` is the last one that was.
        self.next_id = 0
        self.last_id = -1
        self.follows = -1  # the last print handed on, before ``ticks``
        self.held: dict[int, TickTuple] | None = None
        self.gap: Gap | None = None
        self.session_floor = 0  # ``next_id`` when the session began
        self.sequence = -1  # Bybit: of the last print,
        self.sequence_index = 0  # and how many of that sequence came before it
        # Bybit: best bid and ask, price and size as written.
        self.sides: tuple[tuple[str, str] | None, tuple[str, str] | None] = None, None
        self.venue_time_ns = 0
        self.trade_monotonic_ns = -1
        self.quote_monotonic_ns = -1
        self.mark_monotonic_ns = -1
        self.is_trade_proven = False
        self.is_quote_proven = False
        self.is_mark_proven = False
        self.trades = 0
        self.gaps = 0
        self.trades_missing = 0
        self.backfilled = 0
        self.duplicates = 0
        self.duplicate_run = (0, 0)  # ``next_id`` and how many duplicates since it
        self.ticks: list[TickTuple] = []
        self.quote: BestQuote | None = None
        self.mark = Mark()
        self.has_mark = False

    @property
    def trade_id(self) -> int:
        """The last print handed on or about to be, -1 before the first."""
        return self.next_id - 1 if self.next_id >= 0 else self.last_id

    def use(self, instrument: Instrument) -> None:
        """Read prices and sizes in the steps of ``instrument`` from now on."""
        self.instrument = instrument
        self.prices = StepReader(instrument.tick_size, lowest=1)
        self.sizes = StepReader(instrument.lot_size)
        # The readers' memories, one look-up away: most texts were seen before.
        self.known_prices = self.prices.known
        self.known_sizes = self.sizes.known

    def resume(self, trade_id: int) -> None:
        """Go on after a print that a feed before this one has handed on."""
        self.next_id = self.session_floor = trade_id + 1
        self.follows = trade_id

    def is_renumbered(self, trade_id: int) -> bool:
        """
        Return whether the venue numbers anew, rather than repeats itself.

        Only at the start of a session: far below the last id, or many low ids in a row.
        """
        next_id = self.next_id
        if next_id != self.session_floor:
            return False
        at, count = self.duplicate_run
        self.duplicate_run = next_id, (count if at == next_id else 0) + 1
        return next_id - trade_id > FAR or self.duplicate_run[1] > _MANY

    def wanted(self) -> tuple[int, int] | None:
        """Return between which ids prints are missing next, None where none are."""
        if self.gap is None or self.held is None:
            return None
        return self.last_id, self.gap.before_id

    def wire_tick(self, trade: WireTrade) -> TickTuple:
        """
        Return a print in ticks and lots.

        Raises
        ------
        ValueError
            If its price or size is no whole number of steps.
        """
        return (
            trade.time_ns,
            self.prices.read(trade.price),
            self.sizes.read(trade.size),
            trade.is_buyer_maker,
            trade.trade_id,
        )

"""
Where fetched bars end and live ticks begin, without a missing or a doubled bar.

Pure: it fetches nothing and reads no clock. Ticks go in; closed bars come out, and
wherever ticks are missing (at the start, or where the trade ids jump) a :class:`Span`
of bars to fetch from the venue. Until those are handed back, ticks are kept, and the
first live bar is the first whose every tick was seen.
"""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import Final, NamedTuple

from cryptoquantix.bars.rule import HOLE_NS, flat_bar_count, open_time_ns
from cryptoquantix.bars.stream import BarBuilder
from cryptoquantix.core.clock import NS_PER_SECOND
from cryptoquantix.core.market import Bar, Tick

TICKS_KEPT_MAX: Final = 200_000
# More than a feed that was killed repeats of its last moment.
DUPLICATES_MAX: Final = 4_096
# Prints of lower ids are of earlier times, whatever the order within a moment.
LATER_NS: Final = 10 * NS_PER_SECOND


class Span(NamedTuple):
    """
    Bars to fetch: those that close in ``(from_ns, until_ns]``.

    ``from_ns`` is None where everything before is wanted too (a warm-up). The venue's
    answer is of use only if it has the bar that opens at ``until_ns``, which holds a
    tick already seen: an answer without it is from before that bar's predecessors
    were complete.
    """

    from_ns: int | None
    until_ns: int


class SeamState(StrEnum):
    """``waiting`` for a first tick, ``bridging`` with fetched bars, or ``live``."""

    WAITING = "waiting"
    BRIDGING = "bridging"
    LIVE = "live"


class BarSeam:
    """
    Live bars of one instrument, seamlessly after fetched ones.

    ``close_ns`` given at the start is where bars that are known already end.

    Attributes
    ----------
    close_ns : int or None
        Where the last bar handed out, or accepted as fetched, closed.
    gaps, duplicates, late : int
        Jumps in the trade ids seen; prints dropped as seen before; prints dropped
        because their bar was closed.
    """

    def __init__(
        self,
        interval_ns: int,
        ticks_kept_max: int = TICKS_KEPT_MAX,
        close_ns: int | None = None,
    ) -> None:
        self.state = SeamState.WAITING
        self.close_ns = close_ns
        self.gaps = 0
        self.duplicates = 0
        self.ticks = 0
        self._interval_ns = interval_ns
        self._kept_max = ticks_kept_max
        self._kept: list[Tick] = []
        self._bridge_open_ns = 0  # of the bar in which ticks are missing
        self._builder: BarBuilder | None = None
        self._steps: tuple[Decimal, Decimal] | None = None
        self._trade_id = -1
        self._tick_ns = 0  # of the last print that was built into a bar
        self._duplicates_in_row = 0
        self._late = 0

    @property
    def late(self) -> int:
        """Prints dropped because their bar was closed."""
        return self._late + (self._builder.late if self._builder is not None else 0)

    def add(
        self,
        tick: Tick,
        tick_size: Decimal,
        lot_size: Decimal,
        follows: int | None = None,
    ) -> list[Bar]:
        """
        Take the next print; return the bars that it closes, oldest first.

        ``follows`` is the id of the print before it where that is told; -1 says that
        none is known: then it follows only an id that is one lower, and a lower one
        means that the venue numbers anew.
        """
        last, trade_id = self._trade_id, tick.trade_id
        is_next = trade_id == last + 1 or (
            follows is not None and -1 < follows <= last < trade_id
        )
        if not is_next and follows != -1 and self._is_duplicate(tick):
            return []
        self._trade_id = tick.trade_id
        self._duplicates_in_row = 0
        self.ticks += 1
        steps = (tick_size, lot_size)
        if not is_next or steps != self._steps:
            self._open_bridge(tick, steps)
            return []
        if self.state is SeamState.LIVE:
            return self._build(tick)
        self._keep(tick)
        return []

    def wanted(self) -> Span | None:
        """Return what must be fetched now, or None where nothing must."""
        if self.state is not SeamState.BRIDGING:
            return None
        if self._kept:
            until_ns = open_time_ns(self._kept[0].venue_time_ns, self._interval_ns)
            return Span(self.close_ns, until_ns)
        if self.close_ns is None or self.close_ns < self._bridge_open_ns:
            return Span(self.close_ns, self._bridge_open_ns)
        return None

    def is_current(self, span: Span) -> bool:
        """Return whether the bars of ``span`` are still of use."""
        wanted = self.wanted()
        return (
            wanted is not None
            and span.from_ns == wanted.from_ns
            and span.until_ns <= wanted.until_ns
        )

    def start_over(self) -> None:
        """Want everything before the prints again: what was taken is of no use."""
        assert self.state is not SeamState.LIVE, "only while bars are being fetched"
        self.close_ns = None

    def complete(self, span: Span) -> list[Bar]:
        """
        Say that the bars of ``span`` were used; return the live bars closed since.

        ``span`` must be current.
        """
        assert self.is_current(span), f"{span} is not what is wanted: {self.wanted()}"
        wanted = self.wanted()
        self.close_ns = span.until_ns
        if not self._kept or span != wanted:
            return []
        assert self._steps is not None, "ticks were kept"
        if self._builder is not None:
            self._late += self._builder.late
        self._builder = BarBuilder(self._interval_ns, *self._steps)
        self.state = SeamState.LIVE
        kept, self._kept = self._kept, []
        return [bar for tick in kept for bar in self._build(tick)]

    def is_over(self, time_ns: int) -> bool:
        """Return whether the live bar's time has passed at the venue's ``time_ns``."""
        if self.state is not SeamState.LIVE or self._builder is None:
            return False
        close_ns = self._builder.close_ns
        return close_ns is not None and close_ns <= time_ns

    def close_quiet(self, trade_id: int, time_ns: int) -> list[Bar]:
        """
        Return the bars that are closed at ``time_ns``, though no print says so.

        Only where ``trade_id``, which the venue called its newest print *after* its
        time was ``time_ns``, is the last one seen here: then no print of these bars
        is still to come. After more than a day of silence nothing is closed, because
        the rule of bars calls that a hole.
        """
        if trade_id != self._trade_id or not self.is_over(time_ns):
            return []
        assert self._builder is not None, "live"
        if time_ns - self._tick_ns > HOLE_NS:
            return []
        return self._closed(self._builder.advance(time_ns))

    def _build(self, tick: Tick) -> list[Bar]:
        assert self._builder is not None, "built only when live"
        self._tick_ns = tick.venue_time_ns
        return self._closed(self._builder.add(tick))

    def _closed(self, bars: list[Bar]) -> list[Bar]:
        if bars:
            self.close_ns = bars[-1].close_time_ns
        return bars

    def _is_duplicate(self, tick: Tick) -> bool:
        """
        Return whether a print was seen before.

        Many in a row are no duplicates: the venue numbers anew, as a simulator does
        that was started again. Nor is one that is later than the last one was.
        """
        if tick.trade_id > self._trade_id:
            return False
        is_live = self.state is SeamState.LIVE
        if is_live and tick.venue_time_ns - self._tick_ns > LATER_NS:
            return False
        self.duplicates += 1
        self._duplicates_in_row += 1
        return self._duplicates_in_row < DUPLICATES_MAX

    def _open_bridge(self, tick: Tick, steps: tuple[Decimal, Decimal]) -> None:
        if self.state is not SeamState.WAITING:
            self.gaps += 1
        self.state = SeamState.BRIDGING
        self._steps = steps
        self._kept = []
        self._bridge_open_ns = open_time_ns(tick.venue_time_ns, self._interval_ns)
        if self.close_ns is not None and self._bridge_open_ns < self.close_ns:
            self.close_ns = None  # time went back: nothing held is of use

    def _keep(self, tick: Tick) -> None:
        """Keep a print of a later bar than the one in which prints are missing."""
        assert self._steps is not None, "bridging"
        if tick.venue_time_ns < self._bridge_open_ns + self._interval_ns:
            return
        if len(self._kept) >= self._kept_max:
            self._open_bridge(tick, self._steps)
            return
        self._kept.append(tick)


def fill_flat(bars: list[Bar], interval_ns: int) -> list[Bar]:
    """
    Return ``bars`` with a flat bar for every interval that a venue left out.

    The same rule as for live bars (:mod:`cryptoquantix.bars.rule`): a silence of more
    than a day stays a hole.
    """
    filled: list[Bar] = []
    for bar in bars:
        if filled:
            before = filled[-1]
            count = flat_bar_count(before.open_time_ns, bar.open_time_ns, interval_ns)
            close = before.close
            for i in range(count):
                open_ns = before.close_time_ns + i * interval_ns
                flat = (open_ns, open_ns + interval_ns, *(close,) * 4, 0.0, 0.0)
                filled.append(Bar(*flat))
        filled.append(bar)
    return filled

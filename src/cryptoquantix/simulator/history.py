"""
The trades and one-minute bars printed so far, in tape time; it knows no future.

Sums are exact: volumes in lots, values in price ticks × lots.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

NS_PER_MINUTE = 60_000_000_000
TRADES_KEPT = 10_000
MINUTES_KEPT = 400_000

# Interval name to minutes. The month is a calendar month and is left out.
INTERVALS = {
    "1m": 1,
    "3m": 3,
    "5m": 5,
    "15m": 15,
    "30m": 30,
    "1h": 60,
    "2h": 120,
    "4h": 240,
    "6h": 360,
    "8h": 480,
    "12h": 720,
    "1d": 1440,
    "3d": 4320,
    "1w": 10_080,
}
# 1970-01-01 was a Thursday; the venue's weeks open on Mondays.
_WEEK_OFFSET_MINUTES = 3 * 1440


class PrintedTrade(NamedTuple):
    """One trade of the tape as it was printed."""

    id: int
    time_ns: int
    price_ticks: int
    size_lots: int
    is_buyer_maker: bool


class TradeRing:
    """
    The latest trades, oldest first; memory is taken once and never grows.

    Twenty instruments of trades kept as objects were 40 MB, here they are 6.
    """

    __slots__ = ("_count", "_fields", "_size")

    def __init__(self, size: int) -> None:
        assert size > 0, f"a ring holds at least one trade, was {size}"
        self._size = size
        self._count = 0
        self._fields = tuple(array("q", bytes(8 * size)) for _ in range(5))

    def __len__(self) -> int:
        return min(self._count, self._size)

    def __iter__(self) -> Iterator[PrintedTrade]:
        return iter(self.last(len(self)))

    def append(self, trade: PrintedTrade) -> None:
        """Keep a trade; the oldest one goes once the ring is full."""
        slot = self._count % self._size
        self._count += 1
        identity, times, prices, sizes, sides = self._fields
        identity[slot], times[slot], prices[slot], sizes[slot], sides[slot] = trade

    def last(self, count: int) -> list[PrintedTrade]:
        """Return the latest ``count`` trades (or all there are), oldest first."""
        count = min(count, len(self))
        first = (self._count - count) % self._size
        end = first + count
        rows = zip(*(self._part(f, first, end) for f in self._fields), strict=True)
        return [PrintedTrade(i, t, p, s, bool(m)) for i, t, p, s, m in rows]

    def _part(self, values: array[int], first: int, end: int) -> array[int]:
        if end <= self._size:
            return values[first:end]
        return values[first:] + values[: end - self._size]


class HistoryBar(NamedTuple):
    """
    A bar of ``minutes`` opening at ``open_minute`` (minutes since 1970).

    ``value`` is in price ticks × lots; ``taker_lots`` and ``taker_value`` are of
    trades whose aggressor bought.
    """

    open_minute: int
    minutes: int
    open: int
    high: int
    low: int
    close: int
    lots: int
    value: int
    trades: int
    taker_lots: int
    taker_value: int
    first_id: int
    last_id: int


class PriorBar(NamedTuple):
    """A one-minute bar from before the first trade of the tape."""

    open_time_ns: int
    open: int
    high: int
    low: int
    close: int
    lots: int
    value: int
    trades: int


class _Minute:
    """The one-minute bar being built."""

    __slots__ = (
        "close",
        "first_id",
        "high",
        "last_id",
        "lots",
        "low",
        "minute",
        "open",
        "taker_lots",
        "taker_value",
        "trades",
        "value",
    )

    def __init__(self, minute: int, price_ticks: int, trade_id: int) -> None:
        self.minute = minute
        self.open = self.high = self.low = self.close = price_ticks
        self.lots = self.value = self.trades = self.taker_lots = self.taker_value = 0
        self.first_id = trade_id
        self.last_id = trade_id - 1

    def row(self) -> _Row:
        """Return the bar as it stands."""
        return _Row(
            self.open,
            self.high,
            self.low,
            self.close,
            self.lots,
            self.value,
            self.trades,
            self.taker_lots,
            self.taker_value,
            self.first_id,
            self.last_id,
        )


class _Row(NamedTuple):
    """A one-minute bar without its time."""

    open: int
    high: int
    low: int
    close: int
    lots: int
    value: int
    trades: int
    taker_lots: int
    taker_value: int
    first_id: int
    last_id: int


class _Closed:
    """
    Closed minutes without a gap, a column for each figure: 88 bytes a minute.

    A month of twenty instruments kept as objects would be half a gigabyte.
    """

    def __init__(self) -> None:
        self.base = 0  # the first minute
        self._columns = tuple(array("q") for _ in _Row._fields)

    @property
    def end(self) -> int:
        """The minute after the last one."""
        return self.base + len(self._columns[0])

    def add(self, minute: int, row: _Row) -> None:
        """Add the minute after the last one; any minute begins an empty store."""
        if not self._columns[0]:
            self.base = minute
        assert minute == self.end, f"minute {minute} is not the next, {self.end}"
        for column, value in zip(self._columns, row, strict=True):
            column.append(value)
        if len(self._columns[0]) > MINUTES_KEPT:
            self.base += MINUTES_KEPT // 10
            for column in self._columns:
                del column[: MINUTES_KEPT // 10]

    def fill(self, minute: int, rows: Sequence[_Row]) -> None:
        """Begin an empty store with ``rows``, the first of them at ``minute``."""
        assert not self._columns[0], "only an empty store can be filled"
        self.base = minute
        for column, values in zip(self._columns, zip(*rows, strict=True), strict=True):
            column.extend(values)

    def clear(self) -> None:
        """Forget every minute."""
        for column in self._columns:
            del column[:]

    def rows(self, first: int, end: int) -> list[_Row]:
        """Return the minutes kept of ``first`` .. ``end - 1``."""
        low, high = max(0, first - self.base), max(0, end - self.base)
        parts = (column[low:high] for column in self._columns)
        return [_Row(*values) for values in zip(*parts, strict=True)]


class History:
    """What one instrument has printed: recent trades and minutes."""

    def __init__(self) -> None:
        self.trades = TradeRing(TRADES_KEPT)
        self._closed = _Closed()
        self._last: _Minute | None = None
        self._id = 0

    @property
    def last_id(self) -> int:
        """Identifier of the last trade printed, zero before the first."""
        return self._id

    def preload(self, bars: Iterable[PriorBar]) -> None:
        """Put bars from before the tape in front; they must be in order."""
        loaded = list(bars)
        minutes = [bar.open_time_ns // NS_PER_MINUTE for bar in loaded]
        whole = len(loaded) > 1 and minutes[-1] - minutes[0] == len(loaded) - 1
        if self._last is None and whole and len(loaded) <= MINUTES_KEPT:
            # Without a gap, as nearly always: a column at a time.
            self._closed.fill(minutes[0], [_prior_row(bar) for bar in loaded[:-1]])
            loaded, minutes = loaded[-1:], minutes[-1:]
        for minute, bar in zip(minutes, loaded, strict=True):
            entry = self._open(minute, bar.open)
            entry.high, entry.low, entry.close = bar.high, bar.low, bar.close
            entry.lots, entry.value, entry.trades = bar.lots, bar.value, bar.trades
            entry.taker_lots, entry.taker_value = bar.lots // 2, bar.value // 2

    def record(self, trade_time_ns: int, price_ticks: int, size_lots: int) -> _Minute:
        """Return the minute that holds this instant, opened if need be."""
        minute = trade_time_ns // NS_PER_MINUTE
        last = self._last
        if last is None or minute > last.minute:
            last = self._open(minute, price_ticks)
        self._id += 1
        if price_ticks > last.high:
            last.high = price_ticks
        elif price_ticks < last.low:
            last.low = price_ticks
        last.close = price_ticks
        last.lots += size_lots
        last.value += price_ticks * size_lots
        last.trades += 1
        last.last_id = self._id
        return last

    def add(
        self, time_ns: int, price_ticks: int, size_lots: int, *, is_buyer_maker: bool
    ) -> PrintedTrade:
        """Print one trade; a time before the last one is taken as the last one's."""
        minute = self.record(time_ns, price_ticks, size_lots)
        if not is_buyer_maker:
            minute.taker_lots += size_lots
            minute.taker_value += price_ticks * size_lots
        trade = PrintedTrade(self._id, time_ns, price_ticks, size_lots, is_buyer_maker)
        self.trades.append(trade)
        return trade

    def bars(
        self, interval: str, start_ns: int | None, end_ns: int | None, limit: int
    ) -> list[HistoryBar]:
        """
        Return bars that open within [start, end], as the venue selects them.

        With a start: the first ``limit`` from there; without: the last ``limit``.
        The bar still open comes last. Nothing after the last trade is shown.
        """
        minutes = INTERVALS[interval]
        if self._last is None:
            return []
        first = bar_open_minute(self._first_minute, minutes)
        last = bar_open_minute(self._last.minute, minutes)
        low, high = first, last
        if start_ns is not None:
            low = max(low, bar_open_minute(-(-start_ns // NS_PER_MINUTE), minutes))
            if low * NS_PER_MINUTE < start_ns:
                low += minutes
        if end_ns is not None:
            high = min(high, bar_open_minute(end_ns // NS_PER_MINUTE, minutes))
        if start_ns is None:
            low = max(low, high - (limit - 1) * minutes)
        else:
            high = min(high, low + (limit - 1) * minutes)
        rows = self._rows(low, high + minutes)
        begin = max(low, self._first_minute)
        return [
            _merge(
                opened,
                minutes,
                rows[max(0, opened - begin) : opened + minutes - begin],
            )
            for opened in range(low, high + 1, minutes)
        ]

    def current(self, interval: str) -> HistoryBar | None:
        """Return the bar now open, None before the first trade."""
        if self._last is None:
            return None
        minutes = INTERVALS[interval]
        opened = bar_open_minute(self._last.minute, minutes)
        return _merge(opened, minutes, self._rows(opened, opened + minutes))

    @property
    def _first_minute(self) -> int:
        last = self._last
        if self._closed.end > self._closed.base or last is None:
            return self._closed.base
        return last.minute

    def _rows(self, first: int, end: int) -> list[_Row]:
        rows = self._closed.rows(first, end)
        last = self._last
        if last is not None and first <= last.minute < end:
            rows.append(last.row())
        return rows

    def _open(self, minute: int, price_ticks: int) -> _Minute:
        last = self._last
        if last is not None:
            if minute - last.minute > MINUTES_KEPT:
                self._closed.clear()
            else:
                self._close(last, minute)
        self._last = _Minute(minute, price_ticks, self._id + 1)
        return self._last

    def _close(self, last: _Minute, before: int) -> None:
        """Keep a minute; one without a trade is a flat bar of volume zero."""
        self._closed.add(last.minute, last.row())
        for quiet in range(last.minute + 1, before):
            row = _Minute(quiet, last.close, self._id + 1).row()
            self._closed.add(quiet, row)


def _prior_row(bar: PriorBar) -> _Row:
    return _Row(
        bar.open,
        bar.high,
        bar.low,
        bar.close,
        bar.lots,
        bar.value,
        bar.trades,
        bar.lots // 2,
        bar.value // 2,
        1,
        0,
    )


def bar_open_minute(minute: int, minutes: int) -> int:
    """Return the minute at which the bar holding ``minute`` opened."""
    offset = _WEEK_OFFSET_MINUTES if minutes == INTERVALS["1w"] else 0
    return (minute + offset) // minutes * minutes - offset


def _merge(open_minute: int, minutes: int, part: Sequence[_Row]) -> HistoryBar:
    return HistoryBar(
        open_minute=open_minute,
        minutes=minutes,
        open=part[0].open,
        high=max(m.high for m in part),
        low=min(m.low for m in part),
        close=part[-1].close,
        lots=sum(m.lots for m in part),
        value=sum(m.value for m in part),
        trades=sum(m.trades for m in part),
        taker_lots=sum(m.taker_lots for m in part),
        taker_value=sum(m.taker_value for m in part),
        first_id=part[0].first_id,
        last_id=part[-1].last_id,
    )

"""
Live ticks to bars, one tick at a time; it waits for nothing and reads no clock.

The same rule as :mod:`cryptoquantix.bars.batch`, to the bit: prices and sizes are
folded in integer steps and turned into the nearest double once, at the close.
"""

from __future__ import annotations

from decimal import Decimal

from cryptoquantix.bars.rule import flat_bar_count, open_time_ns
from cryptoquantix.core.market import Bar, Tick
from cryptoquantix.core.quantity import float_from_steps


class BarBuilder:
    """
    Builds the bars of one instrument and interval.

    ``late`` counts ticks dropped because their bar was closed already, or because
    they are before ``start_ns`` (for one who joins in the middle of an interval
    and wants no partial first bar).

    Examples
    --------
    >>> builder = BarBuilder(60_000_000_000, Decimal("0.1"), Decimal("0.001"))
    >>> builder.add(Tick(59_000_000_000, 1000, 500, False, 1))
    []
    >>> [bar] = builder.add(Tick(60_000_000_000, 1001, 1, False, 2))
    >>> bar.close, bar.volume
    (100.0, 0.5)
    """

    def __init__(
        self,
        interval_ns: int,
        tick_size: Decimal,
        lot_size: Decimal,
        *,
        start_ns: int | None = None,
    ) -> None:
        assert interval_ns > 0, f"interval must be positive, was {interval_ns}"
        self._interval_ns = interval_ns
        self._tick_size = tick_size
        self._lot_size = lot_size
        self._start_ns = start_ns
        self._open_ns: int | None = None  # of the bar being built
        self._is_empty = True
        self._open = self._high = self._low = self._close = 0  # price ticks
        self._volume = 0  # lots
        self.late = 0

    def add(self, tick: Tick) -> list[Bar]:
        """
        Fold one tick in; return the bars that it closes, oldest first.

        A tick of a later interval closes the current bar, and every interval
        without a trade in between is a flat bar of volume 0. A tick of an earlier
        interval is dropped and counted in ``late``; within the current bar ticks
        count in the order they come.
        """
        time_ns = tick.venue_time_ns
        open_ns = self._open_ns
        if open_ns is not None and open_ns <= time_ns < open_ns + self._interval_ns:
            self._fold(tick.price_ticks, tick.size_lots)
            return []
        if (open_ns is not None and time_ns < open_ns) or self._is_early(time_ns):
            self.late += 1
            return []
        bars = self._close_until(open_time_ns(time_ns, self._interval_ns))
        self._fold(tick.price_ticks, tick.size_lots)
        return bars

    @property
    def close_ns(self) -> int | None:
        """When the bar being built closes; None before the first tick."""
        return None if self._open_ns is None else self._open_ns + self._interval_ns

    def advance(self, time_ns: int) -> list[Bar]:
        """
        Return the bars that are closed at ``time_ns``, though no tick said so.

        For a clock that runs with the trades (the venue's event time). Before the
        first tick nothing is known and nothing is returned.
        """
        if self._open_ns is None:
            return []
        open_ns = open_time_ns(time_ns, self._interval_ns)
        return self._close_until(open_ns) if open_ns > self._open_ns else []

    def _is_early(self, time_ns: int) -> bool:
        return self._start_ns is not None and time_ns < self._start_ns

    def _fold(self, price_ticks: int, size_lots: int) -> None:
        if self._is_empty:
            self._is_empty = False
            self._open = self._high = self._low = price_ticks
        elif price_ticks > self._high:
            self._high = price_ticks
        elif price_ticks < self._low:
            self._low = price_ticks
        self._close = price_ticks
        self._volume += size_lots

    def _close_until(self, open_ns: int) -> list[Bar]:
        """Close the current bar and start the one that opens at ``open_ns``."""
        bars: list[Bar] = []
        previous_ns = self._open_ns
        if previous_ns is not None:
            bars.append(self._bar(previous_ns))
            flat = flat_bar_count(previous_ns, open_ns, self._interval_ns)
            first_ns = previous_ns + self._interval_ns
            bars.extend(
                self._flat(first_ns + i * self._interval_ns) for i in range(flat)
            )
        self._open_ns = open_ns
        self._is_empty = True
        self._volume = 0
        return bars

    def _bar(self, open_ns: int) -> Bar:
        if self._is_empty:
            return self._flat(open_ns)
        tick_size = self._tick_size
        return Bar(
            open_ns,
            open_ns + self._interval_ns,
            float_from_steps(self._open, tick_size),
            float_from_steps(self._high, tick_size),
            float_from_steps(self._low, tick_size),
            float_from_steps(self._close, tick_size),
            float_from_steps(self._volume, self._lot_size),
            0.0,
        )

    def _flat(self, open_ns: int) -> Bar:
        close = float_from_steps(self._close, self._tick_size)
        close_ns = open_ns + self._interval_ns
        return Bar(open_ns, close_ns, close, close, close, close, 0.0, 0.0)

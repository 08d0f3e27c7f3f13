"""
One instrument's bars as arrays that kernels take; it repairs nothing it finds.

What is missing is counted and named, or stops the run: a study on silently patched
data is a study of the patch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from cryptoquantix.core.clock import NS_PER_DAY, NS_PER_SECOND
from cryptoquantix.core.errors import DataError, DisorderError, GapError
from cryptoquantix.core.market import Bar
from cryptoquantix.kernel import kernel

type Floats = NDArray[np.float64]
type Ints = NDArray[np.int64]

# Venues charge every 8 hours at the longest; a minute more is a charge that is missing.
FUNDING_GAP_MAX_NS = 8 * 3600 * NS_PER_SECOND + 60 * NS_PER_SECOND


class History(NamedTuple):
    """
    Bars as arrays of one length, sorted, not overlapping (see ``core.market.Bar``).

    ``funding_rate`` is the sum of the rates charged in ``(open, close]``. All are
    read-only: kernels compile for one kind of array, whatever it was made from.
    ``fill_buy`` and ``fill_sell`` are what an order decided at the close before is
    filled at, slippage apart: the open itself, or what ``research.fills`` finds.
    """

    open_time_ns: Ints
    close_time_ns: Ints
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    funding_rate: Floats
    fill_buy: Floats
    fill_sell: Floats


@kernel
def bar_at(history: History, i: int) -> Bar:
    """Return bar ``i``, not counted from the end."""
    k = np.uintp(i)
    return Bar(
        history.open_time_ns[k],
        history.close_time_ns[k],
        history.open[k],
        history.high[k],
        history.low[k],
        history.close[k],
        history.volume[k],
        history.funding_rate[k],
    )


@dataclass(frozen=True, slots=True)
class Days:
    """
    The UTC days that a history spans, one after the other, empty ones included.

    ``first`` is the first day's number since 1970; day ``d`` of the history holds the
    bars from ``stops[d - 1]`` (0 for the first) to before ``stops[d]``.
    """

    first: int
    stops: Ints

    @property
    def count(self) -> int:
        """How many days."""
        return int(self.stops.size)

    def bar(self, day: int) -> int:
        """Return the first bar of ``day``, counted from the history's first."""
        return int(self.stops[day - 1]) if day > 0 else 0

    def start_ns(self, day: int) -> int:
        """Return when ``day``, counted from the history's first, begins."""
        return (self.first + day) * NS_PER_DAY


class Gaps(NamedTuple):
    """What a history lacks: how many holes, and how many bars in them."""

    holes: int
    bars: int


def from_frame(frame: pl.DataFrame, funding: pl.DataFrame | None = None) -> History:
    """
    Return the history of a frame of bars, with funding where it is given.

    Raises
    ------
    DataError
        If there is no bar, or a price is not a positive number, or a bar contradicts
        itself.
    DisorderError
        If bars are not sorted in time or overlap.
    GapError
        If funding has a hole longer than eight hours.
    """
    if frame.is_empty():
        msg = "there is no bar in the time asked for"
        raise DataError(msg)
    times = _times(frame["open_time"]), _times(frame["close_time"])
    names = ("open", "high", "low", "close", "volume")
    opened, high, low, close, volume = (_floats(frame[name]) for name in names)
    charged = _frozen(np.zeros(close.size))
    bars = (opened, high, low, close, volume, charged)
    history = History(*times, *bars, fill_buy=opened, fill_sell=opened)
    _check(history)
    if funding is None:
        return history
    return history._replace(funding_rate=_charged(history, funding))


def find_gaps(history: History) -> Gaps:
    """Return what is missing between the first bar and the last."""
    missing = history.open_time_ns[1:] - history.close_time_ns[:-1]
    interval = int(history.close_time_ns[0] - history.open_time_ns[0])
    holes = missing > 0
    return Gaps(int(holes.sum()), int(missing[holes].sum()) // interval)


def days_of(history: History) -> Days:
    """Return the UTC days of ``history``; a bar belongs to the day it opens in."""
    day = history.open_time_ns // NS_PER_DAY
    first, last = int(day[0]), int(day[-1])
    numbers = np.arange(first, last + 1)
    stops = np.searchsorted(day, numbers, side="right").astype(np.int64)
    return Days(first, stops)


def _times(column: pl.Series) -> Ints:
    return _frozen(np.ascontiguousarray(column.to_physical().to_numpy(), np.int64))


def _floats(column: pl.Series) -> Floats:
    values = column.cast(pl.Float64).fill_null(np.nan).to_numpy()
    return _frozen(np.ascontiguousarray(values, np.float64))


def _frozen[T: np.generic](values: NDArray[T]) -> NDArray[T]:
    view = values.view()
    view.flags.writeable = False
    return view


def _check(history: History) -> None:
    """Refuse what no strategy should be shown."""
    prices = (history.open, history.high, history.low, history.close)
    good = np.isfinite(history.volume)
    for values in prices:
        good &= np.isfinite(values) & (values > 0.0)
        good &= (history.low <= values) & (values <= history.high)
    good &= history.close_time_ns > history.open_time_ns
    if not good.all():
        where = int(np.flatnonzero(~good)[0])
        opened = _date(int(history.open_time_ns[where]))
        shown = tuple(float(values[where]) for values in prices)
        msg = (
            f"the bar that opens at {opened} is not one: open, high, low, close {shown}"
        )
        raise DataError(msg)
    late = np.flatnonzero(history.open_time_ns[1:] < history.close_time_ns[:-1])
    if late.size:
        opened = _date(int(history.open_time_ns[late[0] + 1]))
        msg = f"bars are not sorted in time or overlap at {opened}"
        raise DisorderError(msg)


def _charged(history: History, funding: pl.DataFrame) -> Floats:
    """Return the rate charged in each bar; a hole in the funding is an error, not 0."""
    # Venues stamp a charge some milliseconds late (00:00:00.006): it is that of 00:00.
    second = _times(funding["time"]) // NS_PER_SECOND * NS_PER_SECOND
    rate = _floats(funding["rate"])
    first, last = int(history.open_time_ns[0]), int(history.close_time_ns[-1])
    kept = (second > first) & (second <= last)
    edges = np.concatenate(([first], second[kept], [last]))
    wide = np.flatnonzero(np.diff(edges) > FUNDING_GAP_MAX_NS)
    if wide.size:
        since, until = (_date(int(edges[wide[0] + i])) for i in (0, 1))
        msg = (
            f"funding is missing between {since} and {until}; a study without it "
            'must say funding = "none"'
        )
        raise GapError(msg)
    if not np.isfinite(rate[kept]).all():
        msg = "a funding rate is not a number"
        raise DataError(msg)
    bar = np.searchsorted(history.close_time_ns, second[kept], side="left")
    charged = np.zeros(history.close.size)
    np.add.at(charged, bar, rate[kept])
    return _frozen(charged)


def _date(time_ns: int) -> str:
    return str(np.datetime64(time_ns, "ns").astype("datetime64[s]")) + "Z"

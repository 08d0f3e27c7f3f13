"""
History as a lazy stream of trades, in the order they happened; it has no clock.

From ticks where they are held. Else from bars: a bar becomes up to four trades that
rebuild its open, high, low, close and volume exactly (not its quote volume, nor its
number of trades). A bar of volume 0 becomes none; between bars with trades, flat
bars come back as the intervals without a trade that they stand for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from itertools import repeat, starmap
from operator import mul
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from cryptoquantix.bars.decimals import column_decimals
from cryptoquantix.core.clock import NS_PER_MS, NS_PER_SECOND
from cryptoquantix.core.errors import DataError, SchemaError
from cryptoquantix.core.instrument import InstrumentId
from cryptoquantix.data.catalog import Catalog, utc_date
from cryptoquantix.data.layout import DatasetKey
from cryptoquantix.data.schema import INTERVALS, DatasetKind

_ROWS = 65_536  # held as Python objects at a time
_PRICES = ("open", "high", "low", "close")


class TapeTick(NamedTuple):
    """One trade of a tape; ``price`` and ``size`` are exact."""

    time_ns: int
    price: Decimal
    size: Decimal
    is_buyer_maker: bool


@dataclass(frozen=True, slots=True)
class TapeSource:
    """
    Where a tape comes from, and its steps.

    ``tick_size`` and ``lot_size`` are powers of ten: every price and size of the
    tape is a whole number of them. ``interval`` is empty where it is ticks.
    """

    key: DatasetKey
    generated: bool
    tick_size: Decimal
    lot_size: Decimal
    price_decimals: int
    size_decimals: int


def tape_source(
    catalog: Catalog,
    instrument: InstrumentId,
    start_ns: int | None = None,
    end_ns: int | None = None,
) -> TapeSource:
    """
    Return what :func:`tape` will play, without playing it.

    Raises
    ------
    DataError
        If the catalog holds neither ticks nor bars of the instrument in the range.
    SchemaError
        If they have numbers of more than 15 digits.
    """
    key = _choose(catalog, instrument, start_ns, end_ns)
    marker = catalog.marker(key)
    frame = catalog.scan(key, start_ns, end_ns)
    if key.kind is DatasetKind.TICKS:
        prices = _decimals(frame, ("price",), marker.decimals.get("price"))
        sizes = _decimals(frame, ("size",), marker.decimals.get("size"))
    else:
        prices = _decimals(frame, _PRICES, marker.decimals.get("price"))
        sizes = _decimals(frame, ("volume",), marker.decimals.get("volume"))
        sizes += _has_thin_bars(frame, prices, sizes)
    return TapeSource(
        key,
        marker.generated,
        Decimal((0, (1,), -prices)),
        Decimal((0, (1,), -sizes)),
        prices,
        sizes,
    )


def tape(
    catalog: Catalog,
    instrument: InstrumentId,
    start_ns: int | None = None,
    end_ns: int | None = None,
) -> Iterator[TapeTick]:
    """
    Return the trades of ``[start_ns, end_ns)`` one by one, sorted by time.

    Lazy: holds one part file and some ten thousand trades at a time.

    Raises
    ------
    DataError
        If the catalog holds neither ticks nor bars of the instrument in the range
        (raised by this call, not by the first trade).
    SchemaError
        If they have numbers of more than 15 digits.
    """
    source = tape_source(catalog, instrument, start_ns, end_ns)
    return _play(catalog, source, start_ns, end_ns)


def _choose(
    catalog: Catalog,
    instrument: InstrumentId,
    start_ns: int | None,
    end_ns: int | None,
) -> DatasetKey:
    keys = [DatasetKey(DatasetKind.TICKS, instrument)]
    keys += [DatasetKey(DatasetKind.BARS, instrument, name) for name in INTERVALS]
    for key in keys:
        frame = catalog.scan(key, start_ns, end_ns)
        if frame.select(pl.len()).collect(engine="streaming").item():
            return key
    start = "the start" if start_ns is None else utc_date(start_ns)
    end = "the end" if end_ns is None else utc_date(end_ns)
    msg = (
        f"the catalog {catalog.root} holds neither ticks nor bars of {instrument} "
        f"from {start} to {end} to play"
    )
    raise DataError(msg)


def _decimals(frame: pl.LazyFrame, columns: tuple[str, ...], known: int | None) -> int:
    if known is not None:
        return known
    widest = 0
    for column in columns:
        decimals = column_decimals(frame, column)
        if decimals is None:
            msg = f"{column} has values of more than 15 digits: no exact tape of it"
            raise SchemaError(msg)
        widest = max(widest, decimals)
    return widest


def _has_thin_bars(frame: pl.LazyFrame, price_decimals: int, decimals: int) -> bool:
    """Whether some bar has fewer lots than prices, so that it needs finer lots."""
    lots = (pl.col("volume") * 10.0**decimals).round()
    thin = (lots > 0) & (lots < len(_PRICES))
    for batch in frame.filter(thin).collect(engine="streaming").iter_slices(_ROWS):
        bars = _Bars.of(batch, price_decimals, decimals)
        if np.any(bars.keep.sum(axis=1) > bars.lots):
            return True
    return False


def _play(
    catalog: Catalog, source: TapeSource, start_ns: int | None, end_ns: int | None
) -> Iterator[TapeTick]:
    is_ticks = source.key.kind is DatasetKind.TICKS
    expand = _trades_of_ticks if is_ticks else _trades_of_bars
    for part in catalog.parts(source.key, start_ns, end_ns):
        for rows in part.iter_slices(_ROWS):
            times, prices, sizes, makers = expand(rows, source)
            yield from starmap(
                TapeTick,
                zip(
                    times,
                    map(mul, prices, repeat(source.tick_size)),
                    map(mul, sizes, repeat(source.lot_size)),
                    makers,
                    strict=True,
                ),
            )


_Columns = tuple[list[int], list[int], list[int], list[bool]]


def _trades_of_ticks(rows: pl.DataFrame, source: TapeSource) -> _Columns:
    return (
        rows["time"].to_physical().to_list(),
        _whole(rows["price"], source.price_decimals).tolist(),
        _whole(rows["size"], source.size_decimals).tolist(),
        rows["is_buyer_maker"].to_list(),
    )


def _trades_of_bars(rows: pl.DataFrame, source: TapeSource) -> _Columns:
    interval_ns = INTERVALS[source.key.interval] * NS_PER_SECOND
    bars = _Bars.of(rows, source.price_decimals, source.size_decimals)
    keep = bars.keep
    return (
        bars.times(interval_ns)[keep].tolist(),
        bars.path[keep].tolist(),
        bars.sizes()[keep].tolist(),
        bars.makers()[keep].tolist(),
    )


class _Bars(NamedTuple):
    """Bars as integer arrays: (N,) opens and lots, (N, 4) the rest."""

    open_ns: NDArray[np.int64]
    lots: NDArray[np.int64]
    path: NDArray[np.int64]  # price ticks: open, an extreme, the other, close
    keep: NDArray[np.bool_]  # which of the four become a trade

    @classmethod
    def of(cls, rows: pl.DataFrame, price_decimals: int, size_decimals: int) -> _Bars:
        opened, high, low, close = (
            _whole(rows[name], price_decimals) for name in _PRICES
        )
        open_ns = rows["open_time"].to_physical().to_numpy()
        lots = _whole(rows["volume"], size_decimals)
        _check(open_ns, (opened, high, low, close))
        # A bar that rose more likely dipped first: the shorter way through all four.
        rose = close >= opened
        path = np.stack(
            (opened, np.where(rose, low, high), np.where(rose, high, low), close),
            axis=1,
        )
        keep = np.ones(path.shape, dtype=np.bool_)
        keep[:, 1:] = path[:, 1:] != path[:, :-1]
        keep &= (lots > 0)[:, None]
        return cls(open_ns, lots, path, keep)

    def times(self, interval_ns: int) -> NDArray[np.int64]:
        """Return (N, 4) trade times within [open, close), on whole milliseconds."""
        third_ns = interval_ns // 3 // NS_PER_MS * NS_PER_MS
        offsets = (0, third_ns, 2 * third_ns, interval_ns - NS_PER_MS)
        return self.open_ns[:, None] + np.array(offsets, dtype=np.int64)

    def sizes(self) -> NDArray[np.int64]:
        """Return (N, 4) lots; those of a bar's kept trades sum to its volume."""
        count = np.maximum(self.keep.sum(axis=1), 1)
        sizes = np.where(self.keep, (self.lots // count)[:, None], 0)
        sizes[:, 0] += self.lots - sizes.sum(axis=1)
        return sizes

    def makers(self) -> NDArray[np.bool_]:
        """Return (N, 4) whether the seller was the aggressor: the price fell."""
        fell = np.empty(self.path.shape, dtype=np.bool_)
        fell[:, 1:] = self.path[:, 1:] < self.path[:, :-1]
        fell[:, 0] = self.path[:, 3] < self.path[:, 0]
        return fell


def _whole(column: pl.Series, decimals: int) -> NDArray[np.int64]:
    return np.rint(column.to_numpy() * 10.0**decimals).astype(np.int64)


def _check(open_ns: NDArray[np.int64], prices: tuple[NDArray[np.int64], ...]) -> None:
    opened, high, low, close = prices
    bad = (np.minimum(opened, close) < low) | (np.maximum(opened, close) > high)
    if np.any(bad):
        at = int(open_ns[np.argmax(bad)])
        day = utc_date(at)
        msg = f"the bar at {at} ns ({day}) opens or closes beyond its high or low"
        raise DataError(msg)

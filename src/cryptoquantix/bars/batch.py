"""
Ticks to bars and bars to coarser bars in Polars; it reads and writes no file.

The same rule as :mod:`cryptoquantix.bars.stream`, to the bit.
"""

from __future__ import annotations

import polars as pl

from cryptoquantix.bars.decimals import column_decimals, from_steps, steps
from cryptoquantix.bars.rule import HOLE_NS
from cryptoquantix.core.errors import SchemaError

TIME = pl.Datetime("ns", "UTC")


def time_bars(
    ticks: pl.LazyFrame,
    interval_ns: int,
    *,
    price_decimals: int | None = None,
    size_decimals: int | None = None,
) -> pl.LazyFrame:
    """
    Return the bars of ``ticks``, one row an interval, sorted by ``open_time``.

    Intervals without a trade between two trades are flat bars of volume 0, except
    in a hole of more than a day (:func:`cryptoquantix.bars.rule.flat_bar_count`).
    The last interval is included: whether it is complete, ticks cannot tell.

    Parameters
    ----------
    ticks : LazyFrame
        ``time`` (Datetime ns UTC, not descending), ``price`` and ``size`` (doubles
        that hold decimals of at most 15 digits).
    interval_ns : int
        Length of a bar; bars are aligned to 1970 UTC.
    price_decimals, size_decimals : int, optional
        Decimals of the two columns. Where not given they are found by reading
        ``ticks`` once more.

    Returns
    -------
    LazyFrame
        ``open_time, close_time, open, high, low, close, volume, quote_volume,
        trades``. ``volume`` and ``quote_volume`` are exact sums, rounded once.

    Raises
    ------
    SchemaError
        If decimals must be found and a value has more than 15 digits.
    """
    prices = _known(ticks, "price", price_decimals)
    sizes = _known(ticks, "size", size_decimals)
    if prices is None or sizes is None:
        msg = "ticks have prices or sizes of more than 15 digits, expected at most 15"
        raise SchemaError(msg)
    price, size = pl.col("price"), steps("size", sizes)
    bars = (
        ticks.group_by(_open_of("time", interval_ns))
        .agg(
            price.first().alias("open"),
            price.max().alias("high"),
            price.min().alias("low"),
            price.last().alias("close"),
            size.sum().alias("volume"),
            (steps("price", prices) * size).sum().alias("quote_volume"),
            pl.len().cast(pl.Int64).alias("trades"),
        )
        .sort("open_ns")
        .with_columns(
            from_steps(pl.col("volume"), sizes),
            from_steps(pl.col("quote_volume"), prices + sizes),
        )
    )
    return _timed(_with_flat_bars(bars, interval_ns), interval_ns)


def coarser_bars(
    bars: pl.LazyFrame,
    interval_ns: int,
    *,
    volume_decimals: int | None = None,
    quote_decimals: int | None = None,
) -> pl.LazyFrame:
    """
    Return ``bars`` combined to bars of ``interval_ns``, a multiple of theirs.

    Only whole bars are returned: a first or last interval that ``bars`` covers in
    part is left out, since its open or close would be wrong. Missing bars in the
    middle stay missing. Volumes are exact sums, except that a column with values of
    more than 15 digits (quote volume of busy days) is summed in doubles.
    """
    volume = _known(bars, "volume", volume_decimals)
    quote = _known(bars, "quote_volume", quote_decimals)

    def traded(column: str) -> pl.Expr:
        # A flat bar repeats a price of before its interval: where anything was
        # traded, it has no part in the open, high or low.
        return pl.col(column).filter(pl.col("volume") > 0)

    first = pl.col("first_ns").min() <= pl.col("open_ns")
    last = pl.col("last_ns").max() >= pl.col("open_ns") + interval_ns
    combined = (
        bars.group_by(_open_of("open_time", interval_ns))
        .agg(
            pl.coalesce(traded("open").first(), pl.col("open").first()),
            pl.coalesce(traded("high").max(), pl.col("high").max()),
            pl.coalesce(traded("low").min(), pl.col("low").min()),
            pl.col("close").last(),
            _steps("volume", volume).sum().alias("volume"),
            _steps("quote_volume", quote).sum().alias("quote_volume"),
            pl.col("trades").sum(),
            _ns(pl.col("open_time").first()).alias("first_ns"),
            _ns(pl.col("close_time").last()).alias("last_ns"),
        )
        .sort("open_ns")
        .filter(first, last)
        .drop("first_ns", "last_ns")
        .with_columns(_from_steps("volume", volume), _from_steps("quote_volume", quote))
    )
    return _timed(combined, interval_ns)


def _known(frame: pl.LazyFrame, column: str, decimals: int | None) -> int | None:
    return column_decimals(frame, column) if decimals is None else decimals


def _steps(column: str, decimals: int | None) -> pl.Expr:
    return pl.col(column) if decimals is None else steps(column, decimals)


def _from_steps(column: str, decimals: int | None) -> pl.Expr:
    value = pl.col(column)
    return value if decimals is None else from_steps(value, decimals)


def _open_of(column: str, interval_ns: int) -> pl.Expr:
    time_ns = _ns(pl.col(column))
    return (time_ns - time_ns % interval_ns).alias("open_ns")


def _ns(time: pl.Expr) -> pl.Expr:
    # Arithmetic on times can quietly make microseconds of them.
    return time.cast(TIME).to_physical()


def _with_flat_bars(bars: pl.LazyFrame, interval_ns: int) -> pl.LazyFrame:
    empty = (pl.col("open_ns").shift(-1) - pl.col("open_ns")) // interval_ns - 1
    is_silence = empty * interval_ns <= HOLE_NS
    is_flat = pl.col("step") > 0
    close, none = pl.col("close"), pl.lit(0.0)
    return (
        bars.with_columns(
            pl.when(is_silence).then(empty).otherwise(0).fill_null(0).alias("flat")
        )
        .with_columns(pl.int_ranges(0, pl.col("flat") + 1).alias("step"))
        .explode("step")
        .with_columns(
            pl.col("open_ns") + pl.col("step") * interval_ns,
            *(
                pl.when(is_flat).then(close).otherwise(pl.col(name)).alias(name)
                for name in ("open", "high", "low")
            ),
            *(
                pl.when(is_flat).then(none).otherwise(pl.col(name)).alias(name)
                for name in ("volume", "quote_volume")
            ),
            pl.when(is_flat).then(0).otherwise(pl.col("trades")).alias("trades"),
        )
        .drop("flat", "step")
    )


def _timed(bars: pl.LazyFrame, interval_ns: int) -> pl.LazyFrame:
    return bars.select(
        pl.col("open_ns").cast(TIME).alias("open_time"),
        (pl.col("open_ns") + interval_ns).cast(TIME).alias("close_time"),
        "open",
        "high",
        "low",
        "close",
        "volume",
        "quote_volume",
        pl.col("trades").cast(pl.Int64),
    )

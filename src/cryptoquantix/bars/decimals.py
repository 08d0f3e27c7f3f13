"""
How many decimals a column of doubles has, and sums of it that are exact.

Archives write decimals of at most 15 digits. A double holds such a number without
loss: the integer ``round(x * 10**k)`` is the number's digits again, and dividing
that integer by ``10**k`` gives the same double back. Sums are therefore taken over
the integers, which no order of addition changes, and turned into the nearest double
once. This module rounds nothing else.

Divisions are numpy's: Polars divides by a scalar by multiplying with its reciprocal
(seen with 2.1), which is off by one unit in the last place for many quotients.
"""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

DECIMALS_MAX = 15
_EXACT = 2**53  # below it every integer is a double
_DIGITS = 1e15  # 15 digits: x * 10**k rounds to the right integer


def steps(column: str, decimals: int) -> pl.Expr:
    """Return ``column`` as an Int128 count of steps of ``10**-decimals``."""
    return (pl.col(column) * 10.0**decimals).round().cast(pl.Int128)


def from_steps(column: pl.Expr, decimals: int) -> pl.Expr:
    """Return the doubles nearest to ``column`` × ``10**-decimals`` (Int128 in)."""
    return column.map_batches(
        lambda series: _nearest(series, decimals),
        return_dtype=pl.Float64,
        is_elementwise=True,
    )


def _nearest(series: pl.Series, decimals: int) -> pl.Series:
    scale = 10**decimals
    if (series.abs() < _EXACT).all():
        values = series.cast(pl.Float64).to_numpy() / float(scale)
        return pl.Series(series.name, values, dtype=pl.Float64)
    # Beyond 2**53 the cast would round once and the division a second time;
    # Python's division of integers rounds once.
    exact = [value / scale for value in series]
    return pl.Series(series.name, exact, dtype=pl.Float64)


def column_decimals(
    frame: pl.LazyFrame | pl.DataFrame, column: str, *, at_least: int = 0
) -> int | None:
    """
    Return the smallest number of decimals that writes every value of ``column``.

    Not fewer than ``at_least``: what is known of earlier parts of a dataset. None
    where some value has more than 15 digits or is not finite. Reads the column once,
    streaming.
    """
    if isinstance(frame, pl.DataFrame):
        found = _decimals(frame[column].to_numpy(), at_least)
        return None if found > DECIMALS_MAX else found

    def each(series: pl.Series) -> pl.Series:
        # Raising in here, on a thread of Polars, can abort the process.
        count = _decimals(series.to_numpy(), at_least)
        return pl.Series(series.name, np.full(len(series), count, np.int64))

    expression = pl.col(column).map_batches(
        each, return_dtype=pl.Int64, is_elementwise=True
    )
    widest = (
        frame.select(expression.max()).collect(engine="streaming").item() or at_least
    )
    return None if widest > DECIMALS_MAX else int(widest)


def _decimals(values: NDArray[np.float64], at_least: int) -> int:
    """Return the decimals needed; more than DECIMALS_MAX where there is no number."""
    for decimals in range(at_least, DECIMALS_MAX + 1):
        scaled = values * 10.0**decimals
        whole = np.rint(scaled)
        if not np.all(np.abs(whole) < _DIGITS):
            break
        if np.array_equal(whole / 10.0**decimals, values):
            return decimals
    return DECIMALS_MAX + 1

"""
Columns, types and units of every dataset; it holds no data and opens no file.

Prices and sizes are doubles. Archives write decimals of at most 15 digits, and a
double holds such a decimal without loss, so nothing of the file is rounded.
"""

from __future__ import annotations

from enum import StrEnum

import polars as pl

from cryptoquantix.core.errors import SettingsError

TIME = pl.Datetime("ns", "UTC")


class DatasetKind(StrEnum):
    """What a dataset holds; also the name of its folder in the catalog."""

    TICKS = "ticks"
    BARS = "bars"
    FUNDING = "funding"


TICKS = pl.Schema(
    {
        "time": TIME,
        "trade_id": pl.Int64(),
        "price": pl.Float64(),  # quote per base
        "size": pl.Float64(),  # base
        "is_buyer_maker": pl.Boolean(),  # True: the seller was the aggressor
    }
)

BARS = pl.Schema(
    {
        "open_time": TIME,
        "close_time": TIME,  # exclusive: open_time + interval
        "open": pl.Float64(),
        "high": pl.Float64(),
        "low": pl.Float64(),
        "close": pl.Float64(),
        "volume": pl.Float64(),  # base
        "quote_volume": pl.Float64(),  # quote
        "trades": pl.Int64(),
    }
)

FUNDING = pl.Schema(
    {
        "time": TIME,
        "rate": pl.Float64(),  # fraction of notional, longs to shorts if positive
    }
)

SCHEMAS = {
    DatasetKind.TICKS: TICKS,
    DatasetKind.BARS: BARS,
    DatasetKind.FUNDING: FUNDING,
}

TIME_COLUMN = {
    DatasetKind.TICKS: "time",
    DatasetKind.BARS: "open_time",
    DatasetKind.FUNDING: "time",
}

KEY_COLUMN = {
    DatasetKind.TICKS: "trade_id",
    DatasetKind.BARS: "open_time",
    DatasetKind.FUNDING: "time",
}
"""What names a row: two rows with the same key are one row, seen twice."""

INTERVALS = {
    "1s": 1,
    "1m": 60,
    "3m": 180,
    "5m": 300,
    "15m": 900,
    "30m": 1800,
    "1h": 3600,
    "2h": 7200,
    "4h": 14_400,
    "6h": 21_600,
    "8h": 28_800,
    "12h": 43_200,
    "1d": 86_400,
}
"""Interval names to seconds, as the archives spell them."""


def interval_seconds(name: str) -> int:
    """
    Return the seconds of an interval's name.

    Raises
    ------
    SettingsError
        If it is no name of :data:`INTERVALS`.

    Examples
    --------
    >>> interval_seconds("4h")
    14400
    """
    if name not in INTERVALS:
        msg = f"interval must be one of {', '.join(INTERVALS)}, was {name!r}"
        raise SettingsError(msg)
    return INTERVALS[name]


def interval_name(seconds: int) -> str:
    """
    Return the name of an interval of ``seconds``.

    Raises
    ------
    SettingsError
        If no archive interval has that length.
    """
    for name, length in INTERVALS.items():
        if length == seconds:
            return name
    known = ", ".join(str(length) for length in INTERVALS.values())
    msg = f"interval must be one of {known} seconds, was {seconds}"
    raise SettingsError(msg)

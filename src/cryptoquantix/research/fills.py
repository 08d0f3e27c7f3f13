"""
What an order decided at a bar's close is filled at, from ticks; it decides no order.

The price depends on the bar and the side alone, never on a parameter: it is found once
for all cells, so that fills as exact as the ticks cost what fills at opens cost.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import polars as pl

from cryptoquantix.core.errors import GapError
from cryptoquantix.data.schema import TIME
from cryptoquantix.research.history import Floats, History


class Filled(NamedTuple):
    """A history with its fill prices; ``missing`` of them were taken from the open."""

    history: History
    missing: int


def fill_at_ticks(history: History, ticks: pl.LazyFrame, latency_ns: int) -> Filled:
    """
    Return ``history`` with orders filled at the first trades after they are decided.

    A buy decided at a close is filled at the price of the first trade of a buying
    aggressor at or after that close plus ``latency_ns``, a sell at that of a selling
    one: what a taker paid then. Where there is none before the next bar's close, at
    that bar's open, and counted.

    Parameters
    ----------
    ticks : LazyFrame
        Columns ``time``, ``price`` and ``is_buyer_maker``, in order of time.
    latency_ns : int
        From the close to the order's arrival at the venue.

    Raises
    ------
    GapError
        If there is not one trade in the time of the bars.
    """
    decided_ns = np.concatenate(
        (history.open_time_ns[:1], history.close_time_ns[:-1] + latency_ns)
    )
    orders = pl.DataFrame({"time": decided_ns, "until": history.close_time_ns})
    orders = orders.select(pl.col("time").cast(TIME), pl.col("until").cast(TIME))
    first, last = orders["time"][0], orders["until"][-1]
    trades = (
        ticks.filter(pl.col("time").is_between(first, last, closed="left"))
        .select("time", "price", "is_buyer_maker")
        .collect()
    )
    if trades.is_empty():
        msg = f"there are no ticks to fill at between {first} and {last}"
        raise GapError(msg)
    buys, no_buy = _first_after(orders, trades, history, is_buyer_maker=False)
    sells, no_sell = _first_after(orders, trades, history, is_buyer_maker=True)
    return Filled(history._replace(fill_buy=buys, fill_sell=sells), no_buy + no_sell)


def _first_after(
    orders: pl.DataFrame,
    trades: pl.DataFrame,
    history: History,
    *,
    is_buyer_maker: bool,
) -> tuple[Floats, int]:
    """Return each bar's first price of one aggressor, and how many bars lack it."""
    of_side = trades.filter(pl.col("is_buyer_maker") == is_buyer_maker)
    of_side = of_side.select("time", "price", pl.col("time").alias("traded"))
    found = orders.join_asof(of_side, on="time", strategy="forward")
    in_time = pl.col("traded") < pl.col("until")
    prices = found.select(pl.when(in_time).then("price").cast(pl.Float64))["price"]
    opens = pl.Series(history.open)
    filled = prices.fill_null(opens).to_numpy()
    filled = np.ascontiguousarray(filled)
    filled.flags.writeable = False
    return filled, prices.null_count()

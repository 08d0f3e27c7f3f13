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


def fill_at_prints(history: History, ticks: pl.LazyFrame, spread: float) -> Filled:
    """
    Return ``history`` with orders filled where the tape stands once a bar is closed.

    That is the first trade at or after the close, whoever its aggressor was: one side
    of a market ``spread`` wide. A buyer's trade stood at the ask, which a buy pays and
    a sell misses by the spread; a seller's at the bid. Where there is none before the
    next bar's close, at that bar's open, and counted.

    Parameters
    ----------
    ticks : LazyFrame
        Columns ``time``, ``price`` and ``is_buyer_maker``, in order of time.
    spread : float
        Between bid and ask, quote currency.

    Raises
    ------
    GapError
        If there is not one trade in the time of the bars.
    """
    at = np.concatenate((history.open_time_ns[:1], history.close_time_ns[:-1]))
    orders = pl.DataFrame({"time": at, "until": history.close_time_ns})
    orders = orders.select(pl.col("time").cast(TIME), pl.col("until").cast(TIME))
    first, last = orders["time"][0], orders["until"][-1]
    is_sold = pl.col("is_buyer_maker")
    trades = (
        ticks.filter(pl.col("time").is_between(first, last, closed="left"))
        .select(
            "time",
            pl.col("time").alias("traded"),
            (pl.col("price") + pl.when(is_sold).then(spread).otherwise(0.0)).alias(
                "buy"
            ),
            (pl.col("price") - pl.when(is_sold).then(0.0).otherwise(spread)).alias(
                "sell"
            ),
        )
        .collect()
    )
    if trades.is_empty():
        msg = f"there are no ticks to fill at between {first} and {last}"
        raise GapError(msg)
    found = orders.join_asof(trades, on="time", strategy="forward")
    in_time = pl.col("traded") < pl.col("until")
    chosen = found.select(
        *(pl.when(in_time).then(side).alias(side) for side in ("buy", "sell"))
    )
    buys, sells = (_filled_up(chosen[side], history) for side in ("buy", "sell"))
    missing = 2 * chosen["buy"].null_count()
    return Filled(history._replace(fill_buy=buys, fill_sell=sells), missing)


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
    return _filled_up(prices, history), prices.null_count()


def _filled_up(prices: pl.Series, history: History) -> Floats:
    """Return prices with the bars' opens where there is none, read-only."""
    filled = prices.fill_null(pl.Series(history.open)).to_numpy()
    filled = np.ascontiguousarray(filled)
    filled.flags.writeable = False
    return filled

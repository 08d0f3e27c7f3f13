"""Fill prices from ticks, against the obvious search for each bar and side."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cryptoquantix.core.clock import NS_PER_MS, NS_PER_SECOND
from cryptoquantix.core.errors import GapError
from cryptoquantix.data.schema import TIME
from cryptoquantix.research.fills import fill_at_ticks
from histories import START_NS, walk

BARS = 8
SPAN_NS = BARS * 60 * NS_PER_SECOND


def ticks_of(trades) -> pl.LazyFrame:
    """Trades as (ns after the first bar's open, price, is_buyer_maker)."""
    times = [START_NS + time for time, _, _ in trades]
    return pl.LazyFrame(
        {
            "time": pl.Series(times, dtype=pl.Int64).cast(TIME),
            "price": [float(price) for _, price, _ in trades],
            "is_buyer_maker": [is_maker for _, _, is_maker in trades],
        }
    )


def plainly(history, trades, latency_ns, *, is_buyer_maker):
    """Bar by bar, trade by trade."""
    prices = []
    for i in range(history.close.size):
        start = history.open_time_ns[0]
        if i:
            start = history.close_time_ns[i - 1] + latency_ns
        prices.append(
            next(
                (
                    price
                    for time, price, is_maker in trades
                    if start <= START_NS + time < history.close_time_ns[i]
                    and is_maker is is_buyer_maker
                ),
                None,
            )
        )
    return prices


trade = st.tuples(st.integers(0, SPAN_NS - 1), st.integers(1, 1_000), st.booleans())


@settings(max_examples=60, deadline=None)
@given(
    st.lists(trade, min_size=1, max_size=60).map(
        lambda t: sorted(t, key=lambda x: x[0])
    ),
    st.integers(0, 59_999).map(lambda ms: ms * NS_PER_MS),
)
def test_an_order_is_filled_at_the_first_trade_of_its_side(trades, latency_ns):
    history = walk(3, BARS)
    filled, missing = fill_at_ticks(history, ticks_of(trades), latency_ns)
    lacking = 0
    for found, is_buyer_maker in ((filled.fill_buy, False), (filled.fill_sell, True)):
        expected = plainly(history, trades, latency_ns, is_buyer_maker=is_buyer_maker)
        lacking += expected.count(None)
        for price, plain, opened in zip(found, expected, history.open, strict=True):
            assert price == (opened if plain is None else plain)
    assert missing == lacking


def test_a_trade_at_the_very_close_belongs_to_the_next_bar():
    close_ns = 60 * NS_PER_SECOND
    trades = [(close_ns - 1, 7, False), (close_ns, 8, False), (close_ns + 1, 9, False)]
    filled, _ = fill_at_ticks(walk(3, BARS), ticks_of(trades), 0)
    assert filled.fill_buy[1] == 8
    filled, _ = fill_at_ticks(walk(3, BARS), ticks_of(trades), 1)
    assert filled.fill_buy[1] == 9


def test_without_a_trade_there_is_nothing_to_fill_at():
    late = [(SPAN_NS, 5, True)]
    with pytest.raises(GapError, match="no ticks to fill at between 2023-11-15"):
        fill_at_ticks(walk(3, BARS), ticks_of(late), 0)


def test_all_else_is_as_it_was_and_nothing_can_be_written():
    history = walk(3, BARS)
    filled, _ = fill_at_ticks(history, ticks_of([(1, 5, True)]), 0)
    np.testing.assert_array_equal(filled.open, history.open)
    assert not filled.fill_buy.flags.writeable

"""Bars in a batch and bars tick by tick are the same bars, to the bit."""

from __future__ import annotations

from decimal import Decimal

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from cryptoquantix.bars.batch import time_bars
from cryptoquantix.bars.stream import BarBuilder
from cryptoquantix.core.market import Tick
from cryptoquantix.core.quantity import float_from_steps

SECOND = 1_000_000_000
INTERVALS = [SECOND, 60 * SECOND, 3600 * SECOND, 86_400 * SECOND]
STEPS = [Decimal(text) for text in ("1", "0.1", "0.05", "0.001", "0.00000001", "10")]
COLUMNS = ["open_time", "close_time", "open", "high", "low", "close", "volume"]


def streamed(ticks, interval_ns, tick_size, lot_size):
    builder = BarBuilder(interval_ns, tick_size, lot_size)
    bars = [bar for tick in ticks for bar in builder.add(tick)]
    assert builder.late == 0
    return [tuple(bar)[:7] for bar in bars]


def batched(ticks, interval_ns, tick_size, lot_size):
    rows = [
        (
            tick.venue_time_ns,
            float_from_steps(tick.price_ticks, tick_size),
            float_from_steps(tick.size_lots, lot_size),
        )
        for tick in ticks
    ]
    columns = {"time": pl.Int64, "price": pl.Float64, "size": pl.Float64}
    frame = pl.DataFrame(rows, schema=columns, orient="row").lazy()
    frame = frame.with_columns(pl.col("time").cast(pl.Datetime("ns", "UTC")))
    bars = time_bars(frame, interval_ns).select(COLUMNS).collect(engine="streaming")
    times = [pl.col(name).to_physical() for name in COLUMNS[:2]]
    return bars.with_columns(times).rows()


@settings(deadline=None, max_examples=150)
@given(
    start=st.integers(0, 2**60),
    steps=st.lists(
        st.tuples(
            st.one_of(
                st.integers(0, 5 * SECOND),
                st.integers(0, 7200 * SECOND),
                st.just(2 * 86_400 * SECOND),
            ),
            st.integers(1, 10**7),
            st.integers(1, 10**7),
        ),
        min_size=1,
        max_size=60,
    ),
    interval_ns=st.sampled_from(INTERVALS),
    tick_size=st.sampled_from(STEPS),
    lot_size=st.sampled_from(STEPS),
)
def test_batch_and_stream_agree_exactly(start, steps, interval_ns, tick_size, lot_size):
    ticks, time_ns = [], start
    for number, (wait_ns, price_ticks, size_lots) in enumerate(steps):
        time_ns += wait_ns
        ticks.append(Tick(time_ns, price_ticks, size_lots, False, number))
    live = streamed(ticks, interval_ns, tick_size, lot_size)
    batch = batched(ticks, interval_ns, tick_size, lot_size)
    # The bar still being built is the batch's last.
    assert live == batch[:-1]


def test_volumes_beyond_2_to_the_53_agree_too():
    lot_size = Decimal("0.001")
    ticks = [Tick(i, 1, 10**15 - 1 - 2 * i, False, i) for i in range(30)]
    ticks.append(Tick(60 * SECOND, 1, 1, False, 99))
    live = streamed(ticks, 60 * SECOND, Decimal(1), lot_size)
    assert live == batched(ticks, 60 * SECOND, Decimal(1), lot_size)[:-1]

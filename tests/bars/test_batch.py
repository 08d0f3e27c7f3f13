"""Ticks to bars and bars to coarser bars in Polars."""

from __future__ import annotations

from fractions import Fraction

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cryptoquantix.bars.batch import coarser_bars, time_bars
from cryptoquantix.core.errors import SchemaError

MINUTE = 60_000_000_000
TIME = pl.Datetime("ns", "UTC")


def ticks(rows):
    columns = {"time": pl.Int64, "price": pl.Float64, "size": pl.Float64}
    frame = pl.DataFrame(rows, schema=columns, orient="row")
    return frame.lazy().with_columns(pl.col("time").cast(TIME))


def test_bars_hold_first_highest_lowest_last_and_sums():
    frame = ticks([(1, 10.0, 0.1), (2, 12.0, 0.2), (3, 9.0, 0.3), (MINUTE, 8.0, 1.0)])
    bars = time_bars(frame, MINUTE).collect()
    assert bars.row(0)[2:] == (10.0, 12.0, 9.0, 9.0, 0.6, 6.1, 3)
    assert bars["open_time"].to_physical().to_list() == [0, MINUTE]
    assert bars["close_time"].to_physical().to_list() == [MINUTE, 2 * MINUTE]


def test_silence_is_flat_and_a_hole_stays_one():
    frame = ticks([(0, 10.0, 1.0), (3 * MINUTE, 11.0, 1.0), (10**6 * MINUTE, 5.0, 1.0)])
    bars = time_bars(frame, MINUTE).collect()
    assert len(bars) == 5
    assert bars.row(1)[2:] == (10.0, 10.0, 10.0, 10.0, 0.0, 0.0, 0)


def test_no_ticks_are_no_bars():
    assert time_bars(ticks([]), MINUTE).collect().is_empty()
    assert coarser_bars(time_bars(ticks([]), MINUTE), 5 * MINUTE).collect().is_empty()


def test_numbers_of_more_than_15_digits_are_refused():
    with pytest.raises(SchemaError, match="15 digits"):
        time_bars(ticks([(0, 1 / 3, 1.0)]), MINUTE)


def test_a_bar_that_the_finer_ones_cover_in_part_is_left_out():
    rows = [(minute * MINUTE, float(minute + 1), 1.0) for minute in range(3, 17)]
    bars = coarser_bars(time_bars(ticks(rows), MINUTE), 5 * MINUTE).collect()
    assert bars["open_time"].to_physical().to_list() == [5 * MINUTE, 10 * MINUTE]
    assert bars.row(0)[2:] == (6.0, 10.0, 6.0, 10.0, 5.0, 40.0, 5)


def test_volumes_too_long_to_be_exact_are_summed_in_doubles():
    bars = time_bars(ticks([(0, 1.0, 1.0), (MINUTE, 1.0, 1.0)]), MINUTE)
    bars = bars.with_columns(quote_volume=pl.lit(0.1234567890123456789))
    one = coarser_bars(bars, 2 * MINUTE).collect()
    assert one["quote_volume"].item() == pytest.approx(0.2469135780246914)


@settings(deadline=None, max_examples=50)
@given(
    rows=st.lists(
        st.tuples(
            st.integers(0, 30 * MINUTE), st.integers(1, 10**9), st.integers(1, 10**9)
        ),
        min_size=1,
    )
)
@pytest.mark.parametrize("engine", ["streaming", "in-memory"])
def test_bars_of_bars_are_bars_of_ticks_and_lose_no_volume(rows, engine):
    rows = [(0, 1, 1), *sorted(rows), (30 * MINUTE - 1, 1, 1)]
    rows = [row for row in rows if row[0] < 30 * MINUTE]
    frame = ticks([(t, p / 10**4, s / 10**3) for t, p, s in sorted(rows)])
    direct = time_bars(frame, 10 * MINUTE).collect(engine=engine)
    through = coarser_bars(time_bars(frame, MINUTE), 10 * MINUTE).collect(engine=engine)
    quote = "quote_volume"  # its sums may be too long for 15 digits
    assert direct.drop(quote).equals(through.drop(quote))
    assert through[quote].to_list() == pytest.approx(direct[quote].to_list(), rel=1e-12)
    exact = Fraction(sum(size for *_, size in rows), 10**3)
    assert float(sum(map(Fraction, map(str, direct["volume"])))) == float(exact)

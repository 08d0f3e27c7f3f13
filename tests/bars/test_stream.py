"""Live ticks to bars."""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from cryptoquantix.bars.stream import BarBuilder
from cryptoquantix.core.market import Bar, Tick

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
TICK_SIZE, LOT_SIZE = Decimal("0.1"), Decimal("0.001")


def builder(**options):
    return BarBuilder(MINUTE, TICK_SIZE, LOT_SIZE, **options)


def tick(time_ns, price_ticks=1000, size_lots=1):
    return Tick(time_ns, price_ticks, size_lots, False, 0)


def test_a_bar_closes_with_the_first_tick_of_a_later_interval():
    bars = builder()
    assert bars.add(tick(0, 1000, 5)) == []
    assert bars.add(tick(30 * SECOND, 1013, 1)) == []
    assert bars.add(tick(MINUTE - 1, 990, 2)) == []
    [bar] = bars.add(tick(MINUTE, 995, 7))
    assert bar == Bar(0, MINUTE, 100.0, 101.3, 99.0, 99.0, 0.008, 0.0)


def test_an_interval_without_a_trade_is_a_flat_bar():
    bars = builder()
    bars.add(tick(0, 1000))
    closed = bars.add(tick(3 * MINUTE, 1100))
    assert [bar.open_time_ns for bar in closed] == [0, MINUTE, 2 * MINUTE]
    assert closed[1][2:] == (100.0, 100.0, 100.0, 100.0, 0.0, 0.0)


def test_a_hole_of_more_than_a_day_is_not_filled():
    bars = builder()
    bars.add(tick(0))
    assert len(bars.add(tick(1_000_000 * MINUTE))) == 1


def test_a_late_tick_is_counted_and_changes_nothing():
    bars, untouched = builder(), builder()
    for one in (bars, untouched):
        one.add(tick(MINUTE, 1000))
    assert bars.add(tick(MINUTE - 1, 1)) == []
    assert bars.late == 1
    assert bars.add(tick(2 * MINUTE)) == untouched.add(tick(2 * MINUTE))


def test_the_partial_bar_of_one_who_joins_late_is_left_out():
    bars = builder(start_ns=MINUTE)
    assert bars.add(tick(30 * SECOND)) == []
    assert bars.late == 1
    bars.add(tick(MINUTE + 1))
    [bar] = bars.add(tick(2 * MINUTE))
    assert bar.open_time_ns == MINUTE


def test_time_alone_closes_bars_once_something_was_traded():
    bars = builder()
    assert bars.advance(10 * MINUTE) == []
    bars.add(tick(0, 1000, 3))
    assert bars.advance(MINUTE - 1) == []
    closed = bars.advance(2 * MINUTE + 1)
    assert [bar.volume for bar in closed] == [0.003, 0.0]
    assert bars.advance(2 * MINUTE + 2) == []
    bars.add(tick(3 * MINUTE - 1, 900))
    [bar] = bars.advance(3 * MINUTE)
    assert (bar.open_time_ns, bar.open, bar.close) == (2 * MINUTE, 90.0, 90.0)


def test_a_tick_older_than_a_bar_closed_by_time_is_late():
    bars = builder()
    bars.add(tick(0))
    bars.advance(MINUTE)
    bars.add(tick(MINUTE - 1))
    assert bars.late == 1


@given(
    st.lists(
        st.tuples(
            st.integers(0, 5 * MINUTE), st.integers(1, 10**6), st.integers(1, 10**9)
        ),
        min_size=1,
    )
)
def test_volume_in_equals_volume_out(rows):
    bars = BarBuilder(MINUTE, TICK_SIZE, Decimal(1))
    closed = []
    for time_ns, price, size in sorted(rows):
        closed += bars.add(tick(time_ns, price, size))
    closed += bars.advance(6 * MINUTE)
    assert bars.late == 0
    assert sum(int(bar.volume) for bar in closed) == sum(size for *_, size in rows)
    assert all(a.close_time_ns == b.open_time_ns for a, b in pairwise(closed))

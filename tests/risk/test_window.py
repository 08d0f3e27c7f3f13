"""The rolling high-water mark."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryptoquantix.core.clock import NS_PER_SECOND
from cryptoquantix.risk.window import WINDOW_NS, HighWaterMark

samples = st.lists(
    st.tuples(st.integers(0, 50), st.decimals(1, 1000, places=2, allow_nan=False)),
    min_size=1,
    max_size=60,
)


@given(samples)
def test_the_peak_is_the_maximum_of_the_window(steps):
    mark = HighWaterMark(window_ns=100)
    seen = []
    time_ns = 0
    for step, value in steps:
        time_ns += step
        peak = mark.add(time_ns, value)
        seen.append((time_ns, value))
        assert peak == max(v for t, v in seen if t > time_ns - 100)


def test_a_peak_is_forgotten_after_24_hours_and_not_at_midnight():
    mark = HighWaterMark()
    mark.add(1, Decimal(100))
    assert mark.add(WINDOW_NS, Decimal(90)) == 100
    assert mark.add(WINDOW_NS + 1, Decimal(90)) == 90


def test_a_day_of_falling_equity_keeps_the_window_bounded_and_right():
    mark = HighWaterMark(
        (second * NS_PER_SECOND, Decimal(200_000 - second))
        for second in range(86_400 + 1000)
    )
    assert len(mark) == 86_400
    assert mark.peak == Decimal(200_000 - 1000)


def test_a_clock_set_back_keeps_the_peak_longer_never_shorter():
    mark = HighWaterMark(window_ns=100)
    mark.add(1000, Decimal(100))
    assert mark.add(500, Decimal(90)) == 100
    assert mark.newest_ns == 1000


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity"])
def test_a_number_that_is_none_is_refused(value):
    with pytest.raises(ValueError, match="finite"):
        HighWaterMark().add(1, Decimal(value))


def test_a_restarted_window_equals_the_one_that_never_stopped():
    values = [(t, Decimal((t * 7919) % 1000 + 1)) for t in range(1, 500)]
    whole = HighWaterMark(values, window_ns=100)
    resumed = HighWaterMark(values[250:], window_ns=100)
    assert whole.peak == resumed.peak

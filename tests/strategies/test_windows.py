"""Windows agree with the plain definition, whatever passes through them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cryptoquantix.strategies.windows import (
    channel_of,
    mean_of,
    mean_value,
    push_channel,
    push_mean,
    smooth,
)

values = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60)
lengths = st.integers(1, 12)


@settings(deadline=None)
@given(values, lengths)
def test_a_channel_is_the_extremes_of_the_last_values(seen, length):
    channel = channel_of(length)
    for count, value in enumerate(seen, start=1):
        channel = push_channel(channel, value + 1.0, value)
        recent = seen[max(0, count - length) : count]
        assert channel.high == max(recent) + 1.0
        assert channel.low == min(recent)


@settings(deadline=None)
@given(values, lengths)
def test_the_mean_is_that_of_the_last_values(seen, length):
    window = mean_of(length)
    for count, value in enumerate(seen, start=1):
        window = push_mean(window, value)
        assert window.seen == count
        if count >= length:
            expected = math.fsum(seen[count - length : count]) / length
            assert mean_value(window) == pytest.approx(expected, abs=1e-8)


def test_a_huge_value_leaves_no_trace_in_the_mean_once_it_is_out():
    """A plain running sum would keep 1e16's rounding error for ever."""
    window = mean_of(4)
    for value in (1e16, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7):
        window = push_mean(window, value)
    assert mean_value(window) == pytest.approx((0.4 + 0.5 + 0.6 + 0.7) / 4, rel=1e-15)


def test_the_smooth_average_is_wilders():
    """The plain mean of the first values, then one part in ``length`` a value."""
    seen = np.random.default_rng(3).normal(size=50)
    average = 0.0
    for count, value in enumerate(seen, start=1):
        average = smooth(average, value, count, 10)
        if count == 10:
            assert average == pytest.approx(seen[:10].mean(), rel=1e-12)
            expected = average
        elif count > 10:
            expected += (value - expected) / 10
            assert average == pytest.approx(expected, rel=1e-12)

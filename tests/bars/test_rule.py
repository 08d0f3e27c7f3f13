"""When a bar opens and closes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cryptoquantix.bars.rule import HOLE_NS, flat_bar_count, open_time_ns

MINUTE = 60_000_000_000


@given(st.integers(0, 2**62), st.sampled_from([1_000_000_000, MINUTE, 1440 * MINUTE]))
def test_every_time_lies_in_the_half_open_interval_of_its_bar(time_ns, interval_ns):
    open_ns = open_time_ns(time_ns, interval_ns)
    assert open_ns <= time_ns < open_ns + interval_ns
    assert open_ns % interval_ns == 0


def test_a_silence_of_a_day_is_filled_and_a_longer_one_is_a_hole():
    assert flat_bar_count(0, MINUTE, MINUTE) == 0
    assert flat_bar_count(0, HOLE_NS + MINUTE, MINUTE) == 1440
    assert flat_bar_count(0, HOLE_NS + 2 * MINUTE, MINUTE) == 0

"""Waits grow, are bounded, and are the same for the same seed."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cryptoquantix.venues.backoff import Backoff


@given(st.integers(0, 2**32), st.integers(1, 40))
def test_waits_stay_within_their_bounds(seed, count):
    backoff = Backoff(np.random.default_rng(seed), seconds_min=0.25, seconds_max=30)
    for attempt in range(count):
        bound = min(0.25 * 2**attempt, 30)
        assert bound / 2 < backoff.next_seconds() <= bound
    backoff.reset()
    assert backoff.next_seconds() <= 0.25


def test_the_same_seed_waits_the_same():
    first, again = (Backoff(np.random.default_rng(7)) for _ in range(2))
    assert [first.next_seconds() for _ in range(9)] == [
        again.next_seconds() for _ in range(9)
    ]

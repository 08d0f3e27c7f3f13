"""Lots are somebody's or nobody's, and none is lost or made by rounding."""

from __future__ import annotations

from hypothesis import assume, given
from hypothesis import strategies as st

from cryptoquantix.orders.attribution import (
    NOBODY,
    attributed,
    crossed,
    decode_shares,
    encode_shares,
    shares_of,
)

MISSING = st.dictionaries(st.sampled_from(["a", "b", "c"]), st.integers(-500, 500))


@given(MISSING, st.integers(-500, 500), st.data())
def test_what_fills_is_given_out_to_the_last_lot(missing, lots, data):
    assume(lots)
    shares = shares_of(missing, lots)
    filled = data.draw(st.integers(0, abs(lots)))
    parts = attributed(shares, lots, filled)
    sign = 1 if lots > 0 else -1
    assert sum(parts.values()) == sign * filled
    assert decode_shares(encode_shares(shares), "x", lots) == shares


@given(MISSING, st.integers(1, 500))
def test_an_order_for_all_that_is_missing_gives_each_its_own(missing, lots):
    total = sum(missing.values())
    assume(total)
    shares = shares_of(missing, total)
    parts = attributed(shares, total, abs(total))
    assert parts == {name: value for name, value in missing.items() if value}


def test_a_correction_that_no_strategy_asked_for_is_nobodys():
    assert shares_of({"a": 3}, -3) == {NOBODY: -3}
    assert decode_shares("", "trend", 5) == {"trend": 5}


@given(MISSING)
def test_strategies_cross_all_that_they_want_of_each_other_and_no_more(missing):
    found = crossed(missing)
    assert sum(found.values()) == 0
    left = {name: lots - found.get(name, 0) for name, lots in missing.items()}
    for name, lots in found.items():
        assert 0 < lots <= missing[name] or missing[name] <= lots < 0
    assert not (any(n > 0 for n in left.values()) and any(n < 0 for n in left.values()))
    assert sum(left.values()) == sum(missing.values())
    assert crossed(left) == {}

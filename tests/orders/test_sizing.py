"""Laws of sizing: toward zero, never more than asked, nothing below the minimum."""

from __future__ import annotations

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cryptoquantix.kernel import kernel
from cryptoquantix.orders.sizing import target_lots

targets = st.floats(-5, 5)
equities = st.floats(1, 1e8)
prices = st.floats(1e-6, 1e6)
lot_sizes = st.sampled_from([1e-3, 1e-2, 0.1, 1.0, 10.0, 1000.0])
notionals = st.floats(0, 100)


@given(targets, equities, prices, lot_sizes, notionals)
def test_never_holds_more_than_the_target(target, equity, price, lot_size, notional):
    lots = target_lots(target, equity, price, lot_size, notional)
    wanted = target * equity / price / lot_size
    assert abs(lots) <= abs(wanted) + 1e-9
    assert lots == 0 or (lots > 0) == (target > 0)


@given(targets, equities, prices, lot_sizes, notionals)
def test_holds_nothing_below_the_minimum_and_all_but_a_lot_above(
    target, equity, price, lot_size, notional
):
    # Beyond it a double counts no whole lots, and the answer is 0.
    assume(abs(target) * equity / price / lot_size < 9e15)
    lots = target_lots(target, equity, price, lot_size, notional)
    if lots:
        assert abs(lots) * lot_size * price >= notional
    else:
        one_lot = lot_size * price
        # One part in 1e9: a lot missed by less than the tolerance counts as one.
        assert abs(target) * equity <= max(notional, 0.0) + one_lot * (1 + 1e-8)


def test_more_lots_than_a_double_can_count_are_none():
    assert target_lots(3.0, 3e6, 1e-6, 0.001, 0.0) == 0


@given(targets, equities, prices, lot_sizes, notionals)
def test_a_short_mirrors_a_long(target, equity, price, lot_size, notional):
    long = target_lots(target, equity, price, lot_size, notional)
    assert target_lots(-target, equity, price, lot_size, notional) == -long


def test_a_whole_lot_that_doubles_fall_short_of_is_kept():
    assert target_lots(1.0, 0.3, 1.0, 0.1, 0.0) == 3


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 0.0, -1.0])
def test_what_is_not_known_is_not_bought(bad):
    assert target_lots(1.0, bad, 100.0, 0.1, 0.0) == 0
    assert target_lots(1.0, 1000.0, bad, 0.1, 0.0) == 0
    assert target_lots(1.0, 1000.0, 100.0, bad, 0.0) == 0


def test_a_target_of_nan_wants_nothing():
    assert target_lots(math.nan, 1000.0, 100.0, 0.1, 0.0) == 0


def test_the_compiled_form_sizes_alike():
    compiled = kernel(target_lots)
    for target in (-1.7, -0.0, 0.0, 0.3, 2.5, math.nan):
        for price in (0.00001, 3.3, 64_123.4):
            arguments = (target, 98_765.4, price, 0.001, 5.0)
            assert compiled(*arguments) == target_lots(*arguments)

"""Doubles that hold decimals, summed exactly."""

from __future__ import annotations

from fractions import Fraction

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryptoquantix.bars.decimals import column_decimals, from_steps, steps


@given(st.lists(st.integers(0, 10**15 - 1), min_size=1), st.integers(0, 10))
def test_the_decimals_found_write_every_value(numbers, decimals):
    values = [number / 10**decimals for number in numbers]
    found = column_decimals(pl.DataFrame({"x": values}), "x")
    assert found is not None
    assert found <= decimals
    assert all(round(v * 10**found) / 10**found == v for v in values)


@given(st.lists(st.integers(0, 10**15 - 1), min_size=1), st.integers(0, 10))
def test_a_sum_is_the_double_nearest_to_the_exact_sum(numbers, decimals):
    frame = pl.LazyFrame({"x": [number / 10**decimals for number in numbers]})
    total = frame.select(steps("x", decimals).sum())
    found = total.select(from_steps(pl.col("x"), decimals)).collect().item()
    assert found == float(Fraction(sum(numbers), 10**decimals))


@pytest.mark.parametrize("value", [1 / 3, float("inf"), float("nan"), 1e300])
@pytest.mark.parametrize("lazy", [False, True])
def test_what_no_15_digits_write_has_no_decimals(value, lazy):
    frame = pl.DataFrame({"x": [0.5, value]})
    assert column_decimals(frame.lazy() if lazy else frame, "x") is None


def test_earlier_knowledge_is_the_least():
    frame = pl.DataFrame({"x": [0.5]})
    assert column_decimals(frame, "x", at_least=3) == 3
    assert column_decimals(frame.lazy(), "x", at_least=3) == 3
    assert column_decimals(frame.lazy().clear(), "x", at_least=3) == 3

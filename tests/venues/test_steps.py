"""Decimal text becomes whole steps exactly, or is refused."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryptoquantix.venues import steps as steps_module
from cryptoquantix.venues.steps import StepReader

STEPS = st.sampled_from(
    ["1", "0.1", "0.10", "0.5", "0.05", "0.001", "0.00000001", "10", "1E+3", "0.25"]
).map(Decimal)


@given(STEPS, st.integers(0, 10**15), st.integers(0, 4))
def test_text_of_whole_steps_is_read_exactly(step, count, zeros):
    value = count * step
    text = format(value, "f")
    assert StepReader(step).read(text) == count
    padded = text + "0" * zeros if "." in text else text + "." + "0" * (zeros + 1)
    assert StepReader(step).read(padded) == count


@given(STEPS, st.integers(1, 10**12))
def test_text_between_steps_is_refused(step, count):
    text = format(count * step + step / 3, "f")
    with pytest.raises(ValueError, match="no whole number of steps"):
        StepReader(step).read(text)


@pytest.mark.parametrize("text", ["", ".", "x", "1e", "NaN", "Infinity", "1.2.3"])
def test_text_that_is_no_number_is_refused(text):
    reader = StepReader(Decimal("0.1"))
    with pytest.raises(ValueError, match=r"expected a|no whole"):
        reader.read(text)


def test_what_is_remembered_is_bounded(monkeypatch):
    monkeypatch.setattr(steps_module, "_CACHE_MAX", 10)
    reader = StepReader(Decimal("0.1"))
    assert [reader.read(f"{i}.0") for i in range(50)] == [10 * i for i in range(50)]
    assert len(reader.known) <= 10


@pytest.mark.parametrize("text", ["0", "0.00", "-0.1", "-7"])
def test_a_price_of_nothing_or_less_is_refused(text):
    reader = StepReader(Decimal("0.1"), lowest=1)
    for _ in range(2):
        with pytest.raises(ValueError, match="at least"):
            reader.read(text)
    assert reader.read("0.1") == 1

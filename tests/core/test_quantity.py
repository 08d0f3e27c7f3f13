"""Steps are exact; only the functions that say so round."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryptoquantix.core import quantity
from cryptoquantix.core.order import Side

STEPS = st.sampled_from(
    [Decimal(s) for s in ("0.1", "0.01", "0.00000001", "5", "0.5", "0.0025", "1000")]
)


@given(st.integers(-(10**15), 10**15), STEPS)
def test_steps_survive_the_way_to_decimal_and_back(steps, step):
    assert quantity.to_steps(quantity.from_steps(steps, step), step) == steps


@given(st.integers(0, 10**12), st.sampled_from(["0.1", "0.01", "0.00000001", "0.0025"]))
def test_the_float_of_steps_is_the_float_that_parsing_the_text_gives(steps, step):
    text = format(quantity.from_steps(steps, Decimal(step)), "f")
    assert quantity.float_from_steps(steps, Decimal(step)) == float(text)


def test_a_value_between_two_steps_is_refused():
    with pytest.raises(ValueError, match="no whole number of steps"):
        quantity.to_steps(Decimal("0.15"), Decimal("0.1"))


@given(st.decimals("0", "1e9", places=9), STEPS)
def test_lots_down_never_asks_for_more_than_the_size(size, step):
    lots = quantity.to_lots_down(size, step)
    assert lots * step <= size < (lots + 1) * step


@given(st.decimals("0.001", "1e6", places=7), STEPS)
def test_a_passive_price_never_crosses_the_price_it_came_from(price, step):
    bid = quantity.to_price_ticks_passive(price, step, Side.BUY)
    ask = quantity.to_price_ticks_passive(price, step, Side.SELL)
    assert bid * step <= price <= ask * step
    assert ask - bid <= 1


@given(st.decimals("-1e6", "1e6", places=7), STEPS)
def test_the_nearest_step_is_at_most_half_a_step_away(value, step):
    steps = quantity.to_steps_nearest(value, step)
    assert abs(value - steps * step) <= step / 2

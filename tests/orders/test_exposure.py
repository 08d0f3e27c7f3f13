"""However what is under way ends, no more is at stake than was counted."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from cryptoquantix.core.order import Side
from cryptoquantix.orders.exposure import Exposure, UnderWay, exposure_of

VALUES = st.integers(0, 1000).map(Decimal)
# Side, value, whether it increases, which of three instruments, quarters that fill.
ORDERS = st.lists(
    st.tuples(
        st.sampled_from(Side),
        VALUES,
        st.booleans(),
        st.integers(0, 2),
        st.integers(0, 4),
    ),
    max_size=8,
)


@given(held=st.lists(st.integers(-1000, 1000), min_size=3, max_size=3), orders=ORDERS)
def test_no_end_of_what_is_under_way_goes_beyond_what_was_counted(held, orders):
    under_way = [UnderWay(side, value, rises) for side, value, rises, _, _ in orders]
    found = exposure_of(Decimal(1), map(Decimal, held), under_way)
    ends = [Decimal(value) for value in held]
    for side, value, rises, which, quarters in orders:
        size = value * quarters / 4
        if not rises:  # reduce-only: toward zero and never beyond
            size = max(Decimal(0), min(size, -side.sign * ends[which]))
        ends[which] += side.sign * size
    assert sum(abs(value) for value in ends) <= found.gross_quote
    assert sum(ends) <= found.long_quote
    assert -sum(ends) <= found.short_quote


@given(
    one=st.tuples(VALUES, VALUES, VALUES, VALUES),
    other=st.tuples(VALUES, VALUES, VALUES, VALUES),
)
def test_two_venues_are_at_stake_together(one, other):
    both = Exposure(*one) + Exposure(*other)
    assert both.gross_quote == one[1] + other[1]
    assert both.toward(Side.BUY) == one[2] + other[2]
    assert both.toward(Side.SELL) == one[3] + other[3]

"""What is ours of a position is never more than it, and never on its other side."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cryptoquantix.orders.ownership import Ownership, explained, part_of

LOTS = st.integers(-50, 50)


@given(venue=LOTS, own=LOTS)
def test_our_part_is_within_the_position_and_within_what_we_made(venue, own):
    part = part_of(venue, own)
    assert abs(part) <= min(abs(venue), abs(own))
    assert part * venue >= 0
    assert part * own >= 0
    if own * venue >= 0:
        assert abs(part) == min(abs(venue), abs(own))
    else:
        assert part == 0


@given(venue=LOTS, own=LOTS, coming=st.lists(LOTS, max_size=3))
def test_what_our_orders_may_have_filled_is_not_foreign(venue, own, coming):
    part = explained(venue, own, coming)
    assert abs(part) <= abs(venue)
    sums = {own}
    for lots in coming:
        sums = {s + f for s in sums for f in range(min(0, lots), max(0, lots) + 1)}
    assert (part == venue) == (venue in sums or venue == 0 or beyond(venue, sums))


def beyond(venue, sums):
    """All of the position is ours where we made more: somebody reduced it."""
    return min(sums) >= venue > 0 or max(sums) <= venue < 0


@given(fills=st.lists(st.tuples(LOTS, st.booleans()), max_size=20), before=LOTS)
def test_the_parts_sum_up_to_the_position_and_lie_on_its_side(fills, before):
    made, venue = Ownership(foreign_lots=before), before
    for lots, is_ours in fills:
        made.count(lots, is_ours=is_ours)
        venue += lots
        assert made.own_lots + made.foreign_lots == venue
        assert made.own_lots * venue >= 0
        assert abs(made.own_lots) <= abs(venue)


@given(fills=st.lists(LOTS, max_size=20))
def test_where_nobody_else_trades_all_of_it_is_ours(fills):
    made = Ownership()
    for lots in fills:
        made.count(lots, is_ours=True)
    assert made == Ownership(own_lots=sum(fills))


def test_a_stranger_who_closes_and_reverses_ours_leaves_nothing_of_ours():
    made = Ownership()
    made.count(5, is_ours=True)
    made.count(-5, is_ours=False)  # the daemon's close
    made.count(-3, is_ours=True)
    assert made == Ownership(own_lots=-3)

"""A plan never exceeds what is wanted, and never reduces and increases at once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cryptoquantix.core.instrument import InstrumentId
from cryptoquantix.core.order import OrderState, Side
from cryptoquantix.orders.plan import (
    CancelIntent,
    IncreaseIntent,
    ReductionIntent,
    Situation,
    Unfinished,
    plan_orders,
)

BTC = InstrumentId.parse("binance:BTCUSDT-PERP")
LIVE = [state for state in OrderState if not state.is_terminal]

UNFINISHED = st.builds(
    Unfinished,
    client_order_id=st.uuids().map(str),
    is_increase=st.booleans(),
    side=st.sampled_from(list(Side)),
    remaining_lots=st.integers(1, 500),
    state=st.sampled_from(LIVE),
)
SITUATIONS = st.builds(
    Situation,
    instrument=st.just(BTC),
    wanted_lots=st.integers(-1000, 1000),
    held_lots=st.integers(-1000, 1000),
    unfinished=st.lists(UNFINISHED, max_size=3).map(tuple),
    band_lots=st.integers(0, 100),
    order_max_lots=st.integers(0, 300),
)


def orders(situation):
    return [i for i in plan_orders(situation) if not isinstance(i, CancelIntent)]


def placed(situation):
    planned = orders(situation)
    assert len(planned) <= 1
    return planned[0] if planned else None


@given(SITUATIONS)
def test_an_increase_never_exceeds_what_is_wanted_whatever_is_unfinished(situation):
    order = placed(situation)
    if not isinstance(order, IncreaseIntent):
        return
    coming = sum(
        o.side.sign * o.remaining_lots for o in situation.unfinished if o.is_increase
    )
    after = situation.held_lots + coming + order.side.sign * order.size_lots
    assert abs(after) <= abs(situation.wanted_lots)
    assert after * situation.wanted_lots > 0


@given(SITUATIONS)
def test_no_order_crosses_zero(situation):
    order = placed(situation)
    if isinstance(order, ReductionIntent):
        assert order.size_lots <= abs(situation.held_lots)
        assert order.side.sign * situation.held_lots < 0
    if isinstance(order, IncreaseIntent):
        assert order.side.sign * situation.held_lots >= 0


@given(SITUATIONS)
def test_reductions_under_way_are_counted_so_that_no_lot_is_reduced_twice(situation):
    order = placed(situation)
    if isinstance(order, ReductionIntent):
        coming = sum(
            o.remaining_lots
            for o in situation.unfinished
            if not o.is_increase and o.side is order.side
        )
        assert order.size_lots + coming <= abs(situation.held_lots)


@given(SITUATIONS)
def test_no_order_is_larger_than_one_market_order_may_be(situation):
    order = placed(situation)
    if order is not None and situation.order_max_lots:
        assert 0 < order.size_lots <= situation.order_max_lots


@given(
    held=st.integers(-1000, 1000),
    wanted=st.integers(-1000, 1000),
    most=st.integers(0, 300),
)
def test_slices_that_all_fill_arrive_at_what_is_wanted(held, wanted, most):
    for _ in range(2100):
        order = placed(Situation(BTC, wanted, held, (), 1, most))
        if order is None:
            break
        held += order.side.sign * order.size_lots
    assert held == wanted


@given(held=st.integers(1, 1000), band=st.integers(0, 2000))
def test_the_band_never_keeps_open_what_is_wanted_closed(held, band):
    for wanted in (0, -5):
        order = placed(Situation(BTC, wanted, held, (), band))
        assert order == ReductionIntent(BTC, Side.SELL, held)


def test_a_difference_within_the_band_is_left_alone():
    assert placed(Situation(BTC, wanted_lots=100, held_lots=97, band_lots=5)) is None
    assert placed(Situation(BTC, wanted_lots=97, held_lots=100, band_lots=5)) is None
    assert (
        placed(Situation(BTC, wanted_lots=105, held_lots=100, band_lots=5)) is not None
    )


def test_an_unknown_increase_does_not_hold_up_a_reduction():
    unknown = Unfinished("a", True, Side.BUY, 10, OrderState.OUTCOME_UNKNOWN)
    order = placed(Situation(BTC, wanted_lots=0, held_lots=5, unfinished=(unknown,)))
    assert order == ReductionIntent(BTC, Side.SELL, 5)


def test_an_unknown_increase_is_never_followed_by_another():
    unknown = Unfinished("a", True, Side.BUY, 10, OrderState.OUTCOME_UNKNOWN)
    assert (
        placed(Situation(BTC, wanted_lots=30, held_lots=0, unfinished=(unknown,)))
        is None
    )


def test_a_resting_increase_that_is_no_longer_wanted_is_canceled():
    resting = Unfinished("a", True, Side.BUY, 10, OrderState.WORKING)
    for wanted, held in ((0, 0), (-5, 0), (5, 0), (20, 15)):
        intents = plan_orders(Situation(BTC, wanted, held, (resting,)))
        assert CancelIntent(BTC, "a") in intents
    assert CancelIntent(BTC, "a") not in plan_orders(Situation(BTC, 20, 5, (resting,)))

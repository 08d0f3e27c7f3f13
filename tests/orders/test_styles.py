"""Every style ends, and none sends more than is missing."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryptoquantix.core.clock import NS_PER_SECOND
from cryptoquantix.core.order import OrderType, Side, TimeInForce
from cryptoquantix.orders.styles import (
    Moment,
    Quote,
    Style,
    Work,
    Working,
    is_to_be_canceled,
    most_urgent,
    next_leg,
)
from orders.test_limits import INSTRUMENT

START = 1_000 * NS_PER_SECOND
QUOTE = Quote(Decimal("100.04"), Decimal("100.16"), START)


def moment(missing=1000, seconds=0.0, quote=QUOTE):
    return Moment(missing, INSTRUMENT, quote, START + int(seconds * NS_PER_SECOND))


def work(side=Side.BUY, size=1000, quotes=0):
    return Work(side, size, START, quotes)


def test_at_market_all_goes_at_once():
    leg = next_leg(Working(), work(), moment())
    assert (leg.size_lots, leg.type) == (1000, OrderType.MARKET)


@pytest.mark.parametrize(("side", "ticks"), [(Side.BUY, 1002), (Side.SELL, 1000)])
def test_an_ioc_goes_no_further_than_its_bound(side, ticks):
    leg = next_leg(Working(Style.IOC), work(side), moment())
    assert (leg.price_ticks, leg.time_in_force) == (ticks, TimeInForce.IOC)


@pytest.mark.parametrize(("side", "ticks"), [(Side.BUY, 1000), (Side.SELL, 1002)])
def test_a_resting_order_stands_at_its_own_side_rounded_away(side, ticks):
    leg = next_leg(Working(Style.POST_ONLY), work(side), moment())
    assert (leg.price_ticks, leg.time_in_force) == (ticks, TimeInForce.POST_ONLY)


def test_a_resting_order_is_requoted_when_overtaken_and_ends_at_the_deadline():
    working = Working(Style.POST_ONLY, seconds=20)
    at_best, behind = Decimal("100.04"), Decimal("100.0")
    assert not is_to_be_canceled(working, work(), at_best, moment())
    assert is_to_be_canceled(working, work(), behind, moment())
    assert is_to_be_canceled(working, work(), at_best, moment(seconds=20))
    assert next_leg(working, work(), moment(seconds=20)).type is OrderType.MARKET
    spent = work(quotes=working.requotes_max)
    assert next_leg(working, spent, moment()).type is OrderType.MARKET
    ends_bounded = replace(working, ends_as=Style.IOC)
    leg = next_leg(ends_bounded, work(), moment(seconds=20))
    assert leg.time_in_force is TimeInForce.IOC


@pytest.mark.parametrize("style", [Style.IOC, Style.POST_ONLY])
def test_without_a_quote_it_waits_and_then_goes_at_market(style):
    working = Working(style, seconds=20, ends_as=Style.IOC)
    assert next_leg(working, work(), moment(quote=None)) is None
    assert next_leg(working, work(), moment(quote=None, seconds=20)).type is (
        OrderType.MARKET
    )


@given(
    size=st.integers(1, 100_000),
    slices=st.integers(1, 20),
    steps=st.lists(st.floats(0, 30), min_size=1, max_size=40),
    side=st.sampled_from(list(Side)),
)
def test_slices_are_never_ahead_of_time_and_are_all_sent_at_the_end(
    size, slices, steps, side
):
    working = Working(Style.SLICED, seconds=20, slices=slices)
    missing = size
    for seconds in [*sorted(steps), 20.0]:
        leg = next_leg(working, work(side, size), moment(missing, seconds, None))
        sent = 0 if leg is None else leg.size_lots
        assert 0 <= sent <= missing
        missing -= sent
        due = -(-size * min(slices, int(seconds * slices / 20) + 1) // slices)
        assert size - missing <= max(due, size - missing - sent)
    assert missing == 0


def test_a_slice_that_the_venue_finds_too_small_takes_the_next_along():
    working = Working(Style.SLICED, seconds=20, slices=10)
    leg = next_leg(working, work(size=200), moment(200))
    assert leg.size_lots == 50  # 5 USDT at 100.16, and not the 20 that are due


def test_where_strategies_disagree_the_most_urgent_is_taken():
    styles = [Working(s) for s in (Style.POST_ONLY, Style.IOC, Style.SLICED)]
    assert most_urgent(styles).style is Style.IOC

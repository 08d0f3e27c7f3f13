"""Differences between venue and journal are found and said, nothing else."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from cryptoquantix.core.account import Position
from cryptoquantix.core.order import OrderState, Side
from cryptoquantix.live.reconcile import (
    FOREIGN_ORDER,
    FOREIGN_POSITION,
    POSITION_DIFFERS,
    foreign_orders,
    position_differences,
)
from cryptoquantix.venues.port import VenueOrder
from live.fake_venue import BTC, ETH


def position(id_, lots):
    return Position(id_, lots, Decimal(1), Decimal(1), Decimal(0))


def order(client_id, *, is_conditional=False):
    return VenueOrder(
        "7", client_id, BTC, Side.BUY, 3, 0, OrderState.WORKING, False, is_conditional
    )


@given(lots=st.integers(-1000, 1000), expected=st.integers(-1000, 1000))
def test_a_position_differs_exactly_when_its_lots_do(lots, expected):
    held = [position(BTC, lots)] if lots else []
    found = position_differences(held, {BTC: expected})
    assert [d.kind for d in found] == ([POSITION_DIFFERS] if lots != expected else [])


def test_a_position_missing_from_the_reply_is_a_difference():
    (found,) = position_differences([], {BTC: 5})
    assert "holds 0 lots" in found.text


def test_a_position_no_strategy_trades_is_foreign():
    (found,) = position_differences([position(ETH, -2)], {BTC: 0})
    assert (found.kind, found.subject) == (FOREIGN_POSITION, str(ETH))


def test_an_order_the_journal_does_not_know_is_foreign_whatever_its_name():
    found = foreign_orders(
        [order("cqx-ours"), order("cqx-like-ours"), order("stop", is_conditional=True)],
        {"cqx-ours"},
    )
    assert [d.kind for d in found] == [FOREIGN_ORDER] * 2
    assert "conditional" in found[1].text

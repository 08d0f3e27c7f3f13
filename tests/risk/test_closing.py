"""From positions to closing orders, as arithmetic."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryptoquantix.core.order import Side
from cryptoquantix.risk.closing import band_order, close_orders, why_left
from risk.fake_venue import contract
from risk.readings import held


@given(
    st.integers(1, 5_000),
    st.integers(1, 400),
    st.booleans(),
)
def test_slices_make_the_position_and_none_is_too_large(lots, largest, is_short):
    found = replace(contract("A"), size_market_max=Decimal(largest) / 10)
    size = Decimal(lots) / 10 * (-1 if is_short else 1)
    orders = close_orders(held("A", size, 1, 1), found, halt_id="h", attempt=0)
    total = sum(order.size for order in orders)
    assert total <= abs(size)
    assert len(orders) == 20 or total == abs(size)
    assert all(0 < order.size <= found.size_market_max for order in orders)
    assert {order.side for order in orders} == {Side.BUY if is_short else Side.SELL}


def test_the_last_slice_is_never_below_the_minimum():
    found = replace(contract("A", size_min="1"), size_market_max=Decimal(10))
    orders = close_orders(held("A", "10.5", 1, 1), found, halt_id="h", attempt=0)
    assert all(order.size >= 1 for order in orders)
    assert sum(order.size for order in orders) == Decimal("10.5")


def test_names_are_the_same_after_a_restart_and_new_in_a_new_round():
    position = held("A", 5, 1, 1)
    first, again, later = (
        close_orders(position, contract("A"), halt_id="h", attempt=n)[0]
        for n in (0, 0, 1)
    )
    assert first.client_order_id == again.client_order_id
    assert first.client_order_id != later.client_order_id
    limit = band_order(position, first, contract("A"), halt_id="h")
    assert limit.client_order_id not in {first.client_order_id, later.client_order_id}
    assert len(limit.client_order_id) <= 36


@pytest.mark.parametrize(
    ("size", "side", "price"), [(5, Side.SELL, "95.01"), (-5, Side.BUY, "105.00")]
)
def test_the_band_price_lies_within_the_band(size, side, price):
    position = held("A", size, "100.005", 1)
    (order,) = close_orders(position, contract("A"), halt_id="h", attempt=0)
    limit = band_order(position, order, contract("A"), halt_id="h")
    assert limit.side is side
    assert limit.price == Decimal(price)
    assert abs(limit.price / position.mark_price - 1) <= Decimal("0.05")


def test_what_is_left_alone_says_why():
    assert why_left(held("A", "0.05", 1, 1), contract("A")) == "dust"
    assert why_left(held("A", "0.1", 1, 1), contract("A")) == ""
    assert why_left(held("A", "0.05", 1, 1), None) == "", "unknown is not dust"
    dated = replace(contract("A"), is_perpetual=False)
    assert "never closed" in why_left(held("A", 5, 1, 1), dated)

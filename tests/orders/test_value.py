"""Dollars are dollars: an inverse lot's worth does not move with the price."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from cryptoquantix.core.instrument import Instrument, InstrumentId
from cryptoquantix.orders.value import lot_quote, wanted_lots

INVERSE = Instrument(
    id=InstrumentId.parse("deribit:BTCUSD-PERP"),
    tick_size=Decimal("0.5"),
    lot_size=Decimal(10),
    notional_min=Decimal(10),
    settlement="BTC",
    base="BTC",
    quote="USD",
    is_inverse=True,
)


@given(st.integers(1, 10**6))
def test_an_inverse_target_is_a_number_of_dollars_at_any_price(price):
    assert wanted_lots(-0.5, Decimal(1000), Decimal(price), INVERSE) == -50
    assert lot_quote(INVERSE, Decimal(price)) == 10

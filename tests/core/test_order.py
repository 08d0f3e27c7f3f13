"""An order id is a pure function; an order that makes no sense cannot be made."""

import re

import pytest

from cryptoquantix.core.instrument import InstrumentId
from cryptoquantix.core.order import (
    Increase,
    OrderState,
    OrderType,
    Reduction,
    Side,
    client_order_id,
)

BTC = InstrumentId.parse("binance:BTCUSDT-PERP")
ARGUMENTS = {
    "account": "main",
    "strategy": "trend_breakout",
    "instrument": BTC,
    "bar_ns": 1_700_000_000_000_000_000,
    "attempt": 0,
}


def test_the_same_arguments_give_the_same_id_for_ever():
    assert client_order_id(**ARGUMENTS) == "cqx-bspuxoimsyvnpucpyvsguc2iynx"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("account", "other"),
        ("strategy", "other"),
        ("instrument", InstrumentId.parse("bybit:BTCUSDT-PERP")),
        ("bar_ns", 1_700_000_060_000_000_000),
        ("attempt", 1),
    ],
)
def test_every_argument_changes_the_id(name, value):
    assert client_order_id(**ARGUMENTS | {name: value}) != client_order_id(**ARGUMENTS)


def test_the_parts_of_an_id_cannot_run_into_each_other():
    one = client_order_id(**ARGUMENTS | {"account": "a", "strategy": "bc"})
    two = client_order_id(**ARGUMENTS | {"account": "ab", "strategy": "c"})
    assert one != two


def test_an_id_fits_every_venue():
    assert re.fullmatch(r"[a-z0-9-]{1,32}", client_order_id(**ARGUMENTS))


@pytest.mark.parametrize("kind", [Increase, Reduction])
def test_an_order_has_a_positive_size_and_a_price_only_with_a_limit(kind):
    with pytest.raises(ValueError, match="positive"):
        kind("id", BTC, Side.BUY, 0)
    with pytest.raises(ValueError, match="limit order has a price"):
        kind("id", BTC, Side.BUY, 1, OrderType.LIMIT)
    with pytest.raises(ValueError, match="limit order has a price"):
        kind("id", BTC, Side.BUY, 1, OrderType.MARKET, 100)


def test_the_states_that_end_an_order_are_these():
    assert {s for s in OrderState if s.is_terminal} == {
        OrderState.FILLED,
        OrderState.CANCELED,
        OrderState.REFUSED,
        OrderState.NOT_FOUND,
    }


def test_sides_mirror_each_other():
    assert Side.of(-3) is Side.SELL
    assert Side.SELL.opposite is Side.BUY
    assert Side.BUY.sign == -Side.SELL.sign == 1

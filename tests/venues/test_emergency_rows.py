"""Bybit's and Deribit's words as the daemon's: what no simulator shows."""

from __future__ import annotations

from decimal import Decimal

import pytest

from cryptoquantix.core.exposure import OrderClass
from cryptoquantix.venues import emergency_bybit_rows as bybit
from cryptoquantix.venues import emergency_deribit_rows as deribit

# -- Bybit ----------------------------------------------------------------------------

WALLET = {
    "coin": [
        {
            "coin": "BTC",
            "equity": "0.5",
            "usdValue": "30000",
            "walletBalance": "0.5",
            "totalOrderIM": "",
        },
        {
            "coin": "USDT",
            "equity": "90",
            "usdValue": "89.91",
            "walletBalance": "110",
            "spotBorrow": "10",
            "totalOrderIM": "0",
        },
        {"coin": "SOL", "equity": "0", "usdValue": "0", "walletBalance": "0"},
    ]
}


def test_a_wallet_of_several_coins():
    btc, usdt = coins = bybit.coins(WALLET)
    assert (btc.coin, btc.equity, btc.rate) == ("BTC", Decimal("0.5"), 60_000)
    assert (usdt.balance, usdt.rate) == (100, Decimal("0.999"))
    assert [(o.symbol, o.kind) for o in bybit.spot(coins)] == [("BTC", "spot")]
    assert not bybit.has_orders(WALLET)


def test_an_inverse_position_is_in_dollars_and_settles_in_its_coin():
    row = {"symbol": "BTCUSD", "side": "Sell", "size": "100", "positionIdx": 0}
    row |= {"markPrice": "50000", "avgPrice": "40000"}
    held = bybit.position(row, coin="", is_inverse=True)
    assert (held.size, held.coin, held.is_inverse) == (-100, "BTC", True)


def test_a_hedge_leg_is_named_and_its_closing_order_cannot_increase():
    row = {"symbol": "A", "side": "Buy", "size": "1", "positionIdx": 2}
    row |= {"markPrice": "1", "avgPrice": "1"}
    assert bybit.position(row, coin="USDT", is_inverse=False).leg == "SHORT"
    order = {"symbol": "A", "orderId": "1", "orderLinkId": "", "qty": "1"}
    found = [
        bybit.open_order(order | {"side": side, "positionIdx": index})
        for index, side in ((1, "Sell"), (1, "Buy"), (2, "Buy"), (0, "Sell"))
    ]
    assert [o.may_increase for o in found] == [False, True, False, True]


@pytest.mark.parametrize(
    ("more", "order_class", "may_increase"),
    [
        ({"orderStatus": "New"}, OrderClass.NORMAL, True),
        ({"orderStatus": "PartiallyFilled", "reduceOnly": True}, "normal", False),
        ({"orderStatus": "Untriggered", "stopOrderType": "Stop"}, "algo", True),
        ({"orderStatus": "Untriggered", "closeOnTrigger": True}, "algo", False),
    ],
)
def test_bybit_order_classes(more, order_class, may_increase):
    order = {"symbol": "A", "orderId": "1", "orderLinkId": "", "qty": "1"}
    found = bybit.open_order(order | {"side": "Buy", "positionIdx": 0} | more)
    assert (found.order_class, found.may_increase) == (order_class, may_increase)


def test_a_bybit_contract():
    row = {
        "symbol": "BTCUSDZ26",
        "contractType": "InverseFutures",
        "priceFilter": {"tickSize": "0.5"},
        "lotSizeFilter": {"qtyStep": "1", "minOrderQty": "1", "maxOrderQty": "100"},
        "riskParameters": {"priceLimitRatioX": "0.03"},
    }
    found = bybit.contract(row)
    assert (found.is_perpetual, found.is_inverse) == (False, True)
    assert (found.price_floor, found.price_ceiling) == (
        Decimal("0.97"),
        Decimal("1.03"),
    )
    assert found.size_market_max == 100


def test_options_are_listed_with_what_they_add():
    row = {"symbol": "BTC-27DEC26-70000-C", "side": "Sell", "size": "2"}
    found = bybit.option(row | {"markPrice": "150"})
    assert (found.kind, found.size, found.coin, found.value) == (
        "option",
        -2,
        "USDC",
        -300,
    )


# -- Deribit --------------------------------------------------------------------------

# The example of the venue's own documentation: its parts make its equity.
SUMMARY = {
    "currency": "BTC",
    "equity": "302.61869214",
    "balance": "302.60065765",
    "futures_session_upl": "0.05921555",
    "futures_session_rpl": "-0.03258105",
    "options_value": "-0.0086",
    "initial_margin": "1.1",
    "projected_initial_margin": "1.0",
}


def test_a_summary_is_balance_open_profit_and_options():
    found = deribit.coin_balance(SUMMARY, Decimal(60_000))
    parts = found.balance + Decimal("0.05921555") + Decimal("-0.0086")
    assert abs(found.equity - parts) <= Decimal("1e-8")
    assert deribit.has_orders(SUMMARY)


def test_a_coin_that_has_no_index_counts_nothing_and_a_dollar_one():
    found = deribit.coin_balance(SUMMARY, None)
    assert deribit.in_dollars([found]) == (0, 0)
    dollar = deribit.coin_balance(SUMMARY | {"currency": "USDC"}, None)
    assert deribit.in_dollars([found, dollar])[0] == found.equity


POSITION = {
    "instrument_name": "BTC-PERPETUAL",
    "kind": "future",
    "direction": "sell",
    "size": -1000,
    "mark_price": "50000",
    "average_price": "40000",
}


def test_a_short_inverse_position():
    profit = Decimal(-1000) * (1 / Decimal(40_000) - 1 / Decimal(50_000))
    row = POSITION | {"floating_profit_loss": f"{profit:.8f}"}
    held = deribit.position(row)
    assert (held.size, held.entry_price, held.coin) == (-1000, 40_000, "BTC")
    assert held.is_inverse


@pytest.mark.parametrize("name", ["BTC-PERPETUAL", "BTC_USDC-PERPETUAL"])
def test_after_a_settlement_the_entry_is_what_makes_the_open_profit(name):
    """The venue pays profit out each day and keeps the average price of old."""
    row = POSITION | {"instrument_name": name, "floating_profit_loss": "0.0005"}
    held = deribit.position(row)
    if held.is_inverse:
        profit = held.size * (1 / held.entry_price - 1 / held.mark_price)
    else:
        profit = held.size * (held.mark_price - held.entry_price)
    assert profit == pytest.approx(Decimal("0.0005"), abs=Decimal("1e-12"))
    assert held.entry_price != 40_000


def test_a_contract_with_several_ticks_keeps_the_coarsest():
    row = {
        "instrument_name": "BTC-26DEC26",
        "settlement_period": "month",
        "contract_size": "10",
        "min_trade_amount": "10",
        "tick_size": "0.5",
        "tick_size_steps": [{"above_price": "100", "tick_size": "2.5"}],
    }
    found = deribit.contract(row)
    assert (found.tick_size, found.lot_size) == (Decimal("2.5"), 10)
    assert (found.is_perpetual, found.is_inverse) == (False, True)


def test_deribits_ledger_entries_are_told_apart_by_coin():
    row = {"id": 7, "type": "withdrawal", "change": "-0.5", "timestamp": 5_000}
    btc, eth = (deribit.ledger_entry(row | {"currency": c}, 0) for c in ("BTC", "ETH"))
    assert btc.entry_id != eth.entry_id
    assert btc.is_transfer
    assert btc.cash == Decimal("-0.5")
    trade = deribit.ledger_entry(row | {"currency": "BTC", "type": "trade"}, 1_000)
    assert not trade.is_transfer
    assert trade.time_ns == 4_000_000_000

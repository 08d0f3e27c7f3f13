"""Hedge mode as ccxt sees it: two positions of one symbol, each with its own orders."""

from __future__ import annotations

from decimal import Decimal

import ccxt
import pytest

from simulator.ccxt_clients import ccxt_client
from simulator.conftest import flatten

BTC = "BTC/USDT:USDT"
HEDGED = {"hedged": True}


def number(value) -> Decimal:
    return Decimal(str(value))


def books(simulator) -> dict:
    return simulator.admin("/account?venue=binance")


@pytest.fixture
async def hedged(simulator):
    """A client of an account in hedge mode; one-way and flat again afterwards."""
    client = ccxt_client(simulator)
    await client.load_markets()
    await client.set_position_mode(True)
    yield client
    for held in books(simulator)["positions"]:
        size = number(held["size"])
        params = {"positionSide": held["leg"].upper()}
        side = "sell" if size > 0 else "buy"
        await client.create_order(BTC, "market", side, float(abs(size)), None, params)
    for algo in (False, True):
        await client.cancel_all_orders(BTC, {"trigger": algo})
    await client.set_position_mode(False)
    await flatten(client)
    await client.close()


async def test_both_sides_are_held_at_once_and_closed_each_by_itself(hedged, simulator):
    await hedged.create_order(BTC, "market", "buy", 0.3, None, HEDGED)
    await hedged.create_order(BTC, "market", "sell", 0.2, None, HEDGED)
    truth = {p["leg"]: p for p in books(simulator)["positions"]}
    assert {leg: p["size"] for leg, p in truth.items()} == {
        "long": "0.300",
        "short": "-0.200",
    }
    rows = {p["side"]: p for p in await hedged.fetch_positions()}
    for side, held in truth.items():
        row = rows[side]
        assert row["hedged"] is True
        assert row["info"]["positionSide"] == side.upper()
        assert number(row["contracts"]) == abs(number(held["size"]))
        assert number(row["entryPrice"]) == number(held["entry"])
        assert number(row["unrealizedPnl"]) == number(held["upnl"])
    balance = await hedged.fetch_balance()
    assert number(balance["USDT"]["total"]) == number(books(simulator)["equity"])
    # ccxt turns the position side round and sends no reduceOnly.
    closing = {**HEDGED, "reduceOnly": True}
    await hedged.create_order(BTC, "market", "sell", 0.1, None, closing)
    assert {p["leg"]: p["size"] for p in books(simulator)["positions"]} == {
        "long": "0.200",
        "short": "-0.200",
    }
    trades = await hedged.fetch_my_trades(BTC)
    assert {t["info"]["positionSide"] for t in trades[-3:]} == {"LONG", "SHORT"}


async def test_an_order_against_its_leg_never_opens_the_other(hedged, simulator):
    with pytest.raises(ccxt.InvalidOrder, match="-2022"):
        await hedged.create_order(
            BTC, "market", "sell", 0.1, None, {"positionSide": "LONG"}
        )
    assert books(simulator)["positions"] == []


async def test_position_side_and_mode_must_agree(hedged, simulator):
    with pytest.raises(ccxt.OperationRejected, match="-4061"):
        await hedged.create_order(BTC, "market", "buy", 0.1)
    with pytest.raises(ccxt.ExchangeError, match="-1106"):
        await hedged.create_order(
            BTC,
            "market",
            "sell",
            0.1,
            None,
            {"positionSide": "LONG", "reduceOnly": True},
        )
    await hedged.set_position_mode(False)
    with pytest.raises(ccxt.OperationRejected, match="-4061"):
        await hedged.create_order(BTC, "market", "buy", 0.1, None, HEDGED)
    await hedged.set_position_mode(True)
    assert books(simulator)["positions"] == []


async def test_the_mode_stays_while_orders_or_positions_are_open(hedged, simulator):
    resting = await hedged.create_order(BTC, "limit", "buy", 0.1, 57000, HEDGED)
    with pytest.raises(ccxt.ExchangeError, match="-4067"):
        await hedged.set_position_mode(False)
    await hedged.cancel_order(resting["id"], BTC)
    await hedged.create_order(BTC, "market", "buy", 0.1, None, HEDGED)
    with pytest.raises(ccxt.ExchangeError, match="-4068"):
        await hedged.set_position_mode(False)
    stop = {**HEDGED, "stopLossPrice": 55000, "reduceOnly": True}
    await hedged.create_order(BTC, "market", "sell", 0.1, None, stop)
    with pytest.raises(ccxt.ExchangeError, match="-4067"):
        await hedged.set_position_mode(False)
    assert (await hedged.fetch_position_mode(BTC))["hedged"] is True


async def test_a_stop_of_one_leg_leaves_the_other_alone(hedged, simulator):
    await hedged.create_order(BTC, "market", "buy", 0.3, None, HEDGED)
    await hedged.create_order(BTC, "market", "sell", 0.2, None, HEDGED)
    stop = {**HEDGED, "stopLossPrice": 58000, "reduceOnly": True}
    order = await hedged.create_order(BTC, "market", "sell", 0.3, None, stop)
    [seen] = await hedged.fetch_open_orders(BTC, params={"trigger": True})
    assert (seen["id"], seen["info"]["positionSide"]) == (order["id"], "LONG")
    price = number(simulator.admin("/state")["prices"]["binance"]["BTCUSDT"])
    move = {"venue": "binance", "symbol": "BTCUSDT"}
    simulator.admin("/price", {**move, "price": "57900"})
    assert [(p["leg"], p["size"]) for p in books(simulator)["positions"]] == [
        ("short", "-0.200")
    ]
    simulator.admin("/price", {**move, "price": str(price)})

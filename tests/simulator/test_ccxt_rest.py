"""Ccxt as released, over REST: what it parses is what the simulator's books hold."""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise

import ccxt
import pytest

BTC = "BTC/USDT:USDT"
ETH = "ETH/USDT:USDT"


def number(value) -> Decimal:
    return Decimal(str(value))


def books(simulator) -> dict:
    return simulator.admin("/account?venue=binance")


async def test_markets_have_the_steps_of_the_listings(venue):
    market = venue.market(BTC)
    assert market["linear"]
    assert market["swap"]
    assert market["contractSize"] == 1
    assert number(market["precision"]["price"]) == Decimal("0.1")
    assert number(market["precision"]["amount"]) == Decimal("0.001")
    assert number(market["limits"]["cost"]["min"]) == 5
    assert set(venue.symbols) >= {BTC, ETH, "DOGE/USDT:USDT"}


async def test_time_is_wall_time(venue, simulator):
    venue_ms = await venue.fetch_time()
    assert abs(venue_ms - simulator.admin("/state")["time_ns"] // 1_000_000) < 5_000


async def test_a_market_order_is_filled_from_the_ladder_and_booked(venue, simulator):
    before = books(simulator)
    mark = number(simulator.admin("/state")["prices"]["binance"]["BTCUSDT"])
    order = await venue.create_order(BTC, "market", "buy", 0.5)
    assert order["status"] == "closed"
    assert number(order["filled"]) == Decimal("0.5")
    assert number(order["average"]) > mark
    fills = [f for f in simulator.log("fill") if f["order_id"] == int(order["id"])]
    assert sum(number(f["size"]) for f in fills) == Decimal("0.5")
    cost = sum(number(f["size"]) * number(f["price"]) for f in fills)
    assert number(order["cost"]) == cost
    fees = sum(number(f["fee"]) for f in fills)
    after = books(simulator)
    assert number(after["wallet"]) == number(before["wallet"]) - fees
    [position] = after["positions"]
    assert number(position["size"]) == Decimal("0.5")
    assert number(position["upnl"]) == Decimal("0.5") * mark - cost


async def test_balance_and_positions_are_the_accounts(venue, simulator):
    await venue.create_order(BTC, "market", "buy", 0.5)
    await venue.create_order(ETH, "market", "sell", 3)
    truth = books(simulator)
    balance = await venue.fetch_balance()
    assert number(balance["USDT"]["total"]) == number(truth["equity"])
    assert number(balance["USDT"]["used"]) == number(truth["initial_margin"])
    assert number(balance["USDT"]["free"]) == number(truth["equity"]) - number(
        truth["initial_margin"]
    )
    positions = {p["symbol"]: p for p in await venue.fetch_positions()}
    assert set(positions) == {BTC, ETH}
    for held in truth["positions"]:
        row = positions[f"{held['symbol'].removesuffix('USDT')}/USDT:USDT"]
        size = number(held["size"])
        assert row["side"] == ("long" if size > 0 else "short")
        assert number(row["contracts"]) == abs(size)
        assert number(row["entryPrice"]) == number(held["entry"])
        assert number(row["markPrice"]) == number(held["mark"])
        assert number(row["unrealizedPnl"]) == number(held["upnl"])
        assert row["marginMode"] == "cross"


async def test_a_limit_order_rests_is_found_amended_and_canceled(venue):
    order = await venue.create_order(
        BTC, "limit", "buy", 0.01, 58000.1, {"clientOrderId": "resting-1"}
    )
    assert order["status"] == "open"
    assert order["timeInForce"] == "GTC"
    found = await venue.fetch_order(None, BTC, {"origClientOrderId": "resting-1"})
    assert found["id"] == order["id"]
    assert number(found["price"]) == Decimal("58000.1")
    assert [o["id"] for o in await venue.fetch_open_orders()] == [order["id"]]
    assert [o["id"] for o in await venue.fetch_open_orders(BTC)] == [order["id"]]
    assert await venue.fetch_open_orders(ETH) == []
    amended = await venue.edit_order(order["id"], BTC, "limit", "buy", 0.02, 58001)
    assert (amended["id"], number(amended["amount"])) == (order["id"], Decimal("0.02"))
    canceled = await venue.cancel_order(order["id"], BTC)
    assert canceled["status"] == "canceled"
    again = await venue.fetch_order(order["id"], BTC)
    assert (again["status"], number(again["price"])) == ("canceled", 58001)
    with pytest.raises(ccxt.OrderNotFound):
        await venue.cancel_order(order["id"], BTC)


async def test_an_order_that_never_was_is_not_found(venue):
    with pytest.raises(ccxt.OrderNotFound):
        await venue.fetch_order(None, BTC, {"origClientOrderId": "never"})
    with pytest.raises(ccxt.OrderNotFound):
        await venue.cancel_order("999999999", BTC)


async def test_stops_are_seen_by_the_conditional_calls_alone(venue, simulator):
    stop = await venue.create_order(
        BTC,
        "market",
        "sell",
        0.1,
        None,
        {"stopLossPrice": 55000, "reduceOnly": True, "clientAlgoId": "stop-1"},
    )
    plain = await venue.create_order(BTC, "limit", "buy", 0.01, 57000)
    assert [o["id"] for o in await venue.fetch_open_orders(BTC)] == [plain["id"]]
    [seen] = await venue.fetch_open_orders(BTC, params={"trigger": True})
    assert seen["id"] == stop["id"]
    assert number(seen["triggerPrice"]) == 55000
    assert seen["reduceOnly"] is True
    await venue.cancel_all_orders(BTC)
    assert await venue.fetch_open_orders(BTC) == []
    assert len(books(simulator)["algo_orders"]) == 1
    await venue.cancel_all_orders(BTC, {"trigger": True})
    assert books(simulator)["algo_orders"] == []
    ended = await venue.fetch_order(stop["id"], BTC, {"trigger": True})
    assert ended["status"] == "canceled"


async def test_a_stop_that_would_trigger_at_once_is_refused(venue):
    with pytest.raises(ccxt.OrderImmediatelyFillable):
        await venue.create_order(
            BTC, "market", "sell", 0.1, None, {"stopLossPrice": 90000}
        )


async def test_reduce_only_needs_a_position_and_is_shrunk_to_it(venue, simulator):
    reduce_only = {"reduceOnly": True}
    with pytest.raises(ccxt.InvalidOrder, match="-2022"):
        await venue.create_order(BTC, "market", "sell", 0.1, None, reduce_only)
    await venue.create_order(BTC, "market", "buy", 0.1)
    with pytest.raises(ccxt.InvalidOrder, match="-2022"):
        await venue.create_order(BTC, "market", "buy", 0.1, None, reduce_only)
    order = await venue.create_order(BTC, "market", "sell", 5, None, reduce_only)
    assert number(order["filled"]) == Decimal("0.1")
    assert books(simulator)["positions"] == []


async def test_resting_reduce_only_orders_follow_the_position(venue, simulator):
    await venue.create_order(BTC, "market", "buy", 0.1)
    resting = await venue.create_order(
        BTC, "limit", "sell", 0.1, 63000, {"reduceOnly": True}
    )
    await venue.create_order(BTC, "market", "sell", 0.04, None, {"reduceOnly": True})
    shrunk = await venue.fetch_order(resting["id"], BTC)
    assert number(shrunk["amount"]) == Decimal("0.06")
    await venue.create_order(BTC, "market", "sell", 0.06, None, {"reduceOnly": True})
    assert (await venue.fetch_order(resting["id"], BTC))["status"] == "expired"
    assert books(simulator)["open_orders"] == []
    flat = simulator.log("flat")
    assert flat
    assert flat[-1]["sequence"] > simulator.log("fill")[-1]["sequence"]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((BTC, "limit", "buy", 5000, 58000), ccxt.InsufficientFunds),
        ((BTC, "limit", "buy", 0.001, 1000), ccxt.InvalidOrder),
        ((BTC, "limit", "buy", 0.1, 80000), ccxt.BadRequest),
        (
            (BTC, "limit", "buy", 0.1, 60500, {"postOnly": True}),
            ccxt.OrderNotFillable,
        ),
        (
            (BTC, "limit", "buy", 0.1, 58000, {"timeInForce": "FOK"}),
            ccxt.OrderNotFillable,
        ),
    ],
)
async def test_refusals_are_the_errors_ccxt_knows(venue, simulator, arguments, error):
    with pytest.raises(error):
        await venue.create_order(*arguments)
    assert books(simulator)["open_orders"] == []


async def test_a_client_id_is_taken_while_its_order_is_open(venue):
    params = {"clientOrderId": "same-1"}
    await venue.create_order(BTC, "limit", "buy", 0.01, 57000, params)
    with pytest.raises(ccxt.InvalidOrder, match="-4116"):
        await venue.create_order(BTC, "limit", "buy", 0.01, 57000, params)


async def test_trades_and_ledger_add_up_to_the_wallet(venue, simulator):
    since = await venue.fetch_time()
    before = number(books(simulator)["wallet"])
    await venue.create_order(BTC, "market", "buy", 0.2)
    await venue.create_order(BTC, "market", "sell", 0.2, None, {"reduceOnly": True})
    trades = await venue.fetch_my_trades(BTC, since)
    assert sum(number(t["amount"]) for t in trades if t["side"] == "buy") == Decimal(
        "0.2"
    )
    assert all(t["takerOrMaker"] == "taker" for t in trades)
    fees = sum(number(t["fee"]["cost"]) for t in trades)
    realized = sum(number(t["info"]["realizedPnl"]) for t in trades)
    assert realized < 0, "a round trip pays the spread"
    assert number(books(simulator)["wallet"]) == before + realized - fees
    entries = await venue.fetch_ledger(None, since, 1000)
    moved = sum(number(e["info"]["income"]) for e in entries)
    assert moved == realized - fees


async def test_public_data_is_what_the_market_shows(venue, simulator):
    prices = simulator.admin("/state")["prices"]["binance"]
    book = await venue.fetch_order_book(BTC, 50)
    assert book["bids"][0][0] < float(prices["BTCUSDT"]) < book["asks"][0][0]
    bars = await venue.fetch_ohlcv(BTC, "1m", None, 100)
    assert len(bars) == 100
    assert all(b[0] - a[0] == 60_000 for a, b in pairwise(bars))
    assert all(low <= min(o, c) <= max(o, c) <= high for _, o, high, low, c, _ in bars)
    since = bars[10][0]
    assert await venue.fetch_ohlcv(BTC, "1m", since, 5) == bars[10:15]
    best = await venue.fetch_bids_asks([BTC])
    assert best[BTC]["bid"] == book["bids"][0][0]
    funding = await venue.fetch_funding_rate(BTC)
    assert funding["markPrice"] == float(prices["BTCUSDT"])
    assert isinstance(await venue.fetch_trades(BTC), list)


async def test_settings_of_the_account_can_be_read_and_set(venue):
    assert (await venue.fetch_position_mode(BTC))["hedged"] is False
    await venue.set_leverage(7, BTC)
    leverages = await venue.fetch_leverages()
    assert leverages[BTC]["longLeverage"] == 7
    await venue.set_leverage(20, BTC)
    fee = await venue.fetch_trading_fee(BTC)
    assert (fee["maker"], fee["taker"]) == (0.0002, 0.0005)
    rights = await venue.sapi_get_account_apirestrictions()
    assert rights["enableFutures"] is True
    assert rights["enableWithdrawals"] is False


async def test_batches_answer_each_order_by_itself(venue):
    orders = await venue.create_orders(
        [
            {"symbol": BTC, "type": "limit", "side": "buy", "amount": 0.01, "price": p}
            for p in (57000, 57001)
        ]
    )
    assert [o["status"] for o in orders] == ["open", "open"]
    gone = await venue.cancel_orders([o["id"] for o in orders], BTC)
    assert [o["status"] for o in gone] == ["canceled", "canceled"]


async def test_a_dead_mans_switch_cancels_normal_orders_alone(venue, simulator):
    await venue.create_order(BTC, "limit", "buy", 0.01, 57000)
    await venue.create_order(
        BTC, "market", "sell", 0.01, None, {"stopLossPrice": 50000}
    )
    symbol = {"symbol": "BTCUSDT", "countdownTime": 50}
    await venue.fapiPrivatePostCountdownCancelAll(symbol)
    for _ in range(200):
        state = books(simulator)
        if not state["open_orders"]:
            break
    assert state["open_orders"] == []
    assert len(state["algo_orders"]) == 1


async def test_wrong_credentials_are_refused(venue, simulator):
    good = venue.secret
    venue.secret = "wrong"
    with pytest.raises(ccxt.AuthenticationError):
        await venue.fetch_balance()
    venue.secret = good
    venue.apiKey, key = "f" * 64, venue.apiKey
    with pytest.raises(ccxt.AuthenticationError):
        await venue.fetch_balance()
    venue.apiKey = key
    assert simulator.log("request")[-1]["code"] == -2015


async def test_a_clock_that_is_wrong_is_refused(venue):
    venue.options["timeDifference"] = 60_000
    with pytest.raises(ccxt.InvalidNonce):
        await venue.fetch_balance()
    venue.options["timeDifference"] = 0


async def test_the_risk_key_opens_the_same_account(venue, simulator):
    await venue.create_order(BTC, "market", "buy", 0.1)
    own = venue.apiKey, venue.secret
    risk = simulator.venue["risk"]
    venue.apiKey, venue.secret = risk["key"], risk["secret"]
    [position] = await venue.fetch_positions()
    assert position["contracts"] == 0.1
    venue.apiKey, venue.secret = own
    assert simulator.log("request")[-1]["key_role"] == "risk"

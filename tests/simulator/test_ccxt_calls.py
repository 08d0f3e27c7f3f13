"""
Every REST call that ccxt makes at Binance USD-M, one by one.

Each row of the table runs one call of ccxt as released and compares what it parsed
with the simulator's own books, to the last digit. The last test says which of the
venue's paths the table has used.
"""

from __future__ import annotations

import asyncio
from decimal import Decimal

import ccxt
import pytest

from simulator.ccxt_clients import ccxt_client

BTC = "BTC/USDT:USDT"
ETH = "ETH/USDT:USDT"
CALLS = {}

# What ccxt 4.5.90 asks of the venue; the test of it is at the end.
PATHS = {
    ("GET", "/fapi/v1/exchangeInfo"),
    ("GET", "/fapi/v1/time"),
    ("GET", "/fapi/v3/account"),
    ("GET", "/fapi/v1/leverageBracket"),
    ("GET", "/fapi/v3/positionRisk"),
    ("GET", "/fapi/v1/openOrders"),
    ("GET", "/fapi/v1/openAlgoOrders"),
    ("POST", "/fapi/v1/order"),
    ("PUT", "/fapi/v1/order"),
    ("GET", "/fapi/v1/order"),
    ("DELETE", "/fapi/v1/order"),
    ("POST", "/fapi/v1/algoOrder"),
    ("GET", "/fapi/v1/algoOrder"),
    ("DELETE", "/fapi/v1/algoOrder"),
    ("DELETE", "/fapi/v1/allOpenOrders"),
    ("DELETE", "/fapi/v1/algoOpenOrders"),
    ("POST", "/fapi/v1/batchOrders"),
    ("DELETE", "/fapi/v1/batchOrders"),
    ("GET", "/fapi/v1/userTrades"),
    ("GET", "/fapi/v1/klines"),
    ("GET", "/fapi/v1/aggTrades"),
    ("GET", "/fapi/v1/depth"),
    ("GET", "/fapi/v1/ticker/bookTicker"),
    ("GET", "/fapi/v1/premiumIndex"),
    ("GET", "/fapi/v1/fundingRate"),
    ("GET", "/fapi/v1/income"),
    ("GET", "/sapi/v1/capital/config/getall"),
    ("GET", "/sapi/v1/capital/deposit/hisrec"),
    ("GET", "/sapi/v1/capital/withdraw/history"),
    ("GET", "/sapi/v1/asset/transfer"),
    ("GET", "/sapi/v1/margin/allPairs"),
    ("GET", "/fapi/v1/commissionRate"),
    ("GET", "/fapi/v1/positionSide/dual"),
    ("POST", "/fapi/v1/positionSide/dual"),
    ("GET", "/fapi/v1/symbolConfig"),
    ("POST", "/fapi/v1/leverage"),
    ("POST", "/fapi/v1/marginType"),
    ("POST", "/fapi/v1/countdownCancelAll"),
    ("GET", "/sapi/v1/account/apiRestrictions"),
}


def call(name):
    """Add a row to the table."""

    def add(check):
        assert name not in CALLS, f"{name} is in the table twice"
        CALLS[name] = check
        return check

    return add


def number(value) -> Decimal:
    return Decimal(str(value))


def books(simulator) -> dict:
    return simulator.admin("/account?venue=binance")


def prices(simulator) -> dict:
    return simulator.admin("/state")["prices"]["binance"]


def fills_of(simulator, order) -> list[dict]:
    return [f for f in simulator.log("fill") if f["order_id"] == int(order["id"])]


def same_orders(parsed, held) -> None:
    """Ccxt's orders are the core's, each figure of them."""
    key = {int(o["id"]): o for o in parsed}
    assert set(key) == {o["id"] for o in held}
    for truth in held:
        order = key[truth["id"]]
        assert order["clientOrderId"] == truth["client_id"]
        assert order["symbol"] == f"{truth['symbol'].removesuffix('USDT')}/USDT:USDT"
        assert order["side"] == truth["side"].lower()
        assert order["type"] == truth["type"].lower()
        assert number(order["price"]) == number(truth["price"])
        assert number(order["amount"]) == number(truth["size"])
        assert number(order["filled"]) == number(truth["filled"])
        assert order["reduceOnly"] is truth["reduce_only"]


# Public calls.


@call("load_markets")
async def _(venue, simulator):
    info = await venue.fapiPublicGetExchangeInfo()
    steps = {
        s["symbol"]: {f["filterType"]: f for f in s["filters"]} for s in info["symbols"]
    }
    assert set(steps) == set(prices(simulator))
    for symbol, filters in steps.items():
        market = venue.markets_by_id[symbol][0]
        tick = number(filters["PRICE_FILTER"]["tickSize"])
        assert number(market["precision"]["price"]) == tick
        lot = number(filters["LOT_SIZE"]["stepSize"])
        assert number(market["precision"]["amount"]) == lot
        assert number(market["limits"]["cost"]["min"]) == 5
        assert (market["contractSize"], market["settle"]) == (1, "USDT")
        assert market["active"]


@call("load_markets with currencies")
async def _(venue, simulator):
    del venue
    client = ccxt_client(simulator)
    client.has["fetchCurrencies"] = True
    client.options["fetchMargins"] = True
    await client.load_markets()
    assert {"USDT", "BTC", "ETH"} <= set(client.currencies)
    assert client.currencies["USDT"]["withdraw"] is False
    await client.close()


@call("fetch_time")
async def _(venue, simulator):
    before = simulator.admin("/state")["time_ns"] // 1_000_000
    venue_ms = await venue.fetch_time()
    assert before <= venue_ms <= simulator.admin("/state")["time_ns"] // 1_000_000


@call("fetch_order_book")
async def _(venue, simulator):
    own = await venue.create_order(BTC, "limit", "buy", 0.123, 57999.9)
    for limit in (5, 50, 1000):
        book = await venue.fetch_order_book(BTC, limit)
        assert len(book["bids"]) <= limit
        assert book["bids"] == sorted(book["bids"], reverse=True)
        assert book["asks"] == sorted(book["asks"])
        last = float(prices(simulator)["BTCUSDT"])
        assert book["bids"][0][0] < last < book["asks"][0][0]
    [level] = [lots for price, lots in book["bids"] if price == 57999.9]
    assert number(level) >= number(own["amount"])


@call("fetch_bids_asks")
async def _(venue, simulator):
    del simulator
    book = await venue.fetch_order_book(BTC, 5)
    for symbols in ([BTC], None):
        best = (await venue.fetch_bids_asks(symbols))[BTC]
        assert [best["bid"], best["bidVolume"]] == book["bids"][0]
        assert [best["ask"], best["askVolume"]] == book["asks"][0]


@call("fetch_trades")
async def _(venue, simulator):
    shock = {"venue": "binance", "symbol": "ETHUSDT"}
    start = number(prices(simulator)["ETHUSDT"])
    for factor in ("1.01", "0.5", "2"):
        simulator.admin("/price", {**shock, "factor": factor})
    seen = await venue.fetch_trades(ETH)
    assert [number(t["price"]) for t in seen[-3:]] == [
        start * Decimal("1.01"),
        start * Decimal("0.505"),
        start * Decimal("1.01"),
    ]
    assert [t["side"] for t in seen[-3:]] == ["buy", "sell", "buy"]
    assert [number(t["amount"]) for t in seen[-3:]] == [Decimal("0.001")] * 3
    since = seen[-1]["timestamp"]
    assert (await venue.fetch_trades(ETH, since))[-1]["id"] == seen[-1]["id"]
    simulator.admin("/price", {**shock, "price": str(start)})


@call("fetch_ohlcv")
async def _(venue, simulator):
    last = prices(simulator)["BTCUSDT"]
    print_ = {"venue": "binance", "symbol": "BTCUSDT", "price": last}
    simulator.admin("/price", print_)
    bars = await venue.fetch_ohlcv(BTC, "1m", None, 100)
    assert len(bars) == 100
    assert number(bars[-1][4]) == number(prices(simulator)["BTCUSDT"])
    raw = await venue.fapiPublicGetKlines(
        {"symbol": "BTCUSDT", "interval": "1m", "limit": 100}
    )
    assert [[float(x) for x in row[:6]] for row in raw] == bars
    hours = await venue.fetch_ohlcv(BTC, "1h", None, 48)
    inside = await venue.fetch_ohlcv(BTC, "1m", hours[-2][0], 60)
    assert hours[-2][1:5] == [
        inside[0][1],
        max(b[2] for b in inside),
        min(b[3] for b in inside),
        inside[-1][4],
    ]
    assert number(hours[-2][5]) == sum(number(b[5]) for b in inside)


@call("fetch_funding_rate")
async def _(venue, simulator):
    rate = await venue.fetch_funding_rate(BTC)
    assert number(rate["markPrice"]) == number(prices(simulator)["BTCUSDT"])
    assert number(rate["indexPrice"]) == number(prices(simulator)["BTCUSDT"])
    assert number(rate["fundingRate"]) == Decimal("0.0001")


@call("fetch_funding_rate_history")
async def _(venue, simulator):
    del simulator
    history = await venue.fetch_funding_rate_history(BTC, None, 10)
    assert all(number(h["fundingRate"]) == Decimal("0.0001") for h in history)


# The account.


@call("fetch_balance")
async def _(venue, simulator):
    await venue.create_order(BTC, "market", "buy", 0.5)
    await venue.create_order(BTC, "limit", "buy", 0.2, 58000)
    truth, parsed = books(simulator), await venue.fetch_balance()
    coin = parsed["USDT"]
    assert number(coin["total"]) == number(truth["equity"])
    assert number(coin["used"]) == number(truth["initial_margin"])
    free = number(truth["equity"]) - number(truth["initial_margin"])
    assert number(coin["free"]) == free
    [asset] = parsed["info"]["assets"]
    assert number(asset["walletBalance"]) == number(truth["wallet"])
    assert number(asset["maintMargin"]) == number(truth["maintenance_margin"])


@call("fetch_positions")
async def _(venue, simulator):
    await venue.create_order(BTC, "market", "buy", 0.5)
    await venue.create_order(ETH, "market", "sell", 3.21)
    rows = {p["symbol"]: p for p in await venue.fetch_positions()}
    assert set(rows) == {BTC, ETH}
    for held in books(simulator)["positions"]:
        row = rows[f"{held['symbol'].removesuffix('USDT')}/USDT:USDT"]
        size = number(held["size"])
        assert row["side"] == ("long" if size > 0 else "short")
        assert number(row["contracts"]) == abs(size)
        assert number(row["entryPrice"]) == number(held["entry"])
        assert number(row["markPrice"]) == number(held["mark"])
        assert number(row["unrealizedPnl"]) == number(held["upnl"])
        assert number(row["notional"]) == abs(size) * number(held["mark"])
        assert (row["hedged"], row["marginMode"]) == (False, "cross")
    assert [p["symbol"] for p in await venue.fetch_positions([ETH])] == [ETH]


@call("fetch_my_trades")
async def _(venue, simulator):
    since = await venue.fetch_time()
    order = await venue.create_order(BTC, "market", "buy", 12.345)
    await venue.create_order(BTC, "market", "sell", 12.345, None, {"reduceOnly": True})
    mine = await venue.fetch_my_trades(BTC, since)
    truth = {f["trade_id"]: f for f in simulator.log("fill")}
    assert len(fills_of(simulator, order)) > 1, "it walks the ladder"
    for trade in mine:
        fill = truth[int(trade["id"])]
        assert int(trade["order"]) == fill["order_id"]
        assert trade["side"] == fill["side"].lower()
        assert number(trade["price"]) == number(fill["price"])
        assert number(trade["amount"]) == number(fill["size"])
        assert number(trade["cost"]) == number(fill["price"]) * number(fill["size"])
        assert number(trade["fee"]["cost"]) == number(fill["fee"])
        assert number(trade["info"]["realizedPnl"]) == number(fill["realized"])
        assert trade["timestamp"] == fill["time_ns"] // 1_000_000
    assert sum(number(t["amount"]) for t in mine) == 2 * Decimal("12.345")
    assert len(await venue.fetch_my_trades(BTC, since, 1)) == 1


@call("fetch_ledger")
async def _(venue, simulator):
    since = await venue.fetch_time()
    before = number(books(simulator)["wallet"])
    await venue.create_order(BTC, "market", "buy", 0.2)
    await venue.create_order(BTC, "market", "sell", 0.2, None, {"reduceOnly": True})
    simulator.admin("/account", {"venue": "binance", "deposit": "12.34567891"})
    simulator.admin("/account", {"venue": "binance", "withdraw": "2.34567891"})
    entries = await venue.fetch_ledger(None, since, 1000)
    moved = sum(number(e["info"]["income"]) for e in entries)
    assert moved == number(books(simulator)["wallet"]) - before
    transfers = [e for e in entries if e["type"] == "transfer"]
    assert [(e["direction"], number(e["amount"])) for e in transfers] == [
        ("in", Decimal("12.34567891")),
        ("out", Decimal("2.34567891")),
    ]


@call("fetch_deposits, fetch_withdrawals")
async def _(venue, simulator):
    del simulator
    assert await venue.fetch_deposits("USDT") == []
    assert await venue.fetch_withdrawals("USDT") == []


@call("fetch_transfers")
async def _(venue, simulator):
    since = await venue.fetch_time()
    simulator.admin("/account", {"venue": "binance", "deposit": "7.00000001"})
    simulator.admin("/account", {"venue": "binance", "withdraw": "7.00000001"})
    out = {"fromAccount": "linear", "toAccount": "spot"}
    back = {"fromAccount": "spot", "toAccount": "linear"}
    for params, expected in ((out, ("linear", "spot")), (back, ("spot", "linear"))):
        [moved] = await venue.fetch_transfers("USDT", since, 10, params)
        assert (moved["fromAccount"], moved["toAccount"]) == expected
        assert number(moved["amount"]) == Decimal("7.00000001")
        assert moved["status"] == "ok"


@call("fetch_trading_fee")
async def _(venue, simulator):
    order = await venue.create_order(BTC, "market", "buy", 0.1)
    fee = await venue.fetch_trading_fee(BTC)
    [fill] = fills_of(simulator, order)
    value = number(fill["price"]) * number(fill["size"])
    assert abs(number(fill["fee"]) - value * number(fee["taker"])) <= Decimal("1e-8")
    assert number(fee["maker"]) == Decimal("0.0002")


@call("fetch_position_mode, set_position_mode")
async def _(venue, simulator):
    del simulator
    assert (await venue.fetch_position_mode(BTC))["hedged"] is False
    with pytest.raises(ccxt.ExchangeError, match="-4059"):
        await venue.set_position_mode(False, BTC)
    await venue.set_position_mode(True, BTC)
    assert (await venue.fetch_position_mode(BTC))["hedged"] is True
    await venue.set_position_mode(False, BTC)
    assert (await venue.fetch_position_mode(BTC))["hedged"] is False


@call("fetch_leverages, set_leverage")
async def _(venue, simulator):
    await venue.set_leverage(7, ETH)
    assert (await venue.fetch_leverages([ETH]))[ETH]["longLeverage"] == 7
    await venue.create_order(ETH, "market", "buy", 1)
    notional = number(prices(simulator)["ETHUSDT"])
    margin = (notional / 7).quantize(Decimal("1e-8"))
    assert number(books(simulator)["initial_margin"]) == margin
    await venue.set_leverage(20, ETH)


@call("set_margin_mode")
async def _(venue, simulator):
    del simulator
    with pytest.raises(ccxt.MarginModeAlreadySet):
        await venue.set_margin_mode("cross", BTC)
    with pytest.raises(ccxt.ExchangeError, match="-1020"):
        await venue.set_margin_mode("isolated", BTC)


@call("sapi_get_account_apirestrictions")
async def _(venue, simulator):
    del simulator
    rights = await venue.sapi_get_account_apirestrictions()
    assert rights["enableReading"] is rights["enableFutures"] is True
    assert rights["enableWithdrawals"] is rights["permitsUniversalTransfer"] is False
    assert rights["enableInternalTransfer"] is False


# Orders.


@call("create_order limit, fetch_order")
async def _(venue, simulator):
    for number_, (extra, shown) in enumerate(
        [({}, "GTC"), ({"postOnly": True}, "PO"), ({"clientOrderId": "mine-1"}, "GTC")]
    ):
        price = 57000 + number_
        placed = await venue.create_order(BTC, "limit", "buy", 0.011, price, extra)
        assert (placed["status"], placed["timeInForce"]) == ("open", shown)
        found = await venue.fetch_order(placed["id"], BTC)
        assert found["clientOrderId"] == placed["clientOrderId"]
    found = await venue.fetch_order(None, BTC, {"origClientOrderId": "mine-1"})
    same_orders([found], [books(simulator)["open_orders"][-1]])


@call("create_order market")
async def _(venue, simulator):
    order = await venue.create_order(BTC, "market", "buy", 7.777)
    fills = fills_of(simulator, order)
    cost = sum(number(f["size"]) * number(f["price"]) for f in fills)
    assert order["status"] == "closed"
    assert number(order["filled"]) == sum(number(f["size"]) for f in fills)
    assert number(order["cost"]) == cost
    average = (cost / number(order["filled"])).quantize(Decimal("1e-8"))
    assert abs(number(order["average"]) - average) <= Decimal("1e-8")
    [held] = books(simulator)["positions"]
    assert number(held["upnl"]) == number(held["size"]) * number(held["mark"]) - cost
    params = {"reduceOnly": True}
    back = await venue.create_order(BTC, "market", "sell", 9, None, params)
    assert number(back["filled"]) == Decimal("7.777"), "shrunk to the position"
    assert books(simulator)["positions"] == []


@call("create_order immediate")
async def _(venue, simulator):
    for kind, error in (("IOC", None), ("FOK", ccxt.OrderNotFillable)):
        params = {"timeInForce": kind}
        if error is None:
            gone = await venue.create_order(BTC, "limit", "buy", 0.1, 58000, params)
            assert (gone["status"], gone["filled"]) == ("expired", 0)
        else:
            with pytest.raises(error):
                await venue.create_order(BTC, "limit", "buy", 0.1, 58000, params)
    params = {"timeInForce": "FOK"}
    done = await venue.create_order(BTC, "limit", "buy", 0.1, 61000, params)
    assert (done["status"], done["filled"]) == ("closed", 0.1)
    assert number(books(simulator)["positions"][0]["size"]) == Decimal("0.1")


CONDITIONAL = [
    ("market", None, {"stopLossPrice": 55000}, "STOP_MARKET", 55000),
    ("market", None, {"triggerPrice": 55001}, "STOP_MARKET", 55001),
    ("market", None, {"takeProfitPrice": 65000}, "TAKE_PROFIT_MARKET", 65000),
    ("limit", 54900, {"stopLossPrice": 55002}, "STOP", 55002),
    ("limit", 64900, {"takeProfitPrice": 65003}, "TAKE_PROFIT", 65003),
]


@call("create_order conditional, fetch_open_orders trigger")
async def _(venue, simulator):
    await venue.create_order(BTC, "market", "buy", 0.1)
    placed = {}
    for type_, price, params, kind, trigger in CONDITIONAL:
        order = await venue.create_order(
            BTC, type_, "sell", 0.1, price, {**params, "reduceOnly": True}
        )
        placed[int(order["id"])] = kind, trigger
    truth = {a["id"]: a for a in books(simulator)["algo_orders"]}
    assert {i: (a["type"], number(a["trigger"])) for i, a in truth.items()} == placed
    seen = await venue.fetch_open_orders(BTC, params={"trigger": True})
    assert {int(o["id"]) for o in seen} == set(placed)
    for order in seen:
        held = truth[int(order["id"])]
        assert number(order["triggerPrice"]) == number(held["trigger"])
        assert number(order["amount"]) == number(held["size"])
        assert order["clientOrderId"] == held["client_id"]
        assert (order["side"], order["reduceOnly"]) == ("sell", True)
    assert await venue.fetch_open_orders(BTC) == []
    gone = await venue.cancel_order(str(min(placed)), BTC, {"trigger": True})
    assert gone["id"] == str(min(placed))
    ended = await venue.fetch_order(str(min(placed)), BTC, {"trigger": True})
    assert ended["status"] == "canceled"
    await venue.cancel_all_orders(BTC, {"trigger": True})
    assert books(simulator)["algo_orders"] == []


@call("create_order trailingPercent")
async def _(venue, simulator):
    await venue.create_order(ETH, "market", "buy", 1)
    params = {"trailingPercent": 1, "reduceOnly": True}
    order = await venue.create_order(ETH, "market", "sell", 1, None, params)
    [held] = books(simulator)["algo_orders"]
    assert (held["id"], held["type"]) == (int(order["id"]), "TRAILING_STOP_MARKET")
    start = number(prices(simulator)["ETHUSDT"])
    shock = {"venue": "binance", "symbol": "ETHUSDT"}
    simulator.admin("/price", {**shock, "factor": "1.1"})
    [held] = books(simulator)["algo_orders"]
    assert number(held["trigger"]) == (start * Decimal("1.089"))
    assert books(simulator)["positions"] != []
    simulator.admin("/price", {**shock, "factor": "0.985"})
    assert books(simulator)["positions"] == []
    ended = await venue.fetch_order(order["id"], ETH, {"trigger": True})
    assert ended["status"] == "closed"
    simulator.admin("/price", {**shock, "price": str(start)})


@call("fetch_open_orders")
async def _(venue, simulator):
    await venue.create_order(BTC, "limit", "buy", 0.01, 57000)
    await venue.create_order(BTC, "limit", "sell", 0.02, 63000.1)
    await venue.create_order(ETH, "limit", "buy", 0.3, 2800.01)
    held = books(simulator)["open_orders"]
    same_orders(await venue.fetch_open_orders(), held)
    same_orders(
        await venue.fetch_open_orders(ETH),
        [o for o in held if o["symbol"] == "ETHUSDT"],
    )


@call("edit_order")
async def _(venue, simulator):
    order = await venue.create_order(BTC, "limit", "buy", 0.01, 57000)
    done = await venue.edit_order(order["id"], BTC, "limit", "buy", 0.023, 57001.3)
    same_orders([done], books(simulator)["open_orders"])
    assert number(done["price"]) == Decimal("57001.3")


@call("cancel_order")
async def _(venue, simulator):
    params = {"clientOrderId": "to-cancel"}
    order = await venue.create_order(BTC, "limit", "buy", 0.01, 57000, params)
    gone = await venue.cancel_order(order["id"], BTC)
    assert (gone["status"], number(gone["remaining"])) == ("canceled", Decimal("0.01"))
    again = await venue.create_order(BTC, "limit", "buy", 0.01, 57000, params)
    by_client = {"origClientOrderId": "to-cancel"}
    gone = await venue.cancel_order(None, BTC, by_client)
    assert gone["id"] == again["id"] != order["id"]
    assert books(simulator)["open_orders"] == []
    with pytest.raises(ccxt.OrderNotFound):
        await venue.cancel_order(order["id"], BTC)


@call("cancel_all_orders")
async def _(venue, simulator):
    for price in (57000, 57001, 57002):
        await venue.create_order(BTC, "limit", "buy", 0.01, price)
    await venue.create_order(ETH, "limit", "buy", 0.3, 2800)
    assert len(await venue.cancel_all_orders(BTC)) == 1, "one empty order"
    assert [o["symbol"] for o in books(simulator)["open_orders"]] == ["ETHUSDT"]
    with pytest.raises(ccxt.ArgumentsRequired):
        await venue.cancel_all_orders()


@call("create_orders, cancel_orders")
async def _(venue, simulator):
    wanted = [
        {"symbol": BTC, "type": "limit", "side": "buy", "amount": 0.01, "price": p}
        for p in (57000.1, 57001.2, 1)
    ]
    placed = await venue.create_orders(wanted)
    good = [o for o in placed if o["id"] is not None]
    [bad] = [o for o in placed if o["id"] is None]
    same_orders(good, books(simulator)["open_orders"])
    assert bad["info"]["code"] in {-4164, "-4164"}
    gone = await venue.cancel_orders([o["id"] for o in good], BTC)
    assert [o["status"] for o in gone] == ["canceled", "canceled"]
    assert books(simulator)["open_orders"] == []


@call("fapiPrivatePostCountdownCancelAll")
async def _(venue, simulator):
    async def arm(symbol: str, milliseconds: int) -> dict:
        return await venue.fapiPrivatePostCountdownCancelAll(
            {"symbol": symbol, "countdownTime": milliseconds}
        )

    def waiting() -> list[str]:
        return sorted(o["symbol"] for o in books(simulator)["open_orders"])

    await venue.create_order(BTC, "limit", "buy", 0.01, 57000)
    await venue.create_order(ETH, "limit", "buy", 0.3, 2800)
    answer = await arm("BTCUSDT", 600)
    assert answer == {"symbol": "BTCUSDT", "countdownTime": "600"}
    for _ in range(4):  # each call starts it anew
        await asyncio.sleep(0.3)
        await arm("BTCUSDT", 600)
    assert waiting() == ["BTCUSDT", "ETHUSDT"]
    await asyncio.sleep(1)
    assert waiting() == ["ETHUSDT"], "it cancels that symbol alone"
    await arm("ETHUSDT", 200)
    await arm("ETHUSDT", 0)
    await asyncio.sleep(0.5)
    assert waiting() == ["ETHUSDT"], "zero disarms it"


# The table.


@pytest.mark.parametrize("name", CALLS)
async def test_the_call_says_what_the_books_hold(venue, simulator, name):
    await CALLS[name](venue, simulator)


def test_every_path_that_ccxt_asks_was_asked_and_answered(simulator):
    """Runs last: the table above, and what made and emptied the account."""
    asked = {
        (r["method"], r["path"]) for r in simulator.log("request") if r["status"] == 200
    }
    # Isolated margin is not simulated, and cross is no change: always refused.
    assert PATHS - asked == {("POST", "/fapi/v1/marginType")}

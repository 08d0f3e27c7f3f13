"""Every stream of ccxt.pro at Binance USD-M, to the last digit, on a still tape."""

from __future__ import annotations

import asyncio
import contextlib
from decimal import Decimal

import pytest

from simulator.ccxt_clients import ccxt_client

BTC = "BTC/USDT:USDT"
ETH = "ETH/USDT:USDT"


def number(value) -> Decimal:
    return Decimal(str(value))


def books(simulator) -> dict:
    return simulator.admin("/account?venue=binance")


def move(simulator, symbol: str, price: str) -> None:
    simulator.admin("/price", {"venue": "binance", "symbol": symbol, "price": price})


async def soon(awaitable, seconds=10.0):
    async with asyncio.timeout(seconds):
        return await awaitable


@contextlib.asynccontextmanager
async def watching(watch):
    """A call to ``watch`` that is under way and has subscribed."""
    task = asyncio.create_task(watch)
    await asyncio.sleep(0.5)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])


@pytest.mark.parametrize("name", ["aggTrade", "trade"])
async def test_trades(simulator, name):
    client = ccxt_client(simulator, watchTrades={"name": name})
    await client.load_markets()
    async with watching(client.watch_trades(ETH)) as task:
        move(simulator, "ETHUSDT", "3000.01")
        [trade] = await soon(task)
    move(simulator, "ETHUSDT", "3000")
    rows = await client.fetch_trades(ETH)
    assert {t["id"]: t["price"] for t in rows}[trade["id"]] == 3000.01
    assert (trade["amount"], trade["side"]) == (0.001, "buy")
    await client.close()


async def test_the_order_book(venue, simulator):
    await soon(venue.watch_order_book(BTC))
    order = await venue.create_order(BTC, "limit", "buy", 0.777, 57999.9)
    for _ in range(50):
        followed = venue.orderbooks[BTC]
        snapshot = await venue.fetch_order_book(BTC, 1000)
        if followed["nonce"] == snapshot["nonce"]:
            break
        await asyncio.sleep(0.1)
    assert list(map(list, followed["bids"])) == snapshot["bids"]
    assert list(map(list, followed["asks"])) == snapshot["asks"]
    assert [57999.9, 0.777] in snapshot["bids"], "the order stands alone there"
    assert order["status"] == "open"
    assert simulator.process.poll() is None


async def test_best_bid_and_ask(venue, simulator):
    async with watching(venue.watch_bids_asks([ETH])) as task:
        move(simulator, "ETHUSDT", "3001")
        best = (await soon(task))[ETH]
        book = await venue.fetch_order_book(ETH, 5)
        best = best if best["bid"] == book["bids"][0][0] else venue.bidsasks[ETH]
    assert [best["bid"], best["bidVolume"]] == book["bids"][0]
    assert [best["ask"], best["askVolume"]] == book["asks"][0]
    move(simulator, "ETHUSDT", "3000")


async def test_mark_price(venue, simulator):
    move(simulator, "ETHUSDT", "3002.17")
    mark = await soon(venue.watch_mark_price(ETH, {"use1sFreq": True}))
    assert number(mark["markPrice"]) == Decimal("3002.17")
    assert number(mark["indexPrice"]) == Decimal("3002.17")
    move(simulator, "ETHUSDT", "3000")


async def test_klines(venue, simulator):
    async with watching(venue.watch_ohlcv(ETH, "1m")) as task:
        move(simulator, "ETHUSDT", "3003")
        await soon(task)
        await asyncio.sleep(0.6)
        [last] = await venue.fetch_ohlcv(ETH, "1m", None, 1)
        assert venue.ohlcvs[ETH]["1m"][-1] == last
    assert last[4] == 3003
    move(simulator, "ETHUSDT", "3000")


async def test_orders_and_fills(venue, simulator):
    async with watching(venue.watch_orders()):
        market = await venue.create_order(BTC, "market", "buy", 7.5)
        resting = await venue.create_order(BTC, "limit", "sell", 0.5, 63000)
        await venue.cancel_order(resting["id"], BTC)
        await asyncio.sleep(0.5)
    fills = [f for f in simulator.log("fill") if f["order_id"] == int(market["id"])]
    assert len(fills) > 1
    seen = {int(t["id"]): t for t in venue.myTrades if t["order"] == market["id"]}
    assert set(seen) == {f["trade_id"] for f in fills}
    for fill in fills:
        trade = seen[fill["trade_id"]]
        assert number(trade["price"]) == number(fill["price"])
        assert number(trade["amount"]) == number(fill["size"])
        assert number(trade["fee"]["cost"]) == number(fill["fee"])
        assert number(trade["info"]["rp"]) == number(fill["realized"])
    orders = {o["id"]: o for o in venue.orders}
    cost = sum(number(f["price"]) * number(f["size"]) for f in fills)
    filled = orders[market["id"]]
    assert (filled["status"], number(filled["filled"])) == ("closed", Decimal("7.5"))
    average = number(filled["average"]) * Decimal("7.5")
    assert abs(average - cost) < Decimal("1e-6")
    assert orders[resting["id"]]["status"] == "canceled"


async def test_balance_and_positions(venue, simulator):
    async with (
        watching(venue.watch_balance()) as balance,
        watching(venue.watch_positions()) as positions,
    ):
        await venue.create_order(ETH, "market", "sell", 3.21)
        await soon(balance)
        [position] = await soon(positions)
        await asyncio.sleep(0.3)
    truth = books(simulator)
    assert number(venue.balance["linear"]["USDT"]["total"]) == number(truth["wallet"])
    [held] = truth["positions"]
    assert position["symbol"] == ETH
    assert (position["side"], position["marginMode"]) == ("short", "cross")
    assert number(position["contracts"]) == abs(number(held["size"]))
    assert number(position["entryPrice"]) == number(held["entry"])
    assert number(position["unrealizedPnl"]) == number(held["upnl"])


async def test_a_transfer_is_told_with_its_reason(venue, simulator):
    for field, reason, sign in (
        ("deposit", "DEPOSIT", 1),
        ("withdraw", "WITHDRAW", -1),
    ):
        async with watching(venue.watch_balance()) as task:
            simulator.admin("/account", {"venue": "binance", field: "12.00000007"})
            told = await soon(task)
        assert told["info"]["a"]["m"] == reason
        [coin] = told["info"]["a"]["B"]
        assert number(coin["bc"]) == sign * Decimal("12.00000007")
        assert number(coin["wb"]) == number(books(simulator)["wallet"])

"""Ccxt.pro as released against the streams: public data and the user stream."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest

from processes import start_simulator
from simulator.ccxt_clients import ccxt_client

BTC = "BTC/USDT:USDT"


def number(value) -> Decimal:
    return Decimal(str(value))


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """A simulator whose tape plays at ten times the pace of time."""
    directory = tmp_path_factory.mktemp("running")
    args = ("--generate", "7", "--speed", "10", "--no-rate-limits")
    with start_simulator(directory, *args) as process:
        yield process


@pytest.fixture
async def pro(running):
    client = ccxt_client(running)
    await client.load_markets()
    yield client
    await client.close()


async def soon(awaitable, seconds=15.0):
    async with asyncio.timeout(seconds):
        return await awaitable


async def test_trades_arrive_in_order_with_tape_time(pro):
    seen = []
    while len(seen) < 30:
        seen += await soon(pro.watch_trades(BTC))
    identities = [int(t["info"]["a"]) for t in seen]
    assert identities == list(range(identities[0], identities[0] + len(seen)))
    times = [t["timestamp"] for t in seen]
    assert times == sorted(times)
    assert all(t["price"] > 0 and t["amount"] > 0 for t in seen)


async def test_the_followed_book_is_the_book(pro):
    book = await soon(pro.watch_order_book(BTC))
    for _ in range(20):
        book = await soon(pro.watch_order_book(BTC))
        assert book["bids"][0][0] < book["asks"][0][0]
    assert len(book["bids"]) > 20


async def test_a_book_followed_through_moves_equals_a_fresh_snapshot(pro, running):
    await soon(pro.watch_order_book(BTC))
    running.admin("/tape", {"paused": True})
    try:
        await soon(pro.create_order(BTC, "limit", "buy", 0.5, 58000))
        await soon(pro.create_order(BTC, "market", "buy", 0.2))
        for _ in range(100):
            followed = pro.orderbooks[BTC]
            snapshot = await soon(pro.fetch_order_book(BTC, 1000))
            if followed["nonce"] == snapshot["nonce"]:
                break
            await asyncio.sleep(0.05)
        assert list(map(list, followed["bids"])) == snapshot["bids"]
        assert list(map(list, followed["asks"])) == snapshot["asks"]
    finally:
        await pro.cancel_all_orders(BTC)
        await pro.create_order(BTC, "market", "sell", 0.2, None, {"reduceOnly": True})
        running.admin("/tape", {"paused": False})


async def test_quotes_bars_and_marks_flow(pro):
    best = await soon(pro.watch_bids_asks([BTC]))
    assert best[BTC]["bid"] < best[BTC]["ask"]
    mark = await soon(pro.watch_mark_price(BTC))
    assert mark["markPrice"] > 0
    bars = await soon(pro.watch_ohlcv(BTC, "1m"))
    assert bars[-1][2] >= bars[-1][3]


async def test_the_user_stream_tells_of_orders_fills_and_balances(pro, running):
    orders: list = []
    trades: list = []

    async def follow(watch, into):
        while True:
            into.extend(await watch())

    tasks = [
        asyncio.create_task(follow(pro.watch_orders, orders)),
        asyncio.create_task(follow(pro.watch_my_trades, trades)),
        asyncio.create_task(pro.watch_balance()),
    ]
    await asyncio.sleep(0.5)
    sent = await pro.create_order(BTC, "market", "buy", 0.01)
    # A second change: ccxt hands out what came while nobody waited with the next one.
    await pro.create_order(BTC, "market", "sell", 0.01, None, {"reduceOnly": True})
    for _ in range(200):
        if trades and any(o["id"] == sent["id"] for o in orders):
            break
        await asyncio.sleep(0.05)
    balance = await soon(tasks[2])
    for task in tasks:
        task.cancel()
    [mine] = [o for o in pro.orders if o["id"] == sent["id"]]
    assert (mine["status"], mine["filled"]) == ("closed", 0.01)
    [trade] = [t for t in pro.myTrades if t["order"] == sent["id"]]
    [fill] = [f for f in running.log("fill") if f["order_id"] == int(sent["id"])]
    assert number(trade["price"]) == number(fill["price"])
    assert number(trade["fee"]["cost"]) == number(fill["fee"])
    wallets = {
        number(e["info"]["income"]) for e in await pro.fetch_ledger(None, None, 10)
    }
    assert number(balance["USDT"]["total"]) > 0
    assert -number(fill["fee"]) in wallets


async def test_a_triggered_stop_becomes_an_order_and_says_so(pro, running):
    await pro.create_order(BTC, "market", "buy", 0.05)
    price = number(running.admin("/state")["prices"]["binance"]["BTCUSDT"])
    stop = await pro.create_order(
        BTC,
        "market",
        "sell",
        0.05,
        None,
        {"stopLossPrice": float(round(price * Decimal("0.97"))), "reduceOnly": True},
    )
    crash = {"venue": "binance", "symbol": "BTCUSDT", "factor": "0.96"}
    running.admin("/price", crash)
    account = running.admin("/account?venue=binance")
    assert account["positions"] == []
    assert account["algo_orders"] == []
    states = [
        r["status"] for r in running.log("algo") if r["algo_id"] == int(stop["id"])
    ]
    assert states == ["NEW", "TRIGGERING", "TRIGGERED", "FINISHED"]
    ended = await pro.fetch_order(stop["id"], BTC, {"trigger": True})
    assert ended["info"]["actualOrderId"]
    assert ended["status"] == "closed"

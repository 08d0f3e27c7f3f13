"""Deribit's books: coin margins, continuous funding, liquidation, the ledger's sums."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from itertools import groupby

import ccxt.pro
import pytest

from cryptoquantix.simulator.listing import UNITS_PER_COIN
from processes import start_simulator
from simulator.deribit_bench import DeribitBench

BTC, LINEAR, ETH = "BTC-PERPETUAL", "BTC_USDC-PERPETUAL", "ETH-PERPETUAL"


@pytest.fixture
def bench():
    return DeribitBench("BTCUSDT", "ETHUSDT", is_limited=False)


def money(units: int) -> Decimal:
    return Decimal(units) / UNITS_PER_COIN


def summary(bench, coin: str = "BTC") -> dict:
    return bench.result("private/get_account_summary", currency=coin)


def ledger(bench, coin: str = "BTC") -> list[dict]:
    end = bench.now // 10**6 + 1
    asked = {"currency": coin, "start_timestamp": 0, "end_timestamp": end}
    return bench.result("private/get_transaction_log", **asked, count=250)["logs"]


def trade(bench, side: str, amount, symbol: str = BTC, **more) -> dict:
    order = {"instrument_name": symbol, "amount": amount, "type": "market"}
    return bench.result(f"private/{side}", **order, **more)["order"]


def test_the_account_is_worth_its_balance_in_three_coins(bench):
    worth = bench.venue.exchange.clearing.worth_units(bench.account)
    assert worth == 300_000 * UNITS_PER_COIN
    assert all(bench.account.wallet_of(c) > 0 for c in ("BTC", "ETH", "USDC"))


def test_an_inverse_position_gains_in_coin_what_the_formula_says(bench):
    trade(bench, "buy", 60_000)
    entry = bench.result("private/get_position", instrument_name=BTC)["average_price"]
    bench.venue.shock(BTC, Fraction(11, 10), bench.now)
    position = bench.result("private/get_position", instrument_name=BTC)
    mark = position["mark_price"]
    gain = Decimal(60_000) / entry - Decimal(60_000) / mark
    assert abs(position["floating_profit_loss"] - gain) <= Decimal("2e-8")
    assert position["size"] == 60_000
    assert abs(position["size_currency"] - 60_000 / mark) <= Decimal("1e-8")
    # Deribit: 2 % initial, 1 % maintenance, in coin.
    half = Decimal("1.01e-8")
    assert abs(position["initial_margin"] - position["size_currency"] / 50) <= half
    assert abs(position["maintenance_margin"] - position["size_currency"] / 100) <= half


def test_coins_do_not_cover_each_other(bench):
    before = {c: summary(bench, c)["equity"] for c in ("BTC", "ETH", "USDC")}
    trade(bench, "buy", 100_000)
    after = {c: summary(bench, c) for c in ("BTC", "ETH", "USDC")}
    assert after["BTC"]["equity"] < before["BTC"]
    for coin in ("ETH", "USDC"):
        assert after[coin]["equity"] == before[coin]
        assert after[coin]["initial_margin"] == 0
    order = {"instrument_name": LINEAR, "amount": 90, "type": "limit", "price": 59_900}
    assert bench.code("private/buy", **order) == 10009


def test_funding_accrues_with_time_and_is_booked_with_the_next_fill(bench):
    trade(bench, "buy", 60_000)
    wallet = bench.account.wallet_of("BTC")
    bench.venue.depeg(BTC, Fraction(1004, 1000), bench.now)
    rate = bench.result("public/ticker", instrument_name=BTC)["funding_8h"]
    assert rate > 0
    bench.run(120)
    position = bench.result("private/get_position", instrument_name=BTC)
    accrued = position["realized_funding"]
    assert accrued < 0, "a long pays where the mark is above the index"
    hours = Decimal(120) / 3_600
    wanted = -rate * (60_000 / position["index_price"]) * hours / 8
    assert abs(accrued - wanted) <= abs(wanted) / 20 + Decimal("1e-8")
    assert bench.account.wallet_of("BTC") == wallet
    books = summary(bench)
    assert books["equity"] == books["balance"] + books["total_pl"] + accrued
    trade(bench, "sell", 60_000)
    # Newest first; an order that took several levels is several trades in a row.
    kinds = [kind for kind, _ in groupby(row["type"] for row in ledger(bench))]
    assert kinds in (
        ["trade", "settlement", "trade", "deposit"],
        ["trade", "settlement", "trade", "settlement", "trade", "deposit"],
    )
    booked = [row["change"] for row in ledger(bench) if row["type"] == "settlement"]
    assert sum(booked) == accrued


def test_a_fall_liquidates_and_says_so(bench):
    socket = bench.connect(login=True)
    channels = ["user.orders.any.any.raw", "user.trades.any.any.raw"]
    bench.say(socket, "private/subscribe", channels=channels)
    equity = summary(bench)["equity"]
    price = bench.result("public/ticker", instrument_name=BTC)["mark_price"]
    amount = int(equity * price * 30 / 10) * 10
    trade(bench, "buy", amount)
    assert bench.account.size_lots(BTC) > 0
    bench.heard(socket)
    bench.venue.shock(BTC, Fraction(96, 100), bench.now)
    assert bench.account.size_lots(BTC) * 10 < amount
    orders = bench.heard(socket, channels[0])
    closing = [o for o in orders if o["is_liquidation"]]
    assert closing
    assert {o["order_type"] for o in closing} == {"liquidation"}
    assert {o["direction"] for o in closing} == {"sell"}
    rows = ledger(bench)
    assert rows[0]["balance"] == money(bench.account.wallet_of("BTC"))
    assert sum(r["change"] for r in rows) == rows[0]["balance"]


def test_the_ledger_adds_up_to_every_wallet_whatever_happens(bench):
    steps = [(BTC, 1_000), (LINEAR, "0.05"), (ETH, 500), (BTC, 3_000)]
    for turn, (symbol, amount) in enumerate(steps * 6):
        trade(bench, "buy" if turn % 3 else "sell", amount, symbol)
        bench.venue.transfer(1, (-1) ** turn * 10_000 * turn, bench.now, "ETH")
        bench.run(0.5)
    for coin in ("BTC", "ETH", "USDC"):
        rows = ledger(bench, coin)
        assert sum(r["change"] for r in rows) == money(bench.account.wallet_of(coin))
        for row in rows:
            if row["type"] == "trade":
                assert row["change"] == row["cashflow"] - row["commission"]
        assert summary(bench, coin)["balance"] == rows[0]["balance"]
    kinds = {row["type"] for row in ledger(bench, "ETH")}
    assert kinds >= {"deposit", "withdrawal", "trade"}


def test_an_order_never_trades_with_its_own_account(bench):
    book = bench.result("public/get_order_book", instrument_name=BTC, depth=1)
    price = book["bids"][0][0] + Decimal("0.5")
    assert price < book["asks"][0][0]
    limit = {"instrument_name": BTC, "amount": 50, "type": "limit", "price": price}
    resting = bench.result("private/buy", **limit)["order"]
    hit = bench.result("private/sell", **limit)["order"]
    assert (hit["order_state"], hit["cancel_reason"]) == ("cancelled", "self_trading")
    state = bench.result("private/get_order_state", order_id=resting["order_id"])
    assert state["order_state"] == "open"
    assert not bench.venue.exchange.clearing.fills[1]


async def test_the_command_serves_deribit_to_ccxt(tmp_path):
    """The same over ``cqx simulate``: keys, address, books and the risk key."""
    args = ("--venues", "deribit", "--generate", "7", "--paused", "--speed", "1")
    with start_simulator(tmp_path, *args) as process:
        own = process.line["venues"]["deribit"]
        api = {"rest": own["rest"], "ws": own["ws"] + "/ws/api/v2"}
        for keys in (own, own["risk"]):
            client = ccxt.pro.deribit(
                {"apiKey": keys["key"], "secret": keys["secret"], "urls": {"api": api}}
            )
            try:
                await client.load_markets()
                assert "BTC/USD:BTC" in client.symbols
                if keys is own:
                    await client.create_order("BTC/USD:BTC", "market", "buy", 100)
                [position] = await client.fetch_positions()
                assert position["contracts"] == 100
            finally:
                await client.close()
        books = process.admin("/account?venue=deribit")
        assert books["positions"][0]["size"] == "100"
        assert set(books["wallets"]) == {"BTC", "ETH", "USDC"}
        roles = [
            r["key_role"] for r in process.log("request") if "private" in r["path"]
        ]
        assert roles == ["trade", "trade", "risk"]

"""
Every call of the documents' tables, made by ccxt as released, reaches its path.

What the answers say is compared with the books in the venues' own ccxt tests; here
the tables are complete. Binance's is at the end of ``test_ccxt_calls.py``.
"""

from __future__ import annotations

import pytest

from simulator.bybit_bench import bybit_client, serve
from simulator.deribit_live import live_deribit

BTC, ETH = "BTC/USDT:USDT", "ETH/USDT:USDT"
INVERSE, LINEAR = "BTC/USD:BTC", "BTC/USDC:USDC"

BYBIT_PATHS = {
    ("GET", "/v5/market/instruments-info"),
    ("GET", "/v5/market/time"),
    ("GET", "/v5/account/wallet-balance"),
    ("GET", "/v5/position/list"),
    ("GET", "/v5/order/realtime"),
    ("POST", "/v5/order/create"),
    ("POST", "/v5/order/create-batch"),
    ("POST", "/v5/position/trading-stop"),
    ("POST", "/v5/order/amend"),
    ("POST", "/v5/order/cancel"),
    ("POST", "/v5/order/cancel-batch"),
    ("POST", "/v5/order/cancel-all"),
    ("GET", "/v5/order/history"),
    ("GET", "/v5/execution/list"),
    ("GET", "/v5/market/kline"),
    ("GET", "/v5/market/recent-trade"),
    ("GET", "/v5/market/orderbook"),
    ("GET", "/v5/market/tickers"),
    ("GET", "/v5/market/funding/history"),
    ("GET", "/v5/account/transaction-log"),
    ("GET", "/v5/asset/deposit/query-record"),
    ("GET", "/v5/asset/withdraw/query-record"),
    ("GET", "/v5/asset/transfer/query-inter-transfer-list"),
    ("POST", "/v5/position/set-leverage"),
    ("POST", "/v5/account/set-margin-mode"),
    ("POST", "/v5/position/switch-mode"),
    ("GET", "/v5/user/query-api"),
    ("POST", "/v5/order/disconnected-cancel-all"),
    ("GET", "/v5/account/query-dcp-info"),
}
DERIBIT_METHODS = {
    "public/get_currencies",
    "public/get_instruments",
    "public/get_time",
    "private/get_account_summaries",
    "private/get_account_summary",
    "private/get_positions",
    "private/get_open_orders_by_instrument",
    "private/get_open_orders_by_currency",
    "private/buy",
    "private/sell",
    "private/edit",
    "private/cancel",
    "private/cancel_all",
    "private/cancel_all_by_instrument",
    "private/cancel_by_label",
    "private/get_order_state",
    "private/get_user_trades_by_instrument",
    "private/get_user_trades_by_instrument_and_time",
    "private/get_user_trades_by_currency",
    "public/get_tradingview_chart_data",
    "public/get_last_trades_by_instrument",
    "public/get_last_trades_by_instrument_and_time",
    "public/get_order_book",
    "public/ticker",
    "public/get_funding_rate_value",
    "public/get_funding_rate_history",
    "private/get_transaction_log",
    "private/get_deposits",
    "private/get_withdrawals",
    "private/get_transfers",
    "public/auth",
    "private/list_api_keys",
    "private/get_cancel_on_disconnect",
    "public/get_index_price",
}


def answered(record) -> list[dict]:
    """The requests that were carried out."""
    rows = [r for r in record.after(0, 10_000) if r["kind"] == "request"]
    return [r for r in rows if r["code"] in {0, 200} and r["status"] == 200]


async def bybit_reads(made) -> None:
    await made.fetch_time()
    await made.fetch_balance()
    await made.fetch_positions()
    await made.fetch_positions([BTC])
    await made.fetch_ohlcv(BTC, "1m", limit=5)
    await made.fetch_trades(BTC)
    await made.fetch_order_book(BTC)
    await made.fetch_bids_asks([BTC])
    await made.fetch_ticker(BTC)
    await made.fetch_funding_rate(BTC)
    await made.fetch_funding_rate_history(BTC)
    await made.fetch_my_trades(BTC)
    await made.fetch_ledger("USDT")
    await made.fetch_deposits("USDT")
    await made.fetch_withdrawals("USDT")
    await made.fetch_transfers("USDT")
    await made.private_get_v5_user_query_api()
    await made.private_get_v5_account_query_dcp_info()


async def bybit_orders(made) -> None:
    ask = {"acknowledged": True}
    placed = await made.create_order(BTC, "limit", "buy", 0.01, 57_000)
    await made.fetch_order(placed["id"], BTC, ask)
    await made.fetch_open_order(placed["id"], BTC)
    await made.fetch_open_orders(BTC)
    await made.fetch_open_orders(None, None, None, {"trigger": True})
    await made.edit_order(placed["id"], BTC, "limit", "buy", 0.02, 57_001)
    await made.cancel_order(placed["id"], BTC)
    both = await made.create_orders(
        [
            {"symbol": BTC, "type": "limit", "side": "buy", "amount": 0.01, "price": p}
            for p in (56_000, 56_001)
        ]
    )
    await made.cancel_orders([o["id"] for o in both], BTC)
    filled = await made.create_order(BTC, "market", "buy", 0.1)
    await made.fetch_closed_order(filled["id"], BTC)
    for side in ("stopLossPrice", "takeProfitPrice"):
        price = 50_000 if side == "stopLossPrice" else 90_000
        await made.create_order(BTC, "market", "sell", 0.1, None, {side: price})
    trigger = {"triggerPrice": 50_000, "triggerDirection": "descending"}
    await made.create_order(BTC, "market", "sell", 0.01, None, trigger)
    attached = {"stopLoss": {"triggerPrice": 40_000}}
    await made.create_order(BTC, "limit", "buy", 0.01, 55_000, attached)
    stops = {"stopLossPrice": 50_500, "takeProfitPrice": 95_000}
    await made.create_order(BTC, "market", "sell", 0.1, None, stops)
    await made.cancel_all_orders(BTC)
    await made.cancel_all_orders(None, {"trigger": True})
    await made.create_order(BTC, "market", "sell", 0.1, None, {"reduceOnly": True})
    await made.set_leverage(7, BTC)
    await made.set_margin_mode("cross", BTC)
    await made.set_position_mode(True, ETH)
    await made.create_order(ETH, "market", "buy", 0.1, None, {"hedged": True})
    await made.private_post_v5_order_disconnected_cancel_all(
        {"product": "DERIVATIVES", "timeWindow": 40}
    )


async def test_every_call_of_bybits_table():
    async with serve(is_paused=True) as served:
        made = bybit_client(served.rest, served.ws)
        try:
            await made.load_markets()
            await bybit_reads(made)
            await bybit_orders(made)
        finally:
            await made.close()
        asked = {(r["method"], r["path"]) for r in answered(served.world.record)}
        assert BYBIT_PATHS - asked == set()


async def deribit_reads(made) -> None:
    hour = 3_600_000
    now = await made.fetch_time()
    await made.fetch_balance()
    await made.fetch_balance({"code": "BTC"})
    await made.fetch_positions()
    await made.fetch_ohlcv(INVERSE, "1m", limit=5)
    await made.fetch_trades(INVERSE)
    await made.fetch_trades(INVERSE, now - hour)
    await made.fetch_order_book(INVERSE)
    await made.fetch_ticker(INVERSE)
    await made.fetch_funding_rate(INVERSE)
    await made.fetch_funding_rate_history(INVERSE)
    await made.fetch_deposits("BTC")
    await made.fetch_withdrawals("BTC")
    await made.fetch_transfers("BTC")
    await made.private_get_get_transaction_log(
        {"currency": "BTC", "start_timestamp": now - hour, "end_timestamp": now + hour}
    )
    await made.public_get_auth(
        {
            "grant_type": "client_credentials",
            "client_id": made.apiKey,
            "client_secret": made.secret,
        }
    )
    await made.private_get_list_api_keys()
    await made.private_get_get_cancel_on_disconnect({"scope": "account"})
    for coin in ("btc", "eth", "usdt", "usdc"):
        await made.public_get_get_index_price({"index_name": f"{coin}_usd"})


async def deribit_orders(made) -> None:
    now = await made.fetch_time()
    placed = await made.create_order(INVERSE, "limit", "buy", 100, 57_000)
    await made.fetch_order(placed["id"], INVERSE)
    await made.fetch_open_orders(INVERSE)
    await made.fetch_open_orders()
    await made.edit_order(placed["id"], INVERSE, "limit", "buy", 200, 57_500)
    await made.cancel_order(placed["id"], INVERSE)
    await made.create_order(LINEAR, "limit", "buy", 0.01, 57_000, {"label": "mine"})
    await made.private_get_cancel_by_label({"label": "mine"})
    await made.create_order(INVERSE, "market", "sell", 100)
    stop = {"stopLossPrice": 90_000, "trigger": "mark_price"}
    await made.create_order(INVERSE, "market", "buy", 100, None, stop)
    await made.fetch_my_trades(INVERSE)
    await made.fetch_my_trades(INVERSE, now - 3_600_000)
    await made.fetch_my_trades()
    await made.cancel_all_orders(INVERSE)
    await made.cancel_all_orders()


async def test_every_call_of_deribits_table():
    async with live_deribit() as live:
        made = live.client()
        try:
            await made.load_markets()
            await made.fetch_currencies()
            await deribit_reads(made)
            await deribit_orders(made)
        finally:
            await made.close()
        asked = {r["path"].removeprefix("/api/v2/") for r in answered(live.record)}
        assert DERIBIT_METHODS - asked == set()


@pytest.mark.parametrize("venue", ["bybit", "deribit"])
async def test_ccxts_own_ledger_and_dead_mans_switch_are_where_the_table_says(venue):
    """Deribit has no ``fetch_ledger``; neither has ccxt a dead-man's switch."""
    if venue == "deribit":
        async with live_deribit() as live:
            made = live.client()
            assert not made.has["fetchLedger"]
            await made.close()
        return
    async with serve(is_paused=True) as served:
        made = bybit_client(served.rest, served.ws)
        answer = await made.private_get_v5_account_query_dcp_info()
        assert answer["result"]["dcpInfos"] == []
        await made.private_post_v5_order_disconnected_cancel_all(
            {"product": "DERIVATIVES", "timeWindow": 40}
        )
        answer = await made.private_get_v5_account_query_dcp_info()
        [info] = answer["result"]["dcpInfos"]
        assert (info["dcpStatus"], info["timeWindow"]) == ("ON", "40")
        await made.close()

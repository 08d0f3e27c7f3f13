"""Money that moves between venues, coins that leave their worth, other collateral."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
import urllib.error
from decimal import Decimal
from urllib.parse import urlencode

import aiohttp
import pytest

from processes import start_simulator, wait_for

VENUES = ("binance", "bybit", "deribit")


@pytest.fixture(scope="module")
def simulator(tmp_path_factory):
    directory = tmp_path_factory.mktemp("money")
    args = ("--paused", "--no-rate-limits", "--venues", ",".join(VENUES))
    with start_simulator(directory, *args, "--instruments", "BTCUSDT,ETHUSDT") as it:
        yield it


def refused(simulator, path: str, value: dict) -> str:
    with pytest.raises(urllib.error.HTTPError) as error:
        simulator.admin(path, value)
    assert error.value.code == 400
    return json.load(error.value)["error"]


async def ask(simulator, venue: str, path: str, **parameters):
    """A venue's answer to a signed GET, as its documents say to sign it."""
    own = simulator.line["venues"][venue]
    stamp, secret = str(time.time_ns() // 1_000_000), own["secret"].encode()

    def sign(text: str) -> str:
        return hmac.new(secret, text.encode(), hashlib.sha256).hexdigest()

    query = urlencode(parameters)
    if venue == "binance":
        query = f"{query}&timestamp={stamp}".lstrip("&")
        query += f"&signature={sign(query)}"
        headers = {"X-MBX-APIKEY": own["key"]}
    elif venue == "bybit":
        headers = {
            "X-BAPI-API-KEY": own["key"],
            "X-BAPI-TIMESTAMP": stamp,
            "X-BAPI-RECV-WINDOW": "5000",
            "X-BAPI-SIGN": sign(f"{stamp}{own['key']}5000{query}"),
        }
    else:
        nonce = str(time.monotonic_ns())
        lines = (stamp, nonce, "GET", f"{path}?{query}" if query else path, "")
        signature = sign("".join(f"{x}\n" for x in lines))
        headers = {
            "Authorization": f"deri-hmac-sha256 id={own['key']},ts={stamp},"
            f"sig={signature},nonce={nonce}"
        }
    if path.startswith(("/fapi/v1/assetIndex", "/api/v2/public")):
        headers, query = {}, urlencode(parameters)
    async with (
        aiohttp.ClientSession() as session,
        session.get(
            own["rest"] + path + (f"?{query}" if query else ""), headers=headers
        ) as answer,
    ):
        assert answer.status == 200, await answer.text()
        found = await answer.json()
        return found.get("result", found) if isinstance(found, dict) else found


def wallet(simulator, venue: str, coin: str) -> Decimal:
    found = simulator.admin(f"/account?venue={venue}")["wallets"]
    return Decimal(found.get(coin, "0"))


async def test_money_leaves_one_venue_now_and_arrives_at_another_later(simulator):
    before = {v: wallet(simulator, v, "USDT") for v in ("binance", "bybit")}
    sent = simulator.admin(
        "/transfer",
        {
            "from": "binance",
            "to": "bybit",
            "coin": "USDT",
            "amount": "1000",
            "lag_seconds": 1.0,
        },
    )
    assert [c["to"] for c in sent["on_their_way"]] == ["bybit"]
    assert wallet(simulator, "binance", "USDT") == before["binance"] - 1000
    assert wallet(simulator, "bybit", "USDT") == before["bybit"]
    wait_for(lambda: wallet(simulator, "bybit", "USDT") == before["bybit"] + 1000)

    withdrawn = await ask(simulator, "binance", "/sapi/v1/capital/withdraw/history")
    assert (withdrawn[0]["amount"], withdrawn[0]["coin"]) == ("1000.00000000", "USDT")
    income = await ask(
        simulator, "binance", "/fapi/v1/income", incomeType="TRANSFER", limit=1000
    )
    assert "-1000.00000000" in [row["income"] for row in income]
    came = await ask(simulator, "bybit", "/v5/asset/deposit/query-record")
    assert (Decimal(came["rows"][0]["amount"]), came["rows"][0]["coin"]) == (
        1000,
        "USDT",
    )
    moved = await ask(
        simulator, "bybit", "/v5/asset/transfer/query-inter-transfer-list"
    )
    assert Decimal(moved["list"][0]["amount"]) == 1000


async def test_coins_go_to_deribit_and_back_to_bybit_and_both_record_it(simulator):
    simulator.admin("/account", {"venue": "bybit", "deposit": "2", "coin": "BTC"})
    move = {"from": "bybit", "to": "deribit", "coin": "BTC", "amount": "0.5"}
    simulator.admin("/transfer", move)
    gone = await ask(simulator, "bybit", "/v5/asset/withdraw/query-record", coin="BTC")
    assert Decimal(gone["rows"][0]["amount"]) == Decimal("0.5")
    came = await ask(
        simulator, "deribit", "/api/v2/private/get_deposits", currency="BTC"
    )
    assert came["data"][0]["amount"] == 0.5
    simulator.admin("/transfer", {**move, "from": "deribit", "to": "bybit"})
    back = await ask(
        simulator, "deribit", "/api/v2/private/get_withdrawals", currency="BTC"
    )
    assert back["data"][0]["amount"] == 0.5
    assert wallet(simulator, "bybit", "BTC") == 2
    simulator.admin("/account", {"venue": "bybit", "withdraw": "2", "coin": "BTC"})


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        ({"to": "kraken"}, "venue"),
        ({"coin": "DOGE"}, "DOGE"),
        ({"coin": "USDT", "to": "deribit"}, "USDT"),
        ({"amount": "100000000"}, "less"),
        ({"amount": "-1"}, "positive"),
        ({"lag_seconds": -1}, "lag_seconds"),
        ({"account": 9}, "account"),
    ],
)
def test_a_transfer_that_cannot_be_is_one_sentence_and_moves_nothing(
    simulator, changed, word
):
    before = simulator.admin("/account?venue=binance")["wallets"]
    move = {"from": "binance", "to": "bybit", "coin": "USDT", "amount": "1"}
    assert word in refused(simulator, "/transfer", move | changed)
    assert simulator.admin("/account?venue=binance")["wallets"] == before


async def test_a_stablecoin_loses_its_peg_at_one_venue_alone(simulator):
    equity = Decimal(simulator.admin("/account?venue=bybit")["equity"])
    simulator.admin("/rate", {"venue": "bybit", "coin": "USDT", "usd": "0.95"})
    [account] = (
        await ask(
            simulator, "bybit", "/v5/account/wallet-balance", accountType="UNIFIED"
        )
    )["list"]
    [coin] = account["coin"]
    assert Decimal(coin["usdValue"]) == Decimal(coin["equity"]) * Decimal("0.95")
    assert Decimal(account["totalEquity"]) == Decimal(coin["usdValue"])
    assert Decimal(simulator.admin("/account?venue=bybit")["equity"]) == (
        equity * Decimal("0.95")
    )
    assert Decimal(simulator.admin("/account?venue=binance")["rates"]["USDT"]) == 1
    simulator.admin("/rate", {"venue": "bybit", "coin": "USDT", "usd": None})
    assert Decimal(simulator.admin("/account?venue=bybit")["equity"]) == equity


async def test_every_venue_tells_what_stablecoins_and_coins_are_worth(simulator):
    simulator.admin("/rate", {"venue": "*", "coin": "USDT", "usd": "0.97"})
    simulator.admin("/rate", {"venue": "deribit", "coin": "USDC", "usd": "0.9"})
    binance = {
        row["symbol"]: Decimal(row["index"])
        for row in await ask(simulator, "binance", "/fapi/v1/assetIndex")
    }
    assert binance["USDTUSD"] == Decimal("0.97")
    assert binance["USDCUSD"] == 1
    btc = Decimal(simulator.admin("/state")["prices"]["binance"]["BTCUSDT"])
    assert binance["BTCUSD"] == btc * Decimal("0.97")
    one = await ask(simulator, "binance", "/fapi/v1/assetIndex", symbol="BTCUSD")
    assert Decimal(one["bidRate"]) < Decimal(one["index"]) < Decimal(one["askRate"])

    async def index(name: str) -> float:
        path = "/api/v2/public/get_index_price"
        answer = await ask(simulator, "deribit", path, index_name=name)
        return answer["index_price"]

    assert await index("usdt_usd") == 0.97
    assert await index("usdc_usd") == 0.9
    price = Decimal(simulator.admin("/state")["prices"]["deribit"]["BTC-PERPETUAL"])
    assert Decimal(str(await index("btc_usd"))) == price
    assert await index("eth_usd") > 0
    for coin in ("USDT", "USDC"):
        simulator.admin("/rate", {"venue": "*", "coin": coin, "usd": None})
    assert await index("usdc_usd") == 1


@pytest.mark.parametrize(
    "value",
    [
        {"venue": "bybit", "coin": "DOGE", "usd": "1"},
        {"venue": "bybit", "coin": "USDT", "usd": "0"},
        {"venue": "bybit", "coin": "USDT", "usd": "x"},
        {"venue": "nowhere", "coin": "USDT", "usd": "1"},
    ],
)
def test_a_rate_that_cannot_be_is_one_sentence(simulator, value):
    assert refused(simulator, "/rate", value)


async def test_bitcoin_backs_a_unified_account_until_it_is_worth_too_little(
    tmp_path_factory, simulator
):
    """It counts for 95 %; a one-venue de-peg of it alone liquidates, and sells it."""
    del tmp_path_factory
    simulator.admin("/account", {"venue": "bybit", "deposit": "1", "coin": "BTC"})
    usdt = wallet(simulator, "bybit", "USDT")
    simulator.admin("/account", {"venue": "bybit", "withdraw": str(usdt)})
    btc = Decimal(simulator.admin("/state")["prices"]["bybit"]["BTCUSDT"])
    [account] = (
        await ask(
            simulator, "bybit", "/v5/account/wallet-balance", accountType="UNIFIED"
        )
    )["list"]
    rows = {row["coin"]: row for row in account["coin"]}
    assert Decimal(rows["BTC"]["usdValue"]) == btc
    assert Decimal(account["totalMarginBalance"]) == btc * Decimal("0.95")
    assert Decimal(account["totalEquity"]) == btc
    fill = {"venue": "bybit", "symbol": "ETHUSDT", "side": "buy", "amount": "20"}
    simulator.admin("/faults", {"kind": "external-fill", **fill})
    assert simulator.admin("/account?venue=bybit")["positions"]
    simulator.admin("/rate", {"venue": "bybit", "coin": "BTC", "usd": "100"})
    after = simulator.admin("/account?venue=bybit")
    assert after["positions"] == [], "liquidated"
    assert Decimal(after["wallets"]["USDT"]) >= 0
    assert Decimal(after["wallets"]["BTC"]) < 1, "collateral is sold for the loss"
    log = await ask(simulator, "bybit", "/v5/account/transaction-log", limit=50)
    kinds = {row["type"] for row in log["list"]}
    assert {"CURRENCY_BUY", "CURRENCY_SELL"} <= kinds
    simulator.admin("/rate", {"venue": "bybit", "coin": "BTC", "usd": None})


@pytest.mark.parametrize("venue", VENUES)
def test_an_order_fills_late_when_the_account_has_just_become_flat(simulator, venue):
    simulator.admin("/account", {"venue": venue, "deposit": "100000"})
    symbol = "BTC_USDC-PERPETUAL" if venue == "deribit" else "BTCUSDT"
    fault = {"venue": venue, "symbol": symbol, "side": "buy", "amount": "0.01"}
    simulator.admin("/faults", {"kind": "external-fill", **fault})
    late = simulator.admin("/faults", {"kind": "late-fill", "seconds": 60, **fault})
    assert len(simulator.admin(f"/account?venue={venue}")["positions"]) == 1
    close = fault | {"side": "sell"}
    simulator.admin("/faults", {"kind": "external-fill", **close})
    [position] = wait_for(
        lambda: simulator.admin(f"/account?venue={venue}")["positions"]
    )
    assert Decimal(position["size"]) == Decimal("0.01")
    [shown] = [f for f in simulator.admin("/faults")["faults"] if f["id"] == late["id"]]
    assert shown["hits"] == 1
    simulator.admin("/faults", {"kind": "external-fill", **close})
    time.sleep(0.2)
    assert simulator.admin(f"/account?venue={venue}")["positions"] == [], "only once"


async def test_an_answer_comes_after_what_streams_said_of_it(simulator):
    """Late answers: the fill is told before the request that made it is answered."""
    fault = {"kind": "late-answer", "venue": "bybit", "milliseconds": 300}
    simulator.admin("/faults", fault | {"match": "wallet-balance", "seconds": 20})
    started = time.monotonic()
    await ask(simulator, "bybit", "/v5/account/wallet-balance", accountType="UNIFIED")
    assert time.monotonic() - started >= 0.3

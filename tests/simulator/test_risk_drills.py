"""What a risk drill needs of every venue is there, by the operator's API alone."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
import urllib.request
from decimal import Decimal
from urllib.parse import urlencode

import aiohttp
import pytest

from processes import start_simulator, wait_for

VENUES = ("binance", "bybit", "deribit")
SYMBOLS = {
    "binance": "BTCUSDT",
    "bybit": "BTCUSDT",
    "deribit": "BTC_USDC-PERPETUAL",
}
ORDER = {
    "binance": "POST /fapi/v1/order",
    "bybit": "POST /v5/order/create",
    "deribit": "private/(buy|sell)",
}
READING = {
    "binance": ("/fapi/v3/account", "total(?:Wallet|Margin)Balance"),
    "bybit": ("/v5/account/wallet-balance", "totalEquity"),
    "deribit": ("/api/v2/private/get_account_summaries", "equity"),
}


@pytest.fixture(scope="module")
def simulator(tmp_path_factory):
    directory = tmp_path_factory.mktemp("drills")
    args = ("--paused", "--no-rate-limits", "--venues", ",".join(VENUES))
    with start_simulator(directory, *args, "--instruments", "BTCUSDT,ETHUSDT") as it:
        yield it


@pytest.fixture(params=VENUES)
def venue(request, simulator):
    yield request.param
    for fault in simulator.admin("/faults")["faults"]:
        end_fault(simulator, fault["id"])


def end_fault(simulator, number: int) -> None:
    url = f"{simulator.admin_url}/faults?id={number}"
    urllib.request.urlopen(urllib.request.Request(url, method="DELETE")).close()


def books(simulator, venue: str) -> dict:
    return simulator.admin(f"/account?venue={venue}")


def size_of(simulator, venue: str) -> Decimal:
    rows = books(simulator, venue)["positions"]
    return sum(
        (Decimal(r["size"]) for r in rows if r["symbol"] == SYMBOLS[venue]),
        Decimal(0),
    )


async def send(simulator, venue: str, method: str, path: str, **fields):
    """Status and JSON of a signed request; (0, None) where no answer comes."""
    own = simulator.line["venues"][venue]
    stamp, secret = str(time.time_ns() // 1_000_000), own["secret"].encode()

    def sign(text: str) -> str:
        return hmac.new(secret, text.encode(), hashlib.sha256).hexdigest()

    query, body, headers = urlencode(fields), "", {}
    if venue == "binance":
        query = f"{query}&timestamp={stamp}".lstrip("&")
        query += f"&signature={sign(query)}"
        headers = {"X-MBX-APIKEY": own["key"]}
    elif venue == "bybit":
        if method == "POST":
            query, body = "", json.dumps(fields)
            headers["Content-Type"] = "application/json"
        headers |= {
            "X-BAPI-API-KEY": own["key"],
            "X-BAPI-TIMESTAMP": stamp,
            "X-BAPI-RECV-WINDOW": "5000",
            "X-BAPI-SIGN": sign(f"{stamp}{own['key']}5000{query}{body}"),
        }
    else:
        nonce = str(time.monotonic_ns())
        lines = (stamp, nonce, method, f"{path}?{query}" if query else path, body)
        signature = sign("".join(f"{x}\n" for x in lines))
        headers["Authorization"] = (
            f"deri-hmac-sha256 id={own['key']},ts={stamp},sig={signature},nonce={nonce}"
        )
    url = own["rest"] + path + (f"?{query}" if query else "")
    timeout = aiohttp.ClientTimeout(total=3)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.request(method, url, data=body or None, headers=headers) as answer,
        ):
            return answer.status, json.loads(await answer.read())
    except (aiohttp.ClientError, TimeoutError):
        return 0, None


async def market_order(simulator, venue: str, side: str, size: str):
    if venue == "binance":
        fields = {"symbol": SYMBOLS[venue], "side": side.upper(), "type": "MARKET"}
        fields |= {"quantity": size}
        return await send(simulator, venue, "POST", "/fapi/v1/order", **fields)
    if venue == "bybit":
        fields = {"category": "linear", "symbol": SYMBOLS[venue], "qty": size}
        fields |= {"side": side.capitalize(), "orderType": "Market"}
        return await send(simulator, venue, "POST", "/v5/order/create", **fields)
    fields = {"instrument_name": SYMBOLS[venue], "amount": size, "type": "market"}
    return await send(simulator, venue, "GET", f"/api/v2/private/{side}", **fields)


def is_accepted(venue: str, status: int, answer) -> bool:
    code = answer.get("retCode", 0) if venue == "bybit" else 0
    return status == 200 and code == 0


def fill(simulator, venue: str, side: str, amount: str) -> None:
    fault = {"kind": "external-fill", "venue": venue, "symbol": SYMBOLS[venue]}
    simulator.admin("/faults", fault | {"side": side, "amount": amount})


def flatten(simulator, venue: str) -> None:
    size = size_of(simulator, venue)
    if size:
        fill(simulator, venue, "sell" if size > 0 else "buy", str(abs(size)))
    assert size_of(simulator, venue) == 0


def test_a_price_moves_at_one_venue_alone(simulator, venue):
    symbol = SYMBOLS[venue]
    before = simulator.admin("/state")["prices"]
    simulator.admin("/price", {"venue": venue, "symbol": "*", "factor": "0.9"})
    after = simulator.admin("/state")["prices"]
    moved = Decimal(after[venue][symbol]) / Decimal(before[venue][symbol])
    assert abs(moved - Decimal("0.9")) < Decimal("0.001")
    for other in set(VENUES) - {venue}:
        assert after[other] == before[other]
    price = before[venue][symbol]
    simulator.admin("/price", {"venue": venue, "symbol": symbol, "price": price})


async def test_a_close_is_refused_for_a_while_and_then_accepted(simulator, venue):
    fill(simulator, venue, "buy", "0.05")
    fault = {"kind": "price-band", "venue": venue, "seconds": 60}
    shut = simulator.admin("/faults", fault)
    status, answer = await market_order(simulator, venue, "sell", "0.05")
    assert not is_accepted(venue, status, answer)
    assert size_of(simulator, venue) == Decimal("0.05")
    end_fault(simulator, shut["id"])
    status, answer = await market_order(simulator, venue, "sell", "0.05")
    assert is_accepted(venue, status, answer), answer
    assert size_of(simulator, venue) == 0


async def test_an_acknowledgement_is_lost_and_the_order_stands(simulator, venue):
    fault = {"kind": "lost-answer", "venue": venue, "match": ORDER[venue]}
    # A GET whose connection is cut, as Deribit's orders are, aiohttp sends once more.
    mode = "hang" if venue == "deribit" else "cut"
    simulator.admin("/faults", fault | {"mode": mode, "count": 1})
    assert await market_order(simulator, venue, "buy", "0.02") == (0, None)
    assert size_of(simulator, venue) == Decimal("0.02")
    flatten(simulator, venue)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("429", {"binance": -1003, "bybit": 10006, "deribit": 10028}),
        ("418", {"binance": -1003, "bybit": 10018, "deribit": 10028}),
    ],
)
async def test_a_ban_is_in_the_venues_own_words(simulator, venue, kind, words):
    simulator.admin("/faults", {"kind": kind, "venue": venue, "seconds": 60})
    _, answer = await send(simulator, venue, "GET", READING[venue][0])
    found = answer.get("code", answer.get("retCode"))
    if venue == "deribit":
        found = answer["error"]["code"]
    assert found == words[venue]


async def test_one_reading_is_absurd_and_the_next_is_not(simulator, venue):
    path, fields = READING[venue]
    asked = {"accountType": "UNIFIED"} if venue == "bybit" else {}

    def figure(answer) -> Decimal:
        if venue == "binance":
            return Decimal(answer["totalMarginBalance"])
        if venue == "bybit":
            return Decimal(answer["result"]["list"][0]["totalEquity"])
        return Decimal(str(answer["result"]["summaries"][0]["equity"]))

    truth = figure((await send(simulator, venue, "GET", path, **asked))[1])
    fault = {"kind": "wrong-numbers", "venue": venue, "match": path, "count": 1}
    simulator.admin("/faults", fault | {"fields": fields, "factor": "0.1"})
    wrong = figure((await send(simulator, venue, "GET", path, **asked))[1])
    assert abs(wrong * 10 / truth - 1) < Decimal("0.000001")
    again = figure((await send(simulator, venue, "GET", path, **asked))[1])
    assert again == truth


def test_one_leg_is_auto_deleveraged(simulator, venue):
    fill(simulator, venue, "buy", "0.05")
    fault = {"kind": "adl", "venue": venue, "symbol": SYMBOLS[venue]}
    simulator.admin("/faults", fault | {"amount": "0.02"})
    assert size_of(simulator, venue) == Decimal("0.03")
    simulator.admin("/faults", fault)
    assert size_of(simulator, venue) == 0


async def test_a_venue_is_gone_and_comes_back(simulator, venue):
    path = READING[venue][0]
    fault = {"kind": "outage", "venue": venue, "mode": "refuse", "seconds": 60}
    gone = simulator.admin("/faults", fault)
    assert await send(simulator, venue, "GET", path) == (0, None)
    for other in set(VENUES) - {venue}:
        assert (await send(simulator, other, "GET", READING[other][0]))[0]
    end_fault(simulator, gone["id"])
    assert (await send(simulator, venue, "GET", path))[0]


async def test_all_venues_are_gone_at_once(simulator):
    fault = {"kind": "outage", "venue": "*", "mode": "refuse", "seconds": 60}
    gone = simulator.admin("/faults", fault)
    for venue in VENUES:
        path = READING[venue][0]
        assert await send(simulator, venue, "GET", path) == (0, None)
    end_fault(simulator, gone["id"])
    wait_for(lambda: set(simulator.admin("/state")["outages"].values()) == {None})


async def test_the_dead_mans_switch_can_be_asked_for(simulator):
    _, answer = await send(simulator, "bybit", "GET", "/v5/account/query-dcp-info")
    assert answer["result"] == {"dcpInfos": []}
    path = "/api/v2/private/get_cancel_on_disconnect"
    _, answer = await send(simulator, "deribit", "GET", path, scope="account")
    assert answer["result"] == {"scope": "account", "enabled": False}

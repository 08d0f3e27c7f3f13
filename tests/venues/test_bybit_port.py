"""What Bybit's port alone must heed: settlement coins, and the mode when flat."""

from __future__ import annotations

from time import time_ns

import pytest

from cryptoquantix.core.clock import SystemClock
from cryptoquantix.core.errors import CredentialsRefused
from cryptoquantix.venues.ccxt_bybit import CcxtBybit
from venues.stub_venue import StubVenue


def listed(symbol, coin, **changes):
    return {
        "symbol": symbol,
        "contractType": "LinearPerpetual",
        "status": "Trading",
        "baseCoin": "BTC",
        "quoteCoin": coin,
        "settleCoin": coin,
        "priceFilter": {"tickSize": "0.10"},
        "lotSizeFilter": {
            "qtyStep": "0.001",
            "maxOrderQty": "100",
            "maxMktOrderQty": "50",
            "minNotionalValue": "5",
        },
    } | changes


def good(result):
    async def answer(_params):
        now_ms = time_ns() // 1_000_000
        return {"retCode": 0, "retMsg": "OK", "result": result, "time": now_ms}

    return answer


@pytest.fixture
async def stub():
    stub = await StubVenue().start()
    rows = [
        listed("BTCUSDT", "USDT"),
        listed("BTCPERP", "USDC"),
        listed("BTC-27DEC26", "USDT", contractType="LinearFutures"),
        listed("OLDUSDT", "USDT", status="Closed"),
    ]
    wallet = {"totalEquity": "1", "totalWalletBalance": "1"}
    rights = {"permissions": {"ContractTrade": ["Order", "Position"]}, "readOnly": 0}
    for path, result in (
        ("market/time", {}),
        ("market/instruments-info", {"list": rows, "nextPageCursor": ""}),
        ("user/query-api", rights),
        ("account/wallet-balance", {"list": [wallet]}),
        ("position/list", {"list": [], "nextPageCursor": ""}),
    ):
        stub.answers["GET", f"/v5/{path}"] = good(result)
    yield stub
    await stub.stop()


async def opened(stub):
    port = CcxtBybit(rest=stub.url, key="k", secret="s", clock=SystemClock())
    try:
        await port.open()
        return {str(id_) for id_ in port.instruments()}
    finally:
        await port.close()


async def test_only_what_is_settled_in_the_coin_it_looks_at_is_traded(stub):
    assert await opened(stub) == {"bybit:BTCUSDT-PERP"}


async def test_a_flat_account_in_hedge_mode_is_refused_in_a_sentence(stub):
    legs = [
        {"symbol": "BTCUSDT", "size": "0", "side": "", "positionIdx": index}
        for index in (1, 2)
    ]

    async def positions(params):
        rows = legs if params.get("symbol") == "BTCUSDT" else []
        return await good({"list": rows, "nextPageCursor": ""})(params)

    stub.answers["GET", "/v5/position/list"] = positions
    with pytest.raises(CredentialsRefused, match="hedge mode"):
        await opened(stub)

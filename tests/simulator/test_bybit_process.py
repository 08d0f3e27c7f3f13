"""The Bybit venue as a process, by its own port and by the live venue's addresses."""

from __future__ import annotations

import ssl
from decimal import Decimal

import aiohttp
import ccxt.pro
import pytest

from processes import start_simulator
from simulator.bybit_bench import bybit_client
from simulator.test_tls import ToSimulator

BTC = "BTC/USDT:USDT"


@pytest.fixture(scope="module")
def simulator(tmp_path_factory):
    directory = tmp_path_factory.mktemp("bybit")
    tls = ("--tls-port", "0", "--tls-folder", str(directory / "certificates"))
    args = ("--venues", "bybit", "--generate", "7", "--no-rate-limits", *tls)
    with start_simulator(directory, *args) as process:
        yield process


@pytest.fixture
async def session(simulator):
    tls = simulator.line["tls"]
    connector = aiohttp.TCPConnector(
        resolver=ToSimulator(tls["port"]),
        ssl=ssl.create_default_context(cafile=tls["ca"]),
        use_dns_cache=False,
    )
    async with aiohttp.ClientSession(connector=connector) as found:
        yield found


@pytest.fixture
async def live(simulator, session):
    """Ccxt with no address changed at all."""
    place = simulator.line["venues"]["bybit"]
    keys = {"apiKey": place["key"], "secret": place["secret"]}
    made = ccxt.pro.bybit({**keys, "session": session, "enableRateLimit": False})
    made.options["fetchMarkets"] = {"types": ["linear"]}
    assert made.implode_hostname(made.urls["api"]["public"]) == "https://api.bybit.com"
    await made.load_markets()
    yield made
    await made.close()


@pytest.mark.parametrize(
    ("order", "error"),
    [
        (("market", "buy", 1000, None, {}), ccxt.InsufficientFunds),
        (("market", "sell", 1, None, {"reduceOnly": True}), ccxt.InvalidOrder),
        (("limit", "buy", 0.1, 1, {"positionIdx": 1}), ccxt.BadRequest),
    ],
)
async def test_errors_have_the_classes_of_the_live_address(live, order, error):
    with pytest.raises(error):
        await live.create_order(BTC, *order)


async def test_streams_work_by_the_live_address(live):
    assert (await live.watch_trades(BTC))[0]["symbol"] == BTC
    assert (await live.watch_order_book(BTC))["bids"]


async def test_the_risk_key_closes_what_the_trading_key_opened(simulator, live):
    await live.create_order(BTC, "market", "buy", 0.2)
    await live.create_order(BTC, "limit", "buy", 0.01, 50_500)
    stop = {"stopLossPrice": 50_000}
    await live.create_order(BTC, "market", "sell", 0.2, None, stop)
    place = simulator.line["venues"]["bybit"]
    risk = bybit_client(place["rest"], place["ws"])
    risk.apiKey, risk.secret = place["risk"]["key"], place["risk"]["secret"]
    await risk.load_markets()
    await risk.cancel_all_orders()
    await risk.cancel_all_orders(params={"trigger": True})
    [held] = await risk.fetch_positions()
    assert Decimal(str(held["contracts"])) == Decimal("0.2")
    await risk.create_order(BTC, "market", "sell", 0.2, None, {"reduceOnly": True})
    await risk.close()
    books = simulator.admin("/account?venue=bybit")
    assert books["positions"] == books["open_orders"] == books["algo_orders"] == []
    [*_, flat] = simulator.log("flat")
    fills = simulator.log("fill")
    closing = next(f for f in reversed(fills) if f["reduce_only"])
    assert flat["venue"] == closing["venue"] == "bybit"
    roles = {r["key_role"] for r in simulator.log("request") if r["venue"] == "bybit"}
    assert roles == {"none", "trade", "risk"}

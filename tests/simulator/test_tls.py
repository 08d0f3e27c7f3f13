"""The venues' own addresses, led to the simulator's TLS port: ccxt is not told."""

from __future__ import annotations

import socket
import ssl

import aiohttp
import aiohttp.abc
import ccxt
import ccxt.pro
import pytest

from processes import start_simulator

BTC = "BTC/USDT:USDT"


class ToSimulator(aiohttp.abc.AbstractResolver):
    """Every name leads to the simulator, so that no call can leave this machine."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def resolve(self, host, port=0, family=socket.AF_INET):
        del port
        return [
            {
                "hostname": host,
                "host": "127.0.0.1",
                "port": self._port,
                "family": family,
                "proto": 0,
                "flags": socket.AI_NUMERICHOST,
            }
        ]

    async def close(self) -> None:
        pass


@pytest.fixture(scope="module")
def simulator(tmp_path_factory):
    directory = tmp_path_factory.mktemp("tls")
    folder = str(directory / "certificates")
    args = ("--generate", "5", "--tls-port", "0", "--tls-folder", folder)
    with start_simulator(directory, *args, "--venues", "binance,deribit") as process:
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
async def client(simulator, session):
    keys = {"apiKey": simulator.venue["key"], "secret": simulator.venue["secret"]}
    options = {"watchTrades": {"name": "aggTrade"}}
    found = ccxt.pro.binanceusdm({**keys, "session": session, "options": options})
    found.has["fetchCurrencies"] = False
    assert found.urls["api"]["fapiPrivate"] == "https://fapi.binance.com/fapi/v1"
    yield found
    await found.close()


@pytest.mark.parametrize(
    ("order", "error"),
    [
        (("limit", "buy", 400, 59_000), ccxt.InsufficientFunds),
        (("market", "sell", 1, None, {"reduceOnly": True}), ccxt.InvalidOrder),
        (("limit", "buy", 0.1, 61_000, {"postOnly": True}), ccxt.OrderNotFillable),
    ],
)
async def test_errors_have_the_classes_of_the_live_address(client, order, error):
    await client.load_markets()
    with pytest.raises(error):
        await client.create_order(BTC, *order)


async def test_streams_work_by_the_live_address(client):
    trades = await client.watch_trades(BTC)
    assert trades[0]["symbol"] == BTC


async def test_another_venue_is_behind_the_same_port(session):
    async with session.get("https://www.deribit.com/api/v2/public/get_time") as answer:
        assert answer.status == 200
        assert (await answer.json())["jsonrpc"] == "2.0"
    async with session.ws_connect("wss://www.deribit.com/ws/api/v2") as connection:
        await connection.send_json({"jsonrpc": "2.0", "id": 1, "method": "public/test"})
        assert (await connection.receive_json(timeout=5))["id"] == 1


async def test_an_unknown_host_is_told_who_lives_here(session):
    address = "https://api.bybit.com/v5/market/time"
    async with session.get(address) as answer:
        assert answer.status == 421
        assert "fapi.binance.com" in await answer.text()


async def test_who_does_not_trust_the_authority_gets_nowhere(simulator):
    connector = aiohttp.TCPConnector(
        resolver=ToSimulator(simulator.line["tls"]["port"]), use_dns_cache=False
    )
    async with aiohttp.ClientSession(connector=connector) as strict:
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await strict.get("https://fapi.binance.com/fapi/v1/time")

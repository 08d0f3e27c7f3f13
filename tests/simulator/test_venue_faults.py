"""Faults at Bybit and Deribit: the same board, each venue's own words and frames."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from contextlib import asynccontextmanager, contextmanager
from itertools import pairwise

import aiohttp
import pytest

from processes import start_simulator, wait_for

BYBIT_TOPICS = ["publicTrade.BTCUSDT", "orderbook.50.BTCUSDT"]
DERIBIT_TOPICS = ["trades.BTC-PERPETUAL.100ms", "book.BTC-PERPETUAL.100ms"]
PATHS = {"bybit": "/v5/public/linear", "deribit": "/ws/api/v2"}
TIME = {"bybit": "/v5/market/time", "deribit": "/api/v2/public/get_time"}
SUBSCRIBE = {
    "bybit": {"op": "subscribe", "req_id": "1", "args": BYBIT_TOPICS},
    "deribit": {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "public/subscribe",
        "params": {"channels": DERIBIT_TOPICS},
    },
}
BOTH = pytest.mark.parametrize("venue", ["bybit", "deribit"])


@pytest.fixture(scope="module")
def simulator(tmp_path_factory):
    directory = tmp_path_factory.mktemp("venues")
    args = ("--generate", "5", "--no-rate-limits", "--speed", "5")
    venues = ("--venues", "binance,bybit,deribit")
    with start_simulator(directory, *args, *venues) as process:
        yield process


@contextmanager
def fault(simulator, venue: str, kind: str, **values):
    simulator.admin("/faults", {"kind": kind, "venue": venue, **values})
    try:
        yield
    finally:
        url = simulator.admin_url + "/faults"
        request = urllib.request.Request(url, method="DELETE")
        urllib.request.urlopen(request, timeout=10).close()


@asynccontextmanager
async def feed(simulator, venue: str):
    """A connection that has its first trades and books."""
    url = simulator.line["venues"][venue]["ws"] + PATHS[venue]
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(url, autoping=False) as connection,
    ):
        await connection.send_json(SUBSCRIBE[venue])
        for _ in range(4):
            await connection.receive_json(timeout=5)
        yield connection


async def get(simulator, venue: str) -> tuple[int, dict]:
    url = simulator.line["venues"][venue]["rest"] + TIME[venue]
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return answer.status, json.loads(await answer.read() or b"{}")


async def closed(connection) -> int | None:
    async with asyncio.timeout(5):
        while not connection.closed:
            await connection.receive()
    return connection.close_code


@pytest.mark.parametrize(
    ("venue", "kind", "status", "code"),
    [
        ("bybit", "429", 200, 10006),
        ("bybit", "503", 503, 10016),
        ("bybit", "maintenance", 200, 10016),
        ("deribit", "429", 429, 10028),
        ("deribit", "503", 503, 10040),
        ("deribit", "maintenance", 503, 11051),
    ],
)
async def test_each_venue_refuses_in_its_own_words(
    simulator, venue, kind, status, code
):
    with fault(simulator, venue, kind):
        found, said = await get(simulator, venue)
        assert found == status
        assert said.get("retCode", said.get("error", {}).get("code")) == code
        other = "deribit" if venue == "bybit" else "bybit"
        assert (await get(simulator, other))[0] == 200
    assert (await get(simulator, venue))[0] == 200


@BOTH
async def test_a_feed_freezes_and_thaws(simulator, venue):
    async with feed(simulator, venue) as connection:
        with fault(simulator, venue, "frozen-feed"):
            try:
                while True:
                    await connection.receive(timeout=0.2)
            except TimeoutError:
                pass
            await connection.ping(b"x")
            kind = (await connection.receive(timeout=2)).type
            assert kind is aiohttp.WSMsgType.PONG
            with pytest.raises(TimeoutError):
                await connection.receive(timeout=0.7)
        await connection.receive_json(timeout=5)


@BOTH
async def test_connections_are_closed_with_a_code(simulator, venue):
    async with feed(simulator, venue) as connection:
        simulator.admin("/faults", {"kind": "disconnect", "venue": venue, "code": 1012})
        assert await closed(connection) == 1012


@BOTH
async def test_a_message_nobody_asked_for(simulator, venue):
    async with feed(simulator, venue) as connection:
        for kind, word in (("error-frame", "error"), ("unknown-channel", "novelty")):
            simulator.admin("/faults", {"kind": kind, "venue": venue})
            async with asyncio.timeout(5):
                while word not in (await connection.receive()).data:
                    pass


def numbers(venue: str, messages: list[dict]) -> list[tuple[int, int]]:
    """What each book message says it follows, and its own number."""
    if venue == "bybit":
        books = [m["data"] for m in messages if m.get("topic") == BYBIT_TOPICS[1]]
        return [(b["u"] - 1, b["u"]) for b in books]
    found = [m["params"] for m in messages if m.get("method") == "subscription"]
    books = [p["data"] for p in found if p["channel"] == DERIBIT_TOPICS[1]]
    return [(b["prev_change_id"], b["change_id"]) for b in books]


def gaps(venue: str, messages: list[dict]) -> int:
    seen = numbers(venue, messages)
    return sum(late[0] != early[1] for early, late in pairwise(seen))


@BOTH
async def test_a_book_has_a_gap(simulator, venue):
    async with feed(simulator, venue) as connection:
        messages = []
        with fault(simulator, venue, "book-gap", delay=0.3):
            async with asyncio.timeout(10):
                while not gaps(venue, messages):
                    messages.append(await connection.receive_json())
                messages += [await connection.receive_json() for _ in range(20)]
        assert gaps(venue, messages) == 1


@BOTH
async def test_a_login_is_refused_or_slow(simulator, venue):
    login = {
        "bybit": {"op": "auth", "req_id": "a", "args": ["key", "1", "sig"]},
        "deribit": {"jsonrpc": "2.0", "id": 7, "method": "public/auth", "params": {}},
    }[venue]
    path = {"bybit": "/v5/private", "deribit": "/ws/api/v2"}[venue]
    url = simulator.line["venues"][venue]["ws"] + path
    async with aiohttp.ClientSession() as session:
        with fault(simulator, venue, "auth-refused"):
            async with session.ws_connect(url) as connection:
                await connection.send_json(login)
                said = await connection.receive_json(timeout=3)
        assert said.get("success") is False or said["error"]["code"] == 13004
        with fault(simulator, venue, "slow-auth", milliseconds=600):
            async with session.ws_connect(url) as connection:
                await connection.send_json(login)
                ping = {
                    "bybit": {"op": "ping", "req_id": "p"},
                    "deribit": {"jsonrpc": "2.0", "id": 8, "method": "public/test"},
                }[venue]
                await connection.send_json(ping)
                # What was asked later is answered earlier.
                first = await connection.receive_json(timeout=0.5)
                assert first.get("op") in {"pong", "ping"} or first["id"] == 8
                await connection.receive(timeout=3)


@BOTH
async def test_a_half_open_connection_says_nothing(simulator, venue):
    async with feed(simulator, venue) as connection:
        with fault(simulator, venue, "half-open"):
            try:
                while True:
                    await connection.receive(timeout=0.2)
            except TimeoutError:
                pass
            await connection.ping(b"x")
            await connection.send_json(SUBSCRIBE[venue])
            with pytest.raises(TimeoutError):
                await connection.receive(timeout=0.7)


async def test_deribit_limits_a_call_over_its_websocket(simulator):
    async with feed(simulator, "deribit") as connection:
        with fault(simulator, "deribit", "429", match="public/test"):
            ask = {"jsonrpc": "2.0", "id": 99, "method": "public/test"}
            await connection.send_json(ask)
            async with asyncio.timeout(5):
                while (said := await connection.receive_json()).get("id") != 99:
                    pass
        assert said["error"]["code"] == 10028


def test_one_venue_leaves_its_peg(simulator, tmp_path):
    file = tmp_path / "peg.toml"
    text = '[[path]]\nvenue = "bybit"\nsymbol = "BTC"\npoints = [[0, 0], [5, -6]]\n'
    file.write_text(text)
    venues = ("--venues", "binance,bybit,deribit", "--speed", "20")
    with start_simulator(tmp_path, "--scenario", str(file), *venues) as alone:

        def prices() -> dict:
            return alone.admin("/state")["prices"]

        def premium() -> float:
            now = prices()
            return float(now["bybit"]["BTCUSDT"]) / float(now["binance"]["BTCUSDT"])

        wait_for(lambda: abs(premium() - 0.94) < 0.002)
        now = prices()
        peer = float(now["deribit"]["BTC-PERPETUAL"]) / float(now["binance"]["BTCUSDT"])
        assert abs(peer - 1) < 0.002
        eth = float(now["bybit"]["ETHUSDT"]) / float(now["binance"]["ETHUSDT"])
        assert abs(eth - 1) < 0.002

"""Every kind of fault, as a client written by others really meets it."""

from __future__ import annotations

import asyncio
import json
import socket
import time
import urllib.request
from contextlib import asynccontextmanager, contextmanager
from decimal import Decimal
from itertools import pairwise

import aiohttp
import ccxt
import pytest

from processes import start_simulator, wait_for
from simulator.ccxt_clients import ccxt_client

BTC = "BTC/USDT:USDT"


@pytest.fixture(scope="module")
def simulator(tmp_path_factory):
    directory = tmp_path_factory.mktemp("faults")
    args = ("--generate", "5", "--no-rate-limits", "--fault-seed", "3")
    with start_simulator(directory, *args) as process:
        yield process


@pytest.fixture
async def client(simulator):
    found = ccxt_client(simulator)
    await found.load_markets()
    yield found
    await flatten(found, simulator)
    await found.close()


async def flatten(client, simulator) -> None:
    delete(simulator)
    await client.cancel_all_orders(BTC)
    for position in simulator.admin("/account?venue=binance")["positions"]:
        size = Decimal(position["size"])
        side = "sell" if size > 0 else "buy"
        closing = {"reduceOnly": True}
        await client.create_order(BTC, "market", side, float(abs(size)), None, closing)


def delete(simulator) -> dict:
    request = urllib.request.Request(simulator.admin_url + "/faults", method="DELETE")
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


@contextmanager
def fault(simulator, kind: str, **values):
    """A fault at Binance, ended with the block."""
    simulator.admin("/faults", {"kind": kind, "venue": "binance", **values})
    try:
        yield
    finally:
        delete(simulator)


@asynccontextmanager
async def stream(simulator, path: str, **options):
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(simulator.ws + path, **options) as connection,
    ):
        yield connection


@asynccontextmanager
async def private(simulator, client):
    key = (await client.fapiPrivatePostListenKey())["listenKey"]
    async with stream(simulator, f"/private/ws?listenKey={key}") as connection:
        yield connection


async def events(connection, seconds: float = 0.6) -> list[dict]:
    """What arrives until nothing has come for a while."""
    found = []
    while True:
        try:
            message = await connection.receive(timeout=seconds)
        except TimeoutError:
            return found
        if message.type is not aiohttp.WSMsgType.TEXT:
            return found
        found.append(json.loads(message.data))


def position(simulator) -> Decimal:
    rows = simulator.admin("/account?venue=binance")["positions"]
    return sum((Decimal(row["size"]) for row in rows), Decimal(0))


async def buy(client, amount=0.01):
    return await client.create_order(BTC, "market", "buy", amount)


# Requests.


async def test_latency_is_felt(simulator, client):
    with fault(simulator, "latency", milliseconds=2000, match="GET /fapi/v1/time"):
        begun = time.monotonic()
        slow = asyncio.create_task(client.fetch_time())
        await client.fetch_order_book(BTC, 5)  # another path: it passes
        assert not slow.done()
        await slow
        assert time.monotonic() - begun > 1.95


@pytest.mark.parametrize(
    ("mode", "error"),
    [("hang", ccxt.RequestTimeout), ("cut", ccxt.ExchangeNotAvailable)],
)
async def test_an_order_is_done_and_its_answer_never_comes(
    simulator, client, mode, error
):
    client.timeout = 700
    with fault(simulator, "lost-answer", match="POST /fapi/v1/order", mode=mode):
        with pytest.raises(error):
            await buy(client)
        assert position(simulator) == Decimal("0.010")
    client.timeout = 10_000


@pytest.mark.parametrize(
    ("kind", "error", "status"),
    [
        ("429", ccxt.DDoSProtection, 429),
        ("418", ccxt.DDoSProtection, 418),
        ("403", ccxt.NetworkError, 403),
        ("502", ccxt.ExchangeNotAvailable, 502),
        ("503", ccxt.OperationFailed, 503),
    ],
)
async def test_the_venue_refuses_to_serve(simulator, client, kind, error, status):
    with fault(simulator, kind, seconds=60):
        with pytest.raises(error):
            await buy(client)
        async with (
            aiohttp.ClientSession() as session,
            session.get(simulator.rest + "/fapi/v1/time") as answer,
        ):
            assert answer.status == status
            text = await answer.text()
            if kind in {"429", "418"}:
                assert 50 <= int(answer.headers["Retry-After"]) <= 60
            if kind == "502":
                assert answer.content_type == "text/html"
                assert text.startswith("<html>")
    assert position(simulator) == 0
    await client.fetch_time()
    noted = [r for r in simulator.log("request") if f"fault {kind}" in r["notes"]]
    assert {r["status"] for r in noted} == {status}


async def test_who_goes_on_after_429_is_banned(simulator, client):
    with fault(simulator, "429", ban_after=1, seconds=60):
        for text in ("429", "418"):
            with pytest.raises(ccxt.DDoSProtection, match=text):
                await client.fetch_time()


async def test_keep_alive_login_and_slow_login(simulator, client):
    await client.fapiPrivatePostListenKey()
    with (
        fault(simulator, "keep-alive-refused"),
        pytest.raises(ccxt.ExchangeError, match="-1125"),
    ):
        await client.fapiPrivatePutListenKey()
    with fault(simulator, "auth-refused"), pytest.raises(ccxt.AuthenticationError):
        await client.fapiPrivatePostListenKey()
    with fault(simulator, "slow-auth", milliseconds=400):
        begun = time.monotonic()
        await client.fapiPrivatePostListenKey()
        assert time.monotonic() - begun > 0.35


async def test_a_clock_that_is_wrong(simulator, client):
    with fault(simulator, "clock-skew", milliseconds=-30_000):
        assert await client.fetch_time() < client.milliseconds() - 25_000
        with pytest.raises(ccxt.InvalidNonce):
            await buy(client)
    assert abs(await client.fetch_time() - client.milliseconds()) < 5_000
    await buy(client)


async def test_a_market_close_is_refused_for_a_while(simulator, client):
    await buy(client)
    closing = (BTC, "market", "sell", 0.01, None, {"reduceOnly": True})
    with fault(simulator, "price-band", seconds=1.5):
        with pytest.raises(ccxt.ExchangeError):
            await client.create_order(*closing)
        assert position(simulator) == Decimal("0.010")
        await asyncio.sleep(1.7)
        await client.create_order(*closing)
    assert position(simulator) == 0


# Frames.


async def test_events_come_twice(simulator, client):
    async with private(simulator, client) as connection:
        with fault(simulator, "duplicated-events"):
            await buy(client)
            found = await events(connection)
    assert found
    assert found[::2] == found[1::2]


async def test_events_come_in_the_wrong_order(simulator, client):
    async with private(simulator, client) as connection:
        with fault(simulator, "reordered-events", match="ORDER_TRADE", count=1):
            await buy(client)
            found = await events(connection)
    said = [e["o"]["x"] for e in found if e["e"] == "ORDER_TRADE_UPDATE"]
    assert said == ["TRADE", "NEW"]


async def test_events_come_after_the_answer(simulator, client):
    async with private(simulator, client) as connection:
        with fault(simulator, "delayed-events", milliseconds=800):
            await buy(client)
            answered = time.monotonic()
            await connection.receive(timeout=3)
            assert time.monotonic() - answered > 0.6


async def test_a_book_has_a_gap(simulator):
    async with stream(simulator, "/ws/btcusdt@depth@100ms") as connection:
        found = [await connection.receive_json(timeout=5)]
        with fault(simulator, "book-gap"):
            while len(found) < 8:
                found.append(await connection.receive_json(timeout=5))
    gaps = [b["pu"] != a["u"] for a, b in pairwise(found)]
    assert sum(gaps) == 1


async def test_a_feed_freezes_while_its_socket_lives(simulator):
    async with stream(simulator, "/ws/btcusdt@aggTrade", autoping=False) as connection:
        await connection.receive_json(timeout=5)
        with fault(simulator, "frozen-feed"):
            await asyncio.sleep(0.2)
            await drained(connection)
            await connection.ping(b"x")
            message = await connection.receive(timeout=3)
            assert message.type is aiohttp.WSMsgType.PONG
            with pytest.raises(TimeoutError):
                await connection.receive(timeout=1)
        await connection.receive_json(timeout=5)


async def drained(connection) -> None:
    """Read what was on its way before a fault began."""
    try:
        while True:
            await connection.receive(timeout=0.1)
    except TimeoutError:
        return


async def test_a_half_open_socket_says_nothing_at_all(simulator):
    with fault(simulator, "half-open"):
        async with stream(
            simulator, "/ws/btcusdt@aggTrade", autoping=False, autoclose=False
        ) as connection:
            await connection.ping(b"x")
            await connection.send_json({"method": "LIST_SUBSCRIPTIONS", "id": 1})
            with pytest.raises(TimeoutError):
                await connection.receive(timeout=1)


async def test_pings_stay_without_a_pong(simulator):
    async with stream(simulator, "/ws", autoping=False) as connection:
        with fault(simulator, "no-pong"):
            await connection.ping(b"x")
            await connection.send_json({"method": "LIST_SUBSCRIPTIONS", "id": 1})
            assert await connection.receive_json(timeout=3) == {"result": [], "id": 1}
            with pytest.raises(TimeoutError):
                await connection.receive(timeout=0.5)


# Connections.


@pytest.mark.parametrize("code", [1000, 1001, 1006, 1008, 1011, 1012, 1013, 4000])
async def test_connections_end_with_each_code(simulator, code):
    async with stream(simulator, "/ws/btcusdt@aggTrade") as connection:
        await connection.receive_json(timeout=5)
        simulator.admin(
            "/faults", {"kind": "disconnect", "venue": "binance", "code": code}
        )
        async with asyncio.timeout(5):
            while not connection.closed:
                await connection.receive()
        assert connection.close_code == code


async def test_ccxt_is_told_of_a_cut_and_comes_back(simulator, client):
    await client.watch_trades(BTC)
    simulator.admin("/faults", {"kind": "disconnect", "code": 1006})
    with pytest.raises(ccxt.NetworkError):
        await endless(client.watch_trades)
    async with asyncio.timeout(10):
        assert await client.watch_trades(BTC)


async def endless(watch) -> None:
    async with asyncio.timeout(10):
        while True:
            await watch(BTC)


def test_a_connection_is_reset(simulator):
    address, port = simulator.rest.removeprefix("http://").split(":")
    with socket.create_connection((address, int(port)), timeout=5) as raw:
        raw.sendall(
            b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        assert b"101" in raw.recv(4096)
        simulator.admin("/faults", {"kind": "reset", "venue": "binance"})
        with pytest.raises(ConnectionResetError):
            raw.recv(4096)


async def test_a_handshake_is_refused_with_retry_after(simulator):
    with (
        fault(simulator, "handshake-429", retry_after=7),
        pytest.raises(aiohttp.WSServerHandshakeError) as refused,
    ):
        async with stream(simulator, "/ws"):
            pass
    assert refused.value.status == 429
    assert refused.value.headers["Retry-After"] == "7"


@pytest.mark.parametrize(
    ("kind", "word"), [("error-frame", "error"), ("unknown-channel", "e")]
)
async def test_a_message_nobody_asked_for(simulator, kind, word):
    async with stream(simulator, "/ws") as connection:
        simulator.admin("/faults", {"kind": kind, "venue": "binance"})
        assert word in await connection.receive_json(timeout=3)


# The account.


async def test_listen_keys_expire_at_once(simulator, client):
    async with private(simulator, client) as connection:
        simulator.admin("/faults", {"kind": "session-expired"})
        found = await connection.receive_json(timeout=3)
        assert found["e"] == "listenKeyExpired"
        await buy(client)
        assert await events(connection) == []


async def test_money_comes_and_goes(simulator, client):
    before = Decimal(simulator.admin("/account?venue=binance")["wallet"])
    async with private(simulator, client) as connection:
        deposit = {"kind": "deposit", "venue": "binance", "amount": "1500.5"}
        simulator.admin("/faults", deposit)
        withdrawal = {"kind": "withdrawal", "venue": "binance", "amount": "0.25"}
        simulator.admin("/faults", withdrawal)
        found = await events(connection)
    assert [e["a"]["m"] for e in found] == ["DEPOSIT", "WITHDRAW"]
    after = Decimal(simulator.admin("/account?venue=binance")["wallet"])
    assert after - before == Decimal("1500.25")
    total = (await client.fetch_balance())["USDT"]["total"]
    assert Decimal(str(total)) == after


async def test_somebody_else_trades_on_the_account(simulator, client):
    async with private(simulator, client) as connection:
        value = {"kind": "external-fill", "venue": "binance", "symbol": "BTCUSDT"}
        simulator.admin("/faults", {**value, "side": "sell", "amount": "0.02"})
        found = await events(connection)
    orders = [e["o"] for e in found if e["e"] == "ORDER_TRADE_UPDATE"]
    assert orders[-1]["X"] == "FILLED"
    assert orders[-1]["c"].startswith("web_")
    (held,) = await client.fetch_positions()
    assert (held["side"], held["contracts"]) == ("short", 0.02)


async def test_a_position_is_auto_deleveraged(simulator, client):
    await buy(client, 0.03)
    async with private(simulator, client) as connection:
        value = {"kind": "adl", "venue": "binance", "amount": "0.01"}
        simulator.admin("/faults", value)
        found = await events(connection)
    assert position(simulator) == Decimal("0.020")
    orders = [e["o"] for e in found if e["e"] == "ORDER_TRADE_UPDATE"]
    assert any(o["c"].startswith("adl_autoclose") for o in orders)


async def test_the_position_mode_changes_under_our_feet(simulator, client):
    mode = {"kind": "position-mode", "venue": "binance"}
    simulator.admin("/faults", {**mode, "mode": "hedge"})
    try:
        assert (await client.fetch_position_mode())["hedged"]
        with pytest.raises(ccxt.ExchangeError, match="-4061"):
            await buy(client)
    finally:
        simulator.admin("/faults", {**mode, "mode": "one-way"})
    assert not (await client.fetch_position_mode())["hedged"]
    await buy(client)


# The venue.


async def test_a_venue_under_maintenance(simulator, client):
    async with stream(simulator, "/ws/btcusdt@aggTrade") as connection:
        with fault(simulator, "maintenance"):
            async with asyncio.timeout(5):
                while not connection.closed:
                    await connection.receive()
            assert connection.close_code == 1001
            with pytest.raises(ccxt.ExchangeNotAvailable):
                await client.fetch_time()
            with pytest.raises(aiohttp.WSServerHandshakeError):
                async with stream(simulator, "/ws"):
                    pass
    await client.fetch_time()


async def test_everything_is_down_and_comes_back(simulator, client):
    simulator.admin(
        "/faults", {"kind": "outage", "venue": "*", "mode": "refuse", "seconds": 1}
    )
    with pytest.raises(ccxt.NetworkError):
        await client.fetch_time()

    def outages() -> list:
        return [o for o in simulator.admin("/state")["outages"].values() if o]

    wait_for(lambda: not outages())
    await client.fetch_time()


# The operator.


def test_faults_are_listed_logged_and_ended(simulator):
    made = simulator.admin("/faults", {"kind": "503", "delay": 100, "probability": 0.5})
    assert made["active"] is False
    listed = simulator.admin("/faults")["faults"]
    assert [f["id"] for f in listed] == [made["id"]]
    with fault(simulator, "latency", milliseconds=1):
        assert len(simulator.admin("/faults")["faults"]) == 2
    assert simulator.admin("/faults") == {"faults": []}
    said = [(r["fault"], r["event"]) for r in simulator.log("fault")]
    assert ("latency", "begins") in said
    assert said[-1] == ("latency", "ends")


@pytest.mark.parametrize(
    "value",
    [{"kind": "fire"}, {"kind": "503", "venue": "kraken"}, {"kind": "deposit"}, {}],
)
def test_what_is_no_fault_is_400(simulator, value):
    with pytest.raises(urllib.error.HTTPError) as error:
        simulator.admin("/faults", value)
    assert error.value.code == 400
    assert json.load(error.value)["error"]

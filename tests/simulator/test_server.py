"""The process: its line, its admin API, outages, slow and broken clients."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import subprocess
import sys
import time
import urllib.error
from decimal import Decimal

import aiohttp
import ccxt
import pytest

from processes import start_simulator, wait_for
from simulator.ccxt_clients import ccxt_client

BTC = "BTC/USDT:USDT"
TAPE = "/stream?streams=" + "/".join(
    f"{s}usdt@aggTrade" for s in ("btc", "eth", "sol", "xrp", "doge")
)


@pytest.fixture(scope="module")
def simulator(tmp_path_factory):
    directory = tmp_path_factory.mktemp("server")
    args = ("--generate", "3", "--no-rate-limits", "--log", str(directory / "log"))
    with start_simulator(directory, *args) as process:
        process.log_file = directory / "log"
        yield process


def get(simulator, path="/fapi/v1/time", seconds=5.0) -> int:
    connection = http.client.HTTPConnection(
        simulator.rest.removeprefix("http://"), timeout=seconds
    )
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
        return answer.status
    finally:
        connection.close()


def refused_by_admin(simulator, path, value) -> str:
    with pytest.raises(urllib.error.HTTPError) as error:
        simulator.admin(path, value)
    assert error.value.code == 400
    return json.load(error.value)["error"]


def test_the_line_names_everything(simulator):
    line = simulator.line
    assert set(line) == {"venues", "admin"}
    venue = line["venues"]["binance"]
    assert set(venue) == {"rest", "ws", "key", "secret", "risk"}
    assert set(venue["risk"]) == {"key", "secret"}
    assert venue["risk"]["key"] != venue["key"]


def test_a_taken_port_is_one_sentence(simulator):
    port = simulator.rest.rpartition(":")[2]
    command = [sys.executable, "-m", "cryptoquantix", "simulate"]
    done = subprocess.run(
        [*command, "--binance-port", port],
        capture_output=True,
        timeout=30,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    sentence = f"cqx: port {port} on 127.0.0.1 is already in use\n"
    assert done.stderr == sentence


@pytest.mark.parametrize(
    "arguments",
    [
        ("--balance", "-1"),
        ("--speed", "0"),
        ("--instruments", ","),
        ("--start", "yesterday"),
        ("--keys", "/nonexistent"),
        ("--tape", "BTCUSDT"),
    ],
)
def test_wrong_options_are_one_sentence(arguments):
    command = [sys.executable, "-m", "cryptoquantix", "simulate", *arguments]
    done = subprocess.run(
        command, capture_output=True, timeout=30, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.startswith("cqx: ")
    assert done.stderr.count("\n") == 1


def test_speed_pause_and_state(simulator):
    def tape():
        return simulator.admin("/state")["tape"]

    simulator.admin("/tape", {"speed": 5000})
    started = tape()["time_ns"]
    wait_for(lambda: tape()["time_ns"] > started + 60 * 10**9)
    paused = simulator.admin("/tape", {"speed": 1, "paused": True})["tape"]
    assert paused["paused"] is True
    assert paused["speed"] == 1.0
    time.sleep(0.1)
    assert tape()["time_ns"] == paused["time_ns"]
    simulator.admin("/tape", {"paused": False})


def test_rest_answers_while_a_tape_runs_as_fast_as_it_can(simulator):
    simulator.admin("/tape", {"speed": 1_000_000})
    for _ in range(20):
        assert get(simulator) == 200
    simulator.admin("/tape", {"speed": 1})


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("/tape", {"speed": -1}),
        ("/tape", {"speed": "1e999999999"}),
        ("/tape", {"paused": 1}),
        ("/price", {"venue": "binance", "symbol": "BTCUSDT"}),
        ("/price", {"venue": "binance", "symbol": "NOPE", "factor": "0.9"}),
        ("/price", {"venue": "binance", "symbol": "BTCUSDT", "factor": "0"}),
        ("/price", {"venue": "kraken", "symbol": "BTCUSDT", "factor": "1"}),
        ("/outage", {"venue": "binance", "seconds": 1, "kind": "fire"}),
        ("/outage", {"venue": "binance", "seconds": -1, "kind": "503"}),
        ("/watch", {"venue": "binance", "threshold": "2"}),
        ("/account", {"venue": "binance"}),
        ("/account", {"venue": "binance", "deposit": "x"}),
        ("/tape", {"sped": 1}),
    ],
)
def test_the_operator_is_told_what_is_wrong(simulator, path, value):
    assert refused_by_admin(simulator, path, value)


def test_a_price_can_be_set_and_moved_slowly(simulator):
    simulator.admin("/tape", {"paused": True})

    def price():
        return Decimal(simulator.admin("/state")["prices"]["binance"]["ETHUSDT"])

    common = {"venue": "binance", "symbol": "ETHUSDT"}
    simulator.admin("/price", {**common, "price": "3100"})
    assert price() == 3100
    simulator.admin("/price", {**common, "factor": "0.5", "seconds": 0.5})
    assert price() > 1550
    wait_for(lambda: price() == 1550)
    simulator.admin("/price", {**common, "price": "3000"})
    simulator.admin("/tape", {"paused": False})


async def test_the_watch_sees_the_very_crossing(simulator):
    client = ccxt_client(simulator)
    await client.load_markets()
    simulator.admin("/tape", {"paused": True})
    await client.create_order(BTC, "market", "buy", 1)
    begun = simulator.admin("/watch", {"venue": "binance", "threshold": "0.03"})
    assert begun["crossed_time_ns"] is None
    equity = Decimal(begun["equity"])
    crash = {"venue": "binance", "symbol": "BTCUSDT", "factor": "0.97"}
    simulator.admin("/price", crash)
    watch = simulator.admin("/watch?venue=binance")
    assert watch["crossed_time_ns"] is None
    simulator.admin("/price", crash)
    watch = simulator.admin("/watch?venue=binance")
    assert watch["crossed_time_ns"] == simulator.log("shock")[-1]["time_ns"]
    assert Decimal(watch["peak"]) == equity
    account = simulator.admin("/account?venue=binance")
    assert Decimal(watch["equity"]) == Decimal(account["equity"])
    lost = 1 - Decimal(account["equity"]) / equity
    assert abs(Decimal(watch["drawdown"]) - lost) < Decimal("1e-9")
    # Money moved out is no loss.
    simulator.admin("/account", {"venue": "binance", "withdraw": "1000"})
    moved = simulator.admin("/watch?venue=binance")
    assert abs(Decimal(moved["drawdown"]) - lost) < Decimal("1e-9")
    await client.create_order(BTC, "market", "sell", 1, None, {"reduceOnly": True})
    await client.close()
    simulator.admin("/tape", {"paused": False})
    assert simulator.log("flat")


def outage(simulator, kind, seconds):
    simulator.admin("/outage", {"venue": "binance", "kind": kind, "seconds": seconds})


async def test_refused_connections_and_cut_ones(simulator):
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(simulator.ws + TAPE) as socket_,
    ):
        await socket_.receive()
        outage(simulator, "refuse", 30)
        with pytest.raises((ConnectionError, http.client.HTTPException)):
            get(simulator)
        async with asyncio.timeout(5):
            while not socket_.closed:
                await socket_.receive()
    outage(simulator, "refuse", 0)
    assert get(simulator) == 200


async def test_a_hanging_venue_never_answers_and_does_nothing_late(simulator):
    client = ccxt_client(simulator)
    await client.load_markets()
    client.timeout = 500
    outage(simulator, "hang", 30)
    asked = len(simulator.log("request"))
    with pytest.raises(ccxt.RequestTimeout):
        await client.create_order(BTC, "market", "buy", 0.01)
    await client.close()
    outage(simulator, "hang", 0)
    assert get(simulator) == 200
    assert simulator.admin("/account?venue=binance")["positions"] == []
    assert len(simulator.log("request")) == asked + 1


def test_an_unavailable_venue_says_so_and_ends_by_itself(simulator):
    outage(simulator, "503", 0.5)
    assert get(simulator) == 503
    wait_for(lambda: get(simulator) == 200)


def test_a_reader_who_does_not_read_is_cut_and_the_others_are_served(simulator):
    address, port = simulator.rest.removeprefix("http://").split(":")
    deaf = socket.create_connection((address, int(port)))
    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    handshake = (
        f"GET {TAPE} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    deaf.sendall(handshake.encode())
    assert b"101" in deaf.recv(64)
    simulator.admin("/tape", {"speed": 100_000})

    def is_cut() -> bool:
        # The tape is held for a slow reader, and goes on once that one is cut.
        before = simulator.admin("/state")["tape"]["time_ns"]
        time.sleep(0.2)
        return simulator.admin("/state")["tape"]["time_ns"] - before > 30 * 10**9

    time.sleep(6)
    wait_for(is_cut, 30)
    deaf.close()
    simulator.admin("/tape", {"speed": 1})
    assert get(simulator) == 200


def raw(simulator, data: bytes) -> bytes:
    address, port = simulator.rest.removeprefix("http://").split(":")
    with socket.create_connection((address, int(port)), timeout=5) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while part := connection.recv(65536):
            answer += part
    return answer


def test_malformed_bytes_and_large_bodies_are_refused(simulator):
    assert raw(simulator, b"\x00\xff garbage\r\n\r\n").startswith(b"HTTP/1.")
    large = (
        b"POST /fapi/v1/order HTTP/1.1\r\nHost: x\r\nContent-Length: 2000000\r\n\r\n"
    )
    assert b" 413 " in raw(simulator, large + b"x" * 2_000_000)[:40]
    assert get(simulator) == 200


async def test_broken_frames_end_that_connection_alone(simulator):
    async with aiohttp.ClientSession() as session:
        async with session.ws_connect(simulator.ws + "/ws") as client:
            await client.send_bytes(b"\xff\xfe\x00")
            answer = json.loads((await client.receive()).data)
            assert answer["error"]["code"] == 2
            await client.send_str("x" * 200_000)
            async with asyncio.timeout(5):
                kind = (await client.receive()).type
            assert kind in {aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED}
        unknown = simulator.ws + "/ws/nope@aggTrade"
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await session.ws_connect(unknown)
    assert get(simulator) == 200


def test_hundreds_of_connections_at_once_are_served(simulator):
    address, port = simulator.rest.removeprefix("http://").split(":")
    held = [socket.create_connection((address, int(port))) for _ in range(600)]
    assert get(simulator) == 200
    for connection in held:
        connection.close()


def test_the_log_file_has_every_record(simulator):
    records = simulator.log()
    wait_for(lambda: len(simulator.log_file.read_text().splitlines()) >= len(records))
    lines = simulator.log_file.read_text().splitlines()[: len(records)]
    assert [json.loads(line) for line in lines] == records

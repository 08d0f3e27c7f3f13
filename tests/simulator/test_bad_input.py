"""Bad input from real sockets: refused in the venue's words, and the rest is served."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import http.client
import json
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path

import aiohttp
import pytest

from processes import end, start_simulator, wait_for

MEGABYTE = 1_000_000
IDLE_CONNECTIONS = 10_000
LATENCY_SECONDS = 0.5  # far above what it takes, far below what a stall would take


@pytest.fixture(scope="module")
def simulator(tmp_path_factory):
    directory = tmp_path_factory.mktemp("bad")
    with start_simulator(directory, "--generate", "3") as process:
        yield process


def address(simulator) -> tuple[str, int]:
    host, _, port = simulator.rest.removeprefix("http://").partition(":")
    return host, int(port)


def ask(simulator, method, target, body=b"", headers=None) -> tuple[int, dict, dict]:
    """Status, JSON body and headers of one request on a connection of its own."""
    connection = http.client.HTTPConnection(*address(simulator), timeout=10)
    try:
        connection.request(method, target, body or None, headers or {})
        answer = connection.getresponse()
        return answer.status, json.load(answer), dict(answer.getheaders())
    finally:
        connection.close()


def signed(simulator, text: str, *, secret=None, age_ms=0) -> str:
    stamp = time.time_ns() // 1_000_000 - age_ms
    text = f"timestamp={stamp}&{text}" if text else f"timestamp={stamp}"
    key = (secret or simulator.venue["secret"]).encode()
    return (
        f"{text}&signature={hmac.new(key, text.encode(), hashlib.sha256).hexdigest()}"
    )


def with_key(simulator, key=None) -> dict:
    return {
        "X-MBX-APIKEY": key or simulator.venue["key"],
        "Content-Type": "application/x-www-form-urlencoded",
    }


def is_refusal(status, answer, code=None) -> bool:
    """In the venue's format: HTTP 4xx with a negative code and one sentence."""
    assert set(answer) == {"code", "msg"}, answer
    assert answer["code"] < 0
    assert answer["msg"]
    return 400 <= status < 500 and code in {None, answer["code"]}


def latencies(simulator, count=20) -> list[float]:
    """How long requests take, each on a connection of its own."""
    taken = []
    for _ in range(count):
        started = time.perf_counter()
        assert ask(simulator, "GET", "/fapi/v1/time")[0] == 200
        taken.append(time.perf_counter() - started)
    return taken


@pytest.mark.parametrize(
    "orders",
    ["", "[", "{}", "[1]", '[{"symbol":1}]', "null", '"x"', "[" * 10_000, "%00%ff"],
)
def test_malformed_json_is_refused_and_places_nothing(simulator, orders):
    body = signed(simulator, f"batchOrders={orders}").encode()
    status, answer, _ = ask(
        simulator, "POST", "/fapi/v1/batchOrders", body, with_key(simulator)
    )
    assert is_refusal(status, answer)
    assert simulator.admin("/account?venue=binance")["open_orders"] == []


@pytest.mark.parametrize("body", [b"\xff\xfe\x00", b"\x00" * 1000, bytes(range(256))])
def test_a_binary_body_is_refused(simulator, body):
    status, answer, _ = ask(
        simulator, "POST", "/fapi/v1/order", body, with_key(simulator)
    )
    assert is_refusal(status, answer)


def test_a_body_of_ten_megabytes_is_refused_without_being_kept(simulator):
    def resident() -> int:
        statm = Path(f"/proc/{simulator.process.pid}/statm").read_text()
        return int(statm.split()[1]) * 4096

    before = resident()
    for _ in range(5):
        connection = http.client.HTTPConnection(*address(simulator), timeout=10)
        connection.putrequest("POST", "/fapi/v1/order")
        connection.putheader("Content-Length", str(10 * MEGABYTE))
        connection.endheaders()
        with contextlib.suppress(ConnectionError):
            # The venue may answer and hang up before it has read it all.
            for _ in range(10):
                connection.send(b"x" * MEGABYTE)
        with contextlib.suppress(ConnectionError):
            answer = connection.getresponse()
            assert answer.status == 413
            assert is_refusal(413, json.load(answer))
        connection.close()
    assert resident() - before < 8 * MEGABYTE
    assert max(latencies(simulator)) < LATENCY_SECONDS


def test_signatures_that_are_not_of_these_bytes_are_refused(simulator):
    path, key = "/fapi/v3/account", with_key(simulator)
    good = signed(simulator, "recvWindow=5000")
    forged = [
        (good.replace("recvWindow=5000", "recvWindow=5001"), key, -1022),
        (signed(simulator, "", secret="wrong"), key, -1022),
        (good[:-1] + ("0" if good[-1] != "0" else "1"), key, -1022),
        (good.rpartition("&")[0], key, -1102),
        (good, with_key(simulator, "f" * 64), -2015),
        (good, {}, -2014),
    ]
    for query, headers, code in forged:
        status, answer, _ = ask(simulator, "GET", f"{path}?{query}", b"", headers)
        assert is_refusal(status, answer, code), (query, answer)
    assert ask(simulator, "GET", f"{path}?{good}", b"", key)[0] == 200


def test_replayed_timestamps_are_refused_once_their_window_has_passed(simulator):
    path, key = "/fapi/v3/account", with_key(simulator)
    for age_ms in (5_100, 60_000, -1_500):
        query = signed(simulator, "recvWindow=5000", age_ms=age_ms)
        status, answer, _ = ask(simulator, "GET", f"{path}?{query}", b"", key)
        assert is_refusal(status, answer, -1021)


def test_an_order_that_is_replayed_is_not_placed_twice(simulator):
    """The venue has no nonce: within the window its client id alone protects it."""
    fields = "symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=GTC&quantity=0.01"
    body = signed(simulator, f"{fields}&price=58000&newClientOrderId=once").encode()
    place = ("POST", "/fapi/v1/order", body, with_key(simulator))
    assert ask(simulator, *place)[0] == 200
    status, answer, _ = ask(simulator, *place)
    assert is_refusal(status, answer, -4116)
    assert len(simulator.admin("/account?venue=binance")["open_orders"]) == 1
    query = signed(simulator, "symbol=BTCUSDT&origClientOrderId=once")
    target = f"/fapi/v1/order?{query}"
    assert ask(simulator, "DELETE", target, b"", with_key(simulator))[0] == 200


def test_unknown_paths_and_parameters_are_refused(simulator):
    assert is_refusal(*ask(simulator, "GET", "/fapi/v1/nothing")[:2], -5000)
    assert is_refusal(*ask(simulator, "GET", "/fapi/v1/time?a=1")[:2], -1104)
    twice = "/fapi/v1/depth?symbol=BTCUSDT&symbol=ETHUSDT"
    assert is_refusal(*ask(simulator, "GET", twice)[:2], -1101)
    many = "/fapi/v1/depth?" + "&".join(f"p{i}=1" for i in range(300))
    assert is_refusal(*ask(simulator, "GET", many)[:2])


async def test_frames_that_are_no_message_are_answered_and_end_nothing_else(simulator):
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(simulator.ws + "/ws") as good,
        session.ws_connect(simulator.ws + "/ws") as bad,
    ):
        for wrong in (b"\xff\xfe\x00", b"", b"[" * 5_000):
            await bad.send_bytes(wrong)
            assert json.loads((await bad.receive(5)).data)["error"]["code"] == 2
        for text in ("{", "[]", '{"method":"SUBSCRIBE","params":"x","id":1}', "1"):
            await bad.send_str(text)
            assert json.loads((await bad.receive(5)).data)["error"]["code"] == 2
        await bad.send_str("x" * 200_000)
        assert (await bad.receive(5)).type in {
            aiohttp.WSMsgType.CLOSE,
            aiohttp.WSMsgType.CLOSED,
        }
        await good.send_json(
            {"method": "SUBSCRIBE", "params": ["btcusdt@bookTicker"], "id": 1}
        )
        assert json.loads((await good.receive(5)).data) == {"result": None, "id": 1}


async def test_more_than_ten_messages_in_a_second_cut_that_connection(simulator):
    async with aiohttp.ClientSession() as session:
        async with session.ws_connect(simulator.ws + "/ws") as patient:
            for number in range(10):
                await patient.send_json({"method": "LIST_SUBSCRIPTIONS", "id": number})
                assert json.loads((await patient.receive(5)).data)["id"] == number
            assert not patient.closed
        async with session.ws_connect(simulator.ws + "/ws") as hasty:
            for number in range(20):
                with contextlib.suppress(ConnectionError):
                    await hasty.send_json(
                        {"method": "LIST_SUBSCRIPTIONS", "id": number}
                    )
            answers = 0
            while (await hasty.receive(5)).type is aiohttp.WSMsgType.TEXT:
                answers += 1
            assert answers <= 10
            assert hasty.close_code == 1008
        assert (
            await (await session.get(simulator.rest + "/fapi/v1/ping")).json()
        ) == {}


async def test_no_connection_has_more_than_1024_streams(simulator):
    many = [f"nope{i}usdt@aggTrade" for i in range(1_025)]
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(simulator.ws + "/ws") as client,
    ):
        await client.send_json({"method": "SUBSCRIBE", "params": many, "id": 1})
        answer = json.loads((await client.receive(5)).data)
        while "error" not in answer and "id" not in answer:
            answer = json.loads((await client.receive(5)).data)
        assert answer["error"]["code"] == 2


def test_going_on_after_429_is_a_ban_with_the_time_it_lasts(tmp_path):
    with start_simulator(tmp_path, "--generate", "3") as limited:
        connection = http.client.HTTPConnection(*address(limited), timeout=10)

        def get() -> tuple[int, dict, dict]:
            connection.request("GET", "/fapi/v1/aggTrades?symbol=BTCUSDT&limit=1")
            answer = connection.getresponse()
            return answer.status, json.load(answer), dict(answer.getheaders())

        seen = []
        for _ in range(2_400 // 20 * 2 + 45):
            status, answer, headers = get()
            if status not in seen:
                seen.append(status)
            if status == 429:
                assert (answer["code"], int(headers["Retry-After"]) <= 60) == (
                    -1003,
                    True,
                )
            if status == 418:
                break
        assert seen == [200, 429, 418]
        assert answer["code"] == -1003
        assert 115 <= int(headers["Retry-After"]) <= 120
        assert get()[0] == 418
        connection.close()


async def test_540_orders_at_once_are_all_answered(tmp_path):
    args = ("--generate", "3", "--paused", "--no-rate-limits", "--balance", "10000000")
    with start_simulator(tmp_path, *args) as open_:
        fields = "symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=IOC&quantity=0.01"
        bodies = [
            signed(open_, f"{fields}&price=58000&newClientOrderId=burst-{i}")
            for i in range(540)
        ]
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector) as session:

            async def place(body: str) -> int:
                url = open_.rest + "/fapi/v1/order"
                headers = with_key(open_)
                async with session.post(url, data=body, headers=headers) as answer:
                    return answer.status

            started = time.perf_counter()
            async with asyncio.timeout(30):
                statuses = await asyncio.gather(*map(place, bodies))
            print(f"540 orders at once took {time.perf_counter() - started:.2f} s")
        assert statuses == [200] * 540
        expired = [r for r in open_.log("order") if r["event"] == "expired"]
        assert len(expired) == 540


def test_headers_that_dribble_in_hold_up_nobody(simulator):
    """Slow-loris: two hundred connections that each send a byte now and then."""
    held = [socket.create_connection(address(simulator)) for _ in range(200)]
    head = b"GET /fapi/v1/time HTTP/1.1\r\nHost: x\r\nX-A: "
    taken: list[float] = []
    for part in (head[:10], head[10:30], head[30:], b"a", b"b", b"c"):
        for connection in held:
            with contextlib.suppress(ConnectionError):
                connection.sendall(part)
        taken += latencies(simulator, 5)
    assert statistics.median(taken) < LATENCY_SECONDS / 5
    assert max(taken) < LATENCY_SECONDS
    for connection in held:
        connection.close()
    assert ask(simulator, "GET", "/fapi/v1/time")[0] == 200


IDLE = """
import resource, socket, sys
host, port, wanted = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
held = []
try:
    for _ in range(wanted):
        held.append(socket.create_connection((host, port), timeout=10))
except OSError as error:
    print(error, file=sys.stderr)
print(len(held), flush=True)
sys.stdin.read()
"""


@pytest.mark.slow
def test_ten_thousand_idle_connections_hold_up_nobody(simulator):
    host, port = address(simulator)
    command = [sys.executable, "-c", IDLE, host, str(port), str(IDLE_CONNECTIONS)]
    idle = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert idle.stdout is not None
        count = int(idle.stdout.readline())
        print(f"{count} idle connections from another process")
        assert count >= 1_000, "too few files may be open here to test anything"
        taken = latencies(simulator, 50)
        print(f"meanwhile a request takes {statistics.median(taken) * 1e3:.1f} ms")
        assert statistics.median(taken) < LATENCY_SECONDS / 5
        body = signed(
            simulator, "symbol=BTCUSDT&side=BUY&type=MARKET&quantity=0.01"
        ).encode()
        order = ("POST", "/fapi/v1/order", body, with_key(simulator))
        assert ask(simulator, *order)[0] == 200
    finally:
        if idle.stdin is not None:
            idle.stdin.close()
        end(idle)
        if idle.stdout is not None:
            idle.stdout.close()
    wait_for(lambda: max(latencies(simulator, 5)) < LATENCY_SECONDS)

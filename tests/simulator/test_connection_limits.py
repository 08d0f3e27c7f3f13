"""What venues allow of connections: how many, how long, how silent, how slow."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time

import aiohttp
import numpy as np
import pytest

from cryptoquantix.core.clock import SystemClock
from cryptoquantix.simulator.binance_venue import CONNECTION_LIFE_NS
from cryptoquantix.simulator.bybit_venue import idle_ns
from cryptoquantix.simulator.delay import NO_DELAY, Delay, Outbox
from cryptoquantix.simulator.listener import Listener
from cryptoquantix.simulator.server import VenueServer
from cryptoquantix.simulator.wire.deribit_limits import IDLE_NS
from cryptoquantix.simulator.wire.messages import Request, Response, Subscriber
from processes import start_simulator
from simulator.bybit_bench import make_world
from simulator.deribit_bench import DeribitBench
from simulator.test_binance_wire import make_venue

SECOND = 1_000_000_000
MINUTE = 60 * SECOND


def handshake(path: str, query: str = "", address: str = "10.0.0.1") -> Request:
    return Request("GET", path, query, b"", address=address)


class Line:
    """A transport that keeps what was written: the seam to the network."""

    def __init__(self) -> None:
        self.written: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def is_closing(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0


class Open:
    """A gate that lets everything pass."""

    def pass_frames(self, frames, now_ns):
        del now_ns
        return list(frames)


def listener_of(subscriber, outbox=None) -> tuple[Listener, Line]:
    line = Line()
    made = Listener(subscriber, line, Open(), path="/", now_ns=0, outbox=outbox)
    return made, line


def test_binance_refuses_the_301st_connection_of_an_address_within_five_minutes():
    venue = make_venue()
    for number in range(300):
        found = venue.open_subscriber(handshake("/ws"), number)
        assert isinstance(found, Subscriber)
    refused = venue.open_subscriber(handshake("/ws"), 300)
    assert isinstance(refused, Response)
    assert (refused.status, json.loads(refused.body)["code"]) == (429, -1003)
    assert int(refused.headers["Retry-After"]) == 300
    other = venue.open_subscriber(handshake("/ws", address="10.0.0.2"), 300)
    assert isinstance(other, Subscriber)
    assert isinstance(
        venue.open_subscriber(handshake("/ws"), 5 * MINUTE + 1), Subscriber
    )


def test_binance_ends_a_connection_after_24_hours_whoever_talks_on_it():
    subscriber = make_venue().open_subscriber(handshake("/ws"), 0)
    listener, _ = listener_of(subscriber)
    listener.heard_ns = CONNECTION_LIFE_NS - 1
    assert not listener.is_overdue(CONNECTION_LIFE_NS - 1)
    assert listener.is_overdue(CONNECTION_LIFE_NS)
    free = make_venue(is_limited=False).open_subscriber(handshake("/ws"), 0)
    assert not listener_of(free)[0].is_overdue(10 * CONNECTION_LIFE_NS)


def test_binance_counts_weight_by_address():
    venue = make_venue()
    ask = Request("GET", "/fapi/v1/aggTrades", "symbol=BTCUSDT", b"", address="a")
    answers = [venue.respond(ask, 1).status for _ in range(121)]
    assert answers == [200] * 120 + [429]
    assert venue.respond(ask._replace(address="b"), 1).status == 200


@pytest.mark.parametrize(
    ("path", "query", "seconds"),
    [
        ("/v5/public/linear", "", 600),
        ("/v5/public/linear", "max_active_time=30s", 600),
        ("/v5/private", "", 600),
        ("/v5/private", "max_active_time=45s", 45),
        ("/v5/private", "max_active_time=2m", 120),
        ("/v5/private", "max_active_time=1s", 30),
        ("/v5/private", "max_active_time=99m", 600),
    ],
)
def test_bybit_cuts_who_is_silent_for_ten_minutes_or_as_asked(path, query, seconds):
    assert idle_ns(handshake(path, query)) == seconds * SECOND


def test_bybit_keeps_a_silent_client_that_is_told_something():
    world = make_world(SystemClock(), is_limited=True)
    venue = world.venues["bybit"]
    subscriber = venue.open_subscriber(handshake("/v5/public/linear"), 0)
    listener, line = listener_of(subscriber)
    assert listener.is_overdue(600 * SECOND)
    subscriber.frames.append(b"data")
    listener.flush(500 * SECOND, silent=False)
    assert line.written == [b"data"]
    assert not listener.is_overdue(600 * SECOND)
    assert listener.is_overdue(1_100 * SECOND)


def test_bybit_refuses_the_501st_connection_with_403_in_its_own_words():
    venue = make_world(SystemClock(), is_limited=True).venues["bybit"]
    for number in range(500):
        found = venue.open_subscriber(handshake("/v5/public/linear"), number)
        assert isinstance(found, Subscriber)
    refused = venue.open_subscriber(handshake("/v5/public/linear"), 500)
    assert (refused.status, json.loads(refused.body)["retCode"]) == (403, 10018)


def test_deribit_refuses_the_33rd_connection_of_an_address_until_one_ends():
    venue = DeribitBench(is_limited=True).venue
    opened = [
        venue.open_subscriber(handshake("/ws/api/v2"), number) for number in range(32)
    ]
    refused = venue.open_subscriber(handshake("/ws/api/v2"), 32)
    assert isinstance(refused, Response)
    assert (refused.status, json.loads(refused.body)["error"]["code"]) == (429, 10028)
    assert isinstance(
        venue.open_subscriber(handshake("/ws/api/v2", address="10.0.0.9"), 33),
        Subscriber,
    )
    venue.leave(opened[0], 34)
    assert isinstance(venue.open_subscriber(handshake("/ws/api/v2"), 35), Subscriber)


def test_deribit_cuts_a_client_that_says_nothing_for_ten_minutes():
    subscriber = DeribitBench(is_limited=True).venue.open_subscriber(
        handshake("/ws/api/v2"), 0
    )
    listener, _ = listener_of(subscriber)
    subscriber.frames.append(b"data")
    listener.flush(IDLE_NS - 1, silent=False)
    assert listener.is_overdue(IDLE_NS), "what it is told does not count"
    listener.heard_ns = 1
    assert not listener.is_overdue(IDLE_NS)


def test_deribit_gives_a_key_sixteen_named_sessions():
    bench = DeribitBench(is_limited=True)
    socket = bench.connect()
    login = {
        "grant_type": "client_credentials",
        "client_id": "k",
        "client_secret": "s",
    }
    for number in range(16):
        answer = bench.say(socket, "public/auth", **login, scope=f"session:s{number}")
        assert "result" in answer
        bench.clock.advance(SECOND)
    refused = bench.say(socket, "public/auth", **login, scope="session:one_more")
    assert refused["error"]["code"] == 13021
    again = bench.say(socket, "public/auth", **login, scope="session:s3")
    assert "result" in again
    assert "result" in bench.say(socket, "public/auth", **login)


# How late a venue speaks.


def test_batches_leave_within_their_delay_and_in_order():
    delay = Delay.parse("1-5")
    outbox = Outbox(delay, np.random.default_rng(3))
    due = []
    for number in range(1_000):
        outbox.put(b"%d," % number, number * 1_000_000)
        due.append(outbox._last_ns - number * 1_000_000)
    assert due[0] >= 1_000_000
    assert max(due) <= 5_000_000
    sent = [outbox.take(now_ms * 1_000_000) for now_ms in range(1_010)]
    assert b"".join(sent) == b"".join(b"%d," % n for n in range(1_000))
    assert outbox.size == 0
    assert outbox.due_ns is None


def test_the_same_dice_give_the_same_delays():
    def run() -> list[int | None]:
        outbox, seen = Outbox(Delay.parse("1-5"), np.random.default_rng(9)), []
        for number in range(50):
            outbox.put(b"x", number * 10_000_000)
            seen.append(outbox.due_ns)
            outbox.take_all()
        return seen

    assert run() == run()
    assert len(set(run())) > 40


@pytest.mark.parametrize("text", ["", "x", "5-1", "-1", "1-", "nan", "1-99999"])
def test_a_delay_that_is_none_is_refused(text):
    with pytest.raises(ValueError, match="--delay-ms"):
        Delay.parse(text)


def test_what_still_waits_is_written_before_a_connection_ends():
    subscriber = Subscriber()
    listener, line = listener_of(
        subscriber, Outbox(Delay.parse("100"), np.random.default_rng(1))
    )
    subscriber.frames.append(b"last words")
    listener.flush(0, silent=False)
    assert line.written == []
    listener.hurry()
    assert line.written == [b"last words"]


async def test_an_answer_comes_later_than_it_was_asked_for_by_the_delay():
    world = make_world(SystemClock())
    server = VenueServer(
        world.venues["bybit"], SystemClock(), delay=Delay.parse("40-60")
    )
    port = await server.start("127.0.0.1", 0)
    try:
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(f"ws://127.0.0.1:{port}/v5/public/linear") as client,
        ):
            for number in range(3):
                asked = time.monotonic()
                await client.send_json({"op": "ping", "req_id": str(number)})
                answer = json.loads((await client.receive(5)).data)
                assert answer["req_id"] == str(number)
                assert time.monotonic() - asked >= 0.039
    finally:
        await server.stop()


# Who asks for nothing.


async def test_idle_and_dribbling_connections_are_closed_and_others_are_served():
    world = make_world(SystemClock())
    server = VenueServer(
        world.venues["bybit"], SystemClock(), delay=NO_DELAY, head_seconds=0.3
    )
    port = await server.start("127.0.0.1", 0)

    async def patrol() -> None:
        while True:
            server.patrol()
            await asyncio.sleep(0.05)

    watch = asyncio.create_task(patrol())
    try:
        async with aiohttp.ClientSession() as session:
            url = f"http://127.0.0.1:{port}/v5/market/time"
            assert (await session.get(url)).status == 200
            opened = [
                await asyncio.open_connection("127.0.0.1", port) for _ in range(200)
            ]
            ended = 0
            async with asyncio.timeout(10):
                for number in range(10):
                    for _, writer in opened[:100]:
                        with contextlib.suppress(ConnectionError):
                            writer.write(
                                b"GET /v5/market/time HTTP/1.1\r\n"[number : number + 1]
                            )
                    await asyncio.sleep(0.05)
                for reader, _ in opened:
                    with contextlib.suppress(ConnectionError):
                        assert await reader.read(1) == b""
                    ended += 1
            assert ended == 200
            # The one that had asked before is kept, and served on.
            assert (await session.get(url)).status == 200
            for _, writer in opened:
                writer.close()
    finally:
        watch.cancel()
        await server.stop()


def test_sixty_instruments_at_each_of_three_venues(tmp_path):
    args = ("--symbols-count", "60", "--venues", "binance,bybit,deribit", "--paused")
    with start_simulator(tmp_path, *args) as process:
        prices = process.admin("/state")["prices"]
        assert {name: len(found) >= 60 for name, found in prices.items()} == {
            "binance": True,
            "bybit": True,
            "deribit": True,
        }

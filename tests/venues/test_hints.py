"""Every private stream says "look now" when an account changed and when it is back."""

from __future__ import annotations

import asyncio
import json

import numpy as np
import pytest
from aiohttp import WSMsgType, web

from cryptoquantix.core.clock import ManualClock, SystemClock
from cryptoquantix.core.errors import VenueUnavailable
from cryptoquantix.core.instrument import InstrumentId, Venue
from cryptoquantix.core.order import Increase, Reduction, Side
from cryptoquantix.venues import hints as hints_module
from cryptoquantix.venues.backoff import Backoff
from cryptoquantix.venues.hints import (
    BinanceHints,
    BybitHints,
    DeribitHints,
    HintStream,
)
from cryptoquantix.venues.trading import hint_dialect, trading_port
from processes import start_simulator
from venues.test_trading_ports import TRADED, allowed


@pytest.fixture(scope="module")
def simulator(tmp_path_factory):
    path = tmp_path_factory.mktemp("simulator")
    with start_simulator(
        path,
        *("--venues", "binance,bybit,deribit"),
        *("--generate", "1", "--instruments", "BTCUSDT"),
    ) as simulator:
        yield simulator


async def until(condition, seconds=10.0):
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - the condition is another process
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("venue", list(TRADED), ids=str)
async def test_an_order_and_a_new_session_are_hints(simulator, venue):
    line = simulator.line["venues"][venue.value]
    keys = {"key": line["key"], "secret": line["secret"]}
    clock = SystemClock()
    port = trading_port(venue, rest=line["rest"], **keys, clock=clock)
    await port.open()
    hints = []
    stream = HintStream(
        venue.value,
        hint_dialect(port, ws=line["ws"], **keys),
        lambda: hints.append(clock.monotonic_ns()),
        backoff=Backoff(np.random.default_rng(1)),
        clock=clock,
    )
    task = asyncio.create_task(stream.run())
    try:
        await until(lambda: stream.sessions == 1)
        await asyncio.sleep(0.5)  # the answers to the logins
        id_ = InstrumentId.parse(TRADED[venue])
        before = len(hints)
        await port.place_increase(Increase("cqx-h1", id_, Side.BUY, 40), allowed)
        await until(lambda: len(hints) > before)
        fault = {"kind": "disconnect", "venue": venue.value}
        await asyncio.to_thread(simulator.admin, "/faults", fault)
        await until(lambda: stream.sessions == 2)
        await asyncio.sleep(0.5)
        before = len(hints)
        await port.place_reduction(Reduction("cqx-h2", id_, Side.SELL, 40))
        await until(lambda: len(hints) > before)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await port.close()


async def test_an_expired_listen_key_begins_a_new_session(simulator):
    venue = Venue.BINANCE
    line = simulator.line["venues"][venue.value]
    keys = {"key": line["key"], "secret": line["secret"]}
    clock = SystemClock()
    port = trading_port(venue, rest=line["rest"], **keys, clock=clock)
    await port.open()
    stream = HintStream(
        venue.value,
        hint_dialect(port, ws=line["ws"], **keys),
        lambda: None,
        backoff=Backoff(np.random.default_rng(1)),
        clock=clock,
    )
    task = asyncio.create_task(stream.run())
    try:
        await until(lambda: stream.sessions == 1)
        fault = {"kind": "session-expired", "venue": venue.value}
        await asyncio.to_thread(simulator.admin, "/faults", fault)
        await until(lambda: stream.sessions == 2)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await port.close()


class SlowDoor:
    """A private stream that knows nobody before it has answered the login, late."""

    def __init__(self):
        self.heard = []
        self.is_known = False

    async def start(self):
        app = web.Application()
        app.router.add_get("/{path:.*}", self._serve)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"ws://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self):
        await self._runner.cleanup()

    async def _serve(self, request):
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        jobs = set()
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                job = asyncio.create_task(self._answer(socket, message.json()))
                jobs.add(job)
                job.add_done_callback(jobs.discard)
        return socket

    async def _answer(self, socket, call):
        what = call.get("op") or call["method"]
        self.heard.append((what, self.is_known))
        if what in {"auth", "public/auth"}:
            await asyncio.sleep(0.1)
            self.is_known = True
            await socket.send_json(
                {"success": True, "op": "auth"}
                if what == "auth"
                else {"id": call["id"], "result": {"access_token": "t"}}
            )
        elif what == "ping":
            await socket.send_json({"op": "pong", "args": ["1"]})
        elif self.is_known:
            await socket.send_json({"success": True, "op": "subscribe", "id": 3})
        elif "op" in call:
            await socket.send_json({"success": False, "op": what})
        else:
            error = {"code": 13009, "message": "unauthorized"}
            await socket.send_json({"id": call["id"], "error": error})


async def test_a_listen_key_that_is_not_renewed_begins_a_new_session(monkeypatch):
    monkeypatch.setattr(hints_module, "_KEEP_SECONDS", 0.1)
    door, asked = SlowDoor(), []

    async def listen_key():
        asked.append("key")
        return f"k{len(asked)}"

    async def refuse():
        msg = "code -1125, This listenKey does not exist"
        raise VenueUnavailable(msg, venue="binance", request="listenKey")

    await door.start()
    stream = HintStream(
        "binance",
        BinanceHints(door.url, listen_key, refuse),
        lambda: None,
        backoff=Backoff(np.random.default_rng(1)),
        clock=SystemClock(),
    )
    task = asyncio.create_task(stream.run())
    try:
        await until(lambda: stream.sessions == 2)
        assert asked == ["key", "key"]
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await door.stop()


@pytest.mark.parametrize("dialect", [BybitHints, DeribitHints])
async def test_nothing_is_subscribed_to_before_the_login_is_answered(
    dialect, monkeypatch
):
    monkeypatch.setattr(hints_module, "_PING_SECONDS", 0.05)
    door, clock, hints = SlowDoor(), SystemClock(), []
    await door.start()
    stream = HintStream(
        "x",
        dialect(door.url, "key", "secret", lambda: 1_700_000_000_000),
        lambda: hints.append(1),
        backoff=Backoff(np.random.default_rng(1)),
        clock=clock,
    )
    task = asyncio.create_task(stream.run())
    try:
        await until(lambda: any("subscribe" in what for what, _ in door.heard))
        await until(lambda: len(hints) >= 3)
        await asyncio.sleep(0.2)
        assert all(known for what, known in door.heard if "subscribe" in what)
        assert stream.sessions == 1
        assert len(hints) == (3 if dialect is BybitHints else 4), "no pong is a hint"
        is_pinged = any(what == "ping" for what, _ in door.heard)
        assert is_pinged is (dialect is BybitHints)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await door.stop()


@pytest.mark.parametrize("venue", [Venue.BYBIT, Venue.DERIBIT], ids=str)
async def test_a_login_is_signed_at_the_venues_time(simulator, venue):
    line = simulator.line["venues"][venue.value]
    keys = {"key": line["key"], "secret": line["secret"]}
    ahead_ns = 90 * 10**9
    clock = ManualClock(SystemClock().time_ns() + ahead_ns)
    port = trading_port(venue, rest=line["rest"], **keys, clock=clock)
    try:
        port._connect()
        await port._read_clock()
        session = await hint_dialect(port, ws=line["ws"], **keys).open()
    finally:
        await port.close()
    login = json.loads(session.login)
    told = login["args"][1] if "args" in login else login["params"]["timestamp"]
    assert abs(told - SystemClock().time_ns() // 10**6) < 15_000

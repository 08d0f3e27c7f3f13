"""Every private stream says "look now" when an account changed and when it is back."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from cryptoquantix.core.clock import SystemClock
from cryptoquantix.core.instrument import InstrumentId, Venue
from cryptoquantix.core.order import Increase, Reduction, Side
from cryptoquantix.venues.backoff import Backoff
from cryptoquantix.venues.hints import HintStream
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
        hint_dialect(port, ws=line["ws"], **keys, clock=clock),
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
        hint_dialect(port, ws=line["ws"], **keys, clock=clock),
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

"""A socket that cannot be had is given up in time and dialed again."""

from __future__ import annotations

import asyncio

import numpy as np

from cryptoquantix.core.clock import SystemClock
from cryptoquantix.venues import socket
from cryptoquantix.venues.backoff import Backoff
from cryptoquantix.venues.binance_feed import BinanceDecoder, BinanceStreams
from cryptoquantix.venues.dialect import SocketPlan
from cryptoquantix.venues.socket import MarketSocket


async def test_a_host_that_swallows_packets_is_given_up_and_dialed_again(monkeypatch):
    dialed = []

    async def swallowed(*_args, **_options):
        dialed.append(True)
        await asyncio.sleep(60)

    monkeypatch.setattr(socket, "ws_connect", swallowed)
    monkeypatch.setattr(socket, "_DIAL_SECONDS", 0.02)
    clock = SystemClock()
    backoff = Backoff(np.random.default_rng(1), seconds_min=0.01, seconds_max=0.02)
    decoder = BinanceDecoder([], None, clock)
    plan = SocketPlan("ws://10.255.255.1/ws", ["a"], [], [])
    one = MarketSocket(plan, BinanceStreams(), decoder, backoff, clock)
    task = asyncio.create_task(one.run())
    async with asyncio.timeout(5):
        while len(dialed) < 3:  # noqa: ASYNC110 - a test's patience
            await asyncio.sleep(0.01)
    assert not one.is_connected
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

"""
The simulator's resident set over a generated tape of 100 trade messages a second.

One client takes every trade and quote of five instruments, and asks for time, bars and
trades in turn, one a second. The figure is what the resident set grows between minute
5 (or a quarter of a shorter run) and the end; at most 2 MB is allowed.

    python benchmarks/simulator_memory.py [--minutes 20]
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import sys
import time

import aiohttp
from simulator_process import cpu_seconds, resident_mb, simulator

SYMBOLS = ("btc", "eth", "sol", "xrp", "doge")
SPEED = 5  # x 4 trades a second of each of five instruments = 100 a second
ALLOWED_MB = 2.0
ARGUMENTS = (
    *("--generate", "5", "--speed", str(SPEED), "--no-rate-limits"),
    *("--venues", "binance,bybit,deribit"),
)


class Count:
    """What arrived."""

    def __init__(self) -> None:
        self.trades = 0
        self.quotes = 0


async def listen(session: aiohttp.ClientSession, ws: str, count: Count) -> None:
    """Take trades and quotes until cancelled."""
    streams = [
        f"{s}usdt@{kind}" for s in SYMBOLS for kind in ("aggTrade", "bookTicker")
    ]
    url = f"{ws}/stream?streams={'/'.join(streams)}"
    async with session.ws_connect(url) as socket:
        async for message in socket:
            if '"e":"aggTrade"' in message.data:
                count.trades += 1
            else:
                count.quotes += 1
    msg = "the simulator closed the stream"
    raise AssertionError(msg)


async def poll(session: aiohttp.ClientSession, rest: str) -> None:
    """Ask once a second, until cancelled."""
    paths = ("time", "klines?symbol=BTCUSDT&interval=1m", "aggTrades?symbol=BTCUSDT")
    for path in itertools.cycle(paths):
        async with session.get(f"{rest}/fapi/v1/{path}") as answer:
            assert answer.status == 200, await answer.text()
            await answer.read()
        await asyncio.sleep(1)


async def follow(pid: int, line: dict, minutes: float) -> dict:
    """Return the figures of ``minutes`` of tape."""
    venue, count = line["venues"]["binance"], Count()
    samples: list[tuple[float, float]] = []
    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as tasks:
        parts = [
            tasks.create_task(listen(session, venue["ws"], count)),
            tasks.create_task(poll(session, venue["rest"])),
        ]
        started = time.monotonic()
        while (passed := (time.monotonic() - started) / 60) < minutes:
            samples.append((passed, resident_mb(pid)))
            await asyncio.sleep(min(10, max(0.1, (minutes - passed) * 60)))
        samples.append((passed, resident_mb(pid)))
        for part in parts:
            part.cancel()
    settled = min(5.0, minutes / 4)
    at_start = next(mb for at, mb in samples if at >= settled)
    return {
        "benchmark": "simulator_memory",
        "contender": "cryptoquantix",
        "median_seconds": round(minutes * 60, 1),
        "cpu_seconds": round(cpu_seconds(pid), 2),
        "unit": "trade message",
        "ns_per_unit": round(cpu_seconds(pid) / max(1, count.trades) * 1e9),
        "peak_mb": round(max(mb for _, mb in samples), 2),
        "grown_mb": round(samples[-1][1] - at_start, 3),
        "allowed_mb": ALLOWED_MB,
        "from_minute": round(settled, 2),
        "to_minute": round(minutes, 2),
        "trades_per_second": round(count.trades / (minutes * 60), 1),
        "quotes": count.quotes,
        "minutes_mb": [round(mb, 2) for _, mb in samples[::6]],
        "ratio": None,
        "agree": None,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Is the simulator's memory flat?")
    parser.add_argument("--minutes", type=float, default=20.0)
    minutes = parser.parse_args().minutes
    with simulator(*ARGUMENTS) as (
        pid,
        line,
    ):
        result = asyncio.run(follow(pid, line, minutes))
    print(json.dumps(result))
    sys.exit(result["grown_mb"] > ALLOWED_MB)


if __name__ == "__main__":
    main()

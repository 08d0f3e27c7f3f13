"""
Trade messages pushed to three subscribers, who read in a process of their own.

The tape plays as fast as its readers take it, on one venue and on three (of which one
is heard). Every message's trade id is checked to
follow the one before. At least 20 000 messages a second must reach each subscriber.

    python benchmarks/simulator_streams.py [--seconds 5] [--rounds 5]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import time
import urllib.request

import uvloop
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect
from simulator_process import cpu_seconds, resident_mb, simulator

SUBSCRIBERS = 3
WANTED_PER_SECOND = 20_000
VENUES = ("binance", "binance,bybit,deribit")
ARGUMENTS = (
    *("--generate", "5", "--instruments", "BTCUSDT"),
    *("--speed", "100000000", "--paused", "--no-rate-limits"),
)


class Subscriber(WSListener):
    """Counts trades and checks that none is missing."""

    def __init__(self) -> None:
        self.count = 0
        self.last_id = 0

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type is not WSMsgType.TEXT:
            transport.disconnect()
            return
        payload = frame.get_payload_as_bytes()
        start = payload.index(b'"a":') + 4
        trade_id = int(payload[start : payload.index(b",", start)])
        assert not self.last_id or trade_id == self.last_id + 1, "a trade is missing"
        self.last_id = trade_id
        self.count += 1


def post(admin: str, path: str, value: dict) -> None:
    """Tell the simulator's operator something."""
    request = urllib.request.Request(admin + path, json.dumps(value).encode())
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.status == 200


async def measure(line: dict, pid: int, seconds: float) -> tuple[list[float], float]:
    """Return messages a second of each subscriber, and the simulator's CPU seconds."""
    url = line["venues"]["binance"]["ws"] + "/ws/btcusdt@aggTrade"
    connected = [await ws_connect(Subscriber, url) for _ in range(SUBSCRIBERS)]
    subscribers = [listener for _, listener in connected]
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(None, post, line["admin"], "/tape", {"paused": False})
    await asyncio.sleep(0.5)
    before = [s.count for s in subscribers]
    cpu, started = cpu_seconds(pid), time.perf_counter()
    await asyncio.sleep(seconds)
    passed = time.perf_counter() - started
    cpu = cpu_seconds(pid) - cpu
    rates = [(s.count - b) / passed for s, b in zip(subscribers, before, strict=True)]
    await loop.run_in_executor(None, post, line["admin"], "/tape", {"paused": True})
    for transport, _ in connected:
        transport.disconnect()
    return rates, cpu


def main() -> None:
    parser = argparse.ArgumentParser(description="How fast are trades pushed?")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    results = [measured(venues, options) for venues in VENUES]
    for result in results:
        print(json.dumps(result))
    sys.exit(any(r["messages_per_second_each"] < WANTED_PER_SECOND for r in results))


def measured(venues: str, options: argparse.Namespace) -> dict:
    """Return the figures of a simulator that plays the tape on ``venues``."""
    lowest, cpus = [], []
    with simulator(*ARGUMENTS, "--venues", venues) as (pid, line):
        for _ in range(options.rounds):
            rates, cpu = uvloop.run(measure(line, pid, options.seconds))
            lowest.append(min(rates))
            cpus.append(cpu)
        peak_mb = resident_mb(pid)
    rate, cpu = statistics.median(lowest), statistics.median(cpus)
    return {
        "benchmark": "simulator_streams",
        "contender": f"cryptoquantix, tape on {venues}",
        "median_seconds": options.seconds,
        "cpu_seconds": round(cpu, 3),
        "unit": "trade message to each of 3 subscribers",
        "ns_per_unit": round(1e9 / rate),
        "peak_mb": round(peak_mb, 1),
        "messages_per_second_each": round(rate),
        "wanted_per_second_each": WANTED_PER_SECOND,
        "cpu_us_per_trade": round(cpu / (rate * options.seconds) * 1e6, 1),
        "ratio": round(WANTED_PER_SECOND / rate, 3),
        "agree": 0.0,
    }


if __name__ == "__main__":
    main()

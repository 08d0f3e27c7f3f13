"""
Signed REST orders on one simulated venue, sent from a process of their own.

Eight connections send orders, each waiting for its answers: first market orders that
are filled (bought and sold in turn), then resting limit orders that are canceled
again. Last, 540 connections are opened at once and each sends one order. At least
1 500 orders must be answered a second.

    python benchmarks/simulator_orders.py [--seconds 5] [--rounds 5]
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import hmac
import json
import resource
import statistics
import sys
import time

import uvloop
from simulator_process import cpu_seconds, resident_mb, simulator

CONNECTIONS = 8
BURST = 540
WANTED_PER_SECOND = 1_500
ARGUMENTS = (
    *("--generate", "5", "--instruments", "BTCUSDT", "--paused"),
    *("--balance", "100000000", "--no-rate-limits", "--venues", "binance"),
)


class Signer:
    """Makes signed requests as ccxt does: form body, signature last."""

    def __init__(self, venue: dict) -> None:
        self._secret = venue["secret"].encode()
        address = venue["rest"].removeprefix("http://")
        self.host, _, port = address.partition(":")
        self.port = int(port)
        self._headers = (
            f" HTTP/1.1\r\nHost: {address}\r\nX-MBX-APIKEY: {venue['key']}\r\n"
            "Content-Type: application/x-www-form-urlencoded\r\n"
        )
        self._made = 0

    def _signed(self, text: str) -> str:
        text = f"timestamp={time.time_ns() // 1_000_000}&{text}&recvWindow=60000"
        digest = hmac.new(self._secret, text.encode(), hashlib.sha256).hexdigest()
        return f"{text}&signature={digest}"

    def limit(self, time_in_force: str = "GTC") -> tuple[str, bytes]:
        """Return a client id and a limit order below the market."""
        kind = f"type=LIMIT&timeInForce={time_in_force}&price=57000"
        return self._order("BUY", kind)

    def market(self) -> bytes:
        """Return a market order, bought and sold in turn."""
        return self._order("BUY" if self._made % 2 else "SELL", "type=MARKET")[1]

    def _order(self, side: str, kind: str) -> tuple[str, bytes]:
        self._made += 1
        client_id = f"bench-{self._made}"
        body = self._signed(
            f"symbol=BTCUSDT&side={side}&{kind}&quantity=0.001"
            f"&newOrderRespType=RESULT&newClientOrderId={client_id}"
        )
        request = (
            f"POST /fapi/v1/order{self._headers}Content-Length: {len(body)}\r\n\r\n"
            f"{body}"
        )
        return client_id, request.encode()

    def cancel(self, client_id: str) -> bytes:
        """Return the request that cancels an order."""
        query = self._signed(f"symbol=BTCUSDT&origClientOrderId={client_id}")
        return f"DELETE /fapi/v1/order?{query}{self._headers}\r\n".encode()


class Client(asyncio.Protocol):
    """One kept-alive HTTP connection, one request at a time."""

    def __init__(self) -> None:
        self._buffer = b""
        self._answer: asyncio.Future[bytes] | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        if not found or self._answer is None:
            return
        start = head.lower().index(b"content-length:") + 15
        size = int(
            head[start : head.find(b"\r\n", start) if b"\r\n" in head[start:] else None]
        )
        if len(rest) >= size:
            self._buffer = b""
            self._answer.set_result(head[:12] + b"\r\n" + rest[:size])

    async def ask(self, request: bytes) -> bytes:
        """Send a request and return status line and body; asserts success."""
        assert self._transport is not None
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        answer = await self._answer
        assert answer.startswith(b"HTTP/1.1 200"), answer
        return answer

    def close(self) -> None:
        """End the connection."""
        if self._transport is not None:
            self._transport.close()


async def dial(signer: Signer) -> Client:
    """Return a new connection."""
    loop = asyncio.get_running_loop()
    _, client = await loop.create_connection(Client, signer.host, signer.port)
    return client


async def orders(
    signer: Signer, seconds: float, *, is_market: bool
) -> tuple[float, float]:
    """Return orders answered a second, and the median time of one in milliseconds."""
    times: list[float] = []

    async def send(client: Client) -> None:
        while time.perf_counter() < until:
            client_id, order = ("", signer.market()) if is_market else signer.limit()
            sent = time.perf_counter()
            await client.ask(order)
            times.append(time.perf_counter() - sent)
            if client_id:
                await client.ask(signer.cancel(client_id))

    clients = [await dial(signer) for _ in range(CONNECTIONS)]
    started = time.perf_counter()
    until = started + seconds
    await asyncio.gather(*(send(client) for client in clients))
    passed = time.perf_counter() - started
    for client in clients:
        client.close()
    return len(times) / passed, statistics.median(times) * 1e3


async def burst(signer: Signer) -> float:
    """Return seconds until 540 new connections have each an order answered."""
    requests = [signer.limit("IOC")[1] for _ in range(BURST)]

    async def one(request: bytes) -> Client:
        client = await dial(signer)
        await client.ask(request)
        return client

    started = time.perf_counter()
    clients = await asyncio.gather(*(one(request) for request in requests))
    seconds = time.perf_counter() - started
    for client in clients:
        client.close()
    return seconds


def rounds(
    pid: int, signer: Signer, options: argparse.Namespace, *, is_market: bool
) -> dict:
    """Return the figures of one kind of order, the median of all rounds."""
    rates, medians, cpus = [], [], []
    for _ in range(options.rounds):
        cpu = cpu_seconds(pid)
        rate, median = uvloop.run(orders(signer, options.seconds, is_market=is_market))
        cpus.append(cpu_seconds(pid) - cpu)
        rates.append(rate)
        medians.append(median)
    rate, cpu = statistics.median(rates), statistics.median(cpus)
    return {
        "benchmark": "simulator_orders",
        "contender": "market, filled" if is_market else "limit, rested and canceled",
        "median_seconds": options.seconds,
        "cpu_seconds": round(cpu, 3),
        "unit": "signed order",
        "ns_per_unit": round(1e9 / rate),
        "peak_mb": round(resident_mb(pid), 1),
        "orders_per_second": round(rate),
        "wanted_per_second": WANTED_PER_SECOND,
        "median_milliseconds": round(statistics.median(medians), 2),
        "cpu_us_per_order": round(cpu / (rate * options.seconds) * 1e6, 1),
        "ratio": round(WANTED_PER_SECOND / rate, 3),
        "agree": 0.0,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="How fast are orders answered?")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with simulator(*ARGUMENTS) as (pid, line):
        signer = Signer(line["venues"]["binance"])
        results = [
            rounds(pid, signer, options, is_market=is_market)
            for is_market in (True, False)
        ]
        seconds = statistics.median(
            uvloop.run(burst(signer)) for _ in range(options.rounds)
        )
    for result in results:
        print(json.dumps(result | {"burst_of_540_seconds": round(seconds, 3)}))
    sys.exit(any(r["orders_per_second"] < WANTED_PER_SECOND for r in results))


if __name__ == "__main__":
    main()

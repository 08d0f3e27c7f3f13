"""
Trades from a socket to a strategy's bars: venue, feed, NATS, consumer, a process each.

The venue sends at a steady rate (argument 1, trades a second); the feed is
:class:`FeedService` as ``cqx feed`` runs it, the consumer builds bars as the strategy
service does. What counts is that nothing is lost and nothing piles up: ``agree`` is how
many prints or bars are missing, ``median_seconds`` how long it took from the first
print to the last bar, ``lag_seconds`` how far behind the sending the last print was.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import multiprocessing
import resource
import subprocess
import sys
import tempfile
import time
from decimal import Decimal
from pathlib import Path

import numpy as np
import uvloop
from feed_decode import Server, an_instrument, messages
from picows import WSMsgType, ws_create_server

SECONDS = 5
CHUNK_SECONDS = 0.005
BAR_NS = 10**9


class PacedServer(Server):
    """Sends trades at a steady rate to whoever asks for them, and says when it did."""

    rate = 0
    ended: object = None

    def on_ws_frame(self, transport, frame) -> None:
        if frame.msg_type is not WSMsgType.TEXT:
            return
        request = json.loads(frame.get_payload_as_bytes())
        answer = json.dumps({"result": None, "id": request["id"]})
        transport.send(WSMsgType.TEXT, answer.encode())
        if any("aggTrade" in one for one in request["params"]):
            self.task = asyncio.get_running_loop().create_task(self.send(transport))

    async def send(self, transport) -> None:
        await asyncio.sleep(0.5)
        per_chunk = max(1, int(self.rate * CHUNK_SECONDS))
        started = time.monotonic()
        for index in range(0, len(self.payloads), per_chunk):
            await self.room.wait()
            ahead = started + index / self.rate - time.monotonic()
            if ahead > 0:
                await asyncio.sleep(ahead)
            for payload in self.payloads[index : index + per_chunk]:
                transport.send(WSMsgType.TEXT, payload)
        self.ended.put(time.monotonic())


def serve(count: int, rate: int, ready, ended) -> None:
    """Be the venue."""
    payloads = messages(count)
    PacedServer.rate, PacedServer.ended = rate, ended

    async def main() -> None:
        server = await ws_create_server(lambda _: PacedServer(payloads), "127.0.0.1", 0)
        ready.put(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    uvloop.run(main())


def feed(nats_url: str, port: int, results) -> None:
    """Be the feed."""
    from cryptoquantix.bus.connection import connect
    from cryptoquantix.core.clock import SystemClock
    from cryptoquantix.live.feed_service import FeedService
    from cryptoquantix.venues.market_rest import MarketRest

    async def main() -> None:
        clock = SystemClock()
        client = await connect(nats_url, "feed")
        async with MarketRest("http://127.0.0.1:9", clock) as rest:
            service = FeedService(
                [an_instrument("binance:BTCUSDT-PERP")],
                f"ws://127.0.0.1:{port}",
                rest,
                client,
                clock,
                np.random.default_rng(1),
            )
            task = asyncio.create_task(service.run())
            while not results.empty():  # noqa: ASYNC110 - another process's word
                await asyncio.sleep(0.1)
            task.cancel()
            await asyncio.wait([task])
            await client.close()
        status = service.status()
        results.put((status.gaps, status.batches_dropped, time.process_time()))

    results.put("running")
    uvloop.run(main())


def consume(nats_url: str, count: int, ready, results) -> None:
    """Be the strategy service: batches to bars, the last print ends it."""
    from cryptoquantix.bus.connection import (
        SUBSCRIPTION_BYTES_MAX,
        SUBSCRIPTION_MESSAGES_MAX,
        connect,
    )
    from cryptoquantix.bus.messages import MessageDecoder, TickBatch
    from cryptoquantix.core.market import Tick
    from cryptoquantix.live.bar_seam import BarSeam

    async def main() -> None:
        client = await connect(nats_url, "consumer")
        decoder, seam, done = (
            MessageDecoder(TickBatch),
            BarSeam(BAR_NS),
            asyncio.Event(),
        )
        bars, started = [], []

        async def on_ticks(message) -> None:
            batch = decoder.decode(message.data)
            started.append(time.monotonic()) if not started else None
            steps = Decimal(batch.tick_size), Decimal(batch.lot_size)
            follows = batch.follows
            for tick in batch.ticks:
                bars.extend(seam.add(Tick(*tick), *steps, follows))
                follows = tick[4]
            while (span := seam.wanted()) is not None:
                bars.extend(seam.complete(span))
            if follows >= count:
                done.set()

        await client.subscribe(
            "ticks.>",
            cb=on_ticks,
            pending_msgs_limit=SUBSCRIPTION_MESSAGES_MAX,
            pending_bytes_limit=SUBSCRIPTION_BYTES_MAX,
        )
        await client.flush()
        ready.put("listening")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(done.wait(), 60)
        ended = time.monotonic()
        cpu = time.process_time()
        results.put((seam.ticks, seam.gaps, len(bars), started[0], ended, cpu))
        await client.close()

    uvloop.run(main())


def start_nats(folder: Path) -> tuple[subprocess.Popen, str]:
    from cryptoquantix.bus.server import nats_command

    process = subprocess.Popen(
        nats_command(folder, -1), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    ports = folder / f"nats-server_{process.pid}.ports"
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if ports.exists() and (text := ports.read_text()).strip():
            return (
                process,
                f"nats://{json.loads(text)['nats'][0].removeprefix('nats://')}",
            )
        time.sleep(0.02)
    msg = "nats-server did not start"
    raise RuntimeError(msg)


def main() -> None:
    rate = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    count = rate * SECONDS
    context = multiprocessing.get_context("spawn")
    queues = [context.Queue() for _ in range(4)]
    ready, ended, consumed, fed = queues
    children = []

    def start(target, *arguments) -> None:
        child = context.Process(target=target, args=arguments, daemon=True)
        child.start()
        children.append(child)

    with tempfile.TemporaryDirectory() as folder:
        nats, url = start_nats(Path(folder))
        try:
            start(consume, url, count, ready, consumed)
            ready.get(timeout=30)
            start(serve, count, rate, ready, ended)
            port = ready.get(timeout=60)
            start(feed, url, port, fed)
            ticks, gaps, bars, first, last, consumer_cpu = consumed.get(timeout=120)
            sent = ended.get(timeout=30)
            fed.get(timeout=10)
            feed_gaps, dropped, feed_cpu = fed.get(timeout=30)
        finally:
            for child in children:
                child.terminate()
                child.join(5)
            nats.terminate()
            nats.wait(10)
    # The first bar is not whole, the last one not closed.
    expected = count * 10**6 // BAR_NS - 2
    print(
        json.dumps(
            {
                "benchmark": "feed_end_to_end",
                "contender": "cryptoquantix",
                "median_seconds": round(last - first, 3),
                "cpu_seconds": round(feed_cpu + consumer_cpu, 3),
                "unit": "trade message",
                "ns_per_unit": round((feed_cpu + consumer_cpu) / count * 1e9),
                "peak_mb": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
                // 1024,
                "messages_per_second": round(ticks / (last - first)),
                "lag_seconds": round(last - sent, 3),
                "gaps": gaps + feed_gaps,
                "batches_dropped": dropped,
                "bars": bars,
                "agree": count - ticks + abs(expected - bars),
            }
        )
    )


if __name__ == "__main__":
    main()

"""
Receive and decode one trade message: ours against ccxt.pro's, on the same bytes.

Both contenders get the same frames from a real WebSocket server on loopback, in a
process of its own, through their own client library; what is counted is the CPU time
of the receiving process. Ours ends in integer ticks and lots with the trade id
checked, ccxt's in its unified trade. Further lines are our decoding alone, from memory:
of Binance, one trade a message, and of Bybit and Deribit as full as they send in a
burst (a message of 100 trades), counted by the trade.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import resource
import statistics
import sys
import time
from collections.abc import Callable
from decimal import Decimal

import numpy as np
import uvloop
from picows import WSListener, WSMsgType, ws_create_server

ROUNDS = 5
PER_MESSAGE = 100
SYMBOL = "BTCUSDT"


def messages(count: int, seed: int = 1) -> list[bytes]:
    """Trade messages as the venue writes them, of a random walk."""
    random = np.random.default_rng(seed)
    price = 1_000_000 + np.cumsum(random.integers(-3, 4, count))
    size = random.integers(1, 3_000, count)
    made = []
    for i in range(count):
        message = {
            "e": "aggTrade",
            "E": 1_700_000_000_000 + i,
            "s": SYMBOL,
            "a": i + 1,
            "p": f"{int(price[i]) / 10:.2f}",
            "q": f"{int(size[i]) / 1000:.3f}",
            "f": i + 1,
            "l": i + 1,
            "T": 1_700_000_000_000 + i,
            "m": bool(i % 2),
        }
        made.append(json.dumps(message, separators=(",", ":")).encode())
    return made


class Server(WSListener):
    """Sends whoever subscribes all messages, as fast as they are taken."""

    def __init__(self, payloads: list[bytes]) -> None:
        self.payloads = payloads
        self.room = asyncio.Event()
        self.room.set()
        self.task: asyncio.Task | None = None

    def pause_writing(self) -> None:
        self.room.clear()

    def resume_writing(self) -> None:
        self.room.set()

    def on_ws_frame(self, transport, frame) -> None:
        if frame.msg_type is WSMsgType.TEXT:
            request = json.loads(frame.get_payload_as_bytes())
            answer = json.dumps({"result": None, "id": request["id"]})
            transport.send(WSMsgType.TEXT, answer.encode())
            self.task = asyncio.get_running_loop().create_task(self.send(transport))

    def on_ws_disconnected(self, _transport) -> None:
        if self.task is not None:
            self.task.cancel()

    async def send(self, transport) -> None:
        for index, payload in enumerate(self.payloads):
            if index % 64 == 0:
                await self.room.wait()
                await asyncio.sleep(0)
            transport.send(WSMsgType.TEXT, payload)


def serve(count: int, ready) -> None:
    """Be the venue, in a process of its own."""
    payloads = messages(count)

    async def main() -> None:
        server = await ws_create_server(lambda _: Server(payloads), "127.0.0.1", 0)
        ready.put(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    uvloop.run(main())


async def ours(
    url: str, count: int, received: Callable[[], None]
) -> list[tuple[int, int, int, bool, int]]:
    """Our socket and decoder; returns its ticks."""
    from cryptoquantix.core.clock import SystemClock
    from cryptoquantix.venues.backoff import Backoff
    from cryptoquantix.venues.binance_feed import BinanceDecoder, BinanceStreams
    from cryptoquantix.venues.dialect import SocketPlan
    from cryptoquantix.venues.socket import MarketSocket

    instrument = an_instrument("binance:BTCUSDT-PERP")
    done = asyncio.Event()
    kept: list[tuple[int, int, int, bool, int]] = []

    class Sink:
        def put_ticks(self, _instrument, ticks, *_: object) -> None:
            kept.extend(ticks)
            if len(kept) >= count:
                done.set()

        def put_quote(self, *_: object) -> None: ...

    clock = SystemClock()
    decoder = BinanceDecoder([instrument], Sink(), clock)
    backoff = Backoff(np.random.default_rng(1))
    plan = SocketPlan(url, ["btcusdt@aggTrade"], [SYMBOL], [])
    socket = MarketSocket(plan, BinanceStreams(), decoder, backoff, clock)
    task = asyncio.create_task(socket.run())
    await done.wait()
    received()
    task.cancel()
    await asyncio.wait([task])
    assert (decoder.refused, decoder.gaps) == (0, 0)
    return kept


async def theirs(url: str, count: int, received: Callable[[], None]) -> list[dict]:
    """ccxt.pro's watch_trades, its cache as large as the run; its trades."""
    import ccxt.pro

    exchange = ccxt.pro.binanceusdm(
        {"newUpdates": True, "options": {"tradesLimit": count}}
    )
    market = {
        "id": SYMBOL,
        "lowercaseId": SYMBOL.lower(),
        "symbol": "BTC/USDT:USDT",
        "base": "BTC",
        "quote": "USDT",
        "settle": "USDT",
        "baseId": "BTC",
        "quoteId": "USDT",
        "settleId": "USDT",
        "type": "swap",
        "spot": False,
        "margin": False,
        "swap": True,
        "future": False,
        "option": False,
        "active": True,
        "contract": True,
        "linear": True,
        "inverse": False,
        "contractSize": 1,
        "precision": {"price": 0.1, "amount": 0.001},
        "limits": {"amount": {}, "price": {}, "cost": {}, "leverage": {}},
        "info": {},
        "taker": 0.0005,
        "maker": 0.0002,
    }
    exchange.set_markets([market])
    exchange.options["defaultType"] = "swap"

    def localhost(value):
        if isinstance(value, dict):
            return {key: localhost(inner) for key, inner in value.items()}
        return url if isinstance(value, str) and value.startswith("ws") else value

    exchange.urls["api"] = localhost(exchange.urls["api"])
    found: list[dict] = []
    try:
        while len(found) < count:
            found.extend(await exchange.watch_trades(market["symbol"]))
        received()
    finally:
        await exchange.close()
    return found


def an_instrument(name: str):
    """Return an instrument with the steps of the messages."""
    from cryptoquantix.core.instrument import Instrument, InstrumentId

    return Instrument(
        id=InstrumentId.parse(name),
        tick_size=Decimal("0.10"),
        lot_size=Decimal("0.001"),
        notional_min=Decimal(5),
        settlement="USDT",
        base="BTC",
        quote="USDT",
    )


def batched_messages(venue: str, count: int) -> list[bytes]:
    """Trade messages of ``PER_MESSAGE`` trades each, as Bybit or Deribit write them."""
    rows = [json.loads(message) for message in messages(count)]
    made = []
    for start in range(0, count, PER_MESSAGE):
        part = rows[start : start + PER_MESSAGE]
        if venue == "bybit":
            data = [
                {
                    "T": row["T"],
                    "s": SYMBOL,
                    "S": "Sell" if row["m"] else "Buy",
                    "v": row["q"],
                    "p": row["p"],
                    "L": "PlusTick",
                    "i": "20f43950-d8dd-5b31-9112-a178eb6023af",
                    "BT": False,
                    "RPI": False,
                    "seq": row["a"],
                }
                for row in part
            ]
            message = {
                "topic": f"publicTrade.{SYMBOL}",
                "type": "snapshot",
                "ts": part[-1]["T"],
                "data": data,
            }
        else:
            data = [
                {
                    "timestamp": row["T"],
                    "price": float(row["p"]),
                    "amount": float(row["q"]),
                    "direction": "sell" if row["m"] else "buy",
                    "index_price": 92276.75,
                    "instrument_name": "BTC_USDC-PERPETUAL",
                    "trade_seq": row["a"],
                    "mark_price": 92287.11,
                    "tick_direction": 2,
                    "contracts": 1.0,
                    "trade_id": "403691824",
                }
                for row in part
            ]
            channel = "trades.BTC_USDC-PERPETUAL.100ms"
            message = {
                "jsonrpc": "2.0",
                "method": "subscription",
                "params": {"channel": channel, "data": data},
            }
        made.append(json.dumps(message, separators=(",", ":")).encode())
    return made


NAMES = {
    "binance": "binance:BTCUSDT-PERP",
    "bybit": "bybit:BTCUSDT-PERP",
    "deribit": "deribit:BTCUSDC-PERP",
}


def decoding_alone(venue: str, payloads: list[bytes], count: int) -> float:
    """CPU seconds of a venue's decoder over messages in memory."""
    from cryptoquantix.core.clock import SystemClock
    from cryptoquantix.core.instrument import Venue
    from cryptoquantix.venues.markets import DECODERS

    taken = 0

    class Sink:
        def put_ticks(self, _instrument, ticks, *_: object) -> None:
            nonlocal taken
            taken += len(ticks)

        def put_quote(self, *_: object) -> None: ...

        def put_mark(self, *_: object) -> None: ...

    instrument = an_instrument(NAMES[venue])
    decoder = DECODERS[Venue(venue)]([instrument], Sink(), SystemClock())
    decoder.begin_session([instrument.id.symbol])
    views = [memoryview(payload) for payload in payloads]
    start = time.process_time()
    for view in views:
        decoder.decode(view)
    decoder.flush()
    seconds = time.process_time() - start
    assert (decoder.refused, taken) == (0, count)
    return seconds


def difference(ours: list, theirs: list) -> float:
    """Return the largest difference in price or size, of all trades, none missing."""
    left = {
        tick[4]: (tick[1] * Decimal("0.10"), tick[2] / Decimal(1000)) for tick in ours
    }
    right = {
        int(t["id"]): (Decimal(str(t["price"])), Decimal(str(t["amount"])))
        for t in theirs
    }
    assert set(left) == set(right), f"{len(left)} trades against {len(right)}"
    return float(max(abs(left[key][i] - right[key][i]) for key in left for i in (0, 1)))


def measure(contender, url: str, count: int):
    """Return wall and CPU seconds, and what was decoded."""

    taken: list[float] = []

    async def main():
        # Imports, the dial and the farewell are not what is measured.
        await contender(url, min(count, 200), lambda: None)
        wall, cpu = time.perf_counter(), time.process_time()

        def received() -> None:
            taken.extend((time.perf_counter() - wall, time.process_time() - cpu))

        return await contender(url, count, received)

    found = uvloop.run(main())
    return *taken, found


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 50_000
    context = multiprocessing.get_context("spawn")
    ready = context.Queue()
    server = context.Process(target=serve, args=(count, ready), daemon=True)
    server.start()
    url = f"ws://127.0.0.1:{ready.get(timeout=30)}"
    try:
        taken: dict[str, list[tuple[float, float]]] = {
            "cryptoquantix": [],
            "ccxt.pro": [],
        }
        agree = 0.0
        for _ in range(ROUNDS):
            results = {}
            for name, contender in (("cryptoquantix", ours), ("ccxt.pro", theirs)):
                wall, cpu, found = measure(contender, url, count)
                taken[name].append((wall, cpu))
                results[name] = found
            agree = max(agree, difference(*results.values()))
        alone = {}
        for venue in NAMES:
            payloads = (
                messages(count)
                if venue == "binance"
                else batched_messages(venue, count)
            )
            alone[venue] = [
                decoding_alone(venue, payloads, count) for _ in range(ROUNDS)
            ]
    finally:
        server.terminate()
        server.join(5)
    for venue, rounds in alone.items():
        name = f"cryptoquantix, decoding alone, {venue}"
        taken[name] = [(seconds, seconds) for seconds in rounds]
    theirs_cpu = statistics.median(cpu for _, cpu in taken["ccxt.pro"])
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    for name, rounds in taken.items():
        cpu = statistics.median(cpu for _, cpu in rounds)
        line = {
            "benchmark": "feed_decode",
            "contender": name,
            "median_seconds": statistics.median(wall for wall, _ in rounds),
            "cpu_seconds": cpu,
            "unit": "trade message",
            "ns_per_unit": cpu / count * 1e9,
            "peak_mb": round(peak_mb, 1),
            "messages_per_second": round(count / cpu),
            "ratio": cpu / theirs_cpu,
            "agree": agree,
        }
        print(json.dumps(line))


if __name__ == "__main__":
    main()

"""
A venue of a few lines for feed tests: streams and klines of ticks a test hands it.

It knows nothing of accounts. The simulator is the real counterpart; this one can be
told to misbehave in ways a feed must survive.
"""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Self

from aiohttp import WSMsgType, web

from cryptoquantix.bars.stream import BarBuilder
from cryptoquantix.core.market import Tick

TICK_SIZE, LOT_SIZE = Decimal("0.10"), Decimal("0.001")
MINUTE_NS = 60 * 10**9


def symbol_info(symbol: str) -> dict:
    return {
        "symbol": symbol,
        "status": "TRADING",
        "contractType": "PERPETUAL",
        "deliveryDate": 4133404800000,
        "baseAsset": symbol.removesuffix("USDT"),
        "quoteAsset": "USDT",
        "marginAsset": "USDT",
        "filters": [
            {"filterType": "PRICE_FILTER", "tickSize": str(TICK_SIZE)},
            {"filterType": "LOT_SIZE", "stepSize": str(LOT_SIZE), "maxQty": "1000"},
            {"filterType": "MARKET_LOT_SIZE", "stepSize": "0.001", "maxQty": "100"},
            {"filterType": "MIN_NOTIONAL", "notional": "5"},
        ],
    }


def agg_trade(symbol: str, tick: Tick, event_ms: int = 0) -> str:
    return json.dumps(
        {
            "e": "aggTrade",
            "E": event_ms or tick.venue_time_ns // 10**6,
            "s": symbol,
            "a": tick.trade_id,
            "p": str(tick.price_ticks * TICK_SIZE),
            "q": str(tick.size_lots * LOT_SIZE),
            "f": tick.trade_id,
            "l": tick.trade_id,
            "T": tick.venue_time_ns // 10**6,
            "m": tick.is_buyer_maker,
        }
    )


def mark_price(symbol: str, time_ms: int, mark: str = "100.0") -> str:
    return json.dumps(
        {
            "e": "markPriceUpdate",
            "E": time_ms,
            "s": symbol,
            "p": mark,
            "i": mark,
            "P": mark,
            "r": "0.0001",
            "T": time_ms + 1_000,
        }
    )


def book_ticker(
    symbol: str, time_ms: int, bid: str = "99.9", ask: str = "100.1"
) -> str:
    return json.dumps(
        {
            "e": "bookTicker",
            "u": 1,
            "s": symbol,
            "b": bid,
            "B": "1.000",
            "a": ask,
            "A": "2.000",
            "T": time_ms,
            "E": time_ms,
        }
    )


@dataclass
class StandIn:
    """What it has seen and how it behaves; ``url`` once it is started."""

    symbols: list[str] = field(default_factory=lambda: ["BTCUSDT"])
    ticks: dict[str, list[Tick]] = field(default_factory=dict)
    sockets: list[tuple[str, web.WebSocketResponse, list[str]]] = field(
        default_factory=list
    )
    subscriptions: int = 0
    deaf: bool = False  # acknowledges, then sends nothing
    refuse: bool = False  # refuses subscriptions
    http_status: int = 200
    kline_requests: list[dict] = field(default_factory=list)
    # Rates by funding time in ms; those after ``told_ms`` are not told yet.
    charges: dict[int, str] = field(default_factory=dict)
    told_ms: int = 10**18
    funding_hours: int = 8
    port: int = 0
    _runner: web.AppRunner | None = None

    @property
    def rest(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get("/fapi/v1/exchangeInfo", self._info)
        app.router.add_get("/fapi/v1/klines", self._klines)
        app.router.add_get("/fapi/v1/aggTrades", self._trades)
        app.router.add_get("/fapi/v1/time", self._time)
        app.router.add_get("/fapi/v1/fundingRate", self._charges)
        app.router.add_get("/fapi/v1/premiumIndex", self._index)
        app.router.add_get("/fapi/v1/fundingInfo", self._intervals)
        app.router.add_get("/market/ws", self._stream)
        app.router.add_get("/public/ws", self._stream)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await site.start()
        self.port = site._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.cut()
        await self._runner.cleanup()

    async def cut(self) -> None:
        """Cut every socket without a close frame."""
        for _, socket, _ in self.sockets:
            if socket._req is not None and socket._req.transport is not None:
                socket._req.transport.abort()
        self.sockets.clear()
        await asyncio.sleep(0.01)

    async def trade(self, symbol: str, *ticks: Tick, silent: bool = False) -> None:
        """Trades happen at the venue, and are streamed unless ``silent``."""
        for tick in ticks:
            self.ticks.setdefault(symbol, []).append(tick)
            if not silent:
                await self.send(f"{symbol.lower()}@aggTrade", agg_trade(symbol, tick))

    async def send(self, stream: str, text: str) -> None:
        if self.deaf:
            return
        for _, socket, streams in list(self.sockets):
            if stream in streams and not socket.closed:
                await socket.send_str(text)

    async def subscribed(self, count: int) -> None:
        async with asyncio.timeout(20):
            while self.subscriptions < count:  # noqa: ASYNC110 - a test's patience
                await asyncio.sleep(0.01)

    def bars(self, symbol: str) -> list:
        """Every bar of the trades so far, the one in progress included."""
        ticks = self.ticks.get(symbol, [])
        if not ticks:
            return []
        builder = BarBuilder(MINUTE_NS, TICK_SIZE, LOT_SIZE)
        bars = [bar for tick in ticks for bar in builder.add(tick)]
        return bars + builder.advance(ticks[-1].venue_time_ns + MINUTE_NS)

    async def _info(self, request: web.Request) -> web.Response:
        if self.http_status != 200:
            return web.Response(status=self.http_status, text="down")
        return web.json_response(
            {"symbols": [symbol_info(one) for one in self.symbols]}
        )

    async def _klines(self, request: web.Request) -> web.Response:
        self.kline_requests.append(dict(request.query))
        if self.http_status != 200:
            return web.Response(status=self.http_status, text="down")
        end = int(request.query["endTime"]) * 10**6
        bars = [b for b in self.bars(request.query["symbol"]) if b.open_time_ns <= end]
        rows = [
            [
                bar.open_time_ns // 10**6,
                *(repr(value) for value in bar[2:7]),
                bar.close_time_ns // 10**6 - 1,
                "0",
                1,
                "0",
                "0",
                "0",
            ]
            for bar in bars[-int(request.query["limit"]) :]
        ]
        return web.json_response(rows)

    async def _trades(self, request: web.Request) -> web.Response:
        if self.http_status != 200:
            return web.Response(status=self.http_status, text="down")
        symbol, query = request.query["symbol"], request.query
        ticks, limit = self.ticks.get(symbol, []), int(query["limit"])
        if "fromId" in query:
            first = int(query["fromId"])
            ticks = [tick for tick in ticks if tick.trade_id >= first][:limit]
        rows = ",".join(agg_trade(symbol, tick) for tick in ticks[-limit:])
        return web.Response(text=f"[{rows}]", content_type="application/json")

    async def _charges(self, request: web.Request) -> web.Response:
        if self.http_status != 200:
            return web.Response(status=self.http_status, text="down")
        low, high = (int(request.query[name]) for name in ("startTime", "endTime"))
        rows = [
            {"fundingTime": at_ms + 6, "fundingRate": rate}
            for at_ms, rate in sorted(self.charges.items())
            if low <= at_ms + 6 <= high and at_ms <= self.told_ms
        ]
        return web.json_response(rows[: int(request.query["limit"])])

    async def _index(self, request: web.Request) -> web.Response:
        now_ms = self.ticks[request.query["symbol"]][-1].venue_time_ns // 10**6
        hours_ms = self.funding_hours * 3_600_000
        return web.json_response(
            {"nextFundingTime": (now_ms // hours_ms + 1) * hours_ms}
        )

    async def _intervals(self, request: web.Request) -> web.Response:
        row = {"symbol": "BTCUSDT", "fundingIntervalHours": self.funding_hours}
        return web.json_response([row] if self.funding_hours != 8 else [])

    async def _time(self, request: web.Request) -> web.Response:
        return web.json_response({"serverTime": time.time_ns() // 10**6})

    async def _stream(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            if message.type is not WSMsgType.TEXT:
                continue
            wanted = json.loads(message.data)
            if self.refuse:
                error = {"code": 2, "msg": "no"}
                await socket.send_json({"id": wanted["id"], "error": error})
                continue
            self.sockets.append((request.path, socket, wanted["params"]))
            await socket.send_json({"result": None, "id": wanted["id"]})
            self.subscriptions += 1
        return socket

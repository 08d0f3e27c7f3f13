"""A tiny HTTP server that answers as told and keeps every request: the judge's log."""

from __future__ import annotations

import asyncio
import json
from urllib.parse import parse_qsl

from aiohttp import web

EXCHANGE_INFO = {
    "symbols": [
        {
            "symbol": symbol,
            "status": "TRADING",
            "contractType": "PERPETUAL",
            "deliveryDate": 4133404800000,
            "baseAsset": symbol[:3],
            "quoteAsset": "USDT",
            "marginAsset": "USDT",
            "filters": [
                {"filterType": "PRICE_FILTER", "tickSize": "0.10"},
                {
                    "filterType": "LOT_SIZE",
                    "stepSize": "0.001",
                    "minQty": "0.001",
                    "maxQty": "1000",
                },
                {
                    "filterType": "MARKET_LOT_SIZE",
                    "stepSize": "0.001",
                    "minQty": "0.001",
                    "maxQty": "120",
                },
                {"filterType": "MIN_NOTIONAL", "notional": "5"},
            ],
        }
        for symbol in ("BTCUSDT", "ETHUSDT")
    ]
}

ORDER = {
    "orderId": 4293153,
    "symbol": "BTCUSDT",
    "status": "FILLED",
    "clientOrderId": "cqx-1",
    "price": "0.00",
    "avgPrice": "60000.10",
    "origQty": "0.003",
    "executedQty": "0.003",
    "cumQuote": "180.0003",
    "timeInForce": "GTC",
    "type": "MARKET",
    "reduceOnly": False,
    "closePosition": False,
    "side": "BUY",
    "positionSide": "BOTH",
    "updateTime": 1,
}


class StubVenue:
    """Answers per (method, path) with a value, (status, value) or a coroutine."""

    def __init__(self):
        self.requests = []
        self.clock_ahead_ms = 0
        self.answers = {
            ("GET", "/fapi/v1/exchangeInfo"): EXCHANGE_INFO,
            ("GET", "/fapi/v1/positionSide/dual"): {"dualSidePosition": False},
            ("GET", "/sapi/v1/account/apiRestrictions"): {"enableWithdrawals": False},
            ("POST", "/fapi/v1/order"): of_the_order_asked_for,
            ("GET", "/fapi/v1/order"): of_the_order_asked_for,
            ("DELETE", "/fapi/v1/order"): of_the_order_asked_for,
            ("GET", "/fapi/v1/userTrades"): [],
            ("GET", "/fapi/v1/openOrders"): [],
            ("GET", "/fapi/v1/openAlgoOrders"): [],
        }

    async def start(self):
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        port = self._runner.addresses[0][1]
        self.url = f"http://127.0.0.1:{port}"
        return self

    async def stop(self):
        await self._runner.cleanup()

    def of(self, method, path):
        """Return the parameters of every request received for ``path``."""
        return [r[2] for r in self.requests if (r[0], r[1]) == (method, path)]

    async def _serve(self, request):
        body = await request.text()
        params = dict(parse_qsl(request.query_string or body))
        self.requests.append((request.method, request.path, params))
        if request.path == "/fapi/v1/time":
            from time import time_ns

            now = time_ns() // 1_000_000 + self.clock_ahead_ms
            return web.json_response({"serverTime": now})
        answer = self.answers.get((request.method, request.path))
        if answer is None:
            return web.json_response({"code": -5000, "msg": "no such path"}, status=404)
        if callable(answer):
            answer = await answer(params)
        if isinstance(answer, web.Response):
            return answer
        status, value = answer if isinstance(answer, tuple) else (200, answer)
        text = value if isinstance(value, str) else json.dumps(value)
        kind = "text/html" if isinstance(value, str) else "application/json"
        return web.Response(status=status, text=text, content_type=kind)


async def of_the_order_asked_for(params):
    """Answer with the id that was sent or asked for."""
    name = params.get("newClientOrderId") or params["origClientOrderId"]
    return ORDER | {"clientOrderId": name}


async def hang(_params):
    """Take the request and never answer."""
    await asyncio.sleep(60)

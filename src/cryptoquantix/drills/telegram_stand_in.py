"""
A local stand-in for Telegram's Bot API; it sends nothing to anybody.

It answers the calls a bot makes (``/bot<TOKEN>/getMe``, ``sendMessage``,
``getUpdates``, anything else with ``true``), records each of them, lists them at
``GET /calls`` and fails on demand: ``POST /fail {"count": 3, "status": 500}``.
``POST /updates`` queues an update for ``getUpdates``.

    python -m cryptoquantix.drills.telegram_stand_in --port 0

prints ``{"telegram": "http://127.0.0.1:PORT"}`` when it is ready.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
from collections import deque
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import Any, Final, Self

from aiohttp import web

from cryptoquantix.core.clock import NS_PER_SECOND, Clock, SystemClock

_CALLS_MAX: Final = 10_000
_BOT: Final = {
    "id": 1,
    "is_bot": True,
    "first_name": "Stand-in",
    "username": "stand_in_bot",
}


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the Bot API, as received; ``status`` is what was answered."""

    time_ns: int
    token: str
    method: str
    parameters: dict[str, str]
    status: int


class TelegramStandIn:
    """The stand-in as an ``async with`` server on loopback, for tests in process."""

    def __init__(self, clock: Clock, port: int = 0) -> None:
        self._clock = clock
        self._port = port
        self._runner: web.AppRunner | None = None
        self._failures = 0
        self._failure_status = 500
        self._updates: deque[dict[str, Any]] = deque(maxlen=_CALLS_MAX)
        self._update_ids = 0
        self.calls: deque[Call] = deque(maxlen=_CALLS_MAX)
        self.url = ""

    @property
    def delivered(self) -> list[str]:
        """The texts of the messages that were accepted, in order."""
        return [
            call.parameters.get("text", "")
            for call in self.calls
            if call.method.lower() == "sendmessage" and call.status == 200
        ]

    def fail(self, count: int, status: int = 500) -> None:
        """Answer the next ``count`` calls with the HTTP ``status``."""
        self._failures = count
        self._failure_status = status

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_route("*", "/bot{token}/{method}", self._answer)
        app.router.add_get("/calls", self._list)
        app.router.add_post("/fail", self._order_failure)
        app.router.add_post("/updates", self._queue_update)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        form = await request.post()
        parameters = {name: str(value) for name, value in form.items()}
        parameters |= dict(request.query)
        if request.content_type == "application/json":
            body = await request.json()
            parameters |= {name: str(value) for name, value in body.items()}
        status = 200
        if self._failures > 0:
            self._failures -= 1
            status = self._failure_status
        method = request.match_info["method"]
        self.calls.append(
            Call(
                time_ns=self._clock.time_ns(),
                token=request.match_info["token"],
                method=method,
                parameters=parameters,
                status=status,
            )
        )
        if status != 200:
            return _refusal(status)
        return web.json_response(
            {"ok": True, "result": self._result(method, parameters)}
        )

    def _result(self, method: str, parameters: dict[str, str]) -> object:
        match method.lower():
            case "getme":
                return _BOT
            case "sendmessage":
                return {
                    "message_id": len(self.calls),
                    "date": self._clock.time_ns() // NS_PER_SECOND,
                    "chat": {"id": _chat(parameters), "type": "private"},
                    "from": _BOT,
                    "text": parameters.get("text", ""),
                }
            case "getupdates":
                offset = int(parameters.get("offset") or 0)
                while self._updates and self._updates[0]["update_id"] < offset:
                    self._updates.popleft()
                return list(self._updates)
            case _:
                return True

    async def _list(self, request: web.Request) -> web.Response:
        del request
        return web.json_response({"calls": [asdict(call) for call in self.calls]})

    async def _order_failure(self, request: web.Request) -> web.Response:
        order = await request.json()
        self.fail(int(order["count"]), int(order.get("status", 500)))
        return web.json_response({"ok": True})

    async def _queue_update(self, request: web.Request) -> web.Response:
        self._update_ids += 1
        update = {"update_id": self._update_ids, **(await request.json())}
        self._updates.append(update)
        return web.json_response({"ok": True, "update_id": self._update_ids})


def _chat(parameters: dict[str, str]) -> int:
    try:
        return int(parameters.get("chat_id", "0"))
    except ValueError:
        return 0  # a channel's @name: the number behind it does not matter here


def _refusal(status: int) -> web.Response:
    body: dict[str, Any] = {
        "ok": False,
        "error_code": status,
        "description": f"ordered failure {status}",
    }
    if status == 429:
        body["parameters"] = {"retry_after": 1}
    return web.json_response(body, status=status)


async def serve(port: int) -> None:
    """Serve until SIGINT or SIGTERM; print one JSON line when ready."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with TelegramStandIn(SystemClock(), port) as stand_in:
        sys.stdout.write(json.dumps({"telegram": stand_in.url}) + "\n")
        sys.stdout.flush()
        await stop.wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A stand-in for Telegram's Bot API.")
    parser.add_argument("--port", type=int, default=0)
    asyncio.run(serve(parser.parse_args().port))

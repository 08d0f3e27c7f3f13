"""
A local stand-in for Telegram's Bot API; it sends nothing to anybody.

It answers the calls a bot makes (``/bot<TOKEN>/getMe``, ``sendMessage``,
``getUpdates`` with long polling, anything else with ``true``), records each of them
and lists them at ``GET /calls`` (``?method=sendMessage``: of one method).

``POST /fail`` fails on demand: ``{"count": 3, "status": 502, "method": "sendMessage",
"retry_after": 5, "hang_seconds": 2}``; all but ``count`` may be left out.
``POST /updates`` queues an update for ``getUpdates``; ``POST /say {"chat_id": 42,
"user_id": 7, "text": "/status"}`` queues a message as a person writes it.

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
_POLL_SECONDS_MAX: Final = 50
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


@dataclass(slots=True)
class Failure:
    """How the next ``count`` calls of ``method`` (empty: any) fail."""

    count: int = 0
    status: int = 500
    method: str = ""
    retry_after: int = 1
    hang_seconds: float = 0.0

    def is_due(self, method: str) -> bool:
        """Return whether this call fails, and count it."""
        if self.count <= 0 or self.method.lower() not in {"", method.lower()}:
            return False
        self.count -= 1
        return True


class TelegramStandIn:
    """
    The stand-in as an ``async with`` server on loopback, for tests in process.

    With ``token`` every other one is refused, as Telegram does; without it any is
    taken.
    """

    def __init__(self, clock: Clock, port: int = 0, token: str = "") -> None:
        self._clock = clock
        self._port = port
        self._token = token
        self._runner: web.AppRunner | None = None
        self._failure = Failure()
        self._updates: deque[dict[str, Any]] = deque(maxlen=_CALLS_MAX)
        self._update_ids = 0
        self._poll: asyncio.Event | None = None
        self.calls: deque[Call] = deque(maxlen=_CALLS_MAX)
        self.url = ""

    @property
    def delivered(self) -> list[str]:
        """The texts of the messages that were accepted, in order."""
        return [text for _, text in self.sent]

    @property
    def sent(self) -> list[tuple[str, str]]:
        """Chat and text of the messages that were accepted, in order."""
        return [
            (call.parameters.get("chat_id", ""), call.parameters.get("text", ""))
            for call in self.calls
            if call.method.lower() == "sendmessage" and call.status == 200
        ]

    def fail(
        self,
        count: int,
        status: int = 500,
        *,
        method: str = "",
        retry_after: int = 1,
        hang_seconds: float = 0.0,
    ) -> None:
        """Answer the next ``count`` calls of ``method`` with the HTTP ``status``."""
        self._failure = Failure(count, status, method, retry_after, hang_seconds)

    def say(
        self, chat_id: int, user_id: int, text: str, *, age_seconds: int = 0
    ) -> int:
        """Queue a message as a person writes it; return the update's number."""
        kind = "private" if chat_id > 0 else "group"
        person = {"id": user_id, "is_bot": False, "first_name": "Person"}
        message = {
            "message_id": self._update_ids + 1,
            "date": self._clock.time_ns() // NS_PER_SECOND - age_seconds,
            "chat": {"id": chat_id, "type": kind},
            "from": person,
            "text": text,
        }
        return self._queue({"message": message})

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_route("*", "/bot{token}/{method}", self._answer)
        app.router.add_get("/calls", self._list)
        app.router.add_post("/fail", self._order_failure)
        app.router.add_post("/updates", self._queue_update)
        app.router.add_post("/say", self._say)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.05)
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
        parameters = await _parameters(request)
        method = request.match_info["method"]
        status = 200
        if self._token and request.match_info["token"] != self._token:
            status = 401
        elif self._failure.is_due(method):
            failure = self._failure
            status = failure.status
            await asyncio.sleep(failure.hang_seconds)
        elif method.lower() == "getupdates":
            status = await self._long_poll(parameters)
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
            return _refusal(status, self._failure.retry_after)
        return web.json_response(
            {"ok": True, "result": self._result(method, parameters)}
        )

    async def _long_poll(self, parameters: dict[str, str]) -> int:
        """Wait for an update; 409 when another poll takes over, as at Telegram."""
        if self._poll is not None:
            self._poll.set()
        ended = self._poll = asyncio.Event()
        offset = int(parameters.get("offset") or 0)
        while self._updates and self._updates[0]["update_id"] < offset:
            self._updates.popleft()
        seconds = min(int(parameters.get("timeout") or 0), _POLL_SECONDS_MAX)
        deadline = asyncio.get_running_loop().time() + seconds
        while not self._updates and not ended.is_set():
            left = deadline - asyncio.get_running_loop().time()
            if left <= 0:
                break
            await asyncio.sleep(min(left, 0.02))
        if ended.is_set():
            return 409
        self._poll = None
        return 200

    def _result(self, method: str, parameters: dict[str, str]) -> object:
        match method.lower():
            case "getme":
                return _BOT
            case "getchat":
                return {
                    "id": _chat(parameters),
                    "type": "private",
                    "accent_color_id": 0,
                    "max_reaction_count": 1,
                    "accepted_gift_types": dict.fromkeys(
                        (
                            "unlimited_gifts",
                            "limited_gifts",
                            "unique_gifts",
                            "premium_subscription",
                            "gifts_from_channels",
                        ),
                        False,
                    ),
                }
            case "sendmessage":
                return {
                    "message_id": len(self.calls),
                    "date": self._clock.time_ns() // NS_PER_SECOND,
                    "chat": {"id": _chat(parameters), "type": "private"},
                    "from": _BOT,
                    "text": parameters.get("text", ""),
                }
            case "getupdates":
                return list(self._updates)
            case _:
                return True

    async def _list(self, request: web.Request) -> web.Response:
        method = request.query.get("method", "").lower()
        calls = [
            asdict(call) for call in self.calls if method in {"", call.method.lower()}
        ]
        return web.json_response({"calls": calls})

    async def _order_failure(self, request: web.Request) -> web.Response:
        order = await request.json()
        self.fail(
            int(order["count"]),
            int(order.get("status", 500)),
            method=str(order.get("method", "")),
            retry_after=int(order.get("retry_after", 1)),
            hang_seconds=float(order.get("hang_seconds", 0)),
        )
        return web.json_response({"ok": True})

    async def _queue_update(self, request: web.Request) -> web.Response:
        number = self._queue(await request.json())
        return web.json_response({"ok": True, "update_id": number})

    async def _say(self, request: web.Request) -> web.Response:
        said = await request.json()
        number = self.say(
            int(said["chat_id"]),
            int(said["user_id"]),
            str(said["text"]),
            age_seconds=int(said.get("age_seconds", 0)),
        )
        return web.json_response({"ok": True, "update_id": number})

    def _queue(self, update: dict[str, Any]) -> int:
        self._update_ids += 1
        self._updates.append({"update_id": self._update_ids, **update})
        return self._update_ids


async def _parameters(request: web.Request) -> dict[str, str]:
    form = await request.post()
    parameters = {name: str(value) for name, value in form.items()}
    parameters |= dict(request.query)
    if request.content_type == "application/json":
        body = await request.json()
        parameters |= {name: str(value) for name, value in body.items()}
    return parameters


def _chat(parameters: dict[str, str]) -> int:
    try:
        return int(parameters.get("chat_id", "0"))
    except ValueError:
        return 0  # a channel's @name: the number behind it does not matter here


def _refusal(status: int, retry_after: int) -> web.Response:
    body: dict[str, Any] = {
        "ok": False,
        "error_code": status,
        "description": f"ordered failure {status}",
    }
    if status == 401:
        body["description"] = "Unauthorized"
    if status == 429:
        body["parameters"] = {"retry_after": retry_after}
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

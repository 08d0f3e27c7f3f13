"""An alarms process in this process: a small daemon, a stand-in for Telegram, a rig."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from aiohttp import web
from aiohttp.test_utils import TestServer

from cryptoquantix.alarms.desk import Allowed
from cryptoquantix.alarms.duties import Habits
from cryptoquantix.alarms.service import Plan, Service
from cryptoquantix.alarms.telegram import Telegram
from cryptoquantix.alarms.watching import Patience
from cryptoquantix.control.build import build_stamp
from cryptoquantix.control.status import Alarm
from cryptoquantix.core.clock import SystemClock
from cryptoquantix.risk_client.operator import OperatorClient
from cryptoquantix.risk_server.taking import Taking
from statuses import status

TOKEN = "123456:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
OWNER = 42  # a person, and the private chat with them
OWNER_ALONE = Allowed(frozenset({OWNER}), frozenset())
TIME_NS = 1_700_000_000 * 10**9


class Daemon:
    """The daemon's door, with failures to inject."""

    def __init__(self) -> None:
        self.alarms: dict[int, Alarm] = {}
        self.acks: list[int] = []
        self.asked = 0
        self.asked_health = 0
        self.orders: list[tuple[str, dict]] = []
        self.status = status(build=build_stamp())
        self.is_down = False
        self.is_stuck = False
        self.is_refusing = False
        self.is_hanging = False
        self.acks_to_fail = 0
        self.orders_to_fail = 0
        self.taking = Taking()
        self.numbers = itertools.count(1)
        self.url = ""

    def raise_alarm(
        self, text: str, alarm_id: int | None = None, severity: str = "critical"
    ) -> Alarm:
        number = alarm_id or next(self.numbers)
        time_ns = TIME_NS + len(self.acks) * 10**9
        self.alarms[number] = Alarm(number, time_ns, severity, text)
        return self.alarms[number]

    async def health(self, request: web.Request) -> web.Response:
        self.asked_health += 1
        while self.is_hanging:  # noqa: ASYNC110 - a stopped process tells nobody
            await asyncio.sleep(0.01)
        if self.is_down:
            return web.Response(status=502)
        return web.json_response({}, status=503 if self.is_stuck else 200)

    async def give_status(self, request: web.Request) -> web.Response:
        if self.is_down:
            return web.Response(status=502)
        if self.is_refusing:
            return web.Response(status=401)
        return web.Response(text=self.status.to_json())

    async def list(self, request: web.Request) -> web.Response:
        self.asked += 1
        if self.is_down:
            return web.Response(status=502, text="bad gateway")
        taker = request.query.get("taker", "")
        if taker:
            now_ns = SystemClock().monotonic_ns()
            other = self.taking.ask(taker, monotonic_ns=now_ns)
            if other:
                return web.json_response({"alarms": [], "taken_by": other})
        listed = sorted(self.alarms.values(), key=lambda alarm: alarm.id)[:100]
        return web.json_response({"alarms": [asdict(alarm) for alarm in listed]})

    async def ack(self, request: web.Request) -> web.Response:
        if self.acks_to_fail:
            self.acks_to_fail -= 1
            return web.Response(status=500)
        number = int(request.match_info["id"])
        if self.alarms.pop(number, None) is None:
            return web.json_response({"error": "unknown alarm"}, status=404)
        self.acks.append(number)
        return web.json_response({"ok": True})

    async def order(self, request: web.Request) -> web.Response:
        if self.orders_to_fail:
            self.orders_to_fail -= 1
            request.transport.abort()
            return web.Response()
        body = await request.json()
        self.orders.append((request.match_info["verb"], body))
        return web.json_response({"ok": True, "state": "TRIPPED"})

    @asynccontextmanager
    async def served(self):
        app = web.Application()
        app.router.add_get("/v1/health", self.health)
        app.router.add_get("/v1/status", self.give_status)
        app.router.add_get("/v1/alarms", self.list)
        app.router.add_post("/v1/alarms/{id}/ack", self.ack)
        app.router.add_post("/v1/{verb:halt|flatten|rearm}", self.order)
        async with TestServer(app) as server:
            self.url = str(server.make_url(""))
            yield self


class Receiver:
    """An HTTP receiver for Apprise's ``json://``; it fails on demand."""

    def __init__(self) -> None:
        self.got: list[dict] = []
        self.failures = 0
        self.hang_seconds = 0.0
        self.url = ""

    @property
    def texts(self) -> list[str]:
        return [f"{one['title']}\n{one['message']}" for one in self.got]

    async def take(self, request: web.Request) -> web.Response:
        if self.hang_seconds:
            await asyncio.sleep(self.hang_seconds)
        if self.failures:
            self.failures -= 1
            return web.Response(status=502)
        self.got.append(json.loads(await request.text()))
        return web.Response()

    @asynccontextmanager
    async def served(self):
        app = web.Application()
        app.router.add_post("/{path:.*}", self.take)
        async with TestServer(app) as server:
            self.url = f"json://127.0.0.1:{server.port}"
            yield self


@dataclass
class Rig:
    """How the process under test is set up; ``codes`` are drawn in turn."""

    daemon: Daemon
    folder: Path
    channels: list = field(default_factory=list)
    silent_seconds: float = 60.0
    reading_seconds: float = 60.0
    queue_seconds: float = 60.0
    required: tuple = ()
    critical_only: tuple = ()
    escalation: tuple = ()
    escalate_seconds: float = 600.0
    escalations_max: int = 6
    all_clear_at: str = ""
    down_seconds: float = 300.0
    is_watch_only: bool = False
    allowed: Allowed | None = OWNER_ALONE
    clock: object = field(default_factory=SystemClock)

    def plan(self) -> Plan:
        codes = itertools.count(4821)
        return Plan(
            folder=self.folder,
            url=self.daemon.url,
            required=self.required,
            critical_only=self.critical_only,
            patience=Patience(
                self.silent_seconds, self.reading_seconds, self.queue_seconds
            ),
            habits=Habits(
                escalate_seconds=self.escalate_seconds,
                escalations_max=self.escalations_max,
                escalation=self.escalation,
                all_clear_at=self.all_clear_at,
                is_watch_only=self.is_watch_only,
            ),
            down_seconds=self.down_seconds,
            allowed=self.allowed,
            draw=lambda: str(next(codes)),
        )

    @asynccontextmanager
    async def running(self):
        """One run of the process; its channels stay open for the next."""
        async with OperatorClient(self.daemon.url, "") as client:
            service = Service(client, self.channels, self.plan(), clock=self.clock)
            task = asyncio.create_task(service.run())
            try:
                yield service
            finally:
                was_done = task.done()
                task.cancel()
                (result,) = await asyncio.gather(task, return_exceptions=True)
                if was_done:
                    raise result

    def telegram(self, url: str, token: str = TOKEN) -> Telegram:
        channel = Telegram(base_url=url, token=token, chat_id=str(OWNER))
        self.channels.append(channel)
        return channel


async def until(condition: Callable[[], object], seconds: float = 8.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - the condition is the other side's
            await asyncio.sleep(0.01)

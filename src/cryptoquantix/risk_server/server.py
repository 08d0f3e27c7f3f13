"""
The daemon's only door: permits over a WebSocket, a small HTTP API; no decisions.

Whoever comes in must know the token, except for the question whether the daemon is
alive. Browsers are refused: nothing here is for a page that a person happens to visit.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from itertools import count
from typing import Any, Final

from aiohttp import WSMsgType, web

from cryptoquantix.control.permit import PermitRequest
from cryptoquantix.control.status import RiskState
from cryptoquantix.core.clock import NS_PER_MS, NS_PER_SECOND
from cryptoquantix.core.errors import SettingsError
from cryptoquantix.risk import commands
from cryptoquantix.risk.commands import SEQUENCE_MAX, Refusal
from cryptoquantix.risk.daemon import Daemon
from cryptoquantix.risk.report import status
from cryptoquantix.risk_server.bodies import BadRequest, drill_result, named
from cryptoquantix.risk_server.taking import Taking

BODY_MAX: Final = 16_384
FRAME_MAX: Final = 4_096
CONNECTIONS_MAX: Final = 64
SOCKETS_MAX: Final = 16
HEALTHY_NS: Final = 3 * NS_PER_SECOND
LISTED_DEFAULT: Final = 1_000

type Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
type Command = Callable[[Daemon, str, str], Awaitable[RiskState]]

_log = logging.getLogger(__name__)


class RiskServer:
    """
    One daemon's door at one address.

    Canceling a request cancels no act: commands run to their end.
    """

    def __init__(self, daemon: Daemon, *, token: str) -> None:
        self._daemon = daemon
        self._token = token
        self._taking = Taking()
        self._connections = count(1)
        self._open: set[web.WebSocketResponse] = set()
        self._runner: web.AppRunner | None = None
        self._listener: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> str:
        """
        Listen, and return ``host:port`` as bound.

        Raises
        ------
        SettingsError
            If the address cannot be had.
        """
        app = web.Application(client_max_size=BODY_MAX, middlewares=[self._guarded])
        app.add_routes(
            [
                web.get("/v1/health", self._health),
                web.get("/v1/status", self._status),
                web.get("/v1/flat", self._flat),
                web.get("/v1/samples", self._samples),
                web.get("/v1/audit", self._audit),
                web.get("/v1/drills", self._drills),
                web.post("/v1/drills", self._add_drill),
                web.get("/v1/alarms", self._alarms),
                web.post("/v1/alarms/{id}/ack", self._acknowledge),
                web.get("/v1/permit", self._permits),
                *(
                    web.post(f"/v1/{word}", self._commanded(command))
                    for word, command in (
                        ("halt", commands.halt),
                        ("flatten", commands.flatten),
                        ("rearm", commands.rearm),
                    )
                ),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        loop = asyncio.get_running_loop()
        try:
            self._listener = await loop.create_server(self._admit, host, port)
        except OSError as error:
            await self._runner.cleanup()
            why = error.strerror or str(error)
            msg = f"the risk daemon cannot listen on {host}:{port}: {why}"
            raise SettingsError(msg) from None
        bound = self._listener.sockets[0].getsockname()
        return f"{bound[0]}:{bound[1]}"

    def _admit(self) -> asyncio.Protocol:
        """Give a new connection its handler, while there is room."""
        assert self._runner is not None
        server = self._runner.server
        assert server is not None
        if len(server.connections) >= CONNECTIONS_MAX:
            return _TurnedAway()
        return server()

    async def close(self) -> None:
        """Close every socket."""
        if self._listener is not None:
            self._listener.close()
        for socket in tuple(self._open):
            await socket.close()
        if self._runner is not None:
            await self._runner.cleanup()

    # -- who may come in --------------------------------------------------------

    @web.middleware
    async def _guarded(self, request: web.Request, handler: Handler) -> Any:  # noqa: ANN401 - aiohttp's
        if "Origin" in request.headers:
            return _error(403, "browsers are refused")
        if request.path != "/v1/health" and not self._is_known(request):
            return _error(401, "the token is missing or wrong (risk.token)")
        try:
            return await handler(request)
        except web.HTTPException:
            raise
        except BadRequest as error:
            return _error(400, str(error))
        except Exception as error:  # noqa: BLE001 - one request is not the daemon
            # One request's fault is that request's: the daemon goes on.
            _log.exception("fault while answering %s", request.path)
            self._daemon.note(f"fault while answering {request.path}: {error!r}")
            return _error(500, "a fault of the daemon's own; it is in its log")

    def _is_known(self, request: web.Request) -> bool:
        given = request.headers.get("Authorization", "")
        wanted = f"Bearer {self._token}"
        if not self._token:
            return True
        return hmac.compare_digest(given.encode(), wanted.encode())

    # -- answers ----------------------------------------------------------------

    async def _health(self, request: web.Request) -> web.Response:
        del request
        daemon = self._daemon
        second_ns = daemon.second_ns
        age_ns = None if second_ns is None else daemon.clock.monotonic_ns() - second_ns
        is_ok = age_ns is not None and age_ns < HEALTHY_NS
        return web.json_response({"ok": is_ok}, status=200 if is_ok else 503)

    async def _status(self, request: web.Request) -> web.Response:
        del request
        daemon = self._daemon
        found = status(daemon, alarms_undelivered=daemon.chronicle.alarms_undelivered)
        return web.Response(text=found.to_json(), content_type="application/json")

    async def _flat(self, request: web.Request) -> web.Response:
        del request
        left = await commands.prove_flat(self._daemon)
        return web.json_response({"flat": not left, "left": left})

    async def _samples(self, request: web.Request) -> web.Response:
        after_ns, limit = _page(request, "after_ns")
        durable = self._daemon.durable
        found = await durable.ask(durable.store.samples, after_ns, limit)
        return web.json_response({"samples": [asdict(sample) for sample in found]})

    async def _audit(self, request: web.Request) -> web.Response:
        after, limit = _page(request, "after")
        durable = self._daemon.durable
        found = await durable.ask(durable.store.audit_entries, after, limit)
        return web.json_response({"entries": [asdict(entry) for entry in found]})

    async def _drills(self, request: web.Request) -> web.Response:
        del request
        durable = self._daemon.durable
        now_ns = self._daemon.clock.time_ns()
        found = await durable.ask(durable.store.drills)
        rows = [
            asdict(one) | {"age_ms": (now_ns - one.time_ns) // NS_PER_MS}
            for one in found
        ]
        return web.json_response({"drills": rows})

    async def _add_drill(self, request: web.Request) -> web.Response:
        result = drill_result(await request.text(), self._daemon.clock.time_ns())
        await self._daemon.chronicle.add_drill(result)
        return web.json_response({"ok": True})

    async def _alarms(self, request: web.Request) -> web.Response:
        """List what is undelivered; to one ``taker`` at a time, if it names itself."""
        taker = request.query.get("taker", "")
        if taker:
            now_ns = self._daemon.clock.monotonic_ns()
            other = self._taking.ask(taker, monotonic_ns=now_ns)
            if other:
                return web.json_response({"alarms": [], "taken_by": other})
        durable = self._daemon.durable
        found = await durable.ask(durable.store.alarms)
        return web.json_response({"alarms": [asdict(alarm) for alarm in found]})

    async def _acknowledge(self, request: web.Request) -> web.Response:
        text = request.match_info["id"]
        is_known = text.isdecimal() and await self._daemon.chronicle.acknowledge(
            int(text)
        )
        if not is_known:
            return _error(404, f"there is no alarm {text}")
        return web.json_response({"ok": True})

    def _commanded(self, command: Command) -> Handler:
        async def answer(request: web.Request) -> web.Response:
            try:
                who, reason = named(await request.text())
                state = await command(self._daemon, who, reason)
            except Refusal as refusal:
                return _error(409, str(refusal))
            return web.json_response({"ok": True, "state": state.value})

        return answer

    async def _permits(self, request: web.Request) -> web.StreamResponse:
        """Answer permit requests in order, until one is none."""
        if len(self._open) >= SOCKETS_MAX:
            return _error(503, f"{SOCKETS_MAX} permit sockets are open already")
        socket = web.WebSocketResponse(
            heartbeat=5.0, max_msg_size=FRAME_MAX, compress=False
        )
        await socket.prepare(request)
        connection = next(self._connections)
        self._open.add(socket)
        try:
            async for message in socket:
                if message.type is not WSMsgType.TEXT:
                    await socket.close(code=1008, message=b"text frames only")
                    break
                try:
                    asked = PermitRequest.from_json(message.data)
                    answer = commands.permit(self._daemon, asked, connection=connection)
                except ValueError as error:
                    await socket.close(code=1008, message=str(error).encode()[:120])
                    break
                await socket.send_str(answer.to_json())
        finally:
            self._open.discard(socket)
        return socket


class _TurnedAway(asyncio.Protocol):
    """What a connection too many gets: it is closed."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


def _page(request: web.Request, after: str) -> tuple[int, int]:
    """Return where a list begins and how long it may be."""
    try:
        found = int(request.query.get(after, "0"))
        limit = int(request.query.get("limit", str(LISTED_DEFAULT)))
    except ValueError:
        msg = f"{after} and limit must be whole numbers"
        raise BadRequest(msg) from None
    if limit <= 0 or not 0 <= found <= SEQUENCE_MAX:
        msg = f"limit must be positive and {after} not negative, was {limit}, {found}"
        raise BadRequest(msg)
    return found, limit


def _error(code: int, sentence: str) -> web.Response:
    return web.json_response({"error": sentence}, status=code)

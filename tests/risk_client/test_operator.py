"""The operator's client against a small daemon: sentences, never stack traces."""

from __future__ import annotations

import asyncio
import json
import socket
from dataclasses import asdict

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from cryptoquantix.control.status import Alarm, RiskState, Sample
from cryptoquantix.core.errors import DaemonRefused, DaemonUnreachable
from cryptoquantix.risk_client.operator import OperatorClient


class Daemon:
    def __init__(self) -> None:
        self.calls: list[tuple[str, str, str]] = []
        self.reply = web.json_response({"ok": True, "state": "HALTED"})
        self.delay_seconds = 0.0

    async def serve(self, request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != "Bearer secret":
            return web.json_response({"error": "no"}, status=401)
        self.calls.append((request.method, request.path_qs, await request.text()))
        await asyncio.sleep(self.delay_seconds)
        return self.reply


@pytest.fixture
async def daemon():
    return Daemon()


@pytest.fixture
async def url(daemon):
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", daemon.serve)
    async with TestServer(app) as server:
        yield str(server.make_url(""))


async def test_each_order_carries_who_and_why(daemon, url) -> None:
    async with OperatorClient(url, "secret") as client:
        for verb in ("halt", "flatten", "rearm"):
            daemon.reply = web.json_response({"ok": True, "state": "LOCKED"})
            answer = await getattr(client, verb)(who="ada", reason="a test")
            assert answer is RiskState.LOCKED
    assert [path for _, path, _ in daemon.calls] == [
        "/v1/halt",
        "/v1/flatten",
        "/v1/rearm",
    ]
    assert json.loads(daemon.calls[0][2]) == {"who": "ada", "reason": "a test"}


async def test_a_refusal_is_the_daemons_own_sentence(daemon, url) -> None:
    daemon.reply = web.json_response({"error": "not flat: 2 BTC"}, status=409)
    async with OperatorClient(url, "secret") as client:
        with pytest.raises(DaemonRefused, match="not flat: 2 BTC"):
            await client.rearm(who="ada", reason="try")


async def test_a_wrong_token_is_said(url) -> None:
    async with OperatorClient(url, "wrong") as client:
        with pytest.raises(DaemonRefused, match=r"risk\.token"):
            await client.status()


async def test_something_else_on_the_port_is_said(daemon, url) -> None:
    daemon.reply = web.Response(text="<html>hello</html>")
    async with OperatorClient(url, "secret") as client:
        with pytest.raises(DaemonRefused, match="not the answer of a risk daemon"):
            await client.status()


async def test_an_unreachable_daemon_names_the_address_and_the_way_out() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
        async with OperatorClient(address, "secret") as client:
            assert not await client.is_healthy()
            with pytest.raises(DaemonUnreachable, match="cqx up") as caught:
                await client.status()
    assert address in str(caught.value)


async def test_an_unanswered_halt_says_that_it_may_have_happened(daemon, url) -> None:
    daemon.delay_seconds = 5
    async with OperatorClient(url, "secret", answer_seconds=0.2) as client:
        with pytest.raises(DaemonUnreachable, match="may have been carried out"):
            await client.halt(who="ada", reason="test")


async def test_alarms_are_read_and_acknowledged(daemon, url) -> None:
    alarm = {"id": 3, "time_ns": 1, "severity": "critical", "text": "tripped"}
    daemon.reply = web.json_response({"alarms": [alarm]})
    async with OperatorClient(url, "secret") as client:
        assert await client.alarms() == [Alarm(**alarm)]
        daemon.reply = web.json_response({"ok": True})
        await client.acknowledge(3)
    assert daemon.calls[-1][:2] == ("POST", "/v1/alarms/3/ack")


async def test_samples_are_asked_for_by_time_and_number(daemon, url) -> None:
    sample = Sample(5, "1", "1", "0", complete=True)
    daemon.reply = web.json_response({"samples": [asdict(sample)]})
    async with OperatorClient(url, "secret") as client:
        assert await client.samples(after_ns=4, limit=2) == [sample]
    assert daemon.calls[0][1] == "/v1/samples?after_ns=4&limit=2"


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"alarms": 1, "state": "X"}'])
async def test_an_answer_of_another_shape_is_one_sentence(daemon, url, text) -> None:
    daemon.reply = web.Response(text=text)
    async with OperatorClient(url, "secret") as client:
        for call in (client.status(), client.alarms(), client.samples()):
            with pytest.raises(DaemonRefused, match="not the answer"):
                await call
            daemon.reply = web.Response(text=text)

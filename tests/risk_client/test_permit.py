"""The permit link under injected failure: nothing may ever extend a permit."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from cryptoquantix.control.permit import (
    PERMIT_LIFE_NS,
    PermitAnswer,
    PermitMode,
    PermitRequest,
)
from cryptoquantix.core.clock import ManualClock
from cryptoquantix.core.errors import StateCorrupt
from cryptoquantix.risk_client import permit as permit_module
from cryptoquantix.risk_client.permit import PermitClient
from cryptoquantix.risk_client.sequence import load_sequence, save_sequence

TOKEN = "a-token"
HOLDER = "execution"
BUILD = "1+abc"

type Behavior = Callable[[web.WebSocketResponse, PermitRequest], Awaitable[None]]


class Daemon:
    """A daemon whose answer to each request is the test's to choose."""

    def __init__(self) -> None:
        self.requests: list[PermitRequest] = []
        self.links = 0
        self.behavior: Behavior = self.grant

    async def grant(self, socket, request) -> None:
        await socket.send_str(answer_to(request).to_json())

    async def silence(self, socket, request) -> None:
        return

    async def serve(self, http: web.Request) -> web.StreamResponse:
        if http.headers.get("Authorization") != f"Bearer {TOKEN}":
            return web.Response(status=401)
        self.links += 1
        socket = web.WebSocketResponse()
        await socket.prepare(http)
        async for message in socket:
            request = PermitRequest.from_json(message.data)
            self.requests.append(request)
            await self.behavior(socket, request)
        return socket


def answer_to(request: PermitRequest, mode=PermitMode.TRADE, **changes):
    answer = PermitAnswer(request.nonce, mode, request.holder, request.build, 7)
    return replace(answer, **changes)


@asynccontextmanager
async def linked(
    daemon: Daemon, *, token=TOKEN, sequence_path: Path | None = None
) -> AsyncIterator[tuple[PermitClient, ManualClock]]:
    app = web.Application()
    app.router.add_get("/v1/permit", daemon.serve)
    async with TestServer(app) as server:
        clock = ManualClock(monotonic_ns=1_000)
        client = PermitClient(
            url=str(server.make_url("")),
            token=token,
            holder=HOLDER,
            build=BUILD,
            clock=clock,
            sequence_path=sequence_path,
        )
        task = asyncio.create_task(client.run())
        try:
            yield client, clock
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def until(condition: Callable[[], object], seconds: float = 8.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - the condition is the other side's
            await asyncio.sleep(0.01)


@pytest.fixture
def fast(monkeypatch) -> None:
    """Ask every 50 ms, so that a test of many requests stays short."""
    monkeypatch.setattr(permit_module, "_INTERVAL_SECONDS", 0.05)
    monkeypatch.setattr(permit_module, "_SILENT_SECONDS", 0.3)


async def test_a_permit_lives_five_seconds_from_the_send_of_its_request() -> None:
    daemon = Daemon()
    async with linked(daemon) as (client, clock):
        await until(client.current)
        permit = client.current()
        assert permit is not None
        assert permit.requested_monotonic_ns == 1_000
        daemon.behavior = daemon.silence
        clock.advance(PERMIT_LIFE_NS - 1)
        assert permit.allows_increase(clock.monotonic_ns())
        assert client.current() is permit
        clock.advance(1)
        assert client.current() is None


async def test_it_asks_every_second_without_waiting_for_answers() -> None:
    daemon = Daemon()
    daemon.behavior = daemon.silence
    async with linked(daemon) as (client, _):
        await until(lambda: len(daemon.requests) >= 3)
        assert client.current() is None
        assert len({request.nonce for request in daemon.requests}) == 3


async def test_a_silent_daemon_is_reconnected_to(fast) -> None:
    daemon = Daemon()
    daemon.behavior = daemon.silence
    async with linked(daemon) as (client, _):
        await until(lambda: daemon.links >= 2)
        assert client.current() is None
        assert "no answer" in client.problem
        daemon.behavior = daemon.grant
        await until(client.current)
        assert client.problem == ""


async def test_an_answer_held_back_counts_from_its_own_request(fast) -> None:
    daemon = Daemon()
    held: list[PermitRequest] = []

    async def hold(socket, request) -> None:
        held.append(request)
        if len(held) == 3:
            await socket.send_str(answer_to(held[0]).to_json())

    daemon.behavior = hold
    async with linked(daemon) as (client, clock):
        await until(lambda: len(held) == 1)
        clock.advance(PERMIT_LIFE_NS - 10)
        await until(client.current)
        permit = client.current()
        assert permit is not None
        assert permit.requested_monotonic_ns == 1_000
        clock.advance(10)
        assert client.current() is None


async def test_a_burst_of_buffered_answers_never_goes_back_in_time(fast) -> None:
    """The newest request decides, though older permissions arrive after it."""
    daemon = Daemon()
    held: list[PermitRequest] = []
    done = asyncio.Event()

    async def burst(socket, request) -> None:
        held.append(request)
        clock.advance(1_000)
        if len(held) == 4:
            newest = answer_to(held[3], PermitMode.HALTED).to_json()
            await socket.send_str(newest)
            for old in held[:3]:
                await socket.send_str(answer_to(old).to_json())
            done.set()

    daemon.behavior = burst
    async with linked(daemon) as (client, clock):
        await until(done.is_set)
        await asyncio.sleep(0.1)
        permit = client.current()
        assert permit is not None
        assert permit.answer.mode is PermitMode.HALTED


@pytest.mark.parametrize(
    "changes",
    [
        {"nonce": "another"},
        {"build": "2+def"},
        {"holder": "somebody else"},
        {"sequence": 6},
    ],
    ids=lambda changes: next(iter(changes)),
)
async def test_a_permission_that_does_not_match_extends_nothing(changes, fast) -> None:
    daemon = Daemon()

    async def mismatched(socket, request) -> None:
        await socket.send_str(answer_to(request, **changes).to_json())

    async with linked(daemon) as (client, clock):
        await until(client.current)
        daemon.behavior = mismatched
        clock.advance(PERMIT_LIFE_NS // 2)
        seen = len(daemon.requests)
        await until(lambda: len(daemon.requests) >= seen + 3)
        permit = client.current()
        assert permit is None or permit.requested_monotonic_ns == 1_000
        clock.advance(PERMIT_LIFE_NS // 2)
        assert client.current() is None


@pytest.mark.parametrize("changes", [{"build": "2+def"}, {"holder": "other"}])
async def test_a_doubtful_permission_ends_the_permit_at_once(changes, fast) -> None:
    daemon = Daemon()

    async def mismatched(socket, request) -> None:
        await socket.send_str(answer_to(request, **changes).to_json())

    async with linked(daemon) as (client, _):
        await until(client.current)
        daemon.behavior = mismatched
        await until(lambda: client.current() is None)
        assert next(iter(changes.values())) in client.problem


async def test_a_halt_by_another_build_counts(fast) -> None:
    daemon = Daemon()

    async def halted(socket, request) -> None:
        answer = answer_to(request, PermitMode.HALTED, build="2+def")
        await socket.send_str(answer.to_json())

    daemon.behavior = halted
    async with linked(daemon) as (client, _):
        await until(client.current)
        permit = client.current()
        assert permit is not None
        assert permit.answer.mode is PermitMode.HALTED


async def test_a_halt_does_not_expire_with_the_daemon(fast) -> None:
    daemon = Daemon()

    async def halted(socket, request) -> None:
        await socket.send_str(answer_to(request, PermitMode.HALTED).to_json())

    daemon.behavior = halted
    async with linked(daemon) as (client, clock):
        await until(client.current)
        daemon.behavior = daemon.silence
        clock.advance(10 * PERMIT_LIFE_NS)
        permit = client.current()
        assert permit is not None
        assert permit.answer.mode is PermitMode.HALTED
        assert not permit.allows_increase(clock.monotonic_ns())


@pytest.mark.parametrize(
    "garbage",
    ["", "{", "[]", "null", '{"mode": "trade"}', "x" * 60_000],
    ids=["empty", "half", "list", "null", "fields missing", "long"],
)
async def test_garbage_extends_nothing_and_the_link_lives_on(garbage, fast) -> None:
    daemon = Daemon()

    async def noise(socket, request) -> None:
        await socket.send_str(garbage)
        await socket.send_bytes(b"\xff\x00")

    async with linked(daemon) as (client, clock):
        await until(client.current)
        daemon.behavior = noise
        seen = len(daemon.requests)
        clock.advance(PERMIT_LIFE_NS)
        await until(lambda: len(daemon.requests) >= seen + 3)
        assert client.current() is None
        daemon.behavior = daemon.grant
        await until(client.current)


async def test_a_wrong_type_or_mode_in_an_answer_is_garbage(fast) -> None:
    daemon = Daemon()
    wrong = iter([{"sequence": "7"}, {"mode": "please"}, {"sequence": True}] * 3)

    async def almost(socket, request) -> None:
        fields = json.loads(answer_to(request).to_json()) | next(wrong, {"reason": 0})
        await socket.send_str(json.dumps(fields))

    daemon.behavior = almost
    async with linked(daemon) as (client, _):
        await until(lambda: len(daemon.requests) >= 4)
        assert client.current() is None


async def test_a_dropped_link_is_taken_up_again_and_extends_nothing(fast) -> None:
    daemon = Daemon()

    async def drop(socket, request) -> None:
        await socket.close()

    async with linked(daemon) as (client, clock):
        await until(client.current)
        daemon.behavior = drop
        clock.advance(PERMIT_LIFE_NS)
        links = daemon.links
        await until(lambda: daemon.links >= links + 2)
        assert client.current() is None
        daemon.behavior = daemon.grant
        await until(client.current)


async def test_a_wrong_token_is_named() -> None:
    daemon = Daemon()
    async with linked(daemon, token="wrong") as (client, _):
        await until(lambda: "token" in client.problem)
        assert client.current() is None


async def test_the_reconciled_mark_travels_with_the_next_request(fast) -> None:
    daemon = Daemon()
    async with linked(daemon) as (client, _):
        await until(client.current)
        assert not daemon.requests[-1].is_reconciled
        client.reconciled()
        await until(lambda: daemon.requests[-1].is_reconciled)
        client.unreconciled()
        await until(lambda: not daemon.requests[-1].is_reconciled)


async def test_the_highest_sequence_survives_a_restart(tmp_path, fast) -> None:
    path = tmp_path / "journal" / "permit-sequence"
    daemon = Daemon()
    async with linked(daemon, sequence_path=path):
        await until(path.exists)
        await until(lambda: load_sequence(path) == 7)
    again = Daemon()

    async def forgetful(socket, request) -> None:
        await socket.send_str(answer_to(request, sequence=3).to_json())

    again.behavior = forgetful
    async with linked(again, sequence_path=path) as (client, _):
        await until(lambda: len(again.requests) >= 3)
        assert again.requests[0].sequence_seen == 7
        assert client.current() is None
        assert "memory" in client.problem
    assert load_sequence(path) == 7


def test_a_sequence_file_that_holds_no_number_is_refused(tmp_path) -> None:
    path = tmp_path / "sequence"
    for text in ("", "-1", "7 8", "x", "9" * 30):
        path.write_text(text)
        with pytest.raises(StateCorrupt, match="must hold one number"):
            load_sequence(path)


def test_a_saved_sequence_leaves_no_half_written_file(tmp_path) -> None:
    path = tmp_path / "new" / "sequence"
    save_sequence(path, 41)
    save_sequence(path, 42)
    assert load_sequence(path) == 42
    assert [file.name for file in path.parent.iterdir()] == ["sequence"]

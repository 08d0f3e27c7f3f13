"""What drills report and what the audit log shows, through the door; and its bounds."""

from __future__ import annotations

import asyncio
import json

import pytest

from cryptoquantix.core.clock import NS_PER_SECOND
from cryptoquantix.risk_server import server
from risk_server.test_server import ANN, Door

GOOD = {"drill": "flash-crash", "passed": True, "who": "ci", "flat_ms": 812.5}


@pytest.fixture
async def door(tmp_path):
    door = await Door().open(tmp_path / "risk.sqlite")
    yield door
    await door.close()


async def status(door):
    return (await door.get("/v1/status"))[1]


async def test_a_drill_is_kept_in_the_audit_log_and_its_age_is_shown(door):
    assert (await status(door))["drill"] is None
    assert await door.post("/v1/drills", GOOD) == (200, {"ok": True})
    door.clock.advance(7 * NS_PER_SECOND)
    _, body = await door.get("/v1/drills")
    (drill,) = body["drills"]
    assert (drill["drill"], drill["passed"], drill["age_ms"]) == (
        "flash-crash",
        True,
        7000,
    )
    found = await status(door)
    assert found["drill"]["flat_ms"] == 812.5
    assert found["drill_age_ms"] == 7000
    _, body = await door.get("/v1/audit")
    assert body["entries"][-1]["kind"] == "drill"


async def test_the_newest_result_of_each_drill_is_listed(door):
    for name, passed in (("a", False), ("b", True), ("a", True)):
        await door.post("/v1/drills", {"drill": name, "passed": passed})
        door.clock.advance(NS_PER_SECOND)
    _, body = await door.get("/v1/drills")
    assert [(d["drill"], d["passed"]) for d in body["drills"]] == [
        ("a", True),
        ("b", True),
    ]


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"drill": "", "passed": True},
        {"drill": "x" * 61, "passed": True},
        {"drill": "x", "passed": 1},
        {"drill": "x", "passed": True, "flat_ms": -1},
        {"drill": "x", "passed": True, "sent_ms": "soon"},
        {"drill": "x", "passed": True, "detected_ms": True},
        [],
    ],
)
async def test_what_is_no_result_is_refused_with_a_sentence(door, wrong):
    code, body = await door.post("/v1/drills", data=json.dumps(wrong))
    assert code == 400
    assert body["error"]
    assert (await door.get("/v1/drills"))[1] == {"drills": []}


async def test_the_audit_log_is_read_on_from_where_one_stopped(door):
    await door.post("/v1/rearm", ANN)
    _, body = await door.get("/v1/audit?limit=2")
    first, second = body["entries"]
    assert first["sequence"] < second["sequence"]
    _, rest = await door.get(f"/v1/audit?after={second['sequence']}")
    assert all(e["sequence"] > second["sequence"] for e in rest["entries"])
    for wrong in ("limit=0", "limit=x", "after=x", "after=-1", f"after={1 << 63}"):
        assert (await door.get(f"/v1/audit?{wrong}"))[0] == 400


async def test_a_body_too_large_is_refused(door):
    body = json.dumps(GOOD | {"notes": "x" * 20_000})
    async with door.session.post("/v1/drills", data=body) as answer:
        assert answer.status == 413


async def test_connections_are_bounded_and_the_holder_keeps_his(door, monkeypatch):
    monkeypatch.setattr(server, "CONNECTIONS_MAX", 5)
    host, port = door.address.split(":")
    async with door.session.ws_connect("/v1/permit") as socket:
        opened = [await asyncio.open_connection(host, int(port)) for _ in range(10)]
        async with asyncio.timeout(10):
            while sum(reader.at_eof() for reader, _ in opened) < 5:  # noqa: ASYNC110 - the server's
                await asyncio.sleep(0.01)
        for _, writer in opened:
            writer.close()
        assert not socket.closed


async def test_permit_sockets_are_bounded(door, monkeypatch):
    monkeypatch.setattr(server, "SOCKETS_MAX", 1)
    async with door.session.ws_connect("/v1/permit"):
        code, body = await door.get("/v1/permit")
        assert code == 503
        assert "open already" in body["error"]


async def test_the_status_shows_switches_and_the_self_test(door):
    await door.post("/v1/rearm", ANN)
    door.clock.advance(NS_PER_SECOND)
    await door.daemon.second()
    for _ in range(200):
        if door.daemon.upkeep.self_tests:
            break
        await asyncio.sleep(0.01)
    found = await status(door)
    (venue,) = found["venues"]
    assert venue["dead_man_armed"] is None
    assert "cannot be asked" in venue["dead_man"]
    tests = {test["name"]: test["passed"] for test in found["self_tests"]}
    assert tests == {
        "key binance": True,
        "clock binance": True,
        "time sync": True,
        "disk": True,
    }

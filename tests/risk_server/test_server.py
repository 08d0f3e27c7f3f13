"""The daemon's door: who may come in, and what they are told."""

from __future__ import annotations

import asyncio
import json

import aiohttp
import pytest

from cryptoquantix.control.permit import PermitAnswer, PermitMode, PermitRequest
from cryptoquantix.control.status import RiskState, RiskStatus
from cryptoquantix.core.clock import NS_PER_SECOND, ManualClock
from cryptoquantix.core.errors import SettingsError
from cryptoquantix.risk import flatten, halt
from cryptoquantix.risk.daemon import Daemon
from cryptoquantix.risk.durable import DurableStore
from cryptoquantix.risk.permits import HANDOVER_NS
from cryptoquantix.risk.rules import Limits
from cryptoquantix.risk.store import RiskStore
from cryptoquantix.risk_server.server import RiskServer
from risk.fake_venue import FakeVenue, down

ANN = {"who": "ann", "reason": "test"}


class Door:
    """A daemon behind its server, and a client session that knows the token."""

    async def open(self, path):
        self.clock = ManualClock(10**18, 10**12)
        store = RiskStore.open(path, now_ns=1)
        self.durable = DurableStore(store, self.clock)
        self.venue = FakeVenue(self.clock)
        self.daemon = Daemon(
            {"binance": self.venue},
            self.durable,
            limits=Limits(),
            clock=self.clock,
            build="b",
        )
        self.daemon.resume()
        self.server = RiskServer(self.daemon, token="secret")
        self.address = await self.server.start("127.0.0.1", 0)
        self.session = aiohttp.ClientSession(
            f"http://{self.address}", headers={"Authorization": "Bearer secret"}
        )
        return self

    async def close(self):
        await self.session.close()
        await self.server.close()
        self.daemon.halt_acts.stop()
        self.durable.close()

    async def second(self):
        self.clock.advance(NS_PER_SECOND)
        await self.daemon.second()

    async def get(self, path, **kwargs):
        async with self.session.get(path, **kwargs) as answer:
            return answer.status, await answer.json()

    async def post(self, path, value=None, **kwargs):
        if value is not None:
            kwargs["json"] = value
        async with self.session.post(path, **kwargs) as answer:
            return answer.status, await answer.json()


@pytest.fixture
async def door(tmp_path, monkeypatch):
    monkeypatch.setattr(flatten, "VERIFY_GAP_SECONDS", 0.01)
    door = await Door().open(tmp_path / "risk.sqlite")
    yield door
    await door.close()


@pytest.mark.parametrize("header", ["", "Bearer wrong", "Bearer ", "secret"])
async def test_without_the_token_nothing_is_told_or_done(door, header):
    headers = {"Authorization": header}
    for path in ("/v1/status", "/v1/alarms", "/v1/samples", "/v1/permit"):
        status, body = await door.get(path, headers=headers)
        assert status == 401
        assert "token" in body["error"]
    status, _ = await door.post("/v1/rearm", ANN, headers=headers)
    assert status == 401
    assert door.daemon.state is RiskState.LOCKED


async def test_browsers_are_refused(door):
    status, _ = await door.post("/v1/rearm", ANN, headers={"Origin": "http://x"})
    assert status == 403


async def test_health_is_the_age_of_the_last_second_and_not_of_the_process(door):
    assert (await door.get("/v1/health", headers={"Authorization": ""}))[0] == 503
    await door.second()
    assert (await door.get("/v1/health"))[0] == 200
    door.clock.advance(3 * NS_PER_SECOND)
    assert (await door.get("/v1/health"))[0] == 503


async def test_the_status_is_the_message_of_control(door):
    await door.second()
    async with door.session.get("/v1/status") as answer:
        found = RiskStatus.from_json(await answer.text())
    assert found.state is RiskState.LOCKED
    assert found.permit_mode is PermitMode.REDUCE_ONLY
    assert found.equity == "100000"
    assert "first start" in found.reason
    assert "no baseline" in found.formula


async def test_the_operators_words(door):
    assert await door.post("/v1/rearm", ANN) == (200, {"ok": True, "state": "ARMED"})
    status, body = await door.post("/v1/rearm", ANN)
    assert (status, body["error"]) == (409, "the daemon is armed already")
    status, body = await door.post("/v1/halt", ANN)
    assert status == 200
    assert RiskState(body["state"]).is_halt
    for _ in range(200):
        if door.daemon.state is RiskState.HALTED:
            break
        await asyncio.sleep(0.01)
    assert (await door.post("/v1/rearm", ANN))[0] == 200
    assert (await door.post("/v1/flatten", ANN))[0] == 200


@pytest.mark.parametrize(
    "body", ["", "[]", "null", '{"who": "a"}', '{"who": "", "reason": "x"}', "{", "7"]
)
async def test_a_command_without_who_and_reason_is_refused(door, body):
    status, found = await door.post("/v1/halt", data=body)
    assert status == 400
    assert found["error"]
    assert door.daemon.state is RiskState.LOCKED


async def test_arming_blind_is_409_with_the_reason(door):
    door.venue.always["reading"] = down()
    status, body = await door.post("/v1/rearm", ANN)
    assert status == 409
    assert "cannot arm blind: binance" in body["error"]


async def test_alarms_are_listed_until_acknowledged(door):
    await door.post("/v1/rearm", ANN)
    await door.durable.ask(lambda: None)
    _, body = await door.get("/v1/alarms")
    (alarm,) = body["alarms"]
    assert alarm["text"] == "Armed by ann: test."
    assert (await door.post(f"/v1/alarms/{alarm['id']}/ack"))[0] == 200
    assert (await door.get("/v1/alarms"))[1] == {"alarms": []}
    assert (await door.post("/v1/alarms/99/ack"))[0] == 404
    assert (await door.post("/v1/alarms/x/ack"))[0] == 404


async def test_samples_are_listed_oldest_first(door):
    await door.post("/v1/rearm", ANN)
    for _ in range(3):
        await door.second()
    _, body = await door.get("/v1/samples?limit=2")
    first, second = body["samples"]
    assert first["time_ns"] < second["time_ns"]
    assert first["complete"] is True
    after = f"/v1/samples?after_ns={second['time_ns']}"
    assert len((await door.get(after))[1]["samples"]) == 2
    for wrong in ("limit=0", "limit=x", "after_ns=x"):
        assert (await door.get(f"/v1/samples?{wrong}"))[0] == 400


async def ask(socket, nonce="1", **fields):
    request = PermitRequest(nonce, "me", "b", **({"is_reconciled": True} | fields))
    await socket.send_str(request.to_json())
    return PermitAnswer.from_json((await socket.receive()).data)


async def test_permits_over_one_socket(door):
    await door.post("/v1/rearm", ANN)
    await asyncio.sleep(0.05)
    door.clock.advance(HANDOVER_NS)
    await door.second()
    async with door.session.ws_connect("/v1/permit") as socket:
        answer = await ask(socket, "42")
        assert (answer.mode, answer.nonce, answer.holder) == (
            PermitMode.TRADE,
            "42",
            "me",
        )
        async with door.session.ws_connect("/v1/permit") as other:
            assert (await ask(other)).mode is PermitMode.REDUCE_ONLY
        await door.post("/v1/halt", ANN)
        assert (await ask(socket)).mode is PermitMode.HALTED


@pytest.mark.parametrize("text", ["", "{}", "x", json.dumps({"nonce": 1})])
async def test_what_is_no_permit_request_closes_the_socket(door, text):
    async with door.session.ws_connect("/v1/permit") as socket:
        await socket.send_str(text)
        message = await socket.receive()
        assert message.type is aiohttp.WSMsgType.CLOSE
        assert socket.close_code == 1008
    assert (await door.get("/v1/status"))[0] == 200


async def test_binary_frames_and_absurd_sequences_close_the_socket(door):
    async with door.session.ws_connect("/v1/permit") as socket:
        await socket.send_bytes(b"x")
        assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE
    async with door.session.ws_connect("/v1/permit") as socket:
        request = PermitRequest("n", "me", "b", sequence_seen=-1)
        await socket.send_str(request.to_json())
        assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE


async def test_a_fault_in_one_answer_is_that_answers_alone(door, monkeypatch):
    def broken(*args):
        raise AttributeError

    monkeypatch.setattr(door.durable.store, "samples", broken)
    assert (await door.get("/v1/samples"))[0] == 500
    assert (await door.get("/v1/status"))[0] == 200


async def test_a_taken_port_is_one_sentence(door):
    port = int(door.address.rpartition(":")[2])
    server = RiskServer(door.daemon, token="t")
    with pytest.raises(SettingsError, match=f"cannot listen on 127.0.0.1:{port}"):
        await server.start("127.0.0.1", port)


async def test_flat_is_proven_by_fresh_reads_in_any_state(door):
    assert await door.get("/v1/flat") == (200, {"flat": True, "left": ""})
    await door.post("/v1/rearm", ANN)
    door.venue.hold("BTCUSDT", "0.5")
    status, body = await door.get("/v1/flat")
    assert (status, body["flat"]) == (200, False)
    assert "0.5 BTCUSDT" in body["left"]
    assert door.venue.log == []  # asking changes nothing
    assert door.daemon.state is RiskState.ARMED


async def test_a_proof_of_flat_that_cannot_be_read_at_once_is_asked_again(door):
    door.venue.faults["open_orders"] = [TimeoutError("not done within 2 s"), down()]
    assert await door.get("/v1/flat") == (200, {"flat": True, "left": ""})


async def test_what_cannot_be_read_is_not_flat(door, monkeypatch):
    monkeypatch.setattr(halt, "PROOF_SECONDS", 0.1)
    door.venue.always["open_orders"] = down()
    status, body = await door.get("/v1/flat")
    assert (status, body["flat"]) == (200, False)
    assert body["left"]

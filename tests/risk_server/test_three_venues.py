"""The running daemon over three venues: small, quick to be ready, flat everywhere."""

from __future__ import annotations

import asyncio
import copy
import json
import os
import time
from pathlib import Path

import pytest

from processes import start_simulator
from risk_server.altered import altered
from risk_server.conftest import RiskProcess
from venues.owners import Owner

VENUES = ("binance", "bybit", "deribit")
SIZES = {"BTC-PERPETUAL": "30000", "ETH_USDC-PERPETUAL": "10"}
FOREIGN = ("numpy", "polars", "numba", "llvmlite", "sqlalchemy", "aiogram", "apprise")


class ThreeVenues(RiskProcess):
    """``cqx risk`` with a key of its own at each venue."""

    def settings(self, line, **risk):
        text = [f'directory = "{self.folder}/var"']
        for name, venue in line["venues"].items():
            own = {k: venue[k] for k in ("rest", "ws", "key", "secret")}
            text += [f"[venues.{name}]", *pairs(own)]
            text += [f"[venues.{name}.risk]", *pairs(venue["risk"])]
        text += ["[risk]", *pairs({"token": self.token} | risk)]
        self.config.write_text("\n".join(text))


def pairs(values):
    return [f"{name} = {json.dumps(value)}" for name, value in values.items()]


@pytest.fixture(scope="module")
def simulator(tmp_path_factory):
    folder = tmp_path_factory.mktemp("simulator")
    arguments = ("--generate", "5", "--instruments", "BTCUSDT,ETHUSDT", "--paused")
    with start_simulator(folder, *arguments, "--venues", ",".join(VENUES)) as process:
        yield process


@pytest.fixture
def risk(tmp_path, simulator):
    found = ThreeVenues(tmp_path, simulator.line)
    yield found
    found.stop()


async def build(line):
    """A long and a short position, and an order of each class, at every venue."""
    for name in VENUES:
        owner = Owner(name, line["venues"][name])
        first, second = owner.words.first, owner.words.second
        await owner.market(first, "buy", SIZES.get(first, "0.6"))
        await owner.market(second, "buy", SIZES.get(second, "10"))
        await owner.limit(first, "buy", SIZES.get(first, "0.1"), "0.95")
        await owner.stop(first, "sell", SIZES.get(first, "0.1"), "0.7", reduce=True)
        await owner.stop(second, "sell", "0.1", "0.6")
        await owner.close()


def held(simulator, venue):
    found = simulator.admin(f"/account?venue={venue}")
    return found["positions"] + found["open_orders"] + found["algo_orders"]


def test_it_is_ready_soon_small_and_spends_little(risk):
    """Exact figures: benchmarks/risk_process.py. Here no more than three times."""
    risk.start()
    assert risk.ready_seconds < 10, "the goal is 2 s on an idle machine"
    time.sleep(2)
    before = cpu_seconds(risk.process.pid)
    time.sleep(5)
    share = (cpu_seconds(risk.process.pid) - before) / 5
    assert share < 0.24, f"{share:.1%} of a core, the goal is 8 %"
    status = Path(f"/proc/{risk.process.pid}/status").read_text()
    fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    assert int(fields["VmRSS"].split()[0]) < 200_000
    maps = Path(f"/proc/{risk.process.pid}/maps").read_text()
    assert not [name for name in FOREIGN if f"/{name}/" in maps]
    found = risk.status()
    assert {v["venue"]: v["problem"] for v in found["venues"]} == dict.fromkeys(
        VENUES, ""
    )
    whole = sum(float(v["equity"]) for v in found["venues"])
    assert float(found["equity"]) == pytest.approx(whole, rel=1e-6)


def cpu_seconds(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_a_crash_ends_flat_at_all_three_without_one_refusal_for_pace(risk, simulator):
    risk.start()
    risk.arm()
    asyncio.run(build(simulator.line))
    time.sleep(2)
    simulator.admin("/price", {"venue": "*", "symbol": "*", "factor": "0.9"})
    found = risk.until("HALTED", seconds=30)
    assert found["is_flat"]
    assert {venue: held(simulator, venue) for venue in VENUES} == {
        venue: [] for venue in VENUES
    }
    refused = [
        r
        for r in simulator.log("request")
        if r["status"] in {403, 418, 429} or r["code"] in {10006, 10018, 10028}
    ]
    assert refused == []
    simulator.admin("/price", {"venue": "*", "symbol": "*", "factor": "1.1111"})


# -- settings it does not start with ---------------------------------------------------


def test_a_key_that_is_missing(risk, simulator):
    """Of the last venue: those before it are closed again, silently."""
    line = copy.deepcopy(simulator.line)
    line["venues"]["deribit"]["risk"] = {"key": "", "secret": ""}
    risk.settings(line)
    code, said = risk.refusal()
    assert code != 0
    assert "needs a key of its own: set venues.deribit.risk.key" in said
    assert len(said.strip().splitlines()) == 1


RIGHTS = {
    "binance": (
        "/sapi/v1/account/apiRestrictions",
        b'"enableWithdrawals":false',
        b'"enableWithdrawals":true',
        "may move money out (enableWithdrawals)",
    ),
    "bybit": (
        "/v5/user/query-api",
        b'"Wallet":[]',
        b'"Wallet":["AccountTransfer","Withdraw"]',
        "may move money out (AccountTransfer)",
    ),
    "deribit": (
        "/api/v2/public/auth",
        b"wallet:none",
        b"wallet:read_write",
        "may move money out (wallet:read_write)",
    ),
}


@pytest.mark.parametrize("venue", VENUES)
def test_a_key_that_may_withdraw(risk, simulator, venue):
    path, old, new, sentence = RIGHTS[venue]
    line = copy.deepcopy(simulator.line)
    with altered(line["venues"][venue]["rest"], path, old, new) as address:
        line["venues"][venue]["rest"] = address
        risk.settings(line)
        code, said = risk.refusal()
    assert code != 0
    assert sentence in said
    assert len(said.strip().splitlines()) == 1


def test_limits_out_of_range(risk, simulator):
    risk.settings(simulator.line, blind_seconds=90)
    code, said = risk.refusal()
    assert code != 0
    assert "must not be shorter than risk.blind_seconds" in said
    assert len(said.strip().splitlines()) == 1
    assert not risk.store.exists(), "nothing half-written"


def test_an_unknown_venue(risk, simulator):
    line = copy.deepcopy(simulator.line)
    line["venues"]["kraken"] = line["venues"].pop("bybit")
    risk.settings(line)
    code, said = risk.refusal()
    assert code != 0
    assert "unknown venue 'kraken', expected one of binance, bybit, deribit" in said
    assert len(said.strip().splitlines()) == 1


def test_settings_that_others_may_read(risk):
    risk.config.chmod(0o644)
    code, said = risk.refusal()
    assert code != 0
    assert f"chmod 600 {risk.config}" in said
    assert len(said.strip().splitlines()) == 1
    assert not risk.store.exists(), "nothing half-written"

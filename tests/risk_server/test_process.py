"""The running daemon: killed, restarted, misconfigured, and against a real crash."""

from __future__ import annotations

import itertools
import json
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from machine import Pauses
from processes import end, wait_for
from risk_server.conftest import RiskProcess

FORBIDDEN = ("aiogram", "apprise", "polars", "numba", "numpy", "nats", "sqlalchemy")


def crash(simulator, factor="0.9"):
    simulator.admin("/price", {"venue": "binance", "symbol": "*", "factor": factor})


def is_empty(simulator):
    account = simulator.admin("/account?venue=binance")
    return not (
        account["positions"] or account["open_orders"] or account["algo_orders"]
    )


def armed_with_a_book(risk, trader):
    risk.start()
    trader.build()
    risk.arm()
    return risk


def test_a_crash_ends_verified_flat_and_halted(risk, trader, simulator):
    armed_with_a_book(risk, trader)
    account = simulator.admin("/account?venue=binance")
    assert len(account["positions"]) == 5
    assert len(account["open_orders"]) == 15
    assert len(account["algo_orders"]) == 5
    simulator.admin("/watch", {"venue": "binance", "threshold": "0.03"})
    time.sleep(1.2)
    with Pauses() as pauses:
        crash(simulator)
        found = risk.until("HALTED")
    crossed_ns = simulator.admin("/watch?venue=binance")["crossed_time_ns"]
    trip = found["trip"]
    # Both are wall times; the pauses of the machine are monotonic ones.
    to_monotonic = time.monotonic() - time.time()
    crossed, decided, flat = (
        time_ns / 1e9 + to_monotonic
        for time_ns in (crossed_ns, trip["decided_time_ns"], trip["flat_time_ns"])
    )
    assert decided - crossed - pauses.between(crossed, decided) < 1.6
    assert flat - crossed - pauses.between(crossed, flat) < 3.5
    assert is_empty(simulator)
    assert found["is_flat"]
    assert found["permit_mode"] == "halted"
    texts = [alarm["text"] for alarm in risk.call("/v1/alarms")["alarms"]]
    assert any("Flat is verified" in text for text in texts)


def test_after_a_halt_it_keeps_guarding(risk, trader, simulator):
    armed_with_a_book(risk, trader)
    crash(simulator)
    risk.until("HALTED")
    marks = trader.marks()
    trader.market("BTCUSDT", "BUY", "0.1")
    trader.limit("ETHUSDT", "BUY", "1", f"{marks['ETHUSDT'] * 0.9:.1f}")
    wait_for(lambda: is_empty(simulator), 8)
    assert risk.status()["state"] == "HALTED"


def test_killed_while_armed_it_resumes_armed_with_the_peak(risk, trader, simulator):
    armed_with_a_book(risk, trader)
    crash(simulator, "1.01")
    time.sleep(1.2)
    before = risk.status()
    risk.kill()
    risk.start()
    after = risk.until("ARMED")
    assert float(after["high_water_mark"]) == pytest.approx(
        float(before["high_water_mark"]), rel=0.01
    )
    assert after["sequence"] >= before["sequence"]
    crash(simulator)
    risk.until("HALTED")
    assert is_empty(simulator)


def test_killed_after_the_crash_and_before_it_saw_it_the_peak_says_so(
    risk, trader, simulator
):
    armed_with_a_book(risk, trader)
    time.sleep(1.2)
    risk.kill()
    crash(simulator)
    risk.start()
    risk.until("HALTED")
    assert is_empty(simulator)


def test_a_withdrawal_never_trips_it(risk, trader, simulator):
    armed_with_a_book(risk, trader)
    time.sleep(1.2)
    simulator.admin("/account", {"venue": "binance", "withdraw": "20000"})
    time.sleep(4)
    found = risk.status()
    assert found["state"] == "ARMED"
    assert float(found["drawdown"]) < 0.01
    assert found["permit_mode"] == "trade"


@pytest.mark.slow
def test_an_outage_is_blind_and_its_end_is_armed_again(risk, trader, simulator):
    armed_with_a_book(risk, trader)
    simulator.admin("/outage", {"venue": "binance", "seconds": 8, "kind": "refuse"})
    found = risk.until("BLIND", seconds=9)
    assert found["permit_mode"] == "reduce_only"
    risk.until("ARMED", seconds=12)
    assert len(simulator.admin("/account?venue=binance")["positions"]) == 5


def test_a_crash_during_an_outage_is_found_when_it_ends(risk, trader, simulator):
    armed_with_a_book(risk, trader)
    time.sleep(1.2)
    simulator.admin("/outage", {"venue": "binance", "seconds": 3, "kind": "hang"})
    crash(simulator)
    risk.until("HALTED")
    assert is_empty(simulator)


def test_a_corrupt_store_leaves_it_up_locked_and_saying_so(risk, trader, simulator):
    armed_with_a_book(risk, trader)
    risk.stop()
    risk.store.write_bytes(b"no database at all" * 1000)
    risk.start()
    assert risk.state == "LOCKED"
    found = risk.status()
    assert found["is_store_corrupt"]
    assert "corrupt" in found["reason"]
    texts = [alarm["text"] for alarm in risk.call("/v1/alarms")["alarms"]]
    assert any("the store was corrupt" in text for text in texts)
    assert list(risk.store.parent.glob("risk.sqlite.corrupt-*"))
    time.sleep(1.5)
    assert len(simulator.admin("/account?venue=binance")["positions"]) == 5
    risk.arm()
    assert not risk.status()["is_store_corrupt"]


def test_a_lost_store_is_locked_and_closes_nothing(risk, trader, simulator):
    armed_with_a_book(risk, trader)
    risk.kill()
    for part in risk.store.parent.glob("risk.sqlite*"):
        part.unlink()
    risk.start()
    crash(simulator)
    time.sleep(2.5)
    assert risk.status()["state"] == "LOCKED"
    assert len(simulator.admin("/account?venue=binance")["positions"]) == 5


def test_a_second_daemon_on_one_store_is_refused(risk):
    risk.start()
    code, said = risk.refusal()
    assert code != 0
    assert "another risk daemon holds the store" in said
    assert len(said.strip().splitlines()) == 1


def test_an_unreachable_venue_at_the_start_leaves_it_up(tmp_path, simulator):
    venue = simulator.venue | {"rest": "http://127.0.0.1:9"}
    risk = RiskProcess(tmp_path, venue)
    try:
        risk.start()
        wait_for(lambda: risk.status()["venues"][0]["problem"], 5)
        found = risk.call("/v1/rearm", {"who": "tests", "reason": "x"})
        assert "not checked yet" in found["error"]
    finally:
        risk.stop()


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"drawdown_fraction_max": 0}, "risk.drawdown_fraction_max"),
        ({"drawdown_fraction_max": -0.1}, "risk.drawdown_fraction_max"),
        ({"drawdown_fraction_max": 1.5}, "risk.drawdown_fraction_max"),
        ({"listen": "nonsense"}, "must be host:port"),
        ({"listen": "127.0.0.1:99999"}, "must be host:port"),
        ({"token": "", "listen": "0.0.0.0:0"}, "risk.token must be set"),
        ({"kill_at_step": "somewhere"}, "risk.kill_at_step must be one of"),
    ],
)
def test_bad_settings_are_one_sentence(risk, simulator, settings, sentence):
    risk.settings(simulator.venue, **settings)
    listen = settings.get("listen", "127.0.0.1:0")
    code, said = risk.refusal("--listen", listen)
    assert code != 0
    assert sentence in said
    assert len(said.strip().splitlines()) == 1
    assert not risk.store.exists(), "nothing half-written"


@pytest.mark.parametrize(
    ("own", "sentence"),
    [
        ({"key": "", "secret": ""}, "needs a key of its own"),
        ({"secret": "wrong"}, "refuses the key"),
        ({"key": "wrong"}, "refuses the key"),
    ],
)
def test_keys_that_do_not_work_end_the_start(risk, simulator, own, sentence):
    venue = simulator.venue
    risk.settings(venue | {"risk": venue["risk"] | own})
    code, said = risk.refusal()
    assert code != 0
    assert sentence in said
    assert len(said.strip().splitlines()) == 1


def test_a_taken_port_is_one_sentence(risk, simulator):
    taken = simulator.rest.removeprefix("http://")
    code, said = risk.refusal("--listen", taken)
    assert code != 0
    assert f"cannot listen on {taken}" in said


def test_it_is_ready_soon_and_stays_small(risk):
    risk.start()
    time.sleep(3)
    status = Path(f"/proc/{risk.process.pid}/status").read_text()
    fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    assert int(fields["VmRSS"].split()[0]) < 200_000
    assert risk.ready_seconds < 10, "the goal is 2 s on an idle machine"


def test_it_never_loads_what_it_does_not_need():
    """DESIGN 6: neither alarms, data frames, kernels, the bus nor a strategy."""
    code = (
        "import sys, json, cryptoquantix.cli, cryptoquantix.apps.risk;"
        "print(json.dumps(sorted(sys.modules)))"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, timeout=60
    )
    loaded = json.loads(found.stdout)
    roots = {name.partition(".")[0] for name in loaded}
    assert not roots & set(FORBIDDEN)
    for package in ("strategies", "orders", "journal", "bus", "alarms", "live"):
        assert f"cryptoquantix.{package}" not in loaded


def test_the_running_daemon_has_no_foreign_library_mapped(risk, trader):
    armed_with_a_book(risk, trader)
    time.sleep(1.5)
    maps = Path(f"/proc/{risk.process.pid}/maps").read_text()
    for name in ("numpy", "polars", "numba", "llvmlite", "sqlalchemy"):
        assert f"/{name}/" not in maps


def test_every_second_is_in_the_store(risk, trader):
    armed_with_a_book(risk, trader)
    time.sleep(5)
    risk.stop()
    connection = sqlite3.connect(risk.store)
    times = [t for (t,) in connection.execute("SELECT time_ns FROM samples")]
    connection.close()
    times.sort()
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert len(times) >= 5
    assert max(gaps) < 1_900_000_000, "no missing second"


def test_it_ends_when_told_to_and_says_nothing_is_wrong(risk):
    risk.start()
    assert end(risk.process) == 0


def test_a_step_to_die_at_is_refused_with_a_live_venue(risk, simulator):
    live = {"rest": "https://fapi.binance.com", "ws": "wss://fstream.binance.com"}
    risk.settings(simulator.venue | live, kill_at_step="latched")
    code, said = risk.refusal()
    assert code != 0
    assert "for drills on this machine" in said
    assert len(said.strip().splitlines()) == 1


def test_the_audit_log_is_checked_beside_the_running_daemon_and_after_it(risk):
    def audit(*args):
        command = [sys.executable, "-m", "cryptoquantix", "risk", "audit", *args]
        command += ["--config", str(risk.config)]
        return subprocess.run(command, capture_output=True, timeout=30, check=False)

    risk.start()
    wait_for(lambda: risk.status()["self_tests"], 10)
    found = audit("--verify", "--json")
    assert found.returncode == 0, found.stderr
    assert json.loads(found.stdout)["ok"]
    assert b"created" in audit().stdout
    risk.stop()
    connection = sqlite3.connect(risk.store)
    connection.execute("DROP TRIGGER audit_stands")
    connection.execute("UPDATE audit SET content = '{}' WHERE sequence = 2")
    connection.commit()
    connection.close()
    found = audit("--verify")
    assert found.returncode == 1
    assert b"NOT AS WRITTEN: entry 2 of the audit log" in found.stdout

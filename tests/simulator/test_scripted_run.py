"""A scenario played by the process: prices and faults at their second of the tape."""

from __future__ import annotations

import subprocess
import sys
import time
from decimal import Decimal

from processes import start_simulator, wait_for

SCRIPT = """
volatility_per_day = 0.0001

[[path]]
points = [[0, 0], [30, 0], [60, -20], [60, -25]]

[[fault]]
at = 45
kind = "503"
venue = "binance"
seconds = 60

[[fault]]
at = 50
kind = "deposit"
amount = "77"
"""


def test_prices_and_faults_follow_the_script(tmp_path):
    file = tmp_path / "script.toml"
    file.write_text(SCRIPT)
    args = ("--scenario", str(file), "--speed", "40", "--instruments", "BTCUSDT")
    with start_simulator(tmp_path, *args, "--balance", "1000") as simulator:

        def price() -> Decimal:
            return Decimal(simulator.admin("/state")["prices"]["binance"]["BTCUSDT"])

        wait_for(lambda: price() < 48_000, 10)
        assert price() > 44_000
        time.sleep(0.5)
        assert abs(price() - 45_000) < 100
        faults = simulator.admin("/faults")["faults"]
        assert [f["kind"] for f in faults] == ["503"]
        assert simulator.admin("/account?venue=binance")["wallet"] == "1077.00000000"


def test_an_unknown_scenario_names_those_there_are(tmp_path):
    command = [sys.executable, "-m", "cryptoquantix", "simulate", "--scenario", "nope"]
    done = subprocess.run(
        command, capture_output=True, timeout=30, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 1
    assert "one-venue-de-peg" in done.stderr


def test_a_seed_plans_faults_and_they_are_shown(tmp_path):
    args = ("--fault-seed", "4", "--faults-per-minute", "30")
    with start_simulator(tmp_path, *args) as simulator:
        plan = simulator.admin("/faults")["faults"]
    with start_simulator(tmp_path, *args) as simulator:
        again = simulator.admin("/faults")["faults"]
    assert len(plan) > 500
    assert [(f["kind"], f["id"]) for f in plan[-100:]] == [
        (f["kind"], f["id"]) for f in again[-100:]
    ]

"""Execution and the real risk daemon, each a process, on one simulated account."""

from __future__ import annotations

import json
import select
import subprocess
import sys

import pytest

from live.rig import STRATEGIES, STRATEGY, Rig, settings_text
from live.test_execution import holds
from processes import end, start_nats, start_simulator, wait_for

TOKEN = "a-token-of-this-test"


def cqx(config, *args) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "cryptoquantix", *args, "--config", str(config)]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False
    )


def operator(config, verb: str) -> None:
    done = cqx(config, verb, "--who", "Ada", "--reason", "a test of both processes")
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_the_daemon_arms_halts_and_rearms_execution(tmp_path):
    with (
        start_simulator(
            tmp_path, "--generate", "1", "--instruments", "BTCUSDT"
        ) as simulator,
        start_nats(tmp_path) as nats,
    ):
        config = tmp_path / "cryptoquantix.toml"
        text = settings_text(tmp_path, simulator, nats, "http://127.0.0.1:1", TOKEN)
        text += STRATEGIES.format(name=STRATEGY, symbol="BTCUSDT", bar_seconds=60)
        risk = simulator.venue["risk"]
        text += (
            f'[venues.binance.risk]\nkey = "{risk["key"]}"\n'
            f'secret = "{risk["secret"]}"\n'
        )
        config.write_text(text)
        config.chmod(0o600)
        with (tmp_path / "risk.log").open("ab") as log:
            daemon = subprocess.Popen(
                [
                    *(sys.executable, "-m", "cryptoquantix", "risk", "--json"),
                    *("--listen", "127.0.0.1:0", "--config", str(config)),
                ],
                stdout=subprocess.PIPE,
                stderr=log,
            )
        rig = Rig(tmp_path, simulator, nats, config)
        try:
            ready, _, _ = select.select([daemon.stdout], [], [], 30)
            assert ready, (tmp_path / "risk.log").read_text()
            listening = json.loads(daemon.stdout.readline())["listening"]
            config.write_text(text.replace('127.0.0.1:1"', f'{listening}"'))
            process = rig.start()
            rig.wait_reconciled(process)

            rig.target("BTCUSDT", 0.5)
            wait_for(lambda: "no live permit" in rig.log(), 20)
            assert rig.sent() == []  # LOCKED until a person arms it

            operator(config, "rearm")
            holds(rig, "BTCUSDT", 50_000 / float(rig.price("BTCUSDT")), 40)

            operator(config, "halt")
            wait_for(lambda: not rig.positions(), 40)
            wait_for(lambda: "trading loop 1 ended" in rig.log(), 20)
            mine = [r for r in rig.sent() if r["key_role"] == "trade"]
            rig.target("BTCUSDT", -0.5)
            assert [r for r in rig.sent() if r["key_role"] == "trade"] == mine

            def rearmed() -> bool:
                done = cqx(config, "rearm", "--who", "Ada", "--reason", "all is flat")
                return done.returncode == 0

            wait_for(rearmed, 60, 1.0)
            holds(rig, "BTCUSDT", -50_000 / float(rig.price("BTCUSDT")), 40)
            kinds = {r["kind"] for r in rig.reports()}
            assert "foreign fills" in kinds  # the daemon's close is no order of ours
            assert "position differs" not in kinds  # and yet it is booked
            assert process.poll() is None
        finally:
            for one in (*rig.processes, daemon):
                end(one)
            daemon.stdout.close()
        only = [r for r in mine if r["clientOrderId"] in rig.journalled()]
        assert only == mine

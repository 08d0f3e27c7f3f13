"""Execution as a process of its own, against a simulator whose log is the judge."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from live.rig import Rig, execution_rig
from processes import end, start_nats, wait_for


def judge(rig: Rig) -> None:
    """No order at the venue without a journal entry before it, and none twice."""
    sent = rig.sent()
    names = [r["clientOrderId"] for r in sent]
    journalled = rig.journalled()
    assert len(names) == len(set(names)), "an id was sent twice"
    for request in sent:
        record = journalled[request["clientOrderId"]]
        assert record["created_ns"] <= request["time_ns"]
        is_reduction = str(request.get("reduceOnly")).lower() == "true"
        assert is_reduction == (record["kind"] == "reduction")


def holds(rig: Rig, symbol: str, size: float, seconds: float = 20) -> None:
    """Wait until the simulated account holds ``size``, give or take the band."""
    near = max(abs(size) * 0.05, 0.001)
    wait_for(lambda: abs(rig.positions().get(symbol, 0.0) - size) < near, seconds)


def test_targets_become_positions_and_all_is_journalled(tmp_path):
    with execution_rig(tmp_path, symbols=("BTCUSDT", "ETHUSDT")) as rig:
        process = rig.start()
        rig.wait_reconciled(process)
        rig.targets({"BTCUSDT": 0.5, "ETHUSDT": -0.4})
        holds(rig, "BTCUSDT", 50_000 / float(rig.price("BTCUSDT")))
        holds(rig, "ETHUSDT", -40_000 / float(rig.price("ETHUSDT")))
        rig.target("BTCUSDT", -0.3)
        holds(rig, "BTCUSDT", -30_000 / float(rig.price("BTCUSDT")))
        rig.targets({"BTCUSDT": 0.0, "ETHUSDT": 0.0})
        wait_for(lambda: not rig.positions(), 20)
        judge(rig)
        fills = rig.simulator.log("fill")
        wait_for(lambda: len(rig.fills()) == len(fills), 10)
        assert all(f["client_order_id"] for f in rig.fills())
        assert end(process) == 0


@pytest.mark.slow
def test_permits_bound_what_is_sent_and_a_halt_ends_the_loop(tmp_path):
    with execution_rig(tmp_path) as rig:
        rig.permit("reduce_only")
        process = rig.start()
        rig.wait_reconciled(process)
        rig.target("BTCUSDT", 0.5)
        time.sleep(2.0)
        assert rig.sent() == []
        rig.permit("trade")
        wait_for(rig.positions, 20)
        rig.permit("silent")
        time.sleep(5.5)  # the life of a permit
        rig.target("BTCUSDT", 1.0)
        time.sleep(1.0)
        assert len(rig.sent()) == 1
        rig.target("BTCUSDT", 0.2)  # a reduction asks nobody
        holds(rig, "BTCUSDT", 20_000 / float(rig.price("BTCUSDT")))
        rig.permit("halted")
        wait_for(lambda: '"trading loop 1 ended"' in rig.log(), 10)
        count = len(rig.sent())
        rig.target("BTCUSDT", -0.5)
        time.sleep(2.0)
        assert len(rig.sent()) == count
        assert process.poll() is None
        rig.permit("trade")
        rig.wait_reconciled(process, times=2)
        holds(rig, "BTCUSDT", -50_000 / float(rig.price("BTCUSDT")))
        judge(rig)


def test_a_target_left_from_yesterday_opens_nothing(tmp_path):
    with execution_rig(tmp_path) as rig:
        rig.target("BTCUSDT", 0.5, age_seconds=86_400)
        process = rig.start()
        rig.wait_reconciled(process)
        wait_for(lambda: "older than 3 bars" in rig.log(), 10)
        assert rig.sent() == []


@pytest.mark.slow
def test_the_bus_may_restart(tmp_path):
    with execution_rig(tmp_path) as rig:
        process = rig.start()
        rig.wait_reconciled(process)
        rig.target("BTCUSDT", 0.5)
        holds(rig, "BTCUSDT", 50_000 / float(rig.price("BTCUSDT")))
        rig.nats.process.kill()
        rig.nats.process.wait()
        with start_nats(tmp_path, rig.nats.port):
            rig.target("BTCUSDT", -0.5)
            holds(rig, "BTCUSDT", -50_000 / float(rig.price("BTCUSDT")))
            judge(rig)
        assert process.poll() is None


def kill_in_the_middle(rig: Rig, process: subprocess.Popen, target: float, how: str):
    """Publish a target, and SIGKILL execution on its way to the venue."""
    known, sent = len(rig.journalled()), len(rig.sent())
    publishing = threading.Thread(target=rig.target, args=("BTCUSDT", target))
    publishing.start()
    if how == "written":  # between the journal and the venue's answer
        wait_for(lambda: len(rig.journalled()) > known, 20, 0.0005)
    elif how == "sent":  # between the venue and the note of its answer
        wait_for(lambda: len(rig.sent()) > sent, 20, 0.0005)
    else:
        time.sleep(float(how))
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    publishing.join()


@pytest.mark.slow
def test_sigkill_at_any_moment_leaves_no_order_unjournalled_and_none_doubled(tmp_path):
    random = np.random.default_rng(7)
    with execution_rig(tmp_path) as rig:
        process = rig.start()
        rig.wait_reconciled(process)
        side = 1
        whens = [
            "written",
            "sent",
            "written",
            "sent",
            *map(str, random.uniform(0, 0.3, 3)),
        ]
        for index, how in enumerate(whens):
            if index and how in {"written", "sent"}:
                # What it waits for comes only where the target before was reached.
                holds(rig, "BTCUSDT", 50_000 * side / float(rig.price("BTCUSDT")))
            side = -side
            kill_in_the_middle(rig, process, 0.5 * side, how)
            count = rig.log().count('"event": "reconciled"')
            process = rig.start()
            rig.wait_reconciled(process, times=count + 1)
        holds(rig, "BTCUSDT", 50_000 * side / float(rig.price("BTCUSDT")))
        judge(rig)
        wait_for(lambda: len(rig.fills()) == len(rig.simulator.log("fill")), 20)
        assert all(f["client_order_id"] for f in rig.fills())
        ended = {o["state"] for o in rig.journalled().values()}
        assert ended <= {"filled", "not_found", "canceled"}


@pytest.mark.slow
def test_an_outage_leaves_no_order_in_doubt(tmp_path):
    with execution_rig(tmp_path) as rig:
        process = rig.start()
        rig.wait_reconciled(process)
        rig.target("BTCUSDT", 0.5)
        holds(rig, "BTCUSDT", 50_000 / float(rig.price("BTCUSDT")))
        for kind, target in (("hang", -0.5), ("503", 0.5), ("refuse", -0.5)):
            outage = {"venue": "binance", "seconds": 4, "kind": kind}
            rig.simulator.admin("/outage", outage)
            rig.target("BTCUSDT", target)
            holds(rig, "BTCUSDT", 100_000 * target / float(rig.price("BTCUSDT")), 40)
        judge(rig)
        assert process.poll() is None

        def all_ended() -> bool:
            ended = {o["state"] for o in rig.journalled().values()}
            return ended <= {"filled", "not_found", "refused"}

        wait_for(all_ended, 10)


def run_refused(config) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "cryptoquantix", "execution", "--config", str(config)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("cqx: ")
    assert "Traceback" not in done.stderr
    return last


@pytest.mark.slow
def test_bad_input_is_one_sentence_and_exit_code_one(tmp_path):
    with execution_rig(tmp_path) as rig:
        text = rig.config.read_text()
        bad = tmp_path / "bad.toml"
        bad.touch(0o600)
        secret = rig.simulator.venue["secret"]
        bad.write_text(text.replace(secret, "0" * len(secret)))
        assert "refuses the key" in run_refused(bad)
        bad.write_text(text.replace(f'secret = "{secret}"', 'secret = ""'))
        assert "no key and secret" in run_refused(bad)
        bad.write_text(text.replace("BTCUSDT-PERP", "NOSUCHUSDT-PERP"))
        assert "not traded" in run_refused(bad)
        bad.write_text(text.replace("-PERP", "-SPOT"))
        assert "perpetuals only" in run_refused(bad)
        bad.write_text(text.partition("[[strategies]]")[0])
        assert "no strategy" in run_refused(bad)
        rig.wait_reconciled(rig.start())
        assert "in use by another" in run_refused(rig.config)

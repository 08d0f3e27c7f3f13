"""The operator's commands through the command line, against a served status."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from cryptoquantix.control.build import build_stamp
from cryptoquantix.control.status import (
    RemainingOrder,
    RemainingPosition,
    RiskState,
    RiskStatus,
    TripRecord,
    VenueStatus,
)
from statuses import status


class Daemon:
    """Serves one status and records the orders it gets."""

    def __init__(self) -> None:
        self.status = status(build=build_stamp())
        self.orders: list[tuple[str, dict]] = []
        self.refusal = ""
        daemon = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.answer(200, daemon.status.to_json())

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                daemon.orders.append((self.path, json.loads(body)))
                if daemon.refusal:
                    self.answer(409, json.dumps({"error": daemon.refusal}))
                else:
                    self.answer(200, '{"ok": true, "state": "LOCKED"}')

            def answer(self, code: int, text: str) -> None:
                self.send_response(code)
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_: object) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def stop(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def daemon():
    running = Daemon()
    yield running
    running.stop()


def cqx(tmp_path: Path, url: str, *arguments: str) -> subprocess.CompletedProcess:
    config = tmp_path / "cryptoquantix.toml"
    if not config.exists():
        config.write_text(f'[risk]\nurl = "{url}"\n')
    command = [sys.executable, "-m", "cryptoquantix", *arguments]
    return subprocess.run(
        [*command, "--config", str(config)],
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
    )


def test_a_well_guard_is_shown_with_its_formula_and_exits_zero(
    tmp_path, daemon
) -> None:
    run = cqx(tmp_path, daemon.url, "status")
    assert run.returncode == 0, run.stderr
    for part in ("ARMED", "1 - 99000 / 100000", "0.03", "400 ms", "execution"):
        assert part in run.stdout


def test_not_flat_is_shown_with_what_is_open_and_exits_nonzero(
    tmp_path, daemon
) -> None:
    daemon.status = status(
        build=build_stamp(),
        state=RiskState.VERIFYING,
        not_flat="NOT FLAT: BTCUSDT 0.5",
        is_flat=False,
        trip=TripRecord("1", "drawdown", 10**18, "96000", "100000", "0.04"),
        remaining_positions=(
            RemainingPosition("binance", "BTCUSDT", "BOTH", "0.5", "60000"),
        ),
        remaining_orders=(
            RemainingOrder(
                *("binance", "ETHUSDT", "1", "cqx-1", "algo", "sell", "3"),
                may_increase=False,
            ),
        ),
        venues=(VenueStatus("binance", "", 100, "96000"),),
    )
    page = cqx(tmp_path, daemon.url, "status")
    assert page.returncode == 1
    for part in ("NOT FLAT: BTCUSDT 0.5", "ETHUSDT", "not yet", "1 - 96000 / 100000"):
        assert part in page.stdout
    value = json.loads(cqx(tmp_path, daemon.url, "status", "--json").stdout)
    assert value["ok"] is False
    assert value["state"] == "VERIFYING"
    assert value["problems"][0] == "NOT FLAT: BTCUSDT 0.5"
    assert RiskStatus.from_json(json.dumps(value)) == daemon.status


def test_an_absent_daemon_is_a_problem_and_not_a_stack_trace(tmp_path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        run = cqx(tmp_path, url, "status", "--json")
        assert run.returncode == 1
        value = json.loads(run.stdout)
        assert value["ok"] is False
        assert "Connection refused" in value["problems"][0]
        run = cqx(tmp_path, url, "halt", "--who", "ada", "--reason", "test")
        assert run.returncode == 1
        assert run.stderr.startswith("cqx: cannot reach the risk daemon")
        assert "Traceback" not in run.stderr


@pytest.mark.parametrize("verb", ["halt", "flatten", "rearm"])
def test_an_order_names_who_and_why_and_says_what_it_means(
    tmp_path, daemon, verb
) -> None:
    run = cqx(tmp_path, daemon.url, verb, "--who", "ada", "--reason", "a test")
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith(f"{verb}: ")
    assert "LOCKED" in run.stdout
    assert daemon.orders == [(f"/v1/{verb}", {"who": "ada", "reason": "a test"})]


def test_nobody_and_nothing_are_no_who_and_no_why(tmp_path, daemon) -> None:
    for arguments in ([], ["--who", "ada"], ["--who", " ", "--reason", "x"]):
        run = cqx(tmp_path, daemon.url, "rearm", *arguments)
        assert run.returncode == 1
        assert "--who NAME --reason TEXT" in run.stderr
    assert daemon.orders == []


def test_a_refusal_is_the_daemons_own_sentence(tmp_path, daemon) -> None:
    daemon.refusal = "not flat: BTCUSDT 0.5"
    run = cqx(tmp_path, daemon.url, "rearm", "--who", "ada", "--reason", "x")
    assert run.returncode == 1
    assert run.stderr == "cqx: not flat: BTCUSDT 0.5\n"


def test_a_live_venue_is_not_armed_by_accident(tmp_path, daemon) -> None:
    config = tmp_path / "cryptoquantix.toml"
    config.write_text(
        f'[risk]\nurl = "{daemon.url}"\n[venues.binance]\n'
        'rest = "https://fapi.binance.com"\nws = "wss://fstream.binance.com"\n'
    )
    who = ["--who", "ada", "--reason", "x"]
    run = cqx(tmp_path, daemon.url, "rearm", *who)
    assert run.returncode == 1
    assert "--live" in run.stderr
    assert daemon.orders == []
    assert cqx(tmp_path, daemon.url, "halt", *who).returncode == 0
    assert cqx(tmp_path, daemon.url, "rearm", *who, "--live").returncode == 0

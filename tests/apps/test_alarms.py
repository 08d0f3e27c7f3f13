"""``cqx alarms`` as a process: beside a real daemon, in its way never."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from cryptoquantix.apps.alarms import test as try_channels
from cryptoquantix.apps.alarms import test_text as text_of
from cryptoquantix.core.errors import SettingsError
from machine import Pauses
from processes import end, start_simulator, wait_for
from risk_server.conftest import RiskProcess
from trader import Trader

CQX = [sys.executable, "-m", "cryptoquantix"]
TOKEN = "123456:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
OWNER = 42
SECRET = "hunter2secret"


class Telegram:
    """The stand-in as a process."""

    def __init__(self, url: str) -> None:
        self.url = url

    def post(self, path: str, value: dict) -> None:
        data = json.dumps(value).encode()
        urllib.request.urlopen(f"{self.url}{path}", data, timeout=5).close()

    def say(self, text: str) -> None:
        self.post("/say", {"chat_id": OWNER, "user_id": OWNER, "text": text})

    def texts(self) -> list[str]:
        url = f"{self.url}/calls?method=sendMessage"
        with urllib.request.urlopen(url, timeout=5) as answer:
            calls = json.load(answer)["calls"]
        return [c["parameters"]["text"] for c in calls if c["status"] == 200]


@contextmanager
def announced(command, log, env=None):
    """A process that says in one line that it is ready; ended on exit."""
    with log.open("ab") as errors:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, env=os.environ | (env or {})
        )
    try:
        # Who draws in aiogram and Apprise needs four seconds of a core to start.
        ready, _, _ = select.select([process.stdout], [], [], 90.0)
        text = process.stdout.readline() if ready else b""
        assert text, log.read_text()
        yield process, json.loads(text)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
        end(process)
        process.stdout.close()


@pytest.fixture
def telegram(tmp_path):
    command = [sys.executable, "-m", "cryptoquantix.drills.telegram_stand_in"]
    with announced(command, tmp_path / "telegram.log") as (_, line):
        yield Telegram(line["telegram"])


@pytest.fixture
def receiver():
    """A receiver of `json://`: its port, and the titles and bodies it got."""
    got = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port, got
    server.shutdown()
    thread.join()
    server.server_close()


def settings(folder, telegram, *, risk="", alarms="", apprise=""):
    path = folder / "alarms.toml"
    path.touch(mode=0o600)
    path.write_text(
        f'directory = "{folder}/var"\n[risk]\n{risk}\n[alarms]\n{alarms}\n'
        f'[alarms.telegram]\nbase_url = "{telegram.url}"\ntoken = "{TOKEN}"\n'
        f"chat_id = {OWNER}\n[alarms.apprise]\n{apprise}\n"
    )
    return path


def cqx(config, *arguments):
    return subprocess.run(
        [*CQX, *arguments, "--config", str(config)],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_a_test_alarm_says_of_each_channel_what_became_of_it(
    tmp_path, telegram, receiver
) -> None:
    port, got = receiver
    config = settings(
        tmp_path,
        telegram,
        apprise=f'hook = "json://ada:{SECRET}@127.0.0.1:{port}"\n'
        f'gone = "json://ada:{SECRET}@127.0.0.1:9"',
    )
    run = cqx(config, "alarms", "test", "--json")
    assert run.returncode == 1
    value = json.loads(run.stdout)
    found = {name: one["ok"] for name, one in value["channels"].items()}
    assert found == {"telegram": True, "hook": True, "gone": False}
    assert "test of cryptoquantix's alarms" in telegram.texts()[0]
    assert "test of cryptoquantix's alarms" in got[0]["message"]
    telegram.post("/fail", {"count": 1, "status": 401})
    page = text_of(try_channels(config))
    assert "Unauthorized" in page
    for text in (run.stdout, run.stderr, page):
        assert SECRET not in text
        assert TOKEN not in text


@pytest.mark.parametrize(
    ("alarms", "apprise", "names"),
    [
        ('required = ["pager"]', "", "alarms.required names 'pager'"),
        ("", 'telegram = "json://127.0.0.1"', "a channel called telegram"),
        ("", f'pager = "nonsense://{SECRET}"', "alarms.apprise.pager is no URL"),
        ('all_clear_at = "25:00"', "", "alarms.all_clear_at"),
    ],
)
def test_channels_that_cannot_be_are_one_sentence(
    tmp_path, alarms, apprise, names
) -> None:
    config = settings(tmp_path, Telegram("http://x"), alarms=alarms, apprise=apprise)
    with pytest.raises(SettingsError, match=names) as caught:
        try_channels(config)
    assert SECRET not in str(caught.value)


@pytest.fixture
def guarded(tmp_path, telegram):
    """A simulator, an armed daemon with a book, and the settings of an alarms."""
    with start_simulator(tmp_path, "--generate", "5", "--no-rate-limits") as simulator:
        risk = RiskProcess(tmp_path, simulator.venue)
        try:
            risk.start()
            trader = Trader(
                simulator.rest, simulator.venue["key"], simulator.venue["secret"]
            )
            trader.market("BTCUSDT", "BUY", "0.1")
            risk.arm()
            url = f'url = "http://{risk.address}"\ntoken = "secret"'
            yield simulator, risk, settings(tmp_path, telegram, risk=url)
        finally:
            risk.stop()


@pytest.mark.slow
@pytest.mark.timeout(300)  # eight processes
def test_the_daemon_works_with_alarms_hanging_dead_and_out_of_reach(
    tmp_path, telegram, guarded
) -> None:
    simulator, risk, config = guarded
    log = tmp_path / "alarms.log"
    telegram.post("/fail", {"count": 10_000, "hang_seconds": 60})
    command = [*CQX, "alarms", "--json", "--config", str(config)]
    with announced(command, log) as (alarms, line):
        assert line["channels"] == ["telegram"]
        time.sleep(1)
        # It stops in the middle of whatever it was asking, its sockets open.
        alarms.send_signal(signal.SIGSTOP)
        with Pauses() as pauses:
            began, before = time.monotonic(), risk.status()
            simulator.admin("/watch", {"venue": "binance", "threshold": "0.03"})
            crash = {"venue": "binance", "symbol": "*", "factor": "0.5"}
            simulator.admin("/price", crash)
            found = risk.until("HALTED")
            paused = pauses.between(began, time.monotonic())
        trip = found["trip"]
        flat_seconds = (trip["flat_time_ns"] - trip["decided_time_ns"]) / 1e9
        assert flat_seconds - paused < 3
        # A second is missed only where the machine itself stood still.
        assert found["missed_seconds"] - before["missed_seconds"] <= paused
        assert found["alarms_undelivered"] >= 2
        account = simulator.admin("/account?venue=binance")
        assert not account["positions"]
    # Dead now. What was raised meanwhile waits in the daemon, and is told later.
    telegram.post("/fail", {"count": 0})
    with announced(command, log) as (alarms, _):
        wait_for(lambda: any("Flat is verified" in t for t in telegram.texts()))
        wait_for(lambda: risk.status()["alarms_undelivered"] == 0)
        waiting = json.loads(cqx(config, "status", "--json").stdout)["alarms"]
        assert any("drawdown" in text for text in waiting["unacknowledged"])
        assert waiting["channels"] == {"telegram": {"ok": True, "problem": ""}}
        done = cqx(config, "alarms", "ack", "--who", "ada", "--json")
        assert json.loads(done.stdout)["taken"], done.stderr
        kept = tmp_path / "var" / "alarms" / "progress.json"
        wait_for(lambda: json.loads(kept.read_text())["unseen"] == [])
    for secret in (TOKEN, TOKEN.split(":")[1]):
        assert secret not in log.read_text()


@pytest.mark.slow
@pytest.mark.timeout(300)  # six processes
def test_a_halt_from_the_chat_ends_flat_and_the_watchdog_hears_the_silence(
    tmp_path, telegram, guarded
) -> None:
    simulator, risk, config = guarded
    command = [*CQX, "alarms", "--json", "--config", str(config)]
    with announced(command, tmp_path / "alarms.log") as (alarms, _):
        telegram.say("/halt")
        text = wait_for(lambda: next((t for t in telegram.texts() if "/c" in t), ""))
        telegram.say(text.split("\n")[1])
        risk.until("HALTED")
        assert risk.status()["trip"]["cause"] == "by hand"
        assert f"Telegram user {OWNER}" in risk.status()["reason"]
        assert not simulator.admin("/account?venue=binance")["positions"]
        wait_for(lambda: any(t.startswith("halt: the") for t in telegram.texts()))
        alarms.kill()
    environment = {
        "CQX_CONFIG": str(outside(tmp_path)),
        "CQX_RISK__URL": f"http://{risk.address}",
        "CQX_RISK__TOKEN": "secret",
        "CQX_ALARMS__TELEGRAM__BASE_URL": telegram.url,
        "CQX_ALARMS__TELEGRAM__TOKEN": TOKEN,
        "CQX_ALARMS__TELEGRAM__CHAT_ID": str(OWNER),
        "CQX_ALARMS__DAEMON_SILENT_SECONDS": "1.5",
    }
    watchdog = [*CQX, "alarms", "--watch-only", "--json"]
    log = tmp_path / "watchdog.log"
    with announced(watchdog, log, environment) as (_, line):
        assert line["watch_only"] is True
        time.sleep(1)
        risk.kill()
        wait_for(lambda: any("has been silent for" in t for t in telegram.texts()))
        # The same port again: the daemon is back.
        with announced(risk.command("--listen", risk.address), tmp_path / "again.log"):
            wait_for(lambda: any("answers again" in t for t in telegram.texts()))


def outside(tmp_path):
    """Settings of another machine: a directory of its own and nothing else."""
    path = tmp_path / "outside" / "cqx.toml"
    path.parent.mkdir()
    path.write_text('directory = "var"\n')
    return path

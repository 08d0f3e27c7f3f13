"""A paper account from the first command to the last, as its user runs it."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import stat
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest
from click.testing import Result
from typer.testing import CliRunner

from cryptoquantix.cli import app
from cryptoquantix.core.errors import SettingsError
from cryptoquantix.journal.reader import JournalReader
from cryptoquantix.supervisor.process import identify
from cryptoquantix.supervisor.record import read_record
from paper_rig import free_port
from postgresql import is_installed, start_postgresql
from processes import SimulatorProcess, end, start_simulator, wait_for

TESTS = Path(__file__).parents[1]
INSTRUMENT = "binance:BTCUSDT-PERP"
SERVICES = (
    *("nats", "simulator", "risk", "feed-binance", "strategy"),
    *("execution", "recorder", "alarms"),
)
WHO = ("--who", "ada", "--reason", "a test")
TICK = Decimal("0.1")


class Account:
    """One settings file and the commands a user gives with it."""

    def __init__(self, folder: Path, mirror: str) -> None:
        self.mirror = mirror
        self.names = (*SERVICES[:-1], *(["mirror"] if mirror else []), SERVICES[-1])
        self.config = folder / "cryptoquantix.toml"
        self.directory = folder / "var"

    def cqx(self, *arguments: str) -> str:
        """What a command prints; in this process, which saves a second each."""
        done = self.invoke(*arguments)
        assert done.exit_code == 0, (done.output, done.exception)
        return done.stdout

    def invoke(self, *arguments: str) -> Result:
        return CliRunner().invoke(app, [*arguments, "--config", str(self.config)])

    def status(self) -> dict:
        """What ``cqx status`` says, also where the guard is not well just now."""
        return json.loads(self.invoke("status", "--json").stdout)

    def fills(self) -> list:
        try:
            return self.journal().fills()
        except SettingsError:
            return []

    def journal(self) -> JournalReader:
        return JournalReader(self.directory / "journal" / "journal.sqlite")

    def services(self) -> dict:
        found = read_record(self.directory / "up" / "services.json")
        return {one.name: one for one in found.services} if found else {}

    def is_ready(self, *names: str) -> bool:
        found = self.services()
        return all(n in found and found[n].condition == "ready" for n in names)

    @contextmanager
    def up(self) -> Iterator[subprocess.Popen]:
        command = [sys.executable, "-m", "cryptoquantix", "up", "--json"]
        # A user's own strategy is found where Python looks.
        path = os.pathsep.join((str(TESTS), os.environ.get("PYTHONPATH", "")))
        process = subprocess.Popen(
            [*command, "--config", str(self.config)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": path},
        )
        try:
            yield process
        finally:
            found = self.services()
            end(process, 30.0)
            process.stdout.close()
            process.stderr.close()
            for service in found.values():
                if service.pid and (left := identify(service.pid)):
                    left.send(signal.SIGKILL)


def init(account: Account, real: SimulatorProcess) -> None:
    """``cqx init --paper``, on free ports, and the stand-in as the real venue."""
    done = CliRunner().invoke(app, ["init", "--paper", "--record", str(account.config)])
    assert done.exit_code == 0, done.output
    assert stat.S_IMODE(account.config.stat().st_mode) == 0o600
    text = account.config.read_text()
    for port in ("4222", "8700", "8600"):
        text = text.replace(f"127.0.0.1:{port}", f"127.0.0.1:{free_port()}")
    head, _, rest = text.partition("[strategies.params]")
    head = head.replace('"trend_breakout"', '"apps.steady"')
    assert "warmup_days = 7" in head  # of which the stand-in makes up three
    head = head.replace("warmup_days = 7", "warmup_days = 1")
    tail = rest.partition("[feeds]")[2]
    text = f"{head}[strategies.params]\nwanted = 0.05\n\n[feeds]{tail}"
    if account.mirror:
        unset = '# mirror = "postgresql://user:password@host:5432/database"'
        assert unset in text
        text = text.replace(unset, f'mirror = "{account.mirror}"')
    source = f'rest = "{real.rest}"\nws = "{real.ws}"\n'
    account.config.write_text(f"{text}\n[simulator.venues.binance]\n{source}")


def best(real: SimulatorProcess) -> tuple[Decimal, Decimal]:
    """The stand-in's best bid and ask."""
    url = f"{real.rest}/fapi/v1/ticker/bookTicker?symbol=BTCUSDT"
    with urllib.request.urlopen(url, timeout=5) as answer:
        value = json.load(answer)
    return Decimal(value["bidPrice"]), Decimal(value["askPrice"])


def prices(fills: list) -> set[Decimal]:
    return {Decimal(one.price) for one in fills}


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_paper_account_from_init_to_a_clean_stop(tmp_path):
    # A spread of its own: nothing but the mirror could quote it.
    options = ("--instruments", "BTCUSDT", "--fixed-spread", "3")
    with ExitStack() as stack:
        # The journal's copy too, where there is a server for it.
        server = stack.enter_context(start_postgresql()) if is_installed() else None
        real = stack.enter_context(start_simulator(tmp_path, *options))
        account = Account(tmp_path / "paper", server.url if server else "")
        init(account, real)
        with account.up() as up:
            _trades_at_the_stand_ins_prices(account, real)
            _is_shown(account, tmp_path)
            account.cqx("flatten", *WHO)
            wait_for(lambda: account.status()["state"] == "LOCKED", 15.0, 0.2)
            _stops_clean(account, up)
        if server is not None:
            # It ended after execution, and so with all that was written.
            reached = server.query("SELECT sequence FROM mirror_state")
            assert reached == [(account.journal().last_change(),)]


def _trades_at_the_stand_ins_prices(account: Account, real: SimulatorProcess) -> None:
    wait_for(lambda: account.is_ready("execution", "strategy"), 60.0, 0.1)
    wait_for(lambda: account.status()["strategies"][0]["sequence"], 30.0, 0.1)
    assert account.fills() == []  # LOCKED: nothing is opened before a person says so
    real.admin("/tape", {"paused": True})
    try:
        account.cqx("rearm", *WHO)
        fills = wait_for(account.fills, 8.0, 0.05)
        bid, ask = best(real)
    finally:
        real.admin("/tape", {"paused": False})
    assert ask - bid == 3 * TICK
    assert prices(fills) == {ask}
    assert {one.side for one in fills} == {"buy"}


def _is_shown(account: Account, folder: Path) -> None:
    wait_for(lambda: account.is_ready(*account.names), 20.0, 0.1)

    def followed() -> dict | None:
        value = account.status()
        rows = value["strategies"]
        # By execution and, a moment before or after it, by the daemon.
        is_read = any(row["entry_price"] for row in value["positions"])
        is_read = is_read and bool(value["held_positions"])
        return value if is_read and rows[0]["is_followed"] else None

    value = wait_for(followed, 10.0, 0.2)
    (fill,) = account.fills()
    assert (value["ok"], value["state"]) == (True, "ARMED"), value["problems"]
    assert [one["name"] for one in value["supervisor"]["services"]] == list(
        account.names
    )
    (feed,), (reading,) = value["feeds"], value["execution"]["readings"]
    assert (feed["problem"], feed["instruments"]) == ("", 1)
    assert abs(feed["clock_offset_ms"]) < 1000
    assert reading["age_ms"] < 30_000
    assert value["execution"]["permit"]["mode"] == "trade"
    assert 0 <= value["execution"]["permit"]["expires_ms"] <= 5_000
    assert value["recorder"]["ticks"] > 0
    if account.mirror:
        assert value["mirror"]["problem"] == ""
        assert value["mirror"]["backlog_rows"] < 100
    else:
        assert value["mirror"] is None
    (held,) = value["positions"]
    assert held["instrument"] == INSTRUMENT
    assert Decimal(held["size"]) == fill.size_lots * Decimal("0.001")
    assert Decimal(held["entry_price"]) == Decimal(fill.price)
    (guarded,) = value["held_positions"]
    assert Decimal(guarded["size"]) == Decimal(held["size"])
    for words in (held["size"], "expires in", "followed", INSTRUMENT):
        assert words in account.cqx("status")
    # The journal, each way it can be printed.
    (order,) = json.loads(account.cqx("journal", "orders", "--json"))["orders"]
    assert (order["side"], order["state"]) == ("buy", "filled")
    (trade,) = csv.DictReader(io.StringIO(account.cqx("journal", "trades", "--csv")))
    assert Decimal(trade["entry_price"]) == Decimal(fill.price)
    assert trade["strategy"] == "apps.steady"
    file = folder / "equity.parquet"
    account.cqx("journal", "equity", "--parquet", str(file))
    assert pl.read_parquet(file)["currency"].to_list() == ["USDT"]


def _stops_clean(account: Account, up: subprocess.Popen) -> None:
    processes = [identify(one.pid) for one in account.services().values()]
    up.send_signal(signal.SIGINT)
    assert up.wait(30) == 0
    assert "the risk daemon was stopped: the book is flat" in up.stderr.read()
    assert not any(process.is_alive for process in processes)
    ended = {name: one.since_ns for name, one in account.services().items()}
    order = ("execution", "strategy", "feed-binance", "recorder", "risk", "nats")
    assert sorted(order, key=ended.__getitem__) == list(order)
    # What was heard is in the catalog, the account is kept.
    listed = json.loads(account.cqx("catalog", "ls", "--json"))["datasets"]
    assert any(one["instrument"] == INSTRUMENT and one["rows"] for one in listed)
    assert (account.directory / "simulator" / "state").exists()

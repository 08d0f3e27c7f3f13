"""Execution as a real process between a real bus, a simulator and a permit stand-in."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from processes import (
    NatsProcess,
    SimulatorProcess,
    end,
    start_nats,
    start_simulator,
    wait_for,
)

STRATEGY = "trend_breakout"
HERE = Path(__file__).parent

SETTINGS = """\
directory = "{directory}"
catalog = "{directory}/catalog"
[venues.binance]
rest = "{rest}"
ws = "{ws}"
key = "{key}"
secret = "{secret}"
[nats]
url = "{nats}"
embedded = false
[risk]
url = "{risk}"
token = "{token}"
[execution]
orders_per_minute_max = 600
"""
STRATEGIES = """
[[strategies]]
name = "{name}"
instrument = "binance:{symbol}-PERP"
bar_seconds = {bar_seconds}
"""


@dataclass
class Rig:
    """Handles on everything a test of execution needs."""

    directory: Path
    simulator: SimulatorProcess
    nats: NatsProcess
    config: Path
    processes: list[subprocess.Popen] = field(default_factory=list)
    sequence: int = 0

    # -- execution --------------------------------------------------------------

    def start(self) -> subprocess.Popen:
        """Start ``cqx execution``."""
        command = [sys.executable, "-m", "cryptoquantix", "execution"]
        with (self.directory / "execution.log").open("ab") as log:
            process = subprocess.Popen(
                [*command, "--config", str(self.config)], stdout=log, stderr=log
            )
        self.processes.append(process)
        return process

    def log(self) -> str:
        return (self.directory / "execution.log").read_text()

    def wait_reconciled(self, process: subprocess.Popen, times: int = 1) -> None:
        def reconciled() -> bool:
            assert process.poll() is None, self.log()
            return self.log().count('"event": "reconciled"') >= times

        wait_for(reconciled, 90)

    # -- permits ----------------------------------------------------------------

    def permit(self, mode: str) -> None:
        """Let the stand-in answer so from now on."""
        temporary = self.directory / "mode.tmp"
        temporary.write_text(mode)
        temporary.replace(self.directory / "mode")

    # -- targets ----------------------------------------------------------------

    def target(self, symbol: str, target: float, *, age_seconds: float = 0.0) -> None:
        """Publish a target as the strategy service does."""
        self.targets({symbol: target}, age_seconds=age_seconds)

    def targets(self, targets: dict[str, float], *, age_seconds: float = 0.0) -> None:
        from cryptoquantix.bus.connection import connect, targets_bucket
        from cryptoquantix.bus.messages import Target, encode

        async def publish() -> None:
            client = await connect(self.nats.url, "test")
            bucket = await targets_bucket(client)
            for symbol, value in targets.items():
                self.sequence += 1
                key, instrument = self.key_and_name(symbol)
                now = time.time_ns() - int(age_seconds * 1e9)
                message = Target(
                    strategy=STRATEGY,
                    instrument=instrument,
                    bar_close_ns=now // 10**9 * 10**9 + self.sequence,
                    target=value,
                    price=float(self.price(symbol)),
                    sequence=self.sequence,
                    published_ns=now,
                )
                await bucket.put(key, encode(message))
            await client.close()

        asyncio.run(publish())

    def key_and_name(self, symbol: str) -> tuple[str, str]:
        """The key of a target's slot, and its instrument's name."""
        return f"{STRATEGY}.binance.{symbol}-PERP", f"binance:{symbol}-PERP"

    # -- the judge --------------------------------------------------------------

    def price(self, symbol: str) -> str:
        return self.simulator.admin("/state")["prices"]["binance"][symbol]

    def positions(self) -> dict[str, float]:
        found = self.simulator.admin("/account?venue=binance")["positions"]
        return {p["symbol"]: float(p["size"]) for p in found if float(p["size"])}

    def sent(self) -> list[dict]:
        """The order requests that reached the simulator, in their order."""
        return [
            r
            for r in self.simulator.log("request")
            if (r["method"], r["path"]) == ("POST", "/fapi/v1/order")
        ]

    def journalled(self) -> dict[str, dict]:
        return {row["client_order_id"]: row for row in self._rows("orders")}

    def fills(self) -> list[dict]:
        return self._rows("fills")

    def reports(self) -> list[dict]:
        return self._rows("reports")

    def _rows(self, table: str) -> list[dict]:
        path = self.directory / "journal" / "journal.sqlite"
        with closing(sqlite3.connect(path)) as connection:
            connection.row_factory = sqlite3.Row
            query = f"SELECT * FROM {table}"
            return [dict(row) for row in connection.execute(query)]


@contextmanager
def execution_rig(
    tmp_path: Path, *, symbols: tuple[str, ...] = ("BTCUSDT",), bar_seconds: int = 60
) -> Iterator[Rig]:
    """A simulator, a bus and a permit stand-in; ``Rig.start`` starts execution."""
    (tmp_path / "mode").write_text("trade")
    with ExitStack() as stack:
        simulator = stack.enter_context(
            start_simulator(
                tmp_path, "--generate", "1", "--instruments", ",".join(symbols)
            )
        )
        nats = stack.enter_context(start_nats(tmp_path))
        permits = subprocess.Popen(
            [sys.executable, str(HERE / "permit_stand_in.py"), str(tmp_path)],
            stdout=subprocess.PIPE,
            text=True,
        )
        stack.callback(permits.stdout.close)
        stack.callback(end, permits)
        port = int(permits.stdout.readline())
        config = tmp_path / "cryptoquantix.toml"
        config.write_text(
            settings_text(tmp_path, simulator, nats, f"http://127.0.0.1:{port}", "t")
            + "".join(
                STRATEGIES.format(name=STRATEGY, symbol=s, bar_seconds=bar_seconds)
                for s in symbols
            )
        )
        config.chmod(0o600)
        rig = Rig(tmp_path, simulator, nats, config)
        try:
            yield rig
        finally:
            for process in rig.processes:
                end(process)


def settings_text(directory, simulator, nats, risk, token) -> str:
    venue = simulator.venue
    return SETTINGS.format(
        directory=directory,
        rest=venue["rest"],
        ws=venue["ws"],
        key=venue["key"],
        secret=venue["secret"],
        nats=nats.url,
        risk=risk,
        token=token,
    )

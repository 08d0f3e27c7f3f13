"""
Three simulated venues, a bus, permits and every service, each a real process.

For whoever measures or torments the whole: benchmarks and the fault soak. The strategy
is one that wants something else at every bar; a minute of the tape is a second here.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from processes import (
    NatsProcess,
    SimulatorProcess,
    end,
    start_nats,
    start_simulator,
)

ROOT = Path(__file__).resolve().parents[2]
VENUES = ("binance", "bybit", "deribit")
INSTRUMENTS = {
    "binance": "binance:BTCUSDT-PERP",
    "bybit": "bybit:BTCUSDT-PERP",
    "deribit": "deribit:BTCUSD-PERP",
}
SPEED = 60
BAR_SECONDS = 1.0  # of wall time, at that speed
SERVICES = (
    *(("feed", venue) for venue in VENUES),
    ("strategy",),
    ("execution",),
)
SETTINGS = """\
directory = "{directory}"
catalog = "{directory}/catalog"
[nats]
url = "{nats}"
embedded = false
[risk]
url = "http://127.0.0.1:{risk}"
token = "t"
"""
VENUE = """
[venues.{name}]
rest = "{rest}"
ws = "{ws}"
key = "{key}"
secret = "{secret}"
"""


@dataclass
class PermitStandIn:
    """The daemon's permit link alone, at one port for as long as it is needed."""

    directory: Path
    port: int = 0
    process: subprocess.Popen | None = None

    def start(self) -> None:
        """Start it; again, at the same port."""
        stand_in = Path(__file__).with_name("permit_stand_in.py")
        self.process = subprocess.Popen(
            [sys.executable, str(stand_in), str(self.directory), str(self.port)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        with self.process.stdout as out:
            self.port = int(out.readline())

    def kill(self) -> None:
        """Kill it and start it again."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(10)
        self.start()

    def answer(self, mode: str) -> None:
        """Answer so from now on."""
        temporary = self.directory / "mode.tmp"
        temporary.write_text(mode)
        temporary.replace(self.directory / "mode")


@dataclass
class World:
    """Handles on every process; services are started by whoever asks."""

    directory: Path
    simulator: SimulatorProcess
    nats: NatsProcess
    permits: PermitStandIn
    config: Path
    services: dict[tuple[str, ...], subprocess.Popen] = field(default_factory=dict)

    def start(
        self, command: tuple[str, ...], program: Sequence[str] = ()
    ) -> subprocess.Popen:
        """Start a service, or ``program`` in its place; its log is appended to."""
        if not program:
            program = ("-m", "cryptoquantix", *command, "--config", str(self.config))
        with self.log_path(command).open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, *program],
                stdout=log,
                stderr=log,
                env=os.environ | {"PYTHONPATH": _python_path()},
            )
        self.services[command] = process
        return process

    def log_path(self, command: tuple[str, ...]) -> Path:
        """Where a service's log is."""
        return self.directory / f"{'-'.join(command)}.log"

    def kill(self, command: tuple[str, ...]) -> None:
        """Kill a service and start it again."""
        process = self.services[command]
        process.send_signal(signal.SIGKILL)
        process.wait(10)
        self.start(command)

    def permit(self, mode: str) -> None:
        """Let the daemon's stand-in answer so from now on."""
        self.permits.answer(mode)


@contextmanager
def world_of(
    directory: Path,
    *,
    seed: int = 1,
    simulate: Iterable[str] = (),
    strategies: str | None = None,
    settings: str = "",
) -> Iterator[World]:
    """
    The simulator, the bus and the permit stand-in; services are ended on exit.

    ``seed`` makes the tape, ``simulate`` are more arguments of the simulator,
    ``settings`` more text of the settings, ``strategies`` theirs (by default the
    measuring one, once a venue).
    """
    with ExitStack() as stack:
        simulator = stack.enter_context(
            start_simulator(
                directory,
                *("--venues", ",".join(VENUES), "--generate", str(seed)),
                *("--speed", str(SPEED), *simulate),
            )
        )
        nats = stack.enter_context(start_nats(directory))
        permits = stack.enter_context(start_permits(directory))
        text = SETTINGS.format(directory=directory, nats=nats.url, risk=permits.port)
        for name in VENUES:
            line = simulator.line["venues"][name]
            text += VENUE.format(
                name=name, **{k: line[k] for k in ("rest", "ws", "key", "secret")}
            )
        if strategies is None:
            strategies = "".join(strategy_text(i) for i in INSTRUMENTS.values())
        config = directory / "cryptoquantix.toml"
        config.write_text(f"{text}\n{settings}\n{strategies}")
        config.chmod(0o600)
        world = World(directory, simulator, nats, permits, config)
        try:
            yield world
        finally:
            for process in world.services.values():
                end(process)
            end(world.nats.process)  # it may have been started anew


def strategy_text(instrument: str, **fields: object) -> str:
    """The settings of a strategy, by default the measuring one."""
    defaults = {"name": "measuring.alternate", "bar_seconds": 60, "warmup_days": 0}
    found = {"instrument": instrument} | defaults | fields
    lines = [f"{name} = {_toml(value)}" for name, value in found.items()]
    return "\n".join(["\n[[strategies]]", *lines, ""])


@contextmanager
def start_permits(directory: Path) -> Iterator[PermitStandIn]:
    """The daemon's stand-in, which answers ``trade`` at first."""
    permits = PermitStandIn(directory)
    permits.answer("trade")
    try:
        permits.start()
        yield permits
    finally:
        if permits.process is not None:
            end(permits.process)


def _toml(value: object) -> str:
    if isinstance(value, dict):
        inner = ", ".join(f"{name} = {_toml(one)}" for name, one in value.items())
        return f"{{ {inner} }}"
    return json.dumps(value)


def _python_path() -> str:
    """Where the measuring strategy is, before whatever the caller had."""
    before = os.environ.get("PYTHONPATH", "")
    return os.pathsep.join([str(ROOT / "benchmarks"), *([before] if before else [])])

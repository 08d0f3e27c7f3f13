"""
Is the memory of every process flat?

A simulator of three venues and all that ``cqx up`` runs: bus, feeds, strategy,
recorder, execution, alarms, the real risk daemon and the supervisor itself, while more
than 500 trades a second reach the feeds and five positions are turned round every half
minute. Each process's memory is looked at every five seconds. The figure is the slope
after the warm-up, by Theil and Sen (the median of the slopes between all pairs of
samples, which a single jump does not move): of the resident set, and of what is the
process's alone. At most 5 MB an hour is allowed.

The simulator stands for the venues and is told, not judged: it keeps the last 100 000
requests and 50 000 orders for the asking, and takes hours to have so many.

The tape's pace follows the generated market, whose storms bring four times the trades
of its calm, so that the rate stays where it was asked for.

    python benchmarks/memory_flat.py [--seconds 1200] [--warm-up 600] [--rate 560]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import nats
import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from cryptoquantix.bus.messages import (  # noqa: E402
    FeedStatus,
    MessageDecoder,
    RecorderStatus,
)
from cryptoquantix.journal.reader import JournalReader  # noqa: E402
from cryptoquantix.supervisor.record import read_record  # noqa: E402
from processes import end, start_simulator, wait_for  # noqa: E402

ALLOWED_MB_PER_HOUR = 5.0
SAMPLE_SECONDS = 5.0
SPEED = 10.0
SPEED_MIN, SPEED_MAX = 2.0, 40.0
VENUES = ("binance", "bybit", "deribit")
COINS = ("BTC", "ETH", "SOL", "XRP", "DOGE")
FED = (
    *(f"{v}:{c}USDT-PERP" for v in ("binance", "bybit") for c in COINS),
    *("deribit:BTCUSD-PERP", "deribit:ETHUSD-PERP"),
    *(f"deribit:{c}USDC-PERP" for c in COINS[2:]),
)
TRADED = (
    *("binance:BTCUSDT-PERP", "binance:ETHUSDT-PERP", "bybit:BTCUSDT-PERP"),
    *("bybit:ETHUSDT-PERP", "deribit:BTCUSD-PERP"),
)
SETTINGS = """\
directory = "{directory}/var"
catalog = "{directory}/catalog"
[nats]
url = "nats://127.0.0.1:{nats}"
[risk]
listen = "127.0.0.1:{risk}"
url = "http://127.0.0.1:{risk}"
drawdown_fraction_max = 1.0
[execution]
equity_fraction = 0.4
[recorder]
enabled = true
[feeds]
instruments = [{fed}]
[alarms.telegram]
base_url = "{telegram}"
token = "123456:ABC"
chat_id = "42"
"""
VENUE = """
[venues.{name}]
rest = "{rest}"
ws = "{ws}"
key = "{key}"
secret = "{secret}"
[venues.{name}.risk]
key = "{risk[key]}"
secret = "{risk[secret]}"
"""
STRATEGY = """
[[strategies]]
name = "measuring.alternate"
instrument = "{instrument}"
bar_seconds = 300
warmup_days = 0
params = {{ one = 0.6, other = -0.6 }}
"""


def free_ports(count: int) -> list[int]:
    """Return ports of this machine that nobody listens on."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


@contextmanager
def announced(command: list[str], log: Path, **more) -> Iterator[tuple]:
    """Yield a process and the JSON line that it prints when it is ready."""
    with log.open("ab") as errors:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, text=True, **more
        )
    try:
        line = process.stdout.readline()
        assert line, log.read_text()
        yield process, json.loads(line)
    finally:
        end(process, 30)
        process.stdout.close()


def settings_of(directory: Path, simulator, telegram: str) -> tuple[Path, str]:
    """Write the settings file; return its path and the bus's address."""
    bus, risk = free_ports(2)
    text = SETTINGS.format(
        directory=directory,
        nats=bus,
        risk=risk,
        telegram=telegram,
        fed=", ".join(f'"{one}"' for one in FED),
    )
    for name in VENUES:
        text += VENUE.format(name=name, **simulator.line["venues"][name])
    for instrument in TRADED:
        text += STRATEGY.format(instrument=instrument)
    config = directory / "cryptoquantix.toml"
    config.touch(0o600)
    config.write_text(text)
    return config, f"nats://127.0.0.1:{bus}"


@contextmanager
def everything(directory: Path) -> Iterator[tuple]:
    """Yield the simulator, the bus's address and the processes' ids by name."""
    python = (sys.executable, "-m")
    with ExitStack() as stack:
        simulator = stack.enter_context(
            start_simulator(
                directory,
                *("--venues", ",".join(VENUES), "--generate", "7"),
                *("--instruments", ",".join(f"{c}USDT" for c in COINS)),
                *("--speed", str(SPEED), "--balance", "1000000"),
            )
        )
        stand_in = [*python, "cryptoquantix.drills.telegram_stand_in"]
        _, line = stack.enter_context(announced(stand_in, directory / "telegram.log"))
        config, bus = settings_of(directory, simulator, line["telegram"])
        cqx = [*python, "cryptoquantix"]
        path = os.pathsep.join([str(ROOT / "benchmarks"), str(ROOT / "src")])
        up, line = stack.enter_context(
            announced(
                [*cqx, "up", "--leave-unguarded", "--json", "--config", str(config)],
                directory / "up.log",
                env=os.environ | {"PYTHONPATH": path},
            )
        )
        rearm = [*cqx, "rearm", "--who", "Ada", "--reason", "memory is measured"]
        subprocess.run(
            [*rearm, "--config", str(config)],
            check=True,
            capture_output=True,
            timeout=60,
        )
        yield simulator, bus, {"simulator": simulator.process.pid, "up": up.pid}


def services(directory: Path) -> dict[str, int]:
    """Return the ids of what ``cqx up`` runs, by name."""
    record = read_record(directory / "var" / "up" / "services.json")
    assert record is not None
    return {one.name: one.pid for one in record.services if one.pid is not None}


def memory_mb(pid: int) -> tuple[float, float]:
    """Return a process's resident set and what of it is its own, in MB (Linux)."""
    resident = own = 0
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "Rss":
            resident = int(value.split()[0])
        elif name.startswith("Private_"):
            own += int(value.split()[0])
    return resident * 1024 / 1e6, own * 1024 / 1e6


def slope(times: np.ndarray, values: np.ndarray) -> float:
    """Return the median slope between all pairs (Theil and Sen), per hour."""
    first, second = np.triu_indices(len(times), 1)
    rises = (values[second] - values[first]) / (times[second] - times[first])
    return float(np.median(rises)) * 3600


class Counts:
    """What the bus says of itself."""

    def __init__(self) -> None:
        self.by_feed: Counter[str] = Counter()
        self.recorded = 0
        self.problem = ""
        self._feeds = MessageDecoder(FeedStatus)
        self._recorder = MessageDecoder(RecorderStatus)

    async def on_feed(self, message) -> None:
        status = self._feeds.decode(message.data)
        self.by_feed[status.venue] = sum(s.trades for s in status.streams)

    async def on_recorder(self, message) -> None:
        status = self._recorder.decode(message.data)
        self.recorded, self.problem = status.ticks, status.problem

    @property
    def trades(self) -> int:
        return sum(self.by_feed.values())


async def follow(simulator, bus: str, pids: dict[str, int], arguments) -> dict:
    """Look at every process until the time is over; return the figures."""
    counts = Counts()
    client = await nats.connect(bus)
    await client.subscribe("feed.>", cb=counts.on_feed)
    await client.subscribe("recorder", cb=counts.on_recorder)
    samples: dict[str, list[tuple[float, float, float]]] = {name: [] for name in pids}
    rates: list[float] = []
    speed, started = SPEED, time.monotonic()
    seen, seen_at = counts.trades, started
    while (
        passed := time.monotonic() - started
    ) < arguments.warm_up + arguments.seconds:
        await asyncio.sleep(SAMPLE_SECONDS)
        for name, pid in pids.items():
            samples[name].append((time.monotonic() - started, *memory_mb(pid)))
        now = time.monotonic()
        rate = (counts.trades - seen) / (now - seen_at)
        seen, seen_at = counts.trades, now
        if passed >= arguments.warm_up:
            rates.append(rate)
        pace = speed * min(1.5, max(0.67, arguments.rate / max(rate, 1.0)))
        speed = min(SPEED_MAX, max(SPEED_MIN, pace))
        await asyncio.to_thread(simulator.admin, "/tape", {"speed": round(speed, 2)})
        if arguments.trace:
            line = {n: round(s[-1][1], 1) for n, s in samples.items()}
            print(
                json.dumps({"rate": round(rate), **line}), file=sys.stderr, flush=True
            )
    await client.close()
    return {
        "processes": {
            name: figures(np.array(rows), arguments.warm_up)
            for name, rows in samples.items()
        },
        "trades": counts.trades,
        "trades_per_second": round(float(np.mean(rates))),
        "trades_per_second_p5": round(float(np.percentile(rates, 5))),
        "recorded": counts.recorded,
        "problem": counts.problem,
    }


def figures(rows: np.ndarray, warm_up: float) -> dict:
    """Return one process's slopes and range after the warm-up."""
    times, resident, own = rows[rows[:, 0] >= warm_up].T
    return {
        "mb_per_hour": round(slope(times, resident), 2),
        "own_mb_per_hour": round(slope(times, own), 2),
        "mb_min": round(float(resident.min()), 1),
        "mb_max": round(float(resident.max()), 1),
        "mb_at_start": round(float(rows[0, 1]), 1),
    }


def run(directory: Path, arguments) -> dict:
    """Return the whole result."""
    with everything(directory) as (simulator, bus, begun):
        pids = begun | services(directory)
        journal = directory / "var" / "journal" / "journal.sqlite"
        wait_for(lambda: journal.exists() and JournalReader(journal).orders(), 120, 1.0)
        found = asyncio.run(follow(simulator, bus, pids, arguments))
        assert services(directory).items() <= pids.items(), "a process was restarted"
        orders = Counter(o["state"] for o in JournalReader(journal).orders())
    ours = {n: one for n, one in found["processes"].items() if n != "simulator"}
    grown = [one["mb_per_hour"] for one in ours.values()]
    return {
        "benchmark": "memory_flat",
        "contender": "cryptoquantix",
        "median_seconds": arguments.seconds,
        "warm_up_seconds": arguments.warm_up,
        "unit": "MB an hour",
        "mb_per_hour_max": max(grown),
        "allowed_mb_per_hour": ALLOWED_MB_PER_HOUR,
        "ok": max(grown) <= ALLOWED_MB_PER_HOUR,
        "orders": dict(orders),
        **found,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Is every process's memory flat?")
    parser.add_argument("--seconds", type=float, default=1200)
    parser.add_argument("--warm-up", type=float, default=600)
    parser.add_argument("--rate", type=float, default=560)
    parser.add_argument("--trace", action="store_true", help="tell every sample")
    parser.add_argument("--keep", type=Path, help="a folder for logs and data")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as path:
        directory = arguments.keep or Path(path)
        directory.mkdir(exist_ok=True, parents=True)
        result = run(directory.resolve(), arguments)
    print(json.dumps(result))
    sys.exit(not result["ok"])


if __name__ == "__main__":
    main()

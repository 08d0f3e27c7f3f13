"""
One strategy service with a hundred strategies: how it starts, and what a trade costs.

Two strategies on each of fifty instruments of one simulator, real feed and bus. Told
are the seconds and the CPU from the start of the process to a target of every one of
them, at first with a day of bars to warm up from, then after a SIGKILL with snapshots
to go on from (``bars_fetched``: all told); and in between, what the service's CPU came
to per trade print heard. The simulator counts no request limits: with them the venue's
own (half of 2 400 weight a minute) is what a first start of so many waits for.

    python benchmarks/many_strategies.py [--instruments 50] [--seconds 20]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from cryptoquantix.bus.connection import connect  # noqa: E402
from cryptoquantix.bus.messages import (  # noqa: E402
    MessageDecoder,
    StrategyStatus,
    Target,
    TickBatch,
)
from processes import end, start_nats, start_simulator  # noqa: E402

SPEED = 20.0  # a bar every three seconds
STRATEGIES = {
    "trend_breakout": "{ gate_days = 1 }",
    "measuring.alternate": "{ one = 0.1, other = 0.2 }",
}
TICK = os.sysconf("SC_CLK_TCK")
SETTINGS = """\
directory = "{directory}/var"
[nats]
url = "{nats}"
[venues.binance]
rest = "{rest}"
ws = "{ws}"
"""
STRATEGY = """
[[strategies]]
name = "{name}"
instrument = "binance:{symbol}-PERP"
warmup_days = 1
params = {params}
"""


class Bus:
    """What the service says, and how many prints there were."""

    def __init__(self):
        self.targets = {}
        self.statuses = {}
        self.ticks = 0
        self.gaps = 0

    async def listen(self, url):
        client = await connect(url, "bench")
        decoders = {k: MessageDecoder(k) for k in (Target, StrategyStatus, TickBatch)}

        async def on_target(message):
            one = decoders[Target].decode(message.data)
            self.targets[one.strategy, one.instrument] = one

        async def on_status(message):
            one = decoders[StrategyStatus].decode(message.data)
            self.statuses[one.strategy, one.instrument] = one

        async def on_ticks(message):
            self.ticks += len(decoders[TickBatch].decode(message.data).ticks)

        await client.subscribe("$KV.targets.>", cb=on_target)
        await client.subscribe("strategy", cb=on_status)
        await client.subscribe("ticks.>", cb=on_ticks)
        await client.flush()
        return client

    async def until_all(self, count, seconds=300):
        self.targets.clear()
        async with asyncio.timeout(seconds):
            while len(self.targets) < count:  # noqa: ASYNC110 - patience
                await asyncio.sleep(0.02)


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def resident_mb(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096 / 1e6


class Service:
    """``cqx`` processes of one configuration."""

    def __init__(self, config: Path, log: Path):
        self.config, self.log = config, log

    def start(self, *arguments: str) -> subprocess.Popen:
        command = [sys.executable, "-m", "cryptoquantix", *arguments]
        paths = [str(ROOT / "benchmarks"), os.environ.get("PYTHONPATH", "")]
        with self.log.open("ab") as errors:
            return subprocess.Popen(
                [*command, "--config", str(self.config)],
                stderr=errors,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
            )

    def bars_fetched(self, since: int) -> int:
        lines = self.log.read_text()[since:].splitlines()
        rows = [json.loads(line) for line in lines if '"bars fetched"' in line]
        return sum(row["bars"] for row in rows)


async def started(service, bus, count, contender):
    """Start the strategies; return their process and what the start took."""
    since = service.log.stat().st_size if service.log.exists() else 0
    at = time.monotonic()
    process = service.start("strategy")
    await bus.until_all(count)
    return process, {
        "benchmark": "many_strategies",
        "contender": contender,
        "strategies": count,
        "seconds": round(time.monotonic() - at, 2),
        "cpu_seconds": round(cpu_seconds(process.pid), 2),
        "bars_fetched": service.bars_fetched(since),
        "resident_mb": round(resident_mb(process.pid), 1),
    }


async def steady(process, bus, seconds):
    """Return what the service's CPU comes to while the market goes on."""
    cpu, ticks, at = cpu_seconds(process.pid), bus.ticks, time.monotonic()
    bars = sum(one.bars for one in bus.statuses.values())
    await asyncio.sleep(seconds)
    passed = time.monotonic() - at
    used, heard = cpu_seconds(process.pid) - cpu, bus.ticks - ticks
    return {
        "benchmark": "many_strategies",
        "contender": "steady",
        "ticks_per_second": round(heard / passed),
        "bars_per_second": round(
            (sum(one.bars for one in bus.statuses.values()) - bars) / passed, 1
        ),
        "cpu_share": round(used / passed, 4),
        "us_per_tick": round(used / heard * 1e6, 1),
        "gaps": sum(one.gaps for one in bus.statuses.values()),
        "resident_mb": round(resident_mb(process.pid), 1),
    }


async def measured(tmp: Path, instruments: int, seconds: float) -> None:
    options = ["--generate", "3", "--symbols-count", str(instruments)]
    options += ["--speed", str(SPEED), "--no-rate-limits"]
    with start_nats(tmp) as nats, start_simulator(tmp, *options) as simulator:
        symbols = list(simulator.admin("/state")["prices"]["binance"])
        config = tmp / "cryptoquantix.toml"
        text = SETTINGS.format(
            directory=tmp, nats=nats.url, rest=simulator.rest, ws=simulator.ws
        )
        text += "".join(
            STRATEGY.format(name=name, symbol=symbol, params=params)
            for symbol in symbols
            for name, params in STRATEGIES.items()
        )
        config.write_text(text)
        count = len(symbols) * len(STRATEGIES)
        service, bus = Service(config, tmp / "log"), Bus()
        client = await bus.listen(nats.url)
        feed = service.start("feed", "binance")
        process = None
        try:
            process, row = await started(service, bus, count, "first start")
            print(json.dumps(row), flush=True)
            await asyncio.sleep(4.0)
            print(json.dumps(await steady(process, bus, seconds)), flush=True)
            process.kill()
            process.wait()
            process, row = await started(service, bus, count, "from snapshots")
            print(json.dumps(row), flush=True)
        finally:
            await client.close()
            for one in (feed, process):
                if one is not None:
                    end(one)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--instruments", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=20.0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(measured(Path(folder), asked.instruments, asked.seconds))


if __name__ == "__main__":
    main()

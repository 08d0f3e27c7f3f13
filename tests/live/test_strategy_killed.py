"""Strategies killed again and again end up as if nothing had happened, to the bit."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import subprocess
import sys
from collections import defaultdict
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from cryptoquantix.bus.connection import connect
from cryptoquantix.bus.messages import MessageDecoder, Target
from cryptoquantix.core.clock import SystemClock
from cryptoquantix.core.instrument import InstrumentId
from cryptoquantix.core.market import Bar
from cryptoquantix.live import snapshot
from cryptoquantix.live.bar_seam import fill_flat
from cryptoquantix.venues.market_rest import MarketRest
from live.test_feed_killed import MINUTE_NS, VENUES
from processes import end, start_nats, start_simulator

SPEED = 120.0  # a bar is half a second
# More for a campaign by hand.
KILLS = int(os.environ.get("CRYPTOQUANTIX_STRATEGY_KILLS", "3"))
FAULTS = ("half", "torn", "unplaced")
TREND = {
    "gate_days": 1,
    "gate_band": 0.0,
    "breakout_bars": 5,
    "exit_bars": 5,
    "exit_atr": 3.0,
    "atr_bars": 5,
    "volatility_bars": 10,
}
STRATEGIES = {
    ("trend_breakout", "binance:BTCUSDT-PERP"): TREND,
    ("trend_breakout", "binance:ETHUSDT-PERP"): TREND,
    ("trend_breakout", "bybit:BTCUSDT-PERP"): TREND | {"breakout_bars": 7},
    ("trend_breakout", "deribit:BTCUSD-PERP"): TREND,
    ("agreement.swing", "binance:BTCUSDT-PERP"): {"bars": 7},
    ("agreement.swing", "deribit:BTCUSD-PERP"): {"bars": 9},
}

PLAIN = """
import hashlib, importlib, json, sys
import numpy as np
from cryptoquantix.core.market import Bar
from cryptoquantix.kernel import is_compiled
from cryptoquantix.strategies.state_codec import encode
assert not is_compiled()
module = importlib.import_module(sys.argv[1])
params = module.parse_params(json.loads(sys.argv[2]))
state, targets = module.start(params), {}
for row in json.load(sys.stdin):
    bar = Bar(*row)
    state, target = module.step(state, bar, params)
    targets[bar.close_time_ns] = float(target).hex()
print(json.dumps({"targets": targets, "state": encode(state).hex()}))
"""


def plain_run(strategy: str, params: dict, bars: list[Bar]) -> dict:
    """The same module as plain Python over all bars at once, in its own process."""
    module = strategy if "." in strategy else f"cryptoquantix.strategies.{strategy}"
    done = subprocess.run(
        [sys.executable, "-c", PLAIN, module, json.dumps(params)],
        input=json.dumps(bars),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=ENVIRONMENT | {"NUMBA_DISABLE_JIT": "1"},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


TESTS = Path(__file__).parent.parent
PATHS = filter(None, (str(TESTS), os.environ.get("PYTHONPATH")))
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(PATHS)}


def settings(nats, simulator) -> str:
    lines = [f'[nats]\nurl = "{nats.url}"']
    for name, at in simulator.line["venues"].items():
        lines.append(f'[venues.{name}]\nrest = "{at["rest"]}"\nws = "{at["ws"]}"')
    for (name, instrument), params in STRATEGIES.items():
        inline = ", ".join(f"{key} = {value}" for key, value in params.items())
        lines.append(
            f'[[strategies]]\nname = "{name}"\ninstrument = "{instrument}"\n'
            f"warmup_days = 2\nparams = {{ {inline} }}"
        )
    return "\n".join(lines)


@dataclass
class Kept:
    """What a snapshot file holds, read without the code under test."""

    at: dict
    state: bytes

    @classmethod
    def of(cls, path: Path) -> Kept:
        body = path.read_bytes()
        body, total = body[:-32], body[-32:]
        assert hashlib.sha256(body).digest() == total
        start = body.index(b"\n") + 5
        length = int.from_bytes(body[start - 4 : start], "little")
        return cls(
            json.loads(body[start : start + length])["at"], body[start + length :]
        )


class Commands:
    """Feeds, and the strategy service that is killed."""

    def __init__(self, config: Path, log: Path) -> None:
        self._config = config
        self._log = log.open("ab")
        self._feeds = [
            self._start("-m", "cryptoquantix", "feed", v) for v in VENUES.split(",")
        ]
        self.strategy: subprocess.Popen | None = None

    def _start(self, *arguments: str) -> subprocess.Popen:
        command = [sys.executable, *arguments, "--config", str(self._config)]
        return subprocess.Popen(command, stderr=self._log, env=ENVIRONMENT)

    def start(self) -> None:
        self.strategy = self._start("-m", "cryptoquantix", "strategy")

    def start_dying(self, how: str, count: int) -> None:
        script = str(Path(__file__).with_name("strategy_that_dies.py"))
        self.strategy = self._start(script, how, str(count))

    def kill(self) -> None:
        self.strategy.kill()
        self.strategy.wait(10)

    def stop(self) -> None:
        for process in (*self._feeds, self.strategy):
            if process is not None:
                end(process)
        self._log.close()


@asynccontextmanager
async def heard_targets(url):
    """Every target that was put, in order, by key."""
    heard: dict[str, list[Target]] = defaultdict(list)
    decoder = MessageDecoder(Target)
    client = await connect(url, "test")

    async def on_target(message):
        target = decoder.decode(message.data)
        heard[message.subject.removeprefix("$KV.targets.")].append(target)

    await client.subscribe("$KV.targets.>", cb=on_target)
    await client.flush()
    yield heard
    await client.close()


@pytest.mark.slow
@pytest.mark.timeout(120 + KILLS * 20)
async def test_killed_strategies_arrive_at_the_state_of_a_run_without_a_kill(tmp_path):
    options = ["--venues", VENUES, "--generate", "7", "--speed", str(SPEED)]
    options += ["--instruments", "BTCUSDT,ETHUSDT", "--no-rate-limits"]
    with start_nats(tmp_path) as nats, start_simulator(tmp_path, *options) as simulator:
        config = tmp_path / "cryptoquantix.toml"
        config.write_text(settings(nats, simulator))
        commands = Commands(config, tmp_path / "log")
        try:
            async with heard_targets(nats.url) as heard:
                await kill_again_and_again(commands, heard)
                await settle(tmp_path, commands, simulator, heard)
        finally:
            commands.stop()
            log = (tmp_path / "log").read_text()
            print(log[-6_000:])
        await judge(tmp_path, simulator, heard)
        assert log.count("snapshot loaded") > KILLS, "restarts went on from snapshots"


async def kill_again_and_again(commands, heard):
    random = np.random.default_rng(5)
    for kill in range(KILLS):
        before = {key: len(targets) for key, targets in heard.items()}
        if kill % 2:
            # At the first snapshots of this start, or in the middle of a later round.
            count = int(random.integers(1, 2 * len(STRATEGIES)))
            commands.start_dying(FAULTS[kill // 2 % len(FAULTS)], count)
            async with asyncio.timeout(90):
                while commands.strategy.poll() is None:  # noqa: ASYNC110 - patience
                    await asyncio.sleep(0.02)
            assert commands.strategy.returncode == -9
            continue
        commands.start()
        async with asyncio.timeout(90):
            while len(heard) < len(STRATEGIES) or any(
                len(targets) <= before.get(key, 0) for key, targets in heard.items()
            ):
                assert commands.strategy.poll() is None
                await asyncio.sleep(0.02)
        await asyncio.sleep(float(random.uniform(0.0, 1.0)))
        commands.kill()
    commands.start()


async def settle(tmp_path, commands, simulator, heard):
    """Let it run on, stop the market, and wait until the last states are kept."""
    seen = {key: targets[-1].bar_close_ns for key, targets in heard.items()}
    async with asyncio.timeout(90):
        while any(
            targets[-1].bar_close_ns < seen[key] + 3 * MINUTE_NS
            for key, targets in heard.items()
        ):
            assert commands.strategy.poll() is None
            await asyncio.sleep(0.02)
    simulator.admin("/tape", {"paused": True})
    await asyncio.sleep(1.5)
    commands.kill()


async def judge(tmp_path, simulator, heard):
    store = snapshot.SnapshotStore(tmp_path / "var" / "snapshots")
    assert len(heard) == len(STRATEGIES)
    for (strategy, name), params in STRATEGIES.items():
        instrument = InstrumentId.parse(name)
        key = f"{strategy.replace('.', '_')}.{instrument.venue.value}.{instrument.name}"
        kept, targets = Kept.of(store.path(key)), heard[key]
        bars = await venue_bars(simulator, instrument, kept.at)
        plain = plain_run(strategy, params, bars)
        assert kept.state.hex() == plain["state"], key
        assert kept.at["bar_close_ns"] == targets[-1].bar_close_ns
        assert kept.at["bars"] == len(bars)
        assert len({target.warmup_from_ns for target in targets}) == 1
        prices = {bar.close_time_ns: bar.close for bar in bars}
        for target in targets:
            close_ns = target.bar_close_ns
            assert target.target.hex() == plain["targets"][str(close_ns)], key
            assert target.price == prices[close_ns]
        sequences = [target.sequence for target in targets]
        assert sequences == sorted(set(sequences)), "the sequence rises"
        closes = [target.bar_close_ns for target in targets]
        assert closes == sorted(closes)
        if strategy == "agreement.swing":  # the other waits for a trend
            assert len(set(plain["targets"].values())) > 100, "it trades"


async def venue_bars(simulator, instrument, at) -> list[Bar]:
    rest_url = simulator.line["venues"][instrument.venue.value]["rest"]
    async with MarketRest(rest_url, SystemClock(), instrument.venue) as rest:
        symbol, end_ns = instrument.symbol, at["bar_close_ns"]
        bars = await rest.bars(symbol, 60, at["warmup_from_ns"], end_ns)
    return fill_flat(bars, MINUTE_NS)

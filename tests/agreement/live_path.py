"""A tape through simulator, feed, NATS and strategy: four processes, as in earnest."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from cryptoquantix.bars.stream import BarBuilder
from cryptoquantix.bus.connection import connect
from cryptoquantix.bus.messages import (
    FeedStatus,
    MessageDecoder,
    StrategyStatus,
    Target,
    TickBatch,
)
from cryptoquantix.core.instrument import InstrumentId
from cryptoquantix.core.market import Bar
from cryptoquantix.data.catalog import Catalog
from processes import SimulatorProcess, start_nats, start_simulator

DEAD_BARS = 300
COLUMNS = ("open", "high", "low", "close", "volume")


def catalog_bars(catalog: Catalog, instrument: InstrumentId, seconds: int) -> list[Bar]:
    frame = catalog.bars(instrument, seconds).collect()
    times = [
        frame[name].to_physical().to_list() for name in ("open_time", "close_time")
    ]
    values = [frame[name].to_list() for name in COLUMNS]
    return [Bar(*row, 0.0) for row in zip(*times, *values, strict=True)]


@dataclass
class Live:
    """What came over the bus; bars are built here as a consumer builds them."""

    interval_ns: int
    bars: list[Bar] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)
    ticks: int = 0
    feed: FeedStatus | None = None
    strategy: StrategyStatus | None = None
    seconds: float = 0.0
    log: str = ""
    _builder: BarBuilder | None = None

    def reached(self, close_ns: int) -> bool:
        return bool(self.targets) and self.targets[-1].bar_close_ns >= close_ns

    def is_up(self) -> bool:
        return bool(self.feed and self.feed.connected and self.strategy)

    def has_told(self, close_ns: int) -> bool:
        """Whether what was decided of all bars until a close is published."""
        told = self.strategy and self.strategy.sequence == self.targets[-1].sequence
        return bool(told) and self.reached(close_ns)

    def on_batch(self, batch: TickBatch) -> None:
        if self._builder is None:
            steps = (Decimal(batch.tick_size), Decimal(batch.lot_size))
            self._builder = BarBuilder(self.interval_ns, *steps)
        self.ticks += len(batch.ticks)
        for tick in batch.iter_ticks():
            self.bars += self._builder.add(tick)


# For strategies that are modules of the tests.
_PATHS = filter(None, (str(Path(__file__).parent.parent), os.getenv("PYTHONPATH")))
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(_PATHS)}
COMMANDS = {"feed": ("feed", "binance"), "strategy": ("strategy",)}


class Services:
    """The processes under test, by name."""

    def __init__(self, config: Path, commands: dict = COMMANDS) -> None:
        self._config = config
        self.commands = commands
        self._running: dict[str, asyncio.subprocess.Process] = {}
        self._logs: list[asyncio.Task[bytes]] = []

    async def start(self, name: str) -> None:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "cryptoquantix", *self.commands[name]),
            *("--config", str(self._config)),
            stderr=asyncio.subprocess.PIPE,
            env=ENVIRONMENT,
        )
        self._running[name] = process
        self._logs.append(asyncio.create_task(process.stderr.read()))

    async def kill(self, name: str) -> None:
        process = self._running.pop(name)
        process.kill()
        await process.wait()

    def check(self) -> None:
        for name, process in self._running.items():
            assert process.returncode is None, f"{name} ended by itself"

    async def stop(self) -> str:
        for process in self._running.values():
            if process.returncode is None:
                process.terminate()
            await asyncio.wait_for(process.wait(), 10)
        return "".join([(await log).decode() for log in self._logs])


async def play(
    tmp_path: Path,
    *,
    tape: InstrumentId,
    traded: InstrumentId,
    catalog: Path,
    params: str,
    speed: float,
    until_ns: int,
    start: str | None = None,
    warmup_days: int = 0,
    seconds_max: float = 200.0,
    kill_at: dict[int, str] | None = None,
) -> Live:
    """
    Play a tape until the target of the bar that closes at ``until_ns`` is published.

    The tape starts once feed and strategy are up, so that its first bar is seen whole.
    Once the target of a bar at or after a time in ``kill_at`` is published, the service
    it names ("feed" or "strategy") is killed without a word and started again.

    The feed dies in the middle of the flow. The strategy dies once its targets are
    told: those that waited for their acknowledgement would be replaced by the one of
    the newest bar. The tape goes on for a while, and then waits for who is starting: a
    slow machine is no longer gap.
    """
    live = Live(60 * 10**9)
    options = ["--tape", str(tape), "--catalog", str(catalog), "--paused"]
    options += ["--speed", str(speed), "--no-rate-limits"]
    options += ["--start", start] if start else []
    with start_nats(tmp_path) as nats, start_simulator(tmp_path, *options) as venue:
        config = tmp_path / "cryptoquantix.toml"
        config.write_text(
            f"""
catalog = "{catalog}"
[venues.binance]
rest = "{venue.rest}"
ws = "{venue.ws}"
[nats]
url = "{nats.url}"
[[strategies]]
name = "trend_breakout"
instrument = "{traded}"
warmup_days = {warmup_days}
warmup_required = false  # from the first bar on
params = {params}
"""
        )
        client = await connect(nats.url, "test")
        await _listen(client, live)
        services = Services(config)
        for name in COMMANDS:
            await services.start(name)
        try:
            await _until(live.is_up, 60, services)
            venue.admin("/tape", {"paused": False})
            started = time.perf_counter()
            for at_ns, name in sorted((kill_at or {}).items()):
                await _until(lambda at_ns=at_ns: live.reached(at_ns), 60, services)
                await _killed(name, venue, client, live, services)
            await _until(lambda: live.reached(until_ns), seconds_max, services)
            live.seconds = time.perf_counter() - started
            await asyncio.sleep(1.2)  # one more status
        finally:
            live.log = await services.stop()
            print(live.log[-8_000:])  # shown where a test fails
            await client.close()
    return live


async def _killed(
    name: str, venue: SimulatorProcess, client, live: Live, services: Services
) -> None:
    if name == "strategy":
        venue.admin("/tape", {"paused": True})
        live.strategy = None
        closed_ns = _tape_ns(venue) - 2 * live.interval_ns
        await _until(lambda: live.has_told(closed_ns), 60, services)
    await services.kill(name)
    await client.flush()  # nothing of it is on its way any more
    live.feed = live.feed if name == "strategy" else None
    live.strategy = None
    venue.admin("/tape", {"paused": False})
    until_ns = _tape_ns(venue) + DEAD_BARS * live.interval_ns
    await _until(lambda: _tape_ns(venue) >= until_ns, 60, services)
    venue.admin("/tape", {"paused": True})
    await services.start(name)
    await _until(live.is_up, 60, services)
    venue.admin("/tape", {"paused": False})


def _tape_ns(venue: SimulatorProcess) -> int:
    return venue.admin("/state")["tape"]["time_ns"]


async def _listen(client, live: Live) -> None:
    batches, targets = MessageDecoder(TickBatch), MessageDecoder(Target)
    feeds, strategies = MessageDecoder(FeedStatus), MessageDecoder(StrategyStatus)

    async def on_ticks(message) -> None:
        live.on_batch(batches.decode(message.data))

    async def on_target(message) -> None:
        live.targets.append(targets.decode(message.data))

    async def on_feed(message) -> None:
        live.feed = feeds.decode(message.data)

    async def on_strategy(message) -> None:
        live.strategy = strategies.decode(message.data)

    await client.subscribe("ticks.>", cb=on_ticks)
    await client.subscribe("$KV.targets.>", cb=on_target)
    await client.subscribe("feed.>", cb=on_feed)
    await client.subscribe("strategy", cb=on_strategy)
    await client.flush()


async def _until(condition, seconds: float, services) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            services.check()
            await asyncio.sleep(0.02)

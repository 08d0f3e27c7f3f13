"""
The live half of parity: every service as a process, a tape played bar by bar.

Each bar is played up to its close, the account is read there, and then one trade more
closes the bar: the strategy publishes its target, execution follows it, and only when
nothing is under way does the next bar begin. The risk daemon is one of its own, on
loopback, whose limit is the whole equity.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from cryptoquantix.apps.parity_case import EQUITY, NO_TRADE_BAND, Case
from cryptoquantix.apps.rehearsal import COMMAND, write_settings
from cryptoquantix.apps.services import child_specs, nats_spec
from cryptoquantix.apps.settings import Settings, load_settings
from cryptoquantix.bus.connection import connect
from cryptoquantix.bus.messages import (
    ExecutionStatus,
    FeedStatus,
    FollowedTarget,
    MessageDecoder,
    StrategyStatus,
    Target,
)
from cryptoquantix.bus.subjects import (
    EXECUTION_ASK,
    READ_FIRST,
    STRATEGY_STATUS,
    TARGETS_BUCKET,
    feed,
    target_key,
)
from cryptoquantix.control.permit import PermitMode
from cryptoquantix.control.status import RiskState
from cryptoquantix.core.clock import NS_PER_SECOND, SystemClock
from cryptoquantix.core.errors import CryptoquantixError
from cryptoquantix.core.order import Side
from cryptoquantix.core.quantity import to_steps_nearest
from cryptoquantix.drills.requests import Record
from cryptoquantix.drills.simulator_admin import SimulatorAdmin
from cryptoquantix.journal.store import Journal
from cryptoquantix.research.parity import Trade, Traded
from cryptoquantix.risk_client.operator import OperatorClient
from cryptoquantix.supervisor.announced import AnnouncedProcess
from cryptoquantix.supervisor.service import ServiceSpec

THRESHOLD: Final = "1.0"
# Execution keeps to its half of a minute's request weight, and may have to wait.
STEP_SECONDS: Final = 75.0
_START_SECONDS: Final = 90.0
_POLL_SECONDS: Final = 0.004
_ASK_SECONDS: Final = 2.0

Say = Callable[[str], None]
Progress = Callable[[int, int], None]


class ParityFailed(CryptoquantixError):  # noqa: N818 - it names a state
    """A step of the live path did not come about in its time."""


async def live(case: Case, directory: Path, say: Say, progress: Progress) -> Traded:
    """
    Return what the live path trades on ``case``, played in lock-step.

    Everything is written below ``directory``. Cancellation stops all that was started.

    Raises
    ------
    ParityFailed
        If a bar, or the start, takes longer than it may: which, and what was missing.
    """
    async with AsyncExitStack() as stack:
        simulator = await stack.enter_async_context(_simulator(case, directory))
        config = _settings(case, directory, simulator.line)
        settings = load_settings(config)
        daemon = [*COMMAND, "risk", "--json", "--config", str(config)]
        await stack.enter_async_context(
            AnnouncedProcess(daemon, settings.log_directory / "risk.log")
        )
        say(
            f"a risk daemon of its own on {settings.risk.url}, limit "
            f"{float(THRESHOLD):.0%} of the equity: loopback and simulated money only"
        )
        token = settings.risk.token.get_secret_value()
        operator = await stack.enter_async_context(
            OperatorClient(settings.risk.url, token)
        )
        processes = await stack.enter_async_context(_services(settings, config, token))
        admin = await stack.enter_async_context(SimulatorAdmin(simulator.line["admin"]))
        bus = await connect(settings.nats.url, "parity")
        stack.push_async_callback(bus.close)
        steps = LockStep(case, admin, bus, processes)
        await steps.begin(operator)
        say("feed, strategy, execution and daemon are up; the tape begins")
        equity = await steps.play(progress)
        records = await admin.log()
    # Execution holds its journal while it runs: it is read once all has stopped.
    bars = _journaled(settings.journal_path)
    return Traded(_trades(records, bars, case), equity - float(EQUITY))


class LockStep:
    """A tape played from outside, bar by bar, by what the services say on the bus."""

    def __init__(
        self,
        case: Case,
        admin: SimulatorAdmin,
        bus: Client,
        processes: Mapping[str, asyncio.subprocess.Process],
    ) -> None:
        self._case = case
        self._admin = admin
        self._bus = bus
        self._processes = processes
        self._clock = SystemClock()
        self._statuses = MessageDecoder(ExecutionStatus)
        self._targets = MessageDecoder(Target)
        self._target_ns = 0
        self._ready: set[str] = set()

    async def begin(self, operator: OperatorClient) -> None:
        """Arm the daemon; return once everybody listens and execution may trade."""
        case = self._case
        key = target_key(case.strategy, case.traded)
        await self._bus.subscribe(f"$KV.{TARGETS_BUCKET}.{key}", cb=self._on_target)
        await self._bus.subscribe(STRATEGY_STATUS, cb=self._on_strategy)
        await self._bus.subscribe(feed(case.traded.venue), cb=self._on_feed)
        deadline_ns = self._deadline(_START_SECONDS)
        while not await self._may_trade(operator):
            self._check(deadline_ns, "the services do not all trade yet")
            await asyncio.sleep(0.2)

    async def play(self, progress: Progress) -> float:
        """Play every bar; return the account's equity at the last close, in quote."""
        case, held, number = self._case, False, 0
        while number < case.bars:
            close_ns = case.start_ns + number * case.interval_ns
            await self._stand(close_ns, trades=0)
            if held:
                # Sized by the equity of this very close, as research does.
                await self._read()
            next_ns = await self._stand(close_ns, trades=1)
            # A trade after bars without any closes all of them at once.
            number = (next_ns - case.start_ns) // case.interval_ns + 1
            last_ns = case.start_ns + (number - 1) * case.interval_ns
            held = (await self._followed(last_ns)).held_lots != 0
            progress(min(number, case.bars), case.bars)
        await self._stand(case.end_ns, trades=0)
        return float((await self._admin.account()).equity)

    async def _stand(self, until_ns: int, trades: int) -> int:
        """Play to a time and ``trades`` beyond; return the tape time reached."""
        await self._admin.set_tape(until_ns=until_ns, trades=trades)
        deadline_ns = self._deadline(STEP_SECONDS)
        while True:
            tape = (await self._admin.state())["tape"]
            if tape["standing"]:
                return int(tape["time_ns"])
            self._check(deadline_ns, f"the tape does not reach {until_ns} ns")
            await asyncio.sleep(_POLL_SECONDS)

    async def _read(self) -> None:
        """Let execution read the account as it stands now."""
        venue = self._case.traded.venue.value
        since_ns = self._clock.time_ns()
        deadline_ns = self._deadline(STEP_SECONDS)
        question = READ_FIRST
        while True:
            status = await self._ask(question)
            if status is not None and status.read_ns.get(venue, 0) > since_ns:
                return
            question = b"" if status is not None else READ_FIRST
            self._check(deadline_ns, "execution does not read its account")
            await asyncio.sleep(_POLL_SECONDS)

    async def _followed(self, close_ns: int) -> FollowedTarget:
        """Wait until the target of a close was followed and nothing is under way."""
        deadline_ns = self._deadline(STEP_SECONDS)
        one: FollowedTarget | None = None
        while True:
            if self._target_ns >= close_ns:
                status = await self._ask(b"")
                one = status.targets[0] if status and status.targets else None
                if one is not None and one.bar_close_ns >= close_ns and one.is_idle:
                    return one
            self._check(deadline_ns, self._missing(close_ns, one))
            await asyncio.sleep(_POLL_SECONDS)

    def _missing(self, close_ns: int, one: FollowedTarget | None) -> str:
        bar = f"the bar that closes at {_time(close_ns)}"
        if self._target_ns < close_ns:
            return f"the strategy publishes no target of {bar}"
        if one is None or one.bar_close_ns < close_ns:
            return f"execution has not taken the target of {bar}"
        return f"execution has something left to do about {bar}"

    async def _ask(self, question: bytes) -> ExecutionStatus | None:
        try:
            answer = await self._bus.request(
                EXECUTION_ASK, question, timeout=_ASK_SECONDS
            )
        except (nats.errors.Error, TimeoutError):
            return None
        return self._statuses.decode(answer.data)

    async def _may_trade(self, operator: OperatorClient) -> bool:
        self._check_running()
        if self._ready < {"feed", "strategy"}:
            return False
        status = await self._ask(b"")
        if status is None or not any(status.read_ns.values()):
            return False
        if status.permit != PermitMode.TRADE.value:
            if (await operator.status()).state is not RiskState.ARMED:
                await operator.rearm(who="parity", reason="a tape in lock-step")
            return False
        return True

    async def _on_target(self, message: Msg) -> None:
        target = self._targets.decode(message.data)
        if target is not None:
            self._target_ns = max(self._target_ns, target.bar_close_ns)

    async def _on_strategy(self, message: Msg) -> None:
        if MessageDecoder(StrategyStatus).decode(message.data) is not None:
            self._ready.add("strategy")

    async def _on_feed(self, message: Msg) -> None:
        status = MessageDecoder(FeedStatus).decode(message.data)
        if status is not None and status.connected:
            self._ready.add("feed")

    def _check(self, deadline_ns: int, missing: str) -> None:
        self._check_running()
        if self._clock.monotonic_ns() > deadline_ns:
            msg = f"{missing}, though it was waited for"
            raise ParityFailed(msg)

    def _check_running(self) -> None:
        for name, process in self._processes.items():
            if process.returncode is not None:
                msg = f"{name} ended by itself, with code {process.returncode}"
                raise ParityFailed(msg)

    def _deadline(self, seconds: float) -> int:
        return self._clock.monotonic_ns() + int(seconds * NS_PER_SECOND)


def _simulator(case: Case, directory: Path) -> AnnouncedProcess:
    command = [
        *COMMAND,
        *("simulate", "--json", "--venues", "binance", "--delay-ms", "0"),
        *("--tape", str(case.tape), "--catalog", str(case.catalog)),
        *("--start", _time(case.start_ns), "--balance", str(EQUITY)),
        *("--tick-size", str(case.tick_size), "--lot-size", str(case.lot_size)),
        *("--lock-step", "--fixed-spread", "1", "--no-rate-limits"),
    ]
    log = directory / "logs" / "simulator.log"
    return AnnouncedProcess(command, log, deadline_seconds=_START_SECONDS)


def _settings(case: Case, directory: Path, simulator: Mapping[str, Any]) -> Path:
    return write_settings(
        directory,
        simulator,
        catalog=case.catalog,
        strategies=[
            {
                "name": case.strategy,
                "instrument": str(case.traded),
                "bar_seconds": case.bar_seconds,
                "warmup_days": case.warmup_days,
                "warmup_required": False,  # research has no more history either
                "params": case.params,
            }
        ],
        execution={
            "no_trade_band": str(NO_TRADE_BAND),
            # A tape plays hours in a minute: what bounds a minute's orders, or how
            # far a mark read lately may be, would bound the speed-up.
            "leverage_max": "20",
            "orders_per_minute_max": "600",
            "price_collar_fraction": "0.5",
        },
        risk={"drawdown_fraction_max": THRESHOLD},
    )


@asynccontextmanager
async def _services(
    settings: Settings, config: Path, token: str
) -> AsyncIterator[Mapping[str, asyncio.subprocess.Process]]:
    """Run the bus, the feed, the strategy and execution; nobody needs alarming."""
    running: dict[str, asyncio.subprocess.Process] = {}
    specs = [
        nats_spec(settings),
        *(s for s in child_specs(settings, config, token) if s.name != "alarms"),
    ]
    try:
        for spec in specs:
            running[spec.name] = await _start(spec)
        yield running
    finally:
        # Execution first, the bus last.
        for spec in reversed(specs):
            if (process := running.get(spec.name)) is not None:
                await _stop(process, spec.stop_seconds)


async def _start(spec: ServiceSpec) -> asyncio.subprocess.Process:
    spec.log.parent.mkdir(parents=True, exist_ok=True)
    with spec.log.open("ab") as log:
        return await asyncio.create_subprocess_exec(
            *spec.command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=spec.environment,
        )


async def _stop(process: asyncio.subprocess.Process, seconds: float) -> None:
    if process.returncode is not None:
        return
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), seconds)
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _journaled(path: Path) -> dict[str, int]:
    """Return the bar of each order that execution journalled."""
    journal = Journal(path)
    try:
        return {
            one.record.client_order_id: one.record.bar_ns
            for one in journal.iter_orders()
        }
    finally:
        journal.close()


def _trades(
    records: Sequence[Record], bars: Mapping[str, int], case: Case
) -> list[Trade]:
    """Return the venue's fills as trades; one that no journal knows is of bar 0."""
    trades = []
    for record in records:
        if record["kind"] != "fill":
            continue
        lots = to_steps_nearest(abs(Decimal(record["size"])), case.lot_size)
        sign = Side(str(record["side"]).lower()).sign
        bar_ns = bars.get(str(record["client_id"]), 0)
        price, fee = float(record["price"]), float(record["fee"])
        trades.append(Trade(bar_ns, sign * lots, price, fee))
    return trades


def _time(time_ns: int) -> str:
    return datetime.fromtimestamp(time_ns / NS_PER_SECOND, UTC).isoformat()

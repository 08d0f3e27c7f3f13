"""
The live half of the demo: trade the tape, crash it, read the scorecard.

It composes running processes and judges by the simulator's own log; it decides no
order and closes no position.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import aiohttp
import nats.errors
from nats.js.errors import NotFoundError

from cryptoquantix.apps.demo_data import BAR_SECONDS, Series
from cryptoquantix.apps.rehearsal import COMMAND, write_settings
from cryptoquantix.apps.settings import Settings, load_settings
from cryptoquantix.bus.connection import connect, targets_bucket
from cryptoquantix.bus.messages import MessageDecoder, Target
from cryptoquantix.bus.subjects import target_key
from cryptoquantix.control.status import RiskState
from cryptoquantix.core.clock import NS_PER_DAY, NS_PER_SECOND, SystemClock
from cryptoquantix.core.errors import CryptoquantixError
from cryptoquantix.drills.kill import KillResult
from cryptoquantix.drills.requests import Record
from cryptoquantix.drills.scorecard import (
    ClosedPosition,
    closed_positions,
    read_kill_times,
)
from cryptoquantix.drills.simulator_admin import SimulatorAdmin, TrueAccount
from cryptoquantix.journal.store import Journal
from cryptoquantix.risk_client.operator import OperatorClient
from cryptoquantix.supervisor.announced import AnnouncedProcess

STRATEGY: Final = "trend_breakout"
THRESHOLD: Final = Decimal("0.03")
FAST: Final = 20_000.0
_LOSS_WANTED: Final = Decimal("0.06")  # of equity: twice the threshold
_MOVE_MAX: Final = Decimal("0.5")
_TARGET_MIN: Final = 0.15  # a smaller position needs no believable crash
_SEARCH_SECONDS: Final = 90.0
_STEP_SECONDS: Final = 30.0
_POLL_SECONDS: Final = 0.05

Say = Callable[[str], None]


class DemoFailed(CryptoquantixError):  # noqa: N818 - it names a state
    """A step of the demo did not come about in its time."""


@dataclass(frozen=True, slots=True)
class LivePlan:
    """Where the tape begins, and the parameters chosen before it."""

    tape_start_ns: int
    params: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class LiveResult:
    """What the venue's log says of the live half."""

    orders: int
    fills: int
    kill: KillResult
    closed: tuple[ClosedPosition, ...]
    alert_delivered: bool
    is_journaled: bool = False


@dataclass(frozen=True, slots=True)
class _Running:
    """What the steps of the live half talk to."""

    admin: SimulatorAdmin
    operator: OperatorClient
    settings: Settings
    telegram: str


class LiveDemo:
    """The live half, step by step; every step has a deadline."""

    def __init__(
        self, directory: Path, series: Series, plan: LivePlan, say: Say
    ) -> None:
        self._directory = directory
        self._series = series
        self._plan = plan
        self._say = say
        self._clock = SystemClock()

    async def run(self) -> LiveResult:
        """
        Start everything, trade, crash, judge, and stop everything.

        Cancellation stops all that was started.

        Raises
        ------
        DemoFailed
            If a step does not come about in its time: which one, and what was seen.
        """
        async with AsyncExitStack() as stack:
            simulator = await stack.enter_async_context(self._simulator())
            telegram = await stack.enter_async_context(self._telegram())
            settings = load_settings(self._settings(simulator.line, telegram.line))
            await stack.enter_async_context(self._services())
            admin = await stack.enter_async_context(
                SimulatorAdmin(simulator.line["admin"])
            )
            operator = await stack.enter_async_context(
                OperatorClient(
                    settings.risk.url, settings.risk.token.get_secret_value()
                )
            )
            running = _Running(admin, operator, settings, telegram.line["telegram"])
            await self._wait_for_target(running)
            await self._open(running)
            start = await _log_end(admin)
            await self._crash(running)
            result = await self._judge(running, start)
        # Execution holds its journal while it runs: it is read once all has stopped.
        is_journaled = _are_journaled(settings.journal_path, result.closed)
        return replace(result, is_journaled=is_journaled)

    def _simulator(self) -> AnnouncedProcess:
        # The strategy warms up on the first part of the series; the tape is the rest.
        start_ns = self._plan.tape_start_ns
        start = datetime.fromtimestamp(start_ns / NS_PER_SECOND, UTC).isoformat()
        command = [
            *COMMAND,
            *("simulate", "--json", "--venues", "binance"),
            *("--tape", str(self._series.instrument)),
            *("--catalog", str(self._series.catalog), "--start", start),
            *("--speed", str(FAST), "--paused"),
        ]
        return AnnouncedProcess(command, self._log("simulator"))

    def _telegram(self) -> AnnouncedProcess:
        module = "cryptoquantix.drills.telegram_stand_in"
        command = [sys.executable, "-m", module, "--port", "0"]
        return AnnouncedProcess(command, self._log("telegram"))

    def _services(self) -> AnnouncedProcess:
        config = str(self._directory / "cryptoquantix.toml")
        command = [*COMMAND, "up", "--json", "--leave-unguarded", "--config", config]
        return AnnouncedProcess(
            command, self._log("up"), deadline_seconds=60.0, grace_seconds=30.0
        )

    def _settings(
        self, simulator: Mapping[str, Any], telegram: Mapping[str, Any]
    ) -> Path:
        strategy = {
            "name": STRATEGY,
            "instrument": str(self._series.instrument),
            "bar_seconds": BAR_SECONDS,
            "warmup_days": self._warmup_days(),
            "params": self._plan.params,
        }
        return write_settings(
            self._directory,
            simulator,
            catalog=self._series.catalog,
            strategies=[strategy],
            telegram={
                "base_url": telegram["telegram"],
                "token": "1:demo",
                "chat_id": "1",
            },
        )

    def _warmup_days(self) -> int:
        return (self._plan.tape_start_ns - self._series.start_ns) // NS_PER_DAY

    def _log(self, name: str) -> Path:
        return self._directory / "logs" / f"demo-{name}.log"

    async def _wait_for_target(self, running: _Running) -> None:
        """Play the tape fast until a target stands, then slow it to 1 ×."""
        admin = running.admin
        bus = await connect(running.settings.nats.url, "demo")
        try:
            bucket = await targets_bucket(bus)
            key = target_key(STRATEGY, self._series.instrument)
            await admin.set_tape(paused=False)
            deadline_ns = self._deadline(_SEARCH_SECONDS)
            while True:
                target = await _target(bucket, key)
                if target is not None and abs(target.target) >= _TARGET_MIN:
                    await admin.set_tape(speed=1.0)
                    await asyncio.sleep(0.5)
                    target = await _target(bucket, key)
                    if target is not None and abs(target.target) >= _TARGET_MIN:
                        when = datetime.fromtimestamp(
                            target.bar_close_ns / NS_PER_SECOND, UTC
                        )
                        self._say(
                            f"target {target.target:+.2f} at {when:%Y-%m-%d %H:%M} "
                            f"of the tape; the tape now runs at 1 ×"
                        )
                        return
                    await admin.set_tape(speed=FAST)
                if self._clock.monotonic_ns() > deadline_ns:
                    msg = (
                        f"no target of {_TARGET_MIN} or more in "
                        f"{_SEARCH_SECONDS:.0f} s of tape at {FAST:.0f} ×, "
                        f"the last was {target}"
                    )
                    raise DemoFailed(msg)
                await asyncio.sleep(_POLL_SECONDS)
        finally:
            await bus.close()

    async def _open(self, running: _Running) -> None:
        """Arm the daemon, and wait until execution holds the position it wants."""
        admin, operator = running.admin, running.operator
        await operator.rearm(who="demo", reason="the demo begins to trade")
        await self._until_state(operator, RiskState.ARMED)
        self._say("risk daemon armed; execution may trade now")
        deadline_ns = self._deadline(_STEP_SECONDS)
        while not (account := await admin.account()).positions:
            if self._clock.monotonic_ns() > deadline_ns:
                msg = f"execution opened no position in {_STEP_SECONDS:.0f} s"
                raise DemoFailed(msg)
            await asyncio.sleep(_POLL_SECONDS)
        self._say(f"position opened: {_held(account)}")
        await asyncio.sleep(3.0)  # the daemon reads the position a few times

    async def _crash(self, running: _Running) -> None:
        """Move the price against the position, and wait until the daemon has halted."""
        admin = running.admin
        move = await self._adverse_move(admin)
        await admin.begin_watch(THRESHOLD)
        self._say(f"the price moves by {move - 1:+.1%} at once")
        await admin.move_price(move)
        await self._until_state(running.operator, RiskState.HALTED)

    async def _adverse_move(self, admin: SimulatorAdmin) -> Decimal:
        account = await admin.account()
        prices = (await admin.state())["prices"]
        exposure = sum(
            (
                size * _price(prices, symbol)
                for symbol, size in account.positions.items()
            ),
            Decimal(0),
        )
        move = _LOSS_WANTED * account.equity / abs(exposure)
        if move > _MOVE_MAX:
            msg = f"a position of {exposure:.0f} is too small to lose 3 % of the equity"
            raise DemoFailed(msg)
        return 1 - move if exposure > 0 else 1 + move

    async def _wait_for_alert(self, url: str) -> bool:
        deadline_ns = self._deadline(_STEP_SECONDS)
        async with aiohttp.ClientSession() as session:
            while self._clock.monotonic_ns() < deadline_ns:
                async with session.get(f"{url}/calls") as answer:
                    calls = (await answer.json())["calls"]
                if any(_is_halt_alarm(call) for call in calls):
                    return True
                await asyncio.sleep(_POLL_SECONDS)
        return False

    async def _judge(self, running: _Running, log_start: int) -> LiveResult:
        admin = running.admin
        alert_delivered = await self._wait_for_alert(running.telegram)
        watch = await admin.watch()
        if watch.crossed_time_ns is None:
            msg = f"the account lost {watch.deepest:.2%} only, short of {THRESHOLD:.0%}"
            raise DemoFailed(msg)
        records = await admin.log()
        after = [r for r in records if r["sequence"] > log_start]
        account = await admin.account()
        status = await running.operator.status()
        closed = tuple(closed_positions(records))
        kill = KillResult(
            drawdown=float(watch.deepest),
            times=read_kill_times(after, watch.crossed_time_ns),
            open_orders=account.open_orders + account.algo_orders,
            positions=len(account.positions),
            latched=status.state is RiskState.HALTED,
        )
        return LiveResult(
            orders=_count_orders(records),
            fills=sum(1 for r in records if r["kind"] == "fill"),
            kill=kill,
            closed=closed,
            alert_delivered=alert_delivered,
        )

    async def _until_state(self, operator: OperatorClient, state: RiskState) -> None:
        deadline_ns = self._deadline(_STEP_SECONDS)
        while (status := await operator.status()).state is not state:
            if self._clock.monotonic_ns() > deadline_ns:
                msg = (
                    f"the risk daemon is {status.state} after {_STEP_SECONDS:.0f} s, "
                    f"expected {state}: {status.reason} {status.not_flat}"
                )
                raise DemoFailed(msg)
            await asyncio.sleep(_POLL_SECONDS)

    def _deadline(self, seconds: float) -> int:
        return self._clock.monotonic_ns() + int(seconds * NS_PER_SECOND)


async def _target(bucket: Any, key: str) -> Target | None:  # noqa: ANN401 - nats-py's
    try:
        entry = await bucket.get(key)
    except (NotFoundError, nats.errors.Error):
        return None
    return MessageDecoder(Target).decode(entry.value)


async def _log_end(admin: SimulatorAdmin) -> int:
    records = await admin.log()
    return int(records[-1]["sequence"]) if records else 0


def _price(prices: Mapping[str, Any], symbol: str) -> Decimal:
    return Decimal(str(prices["binance"][symbol]))


def _held(account: TrueAccount) -> str:
    return ", ".join(f"{size:+f} {name}" for name, size in account.positions.items())


def _is_halt_alarm(call: Mapping[str, Any]) -> bool:
    text = str(call["parameters"].get("text", ""))
    is_sent = call["method"].lower() == "sendmessage" and call["status"] == 200
    return is_sent and "HALT" in text.upper()


def _count_orders(records: Sequence[Record]) -> int:
    return len({r["order_id"] for r in records if r["kind"] == "order"})


def _are_journaled(path: Path, closed: tuple[ClosedPosition, ...]) -> bool:
    """Whether every position closed had been opened by a journalled order."""
    journal = Journal(path)
    try:
        return bool(closed) and all(one.opened_by in journal for one in closed)
    finally:
        journal.close()

"""Whoever trades and is silent, stale, cut off or without a permit wakes a person."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from cryptoquantix.alarms.progress import Ledger, Progress
from cryptoquantix.alarms.reports import ReportWatch
from cryptoquantix.alarms.services import ABSENT_SECONDS, SILENT_SECONDS, ServiceWatch
from cryptoquantix.apps.services import child_specs, stop_stages
from cryptoquantix.apps.services_heard import (
    HISTORY_SECONDS,
    PATIENCE_SECONDS,
    PERMIT_SECONDS,
    Hearing,
    hear_services,
)
from cryptoquantix.apps.settings import Settings
from cryptoquantix.bus.connection import connect
from cryptoquantix.bus.messages import (
    ExecutionStatus,
    StrategyStatus,
    ToldReport,
    encode,
)
from cryptoquantix.bus.subjects import EXECUTION_STATUS, STRATEGY_STATUS
from cryptoquantix.core.clock import NS_PER_SECOND
from processes import start_nats

BTC, COIN = "binance:BTCUSDT-PERP", "deribit:BTCUSD-PERP"
LOCAL = {"rest": "http://127.0.0.1:1", "ws": "ws://127.0.0.1:1"}
STRATEGIES = [
    {"name": "trend_breakout", "instrument": one, "bar_seconds": 60}
    for one in (BTC, COIN)
]
WELL = ExecutionStatus(0, "b", "trade", {"binance": 0, "deribit": 0}, [], 0)
STRATEGY = StrategyStatus(
    *("trend_breakout", BTC, "b", 0, "live", False, 100, 0, 0.5),
    *(7, 0, 0, 1000, 0, 0, 0),
)


class SteppedClock:
    seconds = 1_700_000_000.0

    def time_ns(self) -> int:
        return int(self.seconds * NS_PER_SECOND)

    monotonic_ns = time_ns


class Night:
    """Services that say something each second, and who hears them."""

    def __init__(self) -> None:
        self.clock = SteppedClock()
        self.progress = Progress()
        ledger = Ledger(self.progress, channels=["telegram"])
        parts = {"clock": self.clock, "on_raised": lambda: None}
        self.hearing = Hearing(
            ServiceWatch(ledger, **parts), ReportWatch(ledger, **parts)
        )
        self.execution: dict | None = {}
        self.strategy: dict | None = {}
        self.hearing.expect_trading()

    def pass_by(self, seconds: float) -> list[str]:
        """Let seconds pass; return what was told in them."""
        before = len(self.progress.entries)
        for _ in range(int(seconds)):
            self.clock.seconds += 1
            self._say()
            self.hearing.watch.tick()
            self.hearing.reports.tick()
        return [entry.text for entry in self.progress.entries[before:]]

    def _say(self) -> None:
        now_ns = self.clock.time_ns()
        if self.execution is not None:
            status = msgspec.structs.replace(
                WELL,
                time_ns=now_ns,
                read_ns={"binance": now_ns, "deribit": now_ns},
            )
            changed = msgspec.structs.replace(status, **self.execution)
            self.hearing.on_execution(changed)
        if self.strategy is not None:
            for one in (BTC, BTC, COIN):
                status = msgspec.structs.replace(STRATEGY, instrument=one)
                changed = msgspec.structs.replace(status, **self.strategy)
                self.hearing.on_strategy(changed)


@pytest.fixture
def night():
    night = Night()
    assert night.pass_by(3) == []
    return night


def test_all_well_is_told_to_nobody(night):
    assert night.pass_by(2_000) == []


def test_each_that_falls_silent_is_one_alarm_and_one_all_clear(night):
    """Stopped processes of a strategy service and execution, for two minutes."""
    night.execution = night.strategy = None
    told = sorted(night.pass_by(1_000))
    assert len(told) == 2, told
    assert "the execution has a problem: it has said nothing" in told[0]
    assert "the strategy service has a problem: it has said nothing" in told[1]
    night.execution, night.strategy = {}, {}
    told = night.pass_by(1_000)
    assert len(told) == 2, told
    assert all("well again" in text for text in told)


def test_what_trades_and_never_comes_up_is_an_alarm_each():
    night = Night()
    night.execution = night.strategy = None
    assert night.pass_by(ABSENT_SECONDS - 1) == []
    assert len(night.pass_by(1_000)) == 2


@pytest.mark.parametrize(
    ("changes", "sentence", "seconds"),
    [
        ({"permit": ""}, "the risk daemon has not answered it", PATIENCE_SECONDS),
        (
            {"permit_age_ns": 90 * NS_PER_SECOND},
            "the risk daemon last answered it 90 s ago",
            PATIENCE_SECONDS,
        ),
        (
            {"permit": "reduce_only", "permit_reason": "another holder has the permit"},
            "it may only reduce: another holder has the permit",
            PERMIT_SECONDS,
        ),
        ({"read_ns": {}}, "it trades at no venue", PATIENCE_SECONDS),
        (
            {"unreachable": ["deribit"]},
            "the execution at deribit has a problem: the venue does not answer",
            PATIENCE_SECONDS,
        ),
        (
            {"read_ns": {"binance": 1, "deribit": 2**62}},
            "the execution at binance has a problem: the account was last read",
            PATIENCE_SECONDS,
        ),
    ],
)
def test_what_execution_lacks_for_long_is_one_alarm(night, changes, sentence, seconds):
    night.execution = changes
    assert night.pass_by(seconds - 5) == [], "it may mend itself"
    told = night.pass_by(2_000)
    assert len(told) == 1, told
    assert sentence in told[0]
    night.execution = {}
    assert len(night.pass_by(2_000)) == 1


def test_a_halt_is_told_by_the_daemon_and_not_by_execution(night):
    night.execution = {"permit": "halted", "read_ns": {}}
    assert night.pass_by(2_000) == []


def test_stale_market_data_are_one_alarm_a_venue(night):
    night.strategy = {"is_stale": True}
    assert night.pass_by(PATIENCE_SECONDS - 5) == []
    told = night.pass_by(1_000)
    assert len(told) == 2, "two venues, three strategies"
    assert "the strategy service at binance has a problem" in told[0]
    assert "market data are stale" in told[0]


def test_a_strategy_without_its_history_for_long_is_an_alarm(night):
    night.strategy = {"state": "warming"}
    assert night.pass_by(HISTORY_SECONDS - 5) == []
    told = night.pass_by(2_000)
    assert len(told) == 2, "one each"
    assert f"strategy trend_breakout on {BTC} has a problem: it is warming" in told[0]
    night.strategy = {}
    assert len(night.pass_by(100)) == 2


def test_targets_that_wait_for_the_bus_are_an_alarm(night):
    night.strategy = {"targets_unpublished": 3}
    [text] = night.pass_by(1_000)
    assert "3 targets wait for the bus" in text


def test_what_nobody_here_did_is_an_alarm_and_the_daily_round_is_none(night):
    kinds = (
        *("foreign order", "foreign fills", "foreign position", "position differs"),
        *("order not followed", "dead man's switch", "target", "increase"),
    )
    now_ns = night.clock.time_ns()
    reports = [
        ToldReport(number, now_ns, kind, f"{BTC} 77", "5 lots")
        for number, kind in enumerate(kinds)
    ]
    night.execution = {"reports": reports}
    told = night.pass_by(10)
    assert len(told) == 5, told
    for kind, text in zip(kinds, told, strict=False):
        assert f"execution reports: {kind}, {BTC}: 5 lots" in text
    more = ToldReport(90, now_ns, "foreign order", f"{BTC} 78", "6 lots")
    night.execution = {"reports": [*reports, more]}
    assert night.pass_by(100) == [], "an order book of a person's is not one each"


def test_a_planned_stop_is_over_before_a_silence_is_noticed(tmp_path):
    settings = Settings(
        directory=tmp_path,
        venues={"binance": LOCAL, "deribit": LOCAL},
        strategies=STRATEGIES,
        recorder={"enabled": True},
        journal={"mirror": "postgresql://cqx:hidden@127.0.0.1/journal"},
    )
    seconds = {s.name: s.stop_seconds for s in child_specs(settings, None, "t")}
    stages = stop_stages(seconds)
    assert stages[-1] == ["alarms"]
    longest = sum(max(seconds[name] for name in stage) for stage in stages)
    assert longest < SILENT_SECONDS - 10


async def test_what_is_said_on_the_bus_is_heard(tmp_path):
    night = Night()
    with start_nats(tmp_path) as nats:
        settings = Settings(
            venues={"binance": LOCAL, "deribit": LOCAL},
            strategies=STRATEGIES,
            nats={"url": nats.url},
        )
        parts = (night.hearing.watch, night.hearing.reports)
        task = asyncio.create_task(hear_services(settings, *parts))
        client = await connect(nats.url, "test")
        try:
            report = ToldReport(1, night.clock.time_ns(), "foreign order", BTC, "5")
            status = msgspec.structs.replace(WELL, permit="halted", reports=[report])
            async with asyncio.timeout(20):
                while not night.progress.entries:
                    await client.publish(EXECUTION_STATUS, encode(status))
                    await client.publish(STRATEGY_STATUS, encode(STRATEGY))
                    await client.flush()
                    await asyncio.sleep(0.02)
                    night.hearing.reports.tick()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await client.close()
    night.execution = night.strategy = None
    night.clock.seconds += ABSENT_SECONDS
    night.hearing.watch.tick()
    told = [entry.text for entry in night.progress.entries]
    assert len(told) == 3, told
    assert sum("it has said nothing" in text for text in told) == 2

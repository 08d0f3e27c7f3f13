"""
``cqx demo``: data, research, live trading, a crash, the scorecard; it only composes.

Everything it shows of the live half is read from the simulator's own log.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import polars as pl
from rich.console import Console
from rich.table import Table

from cryptoquantix.apps import study
from cryptoquantix.apps.demo_data import Series, find_series
from cryptoquantix.apps.demo_live import STRATEGY, LiveDemo, LivePlan, LiveResult
from cryptoquantix.apps.settings import Settings
from cryptoquantix.core.clock import NS_PER_SECOND, SystemClock
from cryptoquantix.core.errors import SettingsError
from cryptoquantix.strategies.trend_breakout import Params

_MARKER: Final = ".cqx-demo"
_TRAIN_DAYS: Final = 6
_TEST_DAYS: Final = 2

# A month of tape is short: every length fits into it, and the gate is printed.
_FIXED: Final[Mapping[str, float]] = {
    "volatility_bars": 1440,
    "volatility_target": 0.6,
    "leverage_max": 2.0,
    "gate_band": 0.01,
}
_GRID: Final[Mapping[str, list[float]]] = {
    "gate_days": [2, 3, 4],
    "breakout_bars": [240, 480, 960],
    "exit_atr": [8.0, 12.0, 16.0],
    "atr_bars": [240, 480],
}


@dataclass(frozen=True, slots=True)
class DemoResult:
    """Everything the scorecard shows."""

    series: Series
    walk_forward: Mapping[str, Any]
    live: LiveResult
    report: Path
    seconds: float

    @property
    def is_opened_and_closed(self) -> bool:
        """One position was opened by a journalled order and closed by the daemon."""
        return len(self.live.closed) >= 1 and self.live.is_journaled

    @property
    def ok(self) -> bool:
        """Flat, latched, alarmed, opened by execution and closed by the daemon."""
        return (
            self.live.kill.passed
            and self.live.alert_delivered
            and self.is_opened_and_closed
        )

    def as_json(self) -> dict[str, Any]:
        """Return what ``--json`` prints."""
        kill = self.live.kill
        return {
            "ok": self.ok,
            "data": {
                "source": self.series.source,
                "generated": self.series.generated,
                "ticks": self.series.ticks,
                "bars": self.series.bars,
            },
            "walk_forward": {
                name: self.walk_forward[name]
                for name in ("cells", "folds", "oos_sharpe", "seconds")
            },
            "orders": self.live.orders,
            "fills": self.live.fills,
            "kill": {
                "drawdown": kill.drawdown,
                "detected_ms": kill.times.detected_ms,
                "sent_ms": kill.times.sent_ms,
                "flat_ms": kill.times.flat_ms,
                "open_orders": kill.open_orders,
                "positions": kill.positions,
                "latched": kill.latched,
                "alert_delivered": self.live.alert_delivered,
            },
            "seconds": self.seconds,
        }


def run(data: Path | None, folder: Path) -> DemoResult:
    """
    Carry the whole demo out in ``folder``, which an earlier demo may have left.

    Progress goes to standard error. Nothing of a live venue is touched: every
    address is loopback and every account simulated.

    Raises
    ------
    SettingsError
        If ``folder`` holds something that is no demo's.
    CryptoquantixError
        If a step fails: one sentence that names it.
    """
    clock = SystemClock()
    start_ns = clock.monotonic_ns()
    folder = _clean(folder.resolve())
    say = _Narrator(clock, start_ns).say

    say("data", "looking for market data")
    series = find_series(data, folder / "catalog", lambda text: say("data", text))
    label = "  [GENERATED]" if series.generated else ""
    say(
        "data",
        f"{series.instrument}: {series.bars} 1-minute bars, {series.days:.1f} days"
        f"{label}, from {series.source}",
    )
    summary = _study(folder, series)
    say(
        "research",
        f"{summary['cells']} parameter sets, {summary['folds']} folds, out-of-sample "
        f"Sharpe {_signed(summary['oos_sharpe'])}, in {summary['seconds']:.1f} s",
    )
    plan = _plan(folder / "study" / "folds.parquet", series)
    say(
        "research",
        f"to trade: the parameters chosen on the {_TRAIN_DAYS} days before "
        f"{_when(plan.tape_start_ns)}, where the tape begins (macro gate "
        f"{plan.params['gate_days']:g} days: short, to fit the tape)",
    )
    say("live", "starting simulator, NATS, feed, strategy, execution, risk, alarms")
    live = asyncio.run(
        LiveDemo(folder, series, plan, lambda text: say("live", text)).run()
    )
    seconds = (clock.monotonic_ns() - start_ns) / NS_PER_SECOND
    report = folder / "study" / "report.html"
    return DemoResult(series, summary, live, report, round(seconds, 1))


def _plan(folds_file: Path, series: Series) -> LivePlan:
    """
    Return the choice of the first fold that begins past a third of the series.

    Its train window ends where the tape begins: what trades has not seen the tape.
    """
    folds = pl.read_parquet(folds_file).sort("train_end")
    third_ns = series.start_ns + (series.end_ns - series.start_ns) // 3
    ends = folds["train_end"].to_physical()
    later = folds.filter(ends >= third_ns)
    fold = (later if later.height else folds.tail(1)).row(0, named=True)
    start_ns = int(fold["train_end"].timestamp()) * NS_PER_SECOND
    params = {name: fold[name] for name in Params._fields}
    return LivePlan(start_ns, params)


def _signed(value: float | None) -> str:
    return "unknown" if value is None else f"{value:+.2f}"


def _study(folder: Path, series: Series) -> dict[str, Any]:
    file = folder / "study.toml"
    file.write_text(_study_text(series))
    settings = Settings(directory=folder, catalog=series.catalog)
    return study.run(file, settings, folder / "study")


def _study_text(series: Series) -> str:
    grid = "\n".join(f"{name} = {values}" for name, values in _GRID.items())
    fixed = "\n".join(f"{name} = {value}" for name, value in _FIXED.items())
    return f"""\
# The study of `cqx demo`: short lengths, because a month of tape is short.
[data]
instrument = "{series.instrument}"
interval = "1m"
funding = "none"
start = {_when(series.start_ns)}
end = {_when(series.end_ns)}

[strategy]
name = "{STRATEGY}"

[parameters]
{fixed}

[grid]
{grid}

[walk_forward]
train_days = {_TRAIN_DAYS}
test_days = {_TEST_DAYS}
"""


def _when(time_ns: int) -> str:
    return f"{datetime.fromtimestamp(time_ns / NS_PER_SECOND, UTC):%Y-%m-%dT%H:%M:%SZ}"


def _clean(folder: Path) -> Path:
    """Return ``folder``, empty but for the mark that a demo made it."""
    if folder.exists():
        if not folder.is_dir() or (
            any(folder.iterdir()) and not (folder / _MARKER).exists()
        ):
            msg = f"{folder} holds something that no demo wrote: give another --out"
            raise SettingsError(msg)
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    (folder / _MARKER).touch()
    return folder


class _Narrator:
    """Says on standard error what happens, with the seconds since the start."""

    def __init__(self, clock: SystemClock, start_ns: int) -> None:
        self._clock = clock
        self._start_ns = start_ns
        self._console = Console(file=sys.stderr, highlight=False)

    def say(self, stage: str, text: str) -> None:
        """Print one line."""
        seconds = (self._clock.monotonic_ns() - self._start_ns) / NS_PER_SECOND
        self._console.print(
            f"{seconds:6.1f} s  {stage:<9} {text}", markup=False, soft_wrap=True
        )


def scorecard(result: DemoResult) -> Table:
    """Return the result as a table for a person."""
    kill = result.live.kill
    times = kill.times
    table = Table(
        title="What the kill switch did",
        title_justify="left",
        show_header=False,
        caption=f"The research half: {result.report}",
        caption_justify="left",
    )
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(overflow="fold")
    source = result.series.source
    rows = [
        ("market data", "GENERATED" if result.series.generated else "real", source),
        ("orders, fills", f"{result.live.orders}, {result.live.fills}", "venue's log"),
        ("true drawdown, deepest", f"{kill.drawdown:.2%}", "limit 3.00 %"),
        ("detected", _ms(times.detected_ms), "from the true crossing of 3 %"),
        ("last cancel or close sent", _ms(times.sent_ms), ""),
        ("account flat", _ms(times.filled_ms), "last fill or cancel"),
        ("flat verified", _ms(times.flat_ms), "two readings, 500 ms apart"),
        ("open orders, positions", f"{kill.open_orders}, {kill.positions}", "left"),
        ("halt stands", _yes(kill.latched), "until a person rearms"),
        ("alarm delivered", _yes(result.live.alert_delivered), "Bot API stand-in"),
        (
            "position",
            _yes(result.is_opened_and_closed),
            "opened by a journalled order, closed by the daemon",
        ),
        ("whole demo", f"{result.seconds:.0f} s", "from data to scorecard"),
    ]
    for row in rows:
        table.add_row(*row)
    return table


def _ms(value: float | None) -> str:
    return "never" if value is None else f"{value:.0f} ms"


def _yes(value: bool) -> str:  # noqa: FBT001 - a fact to show
    return "yes" if value else "NO"

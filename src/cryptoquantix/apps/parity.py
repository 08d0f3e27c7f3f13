"""``cqx parity``: one tape through research and through the live path, compared."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import uvloop

from cryptoquantix.apps.parity_case import (
    BARS_MAX,
    PARAMS,
    STRATEGY,
    Case,
    catalog_case,
    generated_case,
    research,
)
from cryptoquantix.apps.parity_live import ParityFailed, live
from cryptoquantix.core.clock import NS_PER_SECOND, SystemClock
from cryptoquantix.core.errors import SettingsError
from cryptoquantix.core.instrument import InstrumentId
from cryptoquantix.research.parity import Difference, Traded, Verdict, compare

_PROGRESS_BARS: Final = 30

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class ParityOptions:
    """The command line of ``cqx parity``, as typed."""

    instrument: str | None
    start: str | None
    end: str | None
    bars: int
    seed: int
    strategy: str
    params: str | None
    catalog: Path
    directory: Path


@dataclass(frozen=True, slots=True)
class ParityResult:
    """
    What came of it.

    ``study`` is what research would have said with the fills of its studies: the first
    trade of the taker's own side, wherever the tape has gone by then.
    """

    case: Case
    verdict: Verdict
    study: Traded
    seconds: float

    @property
    def is_ok(self) -> bool:
        """Whether research and live agree, on at least one trade."""
        return self.verdict.is_ok and bool(self.verdict.differences)

    @property
    def problems(self) -> list[str]:
        """What is wrong, one sentence each."""
        if self.verdict.differences:
            return self.verdict.problems
        return [*self.verdict.problems, "there was not one trade to compare"]

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain values."""
        verdict, case = self.verdict, self.case
        return {
            "ok": self.is_ok,
            "trades": len(verdict.differences),
            "worst_ticks": round(verdict.worst_ticks, 4),
            "pnl_research": round(verdict.pnl_research, 8),
            "pnl_live": round(verdict.pnl_live, 8),
            "pnl_difference": round(verdict.pnl_difference, 8),
            "pnl_allowed": round(verdict.pnl_allowed, 8),
            "fees_research": round(verdict.fees_research, 8),
            "fees_live": round(verdict.fees_live, 8),
            "pnl_study_fills": round(self.study.pnl, 8),
            "bars": case.bars,
            "seconds": round(self.seconds, 1),
            "instrument": str(case.traded),
            "source": case.source,
            "tick_size": str(case.tick_size),
            "lot_size": str(case.lot_size),
            "start_ns": case.start_ns,
            "end_ns": case.end_ns,
            "differences": [one.to_json() for one in verdict.differences],
            "problems": self.problems,
        }

    def text(self) -> str:
        """Return it for a person: a line a trade, and the sum."""
        verdict = self.verdict
        lines = ["bar closes at         side      lots    research        live   ticks"]
        lines += [_line(one) for one in verdict.differences]
        apart = (
            f"PnL research {verdict.pnl_research:+.6f}, live {verdict.pnl_live:+.6f}: "
            f"{abs(verdict.pnl_difference):.6f} apart, "
            f"{verdict.pnl_allowed:.6f} allowed"
        )
        fees = (
            f"fees research {verdict.fees_research:.6f}, live {verdict.fees_live:.6f}"
        )
        study = (
            f"with the fills of a study (the taker's own side) research makes "
            f"{self.study.pnl:+.2f}"
        )
        end = (
            f"{'PARITY' if self.is_ok else 'NO PARITY'}: {len(verdict.differences)} "
            f"trades in {self.case.bars} bars, worst {verdict.worst_ticks:.2f} ticks, "
            f"{self.seconds:.0f} s, {self.case.source}"
        )
        lines += [apart, fees, study, *self.problems, end]
        return "\n".join(lines)


def run(options: ParityOptions, say: Say) -> ParityResult:
    """
    Return whether research and the live path trade the same tape the same.

    Raises
    ------
    SettingsError
        If an option is wrong.
    DataError
        If the catalog does not hold what was asked for.
    ParityFailed
        If the live path got stuck.
    """
    clock = SystemClock()
    started_ns = clock.monotonic_ns()
    run_directory = _fresh(options.directory)
    case = _case(options, run_directory / "catalog")
    say(f"{case.bars} bars of {case.bar_seconds} s, {case.source}")
    answer = research(case, options.directory / "kernels")
    say(f"research: {len(answer.traded.trades)} trades")

    def progress(bar: int, bars: int) -> None:
        if bar % _PROGRESS_BARS == 0 or bar == bars:
            say(f"bar {bar} of {bars}")

    try:
        traded = uvloop.run(_stoppable(live(case, run_directory, say, progress)))
    except asyncio.CancelledError:
        msg = "stopped before the tape had been played"
        raise ParityFailed(msg) from None
    verdict = compare(answer.traded, traded, case.steps)
    seconds = (clock.monotonic_ns() - started_ns) / NS_PER_SECOND
    return ParityResult(case, verdict, answer.study, seconds)


async def _stoppable(playing: Coroutine[Any, Any, Traded]) -> Traded:
    """Return what ``playing`` returns; SIGTERM stops all that it started."""
    task = asyncio.create_task(playing)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await task


def _fresh(directory: Path) -> Path:
    """Return an empty folder of this run, with the kernels of the ones before it."""
    run_directory = directory.resolve() / "run"
    kernels = directory.resolve() / "kernels"
    try:
        if run_directory.exists():
            shutil.rmtree(run_directory)
        run_directory.mkdir(parents=True)
        kernels.mkdir(exist_ok=True)
        (run_directory / "kernels").symlink_to(kernels)
    except OSError as error:
        msg = f"cannot write to {directory}: {error.strerror}"
        raise SettingsError(msg) from None
    return run_directory


def _case(options: ParityOptions, generated: Path) -> Case:
    if options.instrument is None:
        if options.start or options.end:
            msg = "--start and --end go with --instrument"
            raise SettingsError(msg)
        if not 0 < options.bars <= BARS_MAX:
            msg = f"--bars must be within 1..{BARS_MAX}, was {options.bars}"
            raise SettingsError(msg)
        case = generated_case(generated, options.bars, abs(options.seed))
        return replace(case, strategy=options.strategy, params=_params(options))
    if options.start is None or options.end is None:
        msg = "--instrument needs --start and --end"
        raise SettingsError(msg)
    return catalog_case(
        options.catalog.resolve(),
        InstrumentId.parse(options.instrument),
        _time_ns(options.start, "--start"),
        _time_ns(options.end, "--end"),
        strategy=options.strategy,
        params=_params(options),
    )


def _params(options: ParityOptions) -> Mapping[str, Any]:
    if options.params is None:
        return PARAMS if options.strategy == STRATEGY else {}
    try:
        value = json.loads(options.params)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        msg = f"--params must be a JSON object, was {options.params!r}"
        raise SettingsError(msg)
    return value


def _time_ns(text: str, option: str) -> int:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        msg = f"{option} must be an ISO 8601 date or time, was {text!r}"
        raise SettingsError(msg) from None
    time = time if time.tzinfo else time.replace(tzinfo=UTC)
    return round(time.timestamp() * 1_000_000) * 1_000


def _line(one: Difference) -> str:
    when = datetime.fromtimestamp(one.bar_ns / NS_PER_SECOND, UTC)
    lots = max(abs(trade.lots) for trade in (one.research, one.live) if trade)
    prices = [
        "          -" if trade is None else f"{trade.price:>11.10g}"
        for trade in (one.research, one.live)
    ]
    ticks = "      -" if one.ticks is None else f"{one.ticks:7.2f}"
    return (
        f"{when:%Y-%m-%d %H:%M:%S}   {one.side:<5}{lots:>9} {prices[0]} {prices[1]} "
        f"{ticks}"
    )

"""``cqx drill``: carries drills out one after another; it judges none."""

from __future__ import annotations

import asyncio
import io
import statistics
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from rich.console import Console
from rich.table import Table

from cryptoquantix.apps.drill_stage import SEED, fresh_stage, running_stage
from cryptoquantix.core.errors import CryptoquantixError, SettingsError
from cryptoquantix.drills.drill import Drill, Outcome, perform
from cryptoquantix.drills.every import EVERY
from cryptoquantix.drills.owners import VENUES

RUNS_MAX: Final = 1_000
_WIDTH: Final = 120
_TIMES: Final = ("detected_ms", "sent_ms", "filled_ms", "flat_ms")

type Report = Callable[[int, Outcome], None]


@dataclass(frozen=True, slots=True)
class DrillOptions:
    """
    How to carry drills out.

    ``admin`` is the simulator's, for a deployment that runs already with the settings
    of ``config``; without it every drill gets a fresh simulator and daemon. ``risk``
    are settings of that fresh daemon.
    """

    is_quick: bool = False
    venues: tuple[str, ...] = VENUES
    admin: str = ""
    config: Path | None = None
    risk: Mapping[str, object] | None = None


def run(
    name: str, runs: int, report: Report, options: DrillOptions | None = None
) -> dict[str, Any]:
    """
    Carry one drill, or with ``all`` every one, out ``runs`` times.

    ``report`` is called after each run, with its number. The result is ``{"drills":
    [...], "runs": [...]}``: of each drill the medians, of each run everything. Times
    are milliseconds from the moment the true drawdown of all accounts reached the
    threshold.

    Raises
    ------
    SettingsError
        If there is no such drill, or an option is wrong.
    """
    options = options or DrillOptions()
    if not 1 <= runs <= RUNS_MAX:
        msg = f"runs must be from 1 to {RUNS_MAX}, was {runs}"
        raise SettingsError(msg)
    drills = _chosen(name, options)
    with tempfile.TemporaryDirectory(prefix="cqx-drill-") as directory:
        every = _all(drills, runs, Path(directory), options, report=report)
        found = asyncio.run(every)
    return {
        "drills": [_summary(drill.name, found[drill.name]) for drill in drills],
        "runs": [one.details() for outcomes in found.values() for one in outcomes],
    }


def _chosen(name: str, options: DrillOptions) -> list[Drill]:
    if name not in {*EVERY, "all"}:
        msg = f"no drill {name!r}, expected one of {', '.join((*EVERY, 'all'))}"
        raise SettingsError(msg)
    unknown = [venue for venue in options.venues if venue not in VENUES]
    if unknown or not options.venues:
        found = unknown[0] if unknown else ""
        msg = f"--venues must name some of {', '.join(VENUES)}, was {found!r}"
        raise SettingsError(msg)
    wanted = list(EVERY.values()) if name == "all" else [EVERY[name]]
    for drill in wanted:
        if drill.venues_min > len(options.venues):
            msg = f"{drill.name} needs {drill.venues_min} venues: name more"
            raise SettingsError(msg)
        if options.admin and (drill.harms_daemon or drill.needs_telegram):
            msg = f"{drill.name} needs a fresh daemon: leave --admin out"
            raise SettingsError(msg)
    return wanted


async def _all(
    drills: Sequence[Drill],
    count: int,
    directory: Path,
    options: DrillOptions,
    *,
    report: Report,
) -> dict[str, list[Outcome]]:
    phases = np.random.default_rng(SEED).uniform(0.0, 1.0, count)
    runs: dict[str, list[Outcome]] = {}
    for drill in drills:
        for number, phase in enumerate(phases, start=1):
            folder = _folder(directory, f"{drill.name}-{number}")
            outcome = await _one(drill, folder, options, float(phase))
            report(number, outcome)
            runs.setdefault(drill.name, []).append(outcome)
    return runs


async def _one(
    drill: Drill, directory: Path, options: DrillOptions, phase: float
) -> Outcome:
    """Return the outcome; a drill that could not even begin has failed."""
    stages = (
        running_stage(options.config, options.admin, directory)
        if options.admin
        else fresh_stage(
            drill, directory, drill.venues_of(options.venues), risk=options.risk
        )
    )
    try:
        async with stages as stage:
            stage.is_quick = options.is_quick
            return await perform(drill, stage, phase_seconds=phase)
    except SettingsError:
        raise
    except CryptoquantixError as error:
        return Outcome(drill.name, passed=False, notes=str(error))


def _folder(root: Path, name: str) -> Path:
    folder = root / name
    folder.mkdir(parents=True)
    return folder


def _summary(name: str, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Return the drill's line: medians and worst of what was reached."""
    summary: dict[str, Any] = {
        "drill": name,
        "passed": all(one.passed for one in outcomes),
    }
    kills = [one.kill.times for one in outcomes if one.kill is not None]
    for field in _TIMES:
        values = [getattr(times, field) for times in kills]
        reached = [value for value in values if value is not None]
        summary[field] = statistics.median(reached) if reached else None
        summary[f"{field}_worst"] = max(reached, default=None)
    failed = [one.notes for one in outcomes if not one.passed]
    notes = failed[0] if failed else outcomes[0].notes
    if len(outcomes) > 1:
        notes = f"{len(outcomes) - len(failed)} of {len(outcomes)} runs passed: {notes}"
    summary["notes"] = notes
    return summary


def table(result: Mapping[str, Any]) -> str:
    """Return a result as text for a person, medians with worst in brackets."""
    shown = Table(
        *("drill", "passed"),
        title="Drills",
        title_justify="left",
        caption="ms from the true crossing of the threshold: median (worst)",
        caption_justify="left",
    )
    for name in ("detected", "sent", "flat"):
        shown.add_column(name, justify="right", no_wrap=True)
    shown.add_column("notes", overflow="fold")
    for one in result["drills"]:
        times = [
            _both(one[field], one[f"{field}_worst"])
            for field in ("detected_ms", "sent_ms", "flat_ms")
        ]
        passed = "yes" if one["passed"] else "NO"
        shown.add_row(one["drill"], passed, *times, one["notes"])
    stream = io.StringIO()
    Console(file=stream, width=_WIDTH, highlight=False, no_color=True).print(shown)
    return stream.getvalue().rstrip("\n")


def _both(median: float | None, worst: float | None) -> str:
    if median is None or worst is None:
        return "-"
    if median == worst:
        return f"{median:.0f}"
    return f"{median:.0f} ({worst:.0f})"


def listed() -> list[dict[str, Any]]:
    """Return every drill there is: its name, and what happens in it."""
    return [{"drill": drill.name, "about": drill.about} for drill in EVERY.values()]


def listing() -> str:
    """Return every drill there is as text for a person."""
    return "\n".join(f"{one['drill']:<22}{one['about']}" for one in listed())

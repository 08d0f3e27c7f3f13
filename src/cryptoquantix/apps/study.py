"""``cqx study``: a study file, the catalog and the kernels meet here."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

from cryptoquantix.apps.settings import Settings, load_settings
from cryptoquantix.core.clock import NS_PER_SECOND, Clock, SystemClock
from cryptoquantix.data.catalog import Catalog
from cryptoquantix.research.market import load_market
from cryptoquantix.research.outputs import (
    REPORT,
    StudyFolder,
    check_out,
    read_study_folder,
    write_report,
    write_study,
)
from cryptoquantix.research.report import render, verdict
from cryptoquantix.research.results import (
    cell_table,
    equity_table,
    fold_table,
    summarize,
)
from cryptoquantix.research.study import run_study
from cryptoquantix.research.study_file import read_study

_CLOCK: Clock = SystemClock()


def run(
    file: Path,
    settings: Settings | None = None,
    out: Path | None = None,
    catalog: Path | None = None,
) -> dict[str, Any]:
    """
    Run the study of ``file`` and return its summary, ``"out"`` (the folder) included.

    Raises
    ------
    SettingsError
        If the file is wrong, or the folder cannot be written.
    DataError
        If the data it asks for are not held, or not whole.
    """
    began = _CLOCK.monotonic_ns()
    study = read_study(file)
    settings = settings or load_settings()
    folder = (out or settings.directory / "studies" / file.stem).resolve()
    check_out(folder)
    market = load_market(study, Catalog(catalog or settings.catalog))
    with _progress() as report:
        result = run_study(study, market, settings.kernel_cache, report)
        seconds = (_CLOCK.monotonic_ns() - began) / NS_PER_SECOND
        made = StudyFolder(
            summarize(result, seconds),
            fold_table(result),
            equity_table(result),
            cell_table(result),
        )
        report("report", 0, 1)
        write_study(folder, made, render(made))
        report("report", 1, 1)
    return {**made.summary, "out": str(folder)}


def report(folder: Path) -> dict[str, Any]:
    """
    Render the report of a study's folder anew and return its summary.

    Raises
    ------
    DataError
        If it is no study's folder.
    """
    held = read_study_folder(folder)
    write_report(folder, render(held))
    return {**held.summary, "out": str(folder.resolve())}


def text(summary: dict[str, Any]) -> str:
    """Return the summary for a terminal."""
    lines = [verdict(summary)]
    if summary["generated"]:
        lines.insert(0, "GENERATED DATA: these prices never traded anywhere.")
    if summary["funding"] == "none":
        lines.append("FUNDING: NONE. What holding pays or costs is not counted.")
    lines.append(
        f"{summary['cells']} parameter sets, {summary['folds']} folds "
        f"({summary['folds_profitable']} made money), {summary['bars']:,} bars, "
        f"{summary['seconds']:.1f} s."
    )
    lines.append(f"Report: {Path(summary['out']) / REPORT}")
    return "\n".join(lines)


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
    """Show the stages on a terminal; say nothing elsewhere."""
    console = Console(file=sys.stderr)
    if not console.is_terminal:
        yield _say_nothing
        return
    tasks: dict[str, TaskID] = {}
    columns = (
        TextColumn("{task.description:<14}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as progress:

        def show(stage: str, done: int, total: int) -> None:
            if stage != "compiling" and "compiling" in tasks:
                progress.update(tasks["compiling"], completed=1)
            if stage not in tasks:
                tasks[stage] = progress.add_task(stage, total=total)
            progress.update(tasks[stage], completed=done)

        yield show


def _say_nothing(_stage: str, _done: int, _total: int) -> None:
    """Take a progress report and show nothing."""

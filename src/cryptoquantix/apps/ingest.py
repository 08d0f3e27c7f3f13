"""``cqx ingest``: archive files into the catalog, with progress on a terminal."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from cryptoquantix.apps.settings import load_settings
from cryptoquantix.core.errors import DataError, SettingsError
from cryptoquantix.core.instrument import InstrumentId, InstrumentKind
from cryptoquantix.data import ingest as ingestion
from cryptoquantix.data.archive import Answers, Market, describe
from cryptoquantix.data.text import text_bytes


def run(
    paths: list[Path],
    answers: Answers,
    *,
    instrument: str = "",
    catalog: Path | None = None,
    config: Path | None = None,
) -> dict[str, Any]:
    """
    Ingest files and folders and return what each file brought.

    Raises
    ------
    SettingsError
        If an option is wrong, or a file's name does not say what only it can say.
    DataError
        If a file is not what it should be; the files before it are ingested.
    """
    root = catalog or load_settings(config).catalog
    if instrument:
        answers = _with_instrument(answers, instrument)
    results = ingest(paths, root, answers)
    files = [_values(one) for one in results]
    totals = {
        name: sum(one[name] for one in files)
        for name in ("rows", "added", "duplicates", "conflicts", "disordered")
    }
    return {"catalog": str(root), **totals, "files": files}


def ingest(
    paths: list[Path], catalog: Path, answers: Answers | None = None
) -> list[ingestion.Ingested]:
    """
    Ingest ``paths``; what they hold is settled for all before the first is read.

    Raises
    ------
    SettingsError, DataError
        As :func:`cryptoquantix.data.ingest.ingest`.
    """
    files = ingestion.archive_files(paths)
    for file in files:
        describe(file, answers)
    results: list[ingestion.Ingested] = []
    with _progress() as progress:
        for file in files:
            task = progress.add_task(file.name, total=text_bytes(file) or None)
            advance = partial(progress.advance, task)
            try:
                results.append(ingestion.ingest(catalog, file, answers, advance))
            except DataError as error:
                if results:
                    error.args = (
                        f"{error} (files before it are ingested: {len(results)})",
                    )
                raise
    return results


def summary(values: dict[str, Any]) -> str:
    """Return what :func:`run` found as lines for a person."""
    lines = []
    for one in values["files"]:
        notes = [f"{one['rows']} rows, {one['added']} new"]
        notes += (
            f"{one[name]} {name}"
            for name in ("duplicates", "conflicts", "disordered")
            if one[name]
        )
        if one["verified"]:
            notes.append("checksum verified")
        lines.append(f"{one['file']}: {one['dataset']}: {', '.join(notes)}")
    return "\n".join(lines)


def _values(one: ingestion.Ingested) -> dict[str, Any]:
    return {
        "file": str(one.path),
        "dataset": str(one.key),
        "kind": one.key.kind.value,
        "instrument": str(one.key.instrument),
        "interval": one.key.interval,
        "rows": one.rows,
        "added": one.added,
        "duplicates": one.duplicates,
        "conflicts": one.conflicts,
        "disordered": one.disordered,
        "days": one.days,
        "first_ns": one.first_ns,
        "last_ns": one.last_ns,
        "verified": one.is_verified,
    }


def _with_instrument(answers: Answers, text: str) -> Answers:
    """Return the answers that an instrument's name gives at once."""
    instrument = InstrumentId.parse(text)
    is_spot = instrument.kind is InstrumentKind.SPOT
    market = Market.SPOT.value if is_spot else Market.UM.value
    for option, said, meant in (
        ("symbol", answers.symbol, instrument.symbol),
        ("market", answers.market, market),
        ("venue", answers.venue, instrument.venue.value),
    ):
        if said and said != meant:
            msg = f"--instrument {text} and --{option} {said} contradict each other"
            raise SettingsError(msg)
    return Answers(
        instrument.venue.value,
        answers.kind,
        instrument.symbol,
        market,
        answers.interval,
    )


def _progress() -> Progress:
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not sys.stderr.isatty(),
    )

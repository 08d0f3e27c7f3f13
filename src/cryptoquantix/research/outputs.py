"""A study's folder: all of its files or none of them; it computes nothing."""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from cryptoquantix.core.errors import DataError, SettingsError

SUMMARY, REPORT = "summary.json", "report.html"
_TABLES = ("folds", "equity", "cells")


@dataclass(frozen=True, slots=True)
class StudyFolder:
    """What a study's folder holds, read back."""

    summary: dict[str, Any]
    folds: pl.DataFrame
    equity: pl.DataFrame
    cells: pl.DataFrame


def check_out(out: Path) -> None:
    """
    Refuse an output folder that holds something else than a study.

    Raises
    ------
    SettingsError
        If ``out`` exists and is no study's folder and not empty.
    """
    if not out.exists():
        return
    is_study = out.is_dir() and ((out / SUMMARY).exists() or not any(out.iterdir()))
    if not is_study:
        msg = f"{out} exists and is no study's folder: name another with --out"
        raise SettingsError(msg)


def write_study(out: Path, folder: StudyFolder, report_html: str) -> None:
    """
    Write the folder ``out``, replacing an earlier study there in one rename.

    Raises
    ------
    SettingsError
        If it cannot be written, or holds something else; what was there stays.
    """
    check_out(out)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    except OSError as error:
        msg = f"cannot write {out}: {error.strerror}"
        raise SettingsError(msg) from None
    try:
        content = draft / "new"
        content.mkdir()
        _fill(content, folder, report_html)
        if out.exists():
            out.rename(draft / "old")
        content.rename(out)
    except OSError as error:
        if (draft / "old").exists() and not out.exists():
            (draft / "old").rename(out)
        msg = f"cannot write {out}: {error.strerror or error}"
        raise SettingsError(msg) from None
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def read_study_folder(out: Path) -> StudyFolder:
    """
    Return what a study's folder holds.

    Raises
    ------
    DataError
        If it is no study's folder, or not whole.
    """
    try:
        summary = json.loads((out / SUMMARY).read_text())
        tables = [pl.read_parquet(out / f"{name}.parquet") for name in _TABLES]
    except FileNotFoundError as error:
        missing = Path(error.filename or out).name
        msg = f"{out} is no study's folder: it has no {missing}"
        raise DataError(msg) from None
    except (OSError, ValueError, pl.exceptions.PolarsError) as error:
        msg = f"{out} cannot be read: {error}"
        raise DataError(msg) from None
    return StudyFolder(summary, *tables)


def write_report(out: Path, report_html: str) -> Path:
    """Write the report alone, whole or not at all, and return its path."""
    final = out / REPORT
    draft = out / f".{REPORT}.draft"
    try:
        draft.write_text(report_html)
        draft.rename(final)
    except OSError as error:
        with contextlib.suppress(OSError):
            draft.unlink()
        msg = f"cannot write {final}: {error.strerror}"
        raise SettingsError(msg) from None
    return final


def _fill(content: Path, folder: StudyFolder, report_html: str) -> None:
    for name in _TABLES:
        table: pl.DataFrame = getattr(folder, name)
        table.write_parquet(content / f"{name}.parquet", compression="zstd")
    _dump(content / SUMMARY, folder.summary)
    (content / REPORT).write_text(report_html)


def _dump(file: Path, summary: Mapping[str, Any]) -> None:
    file.write_text(json.dumps(summary, indent=2, allow_nan=False) + "\n")

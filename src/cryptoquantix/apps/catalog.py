"""``cqx catalog``: what is held, bars of it, and what is wrong with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from cryptoquantix.apps.settings import load_settings
from cryptoquantix.core.errors import DataError
from cryptoquantix.core.instrument import InstrumentId
from cryptoquantix.data.build import build_bars
from cryptoquantix.data.catalog import Catalog, Dataset
from cryptoquantix.data.quality import Report, check
from cryptoquantix.data.schema import TIME

_SHOWN_MAX = 10


def list_datasets(root: Path | None, config: Path | None) -> dict[str, Any]:
    """Return every dataset of the catalog and its extent."""
    catalog = _catalog(root, config)
    datasets = [_values(one) for one in catalog.datasets()]
    return {"catalog": str(catalog.root), "datasets": datasets}


def store_bars(
    instrument: str, interval: str, root: Path | None, config: Path | None
) -> dict[str, Any]:
    """
    Build bars from ticks, store them and return the dataset.

    Raises
    ------
    SettingsError, DataError
        As :func:`cryptoquantix.data.build.build_bars`.
    """
    catalog = _catalog(root, config)
    key = build_bars(catalog.root, InstrumentId.parse(instrument), interval)
    return _values(catalog.dataset(key))


def check_datasets(
    instrument: str, root: Path | None, config: Path | None
) -> dict[str, Any]:
    """
    Return what is wrong with the datasets of an instrument, or of all ("").

    Raises
    ------
    SettingsError
        If ``instrument`` is not a name.
    DataError
        If nothing is held of it.
    """
    catalog = _catalog(root, config)
    wanted = InstrumentId.parse(instrument) if instrument else None
    keys = [
        dataset.key
        for dataset in catalog.datasets()
        if wanted is None or dataset.instrument == wanted
    ]
    if not keys:
        msg = f"the catalog {catalog.root} holds nothing of {instrument or 'anything'}"
        raise DataError(msg)
    reports = [check(catalog, key) for key in keys]
    return {
        "catalog": str(catalog.root),
        "clean": all(report.is_clean for report in reports),
        "datasets": [_report(report) for report in reports],
    }


def table(values: dict[str, Any]) -> str:
    """Return :func:`list_datasets`'s answer as a table for a person."""
    if not values["datasets"]:
        return f"the catalog {values['catalog']} holds nothing yet"
    rows = [("dataset", "from (UTC)", "to (UTC)", "rows", "source")]
    rows += [line(one) for one in values["datasets"]]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) for cell, width in zip(row, widths, strict=True)
        ).rstrip()
        for row in rows
    )


def line(one: dict[str, Any]) -> tuple[str, str, str, str, str]:
    """Return one dataset as the cells of a row."""
    name = f"{one['instrument']} {one['interval'] or one['kind']}"
    source = "GENERATED" if one["generated"] else one["source"]
    return (name, _utc(one["first_ns"]), _utc(one["last_ns"]), str(one["rows"]), source)


def findings(values: dict[str, Any]) -> str:
    """Return :func:`check_datasets`'s answer as lines for a person."""
    lines = []
    for one in values["datasets"]:
        found = ", ".join(f"{n} in {p}s" for p, n in one["counts"].items() if n)
        lines.append(f"{one['dataset']}: {one['rows']} rows, {found or 'clean'}")
        lines += (
            f"  {each['problem']}: {each['count']} between "
            f"{_utc(each['start_ns'])} and {_utc(each['end_ns'])}"
            for each in one["findings"][:_SHOWN_MAX]
        )
        hidden = len(one["findings"]) - _SHOWN_MAX
        if hidden > 0:
            lines.append(f"  and {hidden} more (--json lists them)")
    return "\n".join(lines)


def _catalog(root: Path | None, config: Path | None) -> Catalog:
    return Catalog(root or load_settings(config).catalog)


def _values(one: Dataset) -> dict[str, Any]:
    return {
        "kind": one.kind.value,
        "instrument": str(one.instrument),
        "interval": one.interval,
        "first_ns": one.first_ns,
        "last_ns": one.last_ns,
        "rows": one.rows,
        "source": one.source,
        "generated": one.generated,
    }


def _report(report: Report) -> dict[str, Any]:
    return {
        "dataset": str(report.key),
        "rows": report.rows,
        "counts": report.counts,
        "findings": [
            {
                "problem": finding.problem.value,
                "start_ns": finding.start_ns,
                "end_ns": finding.end_ns,
                "count": finding.count,
            }
            for finding in report.findings
        ],
    }


def _utc(time_ns: int) -> str:
    at = pl.Series([time_ns]).cast(TIME)
    return str(at.dt.to_string("%Y-%m-%d %H:%M:%S%.f")[0])

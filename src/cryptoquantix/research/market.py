"""A study's bars from the catalog or the generator, with where they came from."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

import polars as pl

from cryptoquantix.core.clock import NS_PER_DAY, NS_PER_MS
from cryptoquantix.core.errors import GapError, SettingsError
from cryptoquantix.core.instrument import InstrumentKind
from cryptoquantix.data.catalog import Catalog, Dataset
from cryptoquantix.data.generator import generate_bars
from cryptoquantix.data.schema import DatasetKind
from cryptoquantix.research.fills import Filled, fill_at_ticks
from cryptoquantix.research.history import Gaps, History, find_gaps, from_frame
from cryptoquantix.research.study_file import DataSection, StudyFile, time_ns

# Generated studies start here; any day would do, this one makes them reproducible.
_GENERATED_START_NS = 19_723 * NS_PER_DAY  # 2024-01-01


@dataclass(frozen=True, slots=True)
class Market:
    """
    What a study runs on.

    ``source`` says where the bars came from; ``generated`` bars were never traded.
    ``funding`` is ``"catalog"``, ``"none"`` or, for spot, ``"spot"``. Of the fill
    prices ``fills_missing`` had no trade and are the bar's open.
    """

    history: History
    gaps: Gaps
    source: str
    generated: bool
    funding: str
    fills_missing: int = 0


def load_market(study: StudyFile, catalog: Catalog) -> Market:
    """
    Return the bars of ``study`` and, where it asks for it, their funding.

    Raises
    ------
    DataError
        If the catalog does not hold them, too many are missing, or they are not bars.
    SettingsError
        If the study asks for what cannot be.
    """
    if study.data.generated is not None:
        return _generated(study)
    held = [d for d in catalog.datasets() if d.instrument == study.instrument]
    _require_held(study, held, catalog)
    start, end = time_ns(study.data.start), time_ns(study.data.end)
    bars = catalog.bars(study.instrument, study.interval_seconds, start, end)
    funding: pl.DataFrame | None = None
    if study.data.funding == "catalog":
        # All of it: the charge at the last close is stamped after the range ends.
        funding = catalog.funding(study.instrument).collect()
    history, fills_missing = _filled(
        study, catalog, from_frame(bars.collect(), funding)
    )
    used = [d for d in held if d.kind is not DatasetKind.FUNDING]
    return Market(
        history,
        _bounded_gaps(study.data, history),
        "; ".join(dict.fromkeys(_origin(d) for d in used)),
        any(d.generated for d in used),
        _funding_word(study),
        fills_missing,
    )


def _filled(study: StudyFile, catalog: Catalog, history: History) -> Filled:
    """Return the history with the fill prices that the study asks for."""
    if study.fills.model == "next_open":
        return Filled(history, 0)
    start, end = int(history.open_time_ns[0]), int(history.close_time_ns[-1])
    ticks = catalog.ticks(study.instrument, start, end)
    return fill_at_ticks(history, ticks, study.fills.latency_ms * NS_PER_MS)


def _origin(dataset: Dataset) -> str:
    """Return where a dataset is from, for a reader."""
    if dataset.generated:
        return "generated, never traded"
    if dataset.source == "built":
        return "bars built from ticks"
    return f"{dataset.instrument.venue.value} archive, {dataset.source}"


def _require_held(study: StudyFile, held: list[Dataset], catalog: Catalog) -> None:
    if not any(d.kind is not DatasetKind.FUNDING for d in held):
        others = sorted({str(d.instrument) for d in catalog.datasets()})
        known = ", ".join(others[:5]) or "nothing"
        msg = (
            f"the catalog {catalog.root} holds no {study.data.instrument}; "
            f"it holds {known}"
        )
        raise SettingsError(msg)
    if study.data.funding == "none":
        return
    if study.instrument.kind is InstrumentKind.SPOT:
        msg = f'{study.data.instrument} is spot, which has no funding: say "none"'
        raise SettingsError(msg)
    if not any(d.kind is DatasetKind.FUNDING for d in held):
        msg = (
            f"the catalog holds no funding of {study.data.instrument}; ingest it, or "
            'say funding = "none", which the report repeats'
        )
        raise GapError(msg)


def _generated(study: StudyFile) -> Market:
    wanted = study.data.generated
    assert wanted is not None
    if study.data.funding != "none":
        msg = 'generated bars have no funding: say funding = "none"'
        raise SettingsError(msg)
    if study.fills.model != "next_open":
        msg = 'generated bars have no ticks: say [fills] model = "next_open"'
        raise SettingsError(msg)
    if study.interval_seconds != 60:
        msg = f'generated bars have an interval of "1m", was {study.data.interval!r}'
        raise SettingsError(msg)
    frame = generate_bars(
        wanted.seed,
        _GENERATED_START_NS,
        wanted.days,
        Decimal(100),
        tick_size=Decimal("0.01"),
    )
    history = from_frame(frame)
    source = f"generator, seed {wanted.seed}, {wanted.days} days"
    return Market(history, Gaps(0, 0), source, generated=True, funding="none")


def _bounded_gaps(data: DataSection, history: History) -> Gaps:
    gaps = find_gaps(history)
    fraction = gaps.bars / (gaps.bars + history.close.size)
    if fraction > data.missing_fraction_max:
        msg = (
            f"{gaps.bars} bars ({fraction:.2%}) of {data.instrument} are missing in "
            f"{gaps.holes} holes, more than missing_fraction_max = "
            f"{data.missing_fraction_max:g} allows"
        )
        raise GapError(msg)
    return gaps


def _funding_word(study: StudyFile) -> str:
    if study.instrument.kind is InstrumentKind.SPOT:
        return "spot"
    return study.data.funding

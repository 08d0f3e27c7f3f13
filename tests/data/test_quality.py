"""Gaps, duplicates and disorder: reported, never repaired."""

from __future__ import annotations

import polars as pl
import pytest

from archives import klines, trades, write
from cryptoquantix.core.errors import DataError, GapError
from cryptoquantix.core.instrument import InstrumentId
from cryptoquantix.data.catalog import Catalog
from cryptoquantix.data.ingest import ingest
from cryptoquantix.data.layout import DatasetKey
from cryptoquantix.data.quality import Finding, Problem, check, require_complete
from cryptoquantix.data.schema import DatasetKind

PERP = InstrumentId.parse("binance:BTCUSDT-PERP")
BARS = DatasetKey(DatasetKind.BARS, PERP, "1m")
TICKS = DatasetKey(DatasetKind.TICKS, PERP)
START = 1_706_745_600_000_000_000
SECOND = 1_000_000_000
MINUTE = 60 * SECOND


def catalog_of(tmp_path, lines, kind="1m"):
    path = tmp_path / f"futures-um-BTCUSDT-{kind}-2024-02-01.csv"
    ingest(tmp_path / "c", write(path, lines), chunk_bytes=2048)
    return Catalog(tmp_path / "c")


def test_whole_data_are_clean(tmp_path):
    report = check(catalog_of(tmp_path, klines(3000)), BARS)
    assert report.is_clean
    assert report.rows == 3000


def test_missing_bars_are_a_gap_over_midnight_too(tmp_path):
    lines = klines(3000)
    report = check(catalog_of(tmp_path, lines[:1430] + lines[1450:]), BARS)
    gap = Finding(Problem.GAP, START + 1429 * MINUTE, START + 1450 * MINUTE, 20)
    assert report.findings == (gap,)
    assert report.counts == {"gap": 20, "duplicate": 0, "disorder": 0}


def test_missing_trade_ids_are_a_gap_however_short(tmp_path):
    lines = trades(500)
    report = check(catalog_of(tmp_path, lines[:100] + lines[103:], "trades"), TICKS)
    gap = Finding(Problem.GAP, START + 99 * SECOND, START + 103 * SECOND, 3)
    assert report.findings == (gap,)


def test_duplicates_and_disorder_in_stored_files_are_found(tmp_path):
    catalog = catalog_of(tmp_path, trades(10), "trades")
    [file] = catalog.files(TICKS, "2024-02-01")
    rows = pl.read_parquet(file, glob=False)
    pl.concat((rows[:5], rows[4:5], rows[7:], rows[5:7])).write_parquet(file)
    report = check(catalog, TICKS)
    assert report.counts == {"gap": 2, "duplicate": 1, "disorder": 1}


def test_what_is_not_held_cannot_be_checked(tmp_path):
    with pytest.raises(DataError, match="holds no"):
        check(Catalog(tmp_path), BARS)


def test_a_run_that_needs_every_bar_is_stopped_by_a_gap(tmp_path):
    lines = klines(100)
    catalog = catalog_of(tmp_path, lines[:40] + lines[42:])
    end = START + 100 * MINUTE
    require_complete(catalog, PERP, 60, start_ns=START + 42 * MINUTE, end_ns=end)
    sentence = "2 of 100 bars are missing, the first at 2024-02-01 00:40:00 UTC"
    with pytest.raises(GapError, match=sentence):
        require_complete(catalog, PERP, 60, start_ns=START, end_ns=end)

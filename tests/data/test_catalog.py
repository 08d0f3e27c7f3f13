"""What history we hold."""

from __future__ import annotations

import polars as pl
import pytest

from archives import HEADERS, klines, trades, write
from cryptoquantix.bars.batch import coarser_bars, time_bars
from cryptoquantix.core.errors import DataError, SettingsError, StateCorrupt
from cryptoquantix.core.instrument import InstrumentId
from cryptoquantix.data.build import build_bars
from cryptoquantix.data.catalog import Catalog, utc_date
from cryptoquantix.data.ingest import ingest
from cryptoquantix.data.layout import DatasetKey
from cryptoquantix.data.schema import BARS, DatasetKind

PERP = InstrumentId.parse("binance:BTCUSDT-PERP")
START = 1_706_745_600_000_000_000
SECOND = 1_000_000_000
MINUTE, HOUR = 60 * SECOND, 3600 * SECOND


def with_klines(tmp_path, count=3000):
    path = tmp_path / "futures-um-BTCUSDT-1m-2024-02-01.csv"
    ingest(tmp_path / "c", write(path, klines(count), HEADERS["klines"]))
    return Catalog(tmp_path / "c")


def with_ticks(tmp_path, count=3000, step_ms=80_000):
    path = tmp_path / "futures-um-BTCUSDT-trades-2024-02-01.csv"
    lines = trades(count, step_ms=step_ms)
    ingest(tmp_path / "c", write(path, lines, HEADERS["trades"]))
    return Catalog(tmp_path / "c")


def test_an_absent_catalog_holds_nothing_and_says_so(tmp_path):
    catalog = Catalog(tmp_path / "none")
    assert catalog.datasets() == []
    with pytest.raises(DataError, match="holds no binance:BTCUSDT-PERP ticks"):
        catalog.ticks(PERP)
    with pytest.raises(
        DataError, match=r"no bars of binance:BTCUSDT-PERP .* and no ticks"
    ):
        catalog.bars(PERP, 60)
    with pytest.raises(DataError, match="holds no binance:BTCUSDT-PERP funding"):
        catalog.funding(PERP)
    assert not (tmp_path / "none").exists()


def test_datasets_know_their_extent(tmp_path):
    [dataset] = with_klines(tmp_path).datasets()
    assert (dataset.first_ns, dataset.last_ns) == (START, START + 3000 * MINUTE)
    assert (dataset.rows, dataset.source, dataset.generated) == (3000, "klines", False)
    assert str(dataset.key) == "binance:BTCUSDT-PERP 1m"


def test_a_range_returns_the_bars_that_lie_within_it_whole(tmp_path):
    catalog = with_klines(tmp_path)
    start, end = START + 90 * SECOND, START + 1500 * MINUTE + 1
    bars = catalog.bars(PERP, 60, start, end).collect()
    assert bars["open_time"].to_physical()[0] == START + 2 * MINUTE
    assert bars["close_time"].to_physical()[-1] == START + 1500 * MINUTE
    assert catalog.bars(PERP, 60, end, end).collect().schema == BARS


def test_coarser_bars_are_built_from_the_finer_ones_held(tmp_path):
    catalog = with_klines(tmp_path)
    bars = catalog.bars(PERP, 3600).collect()
    assert len(bars) == 50
    fine = catalog.bars(PERP, 60)
    assert bars.equals(coarser_bars(fine, HOUR).collect())
    assert bars["volume"][0] == fine.head(60).select("volume").collect().sum().item()


def test_bars_of_ticks_have_whole_intervals_at_the_edges_of_the_range(tmp_path):
    catalog = with_ticks(tmp_path, step_ms=7000)
    start, end = START + 90 * SECOND, START + 630 * SECOND
    bars = catalog.bars(PERP, 60, start, end).collect()
    whole = time_bars(catalog.ticks(PERP), MINUTE).collect()
    assert bars.equals(whole.slice(2, 8))


def test_built_bars_are_the_bars_of_all_days_at_once(tmp_path):
    catalog = with_ticks(tmp_path)
    key = build_bars(catalog.root, PERP, "1m")
    assert len(catalog.dates(key)) == 3
    expected = time_bars(catalog.ticks(PERP), MINUTE).collect()
    assert catalog.bars(PERP, 60).collect().equals(expected)
    assert catalog.dataset(key).source == "built"
    build_bars(catalog.root, PERP, "1m")
    assert catalog.bars(PERP, 60).collect().equals(expected)


def test_built_bars_never_replace_an_archive_s(tmp_path):
    catalog = with_klines(tmp_path)
    with_ticks(tmp_path)
    with pytest.raises(DataError, match="holds klines as binance:BTCUSDT-PERP 1m"):
        build_bars(catalog.root, PERP, "1m")
    with pytest.raises(SettingsError, match="interval must be one of 1s"):
        build_bars(catalog.root, PERP, "7m")


def test_a_spoiled_marker_is_said(tmp_path):
    catalog = with_klines(tmp_path)
    [dataset] = catalog.datasets()
    (catalog.root / dataset.key.path / "dataset.json").write_text("{}")
    with pytest.raises(StateCorrupt, match="no dataset marker"):
        catalog.datasets()


def test_foreign_folders_are_not_datasets(tmp_path):
    catalog = with_klines(tmp_path)
    for name in ("notes", "bars/venue=mars/instrument=X", "ticks/venue=binance"):
        folder = catalog.root / name
        folder.mkdir(parents=True)
        (folder / "dataset.json").write_text("{}")
    assert len(catalog.datasets()) == 1


def test_days_are_utc():
    assert utc_date(START - 1) == "2024-01-31"
    assert utc_date(START) == "2024-02-01"


def test_bars_of_the_real_day_of_ticks(tmp_path, real_data):
    folder = real_data / "market-data/ticks/binance-archive"
    ingest(tmp_path, folder / "spot-PEPEUSDT-aggTrades-2024-10-27.zip")
    pepe = InstrumentId.parse("binance:PEPEUSDT-SPOT")
    catalog = Catalog(tmp_path)
    bars = catalog.bars(pepe, 60).collect()
    ticks = catalog.ticks(pepe).collect()
    assert len(bars) == 1440
    assert int(bars["volume"].sum()) == int(ticks["size"].sum())
    assert bars["trades"].sum() == len(ticks) == 57_229
    build_bars(tmp_path, pepe, "1m")
    hours = catalog.bars(pepe, 3600).collect()
    assert hours.equals(time_bars(catalog.ticks(pepe), HOUR).collect())


def test_bars_built_from_real_minutes_are_the_venue_s_own(real_data):
    """4-hour bars from 1-minute ones against the published 4-hour bars."""
    folder = real_data / "market-data/ohlcv"
    name = "freqtrade-feather/binance-perp_BTC_USDT-1m-futures_2025.feather"
    minute = pl.duration(minutes=1, time_unit="ns")
    minutes = pl.scan_ipc(folder / name).select(
        pl.col("date").alias("open_time"),
        (pl.col("date") + minute).alias("close_time"),
        *("open", "high", "low", "close", "volume"),
        pl.lit(0.0).alias("quote_volume"),
        pl.lit(0).cast(pl.Int64).alias("trades"),
    )
    built = coarser_bars(minutes, 4 * HOUR).collect()
    theirs = pl.read_parquet(folder / "binance-perp-4h/BTCUSDT_4h.parquet")
    theirs = theirs.with_columns(pl.col("open_time").dt.replace_time_zone("UTC"))
    both = built.join(theirs, on="open_time", suffix="_theirs")
    assert len(both) == len(built) > 150
    for name in ("open", "high", "low", "close", "volume"):
        assert both[name].equals(both[f"{name}_theirs"]), name


def test_the_key_says_where_a_dataset_lies():
    key = DatasetKey(DatasetKind.TICKS, PERP)
    assert str(key.partition("2024-02-01")) == (
        "ticks/venue=binance/instrument=BTCUSDT-PERP/date=2024-02-01"
    )

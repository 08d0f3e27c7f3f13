"""Archive files into the catalog: all of a file or nothing, and nothing twice."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import textwrap
import time

import polars as pl
import pytest

from archives import DAY_MS, HEADERS, klines, snapshot, trade, trades, write
from cryptoquantix.core.errors import DataError
from cryptoquantix.core.instrument import InstrumentId
from cryptoquantix.data.catalog import Catalog
from cryptoquantix.data.ingest import archive_files, ingest

PERP = InstrumentId.parse("binance:BTCUSDT-PERP")
TRADES = "futures-um-BTCUSDT-trades-2024-02-01"
KLINES = "futures-um-BTCUSDT-1m-2024-02-01"
SMALL = {"chunk_bytes": 4096}


def rows(root):
    return Catalog(root).ticks(PERP).collect()


@pytest.mark.parametrize("suffix", [".csv", ".zip"])
def test_ticks_of_three_days_come_back_as_they_were(tmp_path, suffix):
    lines = trades(3000, step_ms=80_000)
    path = write(tmp_path / (TRADES + suffix), lines, HEADERS["trades"])
    found = ingest(tmp_path / "c", path, **SMALL)
    assert (found.rows, found.added, found.duplicates, found.days) == (3000, 3000, 0, 3)
    held = rows(tmp_path / "c")
    expected = [line.split(",") for line in lines]
    assert held["trade_id"].to_list() == [int(cells[0]) for cells in expected]
    assert held["price"].to_list() == [float(cells[1]) for cells in expected]
    assert held["size"].to_list() == [float(cells[2]) for cells in expected]
    times = [int(cells[4]) * 10**6 for cells in expected]
    assert held["time"].to_physical().to_list() == times
    assert Catalog(tmp_path / "c").datasets()[0].rows == 3000


def test_the_same_file_again_changes_nothing(tmp_path):
    path = write(tmp_path / f"{TRADES}.zip", trades(2000), HEADERS["trades"])
    ingest(tmp_path / "c", path, **SMALL)
    before = snapshot(tmp_path / "c")
    again = ingest(tmp_path / "c", path, **SMALL)
    assert (again.added, again.duplicates, again.conflicts) == (0, 2000, 0)
    assert snapshot(tmp_path / "c") == before


def test_overlapping_files_merge_and_report_what_they_share(tmp_path):
    lines = trades(4000, step_ms=40_000)
    daily = write(tmp_path / "a" / f"{TRADES}.csv", lines[500:1500])
    monthly = write(tmp_path / "b" / f"{TRADES}.csv", lines)
    ingest(tmp_path / "c", daily, **SMALL)
    found = ingest(tmp_path / "c", monthly, **SMALL)
    assert (found.added, found.duplicates, found.conflicts) == (3000, 1000, 0)
    ingest(tmp_path / "once", monthly)
    assert rows(tmp_path / "c").equals(rows(tmp_path / "once"))


def test_duplicates_and_disorder_within_a_file_are_reported_and_sorted_out(tmp_path):
    lines = trades(2000, step_ms=20_000)
    mixed = [*lines[:700], lines[1500], *lines[700:], *lines[100:110]]
    path = write(tmp_path / f"{TRADES}.csv", mixed)
    found = ingest(tmp_path / "c", path, **SMALL)
    assert (found.rows, found.added, found.duplicates) == (2011, 2000, 11)
    assert found.disordered == 2
    ingest(tmp_path / "d", write(tmp_path / "d" / f"{TRADES}.csv", lines))
    assert rows(tmp_path / "c").equals(rows(tmp_path / "d"))


def test_a_flash_crash_is_kept_as_it_is(tmp_path):
    lines = [
        trade(0, DAY_MS),
        trade(1, DAY_MS + 1, "0.1", "99999.999"),
        trade(2, DAY_MS + 2),
    ]
    ingest(tmp_path / "c", write(tmp_path / f"{TRADES}.csv", lines))
    assert rows(tmp_path / "c")["price"].to_list() == [42000.1, 0.1, 42000.1]


def test_another_price_for_a_known_trade_is_a_conflict_and_the_first_is_kept(
    tmp_path,
):
    first = write(
        tmp_path / "a" / f"{TRADES}.csv", [trade(0, DAY_MS), trade(1, DAY_MS)]
    )
    other = [trade(0, DAY_MS, "5.0"), trade(1, DAY_MS), trade(2, DAY_MS)]
    ingest(tmp_path / "c", first)
    found = ingest(tmp_path / "c", write(tmp_path / "b" / f"{TRADES}.csv", other))
    assert (found.added, found.duplicates, found.conflicts) == (1, 2, 1)
    assert rows(tmp_path / "c")["price"].to_list() == [42000.1] * 3


def test_trades_and_aggregate_trades_do_not_mix(tmp_path):
    ingest(tmp_path / "c", write(tmp_path / f"{TRADES}.csv", trades(5)))
    line = f"1,42000.1,0.1,1,1,{DAY_MS},true"
    path = tmp_path / "futures-um-BTCUSDT-aggTrades-2024-02-01.csv"
    with pytest.raises(DataError, match=r"holds trades .* do not mix"):
        ingest(tmp_path / "c", write(path, [line]))


def test_a_month_of_klines_is_a_folder_a_day(tmp_path):
    path = write(tmp_path / f"{KLINES}.zip", klines(4320), HEADERS["klines"])
    found = ingest(tmp_path / "c", path)
    assert found.days == 3
    folder = tmp_path / "c/bars/venue=binance/instrument=BTCUSDT-PERP/interval=1m"
    assert sorted(p.name for p in folder.iterdir()) == [
        "dataset.json",
        "date=2024-02-01",
        "date=2024-02-02",
        "date=2024-02-03",
    ]
    assert Catalog(tmp_path / "c").bars(PERP, 60).collect().height == 4320


def test_funding_rates_become_a_dataset(tmp_path):
    lines = [f"{DAY_MS + i * 28_800_000},8,0.000{i + 1}" for i in range(6)]
    path = tmp_path / "BTCUSDT-fundingRate-2024-02.csv"
    ingest(tmp_path / "c", write(path, lines, HEADERS["fundingRate"]))
    held = Catalog(tmp_path / "c").funding(PERP).collect()
    assert held["rate"].to_list() == [0.0001, 0.0002, 0.0003, 0.0004, 0.0005, 0.0006]


def _cut_zip(tmp_path):
    path = write(tmp_path / f"{TRADES}.zip", trades(20_000), HEADERS["trades"])
    path.write_bytes(path.read_bytes()[:-200])
    return path


def _bad_line(tmp_path):
    lines = trades(20_000)
    lines[19_998] = lines[19_998].replace("42", "4x", 1)
    return write(tmp_path / f"{TRADES}.csv", lines, HEADERS["trades"])


def _bad_checksum(tmp_path):
    path = write(tmp_path / f"{TRADES}.zip", trades(10))
    path.with_name(path.name + ".CHECKSUM").write_text("00  x\n")
    return path


def _empty(tmp_path):
    return write(tmp_path / f"{TRADES}.csv", [])


def _mixed_units(tmp_path):
    lines = [*trades(10_000), trade(1, DAY_MS * 1000)]
    return write(tmp_path / f"{TRADES}.csv", lines)


@pytest.mark.parametrize(
    "broken", [_cut_zip, _bad_line, _bad_checksum, _empty, _mixed_units]
)
@pytest.mark.parametrize("held", [False, True])
def test_a_failure_leaves_the_catalog_as_it_was(tmp_path, broken, held):
    root = tmp_path / "c"
    if held:
        ingest(root, write(tmp_path / "a" / f"{TRADES}.csv", trades(500)))
    before = snapshot(root)
    path = broken(tmp_path)
    with pytest.raises(DataError, match=path.name) as raised:
        ingest(root, path, **SMALL)
    assert "\n" not in str(raised.value)
    assert snapshot(root) == before
    assert root.exists() is held


def test_a_checksum_that_agrees_is_said(tmp_path):
    path = write(tmp_path / f"{TRADES}.zip", trades(10))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    path.with_name(path.name + ".CHECKSUM").write_text(f"{digest}  {path.name}\n")
    assert ingest(tmp_path / "c", path).is_verified


def test_a_catalog_that_cannot_be_written_is_said(tmp_path):
    path = write(tmp_path / f"{TRADES}.csv", trades(10))
    (tmp_path / "c").write_text("a file")
    with pytest.raises(DataError, match="cannot write to the catalog"):
        ingest(tmp_path / "c", path)


FULL = """
import resource, signal, sys
from pathlib import Path
from cryptoquantix.core.errors import DataError
from cryptoquantix.data.ingest import ingest
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
most = int(sys.argv[3])
resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
try:
    ingest(Path(sys.argv[1]), Path(sys.argv[2]))
except DataError as error:
    print(error)
"""


@pytest.mark.parametrize("most", [1_000, 20])
def test_a_disk_that_takes_no_more_is_said_and_the_catalog_is_as_it_was(tmp_path, most):
    held = write(tmp_path / "a" / f"{TRADES}.csv", trades(10))
    ingest(tmp_path / "c", held)
    before = snapshot(tmp_path / "c")
    path = write(tmp_path / "b" / f"{TRADES}.csv", trades(4000, step_ms=40_000))
    done = subprocess.run(
        [sys.executable, "-c", FULL, tmp_path / "c", path, str(most)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.startswith("cannot write"), done.stderr
    assert snapshot(tmp_path / "c") == before


def test_a_folder_gives_its_archives_and_nothing_else(tmp_path):
    write(tmp_path / "deep" / f"{TRADES}.csv", trades(1))
    write(tmp_path / f"{KLINES}.csv", klines(1))
    write(tmp_path / "notes.csv", ["hello"])
    assert [path.name for path in archive_files([tmp_path])] == [
        f"{TRADES}.csv",
        f"{KLINES}.csv",
    ]


def test_an_empty_folder_and_a_missing_file_are_named(tmp_path):
    with pytest.raises(DataError, match="holds no archive file"):
        archive_files([tmp_path])
    with pytest.raises(DataError, match=r"no such file: .*missing"):
        archive_files([tmp_path / "missing"])


CHILD = textwrap.dedent(
    """
    import json, sys
    from pathlib import Path
    from cryptoquantix.data.ingest import ingest
    from cryptoquantix.data.text import CHUNK_BYTES

    kind, root, *paths = sys.argv[1:]
    for path in paths:
        ingest(Path(root), Path(path), chunk_bytes=CHUNK_BYTES // 16)
    status = Path("/proc/self/status").read_text()
    print(json.dumps(int(status.partition("VmHWM:")[2].split()[0]) / 1024))
    """
)


def child(*arguments, **options):
    command = [sys.executable, "-c", CHILD, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **options)


def peak_mb(root, *paths):
    with child("peak", root, *paths) as process:
        out, _ = process.communicate(timeout=100)
    assert process.returncode == 0
    return json.loads(out)


def big(path, count):
    """A day of trades, large enough to show in memory, written in pieces."""
    with path.open("wb") as file:
        for start in range(0, count, 20_000):
            stamps = range(start, min(start + 20_000, count))
            lines = (
                f"{i},42000.{i % 10},0.{1 + i % 9},4200.01,{DAY_MS + i * 20},true"
                for i in stamps
            )
            file.write("".join(f"{line}\n" for line in lines).encode())
    return path


@pytest.mark.slow
def test_memory_does_not_grow_with_the_file(tmp_path):
    """Nor does the merge of a second pass, which finds every row again."""
    (tmp_path / "small").mkdir()
    small = big(tmp_path / "small" / f"{TRADES}.csv", 400_000)
    large = big(tmp_path / f"{TRADES}.csv", 4_000_000)
    assert large.stat().st_size > 180_000_000
    small_mb = [peak_mb(tmp_path / "a", small) for _ in range(2)]
    large_mb = [peak_mb(tmp_path / "b", large) for _ in range(2)]
    print(f"peak RSS, first and second pass: {small_mb} and {large_mb} MB")
    assert large_mb[0] < small_mb[0] + 60
    assert large_mb[1] < small_mb[1] + 90
    assert rows(tmp_path / "b").height == 4_000_000


@pytest.mark.slow
def test_killed_at_any_moment_no_part_of_a_file_is_visible(tmp_path):
    """SIGKILL at spread-out moments; the next run completes the catalog."""
    root = tmp_path / "c"
    first = write(tmp_path / "a" / f"{TRADES}.csv", trades(1000, step_ms=200_000))
    ingest(root, first)
    old = rows(root)
    lines = trades(150_000, step_ms=1_300)
    path = write(tmp_path / f"{TRADES}.csv", lines)
    ingest(tmp_path / "whole", first)
    ingest(tmp_path / "whole", path)
    whole = rows(tmp_path / "whole")
    assert len(whole) > len(old)
    seen = set()
    for delay in (0.4, 0.6, 0.7, 0.8, 0.9, 1.0, 1.2):
        process = child("kill", root, path)
        time.sleep(delay)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate(timeout=10)
        now = rows(root)
        assert now.equals(old) or now.equals(whole)
        seen.add(len(now))
    ingest(root, path)
    assert rows(root).equals(whole)
    assert not (root / ".staging").exists()


def test_all_real_klines_ingest_and_keep_every_number(tmp_path, real_data):
    folder = real_data / "market-data/ohlcv/binance-archive"
    paths = archive_files([folder])
    assert len(paths) == 5
    for path in paths:
        found = ingest(tmp_path, path)
        assert found.added == found.rows > 0
        assert (found.duplicates, found.disordered) == (0, 0)
        assert ingest(tmp_path, path).added == 0
    catalog = Catalog(tmp_path)
    rows = {str(d.key): d.rows for d in catalog.datasets()}
    assert rows == {
        "binance:BTCUSDT-PERP 1h": 24,
        "binance:BTCUSDT-SPOT 1h": 24,
        "binance:FILUSDT-PERP 1m": 87_840,
        "binance:NEARUSDT-PERP 1m": 40_320,
    }
    near = InstrumentId.parse("binance:NEARUSDT-PERP")
    held = catalog.bars(near, 60).collect()
    file = pl.read_csv(folder / "futures-um-NEARUSDT-1m-2025-02.csv")
    for name in ("open", "high", "low", "close", "volume", "quote_volume"):
        assert held[name].equals(file[name].cast(pl.Float64))

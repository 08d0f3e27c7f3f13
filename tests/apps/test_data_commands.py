"""``cqx ingest``, ``cqx catalog`` and ``cqx download`` as a user runs them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from archives import HEADERS, klines, snapshot, trades, write

CQX = Path(sys.executable).with_name("cqx")
NAME = "futures-um-BTCUSDT-1m-2024-02-01.zip"


def cqx(*arguments, folder):
    return subprocess.run(
        [CQX, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=folder,
    )


def said(done):
    """The one sentence of a failure."""
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr.removeprefix("cqx: ").rstrip("\n")


def test_ingest_lists_builds_and_checks(tmp_path):
    write(tmp_path / "in" / NAME, klines(1440), HEADERS["klines"])
    ticks = "futures-um-ETHUSDT-trades-2024-02-01.csv"
    write(tmp_path / "in" / ticks, trades(500), HEADERS["trades"])
    done = cqx("ingest", "in", "--json", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""  # progress is for a terminal
    values = json.loads(done.stdout)
    assert (values["rows"], values["added"], values["duplicates"]) == (1940, 1940, 0)
    assert [one["instrument"] for one in values["files"]] == [
        "binance:BTCUSDT-PERP",
        "binance:ETHUSDT-PERP",
    ]
    built = cqx(
        "catalog", "bars", "binance:ETHUSDT-PERP", "1m", "--json", folder=tmp_path
    )
    assert json.loads(built.stdout)["rows"] == 9
    listed = json.loads(cqx("catalog", "ls", "--json", folder=tmp_path).stdout)
    assert [(one["kind"], one["rows"]) for one in listed["datasets"]] == [
        ("bars", 1440),
        ("bars", 9),
        ("ticks", 500),
    ]
    assert "binance:BTCUSDT-PERP 1m" in cqx("catalog", "ls", folder=tmp_path).stdout
    assert cqx("catalog", "check", folder=tmp_path).returncode == 0


def test_gaps_make_check_fail_unless_only_a_report_is_wanted(tmp_path):
    lines = klines(100)
    write(tmp_path / NAME, lines[:40] + lines[50:])
    cqx("ingest", NAME, folder=tmp_path)
    done = cqx("catalog", "check", "--json", folder=tmp_path)
    assert done.returncode == 1
    [report] = json.loads(done.stdout)["datasets"]
    assert report["counts"]["gap"] == 10
    assert cqx("catalog", "check", "--report-only", folder=tmp_path).returncode == 0


def test_what_a_name_does_not_say_is_asked_for_by_an_option(tmp_path):
    write(tmp_path / "BTCUSDT-1m-2024-02.zip", klines(10))
    write(tmp_path / "mine.csv", klines(10))
    assert "--market um or --market spot" in said(
        cqx("ingest", "BTCUSDT-1m-2024-02.zip", folder=tmp_path)
    )
    assert "--kind" in said(cqx("ingest", "mine.csv", folder=tmp_path))
    assert snapshot(tmp_path / "var") == {}
    done = cqx("ingest", "BTCUSDT-1m-2024-02.zip", "--market", "spot", folder=tmp_path)
    assert done.returncode == 0
    options = ("--instrument", "binance:SOLUSDT-PERP", "--kind", "klines")
    done = cqx("ingest", "mine.csv", *options, "--interval", "1m", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    listed = json.loads(cqx("catalog", "ls", "--json", folder=tmp_path).stdout)
    names = [one["instrument"] for one in listed["datasets"]]
    assert names == ["binance:BTCUSDT-SPOT", "binance:SOLUSDT-PERP"]
    contrary = cqx("ingest", "mine.csv", *options, "--market", "spot", folder=tmp_path)
    assert "contradict" in said(contrary)


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-100]), "truncated zip"),
        (lambda path: path.write_bytes(b""), "truncated zip"),
        (lambda path: write(path, klines(5), HEADERS["trades"]), "expected 12"),
        (lambda path: write(path, [*klines(5), "1,2"]), "line 6: found 2 columns"),
        (lambda path: path.unlink(), "no such file"),
    ],
)
def test_a_bad_file_is_one_sentence_and_leaves_nothing(tmp_path, spoil, sentence):
    path = write(tmp_path / NAME, klines(100))
    spoil(path)
    assert sentence in said(cqx("ingest", NAME, folder=tmp_path))
    assert snapshot(tmp_path / "var" / "catalog") == {}


def test_a_catalog_of_nothing_says_so(tmp_path):
    done = cqx("catalog", "ls", folder=tmp_path)
    assert "holds nothing yet" in done.stdout
    assert "holds nothing" in said(cqx("catalog", "check", folder=tmp_path))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("btc", "2024-01"), "symbol must be like BTCUSDT"),
        (("BTCUSDT", "2024"), "month must be like 2024-01"),
        (("BTCUSDT", "2024-01", "--market", "cm"), "--market must be one of um, spot"),
        (("BTCUSDT", "2024-01", "--kind", "depth"), "--kind must be one of trades"),
    ],
)
def test_a_wrong_download_is_refused(tmp_path, arguments, sentence):
    assert sentence in said(cqx("download", *arguments, folder=tmp_path))

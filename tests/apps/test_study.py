"""``cqx study`` from the command line, as a user meets it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

GENERATED = """
[data]
instrument = "binance:BTCUSDT-PERP"
interval = "1m"
funding = "none"
[data.generated]
seed = 3
days = 20
[strategy]
name = "trend_breakout"
[parameters]
gate_days = 2
[grid]
breakout_bars = [120, 240]
exit_atr = [10.0, 20.0]
[walk_forward]
train_days = 6
test_days = 3
"""

FROM_CATALOG = """
[data]
instrument = "binance:NEARUSDT-PERP"
interval = "{interval}"
funding = "{funding}"
[strategy]
name = "trend_breakout"
[parameters]
gate_days = 2
gate_band = 0.005
[grid]
breakout_bars = [120, 240, 480]
exit_atr = [10.0, 20.0, 40.0]
[walk_forward]
train_days = 8
test_days = 2
"""


@pytest.fixture
def cqx(tmp_path, kernel_cache):
    """Run ``cqx`` in a folder of its own, sharing the session's compiled kernels."""
    (tmp_path / "var").mkdir()
    (tmp_path / "var" / "kernels").symlink_to(kernel_cache)
    (tmp_path / "cryptoquantix.toml").write_text("")

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(Path(sys.executable).parent / "cqx"), *map(str, arguments)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
            env={k: v for k, v in os.environ.items() if not k.startswith("CQX_")},
        )

    return run


def test_a_study_runs_and_says_what_it_is(cqx, tmp_path):
    (tmp_path / "s.toml").write_text(GENERATED)
    done = cqx("study", "run", "s.toml", "--json")
    assert done.returncode == 0, done.stderr
    assert done.stderr == "", "progress is for terminals"
    summary = json.loads(done.stdout)
    assert (summary["cells"], summary["folds"]) == (4, 4)
    assert summary["generated"] is True
    assert summary["funding"] == "none"
    assert "generator, seed 3" in summary["source"]
    assert isinstance(summary["oos_sharpe"], float)
    assert set(summary["parameters_last"]) >= {"breakout_bars", "gate_days"}
    out = Path(summary["out"])
    assert out == tmp_path / "var" / "studies" / "s"
    (out / "report.html").unlink()
    again = cqx("study", "report", out)
    assert again.returncode == 0, again.stderr
    assert "GENERATED DATA" in again.stdout
    assert "FUNDING: NONE" in again.stdout
    assert (out / "report.html").stat().st_size > 1_000_000


def test_the_same_study_twice_is_the_same(cqx, tmp_path):
    (tmp_path / "s.toml").write_text(GENERATED)
    first, second = (
        json.loads(cqx("study", "run", "s.toml", "--out", out, "--json").stdout)
        for out in ("one", "two")
    )
    for summary in (first, second):
        del summary["seconds"], summary["out"]
    assert first == second
    one, two = (tmp_path / name / "equity.parquet" for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (("breakout_bars", "breakout_bar"), "did you mean 'breakout_bars'?"),
        (("[120, 240]", "[]"), "must be a list of at least one value"),
        (("[120, 240]", '["a"]'), "must be a number, was 'a'"),
        (("trend_breakout", "trend_brakeout"), "did you mean 'trend_breakout'?"),
        (("train_days = 6", "train_days = 60"), "one fold needs 63 days"),
        (
            ("[data.generated]\nseed = 3\ndays = 20", ""),
            "holds no binance:BTCUSDT-PERP",
        ),
        (('funding = "none"\n', ""), "key 'funding' in [data] is missing"),
        (('"1m"', '"5m"'), "generated bars have an interval"),
        (("gate_days = 2", "gate_days = -2"), "'gate_days' must be from"),
    ],
)
def test_a_bad_study_is_one_sentence_and_writes_nothing(
    cqx, tmp_path, change, sentence
):
    assert change[0] in GENERATED
    (tmp_path / "s.toml").write_text(GENERATED.replace(*change))
    done = cqx("study", "run", "s.toml")
    assert done.returncode == 1
    assert sentence in done.stderr
    assert done.stderr.startswith("cqx: ")
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "var" / "studies").exists()


def test_a_folder_that_is_no_study_is_named(cqx, tmp_path):
    done = cqx("study", "report", tmp_path)
    assert done.returncode == 1
    assert "is no study's folder" in done.stderr


@pytest.mark.real_data
def test_a_study_of_a_real_month(cqx, tmp_path, real_data):
    name = "futures-um-NEARUSDT-1m-2025-02.csv"
    file = real_data / "market-data" / "ohlcv" / "binance-archive" / name
    assert cqx("ingest", file).returncode == 0
    (tmp_path / "s.toml").write_text(FROM_CATALOG.format(interval="1m", funding="none"))
    done = cqx("study", "run", "s.toml", "--json")
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert (summary["bars"], summary["days"], summary["folds"]) == (40_320, 28, 10)
    assert summary["generated"] is False
    assert summary["bars_missing"] == 0
    assert summary["out_of_sample"]["trades"] > 0
    # Coarser bars come from the same minutes.
    (tmp_path / "h.toml").write_text(
        FROM_CATALOG.format(interval="15m", funding="none")
    )
    hourly = json.loads(cqx("study", "run", "h.toml", "--json").stdout)
    assert hourly["bars"] == 40_320 // 15
    # There is no funding in the catalog: asking for it is an error, not zero.
    (tmp_path / "f.toml").write_text(
        FROM_CATALOG.format(interval="1m", funding="catalog")
    )
    refused = cqx("study", "run", "f.toml")
    assert refused.returncode == 1
    assert 'say funding = "none"' in refused.stderr

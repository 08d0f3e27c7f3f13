"""A study's folder is whole or not there, and its report hides nothing."""

from __future__ import annotations

import json
import re

import polars as pl
import pytest

from cryptoquantix.core.errors import DataError, SettingsError
from cryptoquantix.research import outputs
from cryptoquantix.research.history import Gaps
from cryptoquantix.research.market import Market
from cryptoquantix.research.outputs import (
    StudyFolder,
    read_study_folder,
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
from cryptoquantix.research.study_file import parse_study
from histories import walk


@pytest.fixture(scope="module")
def folder(kernel_cache) -> StudyFolder:
    study = parse_study(
        {
            "data": {
                "instrument": "binance:X-PERP",
                "interval": "1h",
                "funding": "none",
            },
            "strategy": {"name": "trend_breakout"},
            "parameters": {"gate_days": 3, "volatility_bars": 24, "atr_bars": 12},
            "grid": {
                "breakout_bars": [12, 24],
                "exit_bars": [12, 24],
                "exit_atr": [3, 5],
            },
            "walk_forward": {"train_days": 20, "test_days": 10},
        }
    )
    market = Market(
        walk(3, 120 * 24, seconds=3600), Gaps(2, 7), "a <b>walk</b>", True, "none"
    )
    result = run_study(study, market, kernel_cache, lambda *_: None)
    return StudyFolder(
        summarize(result, 2.0),
        fold_table(result),
        equity_table(result),
        cell_table(result),
    )


def test_a_folder_comes_back_as_it_was_written(folder, tmp_path):
    out = tmp_path / "deep" / "study"
    write_study(out, folder, "<html>")
    again = read_study_folder(out)
    assert again.summary == folder.summary
    for name in ("folds", "equity", "cells"):
        assert getattr(again, name).equals(getattr(folder, name))
    assert sorted(p.name for p in out.iterdir()) == [
        "cells.parquet",
        "equity.parquet",
        "folds.parquet",
        "report.html",
        "summary.json",
    ]
    assert [p.name for p in out.parent.iterdir()] == ["study"]


def test_an_earlier_study_is_replaced_whole(folder, tmp_path):
    out = tmp_path / "study"
    write_study(out, folder, "first")
    (out / "stale.txt").write_text("of the first")
    write_study(out, folder, "second")
    assert (out / "report.html").read_text() == "second"
    assert not (out / "stale.txt").exists()


def test_a_folder_that_is_no_study_is_not_touched(folder, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(SettingsError, match="is no study's folder"):
        write_study(tmp_path, folder, "")
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_disk_that_fails_leaves_the_earlier_study_and_no_draft(
    folder, tmp_path, monkeypatch
):
    out = tmp_path / "study"
    write_study(out, folder, "first")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(outputs, "_dump", full)
    with pytest.raises(SettingsError, match="No space left on device"):
        write_study(out, folder, "second")
    assert (out / "report.html").read_text() == "first"
    assert [p.name for p in tmp_path.iterdir()] == ["study"]


@pytest.mark.parametrize("broken", ["summary.json", "folds.parquet"])
def test_a_folder_that_is_not_whole_is_said(folder, tmp_path, broken):
    out = tmp_path / "study"
    write_study(out, folder, "")
    (out / broken).unlink()
    with pytest.raises(DataError, match="is no study's folder: it has no"):
        read_study_folder(out)
    (out / broken).write_text("{")
    with pytest.raises(DataError, match="cannot be read"):
        read_study_folder(out)


def test_the_summary_is_strict_json(folder):
    text = json.dumps(folder.summary, allow_nan=False)
    assert json.loads(text) == folder.summary


def test_the_report_says_what_is_missing_and_made_up(folder):
    page = render(folder)
    assert "GENERATED DATA." in page
    assert "FUNDING: NONE." in page
    assert "7 bars are missing in 2 holes" in page.replace("<b>GAPS.</b> ", "")
    assert "8 trials" in page
    assert "Out of sample" in page
    assert "In sample: the best of all cells, chosen with hindsight" in page
    assert "a &lt;b&gt;walk" in page
    assert "a <b>walk" not in page


def test_the_report_needs_no_network(folder):
    page = render(folder)
    assert len(page) > 1_000_000, "plotly's script must be in the page"
    assert not re.search(r"<(script|link|img)[^>]+(src|href)=", page)


def test_a_report_on_real_data_with_funding_carries_no_warning(folder):
    summary = {
        **folder.summary,
        "generated": False,
        "funding": "catalog",
        "bars_missing": 0,
    }
    page = render(StudyFolder(summary, folder.folds, folder.equity, folder.cells))
    assert "class='banner'" not in page


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"return": -0.2, "sharpe": -1.0}, "lost 20.0 %"),
        ({"return": -0.2, "sharpe": -1.0}, "That is no edge."),
        ({"return": 0.2, "sharpe": 1.0, "deflated_sharpe": 0.5}, "luck explains it"),
        (
            {"return": 0.2, "sharpe": 3.0, "deflated_sharpe": 0.99},
            "more than luck shows",
        ),
        ({"return": 0.0, "sharpe": 0.0, "trades": 0}, "never traded"),
        ({"deflated_sharpe": None}, "too short or too flat"),
    ],
)
def test_the_verdict_is_as_plain_about_failure_as_about_success(folder, changes, said):
    tested = {**folder.summary["out_of_sample"], "trades": 5, **changes}
    assert said in verdict({**folder.summary, "out_of_sample": tested})


def test_a_study_of_one_cell_has_a_report_too(folder):
    summary = {**folder.summary, "grid": {}, "cells": 1}
    one = StudyFolder(summary, folder.folds, folder.equity, folder.cells.head(1))
    assert "Equity out of sample" in render(one)


def test_long_paths_are_thinned_without_losing_the_deepest_drawdown(folder):
    from cryptoquantix.research.figures import thin

    long = pl.concat([folder.equity] * 3)
    thinned = thin(long)
    assert thinned.height <= 2500
    assert thinned["drawdown"].max() == long["drawdown"].max()
    assert thinned["equity"][-1] == long["equity"][-1]

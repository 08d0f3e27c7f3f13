"""Parameters are read strictly, and each refusal is one sentence."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from cryptoquantix.core.errors import SettingsError
from cryptoquantix.strategies import registry
from cryptoquantix.strategies.contract import parse_fields
from cryptoquantix.strategies.trend_breakout import (
    Params,
    parse_params,
    warmup_bars,
)


class Wanted(NamedTuple):
    length: int
    fraction: float = 0.5


def test_whole_floats_and_ints_are_taken_for_what_is_wanted():
    read = parse_fields(Wanted, {"length": 20.0, "fraction": 1})
    assert read == Wanted(20, 1.0)
    assert type(read.length) is int
    assert type(read.fraction) is float


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"lengths": 3}, "unknown parameter 'lengths', did you mean 'length'?"),
        ({"xyz": 3}, "unknown parameter 'xyz', expected one of length, fraction"),
        ({}, "parameter 'length' is missing"),
        ({"length": 2.5}, "parameter 'length' must be a whole number, was 2.5"),
        ({"length": "3"}, "parameter 'length' must be a number, was '3'"),
        ({"length": True}, "parameter 'length' must be a number, was True"),
        ({"length": math.nan}, "parameter 'length' must be a number, was nan"),
        ({"length": 3, "fraction": math.inf}, "'fraction' must be a number, was inf"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(values, sentence):
    with pytest.raises(SettingsError) as caught:
        parse_fields(Wanted, values)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("gate_days", 0),
        ("gate_band", -0.1),
        ("breakout_bars", 0),
        ("exit_bars", 10**9),
        ("exit_atr", -1.0),
        ("volatility_target", 0.0),
        ("leverage_max", 21.0),
    ],
)
def test_a_parameter_out_of_range_is_refused_by_name(name, value):
    with pytest.raises(SettingsError, match=f"'{name}' must be from"):
        parse_params({name: value})


def test_defaults_are_valid():
    assert parse_params({}) == Params()


def test_warm_up_covers_the_longest_window_and_the_gates_days():
    short = parse_params({"gate_days": 2, "breakout_bars": 240})
    assert warmup_bars(short, 60) == 2 * 1440
    assert warmup_bars(short._replace(exit_bars=10_000), 60) == 10_001
    assert warmup_bars(short._replace(gate_days=5), 86_400) >= 5


def test_our_strategies_are_found_by_name():
    assert registry.names() == ("trend_breakout",)
    loaded = registry.load("trend_breakout")
    assert loaded.parameter_names == Params._fields


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("trend_brekout", "did you mean 'trend_breakout'?"),
        ("contract", "unknown strategy 'contract'"),
        ("no.such.module", "cannot be imported"),
        ("os.path", "lacks 'Params'"),
    ],
)
def test_what_is_no_strategy_is_refused(name, sentence):
    with pytest.raises(SettingsError) as caught:
        registry.load(name)
    assert sentence in str(caught.value)


def test_a_strategy_that_decides_by_funding_is_told_apart(tmp_path, monkeypatch):
    own = registry.load("trend_breakout")
    assert not registry.reads_funding(own)
    source = Path(registry.__file__).with_name("trend_breakout.py").read_text()
    (tmp_path / "carry_rule.py").write_text("def pay(bar):\n    bar.funding_rate\n")
    (tmp_path / "carry.py").write_text(source + "\n\nimport carry_rule\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert registry.reads_funding(replace(own, module="carry"))


class Weights(NamedTuple):
    weights: np.ndarray


def test_a_view_with_an_array_in_it_is_refused_in_one_sentence():
    """A study groups its cells by what they see, and arrays are never the same."""
    rows = replace(registry.load("strategies.weighted_rows"), view_type=Weights)
    with pytest.raises(SettingsError, match="View that is not of numbers alone"):
        rows.view(rows.parse_params({}))

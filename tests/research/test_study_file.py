"""A study file is right as a whole, or one sentence says what is wrong."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from cryptoquantix.core.errors import SettingsError
from cryptoquantix.research.study_file import (
    parse_interval,
    parse_study,
    read_study,
    time_ns,
)


def study(**changes):
    """A smallest study, with sections replaced or added."""
    values = {
        "data": {
            "instrument": "binance:BTCUSDT-PERP",
            "interval": "1m",
            "funding": "none",
        },
        "strategy": {"name": "trend_breakout"},
        "walk_forward": {"train_days": 10, "test_days": 5},
    }
    for name, change in changes.items():
        values[name] = {**values.get(name, {}), **change}
    return values


def test_the_smallest_study_has_sound_defaults():
    read = parse_study(study())
    assert read.interval_seconds == 60
    assert read.path_costs.fee_rate == 0.0005
    assert read.cell_costs.lot_size == 0.0
    assert read.walk_forward.plateau


@pytest.mark.parametrize("name", ["study.toml", "study_generated.toml"])
def test_the_examples_are_valid(name):
    read = read_study(Path(__file__).parents[2] / "examples" / name)
    assert read.data.funding == "none"
    assert read.grid


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"dta": {}}, "unknown section [dta], did you mean 'data'?"),
        (
            {"data": {"interval_": "1m"}},
            "unknown key 'interval_' in [data], did you mean",
        ),
        ({"data": {"funding": "zero"}}, "data.funding must be 'catalog' or 'none'"),
        ({"data": {"interval": "7m"}}, "interval must divide a day"),
        ({"data": {"interval": "1w"}}, "interval must divide a day"),
        ({"data": {"interval": ""}}, "interval must divide a day"),
        ({"data": {"instrument": "BTCUSDT"}}, "instrument must be venue:NAME"),
        (
            {"data": {"instrument": 5}},
            "data.instrument must be a text in quotes, was 5",
        ),
        ({"data": {"start": "2024"}}, "data.start must be a date or a time"),
        (
            {"data": {"generated": {"seed": 1}}},
            "key 'days' in [data.generated] is missing",
        ),
        ({"data": {"generated": 7}}, "[data.generated] must be a table"),
        ({"data": {"generated": {"seed": 1, "days": 0}}}, "must be from 1 to 3650"),
        ({"walk_forward": {"train_days": 1}}, "train_days must be from 2"),
        ({"walk_forward": {"test_days": 0}}, "test_days must be from 1"),
        ({"walk_forward": {"train_days": 1.5}}, "must be a whole number, was 1.5"),
        ({"walk_forward": {"plateau": "yes"}}, "must be true or false"),
        (
            {"walk_forward": {"select": "sharp"}},
            "select 'sharp', did you mean 'sharpe'?",
        ),
        (
            {"costs": {"fee_rate": 5}},
            "[costs] fee_rate must be from -0.01 to 0.5, was 5",
        ),
        ({"costs": {"fee_rate": True}}, "costs.fee_rate must be a number, was True"),
        ({"costs": {"slippage": float("nan")}}, "[costs] slippage must be from"),
        ({"costs": {"equity": 0}}, "[costs] equity must be from"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(changes, sentence):
    with pytest.raises(SettingsError) as caught:
        parse_study(study(**changes), "my.toml")
    text = str(caught.value)
    assert sentence in text
    assert text.startswith("my.toml: ")
    assert "\n" not in text


@pytest.mark.parametrize("section", ["data", "strategy", "walk_forward"])
def test_a_section_that_must_be_there_is_asked_for(section):
    values = study()
    del values[section]
    with pytest.raises(SettingsError, match=rf"section \[{section}\] is missing"):
        parse_study(values)


def test_a_study_must_say_what_it_does_about_funding():
    values = study()
    del values["data"]["funding"]
    with pytest.raises(SettingsError, match='say "catalog", or "none"'):
        parse_study(values)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(b"[data", "is not valid TOML"), (b"\xff\xfe", "is not valid TOML")],
)
def test_a_file_that_is_no_toml_is_refused(tmp_path, content, sentence):
    file = tmp_path / "s.toml"
    file.write_bytes(content)
    with pytest.raises(SettingsError, match=sentence):
        read_study(file)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(SettingsError, match="no study file at"):
        read_study(tmp_path / "none.toml")


def test_intervals_and_times():
    assert [parse_interval(t) for t in ("1s", "5m", "4h", "1d")] == [
        1,
        300,
        14_400,
        86_400,
    ]
    assert time_ns(None) is None
    assert time_ns(datetime(1970, 1, 2)) == 86_400 * 10**9  # noqa: DTZ001 - naive on purpose
    assert time_ns(datetime(1970, 1, 2, tzinfo=UTC)) == 86_400 * 10**9


def test_dates_are_taken_for_midnight_utc(tmp_path):
    file = tmp_path / "s.toml"
    file.write_text(
        '[data]\ninstrument = "binance:BTCUSDT-PERP"\ninterval = "1m"\n'
        'funding = "none"\nstart = 2024-05-01\nend = 2024-06-01T00:00:00Z\n'
        '[strategy]\nname = "trend_breakout"\n'
        "[walk_forward]\ntrain_days = 10\ntest_days = 5\n"
    )
    data = read_study(file).data
    assert data.start == datetime(2024, 5, 1, tzinfo=UTC)
    assert data.end == datetime(2024, 6, 1, tzinfo=UTC)

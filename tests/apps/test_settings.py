"""Settings come from file and environment, and a wrong one is one sentence."""

from decimal import Decimal

import pytest

from cryptoquantix.apps.settings import load_settings
from cryptoquantix.core.errors import SettingsError

GOOD = """
directory = "state"
[venues.binance]
rest = "http://127.0.0.1:1"
ws = "ws://127.0.0.1:1"
key = "k"
secret = "s"
[risk]
drawdown_fraction_max = "0.05"
[[strategies]]
name = "trend_breakout"
instrument = "binance:BTCUSDT-PERP"
params = { gate_days = 2 }
"""


@pytest.fixture
def write(tmp_path, monkeypatch):
    monkeypatch.delenv("CQX_CONFIG", raising=False)

    def write_file(text):
        path = tmp_path / "cryptoquantix.toml"
        path.write_text(text)
        return path

    return write_file


def test_a_file_is_read_and_its_directories_are_relative_to_it(write, tmp_path):
    settings = load_settings(write(GOOD))
    assert settings.risk.drawdown_fraction_max == Decimal("0.05")
    assert settings.directory == tmp_path / "state"
    assert settings.strategies[0].params == {"gate_days": 2}


def test_the_environment_goes_before_the_file(write, monkeypatch):
    monkeypatch.setenv("CQX_RISK__DRAWDOWN_FRACTION_MAX", "0.02")
    monkeypatch.setenv("CQX_VENUES__BINANCE__SECRET", "other")
    settings = load_settings(write(GOOD))
    assert settings.risk.drawdown_fraction_max == Decimal("0.02")
    assert settings.venues["binance"].secret.get_secret_value() == "other"
    assert settings.venues["binance"].key.get_secret_value() == "k"


def test_the_variable_names_the_file(write, monkeypatch):
    monkeypatch.setenv("CQX_CONFIG", str(write(GOOD)))
    assert load_settings().strategies


def test_secrets_do_not_show_when_settings_are_printed(write):
    text = repr(load_settings(write(GOOD.replace('"s"', '"hush-hush"'))))
    assert "hush-hush" not in text


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('"0.05"', '"0"', "risk.drawdown_fraction_max"),
        ('"0.05"', '"-0.1"', "risk.drawdown_fraction_max"),
        ('"0.05"', '"1.5"', "risk.drawdown_fraction_max"),
        ('"0.05"', '"NaN"', "risk.drawdown_fraction_max"),
        ("[risk]", "[risks]", "risks"),
        ("drawdown_fraction_max", "drawdown_max", "drawdown_max"),
        ("venues.binance", "venues.kraken", "unknown venue 'kraken'"),
        ("binance:BTCUSDT-PERP", "BTCUSDT", "instrument must be venue:NAME"),
        ('directory = "state"', "directory = ", "is not valid TOML"),
    ],
)
def test_a_wrong_setting_is_one_sentence_that_names_it(write, old, new, says):
    with pytest.raises(SettingsError, match=says) as caught:
        load_settings(write(GOOD.replace(old, new)))
    assert "\n" not in str(caught.value)


def test_a_named_file_must_exist(tmp_path):
    with pytest.raises(SettingsError, match="no settings file at"):
        load_settings(tmp_path / "missing.toml")

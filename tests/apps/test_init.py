import io
import json
from stat import S_IMODE

import pytest

from cryptoquantix.apps.init import run
from cryptoquantix.apps.risk_limits import limits_of
from cryptoquantix.apps.settings import load_settings
from cryptoquantix.core.errors import SettingsError
from cryptoquantix.risk.rules import Limits
from cryptoquantix.strategies.registry import load

LINE = {
    "venues": {
        "binance": {
            "rest": "http://127.0.0.1:5001",
            "ws": "ws://127.0.0.1:5001",
            "key": "k",
            "secret": 's"\\',
            "risk": {"key": "rk", "secret": "rs"},
        }
    },
    "admin": "http://127.0.0.1:5002",
}


def test_what_is_written_is_read_back(tmp_path) -> None:
    path = tmp_path / "new" / "cryptoquantix.toml"
    run(path, simulator_json=None, is_forced=False)
    settings = load_settings(path)
    assert settings.directory == path.parent / "var"
    (strategy,) = settings.strategies
    load(strategy.name).parse_params(strategy.params)
    assert S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("source", ["file", "-"])
def test_the_simulators_line_fills_addresses_and_keys(
    tmp_path, monkeypatch, source
) -> None:
    line = tmp_path / "line.json"
    line.write_text(json.dumps(LINE))
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(LINE) + "\n"))
    path = tmp_path / "cryptoquantix.toml"
    given = str(line) if source == "file" else "-"
    run(path, simulator_json=given, is_forced=False)
    venue = load_settings(path).venues["binance"]
    assert venue.rest == "http://127.0.0.1:5001"
    assert venue.secret.get_secret_value() == 's"\\'
    assert venue.risk.key.get_secret_value() == "rk"


def test_a_file_is_not_overwritten_unless_asked(tmp_path) -> None:
    path = tmp_path / "cryptoquantix.toml"
    path.write_text("mine")
    with pytest.raises(SettingsError, match="--force"):
        run(path, simulator_json=None, is_forced=False)
    assert path.read_text() == "mine"
    run(path, simulator_json=None, is_forced=True)
    assert load_settings(path).venues


@pytest.mark.parametrize("text", ["", "{", "[]", '{"venues": {}}', "null"])
def test_a_line_of_something_else_writes_nothing(tmp_path, text) -> None:
    line = tmp_path / "line.json"
    line.write_text(text)
    path = tmp_path / "cryptoquantix.toml"
    with pytest.raises(SettingsError, match="cqx simulate --json"):
        run(path, simulator_json=str(line), is_forced=False)
    assert not path.exists()


VENUES = ("binance", "bybit", "deribit")


def test_the_simulators_three_venues_become_three_tables(tmp_path) -> None:
    own = LINE["venues"]["binance"]
    line = tmp_path / "line.json"
    line.write_text(json.dumps({"venues": dict.fromkeys((*VENUES, "novelty"), own)}))
    path = tmp_path / "cryptoquantix.toml"
    run(path, simulator_json=str(line), is_forced=False)
    settings = load_settings(path)
    assert sorted(settings.venues) == sorted(VENUES)
    for venue in settings.venues.values():
        assert venue.risk.secret.get_secret_value() == "rs"


def test_without_a_simulator_the_other_venues_are_a_hash_away(tmp_path) -> None:
    path = tmp_path / "cryptoquantix.toml"
    run(path, simulator_json=None, is_forced=False)
    assert list(load_settings(path).venues) == ["binance"]
    text = path.read_text()
    for name, live in (
        ("binance", "https://fapi.binance.com"),
        ("bybit", "https://api.bybit.com"),
        ("deribit", "https://www.deribit.com"),
    ):
        assert f"[venues.{name}]" in text
        assert live in text
    lines = [
        line.removeprefix("# ")
        if line.startswith(("# [", "# rest", "# ws", "# key =", "# secret ="))
        else line
        for line in text.splitlines()
    ]
    path.write_text("\n".join(lines))
    assert sorted(load_settings(path).venues) == sorted(VENUES)


def test_the_limits_written_are_the_ones_that_hold_anyway(tmp_path) -> None:
    path = tmp_path / "cryptoquantix.toml"
    run(path, simulator_json=None, is_forced=False)
    assert limits_of(load_settings(path).risk) == Limits()

import io
import json
from stat import S_IMODE

import pytest

from cryptoquantix.apps.init import run
from cryptoquantix.apps.settings import load_settings
from cryptoquantix.core.errors import SettingsError
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

import io
import json
import threading
from stat import S_IMODE

import pytest

from cryptoquantix.apps import init
from cryptoquantix.apps.addresses import ADDRESSES
from cryptoquantix.apps.init import Mode, mode_of, run
from cryptoquantix.apps.risk_limits import limits_of
from cryptoquantix.apps.settings import load_settings
from cryptoquantix.core.errors import SettingsError
from cryptoquantix.risk.rules import Limits
from cryptoquantix.strategies.registry import load
from processes import start_simulator
from risk_server.altered import altered

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
def test_a_line_of_something_else_writes_nothing(tmp_path, text, monkeypatch) -> None:
    monkeypatch.setattr(init, "SIMULATOR_SECONDS", 0.2)
    line = tmp_path / "line.json"
    line.write_text(text)
    path = tmp_path / "cryptoquantix.toml"
    with pytest.raises(SettingsError, match="cqx simulate --json"):
        run(path, simulator_json=str(line), is_forced=False)
    assert not path.exists()


def test_a_simulator_that_starts_just_now_is_waited_for(tmp_path) -> None:
    line = tmp_path / "line.json"
    line.touch()
    path = tmp_path / "cryptoquantix.toml"
    writer = threading.Timer(0.3, lambda: line.write_text(json.dumps(LINE) + "\n"))
    writer.start()
    run(path, simulator_json=str(line), is_forced=False)
    writer.join()
    assert load_settings(path).venues["binance"].rest == "http://127.0.0.1:5001"


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


def test_feeds_and_recorder_are_written_and_recording_is_an_option(tmp_path) -> None:
    path = tmp_path / "cryptoquantix.toml"
    for is_recording in (False, True):
        run(path, simulator_json=None, is_forced=True, is_recording=is_recording)
        settings = load_settings(path)
        assert settings.recorder.enabled is is_recording
        assert settings.feeds.instruments == ()
        assert "[feeds]" in path.read_text()
        assert not settings.journal.mirror.get_secret_value()


@pytest.mark.parametrize("mode", [Mode.SIMULATOR, Mode.PAPER, Mode.TESTNET])
def test_each_venue_asked_for_is_traded_at_the_addresses_of_the_mode(
    tmp_path, mode
) -> None:
    path = tmp_path / "cryptoquantix.toml"
    wanted = ["deribit", "bybit"]
    done = run(path, simulator_json=None, is_forced=False, mode=mode, venues=wanted)
    parts = ("key", "secret", "risk.key", "risk.secret")
    empty = [f"venues.{name}.{part}" for name in sorted(wanted) for part in parts]
    assert done == {
        "written": str(path),
        "mode": mode.value,
        "venues": ["bybit", "deribit"],
        "keys_missing": [] if mode is Mode.PAPER else empty,
    }
    settings = load_settings(path)
    assert sorted(settings.venues) == sorted(wanted)
    traded = {one.instrument.partition(":")[0] for one in settings.strategies}
    assert traded == set(wanted)
    for name, venue in settings.venues.items():
        local = f"http://127.0.0.1:{8602 if name == 'bybit' else 8603}"
        assert venue.rest == (ADDRESSES[name][0][0] if mode is Mode.TESTNET else local)
    assert (settings.simulator.source == "venue") is (mode is Mode.PAPER)


def test_a_person_is_asked_for_what_the_environment_lacks(
    tmp_path, monkeypatch
) -> None:
    monkeypatch.setenv("CQX_VENUES__BINANCE__KEY", "from the environment")
    asked: list[str] = []

    def ask(question: str) -> str:
        asked.append(question)
        return f" answer {len(asked)} "

    path = tmp_path / "cryptoquantix.toml"
    run(path, simulator_json=None, is_forced=False, mode=Mode.TESTNET, ask=ask)
    assert [one.partition(" (")[0] for one in asked] == [
        "binance, secret of execution",
        "binance, key of the risk daemon",
        "binance, secret of the risk daemon",
    ]
    assert "from the environment" not in path.read_text()
    venue = load_settings(path).venues["binance"]
    assert venue.key.get_secret_value() == "from the environment"
    assert venue.secret.get_secret_value() == "answer 1"
    assert venue.risk.key.get_secret_value() == "answer 2"


def test_two_modes_or_an_unknown_venue_are_refused(tmp_path) -> None:
    assert mode_of(paper=False, live=False) is Mode.SIMULATOR
    assert mode_of(paper=False, live=True) is Mode.LIVE
    with pytest.raises(SettingsError, match="choose one of --paper, --live"):
        mode_of(paper=True, live=True)
    path = tmp_path / "cryptoquantix.toml"
    with pytest.raises(SettingsError, match="unknown venue 'kraken'"):
        run(path, simulator_json=None, is_forced=False, venues=["kraken"])
    assert not path.exists()


def live(path, monkeypatch, **keys):
    """``cqx init --live`` at Binance, with the simulator in the place of it."""
    for name, value in keys.items():
        monkeypatch.setenv(f"CQX_VENUES__BINANCE__{name.upper()}", value)
    return run(path, simulator_json=None, is_forced=False, mode=Mode.LIVE)


def test_live_keys_must_be_there_and_be_two(tmp_path, monkeypatch) -> None:
    path = tmp_path / "cryptoquantix.toml"
    with pytest.raises(SettingsError, match="set CQX_VENUES__BINANCE__KEY"):
        live(path, monkeypatch)
    both = {"key": "k", "secret": "s", "risk__key": "k", "risk__secret": "s"}
    with pytest.raises(SettingsError, match="a key of its own"):
        live(path, monkeypatch, **both)
    assert list(tmp_path.iterdir()) == []


def test_live_keys_are_tried_and_must_not_withdraw(tmp_path, monkeypatch) -> None:
    with start_simulator(tmp_path) as simulator:
        venue = simulator.venue
        keys = {
            "rest": venue["rest"],
            "key": venue["key"],
            "secret": venue["secret"],
            "risk__key": venue["risk"]["key"],
            "risk__secret": venue["risk"]["secret"],
        }
        path = tmp_path / "new" / "cryptoquantix.toml"
        with pytest.raises(SettingsError, match="binance, key of the risk daemon"):
            live(path, monkeypatch, **keys | {"risk__key": "unknown"})
        may = (b'"enableWithdrawals":false', b'"enableWithdrawals":true')
        rights = "/sapi/v1/account/apiRestrictions"
        with (
            altered(venue["rest"], rights, *may) as address,
            pytest.raises(SettingsError, match="may move money out"),
        ):
            live(path, monkeypatch, **keys | {"rest": address})
        assert not path.exists()
        assert live(path, monkeypatch, **keys)["mode"] == "live"
    monkeypatch.delenv("CQX_VENUES__BINANCE__REST")
    settings = load_settings(path)
    assert settings.venues["binance"].rest == "https://fapi.binance.com"
    assert "withdraw" in path.read_text()
    assert venue["secret"] not in path.read_text()

"""Settings come from file and environment, and a wrong one is one sentence."""

from decimal import Decimal

import pytest

from cryptoquantix.apps import secret_files
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
        ("venues.binance", "venues.kraken", "unknown venue 'kraken', expected one of"),
        ("[risk]", "[risk]\nwarning_fractions = [0.8, 1.0]", "risk.warning_fractions"),
        ("[risk]", "[risk]\nblind_seconds = 0", "risk.blind_seconds"),
        ("[risk]", "[risk]\nconfirm_seconds = 1.5", "risk.confirm_seconds"),
        ("[risk]", "[risk]\nhard_multiple = 1", "risk.hard_multiple"),
        ("[risk]", '[risk]\ncollateral_moves = "perhaps"', "risk.collateral_moves"),
        ("binance:BTCUSDT-PERP", "BTCUSDT", "instrument must be venue:NAME"),
        ('directory = "state"', "directory = ", "is not valid TOML"),
        ("[risk]", "[risk]\nmore = 1", "there is no setting risk.more"),
        ("[risk]", '[risk]\nurl = "foo"', "risk.url .*must be http://host:port or ht"),
        ("[risk]", '[nats]\nurl = "foo"\n[risk]', "nats.url .*must be nats://host:"),
        ("[risk]", "[feeds]\ninstruments = 3\n[risk]", "feeds.instruments .*a list"),
        ('directory = "state"', "nats = 3", "setting nats .*must be a table, was 3"),
        ("binance:BTCUSDT-PERP", "BTCUSDT", "setting strategies.0.instrument .*was"),
    ],
)
def test_a_wrong_setting_is_one_sentence_that_names_it(write, old, new, says):
    with pytest.raises(SettingsError, match=says) as caught:
        load_settings(write(GOOD.replace(old, new)))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("CQX_VENUES", "foo", "CQX_VENUES or one below it must hold JSON"),
        ("CQX_FEEDS__INSTRUMENTS", "binance:BTCUSDT-PERP", "CQX_FEEDS .*JSON"),
        ("CQX_RISK__WARNING_FRACTIONS", "abc", "CQX_RISK .*JSON"),
        ("CQX_RISKS__URL", "1", "no setting risks.url .*CQX_RISKS__URL"),
        ("CQX_RISK__MORE", "1", "there is no setting risk.more"),
        ("CQX_NATS__URL", "nats://u:hush@:0", "nats.url .*must be nats://host:port"),
    ],
)
def test_a_wrong_variable_is_one_sentence_that_names_it(
    write, monkeypatch, name, value, says
):
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=says) as caught:
        load_settings(write(GOOD))
    assert "\n" not in str(caught.value)
    assert "hush" not in str(caught.value)


def test_variables_of_the_stacks_files_are_no_settings(write, monkeypatch):
    monkeypatch.setenv("CQX_IMAGE", "cryptoquantix:1")
    assert load_settings(write(GOOD)).strategies


def test_a_named_file_must_exist(tmp_path):
    with pytest.raises(SettingsError, match="no settings file at"):
        load_settings(tmp_path / "missing.toml")


@pytest.mark.parametrize("venue", ["binance", "bybit", "deribit"])
def test_every_venue_that_there_is_a_client_for_is_known(write, venue):
    settings = load_settings(write(GOOD.replace("venues.binance", f"venues.{venue}")))
    assert list(settings.venues) == [venue]


# -- secrets ------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660])
def test_a_file_with_secrets_that_others_may_read_is_refused(write, mode):
    path = write(GOOD)
    path.chmod(mode)
    with pytest.raises(SettingsError, match=r"venues\.binance\.(key|secret)") as caught:
        load_settings(path)
    assert f"(mode {mode:04o}): chmod 600 " in str(caught.value)
    assert "\n" not in str(caught.value)
    path.chmod(0o600)
    load_settings(path)


@pytest.mark.parametrize(
    ("text", "setting"),
    [
        ('[risk]\ntoken = "t"', "risk.token"),
        ('[alarms.telegram]\ntoken = "t"', "alarms.telegram.token"),
        ('[alarms.apprise]\nmail = "mailto://u:p@h"', "alarms.apprise.mail"),
        ('[journal]\nmirror = "postgresql://u:p@h/d"', "journal.mirror"),
    ],
)
def test_every_secret_counts(write, text, setting):
    path = write(text)
    path.chmod(0o644)
    with pytest.raises(SettingsError, match=setting):
        load_settings(path)


def test_a_file_without_secrets_may_be_read_by_all(write, monkeypatch):
    monkeypatch.setenv("CQX_RISK__TOKEN", "of the environment")
    path = write('directory = "state"\n[risk]\ntoken = ""\n')
    path.chmod(0o644)
    assert load_settings(path).risk.token.get_secret_value() == "of the environment"


FILES = """
[venues.deribit]
rest = "http://127.0.0.1:1"
ws = "ws://127.0.0.1:1"
[venues.deribit.risk]
key_file = "keys/id"
secret_file = "keys/secret"
[risk]
token_file = "keys/token"
"""


@pytest.fixture
def keys(tmp_path):
    folder = tmp_path / "keys"
    folder.mkdir()
    for name in ("id", "secret", "token"):
        (folder / name).write_text(f"the {name}\n")
        (folder / name).chmod(0o600)
    return folder


def test_secrets_may_lie_in_files_of_their_own(write, keys):
    path = write(FILES)
    path.chmod(0o644)  # it holds none itself
    settings = load_settings(path)
    own = settings.venues["deribit"].risk
    assert own.key.get_secret_value() == "the id"
    assert own.secret.get_secret_value() == "the secret"
    assert settings.risk.token.get_secret_value() == "the token"
    assert "the secret" not in repr(settings)


def test_a_secret_file_that_others_may_read_is_refused(write, keys):
    (keys / "secret").chmod(0o644)
    with pytest.raises(SettingsError, match=r"risk\.secret_file.*chmod 600"):
        load_settings(write(FILES))


def test_a_secret_file_that_is_not_there_or_empty_is_refused(write, keys):
    (keys / "token").write_text("\n")
    with pytest.raises(SettingsError, match=r"risk\.token_file.*must hold one secret"):
        load_settings(write(FILES))
    (keys / "token").unlink()
    with pytest.raises(SettingsError, match="cannot read"):
        load_settings(write(FILES))


def test_a_secret_and_a_file_of_it_are_one_too_many(write, keys):
    text = FILES.replace("token_file", 'token = "x"\ntoken_file')
    with pytest.raises(SettingsError, match=r"risk\.token and risk\.token_file"):
        load_settings(write(text))


def test_a_secret_taken_away_by_the_environment_is_not_read_from_its_file(
    write, keys, monkeypatch
):
    monkeypatch.setenv("CQX_RISK__TOKEN", "")
    assert not load_settings(write(FILES)).risk.token.get_secret_value()


def test_a_secret_file_may_be_named_by_the_environment(write, keys, monkeypatch):
    monkeypatch.setenv("CQX_RISK__TOKEN_FILE", str(keys / "id"))
    settings = load_settings(write('directory = "state"'))
    assert settings.risk.token.get_secret_value() == "the id"


def test_what_docker_mounts_is_taken_as_it_is(write, monkeypatch):
    path = write(GOOD)
    path.chmod(0o444)
    monkeypatch.setattr(secret_files, "CONTAINER_SECRETS", path.parent.resolve())
    assert load_settings(path).strategies


def test_a_mistyped_secret_is_not_repeated(write):
    text = GOOD.replace("[venues.binance]", '[venues.binance]\nsecrte = "hidden"')
    with pytest.raises(SettingsError, match=r"venues\.binance\.secrte") as told:
        load_settings(write(text))
    assert "hidden" not in str(told.value)

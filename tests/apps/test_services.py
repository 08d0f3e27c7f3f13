"""Each service is given what it needs and not the others' secrets."""

import os

import pytest

from cryptoquantix.apps.init import run as init
from cryptoquantix.apps.loopback import is_loopback, refuse_live
from cryptoquantix.apps.services import (
    EXECUTION,
    child_specs,
    risk_port,
    risk_spec,
    stop_stages,
)
from cryptoquantix.apps.settings import load_settings
from cryptoquantix.core.errors import SettingsError

VENUE = """
[venues.binance]
rest = "{rest}"
ws = "ws://127.0.0.1:1"
key = "trade-key"
secret = "trade-secret"
[venues.binance.risk]
key = "risk-key"
secret = "risk-secret"
[alarms.telegram]
token = "telegram-token"
chat_id = "1"
[alarms.apprise]
mail = "mailto://mail-secret"
[journal]
mirror = "postgresql://cqx:mirror-secret@127.0.0.1/journal"
[recorder]
enabled = true
[[strategies]]
name = "trend_breakout"
instrument = "binance:BTCUSDT-PERP"
"""
STRATEGY = """
[[strategies]]
name = "trend_breakout"
instrument = "binance:BTCUSDT-PERP"
"""


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "cryptoquantix.toml"
    path.write_text(VENUE.format(rest="http://127.0.0.1:1"))
    return path


async def healthy() -> bool:
    return True


def secrets_of(spec, monkeypatch) -> set[str]:
    """What the settings of a service hold, loaded with the environment it gets."""
    with monkeypatch.context() as patch:
        for name in os.environ:
            patch.delenv(name)
        for name, value in spec.environment.items():
            patch.setenv(name, value)
        settings = load_settings()
    venue = settings.venues["binance"]
    held = (
        *(venue.key, venue.secret, venue.risk.key, venue.risk.secret),
        *(settings.risk.token, settings.alarms.telegram.token),
        *settings.alarms.apprise.values(),
        settings.journal.mirror,
    )
    return {secret.get_secret_value() for secret in held} - {""}


def test_no_service_holds_a_secret_of_another(config, monkeypatch) -> None:
    settings = load_settings(config)
    # Also when the one who starts it has them in the environment.
    monkeypatch.setenv("CQX_VENUES__BINANCE__RISK__SECRET", "risk-secret")
    monkeypatch.setenv("CQX_VENUES__BINANCE__SECRET", "trade-secret")
    specs = child_specs(settings, config, "the-token")
    specs.append(risk_spec(settings, config, "the-token", healthy))
    held = {spec.name: secrets_of(spec, monkeypatch) for spec in specs}
    assert held == {
        "feed-binance": set(),
        "strategy": set(),
        "execution": {"trade-key", "trade-secret", "the-token"},
        "recorder": set(),
        "mirror": {"postgresql://cqx:mirror-secret@127.0.0.1/journal"},
        "alarms": {"telegram-token", "mailto://mail-secret", "the-token"},
        "risk": {"risk-key", "risk-secret", "the-token"},
    }


def test_secrets_are_not_on_command_lines(config) -> None:
    settings = load_settings(config)
    for spec in child_specs(settings, config, "the-token"):
        assert "secret" not in " ".join(spec.command)
        assert "token" not in " ".join(spec.command)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://127.0.0.1:80", True),
        ("ws://localhost:1/x", True),
        ("http://[::1]:1", True),
        ("https://fapi.binance.com", False),
        ("http://127.0.0.1.evil.com", False),
        ("http://10.0.0.1", False),
        ("", False),
    ],
)
def test_an_address_is_on_this_machine_only_if_it_surely_is(url, expected) -> None:
    assert is_loopback(url) is expected


def test_a_live_address_needs_to_be_said(config) -> None:
    config.write_text(VENUE.format(rest="https://fapi.binance.com"))
    settings = load_settings(config)
    with pytest.raises(SettingsError, match=r"fapi\.binance\.com.*--live"):
        refuse_live(settings, is_live=False, act="cqx up")
    refuse_live(settings, is_live=True, act="cqx up")


@pytest.mark.parametrize(
    ("listen", "url"),
    [("127.0.0.1:0", "http://127.0.0.1:0"), ("127.0.0.1:8700", "http://127.0.0.1:1")],
)
def test_the_daemon_must_be_found_where_it_listens(tmp_path, listen, url) -> None:
    path = tmp_path / "cryptoquantix.toml"
    init(path, simulator_json=None, is_forced=False)
    text = path.read_text().replace('"127.0.0.1:8700"', f'"{listen}"')
    path.write_text(text.replace('"http://127.0.0.1:8700"', f'"{url}"'))
    with pytest.raises(SettingsError, match="same port"):
        risk_port(load_settings(path))


def test_recorder_and_mirror_run_only_where_they_are_asked_for(config) -> None:
    def names() -> list[str]:
        return [spec.name for spec in child_specs(load_settings(config), config, "t")]

    assert {"recorder", "mirror"} <= set(names())
    text = config.read_text()
    config.write_text(text.partition("[journal]")[0] + STRATEGY)
    assert names() == ["feed-binance", "strategy", "execution", "alarms"]


def test_execution_ends_first_and_alone_then_who_speaks_then_who_listens() -> None:
    names = [
        *("nats", "simulator", "risk", "feed-binance", "feed-bybit", "strategy"),
        *("recorder", "execution", "mirror", "alarms"),
    ]
    assert stop_stages(names) == [
        ["execution"],
        ["strategy"],
        ["feed-binance", "feed-bybit"],
        ["recorder"],
        ["mirror"],
        ["alarms"],
    ]
    assert stop_stages(["nats", "risk"]) == []


def test_execution_has_time_to_cancel_what_works(config) -> None:
    specs = child_specs(load_settings(config), config, "t")
    (execution,) = [spec for spec in specs if spec.name == EXECUTION]
    # Orders under way are answered within 4 s, cancels within another 4 s.
    assert execution.stop_seconds > 8.0

"""A rehearsal's settings are whole, private, and readable as settings."""

import socket
import stat

from cryptoquantix.apps.rehearsal import free_ports, write_settings
from cryptoquantix.apps.settings import load_settings

SIMULATOR = {
    "venues": {
        "binance": {
            "rest": "http://127.0.0.1:1",
            "ws": "ws://127.0.0.1:1",
            "key": "k",
            "secret": 's"\\',
            "risk": {"key": "rk", "secret": "rs"},
        }
    },
    "admin": "http://127.0.0.1:2",
}


def test_what_is_written_reads_back_as_settings(tmp_path):
    path = write_settings(
        tmp_path / "run",
        SIMULATOR,
        catalog=tmp_path / "catalog",
        strategies=[
            {
                "name": "trend_breakout",
                "instrument": "binance:BTCUSDT-PERP",
                "bar_seconds": 60,
                "params": {"gate_days": 2, "gate_band": 0.01},
            }
        ],
        telegram={"base_url": "http://127.0.0.1:3", "token": "1:a", "chat_id": "1"},
    )
    settings = load_settings(path)
    binance = settings.venues["binance"]
    assert binance.secret.get_secret_value() == 's"\\'
    assert binance.risk.key.get_secret_value() == "rk"
    assert settings.strategies[0].params == {"gate_days": 2, "gate_band": 0.01}
    assert settings.alarms.telegram.chat_id == "1"
    assert settings.directory == tmp_path / "run"
    assert len(settings.risk.token.get_secret_value()) == 32


def test_only_the_owner_can_read_the_file(tmp_path):
    path = write_settings(tmp_path, SIMULATOR, catalog=tmp_path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_free_ports_are_free_and_differ():
    ports = free_ports(3)
    assert len(set(ports)) == 3
    for port in ports:
        with socket.socket() as one:
            one.bind(("127.0.0.1", port))

"""What `cqx recorder` takes ticks for: real ones, a simulator's, or nobody knows."""

from __future__ import annotations

import pytest

from cryptoquantix.apps.recorder import SIMULATED, marker_of, run
from cryptoquantix.apps.settings import Settings
from cryptoquantix.core.errors import DataError, SettingsError
from cryptoquantix.core.instrument import InstrumentId

BTC = InstrumentId.parse("binance:BTCUSDT-PERP")


def settings(address: str) -> Settings:
    venue = {"rest": f"http://{address}", "ws": f"ws://{address}"}
    return Settings(venues={"binance": venue})


def test_a_simulators_ticks_are_marked_and_real_ones_are_not() -> None:
    simulated = marker_of(settings("127.0.0.1:8600"), BTC)
    assert (simulated.source, simulated.generated) == (SIMULATED, True)
    real = marker_of(settings("fstream.binance.com"), BTC)
    assert (real.source, real.generated) == ("aggTrades", False)


def test_ticks_that_may_be_a_simulators_are_not_taken_for_real() -> None:
    with pytest.raises(DataError, match="no address of bybit"):
        marker_of(settings("127.0.0.1:8600"), InstrumentId.parse("bybit:BTCUSDT-PERP"))


def test_without_a_venue_nothing_is_recorded(tmp_path) -> None:
    config = tmp_path / "cryptoquantix.toml"
    config.write_text("")
    with pytest.raises(SettingsError, match="the settings name no venue"):
        run(config)
    assert list(tmp_path.iterdir()) == [config]

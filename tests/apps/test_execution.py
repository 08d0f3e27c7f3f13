"""What execution trades is read from the settings, and a wrong name is one sentence."""

from __future__ import annotations

from decimal import Decimal

import pytest

from cryptoquantix.apps.execution import _subscriptions
from cryptoquantix.apps.settings import load_settings
from cryptoquantix.core.errors import SettingsError

TEXT = """
[venues.binance]
rest = "http://127.0.0.1:1"
ws = "ws://127.0.0.1:1"
key = "k"
secret = "s"
[execution]
adopt = ["binance:{adopt}"]
[execution.instrument_max_of]
"binance:{capped}" = "0.2"
[[strategies]]
name = "trend_breakout"
instrument = "binance:BTCUSDT-PERP"
"""


def read(tmp_path, adopt="BTCUSDT-PERP", capped="BTCUSDT-PERP"):
    path = tmp_path / "cryptoquantix.toml"
    path.write_text(TEXT.format(adopt=adopt, capped=capped))
    return load_settings(path)


def test_settings_of_a_traded_instrument_are_taken(tmp_path):
    settings = read(tmp_path)
    assert len(_subscriptions(settings)) == 1
    assert settings.execution.adopt == ("binance:BTCUSDT-PERP",)
    assert settings.execution.instrument_max_of == {
        "binance:BTCUSDT-PERP": Decimal("0.2")
    }


@pytest.mark.parametrize(
    ("name", "text"),
    [("DOGEUSDT-PERP", "which no strategy trades"), ("DOGE", "which no strategy")],
)
@pytest.mark.parametrize("setting", ["adopt", "capped"])
def test_a_name_that_no_strategy_trades_is_refused(tmp_path, setting, name, text):
    with pytest.raises(SettingsError, match=text):
        _subscriptions(read(tmp_path, **{setting: name}))

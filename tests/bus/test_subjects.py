"""Subjects and keys are single tokens that NATS accepts."""

import pytest

from cryptoquantix.bus import subjects
from cryptoquantix.core.errors import SettingsError
from cryptoquantix.core.instrument import InstrumentId, Venue

BTC = InstrumentId.parse("binance:BTCUSDT-PERP")


def test_subjects_name_venue_and_instrument():
    assert subjects.ticks(BTC) == "ticks.binance.BTCUSDT-PERP"
    assert subjects.quotes(BTC) == "quotes.binance.BTCUSDT-PERP"
    assert subjects.feed(Venue.BINANCE) == "feed.binance"
    assert subjects.target_key("trend", BTC) == "trend.binance.BTCUSDT-PERP"


def test_a_dotted_strategy_is_one_token_of_a_key():
    assert subjects.target_key("my.trend", BTC) == "my_trend.binance.BTCUSDT-PERP"


@pytest.mark.parametrize("name", ["", "a b", "a*", ">", "ä"])
def test_a_name_that_is_no_token_is_refused(name):
    with pytest.raises(SettingsError, match="must be letters"):
        subjects.target_key(name, BTC)

"""An instrument has one spelling, and steps that are positive."""

from decimal import Decimal

import pytest

from cryptoquantix.core.errors import SettingsError
from cryptoquantix.core.instrument import (
    Instrument,
    InstrumentId,
    InstrumentKind,
    Venue,
)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (InstrumentKind.PERPETUAL, "BTCUSDT-PERP"),
        (InstrumentKind.SPOT, "BTCUSDT-SPOT"),
    ],
)
def test_a_symbol_and_its_kind_make_the_name_and_come_back(kind, name):
    made = InstrumentId.of(Venue.BINANCE, "BTCUSDT", kind)
    assert made.name == name
    assert (made.symbol, made.kind) == ("BTCUSDT", kind)
    assert InstrumentId.parse(str(made)) == made


@pytest.mark.parametrize(
    ("text", "symbol"),
    [
        ("bybit:BTCUSDT-PERP", "BTCUSDT"),
        ("bybit:1000PEPEUSDT-PERP", "1000PEPEUSDT"),
        ("deribit:BTCUSD-PERP", "BTC-PERPETUAL"),
        ("deribit:BTCUSDC-PERP", "BTC_USDC-PERPETUAL"),
        ("deribit:USDCUSD-PERP", "USDC-PERPETUAL"),
        ("deribit:BTC_USDC-SPOT", "BTC_USDC"),
        ("deribit:BTC-27SEP24", "BTC-27SEP24"),
    ],
)
def test_every_venues_spelling_comes_back(text, symbol):
    made = InstrumentId.parse(text)
    assert made.symbol == symbol
    assert InstrumentId.of(made.venue, symbol, made.kind) == made


def test_sizes_of_an_inverse_instrument_are_dollars():
    inverse = Instrument(
        InstrumentId.parse("deribit:BTCUSD-PERP"),
        tick_size=Decimal("0.5"),
        lot_size=Decimal(10),
        notional_min=Decimal(10),
        settlement="BTC",
        base="BTC",
        quote="USD",
        is_inverse=True,
    )
    assert (inverse.size_coin, inverse.settlement) == ("USD", "BTC")


def test_a_dated_future_keeps_the_venues_name():
    made = InstrumentId.parse("binance:BTCUSDT_240927")
    assert (made.kind, made.symbol) == (InstrumentKind.DATED_FUTURE, "BTCUSDT_240927")


@pytest.mark.parametrize("text", ["", "BTCUSDT", "kraken:BTC", "binance:"])
def test_what_is_no_instrument_is_refused_in_one_sentence(text):
    with pytest.raises(SettingsError, match="instrument must be venue:NAME"):
        InstrumentId.parse(text)


def test_a_tick_size_of_zero_is_refused():
    with pytest.raises(ValueError, match="tick_size must be positive, was 0"):
        Instrument(
            InstrumentId.parse("binance:BTCUSDT-PERP"),
            tick_size=Decimal(0),
            lot_size=Decimal(1),
            notional_min=Decimal(5),
            settlement="USDT",
            base="BTC",
            quote="USDT",
        )

"""What an archive file holds, read from its name and place."""

from __future__ import annotations

from pathlib import Path

import pytest

from cryptoquantix.core.errors import SettingsError
from cryptoquantix.data.archive import Answers, describe, is_archive_name


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("futures-um-FILUSDT-1m-2023-08.csv", "klines binance:FILUSDT-PERP 1m"),
        (
            "futures-um-klines-BTCUSDT-1h-2024-10-28.zip",
            "klines binance:BTCUSDT-PERP 1h",
        ),
        ("spot-klines-BTCUSDT-1h-2024-10-28.zip", "klines binance:BTCUSDT-SPOT 1h"),
        (
            "spot-PEPEUSDT-aggTrades-2024-10-27.zip",
            "aggTrades binance:PEPEUSDT-SPOT ticks",
        ),
        ("futures-um-BTCUSDT-trades-2024-02.zip", "trades binance:BTCUSDT-PERP ticks"),
        (
            "futures-um-BTCUSDT_240927-1d-2024-02.zip",
            "klines binance:BTCUSDT_240927 1d",
        ),
        ("BTCUSDT-fundingRate-2024-01.zip", "fundingRate binance:BTCUSDT-PERP funding"),
        (
            "data/futures/um/monthly/klines/BTCUSDT/1m/BTCUSDT-1m-2024-01.zip",
            "klines binance:BTCUSDT-PERP 1m",
        ),
        (
            "data/spot/daily/trades/BTCUSDT/BTCUSDT-trades-2025-01-01.zip",
            "trades binance:BTCUSDT-SPOT ticks",
        ),
    ],
)
def test_name_and_place_say_what_a_file_holds(name, expected):
    archive = describe(Path(name))
    assert f"{archive.kind.value} {archive.key}" == expected
    assert is_archive_name(Path(name))


@pytest.mark.parametrize(
    ("name", "answers", "option"),
    [
        ("BTCUSDT-1m-2024-01.zip", Answers(), "--market um or --market spot"),
        ("BTCUSDT-aggTrades-2024-01.zip", Answers(), "--market"),
        ("mine.csv", Answers(), "--kind"),
        ("mine.csv", Answers(kind="trades"), "--symbol"),
        (
            "mine.csv",
            Answers(kind="klines", symbol="BTCUSDT", market="um"),
            "--interval",
        ),
        ("mine.csv", Answers(kind="candles"), "--kind must be one of trades"),
        (
            "spot-BTCUSDT-1m-2024-01.zip",
            Answers(venue="bybit"),
            "--venue must be binance",
        ),
        ("spot-BTCUSDT-1m-2024-01.zip", Answers(interval="7m"), "interval must be one"),
        ("futures-cm-BTCUSD_PERP-1m-2024-01.zip", Answers(), "um, spot, was 'cm'"),
    ],
)
def test_what_is_missing_or_wrong_is_one_sentence_with_the_option(
    name, answers, option
):
    with pytest.raises(SettingsError, match=option) as raised:
        describe(Path(name), answers)
    assert "\n" not in str(raised.value)


def test_answers_win_over_the_name():
    archive = describe(Path("spot-BTCUSDT-1m-2024-01.zip"), Answers(market="um"))
    assert str(archive.instrument) == "binance:BTCUSDT-PERP"
    archive = describe(Path("x.csv"), Answers("binance", "trades", "ETHUSDT", "spot"))
    assert str(archive.key) == "binance:ETHUSDT-SPOT ticks"


@pytest.mark.parametrize(
    "name", ["notes.csv", "BTCUSDT-1m-2024-01.txt", "BTC-7q-2024-01.csv"]
)
def test_other_files_of_a_folder_are_not_archives(name):
    assert not is_archive_name(Path(name))

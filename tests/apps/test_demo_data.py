"""The demo takes the longest series without a hole, and says where it is from."""

from decimal import Decimal

import pytest

from cryptoquantix.apps import demo_data
from cryptoquantix.apps.download import NetworkError
from cryptoquantix.core.errors import DataError
from cryptoquantix.core.instrument import InstrumentId
from cryptoquantix.data.generator import generate_bars, store_generated

DAY_NS = 86_400 * 1_000_000_000
START_NS = 1_704_067_200_000_000_000


def bars(days, start_day=0, seed=1):
    return generate_bars(
        seed,
        START_NS + start_day * DAY_NS,
        days,
        Decimal(100),
        tick_size=Decimal("0.01"),
    )


def test_the_longest_run_without_a_hole_is_taken(tmp_path):
    first = InstrumentId.parse("binance:AAAUSDT-PERP")
    second = InstrumentId.parse("binance:BBBUSDT-PERP")
    store_generated(tmp_path, first, bars(9).vstack(bars(10, start_day=12)))
    store_generated(tmp_path, second, bars(9, seed=2))
    found = demo_data._longest(tmp_path, "test")
    assert found.instrument == first
    assert found.start_ns == START_NS + 12 * DAY_NS
    assert found.bars == 10 * 1440
    assert found.days == 10
    assert found.generated


def test_a_series_too_short_for_a_walk_forward_is_one_sentence(tmp_path):
    one = InstrumentId.parse("binance:AAAUSDT-PERP")
    store_generated(tmp_path, one, bars(5))
    with pytest.raises(DataError, match=r"needs 8 days .* found 5\.0 days in test"):
        demo_data._longest(tmp_path, "test")


def test_without_a_network_a_month_is_generated_and_says_so(tmp_path, monkeypatch):
    def no_network(*arguments, **options):
        msg = "cannot reach the archive"
        raise NetworkError(msg)

    monkeypatch.setattr(demo_data, "download", no_network)
    said = []
    found = demo_data.find_series(None, tmp_path / "catalog", said.append)
    assert found.generated
    assert "GENERATED" in found.source
    assert "generating a month" in said[0]


@pytest.mark.real_data
def test_of_a_folder_of_archives_the_longest_month_is_taken(real_data, tmp_path):
    folder = real_data / "market-data" / "ohlcv" / "binance-archive"
    found = demo_data.find_series(folder, tmp_path / "catalog", print)
    assert (found.bars, found.generated) == (44_640, False)
    assert str(found.instrument) == "binance:FILUSDT-PERP"

"""A study's bars come from the catalog as they are, with their funding or a refusal."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from cryptoquantix.core.clock import NS_PER_SECOND
from cryptoquantix.core.errors import (
    CryptoquantixError,
    DataError,
    GapError,
    SettingsError,
)
from cryptoquantix.core.instrument import InstrumentId
from cryptoquantix.data.catalog import Catalog
from cryptoquantix.data.layout import DatasetKey, Marker
from cryptoquantix.data.schema import BARS, FUNDING, TICKS, DatasetKind
from cryptoquantix.data.store import put
from cryptoquantix.research.market import load_market
from cryptoquantix.research.study_file import parse_study
from histories import START_NS, walk

PERP = InstrumentId.parse("binance:BTCUSDT-PERP")
SPOT = InstrumentId.parse("binance:BTCUSDT-SPOT")
EIGHT_HOURS_NS = 8 * 3600 * NS_PER_SECOND
DAYS = 3


def study_of(instrument=PERP, funding="none", fills=None, **data):
    return parse_study(
        {
            "data": {
                "instrument": str(instrument),
                "interval": "1m",
                "funding": funding,
                **data,
            },
            "strategy": {"name": "trend_breakout"},
            "walk_forward": {"train_days": 2, "test_days": 1},
            "fills": fills or {},
        }
    )


def bars_frame(history) -> pl.DataFrame:
    zero = np.zeros(history.close.size)
    columns = {
        "open_time": history.open_time_ns,
        "close_time": history.close_time_ns,
        **{n: getattr(history, n) for n in ("open", "high", "low", "close", "volume")},
        "quote_volume": zero,
        "trades": zero.astype(np.int64),
    }
    return pl.DataFrame(columns).cast(dict(BARS))


@pytest.fixture
def catalog(tmp_path) -> Catalog:
    """Three days of minutes of a perpetual, with funding, and of spot."""
    history = walk(1, DAYS * 1440)
    marker = Marker("klines")
    for instrument in (PERP, SPOT):
        key = DatasetKey(DatasetKind.BARS, instrument, "1m")
        put(tmp_path, key, bars_frame(history), marker)
    times = [START_NS + i * EIGHT_HOURS_NS + 6_000_000 for i in range(1, 3 * DAYS + 1)]
    rates = [0.0001 * i for i in range(1, 3 * DAYS + 1)]
    funding = pl.DataFrame({"time": times, "rate": rates}).cast(dict(FUNDING))
    put(tmp_path, DatasetKey(DatasetKind.FUNDING, PERP), funding, Marker("fundingRate"))
    return Catalog(tmp_path)


def test_bars_come_as_they_are_held(catalog):
    market = load_market(study_of(), catalog)
    np.testing.assert_array_equal(market.history.close, walk(1, DAYS * 1440).close)
    assert not market.history.funding_rate.any()
    assert (market.source, market.generated) == ("binance archive, klines", False)
    assert (market.funding, market.gaps) == ("none", (0, 0))


def test_orders_are_filled_at_ticks_where_the_study_asks_for_it(catalog):
    opens = load_market(study_of(), catalog)
    assert opens.history.fill_buy is opens.history.open
    ask = {"model": "ticks", "latency_ms": 250}
    with pytest.raises(DataError, match="holds no"):
        load_market(study_of(fills=ask), catalog)
    second_close = START_NS + 120 * NS_PER_SECOND
    times = [second_close + ms * 1_000_000 for ms in (100, 300, 400)]
    ticks = {
        "time": times,
        "trade_id": [1, 2, 3],
        "price": [1.0, 2.0, 3.0],
        "size": [1.0, 1.0, 1.0],
        "is_buyer_maker": [False, True, False],
    }
    frame = pl.DataFrame(ticks).cast(dict(TICKS))
    put(catalog.root, DatasetKey(DatasetKind.TICKS, PERP), frame, Marker("aggTrades"))
    market = load_market(study_of(fills=ask), catalog)
    assert (market.history.fill_buy[2], market.history.fill_sell[2]) == (3.0, 2.0)
    assert market.fills_missing == 2 * (DAYS * 1440 - 1)


@pytest.mark.parametrize("latency_ms", [-1, 60_000])
def test_an_order_arrives_before_the_bar_it_is_filled_in_has_ended(latency_ms):
    with pytest.raises(SettingsError, match=r"\[fills\] latency_ms must be from 0"):
        study_of(fills={"model": "ticks", "latency_ms": latency_ms})


def test_funding_is_charged_where_the_study_asks_for_it(catalog):
    market = load_market(study_of(funding="catalog"), catalog)
    charged = market.history.funding_rate
    # The last one is stamped 6 ms after the last bar's close: still that of the close.
    assert np.flatnonzero(charged).tolist() == [480 * i - 1 for i in range(1, 10)]
    assert charged[479] == pytest.approx(0.0001)
    assert market.funding == "catalog"


def test_funding_that_ends_before_the_bars_is_missing(catalog):
    frame = bars_frame(walk(1, (DAYS + 1) * 1440))
    put(catalog.root, DatasetKey(DatasetKind.BARS, PERP, "1m"), frame, Marker("klines"))
    with pytest.raises(
        GapError, match="funding is missing between 2023-11-18T00:00:00Z"
    ):
        load_market(study_of(funding="catalog"), catalog)


def test_a_range_of_days_is_a_range_of_bars(catalog):
    second = {"start": "2023-11-16T00:00:00Z", "end": "2023-11-17T00:00:00Z"}
    from datetime import datetime

    times = {name: datetime.fromisoformat(text) for name, text in second.items()}
    market = load_market(study_of(funding="catalog", **times), catalog)
    assert market.history.close.size == 1440
    assert np.count_nonzero(market.history.funding_rate) == 3


def test_spot_has_no_funding_and_says_so(catalog):
    assert load_market(study_of(SPOT), catalog).funding == "spot"
    with pytest.raises(CryptoquantixError, match="is spot, which has no funding"):
        load_market(study_of(SPOT, funding="catalog"), catalog)


def test_what_is_not_held_is_named_with_what_is(catalog):
    other = InstrumentId.parse("binance:XYZUSDT-PERP")
    with pytest.raises(CryptoquantixError) as caught:
        load_market(study_of(other), catalog)
    assert "holds no binance:XYZUSDT-PERP; it holds binance:BTCUSDT-PERP" in str(
        caught.value
    )


def test_too_many_missing_bars_stop_the_run(catalog):
    history = walk(1, 1440)
    frame = bars_frame(history).filter(pl.int_range(1440) % 50 != 7)
    put(catalog.root, DatasetKey(DatasetKind.BARS, SPOT, "1m"), frame, Marker("klines"))
    with pytest.raises(GapError, match="are missing in 29 holes"):
        load_market(study_of(SPOT, missing_fraction_max=0.001), catalog)
    market = load_market(study_of(SPOT), catalog)
    assert market.gaps == (29, 29)


def test_generated_bars_are_marked_in_the_catalog_and_out_of_it(catalog):
    key = DatasetKey(DatasetKind.BARS, InstrumentId.parse("binance:GENUSDT-PERP"), "1m")
    put(
        catalog.root,
        key,
        bars_frame(walk(2, 1440)),
        Marker("generated", generated=True),
    )
    held = load_market(study_of(key.instrument), catalog)
    assert held.generated
    assert "never traded" in held.source
    made = load_market(study_of(generated={"seed": 5, "days": 2}), catalog)
    assert made.generated
    assert made.history.close.size == 2880
    with pytest.raises(CryptoquantixError, match="generated bars have no funding"):
        load_market(
            study_of(funding="catalog", generated={"seed": 5, "days": 2}), catalog
        )


def test_a_range_without_a_bar_is_said(catalog):
    from datetime import UTC, datetime

    with pytest.raises(DataError, match="no bar in the time asked for"):
        load_market(study_of(start=datetime(2031, 1, 1, tzinfo=UTC)), catalog)

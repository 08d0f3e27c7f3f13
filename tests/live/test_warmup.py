"""The bars before now are all there, and none is of the future."""

import asyncio

import polars as pl
import pytest

from cryptoquantix.core.clock import SystemClock
from cryptoquantix.core.errors import GapError, VenueError, VenueUnavailable
from cryptoquantix.core.instrument import InstrumentId
from cryptoquantix.core.market import Tick
from cryptoquantix.data.catalog import Catalog
from cryptoquantix.data.layout import DatasetKey, Marker
from cryptoquantix.data.schema import BARS, DatasetKind
from cryptoquantix.data.store import put
from cryptoquantix.live.bar_seam import Span
from cryptoquantix.live.warmup import History
from cryptoquantix.venues import binance, market_rest
from cryptoquantix.venues.market_rest import MarketRest
from stand_in import MINUTE_NS, StandIn

BTC = InstrumentId.parse("binance:BTCUSDT-PERP")
START_NS = 1_700_006_400 * 10**9  # a midnight UTC


def ticks(minutes, first=0, per_minute=2, first_id=1):
    step = MINUTE_NS // per_minute
    return [
        Tick(
            START_NS + first * MINUTE_NS + i * step,
            1000 + i % 17,
            1 + i % 3,
            True,
            i + 1,
        )
        for i in range(minutes * per_minute)
    ]


def hold(root, bars):
    """Put bars into a catalog."""
    frame = pl.DataFrame(
        {
            "open_time": [bar.open_time_ns for bar in bars],
            "close_time": [bar.close_time_ns for bar in bars],
            "open": [bar.open for bar in bars],
            "high": [bar.high for bar in bars],
            "low": [bar.low for bar in bars],
            "close": [bar.close for bar in bars],
            "volume": [bar.volume for bar in bars],
            "quote_volume": [0.0 for _ in bars],
            "trades": [1 for _ in bars],
        },
        schema=BARS,
    )
    put(root, DatasetKey(DatasetKind.BARS, BTC, "1m"), frame, Marker("test", False))
    return Catalog(root)


def venue_with(minutes, first=0):
    venue = StandIn()
    venue.ticks["BTCUSDT"] = ticks(minutes, first)
    return venue


async def fetch(venue, catalog, span, start_ns):
    async with venue, MarketRest(venue.rest, SystemClock()) as rest:
        return await History(rest, catalog, BTC, 60).fetch(span, start_ns)


def at(minute):
    return START_NS + minute * MINUTE_NS


async def test_pages_join_without_a_missing_or_doubled_bar(monkeypatch):
    monkeypatch.setattr(binance, "KLINES_MAX", 7)
    venue = venue_with(40)
    bars = await fetch(venue, None, Span(None, at(39)), at(3))
    assert bars == venue.bars("BTCUSDT")[3:39]
    assert len(venue.kline_requests) == 6


async def test_the_catalog_gives_what_the_venue_no_longer_has(tmp_path):
    venue, whole = venue_with(10, first=100), venue_with(110)
    all_bars = whole.bars("BTCUSDT")
    catalog = hold(tmp_path, all_bars[:100])
    bars = await fetch(venue, catalog, Span(None, at(109)), at(20))
    assert bars[:80] == all_bars[20:100]
    assert bars[80:] == venue.bars("BTCUSDT")[:9]


async def test_a_catalog_that_holds_the_future_leaks_nothing_of_it(tmp_path):
    """A tape is played from the very catalog that the service warms up from."""
    past = venue_with(110).bars("BTCUSDT")
    future = [
        bar._replace(close=9e9, high=9e9, open_time_ns=bar.open_time_ns) for bar in past
    ]
    catalog = hold(tmp_path, past[:50] + future[50:])
    venue = venue_with(10, first=50)
    bars = await fetch(venue, catalog, Span(None, at(55)), at(0))
    assert bars[:50] == past[:50]
    assert bars[50:] == venue.bars("BTCUSDT")[:5]
    assert max(bar.high for bar in bars) < 9e9
    assert bars[-1].close_time_ns == at(55)


async def test_a_venue_that_just_opened_is_warmed_up_from_the_catalog_alone(tmp_path):
    past = venue_with(60).bars("BTCUSDT")
    catalog = hold(tmp_path, past)
    venue = venue_with(1, first=30)
    bars = await fetch(venue, catalog, Span(None, at(30)), at(0))
    assert bars == past[:30]


async def test_a_catalog_that_ends_too_early_is_not_used_over_the_hole(tmp_path):
    past = venue_with(60).bars("BTCUSDT")
    venue = venue_with(10, first=80)
    bars = await fetch(venue, hold(tmp_path, past), Span(None, at(85)), at(0))
    assert [bar.open_time_ns for bar in bars] == [at(80 + i) for i in range(5)]


async def test_only_what_follows_a_hole_in_the_catalog_is_used(tmp_path):
    past = venue_with(60).bars("BTCUSDT")
    catalog = hold(tmp_path, past[:20] + past[30:])
    venue = venue_with(10, first=60)
    bars = await fetch(venue, catalog, Span(None, at(61)), at(0))
    assert bars[0].open_time_ns == at(30)


async def test_an_answer_from_before_the_seen_tick_is_not_taken():
    venue = venue_with(10)
    with pytest.raises(VenueUnavailable, match="not yet"):
        await fetch(venue, None, Span(None, at(10)), at(0))


async def test_the_bars_of_a_gap_are_complete_with_flat_ones():
    venue = StandIn()
    seen = [tick for tick in ticks(20) if not at(5) <= tick.venue_time_ns < at(8)]
    venue.ticks["BTCUSDT"] = seen
    bars = await fetch(venue, None, Span(at(5), at(10)), at(0))
    assert [bar.open_time_ns for bar in bars] == [at(5 + i) for i in range(5)]
    assert [bar.volume for bar in bars[:3]] == [0.0, 0.0, 0.0]
    before = venue.bars("BTCUSDT")[4]
    assert bars[0].open == bars[2].close == before.close


@pytest.mark.parametrize(
    ("status", "kind"), [(503, VenueUnavailable), (429, VenueError), (400, VenueError)]
)
async def test_a_refusal_is_an_error_of_its_kind(status, kind):
    venue = venue_with(10)
    venue.http_status = status
    with pytest.raises(kind, match=f"HTTP {status}"):
        await fetch(venue, None, Span(None, at(9)), at(0))


async def test_a_venue_that_is_away_is_an_error_that_says_where():
    async with MarketRest("http://127.0.0.1:1", SystemClock()) as rest:
        with pytest.raises(VenueUnavailable, match=r"127\.0\.0\.1:1"):
            await rest.instruments()


async def test_requests_are_paced_to_the_share_of_the_limit(monkeypatch):
    waited = []

    async def sleep(seconds):
        waited.append(seconds)

    monkeypatch.setattr(market_rest.asyncio, "sleep", sleep)
    venue = venue_with(2)
    async with venue, MarketRest(venue.rest, SystemClock()) as rest:
        for _ in range(40):
            await rest.newest_trade_id("BTCUSDT")
    assert len([one for one in waited if one > 0.5]) >= 9


async def test_strategies_that_start_together_ask_once(monkeypatch):
    monkeypatch.setattr(market_rest, "_PAGES_MAX", 50)
    async with venue_with(400) as venue, MarketRest(venue.rest, SystemClock()) as rest:
        until_ns = START_NS + 399 * MINUTE_NS
        alone = await History(rest, None, BTC, 60).fetch(Span(None, until_ns), START_NS)
        venue.kline_requests.clear()
        shared = History(rest, None, BTC, 60, None, 5.0)
        found = await asyncio.gather(
            shared.fetch(Span(None, until_ns), START_NS),
            shared.fetch(Span(None, until_ns), START_NS + 60 * MINUTE_NS),
            shared.fetch(Span(until_ns - 5 * MINUTE_NS, until_ns), 0),
        )
        assert found == [alone, alone[60:], alone[-5:]]
        assert len(venue.kline_requests) == 1
        later_ns = until_ns - MINUTE_NS
        assert await shared.fetch(Span(None, later_ns), START_NS) == alone[:-1]
        assert len(venue.kline_requests) == 2


async def test_what_was_asked_for_is_not_kept_for_ever():
    async with venue_with(40) as venue, MarketRest(venue.rest, SystemClock()) as rest:
        shared = History(rest, None, BTC, 60, None, 0.05)
        span = Span(None, START_NS + 39 * MINUTE_NS)
        first = await shared.fetch(span, START_NS)
        await asyncio.sleep(0.2)
        assert shared._kept is None
        assert await shared.fetch(span, START_NS) == first


async def test_a_gap_after_flat_bars_that_the_venue_leaves_out_is_filled():
    async with venue_with(400) as venue, MarketRest(venue.rest, SystemClock()) as rest:
        history, whole = History(rest, None, BTC, 60), venue.bars("BTCUSDT")
        left_out = [bar for bar in whole if not 100 <= whole.index(bar) < 140]
        venue.bars = lambda symbol: left_out
        from_ns = START_NS + 130 * MINUTE_NS
        found = await history.fetch(Span(from_ns, START_NS + 150 * MINUTE_NS), 0)
    assert [bar.open_time_ns for bar in found] == [
        from_ns + i * MINUTE_NS for i in range(20)
    ]
    assert all(bar.close == whole[99].close for bar in found[:10])
    assert [bar.volume for bar in found[:10]] == [0.0] * 10
    assert found[10:] == whole[140:150]


async def test_a_gap_that_neither_venue_nor_catalog_can_fill_is_told():
    venue = venue_with(60, first=5_000)
    async with venue, MarketRest(venue.rest, SystemClock()) as rest:
        span = Span(START_NS, START_NS + 5_050 * MINUTE_NS)
        with pytest.raises(GapError, match="not to be had"):
            await History(rest, None, BTC, 60).fetch(span, 0)

"""Bars carry the funding that research charges in them, or they are waited for."""

import polars as pl
import pytest

from cryptoquantix.core.clock import SystemClock
from cryptoquantix.core.errors import GapError, VenueUnavailable
from cryptoquantix.core.instrument import InstrumentId
from cryptoquantix.core.market import Bar, Tick
from cryptoquantix.data.catalog import Catalog
from cryptoquantix.data.layout import DatasetKey, Marker
from cryptoquantix.data.schema import BARS, FUNDING, DatasetKind
from cryptoquantix.data.store import put
from cryptoquantix.live.funding import FundingHistory, may_be_charged
from cryptoquantix.research.history import from_frame
from cryptoquantix.venues.market_rest import MarketRest
from histories import bars_of
from stand_in import StandIn

BTC = InstrumentId.parse("binance:BTCUSDT-PERP")
MIDNIGHT_NS = 1_700_006_400 * 10**9
HOUR_NS = 3_600 * 10**9
EIGHT = 8 * HOUR_NS


def bars(hours, first_hour=0, seconds=60):
    """Bars from an hour after the midnight on; the price does not matter here."""
    count = hours * 3600 // seconds
    start = MIDNIGHT_NS + first_hour * HOUR_NS
    step = seconds * 10**9
    return [
        Bar(start + i * step, start + (i + 1) * step, *(1.0,) * 5, 0.0)
        for i in range(count)
    ]


def charges(*hours):
    """A rate of its own for each hour."""
    return {
        (MIDNIGHT_NS + hour * HOUR_NS) // 10**6: f"{0.0001 * (hour + 1):.8f}"
        for hour in hours
    }


def batch(some, rates):
    """What research makes of the same bars and charges."""
    names = ("open_time", "close_time", "open", "high", "low", "close", "volume")
    frame = pl.DataFrame(
        {name: [bar[i] for bar in some] for i, name in enumerate(names)},
        schema={name: BARS[name] for name in names},
    )
    times = [(ms + 6) * 10**6 for ms in sorted(rates)]
    values = [float(rates[ms]) for ms in sorted(rates)]
    funding = pl.DataFrame({"time": times, "rate": values}, schema=FUNDING)
    return bars_of(from_frame(frame, funding))


class Venue:
    """A stand-in whose present is at an hour."""

    def __init__(self, hour, rates, interval=8):
        self.stand_in = StandIn(charges=rates, funding_hours=interval)
        now_ns = MIDNIGHT_NS + int(hour * HOUR_NS)
        self.stand_in.ticks["BTCUSDT"] = [Tick(now_ns, 1, 1, False, 1)]

    async def __aenter__(self):
        await self.stand_in.__aenter__()
        self.rest = MarketRest(self.stand_in.rest, SystemClock())
        await self.rest.__aenter__()
        return self

    async def __aexit__(self, *error):
        await self.rest.__aexit__(*error)
        await self.stand_in.__aexit__(*error)

    def history(self, catalog=None):
        return FundingHistory(self.rest, catalog, BTC)


@pytest.mark.parametrize("seconds", [60, 3600, 43_200])
async def test_bars_carry_what_research_charges_in_them(seconds):
    rates = charges(-8, 0, 8, 16, 24, 32, 40)
    some = bars(36, 0, seconds)
    async with Venue(40.1, rates) as venue:
        found = await venue.history().charged(some)
    assert found == batch(some, rates)
    assert sum(bar.funding_rate != 0.0 for bar in found) == (3 if seconds > 4e4 else 4)


async def test_a_charge_at_the_open_belongs_to_the_bar_before():
    rates = charges(0, 8)
    async with Venue(9.5, rates) as venue:
        before, after = await venue.history().charged(bars(2, 7, 3600))
    assert (before.funding_rate, after.funding_rate) == (
        float(rates[min(rates) + 28_800_000]),
        0.0,
    )


async def test_a_charge_that_is_not_told_yet_is_waited_for():
    rates = charges(0, 8)
    async with Venue(8.0, rates) as venue:
        venue.stand_in.told_ms = min(rates)
        with pytest.raises(VenueUnavailable, match="not told yet"):
            await venue.history().charged(bars(1, 7))
        venue.stand_in.told_ms = 10**18
        found = await venue.history().charged(bars(1, 7))
    assert found[-1].funding_rate == 0.0009


async def test_a_venue_that_has_not_passed_the_time_itself_is_waited_for():
    rates = charges(0, 8)
    async with Venue(7.99, rates) as venue:
        with pytest.raises(VenueUnavailable, match="not told yet"):
            await venue.history().charged(bars(1, 7))


async def test_other_intervals_are_the_venues_own():
    rates = charges(*range(0, 12, 4))
    async with Venue(8.5, rates, interval=4) as venue:
        some = bars(8)
        found = await venue.history().charged(some)
        assert found == batch(some, rates)
        venue.stand_in.told_ms = min(rates)
        with pytest.raises(VenueUnavailable, match="not told yet"):
            await venue.history().charged(bars(5))


async def test_a_start_leaves_out_what_lies_before_a_missing_charge():
    rates = charges(0, 24, 32)  # 8 and 16 are missing
    some = bars(35)
    async with Venue(35.5, rates) as venue:
        with pytest.raises(GapError, match="is missing"):
            await venue.history().charged(some)
        found = await venue.history().charged(some, is_start=True)
    assert found[0].open_time_ns == MIDNIGHT_NS + 24 * HOUR_NS
    assert found == batch(some[24 * 60 :], rates)


@pytest.mark.parametrize(
    ("told", "interval", "missing"),
    [
        ((-8, 0, 16), 8, 8),
        ((-8, 0, 16, 24, 32), 8, 8),
        ((0, 4, 12, 16), 4, 8),  # eight hours, where four are the rule
        ((0, 4, 12), 4, 8),
        ((4, 5, 6, 7, 9, 10), 1, 8),
    ],
)
async def test_a_charge_missing_between_known_ones_is_no_rate_of_zero(
    told, interval, missing
):
    """The bar in which it was due is a minute long: its own ends tell nothing."""
    async with Venue(max(told) + 0.1, charges(*told), interval) as venue:
        due = bars(1, missing - 1)[-1:]
        with pytest.raises(GapError, match="is missing"):
            await venue.history().charged(due)
        known = bars(1, max(told) - 1)[-1:]
        [found] = await venue.history().charged(known)
    assert found.funding_rate != 0.0


@pytest.mark.parametrize(
    ("told", "interval"),
    [
        ((-8, 0, 8, 12, 16), 4),  # eight hours became four
        ((-8, 0, 8, 9, 10), 1),
        ((0, 4, 8, 16), 8),
        ((5, 6, 7, 8, 10, 16, 24), 8),  # hourly, then back to the hours of eight
    ],
)
async def test_an_interval_that_changed_is_no_missing_charge(told, interval):
    rates = charges(*told)
    some = bars(max(told) - 5, 5)
    async with Venue(max(told) + 0.1, rates, interval) as venue:
        assert await venue.history().charged(some) == batch(some, rates)


async def test_a_market_that_was_never_charged_starts_at_the_last_funding_time():
    some = bars(11)
    async with Venue(11.0, {}) as venue:
        found = await venue.history().charged(some, is_start=True)
        assert found == some[8 * 60 :]
        with pytest.raises(VenueUnavailable):
            await venue.history().charged(some)


async def test_a_short_start_waits_for_a_charge_that_is_late(tmp_path):
    rates = charges(0, 8)
    async with Venue(9.0, rates) as venue:
        venue.stand_in.told_ms = min(rates)
        with pytest.raises(VenueUnavailable, match="not told yet"):
            await venue.history().charged(bars(3, 6), is_start=True)
        venue.stand_in.told_ms = 10**18
        found = await venue.history().charged(bars(3, 6), is_start=True)
    assert found == batch(bars(3, 6), rates)


async def test_the_catalog_has_what_the_venue_forgot_and_nothing_of_the_future(
    tmp_path,
):
    rates = charges(*range(0, 80, 8))
    times = [(ms + 6) * 10**6 for ms in rates]
    values = [float(rate) for rate in rates.values()]
    frame = pl.DataFrame({"time": times, "rate": values}, schema=FUNDING)
    key = DatasetKey(DatasetKind.FUNDING, BTC)
    put(tmp_path, key, frame, Marker("test", False))
    some = bars(50)
    late = {ms: rate for ms, rate in rates.items() if ms >= sorted(rates)[5]}
    for told in (late, {}):
        async with Venue(50.5, told) as venue:
            found = await venue.history(Catalog(tmp_path)).charged(some, is_start=True)
        assert found == batch(some, rates), "all of it"


async def test_a_long_history_comes_in_pages():
    hours = range(1_100)
    rates = charges(*hours)
    some = bars(1_099, 0, 3600)
    async with Venue(1_099.5, rates, interval=1) as venue:
        found = await venue.history().charged(some)
    assert found == batch(some, rates)


def test_only_bars_with_a_whole_hour_may_be_charged():
    assert [may_be_charged(bar) for bar in bars(1)] == [False] * 59 + [True]
    assert all(may_be_charged(bar) for bar in bars(8, 0, 3600))

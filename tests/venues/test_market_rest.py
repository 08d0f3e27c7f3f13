"""A venue that limits us is left alone for as long as it says."""

from __future__ import annotations

import pytest
from aiohttp import web

from cryptoquantix.core.clock import NS_PER_SECOND, ManualClock
from cryptoquantix.core.errors import RateLimited
from cryptoquantix.venues.market_rest import MarketRest
from venues.stub_venue import StubVenue

PATH = ("GET", "/fapi/v1/aggTrades")


@pytest.mark.parametrize(
    ("status", "headers", "seconds"),
    [(429, {"Retry-After": "7"}, 7), (418, {"Retry-After": "900"}, 900), (429, {}, 60)],
)
async def test_a_venue_that_limits_us_is_not_asked_until_its_time_has_passed(
    status, headers, seconds
):
    async def limited(_params):
        return web.Response(status=status, headers=headers, text="{}")

    clock = ManualClock()
    stub = await StubVenue().start()
    stub.answers[PATH] = limited
    async with MarketRest(stub.url, clock) as rest:
        with pytest.raises(RateLimited):
            await rest.newest_trade_id("BTCUSDT")
        stub.answers[PATH] = [{"a": 5, "p": "1", "q": "1", "T": 1, "m": True}]
        clock.advance(seconds * NS_PER_SECOND - 1)
        with pytest.raises(RateLimited, match="not asked"):
            await rest.newest_trade_id("BTCUSDT")
        assert len(stub.of(*PATH)) == 1
        clock.advance(1)
        assert await rest.newest_trade_id("BTCUSDT") == 5
    await stub.stop()

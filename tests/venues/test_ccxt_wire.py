"""What each venue's client is: held to one host, and exact about refusals."""

from __future__ import annotations

import asyncio
import json
import re
from contextlib import asynccontextmanager

import ccxt
import pytest
from aiohttp import web

from cryptoquantix.core.errors import (
    CredentialsRefused,
    OrderNotFound,
    OrderRefused,
    OutcomeUnknown,
    RateLimited,
    SettingsError,
    VenueUnavailable,
)
from cryptoquantix.core.instrument import Venue
from cryptoquantix.venues import ccxt_wire
from cryptoquantix.venues.ccxt_wire import ATTEMPT, Attempt, failure_of, open_wire
from cryptoquantix.venues.errors import is_clock_doubtful, order_error, read_error

ORDERS = {
    Venue.BINANCE: "fapiPrivatePostOrder",
    Venue.BYBIT: "privatePostV5OrderCreate",
    Venue.DERIBIT: "privateGetBuy",
}


@asynccontextmanager
async def venue_at(venue, answer):
    """A client of ``venue`` and the requests that a server answering so has seen."""
    seen = []

    async def handle(request):
        seen.append((request.method, request.path_qs, dict(request.headers)))
        return answer(request)

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    wire = open_wire(f"http://127.0.0.1:{runner.addresses[0][1]}", "k", "s", venue)
    try:
        yield wire, seen
    finally:
        await ccxt_wire.close_wire(wire)
        await runner.cleanup()


async def failed(venue, status, body, headers=None, content_type="application/json"):
    """Return what is known of an order that was answered so."""
    text = body if isinstance(body, str) else json.dumps(body)

    def answer(_):
        return web.Response(
            status=status, text=text, headers=headers, content_type=content_type
        )

    async with venue_at(venue, answer) as (wire, _):
        attempt = Attempt(is_once=True)
        token = ATTEMPT.set(attempt)
        try:
            await getattr(wire, ORDERS[venue])({"symbol": "BTCUSDT"})
        except ccxt.BaseError as error:
            return failure_of(venue, error, "order", is_sent=attempt.is_sent)
        finally:
            ATTEMPT.reset(token)
    raise AssertionError


def bybit(code, text="no", **more):
    return {"retCode": code, "retMsg": text, "result": {}, "time": 1_000} | more


def deribit(code, message="no", **data):
    return {"error": {"code": code, "message": message, "data": data}}


@pytest.mark.parametrize("venue", list(Venue))
async def test_no_address_leaves_the_host(venue):
    wire = open_wire("http://127.0.0.1:7", "k", "s", venue)
    leaves = list(ccxt_wire._leaves(wire.urls["api"]))
    await ccxt_wire.close_wire(wire)
    assert leaves
    assert all(re.match(r"(http|ws)://127\.0\.0\.1:7(/|\Z)", leaf) for leaf in leaves)
    assert wire.enableRateLimit is False


@pytest.mark.parametrize("venue", list(Venue))
async def test_an_address_that_is_none_is_refused_by_its_setting(venue):
    with pytest.raises(SettingsError, match=rf"venues\.{venue}\.rest must be http"):
        ccxt_wire.addresses(venue, "ftp://x")


async def test_live_addresses_stay_the_venues_own():
    wire = open_wire("https://fapi.binance.com/", "k", "s", Venue.BINANCE)
    await ccxt_wire.close_wire(wire)
    assert wire.urls["api"]["sapi"] == "https://api.binance.com/sapi/v1"
    wire = open_wire("https://api.bybit.com", "k", "s", Venue.BYBIT)
    await ccxt_wire.close_wire(wire)
    assert set(wire.urls["api"].values()) == {"https://api.bybit.com"}


async def test_every_deribit_request_has_a_nonce_of_its_own():
    def answer(_):
        return web.json_response({"result": {}})

    async with venue_at(Venue.DERIBIT, answer) as (wire, seen):
        wire.options["timeDifference"] = 30_000
        await asyncio.gather(*(wire.privateGetGetPositions({}) for _ in range(50)))
        found = [headers["Authorization"] for _, _, headers in seen]
        nonces = {re.search(r"nonce=(\d+)", text).group(1) for text in found}
        stamps = {int(re.search(r"ts=(\d+)", text).group(1)) for text in found}
        assert len(nonces) == 50
        now_ms = wire.milliseconds()
        assert all(0 <= now_ms - stamp < 5_000 for stamp in stamps), "the venue's time"


@pytest.mark.parametrize("venue", list(Venue))
async def test_an_order_is_written_once_on_a_connection_that_breaks(venue):
    count = 0

    def answer(request):
        nonlocal count
        count += 1
        if count > 1:
            request.transport.abort()
        return web.json_response({"retCode": 0, "result": {}})

    async with venue_at(venue, answer) as (wire, _):
        await getattr(wire, ORDERS[venue])({})  # the connection is kept and reused
        attempt = Attempt(is_once=True)
        token = ATTEMPT.set(attempt)
        with pytest.raises(ccxt.BaseError) as broken:
            await getattr(wire, ORDERS[venue])({})
        ATTEMPT.reset(token)
        failure = failure_of(venue, broken.value, "order", is_sent=attempt.is_sent)
        assert isinstance(order_error(failure), OutcomeUnknown)
    assert count == 2


# -- what refusals prove ------------------------------------------------------------

CASES = [
    (Venue.BYBIT, 200, bybit(110007), OrderRefused),
    (Venue.BYBIT, 200, bybit(10001), OrderRefused),
    (Venue.BYBIT, 200, bybit(110017), OrderRefused),
    (Venue.BYBIT, 200, bybit(110001), OrderNotFound),
    (Venue.BYBIT, 200, bybit(10002), VenueUnavailable),
    (Venue.BYBIT, 200, bybit(10003), CredentialsRefused),
    (Venue.BYBIT, 200, bybit(10005), CredentialsRefused),
    (Venue.BYBIT, 200, bybit(10006), RateLimited),
    (Venue.BYBIT, 200, bybit(10016), OutcomeUnknown),
    (Venue.BYBIT, 200, bybit(10000), OutcomeUnknown),
    (Venue.BYBIT, 200, bybit(110072), OutcomeUnknown),
    (Venue.BYBIT, 503, bybit(10016), OutcomeUnknown),
    (Venue.BYBIT, 502, "<html>bad</html>", OutcomeUnknown),
    (Venue.BYBIT, 403, "<html>no</html>", OutcomeUnknown),
    (Venue.DERIBIT, 400, deribit(10009), OrderRefused),
    (Venue.DERIBIT, 400, deribit(11030, reason="reduce"), OrderRefused),
    (Venue.DERIBIT, 400, deribit(-32602), OrderRefused),
    (Venue.DERIBIT, 400, deribit(10004), OrderNotFound),
    (Venue.DERIBIT, 400, deribit(13004), CredentialsRefused),
    (Venue.DERIBIT, 400, deribit(13009), CredentialsRefused),
    (Venue.DERIBIT, 403, deribit(13021), CredentialsRefused),
    (Venue.DERIBIT, 429, deribit(10028), RateLimited),
    (Venue.DERIBIT, 400, deribit(10028), RateLimited),
    (Venue.DERIBIT, 503, deribit(11051), VenueUnavailable),
    (Venue.DERIBIT, 503, deribit(10040), VenueUnavailable),
    (Venue.DERIBIT, 400, deribit(13888), OutcomeUnknown),
    (Venue.DERIBIT, 502, "<html>bad</html>", OutcomeUnknown),
    (Venue.DERIBIT, 500, deribit(10009), OutcomeUnknown),
]


@pytest.mark.parametrize(("venue", "status", "body", "kind"), CASES)
async def test_a_refusal_is_told_as_what_it_proves(venue, status, body, kind):
    is_page = isinstance(body, str)
    found = await failed(
        venue,
        status,
        body,
        content_type="text/html" if is_page else "application/json",
    )
    error = order_error(found)
    assert type(error) is kind
    for secret in ("sign", "sig=", "http://"):
        assert secret not in str(error)


async def test_bybit_says_when_its_window_ends():
    headers = {"X-Bapi-Limit-Reset-Timestamp": "1700"}
    error = order_error(await failed(Venue.BYBIT, 200, bybit(10006), headers))
    assert error.delay_ns == 700_000_000  # by the venue's own clock: time is 1000


async def test_a_bybit_address_ban_lasts_ten_minutes():
    text = "access too frequent, please try again in 10 minutes"
    found = await failed(Venue.BYBIT, 403, text, content_type="text/plain")
    error = read_error(found)
    assert isinstance(error, RateLimited)
    assert error.delay_ns == 600_000_000_000


async def test_deribits_wait_is_heeded():
    found = await failed(Venue.DERIBIT, 429, deribit(10028), {"Retry-After": "3"})
    assert order_error(found).delay_ns == 3_000_000_000
    found = await failed(Venue.DERIBIT, 400, deribit(10028))
    assert order_error(found).delay_ns == 1_000_000_000


@pytest.mark.parametrize(
    ("venue", "status", "body"),
    [
        (Venue.BINANCE, 400, {"code": -1021, "msg": "ahead"}),
        (Venue.BYBIT, 200, bybit(10002)),
        (Venue.DERIBIT, 400, deribit(13004, reason="timestamp is too far off")),
        (Venue.DERIBIT, 400, deribit(13009)),
    ],
)
async def test_what_a_wrong_clock_looks_like(venue, status, body):
    assert is_clock_doubtful(await failed(venue, status, body))


async def test_deribits_reason_is_shown():
    found = await failed(
        Venue.DERIBIT, 400, deribit(11030, "other_reject", reason="band")
    )
    assert "other_reject: band" in str(order_error(found))

"""ccxt itself against a server that keeps every request: what is sent, what never."""

from __future__ import annotations

import asyncio
import contextlib
import json
from decimal import Decimal

import pytest
from aiohttp import web

from cryptoquantix.core.clock import NS_PER_SECOND, ManualClock, SystemClock
from cryptoquantix.core.errors import (
    CredentialsRefused,
    Halted,
    OrderNotFound,
    OrderRefused,
    OutcomeUnknown,
    RateLimited,
    SettingsError,
    VenueError,
    VenueUnavailable,
)
from cryptoquantix.core.instrument import InstrumentId
from cryptoquantix.core.order import (
    Increase,
    OrderState,
    OrderType,
    Reduction,
    Side,
    TimeInForce,
)
from cryptoquantix.venues import ccxt_account, ccxt_wire
from cryptoquantix.venues.ccxt_venue import CcxtBinance
from venues.stub_venue import ORDER, StubVenue, hang

BTC = InstrumentId.parse("binance:BTCUSDT-PERP")
BUY = Increase("cqx-1", BTC, Side.BUY, 3)
SELL = Reduction("cqx-2", BTC, Side.SELL, 3)
ORDER_PATH = ("POST", "/fapi/v1/order")


def allowed():
    """A permit check that lets everything through."""


def halted():
    msg = "no live permit"
    raise Halted(msg)


@pytest.fixture
async def stub():
    stub = await StubVenue().start()
    yield stub
    await stub.stop()


@pytest.fixture
async def venue(stub):
    venue = CcxtBinance(rest=stub.url, key="k", secret="s", clock=SystemClock())
    await venue.open()
    yield venue
    await venue.close()


async def test_an_order_goes_out_with_native_parameters_and_exact_decimals(venue, stub):
    found = await venue.place_increase(BUY, allowed)
    (sent,) = stub.of(*ORDER_PATH)
    assert sent["symbol"] == "BTCUSDT"
    assert sent["quantity"] == "0.003"
    assert sent["newClientOrderId"] == "cqx-1"
    assert sent["type"] == "MARKET"
    assert int(sent["recvWindow"]) <= 2000
    assert "reduceOnly" not in sent
    assert (found.state, found.filled_lots) == (OrderState.FILLED, 3)
    assert found.venue_order_id == "4293153"


async def test_a_limit_order_carries_its_price_and_time_in_force(venue, stub):
    order = Increase(
        "cqx-1", BTC, Side.BUY, 1, OrderType.LIMIT, 600_001, TimeInForce.POST_ONLY
    )
    await venue.place_increase(order, allowed)
    (sent,) = stub.of(*ORDER_PATH)
    assert (sent["price"], sent["timeInForce"]) == ("60000.10", "GTX")


async def test_steps_read_anew_leave_those_that_are_counted_in(venue, stub):
    """Whoever holds lots of before would take a tenth of a position for all of it."""
    text = json.dumps(stub.answers["GET", "/fapi/v1/exchangeInfo"])
    changed = json.loads(text.replace('"stepSize": "0.001"', '"stepSize": "0.0001"'))
    stub.answers["GET", "/fapi/v1/exchangeInfo"] = changed
    found = await venue.read_instruments()
    assert found[BTC].lot_size == Decimal("0.0001")
    assert venue.instruments()[BTC].lot_size == Decimal("0.001")
    await venue.place_reduction(SELL)
    (sent,) = stub.of(*ORDER_PATH)
    assert sent["quantity"] == "0.003"


async def test_a_reduction_is_reduce_only(venue, stub):
    await venue.place_reduction(SELL)
    (sent,) = stub.of(*ORDER_PATH)
    assert sent["reduceOnly"] == "true"


async def test_without_a_permit_no_byte_of_an_increase_is_written(venue, stub):
    with pytest.raises(Halted):
        await venue.place_increase(BUY, halted)
    assert stub.of(*ORDER_PATH) == []


async def test_a_permit_that_runs_out_in_the_throttle_stops_the_increase(stub):
    clock = ManualClock()
    venue = CcxtBinance(rest=stub.url, key="k", secret="s", clock=clock, weight_max=100)
    await venue.open()
    await venue.budget.take(100 - venue.budget.used)
    is_live = True

    def check():
        if not is_live:
            halted()

    queued = asyncio.create_task(venue.place_increase(BUY, check))
    await asyncio.sleep(0.1)
    assert not queued.done()
    is_live = False
    clock.advance(60 * NS_PER_SECOND)
    with pytest.raises(Halted):
        await asyncio.wait_for(queued, 5)
    assert stub.of(*ORDER_PATH) == []
    await venue.close()


async def test_an_increase_does_not_queue_for_weight_for_long(stub, monkeypatch):
    monkeypatch.setattr(ccxt_account, "_INCREASE_WAIT_SECONDS", 0.1)
    venue = CcxtBinance(rest=stub.url, key="k", secret="s", clock=SystemClock())
    await venue.open()
    venue.budget.close_for(3600 * NS_PER_SECOND)
    with pytest.raises(VenueUnavailable):
        await asyncio.wait_for(venue.place_increase(BUY, allowed), 2)
    assert stub.of(*ORDER_PATH) == []
    await venue.close()


async def test_a_permit_that_runs_out_while_connecting_stops_the_increase(
    venue, stub, monkeypatch
):
    is_live = True

    def check():
        if not is_live:
            halted()

    connect = venue._wire.session.connector.connect

    async def slow_connect(*args, **kwargs):
        nonlocal is_live
        connection = await connect(*args, **kwargs)
        is_live = False
        return connection

    monkeypatch.setattr(venue._wire.session.connector, "connect", slow_connect)
    with pytest.raises(Halted):
        await venue.place_increase(BUY, check)
    assert stub.of(*ORDER_PATH) == []


async def test_a_reduction_passes_a_full_throttle_and_a_ban(venue, stub):
    await venue.budget.take(venue.budget._max - venue.budget.used)
    venue.budget.close_for(60 * NS_PER_SECOND)
    await asyncio.wait_for(venue.place_reduction(SELL), 2)
    assert len(stub.of(*ORDER_PATH)) == 1


async def test_an_order_that_is_answered_too_late_is_unknown_and_sent_once(
    venue, stub, monkeypatch
):
    monkeypatch.setattr(venue._wire, "timeout", 200)
    stub.answers[ORDER_PATH] = hang
    with pytest.raises(OutcomeUnknown) as caught:
        await venue.place_increase(BUY, allowed)
    assert "signature" not in str(caught.value)
    assert len(stub.of(*ORDER_PATH)) == 1


async def test_a_connection_cut_after_the_order_is_unknown_and_sent_once(venue, stub):
    async def cut(_params):
        for connection in list(stub._runner.server.connections):
            connection.transport.abort()
        await asyncio.sleep(1)

    stub.answers[ORDER_PATH] = cut
    with pytest.raises(OutcomeUnknown):
        await venue.place_increase(BUY, allowed)
    assert len(stub.of(*ORDER_PATH)) == 1


async def test_a_redirected_order_is_not_written_a_second_time(venue, stub):
    async def redirect(_params):
        return web.Response(
            status=307, headers={"Location": stub.url + "/fapi/v1/order"}
        )

    stub.answers[ORDER_PATH] = redirect
    with pytest.raises(OutcomeUnknown):
        await venue.place_increase(BUY, allowed)
    assert len(stub.of(*ORDER_PATH)) == 1


async def test_a_venue_that_cannot_be_reached_took_nothing(stub):
    venue = CcxtBinance(rest=stub.url, key="k", secret="s", clock=SystemClock())
    await venue.open()
    await stub.stop()
    await asyncio.sleep(0.1)  # let the kept connections be seen closed
    with pytest.raises(VenueUnavailable):
        await venue.place_increase(BUY, allowed)
    with pytest.raises(VenueUnavailable):
        await venue.place_reduction(SELL)
    await venue.close()


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ((408, {"code": -1007, "msg": "Timeout"}), OutcomeUnknown),
        ((503, {"code": -1001, "msg": "Unknown error"}), OutcomeUnknown),
        ((503, {"code": -1008, "msg": "overloaded"}), VenueUnavailable),
        ((502, "<html>bad gateway</html>"), OutcomeUnknown),
        ((200, "<html>maintenance</html>"), OutcomeUnknown),
        ((200, {"strange": 1}), OutcomeUnknown),
        ((400, {"code": -2019, "msg": "Margin is insufficient."}), OrderRefused),
        ((400, {"code": -4116, "msg": "ClientOrderId is duplicated."}), OutcomeUnknown),
        ((400, {"code": -2022, "msg": "ReduceOnly Order is rejected."}), OrderRefused),
        ((400, {"code": -1021, "msg": "Timestamp"}), VenueUnavailable),
        ((401, {"code": -2015, "msg": "Invalid API-key"}), CredentialsRefused),
        ((429, {"code": -1003, "msg": "Too many requests"}), RateLimited),
        ((418, "<html>banned</html>"), RateLimited),
    ],
    ids=str,
)
async def test_each_answer_to_an_order_is_told_for_what_it_proves(
    venue, stub, answer, kind
):
    stub.answers[ORDER_PATH] = answer
    with pytest.raises(VenueError) as caught:
        await venue.place_increase(BUY, allowed)
    assert type(caught.value) is kind
    assert len(stub.of(*ORDER_PATH)) == 1
    assert "signature" not in str(caught.value)


async def test_retry_after_is_honoured_by_everything_but_the_urgent(venue, stub):
    async def limited(_params):
        return web.Response(
            status=429, text='{"code":-1003,"msg":"x"}', headers={"Retry-After": "30"}
        )

    stub.answers["GET", "/fapi/v1/order"] = limited
    with pytest.raises(RateLimited) as caught:
        await venue.order_by_client_id(BTC, "cqx-1")
    assert caught.value.delay_ns == 30 * NS_PER_SECOND
    waiting = asyncio.create_task(venue.order_by_client_id(BTC, "cqx-1"))
    await asyncio.sleep(0.15)
    assert not waiting.done()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await venue.place_reduction(SELL)


async def test_an_unknown_order_is_not_found(venue, stub):
    stub.answers["GET", "/fapi/v1/order"] = (400, {"code": -2013, "msg": "no"})
    with pytest.raises(OrderNotFound):
        await venue.order_by_client_id(BTC, "cqx-1")
    stub.answers["DELETE", "/fapi/v1/order"] = (400, {"code": -2011, "msg": "no"})
    with pytest.raises(OrderNotFound):
        await venue.cancel(BTC, "cqx-1")


async def test_our_clock_is_set_to_the_venues(stub):
    stub.clock_ahead_ms = -5_000
    venue = CcxtBinance(rest=stub.url, key="k", secret="s", clock=SystemClock())
    await venue.open()
    await venue.place_increase(BUY, allowed)
    (sent,) = stub.of(*ORDER_PATH)
    off = int(sent["timestamp"]) - (SystemClock().time_ns() // 1_000_000 - 5_000)
    assert abs(off) < 500
    await venue.close()


async def test_a_stamp_refused_as_untimely_makes_the_clock_be_read_again(venue, stub):
    before = len(stub.of("GET", "/fapi/v1/time"))
    stub.answers[ORDER_PATH] = (400, {"code": -1021, "msg": "Timestamp"})
    with pytest.raises(VenueUnavailable):
        await venue.place_reduction(SELL)
    await venue.order_by_client_id(BTC, "cqx-1")
    assert len(stub.of("GET", "/fapi/v1/time")) == before + 1


async def test_account_orders_and_fills_are_read_exactly(venue, stub):
    stub.answers["GET", "/fapi/v3/account"] = {
        "totalMarginBalance": "100000.10000001",
        "totalWalletBalance": "100000.00000001",
    }
    stub.answers["GET", "/fapi/v3/positionRisk"] = [
        {
            "symbol": "BTCUSDT",
            "positionSide": "BOTH",
            "positionAmt": "-0.003",
            "entryPrice": "60000.1",
            "markPrice": "60001.00000000",
            "unRealizedProfit": "-0.0027",
        }
    ]
    account = await venue.account()
    assert account.equity_quote == Decimal("100000.10000001")
    assert account.positions[0].size_lots == -3
    stub.answers["GET", "/fapi/v1/openOrders"] = [ORDER | {"status": "NEW"}]
    stub.answers["GET", "/fapi/v1/openAlgoOrders"] = [
        {
            "algoId": 9,
            "clientAlgoId": "stop",
            "symbol": "BTCUSDT",
            "side": "SELL",
            "quantity": "0.003",
            "algoStatus": "NEW",
            "reduceOnly": True,
        }
    ]
    orders = await venue.open_orders([BTC])
    assert [o.is_conditional for o in orders] == [False, True]
    assert orders[1].is_reduce_only
    stub.answers["GET", "/fapi/v1/userTrades"] = [
        {
            "id": 12,
            "orderId": 4293153,
            "symbol": "BTCUSDT",
            "side": "BUY",
            "qty": "0.003",
            "price": "60000.10",
            "commission": "0.07200012",
            "commissionAsset": "USDT",
            "time": 1700000000000,
        }
    ]
    (found,) = await venue.fills(BTC, "11")
    assert found.fill.fee == Decimal("0.07200012")
    assert found.fill.size_lots == 3
    assert stub.of("GET", "/fapi/v1/userTrades")[0]["fromId"] == "12"


async def test_a_number_that_came_as_a_float_is_refused(venue, stub):
    stub.answers["GET", "/fapi/v3/positionRisk"] = []
    stub.answers["GET", "/fapi/v3/account"] = {
        "totalMarginBalance": "NaN",
        "totalWalletBalance": "1",
    }
    with pytest.raises(VenueError, match="unknown shape"):
        await venue.account()


async def refused_at_open(stub):
    venue = CcxtBinance(rest=stub.url, key="k", secret="s", clock=SystemClock())
    try:
        with pytest.raises(CredentialsRefused) as caught:
            await venue.open()
    finally:
        await venue.close()
    return str(caught.value)


async def test_hedge_mode_is_refused_in_a_sentence(stub):
    stub.answers["GET", "/fapi/v1/positionSide/dual"] = {"dualSidePosition": True}
    assert "hedge mode" in await refused_at_open(stub)


async def test_a_key_that_may_withdraw_is_refused(stub):
    stub.answers["GET", "/sapi/v1/account/apiRestrictions"] = {
        "enableWithdrawals": True
    }
    assert "may move money out (enableWithdrawals)" in await refused_at_open(stub)


async def test_a_wrong_key_is_refused_in_a_sentence_that_names_the_setting(stub):
    stub.answers["GET", "/fapi/v1/positionSide/dual"] = (
        400,
        {"code": -1022, "msg": "Signature for this request is not valid."},
    )
    text = await refused_at_open(stub)
    assert "refuses the key" in text
    assert text.endswith("(key venues.binance.key)")


async def test_no_address_of_the_client_leaves_the_host(stub):
    wire = ccxt_wire.open_wire(stub.url, "k", "s")
    leaves = list(ccxt_wire._leaves(wire.urls["api"]))
    await ccxt_wire.close_wire(wire)
    assert leaves
    rest = [leaf for leaf in leaves if leaf.startswith("http")]
    assert all(leaf.startswith(stub.url + "/") for leaf in rest)
    with pytest.raises(SettingsError, match="leaves"):
        ccxt_wire._assert_host({"a": {"b": "https://fapi.binance.com/x"}}, stub.url)


async def test_an_address_that_is_none_is_refused():
    with pytest.raises(SettingsError, match="must be http"):
        ccxt_wire.addresses(ccxt_wire.Venue.BINANCE, "ftp://x")


GARBAGE = ([], {}, "<html>busy</html>", 7, None, [[]], {"symbols": [1]})


@pytest.mark.parametrize("garbage", GARBAGE)
@pytest.mark.parametrize(
    "path",
    ["/fapi/v1/exchangeInfo", "/fapi/v1/positionSide/dual"],
)
async def test_an_opening_answered_with_garbage_is_one_sentence(stub, path, garbage):
    stub.answers["GET", path] = (200, garbage)
    venue = CcxtBinance(rest=stub.url, key="k", secret="s", clock=SystemClock())
    with pytest.raises(VenueError, match="binance"):
        await venue.open()
    await venue.close()


@pytest.mark.parametrize("garbage", GARBAGE)
async def test_rights_answered_with_garbage_raise_nothing_unforeseen(stub, garbage):
    stub.answers["GET", "/sapi/v1/account/apiRestrictions"] = (200, garbage)
    venue = CcxtBinance(rest=stub.url, key="k", secret="s", clock=SystemClock())
    with contextlib.suppress(VenueError):
        await venue.open()
    await venue.close()


@pytest.mark.parametrize("garbage", GARBAGE)
async def test_an_order_answered_with_garbage_is_unknown(venue, stub, garbage):
    stub.answers[ORDER_PATH] = (200, garbage)
    with pytest.raises(OutcomeUnknown):
        await venue.place_reduction(SELL)
    stub.answers["GET", "/fapi/v1/order"] = (200, garbage)
    with pytest.raises(VenueError):
        await venue.order_by_client_id(BTC, "cqx-2")


async def test_an_answer_about_another_order_says_nothing_about_ours(venue, stub):
    stub.answers[ORDER_PATH] = ORDER | {"clientOrderId": "cqx-9"}
    with pytest.raises(OutcomeUnknown):
        await venue.place_increase(BUY, allowed)
    stub.answers["GET", "/fapi/v1/order"] = ORDER | {"clientOrderId": "cqx-9"}
    with pytest.raises(VenueError):
        await venue.order_by_client_id(BTC, "cqx-1")


async def test_funding_of_more_than_one_page_is_read_to_its_end(venue, stub):
    """What the first page leaves out lies before the next reading's beginning."""
    rows = [
        {
            "symbol": symbol,
            "incomeType": "FUNDING_FEE",
            "income": "-0.01",
            "asset": "USDT",
            "time": 1_700_000_000_000 + at,
            "tranId": at,
        }
        for at in range(700)
        for symbol in ("BTCUSDT", "ETHUSDT")
    ]

    async def income(params):
        found = [r for r in rows if r["time"] >= int(params["startTime"])]
        return found[: int(params["limit"])]

    stub.answers["GET", "/fapi/v1/income"] = income
    flows = await venue.funding([BTC], 1_700_000_000_000_000_000)
    assert [flow.flow_id for flow in flows] == [str(at) for at in range(700)]

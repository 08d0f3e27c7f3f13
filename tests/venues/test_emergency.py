"""What the daemon's Binance client makes of a venue's words, against a stub."""

from __future__ import annotations

import asyncio
import time
from decimal import Decimal

import pytest
from aiohttp import web

from cryptoquantix.core.clock import SystemClock
from cryptoquantix.core.errors import (
    CredentialsRefused,
    OrderRefused,
    RateLimited,
    VenueUnavailable,
)
from cryptoquantix.core.exposure import CloseOrder, OrderClass
from cryptoquantix.core.order import Side
from cryptoquantix.venues import emergency_rows as rows
from cryptoquantix.venues.emergency import BinanceEmergency


async def test_a_venue_that_is_not_there_is_unavailable():
    client = BinanceEmergency(
        rest="http://127.0.0.1:9", key="k", secret="s", clock=SystemClock()
    )
    with pytest.raises(VenueUnavailable):
        await client.reading()
    await client.close()


@pytest.mark.parametrize(
    "right", ["enableWithdrawals", "enableInternalTransfer", "permitsUniversalTransfer"]
)
def test_a_key_that_can_move_money_out_is_refused(right):
    with pytest.raises(CredentialsRefused, match=f"may move money out .{right}"):
        rows.refuse_rights("binance", {right: True, "enableFutures": True})


def test_a_key_that_cannot_close_is_refused():
    with pytest.raises(CredentialsRefused, match="could not close anything"):
        rows.refuse_rights("binance", {"enableFutures": False})


def test_closing_legs_of_a_hedge_cannot_increase():
    row = {"symbol": "A", "orderId": 1, "clientOrderId": "c", "origQty": "1"}
    found = [
        rows.open_order(row | {"side": side, "positionSide": leg}, OrderClass.NORMAL)
        for leg, side in (("LONG", "SELL"), ("LONG", "BUY"), ("SHORT", "BUY"))
    ]
    assert [order.may_increase for order in found] == [False, True, False]


def test_a_number_that_is_none_is_no_reading():
    with pytest.raises(VenueUnavailable, match="where a number was expected"):
        rows.number("n/a")


# -- a venue that misbehaves --------------------------------------------------------


@pytest.fixture
async def stub():
    """A server that answers from ``answers``: (status, headers, body)."""
    answers, asked = [], []

    async def answer(request):
        asked.append((request.method, request.path, await request.text()))
        if request.path == "/fapi/v1/time":
            return web.json_response({"serverTime": time.time_ns() // 1_000_000})
        status, headers, body = answers.pop(0)
        return web.json_response(body, status=status, headers=headers)

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]
    client = BinanceEmergency(
        rest=f"http://127.0.0.1:{port}", key="k", secret="s", clock=SystemClock()
    )
    yield client, answers, asked
    await client.close()
    await runner.cleanup()


EMPTY = {
    "assets": [],
    "totalMarginBalance": "5",
    "totalWalletBalance": "5",
    "positions": [],
}


async def test_a_clock_that_is_off_is_set_once_and_the_call_repeated(stub):
    client, answers, asked = stub
    answers += [(400, {}, {"code": -1021, "msg": "ahead"}), (200, {}, EMPTY)]
    assert (await client.reading()).equity == 5
    assert [path for _, path, _ in asked] == [
        "/fapi/v3/account",
        "/fapi/v1/time",
        "/fapi/v3/account",
    ]


async def test_a_clock_that_stays_off_ends_the_call(stub):
    client, answers, _ = stub
    answers += [(400, {}, {"code": -1021, "msg": "ahead"})] * 2
    with pytest.raises(VenueUnavailable):
        await client.reading()


async def test_after_a_429_the_venue_hears_nothing_until_its_time_is_up(stub):
    client, answers, asked = stub
    answers += [(429, {"Retry-After": "7"}, {"code": -1003, "msg": "slow down"})]
    with pytest.raises(RateLimited) as limited:
        await client.reading()
    assert limited.value.delay_ns == 7_000_000_000
    count = len(asked)
    with pytest.raises(RateLimited):
        await client.reading()
    assert len(asked) == count


async def test_a_band_refusal_says_its_code(stub):
    client, answers, asked = stub
    answers += [(400, {}, {"code": -4131, "msg": "PERCENT_PRICE"})]
    order = CloseOrder("A", "BOTH", Side.SELL, Decimal("1.50"), "cqxk-1")
    with pytest.raises(OrderRefused) as refusal:
        await client.close_position(order)
    assert "-4131" in refusal.value.reason
    body = asked[-1][2]
    for part in ("reduceOnly=true", "quantity=1.50", "recvWindow=2000"):
        assert part in body


async def test_a_hedge_leg_is_closed_by_its_side_and_not_by_reduce_only(stub):
    client, answers, asked = stub
    answers += [(200, {}, {"orderId": 1})]
    order = CloseOrder("A", "SHORT", Side.BUY, Decimal(1), "cqxk-1")
    await client.close_position(order)
    assert "positionSide=SHORT" in asked[-1][2]
    assert "reduceOnly" not in asked[-1][2]


async def test_the_accounts_order_count_stops_orders_alone(stub):
    client, answers, _ = stub
    refused = (429, {"Retry-After": "7"}, {"code": -1015, "msg": "too many orders"})
    answers += [refused, (200, {}, EMPTY)]
    order = CloseOrder("A", "BOTH", Side.SELL, Decimal(1), "cqxk-1")
    with pytest.raises(RateLimited):
        await client.close_position(order)
    with pytest.raises(RateLimited):
        await client.close_position(order)
    assert (await client.reading()).equity == 5
    assert not answers


async def test_an_act_that_the_venue_has_no_room_for_is_not_sent(stub):
    client, _, asked = stub
    orders = client._guards["orders"]
    orders._answered.extend([time.monotonic_ns()] * 280)
    order = CloseOrder("A", "BOTH", Side.SELL, Decimal(1), "cqxk-1")
    with pytest.raises(RateLimited, match="was not sent"):
        await client.close_position(order)
    assert asked == []


async def test_lists_of_all_orders_wait_where_the_venue_counts_much(stub):
    """Other services share the address: readings go on, what is dear waits."""
    client, answers, asked = stub
    answers += [(200, {"X-MBX-USED-WEIGHT-1M": "2300"}, EMPTY)] * 3
    await client.reading()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await client.open_orders()
    await client.reading()
    assert {path for _, path, _ in asked} == {"/fapi/v3/account"}


def test_coins_beside_usdt_are_added_up_at_the_venues_rates():
    asset = {"marginBalance": "10", "walletBalance": "8"}
    account = EMPTY | {
        "assets": [
            asset | {"asset": "USDT"},
            asset | {"asset": "BNB"},
            {"asset": "FDUSD", "marginBalance": "0", "walletBalance": "0"},
        ]
    }
    reading = rows.reading("binance", account, 1, rates=(("BNB", Decimal(500)),))
    assert (reading.equity, reading.balance) == (5010, 4008)
    assert [c.coin for c in reading.coins] == ["USDT", "BNB"]
    assert [(o.symbol, o.kind, o.size) for o in reading.others] == [("BNB", "spot", 8)]


def test_a_position_names_the_coin_it_settles_in():
    row = {"symbol": "BTCUSDC", "positionAmt": "-2", "notional": "-20"}
    row |= {"unrealizedProfit": "4", "positionSide": "BOTH"}
    held = rows.account_position(row, {})
    assert (held.coin, held.mark_price, held.entry_price) == ("USDC", 10, 12)
    assert rows.account_position(row, {"BTCUSDC": "XUSD"}).coin == "XUSD"

"""The daemon's venue client: ccxt itself against the simulator, and against a stub."""

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
    SettingsError,
    VenueUnavailable,
)
from cryptoquantix.core.exposure import CloseOrder, OrderClass
from cryptoquantix.core.order import Side
from cryptoquantix.risk.explain import blindness, unexplained
from cryptoquantix.venues import emergency_rows as rows
from cryptoquantix.venues.emergency import BinanceEmergency
from processes import start_simulator
from trader import Trader


@pytest.fixture(scope="module")
def simulator(tmp_path_factory):
    folder = tmp_path_factory.mktemp("simulator")
    with start_simulator(
        folder, "--generate", "3", "--instruments", "BTCUSDT,ETHUSDT", "--paused"
    ) as process:
        yield process


@pytest.fixture
def trader(simulator):
    return Trader(simulator.rest, simulator.venue["key"], simulator.venue["secret"])


@pytest.fixture
async def client(simulator):
    risk = simulator.venue["risk"]
    client = BinanceEmergency(rest=simulator.rest, clock=SystemClock(), **risk)
    yield client
    for order in await client.open_orders():
        await client.cancel(order)
    for held in await client.positions_again():
        if held.size:
            await client.close_position(closing(held))
    await client.close()


def closing(held, price=None):
    side = Side.SELL if held.size > 0 else Side.BUY
    name = f"cqxk-{time.monotonic_ns()}"
    return CloseOrder(held.symbol, held.leg, side, abs(held.size), name, price)


async def test_the_reading_is_a_number_and_its_parts_agree(client, trader):
    trader.market("BTCUSDT", "BUY", "0.5")
    trader.market("ETHUSDT", "SELL", "5")
    reading = await client.reading()
    assert blindness(reading) == ""
    assert {(p.symbol, p.size) for p in reading.positions} == {
        ("BTCUSDT", Decimal("0.500")),
        ("ETHUSDT", Decimal("-5.000")),
    }
    again = {p.symbol: p for p in await client.positions_again() if p.size}
    for held in reading.positions:
        other = again[held.symbol]
        assert held.mark_price == pytest.approx(other.mark_price, rel=Decimal("1e-6"))
        assert held.entry_price == pytest.approx(other.entry_price, rel=Decimal("1e-4"))
    assert await client.equity_again() == pytest.approx(reading.equity, abs=Decimal(1))


async def test_marks_and_fills_explain_what_equity_does(client, trader, simulator):
    before = await client.reading()
    trader.market("BTCUSDT", "BUY", "0.5")
    held = await client.reading()
    assert unexplained(before, held) == {}
    simulator.admin("/price", {"venue": "binance", "symbol": "*", "factor": "0.97"})
    crashed = await client.reading()
    assert crashed.equity < held.equity
    assert abs(unexplained(held, crashed).get("USDT", 0)) < Decimal("0.01")


async def test_orders_of_every_class_are_found_and_classified(client, trader):
    mark = trader.marks()["BTCUSDT"]
    trader.market("BTCUSDT", "BUY", "0.5")
    trader.limit("BTCUSDT", "BUY", "0.1", f"{mark * 0.8:.1f}")
    trader.limit("BTCUSDT", "SELL", "0.1", f"{mark * 1.04:.1f}", reduce=True)
    stop = {
        "algoType": "CONDITIONAL",
        "symbol": "BTCUSDT",
        "type": "STOP_MARKET",
        "quantity": "0.1",
    }
    low, high = f"{mark * 0.7:.1f}", f"{mark * 1.3:.1f}"
    path = "/fapi/v1/algoOrder"
    trader.call("POST", path, side="SELL", triggerPrice=low, reduceOnly="true", **stop)
    trader.call("POST", path, side="BUY", triggerPrice=high, **stop)
    found = await client.open_orders()
    assert sorted(
        (o.order_class.value, o.side.value, o.may_increase) for o in found
    ) == [
        ("algo", "buy", True),
        ("algo", "sell", False),
        ("normal", "buy", True),
        ("normal", "sell", False),
    ]
    assert set(await client.open_orders(["BTCUSDT"])) == set(found)
    assert await client.open_orders(["ETHUSDT"]) == ()
    assert (await client.reading()).hints_orders
    for order in found:
        await client.cancel(order)
        await client.cancel(order)  # gone already is success
    assert await client.open_orders() == ()


async def test_cancel_all_takes_one_class_of_one_symbol(client, trader):
    marks = trader.marks()
    for symbol in ("BTCUSDT", "ETHUSDT"):
        for fraction in (0.8, 0.7):
            price = f"{marks[symbol] * fraction:.1f}"
            trader.limit(symbol, "BUY", "0.1", price)
    await client.cancel_all("BTCUSDT", OrderClass.NORMAL)
    assert {o.symbol for o in await client.open_orders()} == {"ETHUSDT"}
    await client.cancel_all("BTCUSDT", OrderClass.ALGO)


async def test_closes_are_reduce_only_and_never_flip(client, trader):
    trader.market("BTCUSDT", "BUY", "0.5")
    (held,) = (await client.reading()).positions
    await client.close_position(closing(held))
    assert (await client.reading()).positions == ()
    with pytest.raises(OrderRefused) as refusal:
        await client.close_position(closing(held))
    assert "-2022" in refusal.value.reason


async def test_an_ioc_limit_through_the_band_closes_too(client, trader):
    trader.market("BTCUSDT", "SELL", "0.5")
    (held,) = (await client.reading()).positions
    found = (await client.contracts())["BTCUSDT"]
    price = (held.mark_price * found.price_ceiling // found.tick_size) * found.tick_size
    await client.close_position(closing(held, price))
    assert (await client.reading()).positions == ()


async def test_the_ledger_names_what_moved(client, simulator):
    since_ns = time.time_ns()
    simulator.admin("/account", {"venue": "binance", "withdraw": "1000"})
    simulator.admin("/account", {"venue": "binance", "deposit": "1500"})
    found = [entry for entry in await client.ledger(since_ns) if entry.is_transfer]
    assert [entry.cash for entry in found] == [-1000, 1500]
    assert len({entry.entry_id for entry in found}) == 2
    assert all(abs(e.time_ns - since_ns) < 5e9 for e in found)


async def test_while_armed_only_the_cheap_call_is_made(client, simulator):
    after = simulator.log()[-1]["sequence"]
    for _ in range(3):
        await client.reading()
    paths = {r["path"] for r in simulator.log("request", after=after)}
    assert paths == {"/fapi/v3/account"}


async def test_warm_connections_spare_the_first_emergency_call_the_dial(client):
    dialled = 0
    connector = client._wire.session.connector
    create = connector._create_connection

    async def counted(*args, **kwargs):
        nonlocal dialled
        dialled += 1
        return await create(*args, **kwargs)

    await client.keep_warm()
    connector._create_connection = counted
    await asyncio.gather(*(client.reading() for _ in range(8)))
    assert dialled == 0


async def test_a_key_of_its_own_is_needed():
    with pytest.raises(SettingsError, match=r"venues\.binance\.risk\.key"):
        BinanceEmergency(
            rest="http://127.0.0.1:1", key="", secret="", clock=SystemClock()
        )


async def test_a_wrong_secret_is_refused_in_one_sentence(simulator):
    key = simulator.venue["risk"]["key"]
    client = BinanceEmergency(
        rest=simulator.rest, key=key, secret="wrong", clock=SystemClock()
    )
    with pytest.raises(CredentialsRefused, match="refuses the key") as refusal:
        await client.check_keys()
    assert "signature=" not in str(refusal.value)
    await client.close()


async def test_a_venue_that_is_not_there_is_unavailable():
    client = BinanceEmergency(
        rest="http://127.0.0.1:9", key="k", secret="s", clock=SystemClock()
    )
    with pytest.raises(VenueUnavailable):
        await client.reading()
    await client.close()


@pytest.mark.parametrize("right", ["enableWithdrawals", "enableInternalTransfer"])
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

"""The venue port's contract, held by three venues' real protocols through ccxt."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal

import pytest

from cryptoquantix.core.clock import NS_PER_SECOND, SystemClock
from cryptoquantix.core.errors import (
    CredentialsRefused,
    Halted,
    OrderNotFound,
    OrderRefused,
    OutcomeUnknown,
    VenueUnavailable,
)
from cryptoquantix.core.instrument import InstrumentId, Venue
from cryptoquantix.core.order import (
    Increase,
    OrderState,
    OrderType,
    Reduction,
    Side,
    TimeInForce,
)
from cryptoquantix.core.quantity import to_price_ticks_passive
from cryptoquantix.venues.trading import trading_port
from processes import start_simulator

TRADED = {
    Venue.BINANCE: "binance:BTCUSDT-PERP",
    Venue.BYBIT: "bybit:BTCUSDT-PERP",
    Venue.DERIBIT: "deribit:BTCUSD-PERP",
}
ORDERS = {
    Venue.BINANCE: ("POST", "/fapi/v1/order"),
    Venue.BYBIT: ("POST", "/v5/order/create"),
    Venue.DERIBIT: ("GET", "/api/v2/private/buy"),
}


@pytest.fixture(scope="module")
def simulator(tmp_path_factory):
    path = tmp_path_factory.mktemp("simulator")
    with start_simulator(
        path,
        *("--venues", "binance,bybit,deribit"),
        *("--generate", "1", "--instruments", "BTCUSDT"),
    ) as simulator:
        yield simulator


@pytest.fixture(params=list(TRADED), ids=str)
async def port(simulator, request):
    line = simulator.line["venues"][request.param.value]
    port = trading_port(
        request.param,
        rest=line["rest"],
        key=line["key"],
        secret=line["secret"],
        clock=SystemClock(),
    )
    await port.open()
    yield port
    id_ = traded(port)
    for order in await port.open_orders(None):
        with suppress(OrderNotFound):
            await port.cancel(order.instrument, order.client_order_id)
    held = await held_lots(port)
    if held:
        side = Side.of(held).opposite
        await port.place_reduction(Reduction(fresh(), id_, side, abs(held)))
    await port.close()


_NUMBERS = itertools.count(1)


def fresh() -> str:
    return f"cqx-{next(_NUMBERS)}"


def traded(port) -> InstrumentId:
    return InstrumentId.parse(TRADED[port.venue])


async def held_lots(port) -> int:
    account = await port.account()
    return sum(p.size_lots for p in account.positions if p.instrument == traded(port))


def allowed():
    """A permit check that lets everything through."""


async def resting(port, side=Side.BUY, far="0.99"):
    """A post-only order that does not fill."""
    id_ = traded(port)
    instrument = port.instruments()[id_]
    mark = (await port.marks([id_]))[id_]
    price = mark * (Decimal(far) if side is Side.BUY else 2 - Decimal(far))
    order = Increase(
        fresh(),
        id_,
        side,
        4,
        OrderType.LIMIT,
        to_price_ticks_passive(price, instrument.tick_size, side),
        TimeInForce.POST_ONLY,
    )
    return order, await port.place_increase(order, allowed)


async def test_what_is_traded_has_steps_and_a_coin_to_settle_in(port):
    instrument = port.instruments()[traded(port)]
    is_inverse = port.venue is Venue.DERIBIT
    assert instrument.is_inverse is is_inverse
    assert instrument.settlement == ("BTC" if is_inverse else "USDT")
    assert instrument.lot_size == (Decimal(10) if is_inverse else Decimal("0.001"))
    assert await port.read_instruments() == port.instruments()


async def test_equity_is_in_dollars(port):
    account = await port.account()
    assert account.currency == "USD"
    assert 90_000 < account.equity_quote < 110_000


async def test_an_increase_fills_and_shows_as_position_order_and_fill(port):
    id_, name = traded(port), fresh()
    before = await port.fills(id_, "")
    last = before[-1].fill.trade_id if before else ""
    found = await port.place_increase(Increase(name, id_, Side.BUY, 40), allowed)
    assert (found.state, found.filled_lots) == (OrderState.FILLED, 40)
    assert await port.order_by_client_id(id_, name) == found
    account = await port.account()
    (position,) = (p for p in account.positions if p.instrument == id_)
    assert position.size_lots == 40
    assert abs(position.entry_price / position.mark_price - 1) < Decimal("0.05")
    fills = await port.fills(id_, last)
    assert sum(f.fill.size_lots for f in fills) == 40
    assert {f.venue_order_id for f in fills} == {found.venue_order_id}
    assert all(f.fill.fee > 0 for f in fills)
    settlement = port.instruments()[id_].settlement
    assert {f.fill.fee_currency for f in fills} == {settlement}
    assert await port.fills(id_, fills[-1].fill.trade_id) == []


async def test_a_reduction_never_opens_anything(port):
    id_ = traded(port)
    with suppress(OrderRefused):
        await port.place_reduction(Reduction(fresh(), id_, Side.SELL, 40))
    assert await held_lots(port) == 0


async def test_a_reduction_larger_than_the_position_ends_it_flat(port):
    id_ = traded(port)
    await port.place_increase(Increase(fresh(), id_, Side.SELL, 40), allowed)
    found = await port.place_reduction(Reduction(fresh(), id_, Side.BUY, 40))
    assert found.is_reduce_only
    assert await held_lots(port) == 0


async def test_a_post_only_order_rests_and_is_canceled_by_our_own_id(port):
    id_ = traded(port)
    order, found = await resting(port)
    assert found.state is OrderState.WORKING
    (seen,) = await port.open_orders([id_])
    assert seen.client_order_id == order.client_order_id
    assert not seen.is_reduce_only
    await port.cancel(id_, order.client_order_id)
    assert await port.open_orders(None) == []
    after = await port.order_by_client_id(id_, order.client_order_id)
    assert after.state is OrderState.CANCELED
    with pytest.raises(OrderNotFound):
        await port.cancel(id_, order.client_order_id)


async def test_a_post_only_order_that_would_take_is_canceled_or_refused(port):
    try:
        _, found = await resting(port, far="1.005")
    except OrderRefused:
        return
    assert (found.state, found.filled_lots) == (OrderState.CANCELED, 0)


async def test_an_order_never_heard_of_is_not_found(port):
    with pytest.raises(OrderNotFound):
        await port.order_by_client_id(traded(port), "cqx-never")


async def test_an_increase_without_a_permit_writes_no_byte(port, simulator):
    def halted():
        msg = "no live permit"
        raise Halted(msg)

    order = Increase(fresh(), traded(port), Side.BUY, 40)
    with pytest.raises(Halted):
        await port.place_increase(order, halted)
    with pytest.raises(OrderNotFound):
        await port.order_by_client_id(order.instrument, order.client_order_id)


async def test_a_lost_acknowledgement_is_an_unknown_outcome(port, simulator):
    fault = {
        "kind": "lost-answer",
        "venue": port.venue.value,
        "match": " ".join(ORDERS[port.venue]),
        "count": 1,
        "seconds": 20,
    }
    simulator.admin("/faults", fault)
    order = Increase(fresh(), traded(port), Side.BUY, 40)
    with pytest.raises(OutcomeUnknown):
        await port.place_increase(order, allowed)
    found = await port.order_by_client_id(order.instrument, order.client_order_id)
    assert (found.state, found.filled_lots) == (OrderState.FILLED, 40)


async def test_quotes_are_around_the_mark(port):
    id_ = traded(port)
    marks, quotes = await asyncio.gather(port.marks([id_]), port.quotes([id_]))
    quote = quotes[id_]
    assert quote.bid < quote.ask
    assert abs(quote.bid / marks[id_] - 1) < Decimal("0.01")


async def test_funding_is_told_once_booked(port):
    assert await port.funding([traded(port)], 0) == []


async def test_the_dead_mans_switch_says_what_it_covers(port):
    order, _ = await resting(port)
    switch = await port.keep_dead_man([order.instrument])
    assert switch.scope
    assert switch.is_armed is (port.venue is not Venue.DERIBIT) or switch.text


@pytest.mark.parametrize("venue", list(TRADED), ids=str)
async def test_a_wrong_secret_is_refused_and_names_its_setting(simulator, venue):
    line = simulator.line["venues"][venue.value]
    port = trading_port(
        venue, rest=line["rest"], key=line["key"], secret="x", clock=SystemClock()
    )
    try:
        with pytest.raises(CredentialsRefused, match=f"venues.{venue}.key"):
            await port.open()
    finally:
        await port.close()


def at(port, order, far):
    """The same order at another price, a part of the mark of before."""
    tick = port.instruments()[order.instrument].tick_size
    ticks = int(order.price_ticks * Decimal(far))
    assert ticks * tick > 0
    return replace(order, price_ticks=ticks)


async def shown(port, order):
    found = await port.open_orders([order.instrument])
    return [o for o in found if o.client_order_id == order.client_order_id]


async def test_an_amended_order_keeps_its_id_and_size_and_rests(port):
    if not port.can_amend:
        assert port.venue is Venue.DERIBIT
        return
    order, before = await resting(port)
    found = await port.amend(at(port, order, "0.99"), allowed)
    assert found.client_order_id == order.client_order_id
    assert found.venue_order_id == before.venue_order_id
    assert (found.state, found.size_lots) == (OrderState.WORKING, order.size_lots)
    (one,) = await shown(port, order)
    assert one.size_lots == order.size_lots
    with pytest.raises(Halted):
        await port.amend(at(port, order, "0.98"), forbidden)
    # Through the market it is canceled: it may only rest.
    try:
        last = await port.amend(at(port, order, "1.05"), allowed)
    except OrderNotFound:
        last = await port.order_by_client_id(order.instrument, order.client_order_id)
    assert (last.state, last.filled_lots) == (OrderState.CANCELED, 0)
    with pytest.raises(OrderNotFound):
        await port.amend(at(port, order, "0.97"), allowed)
    assert await shown(port, order) == []


async def test_an_amended_increase_waits_for_the_budget_like_any(port, monkeypatch):
    if not port.can_amend:
        return
    order, _ = await resting(port)
    monkeypatch.setattr("cryptoquantix.venues.ccxt_account._INCREASE_WAIT_SECONDS", 0.1)
    port.order_budget.close_for(2 * NS_PER_SECOND)
    asked = []

    def check():
        asked.append(None)

    with pytest.raises(VenueUnavailable, match="no request weight was free"):
        await port.amend(at(port, order, "0.99"), check)
    assert len(asked) == 1  # before the wait, and never at the byte
    values = {name: getattr(order, name) for name in order.__slots__}
    # There is no such reduction, which the venue is asked at once all the same.
    with pytest.raises(OrderNotFound):
        await port.amend(Reduction(**values | {"client_order_id": fresh()}), None)
    await port.cancel(order.instrument, order.client_order_id)


async def test_an_amended_reduction_stays_one(port):
    if not port.can_amend:
        return
    id_ = traded(port)
    await port.place_increase(Increase(fresh(), id_, Side.BUY, 40), allowed)
    increase, _ = await resting(port, Side.SELL)
    await port.cancel(id_, increase.client_order_id)
    values = {name: getattr(increase, name) for name in increase.__slots__}
    order = Reduction(**values | {"client_order_id": fresh()})
    placed = await port.place_reduction(order)
    assert placed.is_reduce_only
    found = await port.amend(at(port, order, "1.01"), None)
    assert found.is_reduce_only
    (one,) = await shown(port, order)
    assert one.is_reduce_only
    await port.cancel(id_, order.client_order_id)
    held = await held_lots(port)
    await port.place_reduction(Reduction(fresh(), id_, Side.SELL, held))


def forbidden():
    """A permit check that lets nothing through."""
    msg = "no permit"
    raise Halted(msg)

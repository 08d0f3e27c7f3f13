"""What the core does with an order, a price and time, one law at a time."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest

from cryptoquantix.core.order import Side, TimeInForce
from cryptoquantix.simulator.conditional import ConditionalExchange
from cryptoquantix.simulator.exchange import Print
from cryptoquantix.simulator.listing import Listing, to_units
from cryptoquantix.simulator.orders import (
    AlgoRequest,
    AlgoStatus,
    OrderRequest,
    Status,
    WentFlat,
)
from cryptoquantix.simulator.refusals import CommandRefusedError, Refusal

BTC = Listing("BTCUSDT", "BTC", "USDT", Decimal("0.1"), Decimal("0.001"))
PRICE = 600_000  # 60 000.0
NOW = 10**18


@pytest.fixture
def exchange():
    made = ConditionalExchange()
    made.list_instrument(BTC, PRICE)
    made.clearing.open_account(to_units(Decimal(10_000)), NOW)
    tick(made, PRICE)
    return made


def tick(exchange, price, size=1, *, maker=True, tape_ns=NOW):
    exchange.tick("BTCUSDT", Print(tape_ns, price, size, maker), NOW)


def request(side=Side.BUY, size=100, price=None, name="a", **extra):
    return OrderRequest("BTCUSDT", side, size, name, price, **extra)


def held(exchange) -> int:
    return exchange.clearing.accounts[1].size_lots("BTCUSDT")


def algo(side, trigger, *, above, name="stop", **extra):
    return AlgoRequest(request(side, name=name, **extra), trigger, above)


def test_a_buyer_pays_the_spread_and_more_the_larger_it_is(exchange):
    small = exchange.place(1, request(size=10, name="s"), NOW)
    large = exchange.place(1, request(size=2_000, name="l"), NOW)
    assert small.value_units / small.filled_lots > BTC.value_units(PRICE, 1)
    assert large.value_units / large.filled_lots > small.value_units / small.filled_lots


def test_a_print_at_the_price_fills_a_resting_order_up_to_its_size(exchange):
    order = exchange.place(1, request(price=599_900, size=100), NOW)
    tick(exchange, 599_900, 30, maker=True)
    assert order.filled_lots == 30
    tick(exchange, 599_900, 500, maker=False)
    assert order.filled_lots == 30, "a buyer's print does not fill a bid"


def test_a_price_that_falls_through_fills_a_resting_order(exchange):
    order = exchange.place(1, request(price=599_000, size=100), NOW)
    tick(exchange, 590_000)
    assert order.status is Status.FILLED
    assert order.value_units == BTC.value_units(599_000, 100)
    [fill] = exchange.clearing.fills[1]
    assert fill.is_maker


def test_quotes_that_were_taken_come_back_with_time_not_at_once(exchange):
    market = exchange.markets["BTCUSDT"]
    exchange.quote(market, NOW)
    before = market.book.levels(-1, 100)
    exchange.place(1, request(size=600), NOW)
    assert market.book.levels(-1, 100) != before
    exchange.quote(market, NOW)
    assert market.book.levels(-1, 100) != before
    exchange.refresh(NOW)
    assert market.book.levels(-1, 100) == before


def test_a_crash_moves_last_price_book_and_marks(exchange):
    exchange.place(1, request(size=1_000), NOW)
    market = exchange.markets["BTCUSDT"]
    exchange.shock("BTCUSDT", Fraction(9, 10), NOW)
    assert market.price_ticks == 540_000
    exchange.quote(market, NOW)
    assert market.book.best_ticks(1) < 540_000 < market.book.best_ticks(-1)
    tick(exchange, 601_000)
    assert market.price_ticks == 540_900, "the rest of the tape falls with it"


def test_a_loss_beyond_maintenance_is_liquidated(exchange):
    exchange.place(1, request(size=1_000), NOW)
    exchange.place(1, request(size=10, price=580_000, name="rest"), NOW)
    exchange.shock("BTCUSDT", Fraction(80, 100), NOW)
    exchange.refresh(NOW)
    assert held(exchange) == 0
    assert not exchange.markets["BTCUSDT"].open_orders
    [last] = list(exchange.clearing.fills[1])[-1:]
    assert last.order.request.client_id.startswith("autoclose-")


def test_margin_limits_openings_and_never_closings(exchange):
    with pytest.raises(CommandRefusedError) as refused:
        exchange.place(1, request(size=4_000), NOW)
    assert refused.value.refusal is Refusal.MARGIN
    exchange.place(1, request(size=2_000), NOW)
    exchange.shock("BTCUSDT", Fraction(97, 100), NOW)
    margin = exchange.clearing.margin(exchange.clearing.accounts[1])
    assert margin.available < margin.initial
    exchange.place(1, request(Side.SELL, size=2_000, name="out"), NOW)
    assert held(exchange) == 0


def test_open_orders_hold_margin(exchange):
    exchange.place(1, request(size=2_000, price=590_000), NOW)
    with pytest.raises(CommandRefusedError):
        exchange.place(1, request(size=2_000, price=590_000, name="b"), NOW)
    # The other side is covered by the same margin.
    exchange.place(1, request(Side.SELL, size=1_900, price=610_000, name="c"), NOW)


def test_funding_is_charged_at_funding_times_of_the_tape(exchange):
    exchange.place(1, request(size=1_000), NOW)
    account = exchange.clearing.accounts[1]
    due = exchange.markets["BTCUSDT"].next_funding_ns
    before = account.wallet_units
    tick(exchange, PRICE, tape_ns=due - 1)
    assert account.wallet_units == before
    tick(exchange, PRICE, tape_ns=due)
    assert account.wallet_units == before - to_units(Decimal("6"))  # 1e-4 of 60 000
    assert account.income[-1].kind == "FUNDING_FEE"


def test_a_stop_triggers_at_its_price_and_finishes_with_its_order(exchange):
    exchange.place(1, request(size=100), NOW)
    stop = exchange.place_algo(
        1, algo(Side.SELL, 590_000, above=False, is_reduce_only=True), NOW
    )
    tick(exchange, 590_001)
    assert stop.status is AlgoStatus.NEW
    tick(exchange, 590_000)
    exchange.drain()
    assert (stop.status, held(exchange)) == (AlgoStatus.FINISHED, 0)


def test_a_position_that_closes_expires_its_close_position_orders(exchange):
    exchange.place(1, request(size=100), NOW)
    whole = exchange.place_algo(
        1, algo(Side.SELL, 590_000, above=False, is_close_position=True), NOW
    )
    part = exchange.place_algo(
        1,
        algo(Side.SELL, 580_000, above=False, is_reduce_only=True, name="p"),
        NOW,
    )
    exchange.place(1, request(Side.SELL, 100, name="out", is_reduce_only=True), NOW)
    assert whole.status is AlgoStatus.EXPIRED
    assert part.status is AlgoStatus.NEW
    assert not any(isinstance(e, WentFlat) for e in exchange.drain())
    exchange.cancel_algo(part, NOW)
    assert isinstance(exchange.drain()[-1], WentFlat)


def test_a_reduce_only_stop_without_a_position_expires(exchange):
    stop = exchange.place_algo(
        1, algo(Side.SELL, 590_000, above=False, is_reduce_only=True), NOW
    )
    tick(exchange, 580_000)
    assert stop.status is AlgoStatus.EXPIRED


def test_a_trailing_stop_follows_the_price(exchange):
    exchange.place(1, request(size=100), NOW)
    wanted = AlgoRequest(
        request(Side.SELL, name="t", is_reduce_only=True),
        trigger_ticks=0,
        is_trigger_above=False,
        callback_bps=100,
    )
    stop = exchange.place_algo(1, wanted, NOW)
    tick(exchange, 610_000)
    tick(exchange, 603_901)
    assert (stop.status, stop.trigger_ticks) == (AlgoStatus.NEW, 603_900)
    tick(exchange, 603_900)
    exchange.drain()
    assert (stop.status, held(exchange)) == (AlgoStatus.FINISHED, 0)


def test_a_fresh_quote_that_flattens_leaves_nothing_to_reduce(exchange):
    """A resting sell is filled by the very price that triggers the stop."""
    exchange.place(1, request(size=4), NOW)
    exchange.place_algo(
        1, algo(Side.SELL, 600_060, above=True, is_close_position=True), NOW
    )
    exchange.place(1, request(Side.SELL, 4, 600_012, name="rest"), NOW)
    exchange.shock("BTCUSDT", Fraction(101, 100), NOW)
    assert held(exchange) == 0


def test_a_dead_mans_switch_fires_once_unless_disarmed(exchange):
    exchange.place(1, request(size=10, price=590_000), NOW)
    exchange.countdown(1, "BTCUSDT", NOW + 5)
    exchange.countdown(1, "BTCUSDT", None)
    exchange.refresh(NOW + 10)
    assert exchange.markets["BTCUSDT"].open_orders
    exchange.countdown(1, "BTCUSDT", NOW + 20)
    exchange.refresh(NOW + 20)
    assert not exchange.markets["BTCUSDT"].open_orders


def test_post_only_and_all_or_nothing_leave_no_trace_when_refused(exchange):
    for time_in_force, refusal in (
        (TimeInForce.POST_ONLY, Refusal.POST_ONLY),
        (TimeInForce.FOK, Refusal.FOK),
    ):
        price = 601_000 if time_in_force is TimeInForce.POST_ONLY else 590_000
        with pytest.raises(CommandRefusedError) as refused:
            exchange.place(
                1, request(size=10, price=price, time_in_force=time_in_force), NOW
            )
        assert refused.value.refusal is refusal
    assert not exchange.orders

"""Position modes, self-trades and what comes from outside, one law at a time."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest

from cryptoquantix.core.order import Side, TimeInForce
from cryptoquantix.simulator.accounts import Leg
from cryptoquantix.simulator.conditional import ConditionalExchange
from cryptoquantix.simulator.exchange import Print
from cryptoquantix.simulator.listing import Listing, to_units
from cryptoquantix.simulator.orders import (
    EndReason,
    ModeChanged,
    OrderChanged,
    OrderRequest,
    Origin,
    Status,
)
from cryptoquantix.simulator.refusals import CommandRefusedError, Refusal
from cryptoquantix.simulator.rules import BINANCE, BYBIT, DERIBIT, SelfTrade

NOW = 10**18
PRICE = 600_000


def made(rules=BINANCE):
    coin = rules.coins[-1]
    listing = Listing("BTC", "BTC", coin, Decimal("0.1"), Decimal("0.001"))
    exchange = ConditionalExchange(rules)
    exchange.list_instrument(listing, PRICE)
    exchange.clearing.open_account(0, NOW)
    exchange.transfer(1, to_units(Decimal(20_000)), NOW, coin)
    exchange.tick("BTC", Print(NOW, PRICE, 1, is_buyer_maker=True), NOW)
    exchange.drain()
    return exchange


def order(exchange, side, lots=100, price=None, **extra):
    exchange.names = getattr(exchange, "names", 0) + 1
    request = OrderRequest("BTC", side, lots, f"n{exchange.names}", price, **extra)
    return exchange.place(1, request, NOW)


def refusal(command, *arguments, **named):
    with pytest.raises(CommandRefusedError) as refused:
        command(*arguments, **named)
    return refused.value.refusal


@pytest.mark.parametrize(
    ("rules", "asked", "resting", "incoming"),
    [
        (BINANCE, None, Status.EXPIRED_IN_MATCH, Status.NEW),
        (BINANCE, SelfTrade.CANCEL_BOTH, *[Status.EXPIRED_IN_MATCH] * 2),
        (BYBIT, None, Status.FILLED, Status.FILLED),
        (BYBIT, SelfTrade.CANCEL_TAKER, Status.NEW, Status.EXPIRED_IN_MATCH),
        (DERIBIT, None, Status.NEW, Status.EXPIRED_IN_MATCH),
    ],
)
def test_two_orders_of_one_account_meet(rules, asked, resting, incoming):
    exchange = made(rules)
    first = order(exchange, Side.BUY, price=PRICE)
    second = order(exchange, Side.SELL, price=PRICE, self_trade=asked)
    assert (first.status, second.status) == (resting, incoming)
    assert exchange.clearing.accounts[1].size_lots("BTC") == 0
    for each in (first, second):
        if each.status is Status.EXPIRED_IN_MATCH:
            assert each.end_reason is EndReason.SELF_TRADE


def test_a_post_only_order_that_would_take_is_refused_canceled_or_moved():
    inside = {"price": PRICE + 1_000, "time_in_force": TimeInForce.POST_ONLY}
    assert refusal(order, made(), Side.BUY, **inside) is Refusal.POST_ONLY
    canceled = order(made(BYBIT), Side.BUY, **inside)
    assert (canceled.status, canceled.end_reason) == (
        Status.CANCELED,
        EndReason.POST_ONLY,
    )
    exchange = made(DERIBIT)
    moved = order(exchange, Side.BUY, **inside)
    best = exchange.markets["BTC"].book.best_ticks(-1)
    assert (moved.status, moved.price_ticks) == (Status.NEW, best - 1)


def test_hedge_mode_holds_a_long_and_a_short_with_orders_of_their_own():
    exchange = made()
    account = exchange.clearing.accounts[1]
    exchange.set_position_mode(1, is_hedged=True, time_ns=NOW)
    assert refusal(order, exchange, Side.BUY) is Refusal.POSITION_SIDE
    order(exchange, Side.BUY, 100, leg=Leg.LONG)
    order(exchange, Side.SELL, 70, leg=Leg.SHORT)
    assert account.size_lots("BTC", Leg.LONG) == 100
    assert account.size_lots("BTC", Leg.SHORT) == -70
    both = exchange.clearing.symbol_margin(account, "BTC")
    legs = [
        exchange.clearing.leg_margin(account, "BTC", x) for x in account.legs("BTC")
    ]
    assert both.position == sum(x.position for x in legs) > 0
    too_much = refusal(order, exchange, Side.SELL, 101, leg=Leg.LONG)
    assert too_much is Refusal.REDUCE_ONLY
    closing = order(exchange, Side.SELL, 100, PRICE + 500, leg=Leg.LONG)
    order(exchange, Side.SELL, 40, leg=Leg.LONG)
    assert closing.remaining_lots == 60, "it shrinks with its leg"
    order(exchange, Side.SELL, 60, leg=Leg.LONG)
    assert closing.end_reason is EndReason.REDUCE_ONLY
    assert account.size_lots("BTC", Leg.SHORT) == -70


def test_the_mode_changes_freely_when_flat_and_by_force_otherwise():
    exchange = made()
    account = exchange.clearing.accounts[1]
    same = refusal(exchange.set_position_mode, 1, is_hedged=False, time_ns=NOW)
    assert same is Refusal.MODE_SAME
    order(exchange, Side.BUY, 100)
    rest = order(exchange, Side.BUY, 10, PRICE - 5_000)
    busy = refusal(exchange.set_position_mode, 1, is_hedged=True, time_ns=NOW)
    assert busy is Refusal.MODE_BUSY
    exchange.drain()
    equity = exchange.clearing.equity_units(account)
    exchange.force_mode(1, is_hedged=True, time_ns=NOW)
    assert rest.end_reason is EndReason.POSITION_MODE
    assert account.size_lots("BTC", Leg.LONG) == 100
    assert any(isinstance(e, ModeChanged) and e.is_hedged for e in exchange.drain())
    order(exchange, Side.SELL, 30, leg=Leg.SHORT)
    equity = exchange.clearing.equity_units(account)
    exchange.force_mode(1, is_hedged=False, time_ns=NOW)
    assert account.size_lots("BTC", Leg.BOTH) == 70
    assert exchange.clearing.equity_units(account) == equity, "closed at mark, no fee"


def test_one_symbol_may_leave_the_mode_of_all():
    exchange = made()
    other = Listing("ETH", "ETH", "USDT", Decimal("0.1"), Decimal("0.001"))
    exchange.list_instrument(other, 30_000)
    exchange.set_position_mode(1, is_hedged=True, time_ns=NOW)
    exchange.set_position_mode(1, is_hedged=False, time_ns=NOW, symbol="BTC")
    account = exchange.clearing.accounts[1]
    assert (account.is_hedged("BTC"), account.is_hedged("ETH")) == (False, True)


def test_deribit_has_no_hedge_mode():
    change = made(DERIBIT).set_position_mode
    assert refusal(change, 1, is_hedged=True, time_ns=NOW) is Refusal.MODE_UNKNOWN


def test_an_external_fill_moves_the_position_and_says_whose_it_was():
    exchange = made()
    request = OrderRequest("BTC", Side.SELL, 25, "web-1")
    done = exchange.external_fill(1, request, PRICE - 7, NOW)
    assert done.request.origin is Origin.EXTERNAL
    [accepted, filled] = [e for e in exchange.drain() if isinstance(e, OrderChanged)]
    assert (accepted.execution, filled.execution) == ("NEW", "TRADE")
    assert filled.fill.price_ticks == PRICE - 7
    assert exchange.clearing.accounts[1].size_lots("BTC") == -25


def test_deleveraging_on_demand_reduces_at_mark():
    exchange = made()
    order(exchange, Side.BUY, 100)
    exchange.drain()
    exchange.deleverage(1, "BTC", Leg.BOTH, 40, NOW)
    [_, event] = [e for e in exchange.drain() if isinstance(e, OrderChanged)]
    assert (event.execution, event.fill.price_ticks) == ("CALCULATED", PRICE)
    assert event.order.request.origin is Origin.ADL
    assert exchange.clearing.accounts[1].size_lots("BTC") == 60
    again = refusal(exchange.deleverage, 1, "BTC", Leg.SHORT, 1, NOW)
    assert again is Refusal.REDUCE_ONLY


def test_a_market_close_outside_the_band_is_refused_while_the_venue_is_off():
    exchange = made()
    order(exchange, Side.BUY, 100)
    exchange.depeg("BTC", Fraction(70, 100), NOW)
    sell = refusal(order, exchange, Side.SELL, 100, is_reduce_only=True)
    assert sell is Refusal.MARKET_BAND
    exchange.depeg("BTC", Fraction(1), NOW)
    order(exchange, Side.SELL, 100, is_reduce_only=True)
    assert exchange.clearing.accounts[1].size_lots("BTC") == 0

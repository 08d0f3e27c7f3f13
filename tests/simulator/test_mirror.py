"""The core of a mirrored market: what it is told is what it shows and fills."""

from __future__ import annotations

from decimal import Decimal

import pytest

from cryptoquantix.core.order import Side, TimeInForce
from cryptoquantix.simulator.conditional import ConditionalExchange
from cryptoquantix.simulator.exchange import Print
from cryptoquantix.simulator.inlet import Inlet, Standing
from cryptoquantix.simulator.listing import Listing
from cryptoquantix.simulator.market import MirroredMark, MirroredQuote
from cryptoquantix.simulator.orders import OrderRequest, Status
from cryptoquantix.simulator.refusals import CommandRefusedError, Refusal

NS = 10**9
HOUR = 3600 * NS
LISTING = Listing("BTCUSDT", "BTC", "USDT", Decimal("0.1"), Decimal("0.001"))
QUOTE = MirroredQuote(1 * NS, 1000_0, 50, 1000_2, 70)


@pytest.fixture
def exchange():
    core = ConditionalExchange()
    market = core.list_instrument(LISTING, 1000_0)
    market.is_mirror = True
    core.clearing.open_account(10**13, 0)
    core.see_quote("BTCUSDT", QUOTE, NS)
    return core


def order(side, lots, price=None, client_id="a", tif=TimeInForce.GTC):
    return OrderRequest(
        symbol="BTCUSDT",
        side=side,
        size_lots=lots,
        price_ticks=price,
        time_in_force=tif,
        client_id=client_id,
    )


def best(core):
    market = core.markets["BTCUSDT"]
    core.quote(market, NS)
    return market.book.levels(1, 1)[0], market.book.levels(-1, 1)[0]


def fills(core):
    return [e.fill for e in core.drain() if getattr(e, "fill", None)]


def test_the_best_quotes_are_those_told(exchange):
    assert best(exchange) == ((1000_0, 50), (1000_2, 70))
    exchange.see_quote("BTCUSDT", QUOTE._replace(bid_ticks=999_7, bid_lots=3), NS)
    assert best(exchange) == ((999_7, 3), (1000_2, 70))


def test_a_crossed_quote_is_left_out(exchange):
    exchange.see_quote("BTCUSDT", QUOTE._replace(bid_ticks=1000_2), NS)
    assert best(exchange) == ((1000_0, 50), (1000_2, 70))


def test_a_print_moves_no_quote_and_no_mark_once_that_is_told(exchange):
    exchange.see_mark("BTCUSDT", MirroredMark(NS, 1001_0, 1001_5, None, 0), NS)
    exchange.tick("BTCUSDT", Print(NS, 990_0, 5, is_buyer_maker=True), NS)
    market = exchange.markets["BTCUSDT"]
    assert best(exchange) == ((1000_0, 50), (1000_2, 70))
    assert market.price_ticks == 990_0
    assert (market.mark_ticks, market.index_ticks) == (1001_0, 1001_5)


@pytest.mark.parametrize("is_buyer_maker", [True, False])
def test_a_print_beyond_a_resting_order_fills_it_whole(exchange, is_buyer_maker):
    placed = exchange.place(1, order(Side.BUY, 400, 999_0), NS)
    exchange.tick("BTCUSDT", Print(2 * NS, 998_9, 1, is_buyer_maker), 2 * NS)
    assert placed.status is Status.FILLED
    assert [
        e.fill.price_ticks for e in exchange.drain() if getattr(e, "fill", None)
    ] == [999_0]


def test_a_print_at_its_price_fills_up_to_its_size(exchange):
    placed = exchange.place(1, order(Side.SELL, 400, 1002_0), NS)
    exchange.tick("BTCUSDT", Print(2 * NS, 1002_0, 30, is_buyer_maker=True), 2 * NS)
    assert placed.filled_lots == 0  # it hit bids there, no asks
    exchange.tick("BTCUSDT", Print(3 * NS, 1002_0, 30, is_buyer_maker=False), 3 * NS)
    assert placed.filled_lots == 30


def test_a_quote_that_reaches_a_resting_order_fills_up_to_its_size(exchange):
    placed = exchange.place(1, order(Side.BUY, 400, 999_0), NS)
    told = MirroredQuote(2 * NS, 998_0, 9, 999_0, 25)
    exchange.see_quote("BTCUSDT", told, 2 * NS)
    assert placed.filled_lots == 25


def test_a_market_order_takes_the_best_quote_first(exchange):
    exchange.place(1, order(Side.BUY, 71), NS)
    first, second = fills(exchange)
    assert (first.price_ticks, first.size_lots) == (1000_2, 70)
    assert second.price_ticks > 1000_2
    assert second.size_lots == 1


def test_a_halted_market_takes_no_order_and_lets_go_of_those_there_are(exchange):
    placed = exchange.place(1, order(Side.BUY, 400, 999_0), NS)
    exchange.halt("BTCUSDT", is_halted=True)
    for request in (order(Side.BUY, 9, None, "b"), order(Side.BUY, 9, 999_0, "c")):
        with pytest.raises(CommandRefusedError) as refused:
            exchange.place(1, request, NS)
        assert refused.value.refusal is Refusal.HALTED
    with pytest.raises(CommandRefusedError):
        exchange.amend(placed, price_ticks=998_0, size_lots=400, time_ns=NS)
    exchange.cancel(placed, NS)
    assert placed.status is Status.CANCELED
    exchange.halt("BTCUSDT", is_halted=False)
    assert exchange.place(1, order(Side.BUY, 9, None, "d"), NS).status is Status.FILLED


def test_funding_is_paid_at_the_time_and_the_rate_that_were_told(exchange):
    told = MirroredMark(NS, 1000_0, 1000_0, Decimal("0.001"), HOUR)
    exchange.see_mark("BTCUSDT", told, NS)
    exchange.place(1, order(Side.BUY, 50), NS)
    account = exchange.clearing.accounts[1]
    before = account.wallet_units
    # The venue names the next one with the message that comes after the hour.
    after = told._replace(
        time_ns=HOUR + 1, funding_rate=Decimal("0.5"), next_funding_ns=5 * HOUR
    )
    exchange.see_mark("BTCUSDT", after, HOUR + 1)
    # 0.05 BTC at a mark of 1 000.0, times a thousandth.
    assert before - account.wallet_units == 5_000_000
    assert exchange.markets["BTCUSDT"].next_funding_ns == 5 * HOUR


def test_a_late_print_turns_no_time_back(exchange):
    exchange.see_mark("BTCUSDT", MirroredMark(9 * NS, 1000_0, 1000_0, None, 0), 9 * NS)
    exchange.tick("BTCUSDT", Print(2 * NS, 1000_1, 1, is_buyer_maker=True), 9 * NS)
    assert exchange.markets["BTCUSDT"].tape_ns == 9 * NS


def test_a_full_inlet_passes_over_quotes_first_and_keeps_prints_in_order():
    inlet = Inlet(queue_max=4)
    trades = [Print(n, 100, 1, is_buyer_maker=True) for n in range(6)]
    quotes = [MirroredQuote(n, 1, 1, 2, 1) for n in range(9)]
    for trade, quote in zip(trades, quotes, strict=False):
        inlet.put("binance", "BTCUSDT", trade)
        inlet.put("binance", "BTCUSDT", quote)
    inlet.put("binance", "BTCUSDT", Standing("away"))
    told = [item.told for item in inlet.take(100)]
    assert [one for one in told if isinstance(one, Print)] == trades[:3]
    assert told[-1] == quotes[5]  # the newest, after all that was queued
    assert Standing("away") in told
    assert inlet.prints_dropped == 3
    assert inlet.passed_over == 4
    assert len(inlet) == 0

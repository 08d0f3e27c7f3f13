"""What margin no longer covers is closed: by the book, counterparties, the fund."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest

from cryptoquantix.core.order import Side
from cryptoquantix.simulator.accounts import Leg
from cryptoquantix.simulator.conditional import ConditionalExchange
from cryptoquantix.simulator.exchange import Print
from cryptoquantix.simulator.listing import Listing, to_units
from cryptoquantix.simulator.maker import LadderRule
from cryptoquantix.simulator.orders import (
    EndReason,
    FundsChanged,
    OrderChanged,
    OrderRequest,
    Origin,
)
from cryptoquantix.simulator.rules import BINANCE, DERIBIT

NOW = 10**18
BTC = Listing("BTCUSDT", "BTC", "USDT", Decimal("0.1"), Decimal("0.001"))
INVERSE = Listing(
    "BTC-PERPETUAL", "BTC", "USD", Decimal("0.5"), Decimal(10), is_inverse=True
)
PRICE = 600_000
HALF_A_COIN = 50_000_000


def external(exchange, account, side, lots, price=PRICE, symbol="BTCUSDT"):
    """Give an account a position at a price, without a book."""
    exchange.names = getattr(exchange, "names", 0) + 1
    request = OrderRequest(symbol, side, lots, f"x{exchange.names}")
    return exchange.external_fill(account, request, price, NOW)


@pytest.fixture
def exchange():
    made = ConditionalExchange(BINANCE)
    made.list_instrument(BTC, PRICE, rule=LadderRule(levels=2, depth_quote=100))
    for _ in range(3):
        made.clearing.open_account(to_units(Decimal(5_000)), NOW)
    made.tick("BTCUSDT", Print(NOW, PRICE, 1, is_buyer_maker=True), NOW)
    return made


def test_a_thin_book_passes_the_rest_to_the_counterparty_at_bankruptcy(exchange):
    external(exchange, 1, Side.BUY, 1_000)
    external(exchange, 2, Side.SELL, 800)
    exchange.place(1, OrderRequest("BTCUSDT", Side.BUY, 10, "rest", 590_000), NOW)
    exchange.drain()
    exchange.shock("BTCUSDT", Fraction(90, 100), NOW)
    events = exchange.drain()
    accounts = exchange.clearing.accounts
    assert accounts[1].size_lots("BTCUSDT") == 0
    assert -800 < accounts[2].size_lots("BTCUSDT") <= 0
    fills = [e for e in events if isinstance(e, OrderChanged) and e.fill]
    both = [e for e in fills if e.execution == "CALCULATED"]
    adl = [e for e in both if e.order.request.origin is Origin.ADL]
    assert adl, "the short is reduced"
    assert adl[0].order.request.client_id == "adl_autoclose"
    assert adl[0].fill.fee_units == 0
    assert adl[0].fill.realized_units > 0
    twin = next(
        e for e in both if e is not adl[0] and e.fill.match_id == adl[0].fill.match_id
    )
    assert twin.order.request.client_id.startswith("autoclose-")
    # The equity was gone at the bankruptcy price: 5 000 under 60 000 or so.
    assert 549_000 < adl[0].fill.price_ticks < 551_500
    [canceled] = [
        e for e in events if isinstance(e, OrderChanged) and e.execution == "CANCELED"
    ]
    assert canceled.order.end_reason is EndReason.LIQUIDATION


def test_what_fees_leave_below_zero_the_fund_makes_whole(exchange):
    external(exchange, 1, Side.BUY, 1_000)
    exchange.shock("BTCUSDT", Fraction(80, 100), NOW)
    account = exchange.clearing.accounts[1]
    assert account.wallet_units == 0
    cleared = [
        e
        for e in exchange.drain()
        if isinstance(e, FundsChanged) and e.reason == "INSURANCE_CLEAR"
    ]
    assert len(cleared) == 1
    assert cleared[0].change_units > 0
    assert exchange.clearing.insurance["USDT"] < -cleared[0].change_units


def test_a_rich_fund_spares_the_counterparty(exchange):
    exchange.clearing.fund("USDT", to_units(Decimal(1_000_000)))
    external(exchange, 1, Side.BUY, 1_000)
    external(exchange, 2, Side.SELL, 800)
    exchange.shock("BTCUSDT", Fraction(80, 100), NOW)
    assert exchange.clearing.accounts[1].size_lots("BTCUSDT") == 0
    assert exchange.clearing.accounts[2].size_lots("BTCUSDT") == -800
    assert exchange.clearing.insurance["USDT"] < to_units(Decimal(1_000_000))


def test_the_most_profitable_counterparty_is_reduced_first(exchange):
    external(exchange, 2, Side.SELL, 300, PRICE)
    external(exchange, 3, Side.SELL, 300, PRICE * 105 // 100)
    external(exchange, 1, Side.BUY, 1_000)
    exchange.shock("BTCUSDT", Fraction(91, 100), NOW)
    third = exchange.clearing.accounts[3].size_lots("BTCUSDT")
    second = exchange.clearing.accounts[2].size_lots("BTCUSDT")
    assert third == 0
    assert second <= 0


def test_a_withdrawal_can_liquidate(exchange):
    external(exchange, 1, Side.BUY, 1_000)
    exchange.transfer(1, -to_units(Decimal(4_900)), NOW)
    assert exchange.clearing.accounts[1].size_lots("BTCUSDT") == 0


def test_each_coin_has_a_margin_of_its_own():
    exchange = ConditionalExchange(DERIBIT)
    exchange.list_instrument(INVERSE, 120_000)
    account = exchange.clearing.open_account(HALF_A_COIN, NOW)
    exchange.transfer(1, to_units(Decimal(1_000_000)), NOW, "USDC")
    external(exchange, 1, Side.BUY, 100_000, 120_000, "BTC-PERPETUAL")
    # Long 1 000 000 USD, 16.7 BTC, on half a coin: gone 3 % below.
    exchange.shock("BTC-PERPETUAL", Fraction(97, 100), NOW)
    assert account.size_lots("BTC-PERPETUAL") == 0
    assert account.wallet_of("BTC") == 0
    assert account.wallet_of("USDC") == to_units(Decimal(1_000_000))


def test_an_inverse_position_earns_coins_as_the_difference_of_reciprocals():
    exchange = ConditionalExchange(DERIBIT)
    exchange.list_instrument(INVERSE, 100_000)
    account = exchange.clearing.open_account(HALF_A_COIN, NOW)
    external(exchange, 1, Side.BUY, 500, 100_000, "BTC-PERPETUAL")
    opened = account.wallet_of("BTC")
    exchange.shock("BTC-PERPETUAL", Fraction(2), NOW)
    # 5 000 USD at 50 000 are 0.1 BTC, at 100 000 0.05.
    assert exchange.clearing.equity_units(account, "BTC") == opened + 5_000_000
    held = account.held("BTC-PERPETUAL", Leg.BOTH)
    assert INVERSE.average_text(held.cost_units, 500).startswith("50000.000000")


def test_funding_of_deribit_accrues_with_time_and_is_booked_with_a_fill():
    exchange = ConditionalExchange(DERIBIT)
    market = exchange.list_instrument(INVERSE, 100_000)
    account = exchange.clearing.open_account(HALF_A_COIN, NOW)
    hour = 3600 * 10**9

    def tick(hours):
        trade = Print(NOW + hours * hour, 100_000, 1, is_buyer_maker=True)
        exchange.tick("BTC-PERPETUAL", trade, NOW)

    tick(0)
    external(exchange, 1, Side.BUY, 500, 100_000, "BTC-PERPETUAL")
    tick(1)
    held = account.held("BTC-PERPETUAL")
    assert market.accrued_units(held) == 0, "no premium, no funding"
    exchange.depeg("BTC-PERPETUAL", Fraction(101, 100), NOW)
    assert market.mark_ticks == 100_500, "half a percent at most"
    tick(2)
    # 0.5 % - 0.025 % of 0.1 BTC in eight hours, one of them so far.
    assert market.funding_rate(DERIBIT) == Decimal("0.00475")
    assert market.accrued_units(held) == -round(10_000_000 * Fraction(475, 10**5) / 8)
    order = external(exchange, 1, Side.SELL, 100, 100_000, "BTC-PERPETUAL")
    assert order.filled_lots == 100
    assert market.accrued_units(held) == 0
    assert [b.kind for b in account.income].count("FUNDING_FEE") == 1


def test_a_fall_of_one_venue_moves_the_mark_only_as_far_as_the_rules(exchange):
    external(exchange, 1, Side.BUY, 100)
    market = exchange.markets["BTCUSDT"]
    exchange.depeg("BTCUSDT", Fraction(60, 100), NOW)
    assert market.price_ticks == 360_000
    assert market.mark_ticks == 570_000
    assert market.index_ticks == 600_000
    account = exchange.clearing.accounts[1]
    assert account.size_lots("BTCUSDT") == 100, "by the last price it would be gone"

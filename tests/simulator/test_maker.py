"""The market maker in calm and storm: what a market order pays."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

from cryptoquantix.core.order import Side
from cryptoquantix.simulator.exchange import Exchange, Print
from cryptoquantix.simulator.generator import generated_instrument
from cryptoquantix.simulator.listing import Listing, to_units
from cryptoquantix.simulator.maker import LadderRule, ladder
from cryptoquantix.simulator.orders import OrderRequest
from cryptoquantix.simulator.volatility import STRESS_MAX

NS = 1_000_000_000
BTC = generated_instrument("BTCUSDT")


def cost_of_sale(factor: Fraction, wait_seconds: int = 0) -> float:
    """What selling 1 BTC costs against the price, right after a move."""
    exchange = Exchange()
    exchange.list_instrument(BTC.listing, BTC.price_ticks)
    account = exchange.clearing.open_account(to_units(Decimal(1_000_000)), 0)
    for second in range(5):
        exchange.tick("BTCUSDT", calm(second), second)
    if factor != 1:
        exchange.shock("BTCUSDT", factor, 6 * NS)
    for second in range(wait_seconds):
        exchange.tick("BTCUSDT", calm(6 + second), (6 + second) * NS)
    request = OrderRequest("BTCUSDT", Side.SELL, 1_000, "sale", order_type="MARKET")
    order = exchange.place(account.id, request, 2_000 * NS)
    assert not order.remaining_lots
    price = exchange.markets["BTCUSDT"].price_ticks
    return 1 - order.value_units / BTC.listing.value_units(price, 1_000)


def calm(second: int) -> Print:
    ticks = BTC.price_ticks + second % 2
    return Print(1_000 * NS + second * NS, ticks, 1, is_buyer_maker=True)


def test_a_market_order_in_a_crash_pays_for_it():
    in_peace = cost_of_sale(Fraction(1))
    in_crash = cost_of_sale(Fraction(9, 10))
    assert 0 < in_peace < 0.0005
    assert 0.002 < in_crash < 0.02
    # Half an hour later the book is as it was.
    assert abs(cost_of_sale(Fraction(9, 10), 1_800) / in_peace - 1) < 0.25


def test_stress_widens_and_thins_in_one_measure():
    rule = LadderRule()
    assert rule.stressed(1.0) is rule
    assert rule.stressed(1.2) is rule
    wide = rule.stressed(STRESS_MAX)
    calm_book, wild_book = (
        ladder(BTC.listing, BTC.price_ticks, each) for each in (rule, wide)
    )
    for sign in (1, -1):
        peace = sorted(k for k in calm_book if k[0] == sign)
        storm = sorted(k for k in wild_book if k[0] == sign)
        assert len(peace) == len(storm) == rule.levels
        spans = [abs(keys[0][1] - keys[-1][1]) for keys in (peace, storm)]
        assert 7.5 < spans[1] / spans[0] < 8.5
    depths = [sum(book.values()) for book in (calm_book, wild_book)]
    assert 7 < depths[0] / depths[1] < 9


def test_an_inverse_book_is_as_deep_in_dollars_as_a_linear_one():
    """Sizes in dollars must not be measured in coins: the book would have no end."""
    inverse = Listing(
        "BTC-PERPETUAL",
        "BTC",
        "USD",
        Decimal("0.5"),
        Decimal(10),
        settlement="BTC",
        is_inverse=True,
    )
    price = 120_000  # ticks of half a dollar: 60 000
    linear = Listing("BTCUSDT", "BTC", "USDT", Decimal("0.1"), Decimal("0.001"))
    depth = [
        sum(
            one.quote_units(ticks, lots)
            for (_, ticks), lots in ladder(one, at, LadderRule()).items()
        )
        for one, at in ((inverse, price), (linear, 600_000))
    ]
    assert 0.9 < depth[0] / depth[1] < 1.1

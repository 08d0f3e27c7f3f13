"""A drill's book has the positions and the resting orders it promises."""

from decimal import Decimal

from cryptoquantix.drills.book import Listing, build_book

LISTINGS = [
    Listing("BTCUSDT", Decimal("0.10"), Decimal("0.001")),
    Listing("DOGEUSDT", Decimal("0.00001"), Decimal(1)),
]
PRICES = {"BTCUSDT": Decimal("42000.1"), "DOGEUSDT": Decimal("0.08123")}
EQUITY = Decimal(100_000)


def book():
    return build_book(LISTINGS, PRICES, EQUITY, gross_exposure=Decimal("1.5"))


def test_each_symbol_has_a_position_three_limits_and_a_conditional_order():
    for listing in LISTINGS:
        orders = [o for o in book() if o.symbol == listing.symbol]
        assert sum(o.price is None for o in orders) == 1
        assert sum(o.is_conditional for o in orders) == 1
        assert len(orders) == 5


def test_the_gross_exposure_is_what_was_asked_but_for_one_lot_each():
    gross = sum(o.quantity * PRICES[o.symbol] for o in book() if o.price is None)
    assert Decimal("1.49") * EQUITY < gross <= Decimal("1.5") * EQUITY


def test_prices_and_sizes_are_whole_steps():
    steps = {one.symbol: one for one in LISTINGS}
    for order in book():
        assert order.quantity % steps[order.symbol].lot_size == 0
        if order.price is not None:
            assert order.price % steps[order.symbol].tick_size == 0


def test_resting_orders_are_far_from_the_price_on_their_own_side():
    for order in book():
        if order.price is None:
            continue
        ratio = order.price / PRICES[order.symbol]
        if order.side == "BUY" or order.is_conditional:
            assert ratio < Decimal("0.75")
        else:
            assert ratio > Decimal("1.3")

"""The journal's money of an account equals the venue's own, to the last unit."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from cryptoquantix.core.order import Side
from cryptoquantix.journal.records import FillRecord
from cryptoquantix.live.round_trips import fold
from cryptoquantix.simulator.accounts import Account
from cryptoquantix.simulator.listing import Listing
from live.test_round_trips import fill, order

LISTINGS = {
    "deribit:BTCUSD-PERP": Listing(
        "BTC-PERPETUAL", "BTC", "USD", Decimal("0.5"), Decimal(10), is_inverse=True
    ),
    "binance:BTCUSDT-PERP": Listing(
        "BTCUSDT", "BTC", "USDT", Decimal("0.1"), Decimal("0.001")
    ),
    # A coin so cheap that a fill's value has more digits than the venue keeps.
    "bybit:PEPEUSDT-PERP": Listing(
        "PEPEUSDT", "PEPE", "USDT", Decimal("0.0000001"), Decimal("0.1")
    ),
}
FILLS = st.lists(
    st.tuples(
        st.sampled_from([*LISTINGS]),
        st.sampled_from([Side.BUY, Side.SELL]),
        st.integers(1, 5_000),
        st.integers(99_000, 121_000),
    ),
    min_size=1,
    max_size=200,
)


@given(FILLS)
def test_an_account_earns_what_the_venue_booked_to_the_last_unit(steps):
    """An independent clearing house, fill by fill: inverse, linear, flips and parts."""
    account, fills = Account(1, "USDT"), []
    for number, (instrument, side, lots, ticks) in enumerate(steps, 1):
        listing = LISTINGS[instrument]
        realized = account.fill(listing, side.sign * lots, ticks, time_ns=number)
        value = listing.value_units(ticks, lots)
        fee = listing.fee_units(value, listing.fee_rate_taker)
        account.book("", realized - fee, number, coin=listing.settlement)
        fills.append(taken(number, instrument, listing, side, lots, ticks, fee))
    venues = {"USDT": Decimal(0), "BTC": Decimal(0)}
    last = {(e.venue, e.currency): e.net for e in fold({}, fills, []).earned}
    for (_, currency), net in last.items():
        venues[currency] += net
    booked = {coin: Decimal(account.wallet_of(coin)).scaleb(-8) for coin in venues}
    assert venues == booked


def taken(number, instrument, listing, side, lots, ticks, fee):
    return FillRecord(
        instrument=instrument,
        trade_id=str(number),
        venue_order_id=str(number),
        client_order_id="",
        side=side,
        size_lots=lots,
        lot_size=str(listing.lot_size),
        price=listing.price_text(ticks),
        fee=str(Decimal(fee).scaleb(-8)),
        fee_currency=listing.settlement,
        venue_time_ns=number,
        recorded_ns=number,
        settlement=listing.settlement,
        is_inverse=listing.is_inverse,
    )


def test_an_account_realizes_what_two_strategies_hold_against_each_other():
    """One bought at 100, the other sold at 110: the account is flat and has its 10."""
    orders = {
        "a": order("a", Side.BUY, 1000, {"fast": 1000}),
        "b": order("b", Side.SELL, 1000, {"slow": -1000}),
    }
    fills = [
        fill(1, "a", Side.BUY, 1000, 100),
        fill(2, "b", Side.SELL, 1000, 110, "0.5"),
    ]
    books = fold(orders, fills, [])
    assert [trade.closed_ns for trade in books.trades] == [None, None]
    assert books.earned[-1].pnl == 10
    assert books.earned[-1].net == Decimal("9.5")


def test_a_fee_in_another_coin_is_told_apart():
    one = fill(1, "a", Side.BUY, 1000, 100)
    with_bnb = FillRecord(
        **{f: getattr(one, f) for f in one.__struct_fields__}
        | {"fee": "0.01", "fee_currency": "BNB"}
    )
    (earned,) = fold({}, [with_bnb], []).earned
    assert (earned.currency, earned.net) == ("BNB", Decimal("-0.01"))

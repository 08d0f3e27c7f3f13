"""Fills and funding become round trips whose money sums up to the account's own."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from cryptoquantix.core.order import Side
from cryptoquantix.journal.records import FillRecord, FlowRecord
from cryptoquantix.live.round_trips import fold
from cryptoquantix.orders.attribution import encode_shares
from journal.test_store import record

LINEAR, INVERSE = "binance:BTCUSDT-PERP", "deribit:BTCUSD-PERP"


def order(name, side, lots, shares=None, instrument=LINEAR):
    text = encode_shares(shares) if shares else ""
    return record(name, side=side, size_lots=lots, shares=text, instrument=instrument)


def fill(number, name, side, lots, price, fee="0", instrument=LINEAR):
    is_inverse = instrument == INVERSE
    return FillRecord(
        instrument=instrument,
        trade_id=str(number),
        venue_order_id=name,
        client_order_id=name,
        side=side,
        size_lots=lots,
        lot_size="10" if is_inverse else "0.001",
        price=str(price),
        fee=fee,
        fee_currency="BTC" if is_inverse else "USDT",
        venue_time_ns=number * 1_000,
        recorded_ns=0,
        settlement="BTC" if is_inverse else "USDT",
        is_inverse=is_inverse,
    )


def flow(time, amount, instrument=LINEAR):
    currency = "BTC" if instrument == INVERSE else "USDT"
    return FlowRecord(instrument, str(time), amount, currency, time * 1_000 + 1, 0)


def test_a_round_trip_has_its_prices_fees_and_funding():
    orders = {
        "a": order("a", Side.BUY, 1000),
        "b": order("b", Side.SELL, 1000),
    }
    fills = [
        fill(1, "a", Side.BUY, 400, 100, "0.1"),
        fill(2, "a", Side.BUY, 600, 110, "0.2"),
        fill(4, "b", Side.SELL, 1000, 120, "0.3"),
    ]
    (trade,) = fold(orders, fills, [flow(3, "-0.5")]).trades
    assert (trade.strategy, trade.side) == ("trend_breakout", "long")
    assert (trade.entry_price, trade.exit_price) == (106, 120)
    assert trade.pnl == 14
    assert (trade.fees, trade.funding) == (Decimal("0.6"), Decimal("-0.5"))
    assert trade.net == Decimal("12.9")
    assert (trade.opened_ns, trade.closed_ns) == (1_000, 4_000)


def test_a_flip_ends_one_trade_and_begins_another_at_the_same_price():
    orders = {"a": order("a", Side.BUY, 10), "b": order("b", Side.SELL, 30)}
    fills = [
        fill(1, "a", Side.BUY, 10, 100),
        fill(2, "b", Side.SELL, 30, 90, "0.3"),
    ]
    first, second = fold(orders, fills, []).trades
    assert (first.pnl, first.fees) == (Decimal("-0.1"), Decimal("0.1"))
    assert (second.side, second.closed_ns, second.entry_price) == ("short", None, 90)
    assert second.fees == Decimal("0.2")


def test_an_inverse_trade_earns_coins():
    orders = {
        "a": order("a", Side.BUY, 100, instrument=INVERSE),
        "b": order("b", Side.SELL, 100, instrument=INVERSE),
    }
    fills = [
        fill(1, "a", Side.BUY, 100, 50_000, instrument=INVERSE),
        fill(2, "b", Side.SELL, 100, 40_000, instrument=INVERSE),
    ]
    (trade,) = fold(orders, fills, []).trades
    assert (trade.currency, trade.size_max) == ("BTC", 1000)
    assert trade.pnl == Decimal("-0.005")


def test_two_strategies_in_one_instrument_each_have_their_own():
    orders = {
        "a": order("a", Side.BUY, 2, {"fast": 5, "slow": -3}),
        "b": order("b", Side.SELL, 2, {"fast": -5, "slow": 3}),
    }
    fills = [
        fill(1, "a", Side.BUY, 2, 100, "0.8"),
        fill(2, "b", Side.SELL, 2, 110),
    ]
    fast, slow = fold(orders, fills, []).trades
    assert (fast.strategy, fast.side, fast.pnl) == ("fast", "long", Decimal("0.05"))
    assert (slow.strategy, slow.side, slow.pnl) == ("slow", "short", Decimal("-0.03"))
    assert (fast.fees, slow.fees) == (Decimal("0.5"), Decimal("0.3"))


def test_what_no_order_explains_is_nobodys():
    (trade,) = fold({}, [fill(1, "", Side.SELL, 5, 100)], []).trades
    assert (trade.strategy, trade.side) == ("", "short")


@given(
    st.lists(
        st.tuples(
            st.sampled_from([Side.BUY, Side.SELL]),
            st.integers(1, 50),
            st.integers(50, 150),
            st.dictionaries(st.sampled_from("xyz"), st.integers(-40, 40)),
        ),
        max_size=20,
    )
)
def test_the_strategies_money_sums_up_to_the_accounts(steps):
    """Whatever the shares: PnL of closed lots plus marks of open ones is the cash."""
    from cryptoquantix.orders.attribution import shares_of

    orders, fills, cash, held = {}, [], Decimal(0), 0
    for number, (side, lots, price, missing) in enumerate(steps, 1):
        signed = side.sign * lots
        orders[str(number)] = order(str(number), side, lots, shares_of(missing, signed))
        fills.append(fill(number, str(number), side, lots, price, "0.01"))
        cash -= signed * price
        held += signed
    books = fold(orders, fills, [])
    mark = 100
    worth = cash + held * mark
    open_worth = sum(
        book.lots * (mark - book.entry_price) for book in books._books.values()
    )
    realized = sum(trade.pnl for trade in books.trades) * 1000
    assert abs(realized + open_worth - worth) < Decimal("1e-6")
    assert sum(book.lots for book in books._books.values()) == held
    fees = sum(trade.fees for trade in books.trades)
    assert abs(fees - Decimal("0.01") * len(steps)) < Decimal("1e-12")

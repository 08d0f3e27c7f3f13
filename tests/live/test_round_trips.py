"""Fills and funding become round trips whose money sums up to the account's own."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from cryptoquantix.core.order import Side
from cryptoquantix.journal.records import CrossRecord, FillRecord, FlowRecord
from cryptoquantix.live.round_trips import fold
from cryptoquantix.orders.attribution import encode_shares
from cryptoquantix.orders.value import pnl
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


def test_a_trade_is_closed_by_lots_of_another_size():
    """A venue may cut its lots anew while something is held: 5 × 0.1 are 50 × 0.01."""
    orders = {"a": order("a", Side.BUY, 5), "b": order("b", Side.SELL, 30)}
    fills = [
        replace(fill(1, "a", Side.BUY, 5, 100), lot_size="0.1"),
        replace(fill(3, "b", Side.SELL, 30, 110), lot_size="0.01"),
    ]
    over = [
        replace(cross(4, "trend_breakout", -20, 120), lot_size="0.01"),
        replace(cross(4, "other", 20, 120), lot_size="0.01"),
    ]
    books = fold(orders, fills, [flow(2, "-0.5")], over)
    closed, opened = books.trades
    assert (closed.size_max, closed.pnl, closed.funding) == (
        Decimal("0.5"),
        Decimal("0.3") * 10 + Decimal("0.2") * 20,
        Decimal("-0.5"),
    )
    assert closed.closed_ns == 4_000
    assert (opened.strategy, opened.size_max) == ("other", Decimal("0.2"))
    # The account holds on to what the strategies handed over among themselves.
    assert books.earned[-1].pnl == 3


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


@given(
    st.lists(
        st.tuples(
            st.sampled_from([Side.BUY, Side.SELL]),
            st.integers(1, 100),
            st.integers(1_000, 100_000),
        ),
        min_size=1,
        max_size=30,
    )
)
def test_inverse_trades_earn_the_coins_that_their_fills_paid(steps):
    """Each dollar bought at p costs 1/p coins of short exposure, flips included."""
    fills, coins, held = [], Decimal(0), 0
    for number, (side, lots, price) in enumerate(steps, 1):
        fills.append(fill(number, "", side, lots, price, instrument=INVERSE))
        coins += side.sign * lots * 10 / Decimal(price)
        held += side.sign * lots
    books, mark = fold({}, fills, []), Decimal(50_000)
    (book,) = books._books.values()
    assert book.lots == held
    open_worth = pnl(True, Decimal(held * 10), book.entry_price, mark) if held else 0
    realized = sum(trade.pnl for trade in books.trades)
    assert abs(realized + open_worth - (coins - held * 10 / mark)) < Decimal("1e-18")


def cross(time, strategy, lots, price, instrument=LINEAR):
    is_inverse = instrument == INVERSE
    coin = "BTC" if is_inverse else "USDT"
    size = "10" if is_inverse else "0.001"
    time_ns = time * 1_000
    return CrossRecord(
        instrument, strategy, lots, size, str(price), coin, is_inverse, time_ns
    )


def test_what_strategies_take_over_from_each_other_earns_one_what_the_other_loses():
    """Long and short cross at 100; at 110 one leaves, and the account takes it over."""
    orders = {"x": order("x", Side.SELL, 5000, {"long": -5000})}
    fills = [fill(3, "x", Side.SELL, 5000, 110, "0.55")]
    crosses = [cross(1, "long", 5000, 100), cross(1, "short", -5000, 100)]
    books = fold(orders, fills, [], crosses)
    long, short = books.trades
    assert (long.strategy, long.side, long.entry_price) == ("long", "long", 100)
    assert (long.pnl, long.fees, long.closed_ns) == (50, Decimal("0.55"), 3_000)
    assert (short.side, short.entry_price, short.closed_ns) == ("short", 100, None)
    # The account opened at 110 what its strategies had crossed at 100.
    assert books.earned[-1].net == Decimal("-0.55")
    buy = {"y": order("y", Side.BUY, 5000, {"short": 5000})}
    fills += [fill(4, "y", Side.BUY, 5000, 120)]
    books = fold(orders | buy, fills, [], crosses)
    assert (
        sum(t.pnl for t in books.trades)
        == sum(e.pnl for e in books.earned[-1:])
        == Decimal(-50)
    )


def test_an_account_earns_nothing_by_what_its_strategies_cross():
    for instrument in (LINEAR, INVERSE):
        crosses = [
            cross(time, name, sign * lots, price, instrument)
            for time, lots, price in ((1, 40, 50_000), (2, -40, 60_000))
            for name, sign in (("a", 1), ("b", -1))
        ]
        books = fold({}, [], [], crosses)
        one, other = books.trades
        assert one.pnl == -other.pnl != 0
        assert one.closed_ns == other.closed_ns == 2_000
        assert books.earned == []

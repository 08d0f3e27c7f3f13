"""The drawdown is never shown without what it was made of."""

from __future__ import annotations

from decimal import Decimal

import pytest

from cryptoquantix.core.exposure import OtherHolding
from cryptoquantix.risk import formula
from cryptoquantix.risk.rules import Limits
from risk.readings import Table, account, linear

D = Decimal


def one(mark=60_000, cash=50_000, rate="0.9995"):
    held = linear("BTCUSDT", 1, mark, 60_000)
    rates = {"USDT": rate, "BTC": mark}
    return account("binance", {"USDT": cash, "BTC": "0.1"}, held, rates=rates)


def two(mark=60_000, cash=50_000, rate="0.9995"):
    other = OtherHolding("BTC-27DEC24-80000-C", "option", D("0.5"), "USDT", D(100))
    held = linear("BTCUSDT", 1, mark, 60_000)
    rates = {"USDT": rate, "BTC": mark}
    return account("bybit", {"USDT": cash}, held, rates=rates, others=[other])


@pytest.fixture
def table():
    return Table(one(), two())


def text(table):
    return formula.text(table.book, table.peak, table.limits)


def test_every_venue_and_every_rate_is_named(table):
    table.second(one(59_000), two(59_000))
    found = text(table)
    for name, worth in table.book.worth.items():
        assert f"{name} {worth:.2f}" in found
    assert "BTC 59000, USDT 0.9995" in found
    assert "?" not in found


def test_the_numbers_shown_make_the_number_shown(table):
    table.second(one(59_000), two(59_000))
    head = text(table).split(";")[0]
    counted, mark = (D(w) for w in head.split() if w.count(".") == 1 and len(w) > 8)
    fraction = head.split(" = ")[-1].split()[0]
    assert D(fraction) == pytest.approx((1 - counted / mark) * 100, abs=D("0.0001"))


def test_what_is_unexplained_is_named_with_its_coin(table):
    table.second(one(cash=45_000), two())
    found = text(table)
    assert "unexplained at binance: -5000 USDT (-4997.50 USD)" in found
    assert "unexplained" in found.split(";")[0]
    assert "= 0.0000 %" in found


def test_what_is_in_transit_is_named(table):
    table.second(one(cash=45_000), two())
    table.ledger("binance", table.moved(-5_000, "USDT"))
    table.second(one(cash=45_000), two())
    assert "in transit: 5000 USDT" in text(table)


@pytest.mark.parametrize(
    ("counts", "word"), [(True, "counted"), (False, "not counted")]
)
def test_what_coins_did_to_the_account_is_named(counts, word):
    table = Table(one(), two(), limits=Limits(collateral_moves=counts))
    table.second(one(59_000), two(59_000))
    assert f"since the baseline: -100.00 ({word})" in text(table)


def test_a_vote_that_was_left_out_is_named(table):
    third = account("deribit", {"USDC": 10}, rates={"USDT": "0.9995", "USDC": 1})
    table.second(one(rate="0.9"), two(), third)
    assert "binance has USDT at 0.9: left out" in text(table)


def test_an_estimate_is_named_as_one(table):
    sight = table.second(one(59_000), "bybit")
    assert sight.is_estimate
    found = text(table)
    assert "estimate, out of sight and at the others' marks: bybit" in found
    assert ": drawdown 1." in found


def test_what_is_never_closed_is_named(table):
    listed = "counted and never closed: bybit BTC-27DEC24-80000-C 0.5 (option)"
    assert listed in text(table)


def test_a_trip_says_that_it_was_estimated(table):
    sight = table.second(one(57_500), "bybit")
    assert sight.is_trip
    reason = formula.trip_reason(table.book, sight, table.limits)
    assert "with bybit out of sight and estimated" in reason

"""A venue out of sight is estimated: no peak, no trip by one estimate alone."""

from __future__ import annotations

from decimal import Decimal

import pytest

from cryptoquantix.risk import shadow
from risk.readings import Table, account, inverse, linear

D = Decimal


def one(mark, balance=50_000):
    return account("binance", {"USDT": balance}, linear("BTCUSDT", 1, mark, 60_000))


def two(mark, balance=50_000, symbol="BTCUSDT"):
    return account("bybit", {"USDT": balance}, linear(symbol, 1, mark, 60_000))


@pytest.mark.parametrize(
    ("symbol", "name"),
    [
        ("BTCUSDT", "BTC"),
        ("BTCPERP", "BTC"),
        ("BTC-PERPETUAL", "BTC"),
        ("BTC_USDC-PERPETUAL", "BTC"),
        ("BTCUSDT_241227", "BTC"),
        ("1000PEPEUSDT", "PEPE"),
        ("1INCHUSDT", "1INCH"),
        ("USDCUSDT", "USDC"),
    ],
)
def test_a_symbol_is_about_one_thing_at_every_venue(symbol, name):
    assert shadow.underlying(symbol) == name


def test_a_venue_out_of_sight_is_valued_at_the_others_marks():
    table = Table(one(60_000), two(60_030))
    sight = table.second(one(59_400), "bybit")
    assert sight.is_estimate
    assert not sight.is_complete
    # bybit's own mark fell by the same 1 % of 60 030
    assert sight.value == pytest.approx(1 - D("1200.3") / table.book.units)


def test_an_inverse_position_out_of_sight_is_valued_too():
    held = inverse("BTC-PERPETUAL", 60_000, 60_000, 60_000)
    rates = {"BTC": 60_000}
    far = account("deribit", {"BTC": 1}, held, rates=rates)
    table = Table(one(60_000), far)
    sight = table.second(one(59_400), "deribit")
    lost = D(600) + 60_000 * D(60_000) * (1 / D(59_400) - 1 / D(60_000))
    assert sight.value == pytest.approx(1 - lost / table.book.units, rel=D("1e-6"))


def test_without_a_mark_anywhere_the_index_of_another_venue_is_used():
    def near(index):
        return account("deribit", {"USDC": 1000}, rates={"USDC": 1, "BTC": index})

    table = Table(near(60_000), two(60_000))
    sight = table.second(near(59_400), "bybit")
    assert sight.value == pytest.approx(1 - D(600) / table.book.units)


def test_what_nobody_has_a_mark_for_stands_still():
    table = Table(one(60_000), two(150, symbol="SOLUSDT", balance=110_000))
    assert table.second(one(60_000), "bybit").value == 1


def test_an_estimate_never_raises_the_peak():
    table = Table(one(60_000), two(60_000))
    for mark in (60_300, 60_600, 61_000):
        sight = table.second(one(mark), "bybit")
    assert sight.value > 1
    assert table.peak == 1


def test_an_estimated_crash_trips_when_a_second_estimate_agrees():
    table = Table(one(60_000), two(60_000))
    sight = table.second(one(58_300), "bybit")
    assert sight.is_trip
    assert sight.is_estimate
    assert table.rounds == 2


def test_an_estimated_crash_that_the_second_estimate_denies_trips_nothing():
    table = Table(one(60_000), two(60_000))
    again = (one(59_900), "bybit")
    assert not table.second(one(58_300), "bybit", again=again).is_trip


def test_an_estimated_crash_that_the_venue_itself_denies_trips_nothing():
    table = Table(one(60_000), two(60_000, symbol="BTCUSDT"))
    again = (one(59_900), two(59_900))
    sight = table.second(one(58_300), "bybit", again=again)
    assert sight.is_complete
    assert not sight.is_trip


def test_with_every_venue_out_of_sight_nothing_is_estimated():
    table = Table(one(60_000), two(60_000))
    for _ in range(100):
        sight = table.second("binance", "bybit")
        assert sight.value is None
        assert not sight.is_trip


def test_venues_that_vanish_one_after_the_other_are_both_estimated():
    third = account(
        "deribit", {"USDC": 1000}, linear("BTC_USDC", 1, 60_000, 60_000, coin="USDC")
    )
    table = Table(one(60_000), two(60_000), third)

    def far(mark):
        held = linear("BTC_USDC", 1, mark, 60_000, coin="USDC")
        return account("deribit", {"USDC": 1000}, held)

    table.second(one(59_900), "bybit", far(59_900))
    sight = table.second("binance", "bybit", far(59_800))
    assert sight.value == pytest.approx(1 - D(600) / table.book.units, rel=D("1e-4"))


def test_after_the_gap_the_first_complete_reading_meets_the_peak_from_before_it():
    table = Table(one(60_000), two(60_000))
    table.second(one(60_000), two(60_000))
    for _ in range(10):
        table.second("binance", "bybit")
    sight = table.second(one(58_300), two(58_300), seconds=30 * 3600)
    assert sight.is_trip
    assert sight.peak == 1


def test_a_transfer_while_another_venue_is_out_of_sight_is_no_loss():
    table = Table(one(60_000), two(60_000))
    table.second(one(60_000, balance=30_000), "bybit")
    table.ledger("binance", table.moved(-20_000, "USDT"))
    for _ in range(30):
        sight = table.second(one(60_000, balance=30_000), "bybit")
        assert not sight.is_trip
        assert sight.value == pytest.approx(1)
    sight = table.second(one(60_000, balance=30_000), two(60_000))
    assert sight.is_complete
    assert sight.value == pytest.approx(1)


def test_an_estimate_outlasts_a_restart():
    table = Table(one(60_000), two(60_000))
    before = table.second(one(59_400), "bybit").value
    table.restart()
    assert table.second(one(59_400), "bybit").value == before


def test_a_hedge_that_nobody_has_a_mark_for_is_no_reason_to_close_it():
    """One leg seen falling at the others, the other leg unseen: no trip on that."""
    hedged = account(
        "bybit",
        {"USDT": 50_000},
        linear("BTCUSDT", 3, 60_000, 60_000),
        linear("SOLUSDT", -1200, 150, 150),
    )

    def near(mark):
        return account(
            "binance", {"USDT": 50_000}, linear("BTCUSDT", D("0.1"), mark, 60_000)
        )

    table = Table(near(60_000), hedged)
    for mark in (58_000, 56_000, 54_000):
        sight = table.second(near(mark), "bybit")
        assert not sight.is_trip
    assert sight.value < D("0.9"), (
        "shown as it is: estimated, the hedge at its last mark"
    )

"""What stops entries, what is only alarmed, and that each is said once."""

from __future__ import annotations

from decimal import Decimal

import pytest

from risk.readings import Table, account, linear

D = Decimal


def one(mark=60_000, cash=50_000, **rates):
    held = linear("BTCUSDT", 1, mark, 60_000)
    return account("binance", {"USDT": cash}, held, rates=rates)


def two(mark=60_000, cash=50_000, **rates):
    held = linear("BTCUSDT", 1, mark, 60_000)
    return account("bybit", {"USDT": cash}, held, rates=rates)


@pytest.fixture
def table():
    return Table(one(), two())


def test_one_venue_out_of_sight_is_blind_after_5_seconds_and_estimated(table):
    for _ in range(4):
        table.second(one(), "bybit")
    assert not table.concerns.texts
    table.second(one(), "bybit")
    assert table.concerns.is_blind
    assert "what is out of sight is estimated" in table.alarms[0]


def test_every_venue_out_of_sight_is_blind_and_nothing_is_estimated(table):
    for _ in range(5):
        table.second("binance", "bybit")
    assert table.concerns.is_blind
    assert "estimated" not in table.alarms[0]


def test_readings_missing_now_here_now_there_blind_nobody(table):
    for _ in range(40):
        table.second(one(), "bybit")
        table.second("binance", two())
        table.second(one(), two())
    assert not table.concerns.texts
    assert not table.alarms


def test_an_odd_rate_of_a_moment_is_no_alarm_and_a_lasting_one_is_one_alarm():
    def round_of(rate):
        return (
            one(USDT=rate),
            two(USDT=1),
            account("d", {"USDC": 5}, rates={"USDT": 1}),
        )

    table = Table(*round_of(1))
    for _ in range(4):
        table.second(*round_of("0.9"))
    table.second(*round_of(1))
    assert not table.alarms
    for _ in range(60):
        table.second(*round_of("0.9"))
    assert len(table.alarms) == 1
    assert "One venue alone moves no equity" in table.alarms[0]


def test_a_coin_that_nobody_rates_is_named_once():
    def found():
        return account("binance", {"USDT": 50_000, "XYZ": 7})

    coins = found().coins
    assert coins[1].rate is None
    table = Table(found())
    for _ in range(20):
        table.second(found())
    assert [a for a in table.alarms if "XYZ" in a] == table.alarms
    assert len(table.alarms) == 1


def test_a_deposit_elsewhere_hides_no_missing_money(table):
    table.second(one(cash=90_000), two(cash=30_000))
    assert table.book.suspended == 20_000
    assert "a drop of 20000.00" in table.concerns.texts["unexplained"]

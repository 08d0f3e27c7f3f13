"""Money on its way between own venues."""

from __future__ import annotations

from decimal import Decimal

import pytest

from cryptoquantix.core.clock import NS_PER_DAY, NS_PER_SECOND
from cryptoquantix.risk.rules import Limits
from cryptoquantix.risk.transit import TRANSITS_MAX, Move, Transit, arrived, departed
from risk.readings import Table, account

D = Decimal


def round_of(one, two):
    return (
        account("binance", {"USDT": one}),
        account("bybit", {"USDT": two}),
    )


@pytest.fixture
def table():
    return Table(*round_of(50_000, 50_000))


def sent(table, cash=10_000):
    table.second(*round_of(50_000 - cash, 50_000))
    table.ledger("binance", table.moved(-cash, "USDT", "out"))


def test_what_is_on_its_way_is_neutral_and_shown(table):
    sent(table)
    sight = table.second(*round_of(40_000, 50_000))
    assert sight.value == 1
    assert table.book.transit.totals == {"USDT": 10_000}


def test_what_arrives_is_no_longer_on_its_way(table):
    sent(table)
    table.second(*round_of(40_000, 60_000), seconds=300)
    table.ledger("bybit", table.moved(10_000, "USDT", "in"))
    assert table.second(*round_of(40_000, 60_000)).value == 1
    assert table.book.transit.totals == {}
    assert table.book.units == 100_000


def test_what_the_way_cost_is_lost(table):
    sent(table)
    table.second(*round_of(40_000, 59_985), seconds=300)
    table.ledger("bybit", table.moved(9_985, "USDT", "in"))
    sight = table.second(*round_of(40_000, 59_985))
    assert sight.value == pytest.approx(D("0.99985"))
    assert table.book.transit.totals == {}


def test_a_ledger_that_names_the_arrival_first_is_waited_for(table):
    table.second(*round_of(40_000, 59_985))
    table.ledger("bybit", table.moved(9_985, "USDT", "in"))
    table.second(*round_of(40_000, 59_985), seconds=5)
    table.ledger("binance", table.moved(-10_000, "USDT", "out"))
    sight = table.second(*round_of(40_000, 59_985))
    assert sight.value == pytest.approx(D("0.99985"))
    assert table.book.transit.totals == {}


def test_what_has_not_arrived_in_a_day_is_a_withdrawal_and_alarmed(table):
    sent(table)
    table.second(*round_of(40_000, 50_000), seconds=86_000)
    assert table.book.transit.totals
    sight = table.second(*round_of(40_000, 50_000), seconds=500)
    assert table.book.transit.totals == {}
    assert sight.value == 1
    found = [a for a in table.alarms if "arrived at no own venue within 24 h" in a]
    assert len(found) == 1
    assert "10000 USDT left binance" in found[0]


def test_only_money_at_the_venues_dilutes_a_loss(table):
    """What is on its way is not at risk: 3 % of the rest trips."""
    sent(table, 50_000 - 1)
    assert table.second(*round_of(1, 50_000)).value == pytest.approx(1)
    table.second(*round_of(1, 48_400))
    fee = table.moved(-1_600, "USDT", "f", is_transfer=False)
    table.ledger("bybit", fee)
    assert table.second(*round_of(1, 48_400)).is_trip


def test_another_coin_or_more_than_was_sent_is_not_what_was_sent():
    limits = Limits()
    transit, _ = departed(Transit(), Move("a", "USDT", D(100), 0), limits)
    for move in (
        Move("b", "USDC", D(100), 1),
        Move("b", "USDT", D(101), 1),
        Move("b", "USDT", D("99.7"), 1),
        Move("a", "USDT", D(100), 1),
    ):
        found, fee = arrived(transit, move, limits)
        assert found.moves == transit.moves
        assert fee == 0


def test_of_several_the_one_that_cost_least_has_arrived():
    limits = Limits()
    transit = Transit()
    for cash in (1000, 1005, 1009):
        transit, _ = departed(transit, Move("a", "USDT", D(cash), 0), limits)
    transit, fee = arrived(transit, Move("b", "USDT", D(1004), 1), limits)
    assert fee == 1
    assert [m.cash for m in transit.moves] == [1000, 1009]


def test_the_ledger_of_transits_is_bounded():
    transit, limits = Transit(), Limits()
    for number in range(500):
        transit, _ = departed(transit, Move("a", "X", D(number + 1), 0), limits)
        transit, _ = arrived(transit, Move("b", "Y", D(number + 1), 0), limits)
    assert len(transit.moves) == TRANSITS_MAX
    assert len(transit.early) <= TRANSITS_MAX
    assert len(transit.strays) <= 16


def test_transits_outlast_a_restart(table):
    sent(table)
    table.second(*round_of(40_000, 50_000), seconds=3_600)
    table.restart()
    assert table.book.transit.totals == {"USDT": 10_000}
    age_ns = table.clock.monotonic_ns() - table.book.transit.moves[0].since_ns
    assert 3_600 * NS_PER_SECOND <= age_ns < NS_PER_DAY

"""Rounds of readings in, verdicts out: what is believed, and what is read again."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from cryptoquantix.core.clock import NS_PER_SECOND
from risk.readings import Table, account, linear

D = Decimal


def one(mark=60_000, balance=100_000, **fields):
    held = linear("BTCUSDT", 1, mark, 60_000)
    return account("binance", {"USDT": balance}, held, **fields)


def two(mark=60_000, balance=100_000, symbol="BTCUSDT", **fields):
    held = linear(symbol, 1, mark, 60_000)
    return account("bybit", {"USDT": balance}, held, **fields)


@pytest.fixture
def table():
    return Table(one(), two())


# -- confirmation -------------------------------------------------------------------


def test_a_jump_at_one_venue_and_another_in_the_second_read_are_both_denied(table):
    """Each reading is absurd once, at another venue: neither is there."""
    sight = table.second(
        one(balance=10_000), two(), again=(one(), two(balance=1_000_000))
    )
    assert sight.is_complete
    assert sight.value == 1
    assert not table.book.suspense


def test_a_jump_that_both_reads_show_is_there(table):
    sight = table.second(one(balance=60_000), two())
    assert sight.is_complete
    assert table.book.suspended == -40_000


def test_two_reads_that_show_different_jumps_are_no_number(table):
    again = (one(balance=900_000), two())
    sight = table.second(one(balance=10_000), two(), again=again)
    assert not sight.is_complete
    assert sight.value is None or sight.is_estimate


def test_a_breach_that_only_the_second_read_shows_waits_for_the_next_second(table):
    again = (one(57_000, balance=99_000), two(57_000))
    sight = table.second(one(balance=60_000), two(), again=again)
    assert not sight.is_trip
    assert table.second(one(56_000, balance=99_000), two(56_000)).is_trip


def test_a_second_read_that_fails_elsewhere_delays_no_trip(table):
    again = (one(56_000), "bybit")
    assert table.second(one(56_000), two(56_000), again=again).is_trip


def test_an_unexplained_drop_is_not_the_trip_that_marks_explain(table):
    """A withdrawal and a fall of 1 % in the same second are 1 %."""
    sight = table.second(one(58_000, balance=50_000), two(58_000))
    assert not sight.is_trip
    assert table.second(one(58_000, balance=50_000), two(58_000)).value > D("0.97")


# -- marks --------------------------------------------------------------------------


@pytest.mark.parametrize("mark", [600_000, 6_000])
def test_a_mark_that_one_venue_alone_shows_is_no_number(table, mark):
    sight = table.second(one(mark), two())
    assert not sight.is_complete
    assert not sight.is_trip
    assert "jumped to" in sight.problem
    assert table.peak == 1


def test_a_mark_that_halves_at_every_venue_is_a_crash(table):
    assert table.second(one(29_000), two(29_000)).is_trip


def test_a_mark_that_nobody_can_share_is_believed_when_it_stays():
    table = Table(one(), two(150, symbol="SOLUSDT"))
    assert not table.second(one(20_000), two(150, symbol="SOLUSDT")).is_trip
    assert table.second(one(20_000), two(150, symbol="SOLUSDT")).is_trip


def test_the_index_of_another_venue_shares_a_mark():
    def far(index):
        return account("deribit", {"USDC": 1000}, rates={"USDC": 1, "BTC": index})

    table = Table(one(), far(60_000))
    assert table.second(one(29_000), far(29_000)).is_trip


# -- old readings -------------------------------------------------------------------


def test_a_reading_older_than_its_deadline_is_none(table):
    old = replace(one(), time_ns=table.clock.time_ns())
    table.clock.advance(6 * NS_PER_SECOND)
    seen = table.seen(one(), two())
    seen = replace(seen, readings=dict(seen.readings) | {"binance": old})
    sight = table.judgement.first(seen)
    assert not sight.is_complete
    assert "6.0 s old" in sight.problem


def test_a_venue_whose_own_time_stands_still_is_blind(table):
    for _ in range(6):
        assert table.second(one(venue_time_ns=7), two()).is_complete
    sight = table.second(one(venue_time_ns=7), two())
    assert "stood still" in sight.problem
    assert table.second(one(venue_time_ns=8), two()).is_complete


def test_an_answer_from_the_past_is_no_reading(table):
    now_ns = 10**18
    table.second(one(venue_time_ns=now_ns), two())
    sight = table.second(one(56_000, venue_time_ns=now_ns - 10**9), two())
    assert "went back" in sight.problem
    assert not sight.is_trip


def test_a_venues_clock_that_was_set_back_is_believed_in_the_end(table):
    table.second(one(venue_time_ns=10**18), two())
    blind = 0
    for second in range(20):
        sight = table.second(one(venue_time_ns=second), two())
        blind += not sight.is_complete
    assert sight.is_complete
    assert blind < 10


# -- gains that nothing explains ----------------------------------------------------


def test_a_gain_that_nothing_explains_raises_no_peak_and_is_named(table):
    for _ in range(20):
        sight = table.second(one(balance=130_000), two())
        assert table.peak == 1
    assert sight.value == 1
    assert any("counts as a deposit" in alarm for alarm in table.alarms)


def test_a_gain_that_goes_again_was_never_there(table):
    for _ in range(20):
        table.second(one(balance=1_000_000), two())
    assert "nothing explains" in table.concerns.texts["gain"]
    for _ in range(20):
        sight = table.second(one(), two())
        assert not sight.is_trip
    assert sight.value == 1
    assert table.book.units == 200_000
    assert "gain" not in table.concerns.texts


def test_a_deposit_whose_ledger_is_slow_counts_once(table):
    for _ in range(20):
        table.second(one(balance=130_000), two())
    table.ledger("binance", table.moved(30_000, "USDT"))
    for _ in range(20):
        sight = table.second(one(balance=130_000), two())
    assert sight.value == 1
    assert table.book.units == 230_000


def test_a_withdrawal_that_returns_before_any_ledger_names_it_is_nothing(table):
    table.second(one(balance=60_000), two())
    table.second(one(), two())
    assert not table.book.suspense
    table.ledger("binance", table.moved(-40_000, "USDT", "out"))
    table.ledger("binance", table.moved(40_000, "USDT", "in"))
    for _ in range(20):
        assert table.second(one(), two()).value == 1
    assert table.book.units == 200_000


def test_a_withdrawal_during_a_crash_does_not_share_its_loss(table):
    """It left at the value before: what stays has lost 3 %, and that trips."""
    table.second(one(balance=100_000), two(balance=20_000))
    assert not table.second(one(58_300), two(58_300, balance=20_000)).is_trip
    table.ledger("bybit", table.moved(-80_000, "USDT"))
    sight = table.second(one(58_150), two(58_150, balance=20_000))
    assert sight.is_trip
    assert sight.value == pytest.approx(1 - D(3_700) / 120_000)


# -- coins --------------------------------------------------------------------------


def coin_round(price, fraction=1):
    coins = account("deribit", {"BTC": fraction}, rates={"BTC": price})
    return account("binance", {"USDT": 40_000}, rates={"BTC": price}), coins


def test_the_price_of_collateral_counts_and_is_shown():
    table = Table(*coin_round(60_000))
    assert table.second(*coin_round(56_000)).is_trip
    assert table.book.collateral == -4_000


def test_the_price_of_collateral_does_not_count_where_it_is_excluded():
    limits = replace(Table(one(), two()).limits, collateral_moves=False)
    table = Table(*coin_round(60_000), limits=limits)
    for price in (56_000, 40_000, 70_000):
        sight = table.second(*coin_round(price))
        assert not sight.is_trip
        assert sight.value == pytest.approx(1)
    assert table.peak == pytest.approx(1)
    assert table.book.collateral == 10_000


def test_a_coin_lost_is_a_loss_even_where_its_price_does_not_count():
    limits = replace(Table(one(), two()).limits, collateral_moves=False)
    table = Table(*coin_round(60_000), limits=limits)
    for _ in range(14):
        assert not table.second(*coin_round(60_000, "0.9")).is_trip
    assert [table.second(*coin_round(60_000, "0.9")) for _ in range(3)][-1].is_trip


def test_a_venue_added_later_is_a_deposit(table):
    third = account("deribit", {"USDC": 50_000})
    sight = table.second(one(), two(), third)
    assert sight.value == 1
    assert table.book.units == 250_000


def test_a_venue_watched_no_more_is_a_withdrawal(table):
    table.judgement._venues = ("binance",)
    table.restart()
    assert set(table.book.last) == {"binance"}
    assert table.book.units == 100_000
    assert table.second(one()).value == 1

"""What a reading says of itself, and two of each other, coin by coin."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryptoquantix.core.exposure import OtherHolding
from cryptoquantix.risk import explain
from risk.readings import account, inverse, linear

D = Decimal
BTC = {"BTC": 60_000}


def test_an_inverse_position_earns_its_coin():
    held = inverse("BTC-PERPETUAL", 60_000, 50_000, 60_000)
    assert explain.open_pnl(held) == D("-0.2")


def test_the_marks_of_inverse_positions_explain_their_coin():
    before = account("d", {"BTC": 2}, inverse("B", 30_000, 60_000, 50_000), rates=BTC)
    after = account("d", {"BTC": 2}, inverse("B", 30_000, 48_000, 50_000), rates=BTC)
    jumps = explain.unexplained(before, after)
    assert abs(jumps.get("BTC", D(0))) < D("1e-20")


def test_a_jump_is_found_in_the_coin_it_is_in():
    before = account("d", {"BTC": 2, "USDC": 100}, rates=BTC)
    after = account("d", {"BTC": "1.5", "USDC": 100}, rates=BTC)
    assert explain.unexplained(before, after) == {"BTC": D("-0.5")}


def test_orders_of_an_inverse_contract_filled_between_the_marks_are_explained():
    before = account("d", {"BTC": 2}, rates=BTC)
    filled = inverse("B", 30_000, 59_900, 59_950)
    after = account("d", {"BTC": D(2) - D("0.0003")}, filled, rates=BTC)
    assert not explain.unexplained(before, after)


def test_many_fills_in_one_second_are_explained():
    """nt 1769: the balance was wrong after several fills."""
    before = account("b", {"USDT": 100_000}, linear("A", 10, 1000, 1000))
    held = linear("A", 7, 990, 1000)
    realized, fees = D(3) * (995 - 1000), D("12.5")
    after = account("b", {"USDT": 100_000 + realized - fees}, held)
    assert not explain.unexplained(before, after)


def test_a_deposit_does_not_hide_among_fills():
    before = account("b", {"USDT": 100_000}, linear("A", 10, 1000, 1000))
    after = account("b", {"USDT": 100_200}, linear("A", 30, 1000, 1000))
    assert explain.unexplained(before, after) == {"USDT": D(200)}


def test_options_and_dated_futures_count_by_the_venues_own_value():
    def reading(value, balance=1000):
        other = OtherHolding("BTC-27DEC24-80000-C", "option", D(1), "BTC", D(value))
        return account("d", {"BTC": 1, "USDC": balance}, others=[other], rates=BTC)

    assert explain.blindness(reading("0.1")) == ""
    assert not explain.unexplained(reading("0.1"), reading("0.05"))


def test_an_option_whose_value_nobody_says_is_no_reason_to_be_blind():
    other = OtherHolding("BTC-27DEC24-80000-C", "option", D(1), "BTC", None)
    found = account("d", {"BTC": 1}, others=[other], rates=BTC)
    coin = replace(found.coins[0], equity=D("1.2"))
    found = replace(found, coins=(coin,), equity=D(72_000))
    assert explain.blindness(found) == ""


def test_pnl_counted_twice_is_no_number():
    """pb 592: the venue's total held the unrealized profit already."""
    found = account("bybit", {"USDT": 1000}, linear("A", 10, 110, 100))
    assert explain.blindness(found) == ""
    twice = replace(found.coins[0], equity=found.coins[0].equity + 100)
    assert "is not balance" in explain.blindness(
        replace(found, coins=(twice,), equity=twice.equity)
    )


def test_a_total_that_is_not_the_sum_of_its_coins_is_no_number():
    found = account("bybit", {"USDT": 1000, "BTC": 1}, rates=BTC)
    assert "sum of its coins" in explain.blindness(replace(found, equity=D(1000)))


def test_marks_that_moved_between_two_calls_are_no_contradiction():
    found = account("bybit", {"USDT": 10_000}, linear("A", 100, 110, 100))
    coin = replace(found.coins[0], equity=found.coins[0].equity - 100)
    assert explain.blindness(replace(found, coins=(coin,), equity=coin.equity)) == ""


@pytest.mark.parametrize("name", ["size", "mark_price", "entry_price"])
def test_a_position_with_a_number_missing_is_blind(name):
    held = replace(linear("A", 10, 110, 100), **{name: D("NaN")})
    found = account("b", {"USDT": 1000}, linear("A", 10, 110, 100))
    assert "A has size" in explain.blindness(replace(found, positions=(held,)))


def test_a_coin_that_is_nan_is_blind():
    found = account("b", {"USDT": 1000})
    coin = replace(found.coins[0], equity=D("NaN"))
    assert "USDT is NaN" in explain.blindness(replace(found, coins=(coin,)))


def test_an_account_that_begins_to_name_its_coins_has_lost_nothing():
    new = account("b", {"USDT": 1000}, linear("A", 10, 110, 100))
    plain = replace(new.positions[0], coin="")
    old = replace(new, coins=(), positions=(plain,))
    assert not explain.unexplained(old, new)
    assert not explain.unexplained(new, old)


PRICES = st.decimals(1_000, 100_000, places=2)
SIZES = st.decimals(-50, 50, places=3)


@given(st.lists(st.tuples(SIZES, PRICES, PRICES, PRICES), max_size=5))
def test_marks_alone_are_always_explained(rows):
    olds = [linear(f"S{i}", s, old, e) for i, (s, old, _, e) in enumerate(rows)]
    news = [linear(f"S{i}", s, new, e) for i, (s, _, new, e) in enumerate(rows)]
    before = account("b", {"USDT": 1_000_000}, *olds)
    after = account("b", {"USDT": 1_000_000}, *news)
    assert not explain.unexplained(before, after)


@given(SIZES, SIZES, PRICES, PRICES, st.decimals(0, 1, places=3))
def test_any_fill_between_the_marks_is_explained(size, other, old, new, part):
    price = old + (new - old) * part
    before = account("b", {"USDT": 1_000_000}, linear("S", size, old, old))
    # a second position at the fill's own price stands for what was added
    pnl = other * (new - price)
    held = linear("S", size + other, new, old)
    balance = D(1_000_000) + pnl - other * (new - old)
    assert not explain.unexplained(before, account("b", {"USDT": balance}, held))

"""One venue's book is not the price of a coin."""

from __future__ import annotations

from decimal import Decimal

import pytest

from cryptoquantix.risk.rates import check
from cryptoquantix.risk.rules import Limits
from risk.readings import Table, account

LIMITS = Limits()
D = Decimal


def votes(coin, *rates, held=True):
    balances = {coin: 100} if held else {}
    return {
        f"v{i}": account(f"v{i}", balances, rates={coin: rate} if rate else {})
        for i, rate in enumerate(rates)
    }


def checked(coin, *rates, before=None, **fields):
    known = {} if before is None else {coin: D(before)}
    return check(known, votes(coin, *rates), LIMITS, **fields)


def test_the_rate_is_the_median_of_the_venues():
    assert checked("BTC", "60000", "60010", "60100").values["BTC"] == 60010


def test_of_two_that_agree_the_rate_is_the_middle():
    assert checked("USDT", "0.999", "1.001").values["USDT"] == 1


@pytest.mark.parametrize("rates", [("0.65", "1", "0.999"), ("1", "0.65", "0.999")])
def test_a_lone_outlier_moves_nothing_and_is_named(rates):
    found = checked("USDE", *rates)
    assert found.values["USDE"] == D("0.999")
    assert list(found.outliers.values()) == [D("0.65")]


def test_of_two_that_disagree_the_one_that_left_is_the_outlier():
    found = checked("USDE", "0.65", "0.999", before="1")
    assert found.values["USDE"] == D("0.999")
    assert found.outliers == {("v0", "USDE"): D("0.65")}


def test_a_real_move_of_a_coin_is_followed_at_once():
    assert checked("BTC", "48000", "48100", before="60000").values["BTC"] == 48050


def test_a_dollar_coin_that_one_venue_rates_stays_near_one_and_unchecked():
    found = checked("USDE", "0.65")
    assert found.values["USDE"] == D("0.99")
    assert found.unchecked == ("USDE",)
    assert found.outliers == {("v0", "USDE"): D("0.65")}


def test_a_coin_that_one_venue_rates_is_bounded_from_second_to_second():
    assert checked("BTC", "60000").values["BTC"] == 60000
    assert checked("BTC", "6000", before="60000").values["BTC"] == 57000
    assert checked("BTC", "59000", before="60000").values["BTC"] == 59000


def test_a_dollar_coin_that_nobody_rates_is_one_and_unchecked():
    found = checked("USDT", None)
    assert found.values["USDT"] == 1
    assert found.unchecked == ("USDT",)


def test_a_coin_that_nobody_ever_rated_counts_as_nothing_and_is_named():
    found = checked("XYZ", None)
    assert "XYZ" not in found.values
    assert found.unvalued == ("XYZ",)


def test_a_vote_that_stands_alone_for_a_moment_moves_nothing():
    found = checked("BTC", "58000", before="60000", is_partial=True)
    assert found.values["BTC"] == 60000


@pytest.mark.parametrize("vote", ["NaN", "0", "-1", "Infinity"])
def test_a_vote_that_is_no_rate_is_none(vote):
    assert checked("BTC", vote, "60000", "60000").values["BTC"] == 60000


def test_no_trip_on_one_venues_de_peg_and_an_alarm_when_it_lasts():
    """10 October 2025: one venue marked USDe at 0.65, the others near 1."""

    def round_of(rate):
        return (
            account("binance", {"USDE": 80_000}, rates={"USDE": rate}),
            account("bybit", {"USDE": 10_000}, rates={"USDE": "0.999"}),
            account("deribit", {"USDC": 10_000}, rates={"USDE": 1, "USDC": 1}),
        )

    table = Table(*round_of("1"))
    before = table.book.equity
    for _ in range(10):
        assert not table.second(*round_of("0.65")).is_trip
    assert table.book.equity == pytest.approx(before, rel=D("0.002"))
    assert [a for a in table.alarms if "binance has USDE at 0.65" in a]
    assert len(table.alarms) == 1
    assert not table.concerns.texts


def test_a_de_peg_that_every_venue_shows_is_a_loss():
    def round_of(rate):
        names = ("binance", "bybit", "deribit")
        return [account(n, {"USDE": 10_000}, rates={"USDE": rate}) for n in names]

    table = Table(*round_of("1"))
    assert table.second(*round_of("0.95")).is_trip


def test_a_stablecoin_counts_at_its_rate_and_not_at_one():
    table = Table(
        account("binance", {"USDT": 1000}, rates={"USDT": "0.98"}),
        account("bybit", {"USDT": 1000}, rates={"USDT": "0.98"}),
    )
    assert table.book.equity == 1960

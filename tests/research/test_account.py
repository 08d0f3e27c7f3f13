"""An account's arithmetic, checked by hand."""

from __future__ import annotations

import math

import pytest

from cryptoquantix.core.market import Bar
from cryptoquantix.research.account import (
    Costs,
    decide,
    open_account,
    open_tally,
)
from cryptoquantix.research.account import pass_bar as pass_bar_at

FREE = Costs(0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
COSTLY = Costs(0.001, 0.002, 0.0, 0.0, 0.0, 0.0)


def pass_bar(account, tally, passed, costs):
    """Pass a bar in which both sides are filled at its open."""
    return pass_bar_at(account, tally, passed, costs, passed.open, passed.open)


def bar(opened, close, *, high=None, low=None, funding=0.0) -> Bar:
    high = max(opened, close) if high is None else high
    low = min(opened, close) if low is None else low
    return Bar(
        0, 60, float(opened), float(high), float(low), float(close), 1.0, funding
    )


def entered(target, costs, price=100.0, equity=1000.0):
    """An account that decided ``target`` at a close of ``price``."""
    return decide(open_account(equity), target, bar(price, price), costs)


def test_a_decision_is_filled_at_the_next_open_not_at_its_own_close():
    account = entered(1.0, FREE)
    assert (account.units, account.order) == (0.0, 10.0)
    account, tally = pass_bar(account, open_tally(1000.0), bar(110, 121), FREE)
    assert account.units == 10.0
    assert account.equity == pytest.approx(1000 + 10 * (121 - 110))
    assert (tally.trades, tally.held) == (1.0, 1.0)


def test_slippage_is_adverse_on_both_sides_and_fees_are_of_notional():
    for target in (1.0, -1.0):
        account, tally = pass_bar(
            entered(target, COSTLY), open_tally(1000.0), bar(100, 100), COSTLY
        )
        price = 100 * (1 + 0.002 * target)
        fee = 10 * price * 0.001
        assert account.equity == pytest.approx(1000 - 10 * 0.2 - fee)
        assert tally.fees == pytest.approx(fee / 1000)
        assert tally.turnover == pytest.approx(10 * price / 1000)


def test_a_buy_and_a_sell_are_filled_each_at_its_own_price():
    for target, price in ((1.0, 101.0), (-1.0, 99.0)):
        account, _ = pass_bar_at(
            entered(target, FREE),
            open_tally(1000.0),
            bar(100, 100),
            FREE,
            101.0,
            99.0,
        )
        assert account.cash == pytest.approx(1000 - 10 * target * price)


def test_a_long_pays_a_positive_funding_rate_and_a_short_receives_it():
    for target, sign in ((1.0, -1.0), (-1.0, 1.0)):
        account, tally = pass_bar(
            entered(target, FREE), open_tally(1000.0), bar(100, 110, funding=0.01), FREE
        )
        cash = sign * 10 * 110 * 0.01
        assert account.equity == pytest.approx(1000 + target * 100 + cash)
        assert tally.funding == pytest.approx(cash / 1000)


def test_an_account_that_holds_nothing_pays_no_funding():
    account, tally = pass_bar(
        open_account(1000.0), open_tally(1000.0), bar(100, 100, funding=0.01), FREE
    )
    assert (account.equity, tally.funding) == (1000.0, 0.0)


def test_a_change_within_the_band_is_left_alone_but_an_exit_never_is():
    costs = FREE._replace(no_trade_band=0.05)
    account, _ = pass_bar(entered(1.0, costs), open_tally(1000.0), bar(100, 100), costs)
    assert decide(account, 1.04, bar(100, 100), costs).order == 0.0
    assert decide(account, 1.06, bar(100, 100), costs).order == pytest.approx(0.6)
    tiny, _ = pass_bar(entered(0.051, costs), open_tally(1000.0), bar(100, 100), costs)
    assert decide(tiny, 0.0, bar(100, 100), costs).order == -tiny.units


def test_lots_are_whole_and_small_orders_are_not_sent():
    costs = FREE._replace(lot_size=0.3, notional_min=50.0)
    account = entered(1.0, costs)
    assert account.order == pytest.approx(33 * 0.3)  # 10 units are 33.3 lots
    account, _ = pass_bar(account, open_tally(1000.0), bar(100, 100), costs)
    assert decide(account, 1.03, bar(100, 100), costs).order == 0.0  # 30 quote more
    assert decide(account, 1.06, bar(100, 100), costs).order == pytest.approx(0.6)
    assert entered(0.04, costs).order == 0.0  # 40 quote in all


def test_a_flip_goes_through_zero_in_one_order():
    account, _ = pass_bar(entered(1.0, FREE), open_tally(1000.0), bar(100, 100), FREE)
    flipped = decide(account, -1.0, bar(100, 100), FREE)
    assert flipped.order == pytest.approx(-20.0)


def test_the_venue_closes_a_position_at_the_worst_of_the_bar():
    costs = FREE._replace(maintenance_rate=0.01, fee_rate=0.001)
    account = entered(3.0, costs)
    account, tally = pass_bar(account, open_tally(1000.0), bar(100, 99, low=60), costs)
    assert tally.liquidations == 1.0
    assert (account.units, account.order) == (0.0, 0.0)
    # 30 units bought at 100, closed at 60: all of the equity and more is gone.
    assert account.equity == pytest.approx(1e-3)
    kept, tally = pass_bar(
        entered(3.0, costs), open_tally(1000.0), bar(100, 99, low=68), costs
    )
    assert tally.liquidations == 0.0
    assert kept.units == 30.0


def test_a_day_keeps_its_extremes_and_its_deepest_fall():
    account, tally = entered(1.0, FREE), open_tally(1000.0)
    for opened, close in ((100, 120), (120, 90), (90, 130), (130, 125)):
        account, tally = pass_bar(account, tally, bar(opened, close), FREE)
        account = account._replace(order=0.0)
    assert (tally.highest, tally.lowest) == (1300.0, 900.0)
    assert tally.deepest == pytest.approx(900 / 1200)


def test_equity_that_is_gone_does_not_stop_the_arithmetic():
    account, tally = pass_bar(
        entered(5.0, FREE), open_tally(1000.0), bar(100, 10), FREE
    )
    assert account.equity > 0.0
    assert account.units == 0.0
    assert math.isfinite(math.log(account.equity / tally.start))

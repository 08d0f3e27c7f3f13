"""Parity is judged trade by trade; whatever is shifted is found."""

import numpy as np
import polars as pl
import pytest

from cryptoquantix.core.market import Bar
from cryptoquantix.data.schema import TIME
from cryptoquantix.research.account import Costs
from cryptoquantix.research.fills import fill_at_prints
from cryptoquantix.research.parity import (
    Steps,
    Trade,
    Traded,
    compare,
    merged,
    research_path,
)
from cryptoquantix.research.passes import load_passes
from cryptoquantix.strategies import registry
from histories import history_of

STEPS = Steps(0.1, 0.001)
TRADES = [Trade(60, 100, 50.0, 0.25), Trade(120, -100, 51.0, 0.255)]
MINUTE = 60 * 10**9


def both(live_trades, live_pnl=0.1):
    return compare(Traded(TRADES, 0.1), Traded(live_trades, live_pnl), STEPS)


def test_the_same_trades_are_parity():
    verdict = both(TRADES)
    assert verdict.is_ok
    assert (verdict.worst_ticks, verdict.pnl_difference) == (0.0, 0.0)
    assert len(verdict.differences) == 2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"price": 50.2}, "2.00 ticks apart"),
        ({"price": float("nan")}, "ticks apart"),
        ({"lots": 99}, "99 lots and research 100"),
        ({"lots": -100}, "had a buy and live none"),
        ({"bar_ns": 61}, "live had a buy and research none"),
    ],
)
def test_a_trade_that_is_shifted_is_found(change, words):
    verdict = both([TRADES[0]._replace(**change), TRADES[1]])
    assert not verdict.is_ok
    assert any(words in problem for problem in verdict.problems)


def test_a_missing_trade_is_found():
    assert "research had a sell and live none" in both(TRADES[:1]).problems[0]


def test_a_tick_of_slippage_is_allowed_on_every_trade_and_no_more():
    """Two trades of 0.1 coins and a tick of 0.1: two hundredths of the quote."""
    slipped = [TRADES[0]._replace(price=50.1), TRADES[1]._replace(price=50.9)]
    verdict = both(slipped, 0.1 - 0.02)
    assert verdict.is_ok
    assert verdict.worst_ticks == pytest.approx(1.0)
    assert [one.ticks for one in verdict.differences] == pytest.approx([1.0, 1.0])
    assert "PnL differs" in both(slipped, 0.1 - 0.021).problems[0]


def test_fills_of_a_bar_are_one_trade_and_of_two_sides_two():
    fills = [
        Trade(60, -2, 10.0, 0.1),
        Trade(60, -2, 12.0, 0.1),
        Trade(60, 1, 9.0, 0.1),
    ]
    assert [(t.lots, t.price) for t in merged(fills)] == [(1, 9.0), (-4, 11.0)]


def test_a_print_is_one_side_of_the_market():
    """After a buyer's a sell misses the spread, after a seller's a buy pays it."""
    bars = [Bar(i * MINUTE, (i + 1) * MINUTE, *(10.0,) * 4, 1.0, 0.0) for i in range(4)]
    prints = pl.DataFrame(
        {
            "time": [0, MINUTE, MINUTE, 3 * MINUTE - 1, 3 * MINUTE + 5],
            "price": [10.0, 20.0, 21.0, 5.0, 30.0],
            "is_buyer_maker": [False, False, True, True, True],
        }
    ).with_columns(pl.col("time").cast(TIME))
    filled = fill_at_prints(history_of(bars), prints.lazy(), 0.5)
    assert filled.history.fill_buy.tolist() == [10.0, 20.0, 5.5, 30.5]
    assert filled.history.fill_sell.tolist() == [9.5, 19.5, 5.0, 30.0]
    assert filled.missing == 0


def test_research_trades_whole_lots_at_the_prints(kernel_cache):
    """A buy of half the equity, kept, and given up: two trades, and what they made."""
    closes = [100.0, 100.0, 110.0, 110.0, 110.0]
    bars = [
        Bar(i * MINUTE, (i + 1) * MINUTE, *(price,) * 4, 1.0, 0.0)
        for i, price in enumerate(closes)
    ]
    history = history_of(bars)
    passes = load_passes(registry.load("trend_breakout"), kernel_cache)
    costs = Costs(0.001, 0.0, 0.02, 0.01, 5.0, 0.0)
    targets = np.array([9.0, 0.5, 0.55, 0.0, 0.5])
    path = research_path(passes, history, targets, costs, equity=1000.0, first=1)
    assert [(t.bar_ns, t.lots) for t in path.trades] == [
        (2 * MINUTE, 500),
        (4 * MINUTE, -500),
    ]
    assert path.trades[0].price == 110.0
    assert path.pnl == pytest.approx(-2 * 5.0 * 110.0 * 0.001)

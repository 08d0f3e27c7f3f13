"""Generated prices: repeatable, with regimes, clustered volatility and jumps."""

from __future__ import annotations

from itertools import islice, pairwise

import numpy as np
import pytest

from cryptoquantix.simulator.generator import (
    DEFAULT_SYMBOLS,
    generate,
    generated_instrument,
)
from cryptoquantix.simulator.volatility import STRESS_MAX, Volatility

NS = 1_000_000_000
BTC = generated_instrument("BTCUSDT")


def trades(seed: int, count: int, instruments=(BTC,)):
    return list(islice(generate(instruments, seed, start_ns=0), count))


@pytest.fixture(scope="module")
def minutes() -> np.ndarray:
    """Log returns of about two days by the minute."""
    tape = trades(11, 700_000)
    times = np.array([e.trade.tape_ns for e in tape]) // (60 * NS)
    prices = np.log([e.trade.price_ticks for e in tape])
    last = np.flatnonzero(np.diff(times))
    return np.diff(prices[last])


def test_the_same_seed_is_the_same_tape():
    instruments = [generated_instrument(s) for s in DEFAULT_SYMBOLS]
    assert trades(3, 20_000, instruments) == trades(3, 20_000, instruments)
    assert trades(3, 100) != trades(4, 100)


def test_time_runs_and_prices_stay_positive():
    tape = trades(3, 50_000)
    assert all(a.trade.tape_ns < b.trade.tape_ns for a, b in pairwise(tape))
    assert min(e.trade.price_ticks for e in tape) > 0
    assert min(e.trade.size_lots for e in tape) > 0


def test_volatility_comes_in_clusters(minutes):
    size = np.abs(minutes)
    lagged = np.corrcoef(size[:-5], size[5:])[0, 1]
    assert lagged > 0.15
    assert abs(np.corrcoef(minutes[:-1], minutes[1:])[0, 1]) < 0.1


def test_there_are_storms_calms_and_jumps(minutes):
    hours = minutes[: len(minutes) // 60 * 60].reshape(-1, 60).std(axis=1)
    assert np.quantile(hours, 0.95) > 4 * np.quantile(hours, 0.05)
    assert np.abs(minutes).max() > 8 * minutes.std()
    # A storm is no end of the world: a day stays within what markets have seen.
    assert 0.005 < minutes.std() * np.sqrt(1440) < 0.2


def test_a_still_price_is_calm_and_a_crash_is_not():
    volatility = Volatility()
    assert volatility.stress(0) == 1.0
    for second in range(60):
        # One tick back and forth is no move.
        volatility.see(60_000 + second % 2, second * NS)
    assert volatility.stress(60 * NS) == 1.0
    volatility.see(54_000, 61 * NS)
    assert volatility.stress(61 * NS) == STRESS_MAX
    later = [volatility.stress((61 + s) * NS) for s in range(0, 1500, 60)]
    assert later == sorted(later, reverse=True)
    assert later[-1] == 1.0

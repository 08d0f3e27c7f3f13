"""
The template of the drivers that pass over a history; the strategy's import is put in.

One pass folds a parameter set into one record a day; no array is as long as the
history.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cryptoquantix.core.market import Bar
from cryptoquantix.kernel import entry_point, kernel
from cryptoquantix.research.account import (
    Costs,
    decide,
    open_account,
    open_tally,
    pass_bar,
    rescale,
    write_day,
)
from cryptoquantix.research.history import History
from cryptoquantix.strategies import trend_breakout as strategy


@kernel
def bar_at(history: History, i: int) -> Bar:
    """Return bar ``i``."""
    return Bar(
        history.open_time_ns[i],
        history.close_time_ns[i],
        history.open[i],
        history.high[i],
        history.low[i],
        history.close[i],
        history.volume[i],
        history.funding_rate[i],
    )


@entry_point
def run_cell(  # noqa: PLR0917 - kernels take no keyword arguments
    history: History,
    stops: NDArray[np.int64],
    costs: Costs,
    params: strategy.Params,
    state: strategy.State,
    records: NDArray[np.float64],
) -> None:
    """Write the record of every day that ends at ``stops`` into ``records``."""
    account = open_account(1.0)
    first = 0
    for day in range(stops.size):
        # Records are relative: starting each day from 1 keeps a ruined cell countable.
        account = rescale(account, 1.0)
        tally = open_tally(1.0)
        for i in range(first, stops[day]):
            bar = bar_at(history, i)
            account, tally = pass_bar(account, tally, bar, costs)
            state, target = strategy.step(state, bar, params)
            account = decide(account, target, bar, costs)
        first = stops[day]
        write_day(records[day], tally, account.equity)


@entry_point
def run_targets(
    history: History,
    params: strategy.Params,
    state: strategy.State,
    targets: NDArray[np.float64],
) -> None:
    """Write the target decided at each bar's close, for as many as fit ``targets``."""
    for i in range(targets.size):
        state, targets[i] = strategy.step(state, bar_at(history, i), params)

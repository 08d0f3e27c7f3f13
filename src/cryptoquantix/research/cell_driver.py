"""
The template of the drivers that pass over a history; the strategy's import is put in.

A parameter set is folded into one record a day; no array is as long as the history.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cryptoquantix.core.market import Bar
from cryptoquantix.kernel import entry_point, kernel
from cryptoquantix.research.account import (
    Account,
    Costs,
    decide,
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
def run_cell(  # noqa: PLR0913, PLR0917 - kernels take no keyword arguments
    history: History,
    stops: NDArray[np.int64],
    costs: Costs,
    params: strategy.Params,
    state: strategy.State,
    account: Account,
    records: NDArray[np.float64],
    first_day: int,
    stop_day: int,
) -> tuple[strategy.State, Account]:
    """
    Write the records of days ``first_day`` to before ``stop_day``; return what is next.

    ``stops`` and ``records`` are those of every day. Days may be done in several
    calls, each with the state and the account that the one before returned.
    """
    first = stops[first_day - 1] if first_day > 0 else 0
    for day in range(first_day, stop_day):
        # Records are relative: starting each day from 1 keeps a ruined cell countable.
        account = rescale(account, 1.0)
        tally = open_tally(1.0)
        for i in range(first, stops[day]):
            bar = bar_at(history, i)
            buy, sell = history.fill_buy[i], history.fill_sell[i]
            account, tally = pass_bar(account, tally, bar, costs, buy, sell)
            state, target = strategy.step(state, bar, params)
            account = decide(account, target, bar, costs)
        first = stops[day]
        write_day(records[day], tally, account.equity)
    return state, account


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

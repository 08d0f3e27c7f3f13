"""The driver that simulates one account exactly: lots, minimum sizes, liquidation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cryptoquantix.kernel import entry_point
from cryptoquantix.research.account import (
    Costs,
    decide,
    open_account,
    open_tally,
    pass_bar,
    write_day,
)
from cryptoquantix.research.history import History, bar_at


@entry_point
def run_path(  # noqa: PLR0913, PLR0917 - kernels take no keyword arguments
    history: History,
    stops: NDArray[np.int64],
    costs: Costs,
    targets: NDArray[np.float64],
    equity_quote: float,
    equity: NDArray[np.float64],
    units: NDArray[np.float64],
    records: NDArray[np.float64],
    first: int,
) -> None:
    """
    Follow ``targets`` from bar ``first``, of which ``targets[0]`` is the target.

    Writes equity and base units at each close, and a record for each day of ``stops``.
    """
    account = open_account(equity_quote)
    begin = first
    for day in range(stops.size):
        tally = open_tally(account.equity)
        for i in range(begin, stops[day]):
            bar = bar_at(history, i)
            buy, sell = history.fill_buy[i], history.fill_sell[i]
            account, tally = pass_bar(account, tally, bar, costs, buy, sell)
            account = decide(account, targets[i - first], bar, costs)
            equity[i - first] = account.equity
            units[i - first] = account.units
        begin = stops[day]
        write_day(records[day], tally, account.equity)

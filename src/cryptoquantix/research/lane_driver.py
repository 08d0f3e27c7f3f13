"""
The driver that trades the targets of several cells side by side; it decides none.

What an account does with a bar is a chain of some dozen operations, each of which waits
for the one before, while a processor could do eight at once. So the accounts of many
cells pass a bar together, each in its lane: the arithmetic of ``account``, lane by lane
in the same order, as one vector instruction for eight. Same results to the bit.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from cryptoquantix.kernel import entry_point, kernel
from cryptoquantix.research.account import (
    Account,
    Costs,
    Tally,
    decide_unrounded,
    open_tally,
    pass_bar,
    rescale,
    write_day,
)
from cryptoquantix.research.history import History, bar_at

# Lanes from one field to the next. A constant, because a compiler that does not know
# how far apart two fields are cannot tell that lanes do not overwrite one another.
LANES_MAX: Final = 64
# Accounts and tallies, field by field; a tally always starts at 1.
_FIELDS: Final = 13


def open_lanes() -> NDArray[np.float64]:
    """Return lanes that hold nothing but an equity of 1 each."""
    lanes = np.zeros((_FIELDS, LANES_MAX))
    lanes[0] = lanes[3] = 1.0
    return lanes.reshape(-1)


@kernel
def _account(lanes: NDArray[np.float64], lane: int) -> Account:
    k = np.uintp(lane)
    return Account(
        lanes[k],
        lanes[k + np.uintp(LANES_MAX)],
        lanes[k + np.uintp(2 * LANES_MAX)],
        lanes[k + np.uintp(3 * LANES_MAX)],
    )


@kernel
def _tally(lanes: NDArray[np.float64], lane: int) -> Tally:
    k = np.uintp(lane)
    return Tally(
        1.0,
        lanes[k + np.uintp(4 * LANES_MAX)],
        lanes[k + np.uintp(5 * LANES_MAX)],
        lanes[k + np.uintp(6 * LANES_MAX)],
        lanes[k + np.uintp(7 * LANES_MAX)],
        lanes[k + np.uintp(8 * LANES_MAX)],
        lanes[k + np.uintp(9 * LANES_MAX)],
        lanes[k + np.uintp(10 * LANES_MAX)],
        lanes[k + np.uintp(11 * LANES_MAX)],
        lanes[k + np.uintp(12 * LANES_MAX)],
    )


@kernel
def _keep(
    lanes: NDArray[np.float64], lane: int, account: Account, tally: Tally
) -> None:
    k = np.uintp(lane)
    lanes[k] = account.cash
    lanes[k + np.uintp(LANES_MAX)] = account.units
    lanes[k + np.uintp(2 * LANES_MAX)] = account.order
    lanes[k + np.uintp(3 * LANES_MAX)] = account.equity
    lanes[k + np.uintp(4 * LANES_MAX)] = tally.highest
    lanes[k + np.uintp(5 * LANES_MAX)] = tally.lowest
    lanes[k + np.uintp(6 * LANES_MAX)] = tally.deepest
    lanes[k + np.uintp(7 * LANES_MAX)] = tally.turnover
    lanes[k + np.uintp(8 * LANES_MAX)] = tally.fees
    lanes[k + np.uintp(9 * LANES_MAX)] = tally.funding
    lanes[k + np.uintp(10 * LANES_MAX)] = tally.trades
    lanes[k + np.uintp(11 * LANES_MAX)] = tally.held
    lanes[k + np.uintp(12 * LANES_MAX)] = tally.liquidations


@entry_point
def run_lanes(  # noqa: PLR0913, PLR0917 - kernels take no keyword arguments
    history: History,
    stops: NDArray[np.int64],
    costs: Costs,
    targets: NDArray[np.float64],
    lanes: NDArray[np.float64],
    records: NDArray[np.float64],
    width: int,
    first_day: int,
    stop_day: int,
) -> None:
    """
    Trade the targets of days ``first_day`` to before ``stop_day`` and write records.

    ``targets[0]`` is that of the first of those days' bars, of ``width`` lanes;
    ``records[day, lane]`` is written. Days may be done in several calls. ``costs`` have
    no lots.
    """
    begin = stops[first_day - 1] if first_day > 0 else 0
    first = begin
    for day in range(first_day, stop_day):
        # Records are relative: starting each day from 1 keeps a ruined cell countable.
        for lane in range(width):
            account = rescale(_account(lanes, lane), 1.0)
            _keep(lanes, lane, account, open_tally(1.0))
        for i in range(first, stops[day]):
            bar = bar_at(history, i)
            buy, sell = history.fill_buy[i], history.fill_sell[i]
            for lane in range(width):
                account, tally = _account(lanes, lane), _tally(lanes, lane)
                account, tally = pass_bar(account, tally, bar, costs, buy, sell)
                target = targets[i - begin, lane]
                account = decide_unrounded(account, target, bar, costs)
                _keep(lanes, lane, account, tally)
        first = stops[day]
        for lane in range(width):
            equity = _account(lanes, lane).equity
            write_day(records[day, lane], _tally(lanes, lane), equity)

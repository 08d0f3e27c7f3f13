"""
The template of the driver that passes over a history; the strategy's import is put in.

It decides targets and trades none of them: see ``lane_driver``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cryptoquantix.kernel import entry_point
from cryptoquantix.research.history import History, bar_at
from cryptoquantix.strategies import trend_breakout as strategy


@entry_point
def run_targets(  # noqa: PLR0917 - kernels take no keyword arguments
    history: History,
    params: strategy.Params,
    state: strategy.State,
    targets: NDArray[np.float64],
    lane: int,
    first: int,
    stop: int,
) -> strategy.State:
    """
    Write the targets decided at the closes of bars ``first`` to before ``stop``.

    That of bar ``first`` goes to ``targets[0, lane]``. Bars may be done in several
    calls, each with the state that the one before returned.
    """
    for i in range(first, stop):
        state, target = strategy.step(state, bar_at(history, i), params)
        targets[np.uintp(i - first), np.uintp(lane)] = target
    return state

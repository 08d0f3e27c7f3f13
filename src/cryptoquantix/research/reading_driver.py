"""
The template of the driver that passes a history in two: what is read, what is decided.

It is for strategies whose step is split (see ``strategies.contract``), and decides what
their step decides: a study compares the two.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from cryptoquantix.kernel import entry_point, row_reader, row_writer
from cryptoquantix.research.history import History, bar_at
from cryptoquantix.strategies import trend_breakout as strategy

FIELDS: Final = len(strategy.Reading._fields)
_values_of = row_reader(FIELDS)
_write = row_writer(FIELDS)


@entry_point
def run_readings(  # noqa: PLR0917 - kernels take no keyword arguments
    history: History,
    view: strategy.View,
    market: strategy.Market,
    readings: NDArray[np.float64],
    first: int,
    stop: int,
) -> strategy.Market:
    """
    Write what is read at the closes of bars ``first`` to before ``stop``.

    That of bar ``first`` goes to ``readings[0]``. Bars may be done in several calls,
    each with the market that the one before returned.
    """
    for i in range(first, stop):
        market, reading = strategy.read(market, bar_at(history, i), view)
        _write(readings[np.uintp(i - first)], reading)
    return market


@entry_point
def run_decisions(  # noqa: PLR0917 - kernels take no keyword arguments
    history: History,
    params: strategy.Params,
    hand: strategy.Hand,
    readings: NDArray[np.float64],
    targets: NDArray[np.float64],
    lane: int,
    first: int,
    stop: int,
) -> strategy.Hand:
    """
    Write the targets decided on ``readings``, which are those of the same bars.

    That of bar ``first`` goes to ``targets[0, lane]``.
    """
    for i in range(first, stop):
        reading = strategy.Reading(*_values_of(readings[np.uintp(i - first)]))
        hand, target = strategy.decide(hand, reading, bar_at(history, i), params)
        targets[np.uintp(i - first), np.uintp(lane)] = target
    return hand

"""
Rolling extremes and means at a cost that does not grow with the window.

Values in, values out: each ``push`` takes over the arrays of what it is given.
Nothing here accumulates rounding errors however long it runs: extremes do not round,
the rolling sum is taken anew at every turn of its ring, and an exponential average
forgets old errors at the rate at which it forgets old values.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cryptoquantix.kernel import kernel


class Highest(NamedTuple):
    """
    The highest of the last ``n`` values (van Herk and Gil-Werman, one value at a time).

    Time is cut into blocks of ``n``. ``values[i]`` holds the newest values of the
    block being filled for ``i < slot``, and from ``slot`` on the highest from ``i`` to
    the end of the block before: the two meet at ``slot``, so that one comparison
    gives the window's highest. At a block's end one backward pass over ``n`` values
    turns it into "the block before": one more comparison per value. No branch here
    depends on the market, which is why this beats a monotone queue.
    """

    values: NDArray[np.float64]
    slot: int
    block: float
    highest: float


def highest_of(length: int) -> Highest:
    """Return the window of ``length`` values, empty: its highest is -inf."""
    return Highest(np.full(length + 1, -math.inf), 0, -math.inf, -math.inf)


@kernel
def push_highest(window: Highest, value: float) -> Highest:
    """Return ``window`` with ``value`` in and the oldest out."""
    values, slot = window.values, window.slot
    # max compiles to one instruction without a branch; a condition does not.
    block = max(window.block, value)
    highest = max(block, values[slot + 1])
    values[slot] = value
    slot += 1
    if slot == values.size - 1:
        top = -math.inf
        for i in range(slot - 1, -1, -1):
            top = max(top, values[i])
            values[i] = top
        slot = 0
        block = -math.inf
    return Highest(values, slot, block, highest)


class Mean(NamedTuple):
    """The mean of the last ``n`` values; ``seen`` of them so far."""

    values: NDArray[np.float64]
    slot: int
    seen: int
    total: float


def mean_of(length: int) -> Mean:
    """Return the window of ``length`` values, empty."""
    return Mean(np.zeros(length), 0, 0, 0.0)


@kernel
def push_mean(window: Mean, value: float) -> Mean:
    """Return ``window`` with ``value`` in and the oldest out."""
    values, slot = window.values, window.slot
    total = window.total + (value - values[slot])
    values[slot] = value
    slot += 1
    if slot == values.size:
        slot = 0
        # Taken anew once a turn: what the running sum lost cannot outlive a window.
        total = 0.0
        for i in range(values.size):
            total += values[i]
    return Mean(values, slot, window.seen + 1, total)


@kernel
def mean_value(window: Mean) -> float:
    """Return the mean of a full window."""
    return window.total / window.values.size


@kernel
def smooth(average: float, value: float, count: int, length: int) -> float:
    """
    Return the average after its ``count``-th value, with a memory of ``length``.

    The plain mean of the first ``length`` values, then Wilder's: each new value weighs
    ``1 / length``.
    """
    # In two branches, so that the quotient that never changes is taken once a pass.
    if count < length:
        return average + (1.0 / count) * (value - average)
    return average + (1.0 / length) * (value - average)

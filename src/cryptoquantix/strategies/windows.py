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


class Channel(NamedTuple):
    """
    The highest high and the lowest low of the last ``n`` bars.

    Van Herk's and Gil and Werman's blocks, one bar at a time. Time is cut into blocks
    of ``n`` bars. ``highs[i]`` holds the highs of the block being filled for
    ``i < slot``, and from ``slot`` on the highest from ``i`` to the end of the block
    before: the two meet at ``slot``, so that one comparison gives the window's highest.
    At a block's end one backward pass over its ``n`` values turns it into "the block
    before": one more comparison a value. No branch depends on the market, which is
    why this beats a monotone queue.
    """

    highs: NDArray[np.float64]
    lows: NDArray[np.float64]
    slot: int
    block_high: float
    block_low: float
    high: float
    low: float


def channel_of(length: int) -> Channel:
    """Return the window of ``length`` bars, empty: its high is -inf, its low inf."""
    highs, lows = np.full(length + 1, -math.inf), np.full(length + 1, math.inf)
    return Channel(highs, lows, 0, -math.inf, math.inf, -math.inf, math.inf)


@kernel
def push_channel(channel: Channel, high: float, low: float) -> Channel:
    """Return ``channel`` with a bar in and the oldest out."""
    highs, lows = channel.highs, channel.lows
    # Unsigned, so that no index is checked for counting from the end; max and min,
    # because they compile to one instruction without a branch. Measured: half the time.
    now, after = np.uintp(channel.slot), np.uintp(channel.slot + 1)
    block_high = max(channel.block_high, high)
    block_low = min(channel.block_low, low)
    highest = max(block_high, highs[after])
    lowest = min(block_low, lows[after])
    highs[now] = high
    lows[now] = low
    slot = channel.slot + 1
    if slot == highs.size - 1:
        _turn_block(highs, lows)
        slot = 0
        block_high, block_low = -math.inf, math.inf
    return Channel(highs, lows, slot, block_high, block_low, highest, lowest)


@kernel
def _turn_block(highs: NDArray[np.float64], lows: NDArray[np.float64]) -> None:
    """Turn each value into the extreme from it to the end of its block."""
    top, bottom = -math.inf, math.inf
    last = highs.size - 2
    for back in range(last + 1):
        i = np.uintp(last - back)
        top = max(top, highs[i])
        bottom = min(bottom, lows[i])
        highs[i] = top
        lows[i] = bottom


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

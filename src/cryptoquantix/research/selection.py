"""Which cell a fold trades, decided on its train window alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cryptoquantix.research.days import Window

type Floats = NDArray[np.float64]

# What a drawdown is divided by at least: a cell that hardly traded is not a wonder.
_DRAWDOWN_MIN = 0.005


def _return_over_drawdown(window: Window) -> Floats:
    return window.log_growth / np.maximum(window.drawdown, _DRAWDOWN_MIN)


SCORES: Final[dict[str, Callable[[Window], Floats]]] = {
    "sharpe": lambda window: window.sharpe,
    "return": lambda window: window.log_growth,
    "return_over_drawdown": _return_over_drawdown,
}


def plateau(scores: Floats, shape: tuple[int, ...]) -> Floats:
    """
    Return each cell's score averaged with its neighbors', one step along each axis.

    A peak that stands alone is likely luck; a plateau survives being a little wrong.

    Examples
    --------
    The lone peak of 9 loses to the plateau of 5s.

    >>> plateau(np.array([0.0, 9.0, 0.0, 5.0, 5.0, 5.0]), (6,)).tolist()
    [4.5, 3.0, 4.666666666666667, 3.3333333333333335, 5.0, 5.0]
    """
    grid = scores.reshape(shape)
    total, count = grid.copy(), np.ones(shape)
    for axis in range(len(shape)):
        low = tuple(
            slice(None, -1) if a == axis else slice(None) for a in range(grid.ndim)
        )
        high = tuple(
            slice(1, None) if a == axis else slice(None) for a in range(grid.ndim)
        )
        total[low] += grid[high]
        count[low] += 1.0
        total[high] += grid[low]
        count[high] += 1.0
    averaged: Floats = (total / count).reshape(scores.shape)
    return averaged


def choose(
    window: Window, score: str, shape: tuple[int, ...], *, use_plateau: bool
) -> tuple[int, Floats]:
    """Return the best cell (the first of equals) and every cell's score."""
    scores = SCORES[score](window)
    if use_plateau:
        scores = plateau(scores, shape)
    return int(np.argmax(scores)), scores

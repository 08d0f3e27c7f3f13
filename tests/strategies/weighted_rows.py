"""A strategy with arrays in its parameters and in its state, of either order."""

from typing import NamedTuple

import numpy as np

from cryptoquantix.kernel import kernel
from cryptoquantix.strategies.contract import parse_fields

ROWS, COLUMNS = 1_100, 2


class Given(NamedTuple):
    """What a user sets."""

    decay: float = 0.5


class Params(NamedTuple):
    """The weight of each row, of more rows than numpy shows."""

    weights: np.ndarray


class State(NamedTuple):
    """The newest rows, and where the next one goes."""

    rows: np.ndarray
    slot: int


def parse_params(values):
    decay = parse_fields(Given, values).decay
    return Params(decay ** np.arange(1.0, ROWS + 1.0))


def warmup_bars(params, bar_seconds=60):
    return ROWS


def start(params):
    return State(np.zeros((ROWS, COLUMNS), order="F"), 0)


@kernel
def step(state, bar, params):
    """Weigh the rows, from the first slot on."""
    rows, slot = state
    rows[slot, 0] = bar.close
    rows[slot, 1] = bar.high - bar.low
    total = 0.0
    for i in range(ROWS):
        total += params.weights[i] * rows[i, 0] - 0.5 * rows[i, 1]
    return State(rows, (slot + 1) % ROWS), total / 1_000.0

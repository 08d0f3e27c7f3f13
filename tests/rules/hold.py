"""A strategy that always wants the same: what a test can work out by hand."""

from __future__ import annotations

from typing import NamedTuple

from cryptoquantix.kernel import kernel
from cryptoquantix.strategies.contract import parse_fields


class Params(NamedTuple):
    """What to hold, as a multiple of equity."""

    target: float = 1.0


class State(NamedTuple):
    """Nothing to remember but how long."""

    bars: int


def start(params):
    """Nothing seen."""
    return State(0)


def parse_params(values):
    """Read them."""
    return parse_fields(Params, values)


def warmup_bars(params, bar_seconds=60):
    """None."""
    return 0


@kernel
def step(state, bar, params):
    """Want the same."""
    return State(state.bars + 1), params.target

"""
A strategy for parity: its target changes with every bar, and often its side.

It follows the close's distance from its own average, so that sizes grow, shrink and
flip, and most changes are too small to be traded.
"""

from collections.abc import Mapping
from typing import NamedTuple

from cryptoquantix.core.market import Bar
from cryptoquantix.kernel import kernel
from cryptoquantix.strategies.contract import parse_fields


class Params(NamedTuple):
    """``bars`` of the average; target per unit of distance, at most ``most``."""

    bars: int = 20
    gain: float = 300.0
    most: float = 1.5


class State(NamedTuple):
    """The average so far and how many bars are in it."""

    mean: float
    bars: int


def parse_params(values: Mapping[str, object]) -> Params:
    return parse_fields(Params, values)


def warmup_bars(params: Params, bar_seconds: int = 60) -> int:
    return params.bars * 10


def start(params: Params) -> State:
    return State(0.0, 0)


@kernel
def step(state: State, bar: Bar, params: Params) -> tuple[State, float]:
    share = 1.0 / min(state.bars + 1, params.bars)
    mean = state.mean + share * (bar.close - state.mean)
    wanted = params.gain * (bar.close / mean - 1.0)
    target = max(-params.most, min(params.most, wanted))
    return State(mean, state.bars + 1), target

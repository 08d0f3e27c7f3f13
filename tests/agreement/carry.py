"""A strategy for agreement: it goes against what was charged lately, and the close."""

from collections.abc import Mapping
from typing import NamedTuple

from cryptoquantix.core.market import Bar
from cryptoquantix.kernel import kernel
from cryptoquantix.strategies.contract import parse_fields


class Params(NamedTuple):
    """``bars`` of the average; target per unit of it."""

    bars: int = 500
    gain: float = 1e3


class State(NamedTuple):
    """The average of what was charged, how often, and the close before."""

    charged: float
    times: int
    close: float


def parse_params(values: Mapping[str, object]) -> Params:
    return parse_fields(Params, values)


def warmup_bars(params: Params, bar_seconds: int = 60) -> int:
    return params.bars


def start(params: Params) -> State:
    return State(0.0, 0, 0.0)


@kernel
def step(state: State, bar: Bar, params: Params) -> tuple[State, float]:
    rate = bar.funding_rate
    charged = state.charged + (rate - state.charged) / params.bars
    times = state.times + (1 if rate != 0.0 else 0)
    wanted = -params.gain * charged + (bar.close - state.close) / bar.close
    return State(charged, times, bar.close), max(-1.0, min(1.0, wanted))

"""A strategy that always wants the same: what is bought is known before it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from cryptoquantix.core.market import Bar
from cryptoquantix.kernel import kernel
from cryptoquantix.strategies.contract import parse_fields


class Params(NamedTuple):
    """``wanted`` is a signed multiple of the allotted equity."""

    wanted: float = 0.5


class State(NamedTuple):
    """How many bars there were."""

    bars: int


def parse_params(values: Mapping[str, object]) -> Params:
    return parse_fields(Params, values)


def warmup_bars(params: Params, bar_seconds: int = 60) -> int:
    del params, bar_seconds
    return 5


def start(params: Params) -> State:
    del params
    return State(0)


@kernel
def step(state: State, bar: Bar, params: Params) -> tuple[State, float]:
    return State(state.bars + 1), params.wanted

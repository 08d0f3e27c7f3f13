"""A strategy that wants something else at every bar: for measuring, not for trading."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from cryptoquantix.core.market import Bar
from cryptoquantix.kernel import kernel
from cryptoquantix.strategies.contract import parse_fields


class Params(NamedTuple):
    """Two targets, in turn."""

    one: float = 0.2
    other: float = 0.3


class State(NamedTuple):
    """Which of the two is next."""

    bars: int = 0


def start(params: Params) -> State:
    del params
    return State()


def parse_params(values: Mapping[str, object]) -> Params:
    return parse_fields(Params, values)


def warmup_bars(params: Params, bar_seconds: int) -> int:
    del params, bar_seconds
    return 1


@kernel
def step(state: State, bar: Bar, params: Params) -> tuple[State, float]:
    minute = bar.close_time_ns // 60_000_000_000
    target = params.one if minute % 2 == 0 else params.other
    return State(state.bars + 1), target

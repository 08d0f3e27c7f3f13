"""A strategy in two halves that make its step, as long as ``lie`` is 0."""

from __future__ import annotations

from typing import NamedTuple

from cryptoquantix.kernel import kernel
from cryptoquantix.strategies.contract import parse_fields


class Params(NamedTuple):
    """``lie`` is what a decision does that the step does not."""

    memory: float = 0.1
    size: float = 1.0
    lie: float = 0.0


class View(NamedTuple):
    """An average's memory is all that the market is seen with."""

    memory: float


class Reading(NamedTuple):
    """A close over its average: one field, the fewest that there can be."""

    ratio: float


class Market(NamedTuple):
    """The average so far."""

    average: float


class Hand(NamedTuple):
    """The target before."""

    target: float


class State(NamedTuple):
    """What a step carries on."""

    market: Market
    hand: Hand


def start(params):
    """Nothing seen."""
    return State(Market(0.0), Hand(0.0))


def parse_params(values):
    """Read them."""
    return parse_fields(Params, values)


def warmup_bars(params, bar_seconds=60):
    """One."""
    return 1


@kernel
def read(market, bar, view):
    """Take the close into the average."""
    average = market.average
    if average == 0.0:
        average = bar.close
    average = average + view.memory * (bar.close - average)
    return Market(average), Reading(bar.close / average)


@kernel
def decide(hand, reading, bar, params):
    """Follow the side of the average, half as much on its first bar."""
    target = params.size if reading.ratio > 1.0 else -params.size
    if target != hand.target:
        return Hand(target), 0.5 * target + params.lie
    return Hand(target), target


@kernel
def step(state, bar, params):
    """Read and decide, as the halves say if they are honest."""
    market, reading = read(state.market, bar, View(params.memory))
    honest = Params(params.memory, params.size, 0.0)
    hand, target = decide(state.hand, reading, bar, honest)
    return State(market, hand), target

"""The template of the driver that steps one bar; the strategy's import is put in."""

from __future__ import annotations

from cryptoquantix.core.market import Bar
from cryptoquantix.kernel import entry_point
from cryptoquantix.strategies import trend_breakout as strategy


@entry_point
def advance(
    state: strategy.State, bar: Bar, params: strategy.Params
) -> tuple[strategy.State, float]:
    """Return the state after ``bar`` and the target decided at its close."""
    return strategy.step(state, bar, params)

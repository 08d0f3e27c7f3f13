"""
Some cells side by side on their way through a history; it chooses none of them.

Each cell decides its targets, then the accounts of all of them trade theirs together
(see ``lane_driver``). Cells whose strategy is split (see ``strategies.contract``) and
who see the same of the market have it read once for all of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, Final, NamedTuple, Protocol

import numpy as np

from cryptoquantix.core.errors import SettingsError
from cryptoquantix.kernel import is_compiled
from cryptoquantix.research.account import Costs
from cryptoquantix.research.days import FIELDS
from cryptoquantix.research.history import Days, History
from cryptoquantix.research.passes import AnyParams, Floats, Passes

# Lanes are filled up to a multiple of this: eight doubles are one vector instruction.
LANE_STEP: Final = 8 if is_compiled() else 1


class Buffers(NamedTuple):
    """A stretch: what cells decide, (bars, lanes), what one reads, (bars, fields)."""

    targets: Floats
    readings: Floats


class Pack:
    """
    Some cells side by side, a few days at a time.

    The last cell, if what it sees was read for several, decides by its strategy's step
    as well: halves that do not make the step are refused, not studied.
    """

    def __init__(  # noqa: PLR0917 - what one pass is made of
        self,
        passes: Passes,
        history: History,
        days: Days,
        costs: Costs,
        cells: Sequence[AnyParams],
    ) -> None:
        assert costs.lot_size == 0.0, "cells do not round to lots"
        assert 0 < len(cells) <= passes.lane_driver.LANES_MAX
        self._passes = passes
        self._history = history
        self._days = days
        self._costs = costs
        self._deciders = list(_deciders(passes, history, cells))
        self._last = len(cells) - 1
        is_shared = not isinstance(self._deciders[-1], _Alone)
        self._proof = _Alone(passes, history, 0, cells[-1]) if is_shared else None
        self._width = -(-len(cells) // LANE_STEP) * LANE_STEP
        self._buffers = Buffers(np.zeros((0, self._width)), np.zeros((0, 1)))
        self._lanes = passes.lane_driver.open_lanes()
        self._records = np.zeros((days.count, self._width, len(FIELDS)))

    def run(self, first_day: int, stop_day: int) -> None:
        """
        Pass days ``first_day`` to before ``stop_day``; they follow the last ones.

        Raises
        ------
        SettingsError
            If the strategy's halves decide otherwise than its step.
        """
        first, stop = self._days.bar(first_day), self._days.bar(stop_day)
        if len(self._buffers.targets) < stop - first:
            self._buffers = _buffers_of(self._passes, stop - first, self._width)
        for decider in self._deciders:
            decider.run(self._buffers, first, stop)
        self._prove(first, stop)
        self._passes.lane_driver.run_lanes(
            self._history,
            self._days.stops,
            self._costs,
            self._buffers.targets,
            self._lanes,
            self._records,
            self._width,
            first_day,
            stop_day,
        )

    def records(self, lane: int) -> Floats:
        """Return the day records of the cell in ``lane``, (days, fields)."""
        return self._records[:, lane]

    def _prove(self, first: int, stop: int) -> None:
        if self._proof is None:
            return
        proof = _buffers_of(self._passes, stop - first, 1)
        self._proof.run(proof, first, stop)
        expected = proof.targets[:, 0]
        found = self._buffers.targets[: stop - first, self._last]
        if not np.array_equal(found, expected, equal_nan=True):
            bar = first + int(np.flatnonzero(found != expected)[0])
            msg = (
                f"strategy {self._passes.strategy.name!r} decides otherwise by its "
                f"halves than by its step, first at bar {bar}"
            )
            raise SettingsError(msg)


def _buffers_of(passes: Passes, bars: int, width: int) -> Buffers:
    fields = 1 if passes.reading_driver is None else passes.reading_driver.FIELDS
    return Buffers(np.zeros((bars, width)), np.zeros((bars, fields)))


class _Decider(Protocol):
    def run(self, buffers: Buffers, first: int, stop: int) -> None:
        """Write the targets of bars ``first`` to before ``stop`` to their lanes."""


class _Alone:
    """One cell, which decides by its strategy's step."""

    def __init__(
        self, passes: Passes, history: History, lane: int, params: AnyParams
    ) -> None:
        self._run = passes.driver.run_targets
        self._history = history
        self._lane = lane
        self._params = params
        self._state: Any = passes.strategy.start(params)

    def run(self, buffers: Buffers, first: int, stop: int) -> None:
        self._state = self._run(
            self._history,
            self._params,
            self._state,
            buffers.targets,
            self._lane,
            first,
            stop,
        )


class _Shared:
    """Cells in a row of lanes that see the same: the market is read once for all."""

    def __init__(
        self, passes: Passes, history: History, lanes: range, cells: Sequence[AnyParams]
    ) -> None:
        assert passes.reading_driver is not None
        self._driver = passes.reading_driver
        self._history = history
        self._lanes = lanes
        self._cells = cells
        self._view = passes.strategy.view(cells[0])
        states: list[Any] = [passes.strategy.start(params) for params in cells]
        self._market: Any = states[0].market
        self._hands = [state.hand for state in states]

    def run(self, buffers: Buffers, first: int, stop: int) -> None:
        self._market = self._driver.run_readings(
            self._history, self._view, self._market, buffers.readings, first, stop
        )
        for i, lane in enumerate(self._lanes):
            self._hands[i] = self._driver.run_decisions(
                self._history,
                self._cells[i],
                self._hands[i],
                buffers.readings,
                buffers.targets,
                lane,
                first,
                stop,
            )


def _deciders(
    passes: Passes, history: History, cells: Sequence[AnyParams]
) -> Iterator[_Decider]:
    lane = 0
    for view, group in groupby(cells, passes.strategy.view):
        same = list(group)
        if view is None or len(same) == 1:
            for i, params in enumerate(same):
                yield _Alone(passes, history, lane + i, params)
        else:
            yield _Shared(passes, history, range(lane, lane + len(same)), same)
        lane += len(same)

"""
Every parameter set over one history: one compiled pass a cell, folded into days.

Cells are spread over threads, which the kernels leave free to run: the same order of
arithmetic in every cell whatever their number, so the same records to the bit. All
cells pass one stretch of the history before any begins the next: years of bars do not
fit a processor's cache, a stretch does, and memory is what the passes would wait for.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cryptoquantix.core.errors import SettingsError
from cryptoquantix.kernel import load_driver
from cryptoquantix.research.account import Account, Costs
from cryptoquantix.research.days import FIELDS
from cryptoquantix.research.history import Days, History
from cryptoquantix.strategies.contract import Strategy

type Floats = NDArray[np.float64]
type Progress = Callable[[int], None]
# Each strategy has its own Params, which only its own functions look into.
type AnyParams = tuple[Any, ...]

CELL_TEMPLATE = "cryptoquantix.research.cell_driver"
PATH_TEMPLATE = "cryptoquantix.research.path_driver"
STRATEGY_IMPORT = "from cryptoquantix.strategies import trend_breakout as strategy"

# Bars that all cells pass before the next: about 6 MB, shared by every core.
STRETCH_BARS: Final = 100_000
# Cells that take turns on a stretch: each keeps its state (0.1 MB or so) meanwhile.
GROUP_CELLS: Final = 256

# Day records are held in memory; a study that needs more is refused, not swapped.
RECORD_BYTES_MAX = 4 * 1024**3


@dataclass(frozen=True, slots=True)
class Passes:
    """A strategy's compiled passes over a history."""

    strategy: Strategy
    driver: ModuleType
    path_driver: ModuleType

    def records(
        self, history: History, days: Days, costs: Costs, params: AnyParams
    ) -> Floats:
        """Return one cell's day records, (days, fields)."""
        cell = Cell(self, history, days, costs, params)
        cell.run(0, days.count)
        return cell.records

    def targets(self, history: History, params: AnyParams, bars: int) -> Floats:
        """Return the targets of the first ``bars`` bars, (bars,)."""
        targets = np.zeros(bars)
        self.driver.run_targets(history, params, self.strategy.start(params), targets)
        return targets


class Cell:
    """One parameter set on its way through a history, a few days at a time."""

    def __init__(  # noqa: PLR0917 - what one pass is made of
        self,
        passes: Passes,
        history: History,
        days: Days,
        costs: Costs,
        params: AnyParams,
        records: Floats | None = None,
    ) -> None:
        self._passes = passes
        self._history = history
        self._stops = days.stops
        self._costs = costs
        self._params = params
        self._state: Any = passes.strategy.start(params)
        # Made here and not by a kernel, which would be compiled for this one call.
        self._account = Account(1.0, 0.0, 0.0, 1.0)
        shape = (days.count, len(FIELDS))
        self.records = np.zeros(shape) if records is None else records

    def run(self, first_day: int, stop_day: int) -> None:
        """Pass days ``first_day`` to before ``stop_day``; they follow the last ones."""
        self._state, self._account = self._passes.driver.run_cell(
            self._history,
            self._stops,
            self._costs,
            self._params,
            self._state,
            self._account,
            self.records,
            first_day,
            stop_day,
        )


def load_passes(strategy: Strategy, cache_directory: Path | None) -> Passes:
    """Return the compiled passes of ``strategy``, from the cache where they are."""
    line = f"import {strategy.module} as strategy"
    driver = load_driver(CELL_TEMPLATE, (STRATEGY_IMPORT, line), cache_directory)
    return Passes(strategy, driver, load_driver(PATH_TEMPLATE, None, cache_directory))


def cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def run_matrix(
    passes: Passes,
    history: History,
    days: Days,
    costs: Costs,
    *,
    cells: Sequence[AnyParams],
    progress: Progress,
) -> Floats:
    """
    Return the day records of every cell, (cells, days, fields).

    ``progress`` is told how many cells are done. Interrupting it leaves nothing behind.

    Raises
    ------
    SettingsError
        If the records would not fit the memory allowed.
    """
    size = len(cells) * days.count * len(FIELDS) * 8
    if size > RECORD_BYTES_MAX:
        msg = (
            f"{len(cells)} cells over {days.count} days need {size / 1e9:.1f} GB of "
            f"records, more than {RECORD_BYTES_MAX / 1e9:.1f}: use a smaller grid"
        )
        raise SettingsError(msg)
    records = np.zeros((len(cells), days.count, len(FIELDS)))
    stretches = list(_stretches(days))
    with ThreadPoolExecutor(max_workers=cores()) as pool:
        try:
            for first in range(0, len(cells), GROUP_CELLS):
                group = [
                    Cell(passes, history, days, costs, cells[i], records[i])
                    for i in range(first, min(first + GROUP_CELLS, len(cells)))
                ]
                # The first cell alone, so that compiling happens once, not a thread.
                group[0].run(*stretches[0])
                for number, stretch in enumerate(stretches):
                    waiting = group[1:] if number == 0 else group
                    list(pool.map(lambda cell: cell.run(*stretch), waiting))  # noqa: B023 - done before the next
                    done = len(group) * (number + 1) // len(stretches)
                    progress(first + done)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return records


def _stretches(days: Days) -> Iterator[tuple[int, int]]:
    """Yield the days, cut where a stretch of the history is full."""
    first = 0
    for day in range(days.count):
        if days.bar(day + 1) - days.bar(first) >= STRETCH_BARS:
            yield first, day + 1
            first = day + 1
    if first < days.count:
        yield first, days.count

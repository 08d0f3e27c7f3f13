"""
Every parameter set over one history: one compiled pass a cell, folded into days.

Cells are spread over threads, which the kernels leave free to run: the same order of
arithmetic in every cell whatever their number, so the same records to the bit.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cryptoquantix.core.errors import SettingsError
from cryptoquantix.kernel import load_driver
from cryptoquantix.research.account import Costs
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
        records = np.zeros((days.count, len(FIELDS)))
        state = self.strategy.start(params)
        self.driver.run_cell(history, days.stops, costs, params, state, records)
        return records

    def targets(self, history: History, params: AnyParams, bars: int) -> Floats:
        """Return the targets of the first ``bars`` bars, (bars,)."""
        targets = np.zeros(bars)
        self.driver.run_targets(history, params, self.strategy.start(params), targets)
        return targets


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
    # The first cell alone, so that compiling happens once and not once a thread.
    records[0] = passes.records(history, days, costs, cells[0])
    progress(1)

    def fill(cell: int) -> None:
        records[cell] = passes.records(history, days, costs, cells[cell])

    with ThreadPoolExecutor(max_workers=cores()) as pool:
        waiting = [pool.submit(fill, cell) for cell in range(1, len(cells))]
        try:
            for done, future in enumerate(waiting, start=2):
                future.result()
                progress(done)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return records

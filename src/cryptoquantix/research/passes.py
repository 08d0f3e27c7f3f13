"""A strategy's compiled passes over a history; it runs no study."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cryptoquantix.kernel import load_driver
from cryptoquantix.research.history import History
from cryptoquantix.strategies.contract import Strategy

type Floats = NDArray[np.float64]
# Each strategy has its own Params, which only its own functions look into.
type AnyParams = tuple[Any, ...]

CELL_TEMPLATE: Final = "cryptoquantix.research.cell_driver"
READING_TEMPLATE: Final = "cryptoquantix.research.reading_driver"
LANE_TEMPLATE: Final = "cryptoquantix.research.lane_driver"
PATH_TEMPLATE: Final = "cryptoquantix.research.path_driver"
STRATEGY_IMPORT = "from cryptoquantix.strategies import trend_breakout as strategy"


@dataclass(frozen=True, slots=True)
class Passes:
    """
    A strategy and the modules of its compiled passes.

    ``driver`` decides by the strategy's step, ``reading_driver`` by its halves where
    it has them. ``lane_driver`` and ``path_driver`` trade what was decided.
    """

    strategy: Strategy
    driver: ModuleType
    reading_driver: ModuleType | None
    lane_driver: ModuleType
    path_driver: ModuleType

    def targets(self, history: History, params: AnyParams, bars: int) -> Floats:
        """Return the targets of the first ``bars`` bars, (bars,)."""
        targets = np.zeros((bars, 1))
        state = self.strategy.start(params)
        self.driver.run_targets(history, params, state, targets, 0, 0, bars)
        return targets[:, 0]


def load_passes(strategy: Strategy, cache_directory: Path | None) -> Passes:
    """Return the compiled passes of ``strategy``, from the cache where they are."""
    line = STRATEGY_IMPORT, f"import {strategy.module} as strategy"
    is_split = strategy.view_type is not None
    return Passes(
        strategy,
        load_driver(CELL_TEMPLATE, line, cache_directory),
        load_driver(READING_TEMPLATE, line, cache_directory) if is_split else None,
        load_driver(LANE_TEMPLATE, None, cache_directory),
        load_driver(PATH_TEMPLATE, None, cache_directory),
    )

"""The parameter sets of a study, in a fixed order; it knows no strategy's meaning."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cryptoquantix.core.errors import SettingsError
from cryptoquantix.strategies.contract import Strategy, did_you_mean

# A day record is 80 bytes; a hundred thousand cells over ten years are past any memory.
CELLS_MAX = 100_000


@dataclass(frozen=True, slots=True)
class Grid:
    """
    Every combination of ``axes`` over ``fixed``, the last axis fastest.

    ``cells[i]`` is the strategy's ``Params``, ``shape`` the number of values an axis.
    """

    axes: tuple[tuple[str, tuple[float, ...]], ...]
    fixed: Mapping[str, object]
    cells: tuple[Any, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """How many values each axis has; ``(1,)`` without an axis."""
        return tuple(len(values) for _, values in self.axes) or (1,)

    def values(self, cell: int) -> dict[str, float]:
        """Return every parameter of ``cell`` by name."""
        params = self.cells[cell]
        return dict(zip(params._fields, params, strict=True))


def build_grid(
    strategy: Strategy,
    fixed: Mapping[str, object],
    axes: Mapping[str, Sequence[object]],
) -> Grid:
    """
    Return the grid, each cell checked by the strategy.

    Raises
    ------
    SettingsError
        On an unknown or doubly given parameter, an axis without a value or with one
        twice, or too many cells.
    """
    known = strategy.parameter_names
    for name in (*fixed, *axes):
        if name not in known:
            msg = (
                f"{strategy.name} has no parameter {name!r}{did_you_mean(name, known)}"
            )
            raise SettingsError(msg)
    for name, values in axes.items():
        _check_axis(name, values, fixed)
    count = math.prod(len(values) for values in axes.values())
    if count > CELLS_MAX:
        msg = f"the grid has {count} cells, more than {CELLS_MAX}"
        raise SettingsError(msg)
    cells = tuple(
        strategy.parse_params({**fixed, **dict(zip(axes, values, strict=True))})
        for values in itertools.product(*axes.values())
    )
    read = tuple(
        (name, tuple(dict.fromkeys(getattr(cell, name) for cell in cells)))
        for name in axes
    )
    for name, values in read:
        if len(values) != len(axes[name]):
            msg = f"grid axis {name!r} names a value twice: {axes[name]!r}"
            raise SettingsError(msg)
    return Grid(read, dict(fixed), cells)


def _check_axis(
    name: str, values: Sequence[object], fixed: Mapping[str, object]
) -> None:
    if name in fixed:
        msg = f"parameter {name!r} is both in [parameters] and in [grid]"
        raise SettingsError(msg)
    if not isinstance(values, list | tuple) or not values:
        msg = f"grid axis {name!r} must be a list of at least one value, was {values!r}"
        raise SettingsError(msg)

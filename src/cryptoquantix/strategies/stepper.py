"""
One strategy on one instrument, bar by bar: the form that live services use.

It calls the same compiled step as the research matrix; it decides nothing itself.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np

from cryptoquantix.core.errors import DisorderError, StateCorrupt
from cryptoquantix.core.market import Bar
from cryptoquantix.kernel import load_driver
from cryptoquantix.strategies import registry, state_codec

DRIVER_TEMPLATE = "cryptoquantix.strategies.step_driver"
STRATEGY_IMPORT = "from cryptoquantix.strategies import trend_breakout as strategy"

type Advance = Callable[[Any, Bar, Any], tuple[Any, float]]


class Stepper:
    """
    A strategy's state and its compiled step.

    Parameters
    ----------
    name : str
        The strategy's name in the registry.
    params : Mapping or the strategy's ``Params``
        Parameters by name, checked by the strategy.
    cache_directory : Path or None
        Where compiled code is kept; None is the user's own cache folder.

    Raises
    ------
    SettingsError
        If the strategy or a parameter is unknown or wrong.

    Attributes
    ----------
    code : str
        Names the compiled code: other code has another name.
    """

    def __init__(
        self,
        name: str,
        params: Mapping[str, object] | tuple[Any, ...],
        cache_directory: Path | None = None,
    ) -> None:
        self.strategy = registry.load(name)
        values = params if isinstance(params, Mapping) else _as_mapping(params)
        self.params = self.strategy.parse_params(values)
        self.code, self._advance = _compiled(self.strategy.module, cache_directory)
        self._state: Any = self.strategy.start(self.params)
        self._close_time_ns = 0
        self.bars = 0

    def step(self, bar: Bar) -> float:
        """
        Return the target decided at the close of ``bar``.

        Raises
        ------
        DisorderError
            If ``bar`` opens before the last one closed; the state is untouched.
        """
        if bar.open_time_ns < self._close_time_ns:
            msg = (
                f"a bar opening at {bar.open_time_ns} came after one that closed at "
                f"{self._close_time_ns}"
            )
            raise DisorderError(msg)
        # One signature, whatever numbers a caller has at hand: see entry_point.
        exact = Bar(
            int(bar.open_time_ns),
            int(bar.close_time_ns),
            float(bar.open),
            float(bar.high),
            float(bar.low),
            float(bar.close),
            float(bar.volume),
            float(bar.funding_rate),
        )
        self._state, target = self._advance(self._state, exact, self.params)
        self._close_time_ns = exact.close_time_ns
        self.bars += 1
        return float(target)

    @cached_property
    def layout(self) -> str:
        """
        What the bytes of :meth:`save` mean (:mod:`.state_codec`).

        Raises
        ------
        StateCorrupt
            If the strategy's state holds what cannot be kept.
        """
        return state_codec.layout(self.strategy.start(self.params))

    @property
    def params_text(self) -> str:
        """The parameters, to the last digit: of arrays, ``repr`` leaves digits out."""
        with np.printoptions(threshold=sys.maxsize, floatmode="unique"):
            return repr(self.params)

    def save(self) -> bytes:
        """
        Return the state as it stands, to the bit.

        Raises
        ------
        StateCorrupt
            If it is no longer laid out as the state that it started as.
        """
        found, wanted = state_codec.layout(self._state), self.layout
        if found != wanted:
            msg = f"the state became {found}, was {wanted}"
            raise StateCorrupt(msg)
        return state_codec.encode(self._state)

    def load(self, data: bytes, close_time_ns: int, bars: int) -> None:
        """
        Go on from the state whose bytes ``data`` is.

        Parameters
        ----------
        data : bytes
            What :meth:`save` gave, of the same code and parameters.
        close_time_ns, bars : int
            Where the last bar closed that is in it, and how many there were.

        Raises
        ------
        StateCorrupt
            If ``data`` is no such state; the present one is kept.
        """
        start = self.strategy.start(self.params)
        self._state = state_codec.decode(data, start)
        self._close_time_ns = close_time_ns
        self.bars = bars

    def warmup_bars(self, bar_seconds: int) -> int:
        """Return how many bars must pass before targets count."""
        return self.strategy.warmup_bars(self.params, bar_seconds)


def _compiled(module: str, cache_directory: Path | None) -> tuple[str, Advance]:
    line = f"import {module} as strategy"
    driver = load_driver(DRIVER_TEMPLATE, (STRATEGY_IMPORT, line), cache_directory)
    return driver.__name__, cast("Advance", driver.advance)


def _as_mapping(params: tuple[Any, ...]) -> dict[str, object]:
    fields = cast("tuple[str, ...]", getattr(params, "_fields", ()))
    return dict(zip(fields, params, strict=True))

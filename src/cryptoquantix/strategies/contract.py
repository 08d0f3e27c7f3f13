"""
What a strategy module defines, and how its parameters are read; it trades nothing.

A strategy is a module with

- ``Params`` and ``State``: NamedTuples of ints, floats, arrays and NamedTuples,
- ``start(params) -> State``: the state before the first bar,
- ``step(state, bar, params) -> (State, target)``: one bar, compiled by ``kernel``,
- ``parse_params(mapping) -> Params`` and ``warmup_bars(params, bar_seconds) -> int``.

``target`` is a signed multiple of the allotted equity. A ``State`` is used once: a
step may write into its arrays and hands them on in the state that it returns.

A module may also split its step, and a study then reads the market once for all the
parameter sets that see the same of it:

- ``View``: NamedTuple of those fields of ``Params`` that reading the market takes, no
  arrays: cells are told apart by it,
- ``Reading``: NamedTuple of floats, all that a decision needs to know of a bar,
- ``State``: a NamedTuple of ``market`` and ``hand``, NamedTuples both; ``market``
  starts the same for the same view,
- ``read(market, bar, view) -> (market, Reading)`` and
  ``decide(hand, reading, bar, params) -> (hand, target)``: the two halves of ``step``.

Live trading calls ``step`` alone. A study compares the two as it goes.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast, get_type_hints

from cryptoquantix.core.errors import SettingsError
from cryptoquantix.core.market import Bar

type Start = Callable[[Any], Any]
type Step = Callable[[Any, Bar, Any], tuple[Any, float]]


@dataclass(frozen=True, slots=True)
class Strategy:
    """
    A strategy module's parts; ``module`` is its dotted name.

    ``view_type`` is its ``View``, None where the step is not split.
    """

    name: str
    module: str
    params_type: type
    start: Start
    step: Step
    parse_params: Callable[[Mapping[str, object]], Any]
    warmup_bars: Callable[[Any, int], int]
    view_type: type | None = None

    def view(self, params: tuple[Any, ...]) -> tuple[Any, ...] | None:
        """
        Return what of ``params`` reading the market takes; None if not split.

        Raises
        ------
        SettingsError
            If there is an array in it: no two of those can be found to be the same.
        """
        if self.view_type is None:
            return None
        names = cast("Any", self.view_type)._fields
        found = self.view_type(*(getattr(params, n) for n in names))
        try:
            hash(found)
        except TypeError as error:
            msg = (
                f"strategy {self.name!r} has a View that is not of numbers alone "
                f"({error}): leave View out, or keep what is no number out of it"
            )
            raise SettingsError(msg) from None
        return cast("tuple[Any, ...]", found)

    @property
    def parameter_names(self) -> tuple[str, ...]:
        """The parameters, in the order of ``Params``."""
        return cast("tuple[str, ...]", getattr(self.params_type, "_fields", ()))


def parse_fields[P: tuple[Any, ...]](
    params_type: type[P], values: Mapping[str, object]
) -> P:
    """
    Return ``params_type`` from ``values``, defaults for what is not named.

    An int is taken for a float where a float is wanted, a whole float for an int
    (TOML and environment variables do not keep them apart); a bool for neither.

    Raises
    ------
    SettingsError
        On an unknown parameter (with the nearest known one), a wrong type, a value
        that is not finite, or a missing parameter without a default.
    """
    types = get_type_hints(params_type)
    for name in values:
        if name not in types:
            msg = f"unknown parameter {name!r}{did_you_mean(name, types)}"
            raise SettingsError(msg)
    defaults = cast("dict[str, object]", getattr(params_type, "_field_defaults", {}))
    missing = [name for name in types if name not in values and name not in defaults]
    if missing:
        msg = f"parameter {missing[0]!r} is missing"
        raise SettingsError(msg)
    merged = {**defaults, **values}
    return params_type(**{name: _as(name, merged[name], types[name]) for name in types})


def did_you_mean(name: str, known: Mapping[str, object] | tuple[str, ...]) -> str:
    """Return ``, did you mean 'x'?`` or else what is known, for the end of an error."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    if near:
        return f", did you mean {near[0]!r}?"
    return f", expected one of {', '.join(known)}"


def require_range(name: str, value: float, low: float, high: float) -> None:
    """Raise SettingsError unless ``low <= value <= high``."""
    if not low <= value <= high:
        msg = f"parameter {name!r} must be from {low:g} to {high:g}, was {value:g}"
        raise SettingsError(msg)


def _as(name: str, value: object, wanted: type) -> object:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not math.isfinite(cast("float", value)):
        msg = f"parameter {name!r} must be a number, was {value!r}"
        raise SettingsError(msg)
    found = cast("float", value)
    if wanted is float:
        return float(found)
    if found != int(found):
        msg = f"parameter {name!r} must be a whole number, was {found!r}"
        raise SettingsError(msg)
    return int(found)

"""
Strategies by name: our own by their short name, a user's by a dotted module name.

It loads and checks a module's parts; it never looks inside them.
"""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path
from types import ModuleType
from typing import Any

import cryptoquantix.strategies as package
from cryptoquantix.core.errors import SettingsError
from cryptoquantix.kernel import imported_sources
from cryptoquantix.strategies.contract import Strategy, did_you_mean

_PARTS = ("Params", "State", "start", "step", "parse_params", "warmup_bars")
# The halves of a step, of a module that has a View.
_HALVES = ("Reading", "read", "decide")
_FUNDING = "funding_rate"
# What every strategy imports, and where the bar itself is defined.
_ALL_READ = ("cryptoquantix.core", "cryptoquantix.kernel")
_NOT_STRATEGIES = {
    *("contract", "registry", "state_codec", "stepper", "step_driver", "windows"),
}


def names() -> tuple[str, ...]:
    """Return the short names of our own strategies."""
    found = (module.name for module in pkgutil.iter_modules(package.__path__))
    return tuple(sorted(name for name in found if name not in _NOT_STRATEGIES))


def reads_funding(strategy: Strategy) -> bool:
    """
    Return whether a strategy's code, or what it imports, names ``funding_rate``.

    Live bars do not carry the rate: who decides by it must not be run on them.
    """
    file = importlib.import_module(strategy.module).__file__
    assert file is not None, "a strategy is a module with a file"
    text = Path(file).read_text()
    parts = imported_sources(text, strategy.module.rpartition(".")[0])
    texts = [p.read_text() for n, p in parts.items() if not n.startswith(_ALL_READ)]
    return any(_FUNDING in one for one in (text, *texts))


def load(name: str) -> Strategy:
    """
    Return the strategy called ``name``.

    Raises
    ------
    SettingsError
        If there is no such strategy or module, or it lacks a part of the contract.
    """
    if "." not in name and name not in names():
        msg = f"unknown strategy {name!r}{did_you_mean(name, names())}"
        raise SettingsError(msg)
    module = name if "." in name else f"{package.__name__}.{name}"
    try:
        loaded: Any = importlib.import_module(module)
    except ModuleNotFoundError as error:
        msg = f"strategy {name!r} cannot be imported: {error}"
        raise SettingsError(msg) from None
    view_type = getattr(loaded, "View", None)
    parts = _PARTS if view_type is None else (*_PARTS, *_HALVES)
    missing = [part for part in parts if not hasattr(loaded, part)]
    if missing:
        msg = f"strategy {name!r} lacks {missing[0]!r}, see strategies/contract.py"
        raise SettingsError(msg)
    if view_type is not None:
        _check_view(name, loaded)
    return Strategy(
        name=name,
        module=module,
        params_type=loaded.Params,
        start=loaded.start,
        step=loaded.step,
        parse_params=loaded.parse_params,
        warmup_bars=loaded.warmup_bars,
        view_type=view_type,
    )


def _check_view(name: str, loaded: ModuleType) -> None:
    unknown = [f for f in loaded.View._fields if f not in loaded.Params._fields]
    if unknown:
        msg = f"strategy {name!r} has a View of {unknown[0]!r}, which no parameter is"
        raise SettingsError(msg)
    if loaded.State._fields != ("market", "hand"):
        msg = f"strategy {name!r} has a View: its State must be of market and hand"
        raise SettingsError(msg)

"""A study's TOML file, read and checked as a whole before anything runs."""

from __future__ import annotations

import tomllib
import types
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final, Literal, get_args, get_origin, get_type_hints

from cryptoquantix.core.clock import NS_PER_SECOND
from cryptoquantix.core.errors import SettingsError
from cryptoquantix.core.instrument import InstrumentId
from cryptoquantix.research.account import Costs
from cryptoquantix.research.folds import FoldRule
from cryptoquantix.research.selection import SCORES
from cryptoquantix.strategies.contract import did_you_mean

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


@dataclass(frozen=True, slots=True)
class GeneratedSection:
    """Bars from the seeded generator instead of the catalog."""

    seed: int
    days: int


@dataclass(frozen=True, slots=True)
class DataSection:
    """
    Which bars. ``funding`` must be said: ``"catalog"`` or, without it, ``"none"``.

    ``missing_fraction_max`` is the share of bars that may be missing before the run
    stops.
    """

    instrument: str
    interval: str
    funding: Literal["catalog", "none"]
    start: datetime | None = None
    end: datetime | None = None
    missing_fraction_max: float = 0.01
    generated: GeneratedSection | None = None


@dataclass(frozen=True, slots=True)
class StrategySection:
    """Which strategy."""

    name: str


@dataclass(frozen=True, slots=True)
class WalkForwardSection:
    """How folds are cut and what a fold's choice goes by."""

    train_days: int
    test_days: int
    embargo_days: int = 0
    anchored: bool = False
    select: str = "sharpe"
    plateau: bool = True


@dataclass(frozen=True, slots=True)
class CostSection:
    """See ``research.account.Costs``; the defaults are Binance USD-M's taker."""

    fee_rate: float = 0.0005
    slippage: float = 0.0002
    no_trade_band: float = 0.02
    lot_size: float = 0.001
    notional_min: float = 5.0
    maintenance_rate: float = 0.005
    equity: float = 100_000.0


@dataclass(frozen=True, slots=True)
class FillSection:
    """
    Where an order decided at a close is filled.

    ``next_open``, or at the first ``ticks`` of its side ``latency_ms`` after the close.
    """

    model: Literal["next_open", "ticks"] = "next_open"
    latency_ms: int = 100


@dataclass(frozen=True, slots=True)
class StudyFile:
    """A whole study, as its file says."""

    data: DataSection
    strategy: StrategySection
    walk_forward: WalkForwardSection
    parameters: dict[str, Any] = field(default_factory=dict)
    grid: dict[str, Any] = field(default_factory=dict)
    costs: CostSection = field(default_factory=CostSection)
    fills: FillSection = field(default_factory=FillSection)

    @property
    def instrument(self) -> InstrumentId:
        """The instrument."""
        return InstrumentId.parse(self.data.instrument)

    @property
    def interval_seconds(self) -> int:
        """The length of a bar."""
        return parse_interval(self.data.interval)

    @property
    def fold_rule(self) -> FoldRule:
        """How folds are cut."""
        wanted = self.walk_forward
        return FoldRule(
            wanted.train_days, wanted.test_days, wanted.embargo_days, wanted.anchored
        )

    @property
    def path_costs(self) -> Costs:
        """Costs of the stitched path: with lots and minimum sizes."""
        costs = self.costs
        return Costs(
            costs.fee_rate,
            costs.slippage,
            costs.no_trade_band,
            costs.lot_size,
            costs.notional_min,
            costs.maintenance_rate,
        )

    @property
    def cell_costs(self) -> Costs:
        """Costs of the cells: without lots."""
        return self.path_costs._replace(lot_size=0.0, notional_min=0.0)


def read_study(file: Path) -> StudyFile:
    """
    Return the study of ``file``.

    Raises
    ------
    SettingsError
        One sentence: the file, what is wrong in it, what was expected.
    """
    try:
        values = tomllib.loads(file.read_text())
    except FileNotFoundError:
        msg = f"no study file at {file}"
        raise SettingsError(msg) from None
    except OSError as error:
        msg = f"cannot read {file}: {error.strerror}"
        raise SettingsError(msg) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        msg = f"{file} is not valid TOML: {error}"
        raise SettingsError(msg) from None
    return parse_study(values, str(file))


def parse_study(values: Mapping[str, object], name: str = "study") -> StudyFile:
    """
    Return the study that ``values`` spell.

    Raises
    ------
    SettingsError
        As ``read_study``.
    """
    try:
        study: StudyFile = _section(StudyFile, values, "")
        _check(study)
    except SettingsError as error:
        msg = f"{name}: {error}"
        raise SettingsError(msg) from None
    return study


def parse_interval(text: str) -> int:
    """
    Return the seconds of ``"1m"``, ``"4h"``, ``"1d"``.

    Raises
    ------
    SettingsError
        If it is not one, or longer than a day.
    """
    number, unit = text[:-1], text[-1:]
    seconds = 0
    if number.isdecimal() and unit in _UNITS:
        seconds = int(number) * _UNITS[unit]
    if not 0 < seconds <= 86_400 or 86_400 % seconds:
        msg = f'interval must divide a day, such as "1m" or "4h", was {text!r}'
        raise SettingsError(msg)
    return seconds


def time_ns(value: datetime | None) -> int | None:
    """Return ``value`` in nanoseconds since 1970; naive times are UTC."""
    if value is None:
        return None
    aware = value if value.tzinfo else value.replace(tzinfo=UTC)
    return round(aware.timestamp()) * NS_PER_SECOND


def _check(study: StudyFile) -> None:
    """Refuse values that are of the right type and still make no sense."""
    _, interval_ms = study.instrument, study.interval_seconds * 1_000
    walk = study.walk_forward
    if walk.select not in SCORES:
        msg = (
            f"[walk_forward] select {walk.select!r}{did_you_mean(walk.select, SCORES)}"
        )
        raise SettingsError(msg)
    for name, least in (("train_days", 2), ("test_days", 1), ("embargo_days", 0)):
        _require(f"[walk_forward] {name}", getattr(walk, name), least, 36_500)
    costs = study.costs
    for name in ("fee_rate", "slippage", "no_trade_band", "maintenance_rate"):
        least_rate = -0.01 if name == "fee_rate" else 0.0  # makers may be paid
        _require(f"[costs] {name}", getattr(costs, name), least_rate, 0.5)
    for name in ("lot_size", "notional_min"):
        _require(f"[costs] {name}", getattr(costs, name), 0.0, 1e12)
    _require("[costs] equity", costs.equity, 1e-6, 1e15)
    # An order that arrives after the next bar has no price in it.
    _require("[fills] latency_ms", study.fills.latency_ms, 0, interval_ms - 1)
    fraction = study.data.missing_fraction_max
    _require("[data] missing_fraction_max", fraction, 0.0, 1.0)
    if study.data.generated is not None:
        _require("[data.generated] days", study.data.generated.days, 1, 3650)
        _require("[data.generated] seed", study.data.generated.seed, 0, 2**31)


def _require(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        msg = f"{name} must be from {low:g} to {high:g}, was {value:g}"
        raise SettingsError(msg)


def _section(cls: Any, values: object, where: str) -> Any:  # noqa: ANN401 - builds any section class
    """Return ``cls`` from a TOML table, its keys and types checked."""
    if not isinstance(values, Mapping):
        msg = f"[{where}] must be a table, was {values!r}"
        raise SettingsError(msg)
    known: dict[str, Field[Any]] = {entry.name: entry for entry in fields(cls)}
    for name in values:
        if name not in known:
            what = f"key {name!r} in [{where}]" if where else f"section [{name}]"
            msg = f"unknown {what}{did_you_mean(str(name), known)}"
            raise SettingsError(msg)
    hints = get_type_hints(cls)
    found = {}
    for name, entry in known.items():
        inner = f"{where}.{name}" if where else name
        if name in values:
            found[name] = _value(hints[name], values[name], inner)
        elif entry.default is MISSING and entry.default_factory is MISSING:
            what = f"key {name!r} in [{where}]" if where else f"section [{name}]"
            msg = f"{what} is missing{_hint(name)}"
            raise SettingsError(msg)
    return cls(**found)


def _hint(name: str) -> str:
    if name == "funding":
        return ': say "catalog", or "none" where the data have none'
    return ""


def _value(hint: Any, value: object, where: str) -> object:  # noqa: ANN401 - a type hint of any shape
    """Return ``value`` as ``hint`` asks, or raise a sentence about it."""
    if isinstance(hint, types.UnionType):
        hint = next(part for part in get_args(hint) if part is not types.NoneType)
    if hasattr(hint, "__dataclass_fields__"):
        return _section(hint, value, where)
    if get_origin(hint) is Literal:
        if value not in get_args(hint):
            options = " or ".join(repr(option) for option in get_args(hint))
            msg = f"{where} must be {options}, was {value!r}"
            raise SettingsError(msg)
        return value
    return _plain(get_origin(hint) or hint, value, where)


_WORDS: Final[dict[type, str]] = {
    str: "a text in quotes",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    dict: "a table",
    datetime: "a date or a time such as 2024-05-01T00:00:00Z",
}


def _plain(wanted: type, value: object, where: str) -> object:
    if wanted is datetime and type(value) is date:
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    if wanted is float and type(value) is int:
        return float(value)
    # type() and not isinstance: true is no number here.
    if type(value) is not wanted:
        msg = f"{where} must be {_WORDS[wanted]}, was {value!r}"
        raise SettingsError(msg)
    return value

"""
A scripted run: how prices move and what fails when, in TOML; it moves nothing itself.

Prices are paths of (seconds, percent from the start), straight lines between the
points; two points of the same second are a gap. All times are seconds of the tape
since its start, except how long a fault lasts, which is wall time.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Iterable
from fractions import Fraction
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from cryptoquantix.core.errors import SettingsError
from cryptoquantix.simulator.faults import ANY, Fault, parse_fault

STEP_NS: Final = 250_000_000  # of tape time, between two steps of a moving price
POINTS_MAX: Final = 100_000
_NS: Final = 1_000_000_000
_FOLDER: Final = "scenarios"


class PricePath(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """
    How a price moves away from its tape: points of (seconds, percent).

    ``venue`` and ``symbol`` may be ``*``. A symbol ``BTC`` means every instrument
    whose base coin that is, whatever the venue calls it.
    """

    points: list[tuple[float, float]]
    venue: str = ANY
    symbol: str = ANY

    def __post_init__(self) -> None:
        """Refuse points that make no path."""
        if not 1 <= len(self.points) <= POINTS_MAX:
            msg = f"a path has 1..{POINTS_MAX} points, found {len(self.points)}"
            raise ValueError(msg)
        if any(late[0] < early[0] for early, late in pairwise(self.points)):
            msg = "the points of a path must be in the order of time"
            raise ValueError(msg)
        if self.points[0][0] < 0:
            msg = f"a path starts at 0 seconds or later, not at {self.points[0][0]}"
            raise ValueError(msg)
        if any(not -99 <= percent <= 10_000 for _, percent in self.points):
            msg = "percent must be within -99..10000"
            raise ValueError(msg)

    def factor(self, seconds: float) -> Fraction:
        """
        Return price over tape price at ``seconds``; at a gap, what comes after it.

        Before the first point it is 1, after the last one it stays.
        """
        before: tuple[float, float] | None = None
        for point in self.points:
            if point[0] > seconds:
                return _factor(_between(before, point, seconds))
            before = point
        return _factor(self.points[-1][1])


def _between(
    before: tuple[float, float] | None, after: tuple[float, float], seconds: float
) -> float:
    if before is None:
        return 0.0
    share = (seconds - before[0]) / (after[0] - before[0])
    return before[1] + (after[1] - before[1]) * share


def _factor(percent: float) -> Fraction:
    # Millionths are finer than any tick and keep the exact product small.
    return 1 + Fraction(round(percent * 10_000), 1_000_000)


class TimedFault(NamedTuple):
    """A fault and the second of the tape at which it starts."""

    at: float
    fault: Fault


class Scenario(NamedTuple):
    """A scripted run."""

    name: str
    about: str
    start: str
    volatility_per_day: float
    paths: tuple[PricePath, ...]
    faults: tuple[TimedFault, ...]

    @property
    def seconds(self) -> float:
        """Return when the last thing that is scripted has happened."""
        ends = [path.points[-1][0] for path in self.paths]
        return max([0.0, *ends, *(timed.at for timed in self.faults)])


class _File(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    about: str = ""
    start: str = ""
    volatility_per_day: float = 0.01
    path: list[PricePath] = []
    fault: list[dict[str, Any]] = []


def scenario_names() -> list[str]:
    """Return the scenarios that come with the simulator."""
    folder = resources.files("cryptoquantix.simulator") / _FOLDER
    return sorted(
        f.name.removesuffix(".toml")
        for f in folder.iterdir()
        if f.name.endswith(".toml")
    )


def load_scenario(name: str) -> Scenario:
    """
    Return a scenario by its built-in name or from a TOML file.

    Raises
    ------
    SettingsError
        If there is none of that name, or it says something that cannot be.
    """
    if name in scenario_names():
        folder = resources.files("cryptoquantix.simulator") / _FOLDER
        text = (folder / f"{name}.toml").read_text(encoding="utf-8")
        return parse_scenario(name, text)
    path = Path(name)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        known = ", ".join(scenario_names())
        msg = f"no scenario {name!r}: give a TOML file or one of {known}"
        raise SettingsError(msg) from None
    return parse_scenario(path.stem, text)


def parse_scenario(name: str, text: str) -> Scenario:
    """Return the scenario that ``text`` describes; ``SettingsError`` if it is none."""
    try:
        found = msgspec.convert(tomllib.loads(text), _File)
        faults = tuple(_timed(value) for value in found.fault)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError, ValueError) as error:
        msg = f"scenario {name}: {error}"
        raise SettingsError(msg) from None
    if not 0 <= found.volatility_per_day <= 5:
        msg = f"scenario {name}: volatility_per_day must be within 0..5"
        raise SettingsError(msg)
    return Scenario(
        name,
        found.about,
        found.start,
        found.volatility_per_day,
        tuple(found.path),
        tuple(sorted(faults, key=lambda timed: timed.at)),
    )


def _timed(value: dict[str, Any]) -> TimedFault:
    at = value.pop("at", 0)
    if isinstance(at, bool) or not isinstance(at, int | float) or not at >= 0:
        msg = f"a fault's at must be seconds of the tape, was {at!r}"
        raise ValueError(msg)
    return TimedFault(float(at), parse_fault(value))


class Step(NamedTuple):
    """
    One instrument's price is to be ``factor`` times what it is.

    ``is_alone``: at this venue and not at the others, whose index stays.
    """

    venue: str
    symbol: str
    factor: Fraction
    is_alone: bool


class ListedName(NamedTuple):
    """Where an instrument is listed, and what it is made of."""

    venue: str
    symbol: str
    base: str


class ScenarioPlayer:
    """Turns tape time into price steps and faults that are due; it applies none."""

    def __init__(
        self, scenario: Scenario, start_ns: int, listed: Iterable[ListedName]
    ) -> None:
        self.scenario = scenario
        self._start_ns = start_ns
        self._followed = [
            (path, listed_at, [Fraction(1)])
            for path in scenario.paths
            for listed_at in listed
            if path.venue in {ANY, listed_at.venue}
            and path.symbol in {ANY, listed_at.symbol, listed_at.base}
        ]
        self._faults = list(scenario.faults)
        self.next_ns = start_ns

    @property
    def is_finished(self) -> bool:
        """True once everything scripted has happened."""
        return self._start_ns + int(self.scenario.seconds * _NS) < self.next_ns

    @property
    def mark(self) -> dict[str, Any]:
        """What a restart needs to go on: which script it is and when it began."""
        script = repr((self.scenario.paths, self.scenario.faults))
        digest = hashlib.sha256(script.encode()).hexdigest()
        return {"script": digest, "start_ns": self._start_ns}

    def resume(self, start_ns: int, tape_ns: int) -> None:
        """Go on at ``tape_ns`` with a script that began at ``start_ns``."""
        self._start_ns, self.next_ns = start_ns, tape_ns
        seconds = (tape_ns - start_ns) / _NS
        for path, _, done in self._followed:
            done[0] = path.factor(seconds)
        self._faults = [timed for timed in self._faults if timed.at > seconds]

    def steps(self, tape_ns: int) -> list[Step]:
        """Return how prices have moved since the last call; call it from next_ns on."""
        if tape_ns < self.next_ns:
            return []
        seconds = (tape_ns - self._start_ns) / _NS
        self.next_ns = tape_ns + STEP_NS
        steps = []
        for path, listed_at, done in self._followed:
            wanted = path.factor(seconds)
            if wanted != done[0]:
                factor = wanted / done[0]
                is_alone = path.venue != ANY
                steps.append(Step(listed_at.venue, listed_at.symbol, factor, is_alone))
                done[0] = wanted
        return steps

    def faults(self, tape_ns: int) -> list[Fault]:
        """Return the faults whose time has come, each once."""
        seconds = (tape_ns - self._start_ns) / _NS
        due = [timed.fault for timed in self._faults if timed.at <= seconds]
        self._faults = self._faults[len(due) :]
        return due

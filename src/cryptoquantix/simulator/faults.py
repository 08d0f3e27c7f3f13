"""
Faults on demand: what fails, when, how often and for whom; it touches no socket.

A fault is a small value with a start, a duration, a probability, a venue and a
filter. The board decides, from its seed alone, whether the next request, message
or frame is hit: the same seed and the same sequence give the same faults. The
server and the runner carry the decisions out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import numpy as np

from cryptoquantix.simulator.fault_kinds import ONCE, OUTAGES, SEEDED, Kind

ANY: Final = "*"
SECONDS_MAX: Final = 86_400.0
DELAY_MS_MAX: Final = 60_000.0
FAULTS_MAX: Final = 1_000
_NS: Final = 1_000_000_000


# A missing sequence number is one gap, not a feed that has stopped.
_COUNT_DEFAULT: Final = {Kind.BOOK_GAP: 1}
# What a kind means where its filter names nothing: its own requests and messages.
_LOGIN: Final = r'^POST /fapi/v1/listenKey|public/auth|"op":\s*"auth"'
_MATCH_DEFAULT: Final = {
    Kind.KEEP_ALIVE_REFUSED: r"^PUT /fapi/v1/listenKey",
    Kind.SLOW_AUTH: _LOGIN,
    Kind.AUTH_REFUSED: _LOGIN,
}
_NEEDS_AMOUNT: Final = frozenset(
    {Kind.DEPOSIT, Kind.WITHDRAWAL, Kind.EXTERNAL_FILL, Kind.LATE_FILL}
)
# Codes an endpoint may send (RFC 6455); 1006 stands for no close frame at all.
_CLOSE_CODES: Final = frozenset({*range(1000, 1004), *range(1006, 1015)})


class Fault(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """
    One thing that fails.

    Attributes
    ----------
    kind
        What fails.
    venue
        Where; ``*`` is everywhere.
    delay
        Seconds until it starts, from when it is added.
    seconds
        How long it lasts; kinds that happen once ignore it.
    probability
        Chance that one request, message or frame is hit.
    match
        Regular expression over ``METHOD /path?query&body`` or a frame's text.
    count
        How many hits it has at most; 0 is no limit (a book gap: one).
    milliseconds, jitter
        Median wait, and the sigma of its logarithm (0: always the median). Of a
        clock skew: how far the venue's clock is ahead (negative: behind).
    retry_after
        Seconds named in ``Retry-After``; 0 is what is left of the fault.
    ban_after
        Requests refused with 429 before it becomes a 418 ban; 0 is never.
    code
        Close code of a disconnect; 1006 closes without a close frame.
    mode
        Of a position mode: ``hedge`` or ``one-way``. Of an outage: ``refuse``,
        ``hang`` or ``503``. Of a lost answer: ``hang`` or ``cut``.
    factor, fields
        Of wrong numbers: what the JSON members whose name matches the regular
        expression ``fields`` are multiplied by.
    symbol, side, amount, coin
        What an external fill, an ADL or a transfer moves, in the venue's units.
    account
        Whose; the first one unless given.
    """

    kind: Kind
    venue: str = ANY
    delay: float = 0.0
    seconds: float = 30.0
    probability: float = 1.0
    match: str = ""
    count: int = 0
    milliseconds: float = 500.0
    jitter: float = 0.0
    retry_after: int = 0
    ban_after: int = 0
    code: int = 1001
    mode: str = ""
    symbol: str = ""
    side: str = "sell"
    factor: str = ""
    fields: str = ""
    amount: str = ""
    coin: str = ""
    account: int = 1

    def __post_init__(self) -> None:
        """Refuse values that make no fault."""
        _within("delay", self.delay, 0, SECONDS_MAX)
        _within("seconds", self.seconds, 0, SECONDS_MAX)
        _within("probability", self.probability, 0, 1)
        least = -DELAY_MS_MAX if self.kind is Kind.CLOCK_SKEW else 0
        _within("milliseconds", self.milliseconds, least, DELAY_MS_MAX)
        _within("jitter", self.jitter, 0, 3)
        _within("count", self.count, 0, 1_000_000)
        _within("retry_after", self.retry_after, 0, 3 * 86_400)
        _within("ban_after", self.ban_after, 0, 1_000_000)
        _within("account", self.account, 1, 1_000_000)
        _check_text(self)

    @property
    def hits_max(self) -> int:
        """How often it hits at most; 0 is no limit."""
        return self.count or _COUNT_DEFAULT.get(self.kind, 0)


def _within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        msg = f"{name} must be within {low:g}..{high:g}, was {value:g}"
        raise ValueError(msg)


def _check_text(fault: Fault) -> None:
    if len(fault.match) > 200:
        msg = f"match is longer than 200 characters: {len(fault.match)}"
        raise ValueError(msg)
    try:
        re.compile(fault.match)
    except re.error as error:
        msg = f"match is no regular expression: {error}"
        raise ValueError(msg) from None
    is_close = fault.code in _CLOSE_CODES or 3000 <= fault.code <= 4999
    if fault.kind is Kind.DISCONNECT and not is_close:
        msg = f"code must be a close code a server may send, was {fault.code}"
        raise ValueError(msg)
    modes = {
        Kind.OUTAGE: OUTAGES,
        Kind.POSITION_MODE: ("hedge", "one-way"),
        Kind.LOST_ANSWER: ("", "hang", "cut"),
    }.get(fault.kind, ("",))
    if fault.mode not in modes:
        known = ", ".join(repr(m) for m in modes)
        msg = f"mode of {fault.kind.value} must be {known}, was {fault.mode!r}"
        raise ValueError(msg)
    _check_wrong_numbers(fault)
    if fault.side not in {"buy", "sell"}:
        msg = f"side must be buy or sell, was {fault.side!r}"
        raise ValueError(msg)
    if fault.kind in _NEEDS_AMOUNT and not re.fullmatch(
        r"(?=.*[1-9])\d{1,15}(\.\d{1,12})?", fault.amount
    ):
        msg = f"{fault.kind.value} needs an amount above zero, was {fault.amount!r}"
        raise ValueError(msg)


def _check_wrong_numbers(fault: Fault) -> None:
    if fault.kind is not Kind.WRONG_NUMBERS:
        return
    if not re.fullmatch(r"-?\d{1,9}(\.\d{1,9})?", fault.factor):
        msg = f"wrong-numbers needs a factor, was {fault.factor!r}"
        raise ValueError(msg)
    if not 0 < len(fault.fields) <= 200:
        msg = "wrong-numbers needs the fields that are wrong, at most 200 characters"
        raise ValueError(msg)
    try:
        re.compile(fault.fields)
    except re.error as error:
        msg = f"fields is no regular expression: {error}"
        raise ValueError(msg) from None


def parse_fault(value: Any) -> Fault:  # noqa: ANN401 - JSON or TOML, checked here
    """
    Return the fault that a JSON or TOML object describes.

    Raises
    ------
    ValueError
        With one sentence, if it describes none.
    """
    try:
        return msgspec.convert(value, Fault)
    except msgspec.ValidationError as error:
        msg = f"not a fault: {error}"
        raise ValueError(msg) from None


@dataclass(slots=True, eq=False)
class Active:
    """A fault on the board: its times, its own dice, and how often it has hit."""

    id: int
    fault: Fault
    start_ns: int
    end_ns: int
    dice: np.random.Generator
    pattern: re.Pattern[str]
    hits: int = 0
    has_begun: bool = False

    @property
    def kind(self) -> Kind:
        """What fails."""
        return self.fault.kind

    def is_at(self, venue: str) -> bool:
        """Return whether it concerns ``venue``."""
        return self.fault.venue in {ANY, venue}

    def remaining_seconds(self, now_ns: int) -> int:
        """Return what is left of it in whole seconds, at least one."""
        return max(1, -(-(self.end_ns - now_ns) // _NS))

    def retry_after(self, now_ns: int) -> int:
        """Return what ``Retry-After`` says."""
        return self.fault.retry_after or self.remaining_seconds(now_ns)

    def wait_ns(self) -> int:
        """Draw how long it delays: log-normal about the median, bounded."""
        median = self.fault.milliseconds
        if self.fault.jitter:
            median *= float(self.dice.lognormal(0.0, self.fault.jitter))
        return int(min(median, DELAY_MS_MAX) * 1_000_000)

    def strikes(self, text: str) -> bool:
        """Draw whether this text is hit, and count it if so."""
        if self.fault.hits_max and self.hits >= self.fault.hits_max:
            return False
        if not self.pattern.search(text):
            return False
        # One draw for each text that matches, whatever the probability.
        if self.dice.random() >= self.fault.probability:
            return False
        self.hits += 1
        return True

    def to_json(self, now_ns: int) -> dict[str, Any]:
        """Return it as the admin API shows it."""
        shown: dict[str, Any] = msgspec.to_builtins(self.fault)
        return {
            "id": self.id,
            **{k: v for k, v in shown.items() if v not in {"", 0}},
            "active": self.start_ns <= now_ns < self.end_ns,
            "hits": self.hits,
        }


class FaultBoard:
    """The faults of one simulator. Times are a monotonic clock's."""

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed
        self._made = 0
        self._all: list[Active] = []
        self._begun: list[Active] = []

    @property
    def is_quiet(self) -> bool:
        """True while no fault is under way: nothing need be asked."""
        return not self._begun

    def add(self, fault: Fault, now_ns: int) -> Active:
        """
        Put a fault on the board.

        Raises
        ------
        ValueError
            If the board is full.
        """
        if len(self._all) >= FAULTS_MAX:
            msg = f"more than {FAULTS_MAX} faults at once"
            raise ValueError(msg)
        self._made += 1
        start_ns = now_ns + int(fault.delay * _NS)
        active = Active(
            self._made,
            fault,
            start_ns,
            start_ns + int(fault.seconds * _NS),
            np.random.default_rng([self._seed, self._made]),
            re.compile(fault.match or _MATCH_DEFAULT.get(fault.kind, "")),
        )
        self._all.append(active)
        return active

    def remove(self, fault_id: int | None = None) -> list[Active]:
        """Take one fault (or with None all) off; return those that had begun."""
        gone = [a for a in self._all if fault_id in {None, a.id}]
        self._all = [a for a in self._all if a not in gone]
        self._begun = [a for a in self._begun if a not in gone]
        return [a for a in gone if a.has_begun]

    def turn(self, now_ns: int) -> tuple[list[Active], list[Active]]:
        """Return the faults that begin now and those that end now, oldest first."""
        begin = [a for a in self._all if not a.has_begun and now_ns >= a.start_ns]
        for active in begin:
            active.has_begun = True
        end = [a for a in self._all if a.has_begun and self._is_over(a, now_ns)]
        self._all = [a for a in self._all if a not in end]
        self._begun = [a for a in self._all if a.has_begun]
        return begin, end

    @staticmethod
    def _is_over(active: Active, now_ns: int) -> bool:
        return active.kind in ONCE or now_ns >= active.end_ns

    def under_way(
        self, kinds: Iterable[Kind], venue: str, now_ns: int
    ) -> Sequence[Active]:
        """Return the faults of these kinds that hold at ``venue`` now."""
        return [
            a
            for a in self._begun
            if a.kind in kinds and a.is_at(venue) and now_ns < a.end_ns
        ]

    def strike(
        self, kinds: Iterable[Kind], venue: str, text: str, now_ns: int
    ) -> Active | None:
        """Return the first fault of these kinds that hits ``text``, None if none."""
        for active in self.under_way(kinds, venue, now_ns):
            if active.strikes(text):
                return active
        return None

    def to_json(self, now_ns: int) -> list[dict[str, Any]]:
        """Return every fault that is planned or under way."""
        return [a.to_json(now_ns) for a in self._all]


def seeded_faults(
    seed: int,
    venues: Sequence[str],
    *,
    seconds: float,
    per_minute: float,
    kinds: Sequence[Kind] = SEEDED,
) -> list[Fault]:
    """
    Return faults drawn from ``seed`` over ``seconds``, in the order of time.

    They arrive at ``per_minute`` on average, last up to 20 seconds each and hit
    one venue with a drawn probability.
    """
    if per_minute <= 0:
        return []
    dice = np.random.default_rng([seed, 0])
    faults: list[Fault] = []
    gap = 60 / per_minute
    at = float(dice.exponential(gap))
    while at < min(seconds, SECONDS_MAX) and len(faults) < FAULTS_MAX:
        faults.append(
            Fault(
                kind=kinds[int(dice.integers(len(kinds)))],
                venue=venues[int(dice.integers(len(venues)))],
                delay=round(at, 3),
                seconds=round(float(dice.uniform(1, 20)), 3),
                probability=round(float(dice.uniform(0.1, 1)), 3),
                milliseconds=round(float(dice.uniform(50, 3_000))),
                jitter=round(float(dice.uniform(0, 1)), 3),
                code=(1000, 1001, 1006, 1008, 1011, 1012)[int(dice.integers(6))],
            )
        )
        at += float(dice.exponential(gap))
    return faults

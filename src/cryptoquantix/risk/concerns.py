"""
Why an armed daemon lets nothing increase: named reasons that come and go; no acts.

Each reason raises its alarm once, when it comes.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from cryptoquantix.risk import rules
from cryptoquantix.risk.book import Book
from cryptoquantix.risk.rules import Limits, drawdown
from cryptoquantix.risk.watch import CONFIRM, Sight

type Alarm = Callable[[str, str], None]

BLINDING = frozenset({"blind", "unconfirmed", "fault"})


class Concerns:
    """
    The reasons of one daemon, by name.

    ``texts`` is what stops entries right now; ``alarm`` takes severity and sentence.
    """

    def __init__(self, limits: Limits, alarm: Alarm) -> None:
        self._limits = limits
        self._alarm = alarm
        self._warned = 0
        self.texts: dict[str, str] = {}

    @property
    def is_blind(self) -> bool:
        """True while the daemon cannot see."""
        return bool(BLINDING & self.texts.keys())

    def clear(self) -> None:
        """Begin anew: a person has accepted a baseline."""
        for name in (*BLINDING, "unexplained"):
            self.texts.pop(name, None)
        self._warned = 0

    def see(self, sight: Sight, book: Book, blind_ns: int | None) -> None:
        """Take one armed second; ``blind_ns`` is how long none was complete."""
        self._blindness(sight, blind_ns)
        if sight.is_complete:
            self._unexplained(book)
            self._warn(sight)

    def _blindness(self, sight: Sight, blind_ns: int | None) -> None:
        if sight.is_complete:
            for name in ("blind", "unconfirmed"):
                self.texts.pop(name, None)
            if sight.value is None:
                self.texts["blind"] = "blind: the account is empty"
            return
        if sight.problem == CONFIRM:
            text = "a drop could not be confirmed: waiting for a complete reading"
            self.texts["unconfirmed"] = text
        if blind_ns is not None and blind_ns < self._limits.blind_ns:
            return
        if "blind" not in self.texts:
            self._alarm("warning", f"Blind: {sight.problem}. Entries are stopped.")
        self.texts["blind"] = f"blind: {sight.problem}"

    def _unexplained(self, book: Book) -> None:
        if not book.has_large_drop(self._limits):
            self.texts.pop("unexplained", None)
            return
        text = (
            f"a drop of {-book.suspended:.2f} that marks and fills do not explain: "
            "looking at the ledger"
        )
        if "unexplained" not in self.texts:
            self._alarm("warning", f"{text[0].upper()}{text[1:]}. Entries are stopped.")
        self.texts["unexplained"] = text

    def _warn(self, sight: Sight) -> None:
        """Warn at each level once; again only after half the lowest was left."""
        if sight.value is None or sight.peak is None:
            return
        limit, fractions = (
            self._limits.drawdown_fraction_max,
            (self._limits.warning_fractions),
        )
        level = rules.warning_level(sight.value, sight.peak, self._limits)
        if level > self._warned:
            self._warned = level
            fraction = drawdown(sight.value, sight.peak)
            self._alarm(
                "warning",
                f"Drawdown {fraction * 100:.2f} % is {fractions[level - 1] * 100:.0f} "
                f"% or more of the limit of {limit * 100:.2f} %.",
            )
        lowest = min(fractions, default=Decimal(1))
        if not rules.reaches(sight.value, sight.peak, limit * lowest / 2):
            self._warned = 0

    def disk(self, *, is_failing: bool, problem: str) -> None:
        """Take note whether the store can be written."""
        if not is_failing:
            self.texts.pop("disk", None)
            return
        if "disk" not in self.texts:
            self._alarm("critical", "The risk store cannot be written.")
        self.texts["disk"] = f"the store cannot be written: {problem or 'disk stalled'}"

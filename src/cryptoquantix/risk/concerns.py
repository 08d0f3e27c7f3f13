"""
Why an armed daemon lets nothing increase: named reasons that come and go; no acts.

Each reason raises its alarm once, when it comes.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Final

from cryptoquantix.core.clock import NS_PER_SECOND
from cryptoquantix.risk import rules
from cryptoquantix.risk.book import Book
from cryptoquantix.risk.judgement import CONFIRM, Sight
from cryptoquantix.risk.rules import Limits, drawdown
from cryptoquantix.risk.transit import Move

type Alarm = Callable[[str, str], None]

BLINDING = frozenset({"blind", "unconfirmed", "fault"})

LASTING_LOOKS: Final = 5
"""Seconds that a rate must be odd before it is worth an alarm."""

DOUBTED_GAIN: Final = Decimal("0.5")
"""A gain that nothing explains, of equity, from which on entries stop."""


class Concerns:
    """
    The reasons of one daemon, by name.

    ``texts`` is what stops entries right now; ``alarm`` takes severity and sentence.
    """

    def __init__(self, limits: Limits, alarm: Alarm) -> None:
        self._limits = limits
        self._alarm = alarm
        self._warned = 0
        self._odd: dict[str, int] = {}
        self._strays: set[Move] = set()
        self._gain = Decimal(0)
        self.texts: dict[str, str] = {}

    @property
    def is_blind(self) -> bool:
        """True while the daemon cannot see."""
        return bool(BLINDING & self.texts.keys())

    def clear(self) -> None:
        """Begin anew: a person has accepted a baseline."""
        for name in (*BLINDING, "unexplained", "gain"):
            self.texts.pop(name, None)
        self._warned = 0

    def see(self, sight: Sight, book: Book, blind_ns: int | None) -> None:
        """Take one armed second; ``blind_ns`` is how long none was complete."""
        self._blindness(sight, blind_ns)
        if sight.is_complete:
            self._unexplained(book)
            self._gains(book)
            self._warn(sight)
        self._rates(book)
        self._on_the_way(book)

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
            rest = ""
            if sight.is_estimate:
                rest = " The other venues are seen; what is out of sight is estimated."
            self._alarm(
                "warning", f"Blind: {sight.problem}. Entries are stopped.{rest}"
            )
        self.texts["blind"] = f"blind: {sight.problem}"

    def _unexplained(self, book: Book) -> None:
        if not book.has_large_drop(self._limits):
            self.texts.pop("unexplained", None)
            return
        text = (
            f"a drop of {book.drop:.2f} that marks and fills do not explain: "
            "looking at the ledger"
        )
        if "unexplained" not in self.texts:
            self._alarm("warning", f"{text[0].upper()}{text[1:]}. Entries are stopped.")
        self.texts["unexplained"] = text

    def _gains(self, book: Book) -> None:
        """Name gains that nothing explained; stop entries where they are too good."""
        gain = sum((book.usd(item) for item in book.assumed), Decimal(0))
        if gain < DOUBTED_GAIN * (book.equity - gain):
            self.texts.pop("gain", None)
        else:
            self.texts["gain"] = (
                f"a gain of {gain:.2f} that nothing explains: the venue may be wrong"
            )
        least = self._limits.unexplained_drop_of_limit
        least *= self._limits.drawdown_fraction_max * book.equity
        if gain - self._gain >= least:
            self._alarm(
                "warning",
                f"A gain of {gain - self._gain:.2f} that marks, fills and ledgers do "
                "not explain counts as a deposit: it raises no peak.",
            )
        self._gain = gain

    def _rates(self, book: Book) -> None:
        """Alarm once for each rate that stays odd; none trips or moves equity."""
        found: dict[str, str] = {}
        for (venue, coin), rate in book.check.outliers.items():
            found[f"{venue} {coin}"] = (
                f"{venue} has {coin} at {rate:f} USD: left out, {book.rate(coin):f} is "
                "used. One venue alone moves no equity."
            )
        for coin in book.check.unvalued:
            found[coin] = f"No venue says what {coin} is worth: it counts as nothing."
        self._odd = {name: self._odd.get(name, 0) + 1 for name in found}
        for name, looks in self._odd.items():
            if looks == LASTING_LOOKS:
                self._alarm("warning", found[name])

    def _on_the_way(self, book: Book) -> None:
        """Alarm once for money that left and arrived nowhere in time."""
        strays = set(book.transit.strays)
        for move in sorted(strays - self._strays, key=lambda move: move.since_ns):
            hours = self._limits.transit_ns // (3_600 * NS_PER_SECOND)
            self._alarm(
                "warning",
                f"{move.cash:f} {move.coin or 'USD'} left {move.venue} and arrived at "
                f"no own venue within {hours} h: it counts as a withdrawal.",
            )
        self._strays = strays

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

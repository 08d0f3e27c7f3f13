"""
One look a second: readings to a verdict, confirmed where it matters; it acts on none.

A number that is not complete is not a number. What would trip, and what marks do not
explain, is read again at once, and the first number is believed only where the last
positions at the marks explain it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal

from cryptoquantix.core.clock import NS_PER_SECOND, Clock
from cryptoquantix.core.exposure import LedgerEntry, Reading
from cryptoquantix.risk import book as books
from cryptoquantix.risk.book import Book
from cryptoquantix.risk.flatten import FAILED, within
from cryptoquantix.risk.port import RiskVenue
from cryptoquantix.risk.rules import Limits, Verdict, blindness, judge, reaches
from cryptoquantix.risk.window import HighWaterMark

CONFIRM = "confirm"


@dataclass(frozen=True, slots=True)
class Seen:
    """What one round of readings brought; ``problems`` by venue."""

    readings: Mapping[str, Reading]
    problems: Mapping[str, str]

    @property
    def is_complete(self) -> bool:
        """True when every venue was read and every reading is a number."""
        return not self.problems


@dataclass(frozen=True, slots=True)
class Sight:
    """
    The outcome of one second.

    ``value`` and ``peak`` are unit values, ``None`` without a baseline or when blind.
    """

    is_complete: bool
    is_trip: bool = False
    value: Decimal | None = None
    peak: Decimal | None = None
    problem: str = ""


class Watch:
    """
    Holds the book and the high-water mark, and judges each second.

    Times come from the clock: samples are stamped with wall time as of the start plus
    monotonic time since, so that a stepped wall clock neither ages nor renews a peak.
    """

    def __init__(
        self,
        venues: Mapping[str, RiskVenue],
        *,
        limits: Limits,
        clock: Clock,
        note: Callable[[str], None],
    ) -> None:
        self._venues = venues
        self._limits = limits
        self._clock = clock
        self._note = note
        self._offset_ns = clock.time_ns() - clock.monotonic_ns()
        self.book = Book()
        self.mark = HighWaterMark()
        self.problems: Mapping[str, str] = dict.fromkeys(venues, "not read yet")
        self.complete_ns: int | None = None

    def sample_time_ns(self) -> int:
        """Return wall time that only monotonic time moves."""
        return self._offset_ns + self._clock.monotonic_ns()

    def resume(self, book: Book, mark: HighWaterMark) -> None:
        """Go on from what the store remembers."""
        self.book, self.mark = book, mark

    async def baseline(self) -> str:
        """Take a fresh complete reading as the baseline; return why not, or nothing."""
        seen = await self._read(2 * NS_PER_SECOND)
        if not seen.is_complete:
            return "; ".join(f"{v}: {text}" for v, text in seen.problems.items())
        self.book = books.opened(seen.readings, self._clock.time_ns())
        self.mark = HighWaterMark()
        self._accept(self.book)
        return ""

    async def look(self, *, is_judging: bool) -> Sight:
        """Read every venue once, again where needed, and judge."""
        first = await self._read(self._limits.reading_ns)
        self.problems = first.problems
        if not first.is_complete:
            return _blind(first)
        book = self._observed(first)
        if is_judging and self._is_doubtful(book):
            return await self._doubt(first, book)
        return self._accept(book)

    async def _doubt(self, first: Seen, book: Book) -> Sight:
        """Read again at once, and decide."""
        verdict = self._verdict(book)
        is_explained = not self._large_jump(book)
        if verdict is Verdict.HARD_BREACH and is_explained:
            return replace(self._accept(book), is_trip=True)
        second = await self._read(self._limits.confirm_ns)
        if second.is_complete:
            return self._confirmed(first, second)
        if verdict is not Verdict.CLEAR and is_explained:
            return replace(self._accept(self._observed(first)), is_trip=True)
        self.problems = {v: f"unconfirmed: {t}" for v, t in second.problems.items()}
        return replace(_blind(second), problem=CONFIRM)

    def _confirmed(self, first: Seen, second: Seen) -> Sight:
        """Judge by the second reading; the first was its warning."""
        before = self._observed(first)
        book = self._observed(second)
        if self._is_doubtful(before) and not self._is_doubtful(book):
            self._note(
                f"equity {before.equity} was not confirmed: {book.equity} at once after"
            )
        is_trip = self._verdict(book) is not Verdict.CLEAR
        return replace(self._accept(book), is_trip=is_trip)

    def take_ledger(self, venue: str, entries: tuple[LedgerEntry, ...]) -> None:
        """Let a look at one venue's ledger change the book."""
        now_ns = self._clock.monotonic_ns()
        self.book = books.take_ledger(
            self.book, venue, entries, now_ns=now_ns, limits=self._limits
        )

    def _observed(self, seen: Seen) -> Book:
        now_ns = self._clock.monotonic_ns()
        return books.observe(self.book, seen.readings, now_ns, self._limits)

    def _accept(self, book: Book) -> Sight:
        self.book = book
        self.problems = {}
        self.complete_ns = self._clock.monotonic_ns()
        value = book.value
        if value is None:
            return Sight(is_complete=True)
        peak = self.mark.add(self.sample_time_ns(), value)
        return Sight(is_complete=True, value=value, peak=peak)

    def _verdict(self, book: Book) -> Verdict:
        value = book.value
        if value is None:
            return Verdict.CLEAR
        peak = max(self.mark.peak or value, value)
        return judge(value, peak, self._limits)

    def _is_doubtful(self, book: Book) -> bool:
        """Return whether to read again: a breach, a jump, a rise beyond belief."""
        if self._verdict(book) is not Verdict.CLEAR or self._large_jump(book):
            return True
        old, new = self.book.value, book.value
        limit = self._limits.drawdown_fraction_max
        return old is not None and new is not None and reaches(old, new, limit)

    def _large_jump(self, book: Book) -> bool:
        bound = self._limits.unexplained_drop_of_limit
        bound *= self._limits.drawdown_fraction_max * abs(self.book.equity)
        known = set(self.book.suspense)
        fresh = (item for item in book.suspense if item not in known)
        return any(abs(item.cash) >= bound for item in fresh)

    async def _read(self, deadline_ns: int) -> Seen:
        names = list(self._venues)
        found = await asyncio.gather(
            *(self._read_one(self._venues[name], deadline_ns) for name in names)
        )
        pairs = dict(zip(names, found, strict=True))
        return Seen(
            {name: item for name, item in pairs.items() if isinstance(item, Reading)},
            {name: item for name, item in pairs.items() if isinstance(item, str)},
        )

    async def _read_one(self, venue: RiskVenue, deadline_ns: int) -> Reading | str:
        """Return a reading that is a number, or why there is none."""
        try:
            async with asyncio.timeout(deadline_ns / NS_PER_SECOND):
                reading = await venue.reading()
                problem = blindness(reading)
                if not problem:
                    return reading
                if await self._is_real(venue, reading):
                    return reading
        except FAILED as error:
            return f"{type(error).__name__}: {error}".rstrip(": ")
        return problem

    async def _is_real(self, venue: RiskVenue, reading: Reading) -> bool:
        """Return whether a second endpoint confirms zero or negative equity."""
        if not reading.equity.is_finite() or reading.equity > 0:
            return False
        again = await within(1.0, venue.equity_again)
        return again.is_finite() and again <= 0


def _blind(seen: Seen) -> Sight:
    text = "; ".join(f"{venue}: {problem}" for venue, problem in seen.problems.items())
    return Sight(is_complete=False, problem=text)

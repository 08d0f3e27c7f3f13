"""
The judge over time: rounds of readings in, verdicts out; no socket, no sleep, no disk.

A number that is not complete is not a number. What would trip, and what marks do not
explain, must be read again at once, and the first number is believed only where the
last positions at the marks explain it. While a venue is out of sight its worth is
estimated: that raises no peak, and trips only when a second estimate agrees.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final

from cryptoquantix.core.clock import NS_PER_SECOND, Clock
from cryptoquantix.core.exposure import LedgerEntry, Reading
from cryptoquantix.risk import book as books
from cryptoquantix.risk import flows, shadow
from cryptoquantix.risk.book import Book
from cryptoquantix.risk.explain import AGREEMENT, strange_marks
from cryptoquantix.risk.rules import Limits, Verdict, judge, reaches
from cryptoquantix.risk.window import HighWaterMark

CONFIRM: Final = "confirm"
CLOCKS_APART_NS: Final = NS_PER_SECOND // 2
"""How far the clocks of one venue's own machines may lie apart."""

BELIEVED_AFTER: Final = 3
"""Looks after which a mark that nobody else shares is believed."""


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
    ``is_estimate`` marks a value in which a venue out of sight is estimated.
    """

    is_complete: bool
    is_trip: bool = False
    value: Decimal | None = None
    peak: Decimal | None = None
    problem: str = ""
    is_estimate: bool = False


@dataclass(frozen=True, slots=True)
class _Look:
    """
    One round, understood but not yet believed.

    ``jumps`` are the large ones that nothing explains, in USD by venue; ``is_beyond``
    a rise that would trip if it fell again.
    """

    seen: Seen
    book: Book
    verdict: Verdict
    jumps: Mapping[str, Decimal]
    is_strange: bool
    is_beyond: bool

    @property
    def is_breach(self) -> bool:
        return self.verdict is not Verdict.CLEAR

    @property
    def is_doubtful(self) -> bool:
        """Whether it must be read again."""
        return bool(self.is_strange or self.jumps or self.is_breach or self.is_beyond)

    @property
    def is_hard(self) -> bool:
        """Whether marks alone explain a drop beyond the hard level, all venues seen."""
        is_hard = self.verdict is Verdict.HARD_BREACH
        return is_hard and not self.jumps and self.seen.is_complete


@dataclass(slots=True)
class _Strange:
    """A mark that halved or doubled at one venue alone."""

    mark: Decimal
    looks: int = 1


@dataclass(slots=True)
class _Written:
    """The venue's own time of its newest answer, and since when it stands still."""

    time_ns: int
    since_ns: int


class Judgement:
    """
    Holds the book and the high-water mark, and judges each second.

    ``first`` takes the round of a second; where it answers ``None`` the venues must be
    read again at once, and ``second`` takes that. Times come from the clock: samples
    are stamped with wall time as of the start plus monotonic time since, so that a
    stepped wall clock neither ages nor renews a peak.
    """

    def __init__(
        self,
        venues: tuple[str, ...],
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
        self._pending: _Look | None = None
        self._strange: dict[tuple[str, str], _Strange] = {}
        self._written: dict[str, _Written] = {}
        self.book = Book()
        self.mark = HighWaterMark()
        self.problems: Mapping[str, str] = dict.fromkeys(venues, "not read yet")
        self.complete_ns: int | None = None

    def sample_time_ns(self) -> int:
        """Return wall time that only monotonic time moves."""
        return self._offset_ns + self._clock.monotonic_ns()

    def resume(self, book: Book, mark: HighWaterMark) -> None:
        """Go on from what the store remembers; a venue watched no more leaves."""
        gone = set(book.last) - set(self._venues)
        self.book = books.without(book, gone) if gone else book
        self.mark = mark

    def start_from(self, seen: Seen) -> str:
        """Take a complete round as the baseline; return why not, or nothing."""
        if not seen.is_complete:
            return "; ".join(f"{v}: {text}" for v, text in seen.problems.items())
        now_ns = self._clock.time_ns()
        self.mark = HighWaterMark()
        self._strange.clear()
        self._accept(books.opened(seen.readings, now_ns, self._limits))
        return ""

    def first(self, seen: Seen, *, is_judging: bool = True) -> Sight | None:
        """Judge the round of one second; ``None`` asks for another at once."""
        look = self._look(seen)
        self.problems = look.seen.problems
        self._pending = look
        if is_judging and look.is_doubtful:
            if look.is_hard:
                return self._accept(look.book, is_trip=True)
            return None
        return self._take(look)

    def second(self, seen: Seen) -> Sight:
        """Judge by the second round; the first was its warning."""
        first = self._pending
        assert first is not None
        look = self._weighed(*self._merged(first, self._look(seen)))
        self.problems = look.seen.problems
        is_trip = first.is_breach and look.is_breach
        if look.seen.is_complete:
            if not look.is_doubtful:
                text = f"{first.book.equity:.2f} was not confirmed"
                self._note(f"equity {text}: {look.book.equity:.2f} at once after")
            return self._accept(look.book, is_trip=is_trip or look.is_hard)
        if not first.seen.is_complete:
            return replace(self._take(look), is_trip=is_trip)
        if first.is_breach and not first.jumps:
            return self._accept(first.book, is_trip=True)
        return Sight(is_complete=False, problem=CONFIRM)

    def take_ledger(self, venue: str, entries: tuple[LedgerEntry, ...]) -> None:
        """Let a look at one venue's ledger change the book."""
        now_ns = self._clock.monotonic_ns()
        self.book = flows.take_ledger(
            self.book, venue, entries, now_ns=now_ns, limits=self._limits
        )

    # -- one round ----------------------------------------------------------------

    def _look(self, seen: Seen) -> _Look:
        return self._weighed(*self._plausible(seen))

    def _weighed(self, seen: Seen, is_strange: bool) -> _Look:  # noqa: FBT001 - private
        """Return what a round would make of the book, and whether to believe it."""
        before, now_ns = self.book, self._clock.monotonic_ns()
        book = flows.observe(before, seen.readings, now_ns, self._limits)
        shown = book
        if not seen.is_complete:
            shown = shadow.estimated(book, is_favorable=True)
        verdict = self._verdict(shown) if seen.readings else Verdict.CLEAR
        return _Look(
            seen,
            book,
            verdict,
            self._large_jumps(book),
            is_strange,
            self._is_beyond_belief(before, book),
        )

    def _merged(self, first: _Look, look: _Look) -> tuple[Seen, bool]:
        """
        Return the second round as far as both agree.

        What only failed the second time is as it was at once before. A jump that only
        one of both shows, or each another one, is not there, or nobody knows.
        """
        readings, problems = dict(look.seen.readings), dict(look.seen.problems)
        for venue, reading in first.seen.readings.items():
            is_sure = venue not in first.jumps and not first.is_beyond
            if venue in problems and is_sure:
                readings[venue] = reading
                del problems[venue]
        for venue, jump in look.jumps.items():
            was = first.jumps.get(venue)
            if was is not None and abs(was - jump) <= AGREEMENT * max(
                abs(was), abs(jump)
            ):
                continue
            if was is None and venue in first.seen.readings:
                readings[venue] = first.seen.readings[venue]
                continue
            del readings[venue]
            problems[venue] = f"a jump of {jump:.2f} USD that no second reading shows"
        return Seen(readings, problems), look.is_strange

    def _take(self, look: _Look) -> Sight:
        """Take a round into the book; only a complete one is a sample."""
        if look.seen.is_complete:
            return self._accept(look.book)
        self.book = look.book
        text = "; ".join(f"{v}: {why}" for v, why in look.seen.problems.items())
        if not look.seen.readings or look.book.value is None:
            return Sight(is_complete=False, problem=text)
        return Sight(
            is_complete=False,
            problem=text,
            value=shadow.estimated(look.book).value,
            peak=self.mark.peak,
            is_estimate=True,
        )

    def _accept(self, book: Book, *, is_trip: bool = False) -> Sight:
        self.book = book
        self.problems = {}
        self.complete_ns = self._clock.monotonic_ns()
        value = book.value
        if value is None:
            return Sight(is_complete=True)
        before = self.mark.peak
        peak = self.mark.add(self.sample_time_ns(), value)
        if is_trip and before is not None:  # the peak it was judged by, gap or not
            peak = max(before, peak)
        return Sight(is_complete=True, is_trip=is_trip, value=value, peak=peak)

    def _verdict(self, book: Book) -> Verdict:
        value = book.ceiling
        if value is None:
            return Verdict.CLEAR
        peak = max(self.mark.peak or value, value)
        return judge(value, peak, self._limits)

    def _is_beyond_belief(self, before: Book, book: Book) -> bool:
        """Return whether the value rose by as much as would trip if it fell again."""
        old, new = before.value, book.value
        limit = self._limits.drawdown_fraction_max
        return old is not None and new is not None and reaches(old, new, limit)

    def _large_jumps(self, book: Book) -> dict[str, Decimal]:
        """Return what a round has put in suspense, where it is worth a second read."""
        if book.suspense is self.book.suspense:
            return {}
        bound = self._limits.unexplained_drop_of_limit
        bound *= self._limits.drawdown_fraction_max * abs(self.book.equity)
        known = set(self.book.suspense)
        found: dict[str, Decimal] = {}
        for item in book.suspense:
            usd = book.usd(item)
            if item not in known and abs(usd) >= bound:
                found[item.venue] = found.get(item.venue, Decimal(0)) + usd
        return found

    # -- whether a reading can be true ----------------------------------------------

    def _plausible(self, seen: Seen) -> tuple[Seen, bool]:
        """
        Return the round without readings that cannot be true.

        And whether a mark was among the reasons: such a round is read again.
        """
        problems = dict(seen.problems)
        is_strange = False
        for venue, reading in seen.readings.items():
            problem = self._staleness(venue, reading)
            if not problem and venue in self.book.last:
                problem = self._strangeness(venue, seen)
                is_strange = is_strange or bool(problem)
            if problem:
                problems[venue] = problem
        if len(problems) == len(seen.problems):
            return seen, False
        good = {v: r for v, r in seen.readings.items() if v not in problems}
        return Seen(good, problems), is_strange

    def _staleness(self, venue: str, reading: Reading) -> str:
        """Return that a reading is old, or that the venue's own time stands still."""
        age_ns = self._clock.time_ns() - reading.time_ns
        if age_ns > self._limits.stale_ns:
            return f"the reading is {age_ns / NS_PER_SECOND:.1f} s old"
        if reading.venue_time_ns is None:
            return ""
        return self._standstill(venue, reading.venue_time_ns)

    def _standstill(self, venue: str, written_ns: int) -> str:
        """Return that the venue's own time goes back or stands still."""
        now_ns, known = self._clock.monotonic_ns(), self._written.get(venue)
        if known is None or written_ns > known.time_ns:
            self._written[venue] = _Written(written_ns, now_ns)
            return ""
        still_ns, late_ns = now_ns - known.since_ns, known.time_ns - written_ns
        is_long = still_ns > self._limits.stale_ns
        if late_ns > CLOCKS_APART_NS:
            if is_long:  # a clock that was set back is believed in the end
                self._written[venue] = _Written(written_ns, now_ns)
            return f"its own time went back by {late_ns / NS_PER_SECOND:.1f} s"
        if is_long:
            return f"its own time has stood still for {still_ns / NS_PER_SECOND:.0f} s"
        return ""

    def _strangeness(self, venue: str, seen: Seen) -> str:
        """Return which mark halved or doubled at this venue alone, or nothing."""
        strange = strange_marks(self.book.last[venue], seen.readings[venue])
        for key in [key for key in self._strange if key[0] == venue]:
            if key[1] not in strange:
                del self._strange[key]
        for symbol, mark in strange.items():
            if self._is_shared(venue, symbol, mark, seen):
                continue
            known = self._strange.get((venue, symbol))
            if known is None or abs(mark - known.mark) > AGREEMENT * known.mark:
                self._strange[venue, symbol] = known = _Strange(mark, 0)
            known.looks += 1
            if known.looks < BELIEVED_AFTER:
                return f"the mark of {symbol} jumped to {mark} here alone"
        return ""

    def _is_shared(self, venue: str, symbol: str, mark: Decimal, seen: Seen) -> bool:
        """Return whether the underlying moved likewise at another venue."""
        name = shadow.underlying(symbol)
        then = next(
            h.mark_price for h in self.book.last[venue].positions if h.symbol == symbol
        )
        for other, reading in seen.readings.items():
            if other == venue or other not in self.book.last:
                continue
            was = shadow.marks(self.book.last[other], (name,)).get(name)
            now = shadow.marks(reading, (name,)).get(name)
            if was and now and abs(now / was - mark / then) <= AGREEMENT * now / was:
                return True
        return False

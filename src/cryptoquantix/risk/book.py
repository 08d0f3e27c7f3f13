"""
Money moved is not money lost: readings to flow-adjusted unit value; it reads no venue.

The portfolio is held in *units*. Equity divided by units is the unit value, on which
drawdown is taken. A transfer changes the number of units at the value of that moment;
everything else changes the value. A jump that marks and fills do not explain is held
in *suspense*, out of the value, until the venue's ledger names it a transfer or
its time is up; then it is a loss (or a gain) like any other.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from decimal import Decimal, localcontext
from typing import Any, Final

from cryptoquantix.core.clock import NS_PER_SECOND
from cryptoquantix.core.errors import StateCorrupt
from cryptoquantix.core.exposure import HeldPosition, LedgerEntry, Reading
from cryptoquantix.risk.rules import Limits, is_large_drop, unexplained

LEDGER_KEPT_NS: Final = 3_600 * NS_PER_SECOND
"""How long ids are kept; looks reach back less far than this."""


@dataclass(frozen=True, slots=True)
class Suspense:
    """
    An unexplained jump: ``cash`` is signed, ``since_ns`` monotonic.

    ``balance`` and ``time_ns`` are of the last reading before it (wall time).
    """

    venue: str
    cash: Decimal
    since_ns: int
    balance: Decimal = Decimal(0)
    time_ns: int = 0


@dataclass(frozen=True, slots=True)
class Book:
    """
    What the daemon knows of the money, between two readings.

    ``last`` is the latest complete reading per venue. ``ahead`` are transfers that
    the ledger showed before the equity did. ``seen`` are the ids of ledger entries
    already taken in, with their times; what is older than ``opened_ns`` is in the
    baseline.
    """

    units: Decimal = Decimal(0)
    last: Mapping[str, Reading] = field(default_factory=dict)
    suspense: tuple[Suspense, ...] = ()
    ahead: tuple[Suspense, ...] = ()
    seen: Mapping[str, int] = field(default_factory=dict)
    opened_ns: int = 0

    @property
    def equity(self) -> Decimal:
        """Equity as read, summed over venues."""
        return sum((r.equity for r in self.last.values()), Decimal(0))

    @property
    def suspended(self) -> Decimal:
        """The signed sum of the jumps not yet explained."""
        return sum((item.cash for item in self.suspense), Decimal(0))

    @property
    def value(self) -> Decimal | None:
        """Unit value, jumps in suspense left out; ``None`` without units."""
        if self.units <= 0:
            return None
        with localcontext(prec=50):
            return (self.equity - self.suspended) / self.units

    def has_large_drop(self, limits: Limits) -> bool:
        """Return whether what is in suspense stops entries."""
        before = self.equity - self.suspended
        return is_large_drop(self.suspended, before, limits)


def opened(readings: Mapping[str, Reading], opened_ns: int = 0) -> Book:
    """Return a new book at a unit value of 1: the baseline of an arming."""
    book = Book(last=dict(readings), opened_ns=opened_ns)
    return replace(book, units=book.equity)


def observe(
    book: Book, readings: Mapping[str, Reading], now_ns: int, limits: Limits
) -> Book:
    """
    Return the book after one complete reading of every venue.

    ``now_ns`` is monotonic. Jumps older than ``limits.unexplained_ns`` leave suspense
    and count; transfers that the ledger showed first meet their jump here.
    """
    suspense = [
        item for item in book.suspense if now_ns - item.since_ns < limits.unexplained_ns
    ]
    book = replace(book, suspense=tuple(suspense))
    look = limits.unexplained_look_fraction * abs(book.equity)
    jumps = []
    for venue, reading in readings.items():
        before = book.last.get(venue)
        if before is None:
            continue
        jump = unexplained(before, reading)
        if abs(jump) > look:
            jumps.append(Suspense(venue, jump, now_ns, before.balance, before.time_ns))
    book = replace(
        book,
        last=dict(book.last) | dict(readings),
        suspense=book.suspense + tuple(jumps),
    )
    ahead, book = book.ahead, replace(book, ahead=())
    for item in ahead:
        book = _apply(book, item, now_ns, limits)
    return book


def take_ledger(
    book: Book,
    venue: str,
    entries: Iterable[LedgerEntry],
    *,
    now_ns: int,
    limits: Limits,
) -> Book:
    """
    Return the book after a look at one venue's ledger.

    Transfers not seen before change units. When the entries since the jump account
    for the whole change of balance, nothing is left to wait for: what is no transfer
    leaves suspense and counts at once.
    """
    entries = tuple(entries)
    is_accounted = _accounts(book, venue, entries, limits)
    seen = dict(book.seen)
    for entry in entries:
        if entry.entry_id in seen or entry.time_ns <= book.opened_ns:
            continue
        seen[entry.entry_id] = entry.time_ns
        if entry.is_transfer:
            flow = Suspense(venue, entry.cash, now_ns)
            book = _apply(book, flow, now_ns, limits)
    oldest_ns = max(seen.values(), default=0) - LEDGER_KEPT_NS
    kept = {entry_id: at_ns for entry_id, at_ns in seen.items() if at_ns > oldest_ns}
    book = replace(book, seen=kept)
    return count_suspense(book, venue) if is_accounted else book


def _accounts(
    book: Book, venue: str, entries: tuple[LedgerEntry, ...], limits: Limits
) -> bool:
    """Return whether the ledger names the whole change of balance since the jump."""
    jumps = [item for item in book.suspense if item.venue == venue]
    if not jumps or venue not in book.last:
        return False
    first = min(jumps, key=lambda item: item.time_ns)
    named = sum((e.cash for e in entries if e.time_ns > first.time_ns), Decimal(0))
    change = book.last[venue].balance - first.balance
    look = limits.unexplained_look_fraction * abs(book.equity - book.suspended)
    return bool(named) and abs(change - named) <= look


def count_suspense(book: Book, venue: str) -> Book:
    """Return the book with ``venue``'s jumps counted as gains and losses."""
    left = tuple(item for item in book.suspense if item.venue != venue)
    return replace(book, suspense=left)


def _apply(book: Book, flow: Suspense, now_ns: int, limits: Limits) -> Book:
    """Let a transfer meet its jump; keep it while the jump may still come."""
    value = book.value
    if value is None or value <= 0:
        return book
    look = limits.unexplained_look_fraction * abs(book.equity - book.suspended)
    met = Decimal(0)
    suspense = []
    for item in book.suspense:
        part = Decimal(0)
        if item.venue == flow.venue and (item.cash > 0) == (flow.cash > 0):
            part = min(abs(item.cash), abs(flow.cash - met)).copy_sign(flow.cash)
        met += part
        if abs(item.cash - part) > (look if part else 0):
            suspense.append(replace(item, cash=item.cash - part))
    with localcontext(prec=50):
        units = book.units + met / value
    book = replace(book, units=units, suspense=tuple(suspense))
    left = replace(flow, cash=flow.cash - met)
    is_rest = bool(met) and abs(left.cash) <= look
    return book if is_rest or not left.cash else _late(book, left, now_ns, limits)


def _late(book: Book, flow: Suspense, now_ns: int, limits: Limits) -> Book:
    """
    Keep what met no jump for a while, then take it out of the value.

    It was too small to be held in suspense, or came after its time: the value already
    holds it, so the units change at the value without it.
    """
    if now_ns - flow.since_ns < limits.unexplained_ns:
        return replace(book, ahead=(*book.ahead, flow))
    counted = book.equity - book.suspended
    if counted - flow.cash <= 0:
        return book
    with localcontext(prec=50):
        units = book.units * counted / (counted - flow.cash)
    return replace(book, units=units)


def to_json(book: Book, now_ns: int) -> str:
    """Return the book as written; monotonic times become ages."""
    value = asdict(book)
    for name in ("suspense", "ahead"):
        for item in value[name]:
            item["since_ns"] = now_ns - item["since_ns"]
    return json.dumps(value, default=str)


def from_json(text: str, now_ns: int) -> Book:
    """
    Return the book as read back; ages become monotonic times again.

    Raises
    ------
    StateCorrupt
        If it is not one this version could have written.
    """
    try:
        value = json.loads(text)
        last = {venue: _reading(item) for venue, item in value["last"].items()}
        waiting = {
            name: tuple(_suspense(item, now_ns) for item in value[name])
            for name in ("suspense", "ahead")
        }
        return Book(
            units=Decimal(value["units"]),
            last=last,
            seen=value["seen"],
            opened_ns=value["opened_ns"],
            **waiting,
        )
    except (KeyError, TypeError, ValueError, ArithmeticError) as error:
        msg = f"the book cannot be read: {error}"
        raise StateCorrupt(msg) from None


def _reading(item: dict[str, Any]) -> Reading:
    positions = []
    for held in item.pop("positions"):
        numbers = {k: Decimal(held[k]) for k in ("size", "mark_price", "entry_price")}
        positions.append(HeldPosition(**(held | numbers)))
    numbers = {k: Decimal(item[k]) for k in ("equity", "balance")}
    return Reading(**(item | numbers), positions=tuple(positions))


def _suspense(item: dict[str, Any], now_ns: int) -> Suspense:
    numbers = {k: Decimal(item[k]) for k in ("cash", "balance")}
    since_ns = now_ns - item["since_ns"]
    return Suspense(**(item | numbers | {"since_ns": since_ns}))

"""
Money moved is not money lost: what changes units, and what the unit value.

A transfer changes the number of units at the value of its moment; everything else
changes the value. A jump that marks and fills do not explain is held in *suspense*,
as the transfer it may be, until the venue's ledger names it or its time is up. Then a
drop is a loss like any other, and a gain a deposit: what nothing explains never raises
the peak.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Final

from cryptoquantix.core.clock import NS_PER_DAY, NS_PER_SECOND
from cryptoquantix.core.exposure import LedgerEntry, Reading
from cryptoquantix.risk import rates, shadow, transit
from cryptoquantix.risk.book import WIDE, ZERO, Book, Suspense, worth
from cryptoquantix.risk.explain import balances, equities, home_coin, unexplained
from cryptoquantix.risk.rates import DOLLARS
from cryptoquantix.risk.rules import Limits

LEDGER_KEPT_NS: Final = 3_600 * NS_PER_SECOND
"""How long ids are kept; looks reach back less far than this."""

SEEN_MAX: Final = 4_096
WAITING_MAX: Final = 64
ASSUMED_KEPT_NS: Final = NS_PER_DAY
CONVERSION_TOLERANCE: Final = Decimal("0.02")
"""How far both sides of a conversion of one coin to another may differ in USD."""


def observe(
    book: Book, readings: Mapping[str, Reading], now_ns: int, limits: Limits
) -> Book:
    """
    Return the book after one round of good readings, of every venue or of some.

    ``now_ns`` is monotonic. Jumps older than ``limits.unexplained_ns`` leave suspense
    and count; transfers that the ledger showed first meet their jump here. A venue
    that was not read keeps its last reading, at the rates of now.
    """
    old = _aged(book, now_ns, limits)
    is_partial = any(venue not in readings for venue in old.last)
    check = rates.check(old.check.values, readings, limits, is_partial=is_partial)
    refs, ratios = shadow.advanced(old, readings)
    last = {**old.last, **readings}
    worth_now = {venue: worth(check.values, r) for venue, r in last.items()}
    new = Book(
        units=old.units,
        last=last,
        worth=worth_now,
        check=check,
        suspense=old.suspense,
        ahead=(),
        assumed=old.assumed,
        seen=old.seen,
        opened_ns=old.opened_ns,
        transit=old.transit,
        collateral=old.collateral,
        emptied_at=old.emptied_at,
        refs=refs,
        ratios=ratios,
    )
    if new.units <= 0:
        return _filled_again(new, now_ns)
    new = _moved(old, new, readings, limits)
    jumps = _jumps(old, new, readings, now_ns=now_ns, look=_look(new, limits))
    if jumps:
        new = _suspended(new, jumps, limits)
    for item in old.ahead:
        new = _apply(new, item, now_ns, limits)
    return new


def _filled_again(book: Book, now_ns: int) -> Book:
    """Return the book with units again, where all had been withdrawn from it."""
    if not book.emptied_at or book.equity <= 0:
        return book
    found = [
        Suspense(reading.venue, cash, now_ns, coin=coin)
        for reading in book.last.values()
        for coin, cash in equities(reading).items()
        if cash > 0
    ]
    deposits = tuple(
        replace(item, units=WIDE.divide(book.usd(item), book.emptied_at))
        for item in found
    )
    return replace(
        book,
        units=WIDE.divide(book.equity, book.emptied_at),
        emptied_at=ZERO,
        ahead=(),
        assumed=deposits[-WAITING_MAX:],
    )


def _moved(
    old: Book, new: Book, readings: Mapping[str, Reading], limits: Limits
) -> Book:
    """Return the book after what coin prices did to it, and venues that are new."""
    moved = ZERO
    neutral = sum((new.worth[v] for v in readings if v not in old.last), ZERO)
    for reading in old.last.values():
        for item in reading.coins:
            if item.coin in DOLLARS or not item.equity:
                continue
            move = item.equity * (new.rate(item.coin) - old.rate(item.coin))
            if item.coin not in old.check.values:
                neutral += move  # valued for the first time: no gain
            else:
                moved += move
    if not limits.collateral_moves:
        neutral += moved
    if moved:
        new = replace(new, collateral=old.collateral + moved)
    return _without_flow(new, neutral) if neutral else new


def _without_flow(book: Book, flow: Decimal) -> Book:
    """Return the book with units for ``flow`` USD that its equity already holds."""
    counted = book.equity - book.suspended
    if counted - flow <= counted / 10:  # it cannot be in the value: ten times the units
        return book
    units = WIDE.divide(WIDE.multiply(book.units, counted), counted - flow)
    return replace(book, units=units)


def _jumps(
    old: Book,
    new: Book,
    readings: Mapping[str, Reading],
    *,
    now_ns: int,
    look: Decimal,
) -> list[Suspense]:
    """Return what no mark and no fill explains of this round, where it matters."""
    found = []
    for venue, reading in readings.items():
        before = old.last.get(venue)
        if before is None:
            continue
        for coin, cash in unexplained(before, reading).items():
            if abs(cash) * new.rate(coin) <= look:
                continue
            balance = balances(before).get(coin, ZERO)
            jump = Suspense(
                venue, cash, now_ns, balance=balance, time_ns=before.time_ns, coin=coin
            )
            found.append(jump)
    return found


def _look(book: Book, limits: Limits) -> Decimal:
    """Return the size in USD from which on a jump of this round is held apart."""
    return limits.unexplained_look_fraction * abs(book.equity)


def _suspended(book: Book, jumps: list[Suspense], limits: Limits) -> Book:
    """Hold the jumps of one round apart, net of what they take back."""
    look = _look(book, limits)
    units = book.units_now
    counted = book.equity - sum((book.usd(jump) for jump in jumps), ZERO)
    value = WIDE.divide(counted, units) if units > 0 and counted > 0 else None
    for jump in jumps:
        book, rest = _taken_back(book, jump)
        usd = book.usd(rest)
        if abs(usd) <= look:
            continue
        part = ZERO if value is None else WIDE.divide(usd, value)
        waiting = (*book.suspense, replace(rest, units=part))
        book = replace(book, suspense=waiting[-WAITING_MAX:])
    return book


def _taken_back(book: Book, jump: Suspense) -> tuple[Book, Suspense]:
    """
    Net a jump with what it reverses, newest first; return what is left of it.

    A glitch that comes and goes, money that leaves and returns, and a coin changed
    into another leave nothing behind.
    """
    suspense, jump = _netted(book.suspense, jump)
    book = replace(book, suspense=suspense)
    if jump.cash < 0 and book.assumed:
        before = sum((item.units for item in book.assumed), ZERO)
        assumed, jump = _netted(book.assumed, jump)
        after = sum((item.units for item in assumed), ZERO)
        book = replace(book, assumed=assumed, units=book.units + after - before)
    return _converted(book, jump)


def _netted(
    items: tuple[Suspense, ...], jump: Suspense
) -> tuple[tuple[Suspense, ...], Suspense]:
    left: list[Suspense] = []
    for item in reversed(items):
        is_same = (item.venue, item.coin) == (jump.venue, jump.coin)
        if not jump.cash or not is_same or (item.cash > 0) == (jump.cash > 0):
            left.append(item)
            continue
        part = min(abs(item.cash), abs(jump.cash))
        jump = replace(jump, cash=jump.cash - part.copy_sign(jump.cash))
        rest = _less(item, part.copy_sign(item.cash))
        if rest.cash:
            left.append(rest)
    return tuple(reversed(left)), jump


def _less(item: Suspense, part: Decimal) -> Suspense:
    """Return ``item`` without ``part`` of its cash, units in proportion."""
    cash = item.cash - part
    units = WIDE.divide(WIDE.multiply(item.units, cash), item.cash)
    return replace(item, cash=cash, units=units)


def _converted(book: Book, jump: Suspense) -> tuple[Book, Suspense]:
    """Return the book without the other side of a conversion at the same venue."""
    usd = book.usd(jump)
    for item in book.suspense:
        other = book.usd(item)
        if item.venue != jump.venue or item.coin == jump.coin or other * usd >= 0:
            continue
        if abs(usd + other) <= CONVERSION_TOLERANCE * abs(usd):
            left = tuple(each for each in book.suspense if each is not item)
            return replace(book, suspense=left), replace(jump, cash=ZERO)
    return book, jump


def _aged(book: Book, now_ns: int, limits: Limits) -> Book:
    """Return the book after the time of what waited too long is up."""
    way = transit.aged(book.transit, now_ns, limits)
    if way is not book.transit:
        book = replace(book, transit=way)
    if book.assumed and now_ns - book.assumed[0].since_ns >= ASSUMED_KEPT_NS:
        book = replace(book, assumed=book.assumed[1:])
    late = [i for i in book.suspense if now_ns - i.since_ns >= limits.unexplained_ns]
    if not late:
        return book
    gains = [item for item in late if item.cash > 0]
    return replace(
        book,
        units=book.units + sum((item.units for item in gains), ZERO),
        suspense=tuple(item for item in book.suspense if item not in late),
        assumed=(*book.assumed, *gains)[-WAITING_MAX:],
    )


# -- ledgers ------------------------------------------------------------------------


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
    reading = book.last.get(venue)
    if reading is None:
        return book
    entries = [replace(e, coin=home_coin(reading, e.coin)) for e in entries]
    accounted = _accounted(book, reading, entries, limits)
    seen = dict(book.seen)
    for entry in entries:
        if not entry.is_transfer or entry.entry_id in seen:
            continue
        if entry.time_ns <= book.opened_ns or not entry.cash:
            continue
        seen[entry.entry_id] = entry.time_ns
        flow = Suspense(venue, entry.cash, now_ns, coin=entry.coin)
        book = _apply(book, flow, now_ns, limits)
        book = _on_the_way(book, flow, limits)
    oldest_ns = max(seen.values(), default=0) - LEDGER_KEPT_NS
    kept = [(key, at_ns) for key, at_ns in seen.items() if at_ns > oldest_ns]
    book = replace(book, seen=dict(kept[-SEEN_MAX:]))
    for coin in accounted:
        book = count_suspense(book, venue, coin)
    return book


def _accounted(
    book: Book, reading: Reading, entries: list[LedgerEntry], limits: Limits
) -> set[str]:
    """Return the coins whose whole change of balance since the jump is named."""
    found: set[str] = set()
    for coin in {item.coin for item in book.suspense if item.venue == reading.venue}:
        jumps = [i for i in book.suspense if (i.venue, i.coin) == (reading.venue, coin)]
        first = min(jumps, key=lambda item: item.time_ns)
        named = sum(
            (e.cash for e in entries if e.coin == coin and e.time_ns > first.time_ns),
            ZERO,
        )
        change = balances(reading).get(coin, ZERO) - first.balance
        gap = abs(change - named) * book.rate(coin)
        if named and gap <= book.look(limits):
            found.add(coin)
    return found


def count_suspense(book: Book, venue: str, coin: str | None = None) -> Book:
    """Return the book with ``venue``'s jumps counted as gains and losses."""
    left = tuple(
        item
        for item in book.suspense
        if item.venue != venue or coin not in {None, item.coin}
    )
    return replace(book, suspense=left)


def _on_the_way(book: Book, flow: Suspense, limits: Limits) -> Book:
    """Keep an outflow as on its way to another own venue; what the way cost is lost."""
    move = transit.Move(flow.venue, flow.coin, abs(flow.cash), flow.since_ns)
    step = transit.departed if flow.cash < 0 else transit.arrived
    way, fee = step(book.transit, move, limits)
    book = replace(book, transit=way)
    return _without_flow(book, fee * book.rate(flow.coin)) if fee else book


def _apply(book: Book, flow: Suspense, now_ns: int, limits: Limits) -> Book:
    """Let a transfer meet its jump; keep it while the jump may still come."""
    if book.units <= 0:
        return book
    look = book.look(limits)
    left, units, suspense = flow.cash, book.units, []
    for item in book.suspense:
        part = _common(item, flow, left)
        if part:
            left -= part
            rest = _less(item, part)
            units += item.units - rest.units
            if abs(book.usd(rest)) <= look:
                continue
            item = rest  # noqa: PLW2901 - what is left of it waits on
        suspense.append(item)
    if units <= 0 < book.units:
        value = WIDE.divide(book.equity - book.suspended, book.units)
        return replace(book, units=ZERO, emptied_at=value, suspense=())
    book = replace(book, units=units, suspense=tuple(suspense))
    book, left = _named_late(book, flow, left)
    rest = replace(flow, cash=left)
    is_met = left != flow.cash and abs(book.usd(rest)) <= look
    return book if is_met or not left else _wait(book, rest, now_ns, limits)


def _common(item: Suspense, flow: Suspense, left: Decimal) -> Decimal:
    """Return the part of ``item`` that the rest of ``flow`` explains."""
    is_same = (item.venue, item.coin) == (flow.venue, flow.coin)
    if not left or not is_same or (item.cash > 0) != (left > 0):
        return ZERO
    return min(abs(item.cash), abs(left)).copy_sign(left)


def _named_late(book: Book, flow: Suspense, left: Decimal) -> tuple[Book, Decimal]:
    """Let a deposit meet a gain that already counts as one."""
    assumed = []
    for item in book.assumed:
        part = _common(item, flow, left)
        left -= part
        rest = _less(item, part) if part else item
        if rest.cash:
            assumed.append(rest)
    return replace(book, assumed=tuple(assumed)), left


def _wait(book: Book, flow: Suspense, now_ns: int, limits: Limits) -> Book:
    """
    Keep what met no jump for a while, then take it out of the value.

    It was too small to be held in suspense, or came after its time: the value already
    holds it, so the units change at the value without it. Two that take each other
    back leave nothing to wait for.
    """
    ahead, flow = _netted(book.ahead, flow)
    book = replace(book, ahead=ahead)
    if not flow.cash:
        return book
    if now_ns - flow.since_ns < limits.unexplained_ns:
        return replace(book, ahead=(*ahead, flow)[-WAITING_MAX:])
    return _without_flow(book, book.usd(flow))

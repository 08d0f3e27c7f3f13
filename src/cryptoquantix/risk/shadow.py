"""
A venue out of sight, valued at what the others show; an estimate, and named as one.

Its last positions move as the marks of the same underlying have moved at the venues
that are still seen, or as their index of it has; where nobody has one they stand
still. An estimate never raises the peak, and alone it trips nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from decimal import Decimal
from functools import lru_cache
from statistics import median
from typing import Final

from cryptoquantix.core.exposure import Reading
from cryptoquantix.risk.book import ZERO, Book
from cryptoquantix.risk.explain import home_coin, notional
from cryptoquantix.risk.rates import DOLLARS

type Marks = Mapping[str, Mapping[str, Decimal]]
type Ratios = Mapping[str, Mapping[str, Decimal]]

QUOTES: Final = ("PERP", "FDUSD", "USDT", "USDC", "BUSD", "USDE", "USD")


@lru_cache(maxsize=4096)
def underlying(symbol: str) -> str:
    """
    Return what a symbol is about, whatever the venue calls it.

    Examples
    --------
    >>> [underlying(s) for s in ("BTCUSDT", "BTC_USDC-PERPETUAL", "1000PEPEUSDT")]
    ['BTC', 'BTC', 'PEPE']
    """
    name = re.split(r"[-_/:]", symbol.upper(), maxsplit=1)[0]
    for quote in QUOTES:
        if name.endswith(quote) and name != quote:
            name = name.removesuffix(quote)
    return re.sub(r"^1(0{3,})(?=[A-Z])", "", name)


def advanced(
    book: Book, readings: Mapping[str, Reading]
) -> tuple[Mapping[str, Marks], Ratios]:
    """
    Return reference marks and ratios after a round that saw ``readings``.

    The references of a venue are taken when it is first missed, from the others' last
    readings, which are as old as its own.
    """
    missing = [venue for venue in book.last if venue not in readings]
    if not missing:
        return ({}, {}) if book.refs else (book.refs, book.ratios)
    refs: dict[str, Marks] = {}
    ratios: dict[str, Mapping[str, Decimal]] = {}
    for venue in missing:
        names = {underlying(held.symbol) for held in book.last[venue].positions}
        seen = (v for v in book.last if v != venue and v not in book.refs)
        refs[venue] = book.refs.get(venue) or {
            other: marks(book.last[other], names) for other in seen
        }
        known = dict(book.ratios.get(venue, {}))
        for name in names:
            ratio = _ratio(name, refs[venue], readings)
            if ratio is not None:
                known[name] = ratio
        ratios[venue] = known
    return refs, ratios


def marks(reading: Reading, names: Iterable[str]) -> dict[str, Decimal]:
    """Return one price per underlying: of a position, else the venue's own index."""
    wanted = set(names)
    found = {c: r for c, r in reading.rates if c in wanted and c not in DOLLARS}
    for held in reading.positions:
        name = underlying(held.symbol)
        if name in wanted:
            found[name] = held.mark_price
    return found


def _ratio(name: str, refs: Marks, readings: Mapping[str, Reading]) -> Decimal | None:
    """Return how the underlying has moved where it is seen, by the median venue."""
    moves = []
    for venue, then in refs.items():
        if name in then and venue in readings:
            now = marks(readings[venue], (name,)).get(name)
            if now is not None and then[name] > 0:
                moves.append(now / then[name])
    return median(moves) if moves else None


def estimated(book: Book, *, is_favorable: bool = False) -> Book:
    """
    Return the book with every venue out of sight at its estimated worth.

    ``is_favorable`` takes positions that nobody has a mark for as moved in our favor,
    by as much as anything else there has: what trips must hold even then, for such a
    position may be the hedge of what is estimated.
    """
    if not book.refs:
        return book
    worth = dict(book.worth)
    for venue in book.refs:
        known, unknown = moves(book, venue)
        worth[venue] += known + (unknown if is_favorable else ZERO)
    return replace(book, worth=worth)


def moves(book: Book, venue: str) -> tuple[Decimal, Decimal]:
    """
    Return what the others' marks have done to a venue's last positions, in USD.

    And the most that those without such a mark can have gained.
    """
    reading, ratios = book.last[venue], book.ratios.get(venue, {})
    total, unmarked = ZERO, ZERO
    for held in reading.positions:
        ratio = ratios.get(underlying(held.symbol))
        if ratio is None or ratio <= 0:
            unmarked += notional(held)
            continue
        mark = held.mark_price * ratio
        step = mark - held.mark_price
        if held.is_inverse:
            step /= mark * held.mark_price
        total += held.size * step * book.rate(home_coin(reading, held.coin))
    widest = max((abs(ratio - 1) for ratio in ratios.values()), default=ZERO)
    return total, unmarked * widest

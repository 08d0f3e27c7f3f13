"""
The drawdown with everything it was made of, in words; it computes nothing new.

Wherever the number is shown, so is this: which venue holds how much, at which rates,
what is unexplained, in transit, estimated or left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from cryptoquantix.risk import shadow
from cryptoquantix.risk.book import WIDE, Book
from cryptoquantix.risk.judgement import Sight
from cryptoquantix.risk.rates import FIXED
from cryptoquantix.risk.rules import Limits, drawdown


def text(book: Book, peak: Decimal | None, limits: Limits) -> str:
    """
    Return the formula with its inputs, as one text.

    Examples
    --------
    >>> text(Book(), None, Limits())
    'drawdown = 1 - equity / highest of 24 h, trips at 3.00 %: no baseline'
    """
    limit = f"{limits.drawdown_fraction_max * 100:.2f} %"
    value = book.value
    if value is None or peak is None:
        return f"drawdown = 1 - equity / highest of 24 h, trips at {limit}: no baseline"
    counted, units, apart = _counted(book, value)
    head = (
        f"drawdown = 1 - {counted:.2f}{apart} / {peak * units:.2f} (highest of 24 h, "
        f"transfers taken out) = {drawdown(value, peak) * 100:.4f} %, trips at {limit}"
    )
    return "; ".join([head, *components(book, peak, limits)])


def _counted(book: Book, value: Decimal) -> tuple[Decimal, Decimal, str]:
    """Return the equity and the units that ``value`` was made of, and what is apart."""
    if not book.suspense:
        return book.equity, book.units, ""
    units, cash = book.units_now, book.suspended
    if units > 0 and WIDE.divide(book.equity, units) == value:
        return book.equity, units, f" ({cash:+.2f} unexplained taken as a transfer)"
    return book.equity - cash, book.units, f" ({cash:+.2f} unexplained left out)"


def components(book: Book, peak: Decimal | None, limits: Limits) -> list[str]:
    """Return what the drawdown is made of, one sentence each."""
    return [
        "equity = "
        + " + ".join(f"{name} {worth:.2f}" for name, worth in book.worth.items()),
        *_rates(book),
        *_unexplained(book),
        *_transit(book),
        *_collateral(book, limits),
        *_estimate(book, peak),
        *_others(book),
    ]


def _rates(book: Book) -> Iterator[str]:
    held = {c.coin for r in book.last.values() for c in r.coins if c.equity} - FIXED
    check = book.check
    shown = [
        f"{coin} {check.values[coin].normalize():f}"
        + ("?" if coin in check.unchecked else "")
        for coin in sorted(held & check.values.keys())
    ]
    if shown:
        mark = " (? by one venue alone)" if set(check.unchecked) & held else ""
        yield f"USD a coin, median of the venues: {', '.join(shown)}{mark}"
    for (venue, coin), rate in check.outliers.items():
        yield f"{venue} has {coin} at {rate.normalize():f}: left out"
    for coin in check.unvalued:
        yield f"{coin} is rated by no venue: counts as nothing"


def _unexplained(book: Book) -> Iterator[str]:
    for item in book.suspense:
        yield (
            f"unexplained at {item.venue}: {item.cash:+.8g} {item.coin or 'USD'} "
            f"({book.usd(item):+.2f} USD)"
        )
    assumed = sum((book.usd(item) for item in book.assumed), Decimal(0))
    if assumed:
        yield f"unexplained gains that count as deposits: {assumed:.2f} USD"


def _transit(book: Book) -> Iterator[str]:
    for coin, cash in book.transit.totals.items():
        yield f"in transit: {cash:f} {coin or 'USD'}"


def _collateral(book: Book, limits: Limits) -> Iterator[str]:
    if book.collateral:
        word = "counted" if limits.collateral_moves else "not counted"
        yield f"prices of coins, since the baseline: {book.collateral:+.2f} ({word})"


def _estimate(book: Book, peak: Decimal | None) -> Iterator[str]:
    if not book.refs:
        return
    seen = shadow.estimated(book)
    names = ", ".join(f"{name} {seen.worth[name]:.2f}" for name in book.refs)
    value, fraction = seen.value, ""
    if value is not None and peak is not None:
        fraction = f": drawdown {drawdown(value, peak) * 100:.4f} %"
    yield f"estimate, out of sight and at the others' marks: {names}{fraction}"


def _others(book: Book) -> Iterator[str]:
    found = [
        f"{venue} {other.symbol} {other.size:f} ({other.kind.replace('_', ' ')})"
        for venue, reading in book.last.items()
        for other in reading.others
    ]
    if found:
        yield f"counted and never closed: {', '.join(found)}"


def trip_reason(book: Book, sight: Sight, limits: Limits) -> str:
    """Return why a drawdown halts, as one clause."""
    assert sight.value is not None
    assert sight.peak is not None
    fraction, limit = drawdown(sight.value, sight.peak), limits.drawdown_fraction_max
    clause = f"drawdown {fraction * 100:.4f} % reached the limit of {limit * 100:.2f} %"
    if sight.is_estimate:
        names = ", ".join(book.refs)
        clause += f", with {names} out of sight and estimated at the others' marks"
    return clause

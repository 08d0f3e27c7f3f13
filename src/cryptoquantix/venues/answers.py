"""
Venues' answers held to the shape that is documented; it requests nothing.

Numbers stay exact: decimal text becomes Decimal as it stands, and a JSON number the
shortest decimal that gives back the same double, which are the venue's own digits as
long as there are at most fifteen of them.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from typing import Final

from cryptoquantix.core.errors import VenueError
from cryptoquantix.core.instrument import Instrument

_LOG = logging.getLogger(__name__)

# What reading an answer of any other shape than the documented one may raise.
UNREADABLE: Final = (KeyError, ValueError, TypeError, ArithmeticError, AttributeError)


@contextlib.contextmanager
def shaped(venue: str, request: str) -> Iterator[None]:
    """Turn an answer of unknown shape into one sentence."""
    try:
        yield
    except UNREADABLE as error:
        msg = f"{venue} answered {request} in an unknown shape: {error!r}"
        raise VenueError(msg, venue=venue, request=request) from None


def number(value: object) -> Decimal:
    """Return a decimal text as a finite number; never from a float."""
    if not isinstance(value, (str, int)) or isinstance(value, bool):
        msg = f"expected decimal text, found {value!r}"
        raise TypeError(msg)
    return _finite(Decimal(value), value)


def json_number(value: object) -> Decimal:
    """
    Return a JSON number, or decimal text, as a finite number.

    Examples
    --------
    >>> json_number(8.34e-06)
    Decimal('0.00000834')
    """
    if isinstance(value, float):
        return _finite(Decimal(format(Decimal(repr(value)), "f")), value)
    return number(value)


def plain(value: Decimal) -> str:
    """Return a number as venues take it: no exponent."""
    return format(value, "f")


def read_each[T](
    rows: Iterable[T], symbol: Callable[[T], str], read: Callable[[T], Instrument]
) -> dict[str, Instrument]:
    """Return instruments by symbol; one that cannot be read is left out, and told."""
    found: dict[str, Instrument] = {}
    for row in rows:
        try:
            found[symbol(row)] = read(row)
        except (KeyError, ArithmeticError, ValueError, TypeError) as error:
            extra = {"symbol": symbol(row), "reason": repr(error)}
            _LOG.warning("instrument left out", extra=extra)
    return found


def _finite(value: Decimal, found: object) -> Decimal:
    if not value.is_finite():
        msg = f"expected a finite number, found {found!r}"
        raise ValueError(msg)
    return value

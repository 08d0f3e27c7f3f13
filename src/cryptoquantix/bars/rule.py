"""When a bar opens and closes, one tick at a time; it builds none itself."""

from __future__ import annotations

from cryptoquantix.core.clock import NS_PER_DAY

HOLE_NS = NS_PER_DAY
"""A silence longer than this is a hole in the data, not a quiet market."""


def open_time_ns(time_ns: int, interval_ns: int) -> int:
    """
    Return the open of the bar that a trade at ``time_ns`` belongs to.

    Bars are half-open, ``[open, open + interval)``, and aligned to 1970 UTC.

    Examples
    --------
    >>> open_time_ns(119_999_999_999, 60_000_000_000)
    60000000000
    """
    return time_ns - time_ns % interval_ns


def flat_bar_count(previous_open_ns: int, open_ns: int, interval_ns: int) -> int:
    """
    Return how many flat bars stand between two bars that have trades.

    One for every interval without a trade, as venues publish them. A silence of
    more than :data:`HOLE_NS` gets none: those bars would be invented, and their
    number would have no bound.

    Examples
    --------
    >>> flat_bar_count(0, 3 * 60, 60)
    2
    """
    empty = (open_ns - previous_open_ns) // interval_ns - 1
    return 0 if empty * interval_ns > HOLE_NS else empty

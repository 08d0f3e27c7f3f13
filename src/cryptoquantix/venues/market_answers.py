"""
What the readings of the venues' public answers share: bars in order, one sentence.

It requests nothing and knows no venue's fields.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import pairwise

from cryptoquantix.core.clock import NS_PER_MS
from cryptoquantix.core.errors import SettingsError, VenueError
from cryptoquantix.core.market import Bar


def unreadable(venue: str, request: str, reason: object) -> VenueError:
    """Return the error of an answer that is not of the documented shape."""
    msg = f"{venue} answered {request} in an unknown shape: {reason}"
    return VenueError(msg, venue=venue, request=request)


def interval_named(venue: str, names: Mapping[int, str], bar_seconds: int) -> str:
    """
    Return a venue's name of a bar length.

    Raises
    ------
    SettingsError
        If the venue keeps no bars of that length, so that none could be fetched.
    """
    if bar_seconds not in names:
        known = ", ".join(str(seconds) for seconds in names)
        msg = f"bar_seconds must be one of {known} at {venue}, was {bar_seconds}"
        raise SettingsError(msg)
    return names[bar_seconds]


def span_of_bar(open_ms: int, interval_ns: int) -> tuple[int, int]:
    """Return when a bar opens and closes; ValueError where it is off its interval."""
    open_time_ns = open_ms * NS_PER_MS
    if open_time_ns % interval_ns:
        msg = f"bar opens at {open_ms} ms, off its interval"
        raise ValueError(msg)
    return open_time_ns, open_time_ns + interval_ns


def bars_in_order(venue: str, request: str, bars: Iterable[Bar]) -> list[Bar]:
    """
    Return ``bars``, which are read here one after another.

    Raises
    ------
    VenueError
        If one cannot be read, or they are not sorted in time.
    """
    try:
        found = list(bars)
    except (ValueError, IndexError) as error:
        raise unreadable(venue, request, error) from None
    opens = (bar.open_time_ns for bar in found)
    if any(after <= before for before, after in pairwise(opens)):
        raise unreadable(venue, request, "bars are not sorted in time")
    return found

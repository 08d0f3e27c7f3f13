"""
All venues together, as far as each was last read; it reads and decides nothing.

Every desk of a trading loop tells it where it stands, by a function that is asked at
the moment of a decision. Desks decide in one thread and without waiting in between:
what one has just decided is in the next one's figures, however close they follow. A
venue that falls silent counts with its last reading and all that was under way there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from cryptoquantix.core.instrument import Venue
from cryptoquantix.orders.exposure import Exposure


class Portfolio:
    """
    The exposure of several venues.

    Parameters
    ----------
    venues : iterable of Venue
        Every venue that is traded: until each was read, nothing is known.
    """

    def __init__(self, venues: Iterable[Venue]) -> None:
        self._exposures: dict[Venue, Callable[[], Exposure | None]] = dict.fromkeys(
            venues, _unread
        )

    def join(self, venue: Venue, exposure: Callable[[], Exposure | None]) -> None:
        """Ask ``exposure`` for what is at stake at ``venue`` from now on."""
        assert venue in self._exposures, f"{venue} is not of this portfolio"
        self._exposures[venue] = exposure

    def exposure(self) -> Exposure | None:
        """Return what may be at stake at all venues; None where one was never read."""
        found = Exposure()
        for ask in self._exposures.values():
            one = ask()
            if one is None:
                return None
            found += one
        return found


def _unread() -> Exposure | None:
    return None

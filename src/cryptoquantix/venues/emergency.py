"""
The risk daemon's way to a venue, whichever it is; the three differ below it.

Each satisfies the daemon's port by shape and never opens a position.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from cryptoquantix.core.clock import Clock
from cryptoquantix.core.instrument import Venue
from cryptoquantix.venues.emergency_binance import BinanceEmergency
from cryptoquantix.venues.emergency_bybit import BybitEmergency
from cryptoquantix.venues.emergency_deribit import DeribitEmergency

__all__ = ["BinanceEmergency", "BybitEmergency", "DeribitEmergency", "open_emergency"]

type Emergency = BinanceEmergency | BybitEmergency | DeribitEmergency

_CLIENTS: Final[Mapping[Venue, type[Emergency]]] = {
    Venue.BINANCE: BinanceEmergency,
    Venue.BYBIT: BybitEmergency,
    Venue.DERIBIT: DeribitEmergency,
}


def open_emergency(
    venue: Venue | str, *, rest: str, key: str, secret: str, clock: Clock
) -> Emergency:
    """
    Return the client of ``venue``; close it with its ``close``.

    Raises
    ------
    SettingsError
        If there is no key, or ``rest`` is no http address.
    """
    client = _CLIENTS[Venue(venue)]
    return client(rest=rest, key=key, secret=secret, clock=clock)

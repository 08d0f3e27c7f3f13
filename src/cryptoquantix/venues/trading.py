"""The venue port of a venue, by its name; it opens no connection."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from cryptoquantix.core.clock import Clock
from cryptoquantix.core.instrument import Venue
from cryptoquantix.venues.ccxt_bybit import CcxtBybit
from cryptoquantix.venues.ccxt_deribit import CcxtDeribit
from cryptoquantix.venues.ccxt_venue import CcxtBinance

_PORTS: Final[
    Mapping[Venue, type[CcxtBinance] | type[CcxtBybit] | type[CcxtDeribit]]
] = {
    Venue.BINANCE: CcxtBinance,
    Venue.BYBIT: CcxtBybit,
    Venue.DERIBIT: CcxtDeribit,
}


def trading_port(
    venue: Venue, *, rest: str, key: str, secret: str, clock: Clock
) -> CcxtBinance | CcxtBybit | CcxtDeribit:
    """Return the account of ``key`` at ``venue`` as execution needs it."""
    return _PORTS[venue](rest=rest, key=key, secret=secret, clock=clock)

"""Which module speaks which venue's market data; it opens no connection."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from cryptoquantix.core.errors import SettingsError
from cryptoquantix.core.instrument import Instrument, InstrumentId, Venue
from cryptoquantix.venues.binance import BinanceRest
from cryptoquantix.venues.binance_feed import BinanceDecoder, BinanceStreams
from cryptoquantix.venues.bybit import BybitRest
from cryptoquantix.venues.bybit_feed import BybitDecoder, BybitStreams
from cryptoquantix.venues.deribit import DeribitRest
from cryptoquantix.venues.deribit_feed import DeribitDecoder, DeribitStreams
from cryptoquantix.venues.dialect import RestDialect, StreamDialect
from cryptoquantix.venues.feed import FeedDecoder

REST: Final[dict[Venue, RestDialect]] = {
    Venue.BINANCE: BinanceRest(),
    Venue.BYBIT: BybitRest(),
    Venue.DERIBIT: DeribitRest(),
}
STREAMS: Final[dict[Venue, StreamDialect]] = {
    Venue.BINANCE: BinanceStreams(),
    Venue.BYBIT: BybitStreams(),
    Venue.DERIBIT: DeribitStreams(),
}
DECODERS: Final[dict[Venue, type[FeedDecoder]]] = {
    Venue.BINANCE: BinanceDecoder,
    Venue.BYBIT: BybitDecoder,
    Venue.DERIBIT: DeribitDecoder,
}


def interval_name(venue: Venue, bar_seconds: int) -> str:
    """
    Return a venue's name of a bar length.

    Raises
    ------
    SettingsError
        If the venue keeps no bars of that length, so that none could be fetched.
    """
    return REST[venue].interval_name(bar_seconds)


def select(
    known: dict[str, Instrument], wanted: Iterable[InstrumentId]
) -> dict[str, Instrument]:
    """
    Return the instruments ``wanted``, by symbol.

    Raises
    ------
    SettingsError
        If one is not traded at the venue, or is not of the kind its name says.
    """
    found: dict[str, Instrument] = {}
    for id_ in wanted:
        instrument = known.get(id_.symbol)
        venue = id_.venue.value
        if instrument is None:
            msg = f"{id_} is not traded at {venue} ({len(known)} instruments are)"
            raise SettingsError(msg)
        if instrument.id != id_:
            msg = f"{id_} is traded at {venue} as {instrument.id}, not as named"
            raise SettingsError(msg)
        found[id_.symbol] = instrument
    return found

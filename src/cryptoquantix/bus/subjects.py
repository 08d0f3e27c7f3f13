"""Names on the bus: who publishes under which subject and key; it connects nothing."""

from __future__ import annotations

import re
from typing import Final

from cryptoquantix.core.errors import SettingsError
from cryptoquantix.core.instrument import InstrumentId, Venue

TARGETS_BUCKET: Final = "targets"
STRATEGY_STATUS: Final = "strategy"
RECORDER_STATUS: Final = "recorder"
EXECUTION_STATUS: Final = "execution"
# Asked with READ_FIRST, execution reads its accounts anew as well.
EXECUTION_ASK: Final = "execution.ask"
READ_FIRST: Final = b"read"

_TOKEN: Final = re.compile(r"[-/_=a-zA-Z0-9]+")


def ticks(instrument: InstrumentId) -> str:
    """
    Return the subject of an instrument's trade prints.

    Examples
    --------
    >>> ticks(InstrumentId.parse("binance:BTCUSDT-PERP"))
    'ticks.binance.BTCUSDT-PERP'
    """
    return f"ticks.{instrument.venue.value}.{instrument.name}"


def quotes(instrument: InstrumentId) -> str:
    """Return the subject of an instrument's best bid and ask."""
    return f"quotes.{instrument.venue.value}.{instrument.name}"


def marks(instrument: InstrumentId) -> str:
    """Return the subject of an instrument's mark and index price and funding rate."""
    return f"marks.{instrument.venue.value}.{instrument.name}"


def gaps(instrument: InstrumentId) -> str:
    """Return the subject on which the feed tells of prints it was not sent."""
    return f"gaps.{instrument.venue.value}.{instrument.name}"


def feed(venue: Venue) -> str:
    """Return the subject on which a venue's feed says each second how it is."""
    return f"feed.{venue.value}"


def target_key(strategy: str, instrument: InstrumentId) -> str:
    """
    Return the key of a strategy's target for an instrument in the targets bucket.

    Dots in a strategy's (module) name become underscores: they part a key's tokens.

    Raises
    ------
    SettingsError
        If the strategy's or the instrument's name is no single bus token.
    """
    strategy = strategy.replace(".", "_")
    for name in (strategy, instrument.name):
        if not _TOKEN.fullmatch(name):
            msg = f"a name on the bus must be letters, digits, - _ / =, was {name!r}"
            raise SettingsError(msg)
    return f"{strategy}.{instrument.venue.value}.{instrument.name}"

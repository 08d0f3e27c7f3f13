"""What can be traded where, and in which steps; it converts nothing."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple

from cryptoquantix.core.errors import SettingsError


class Venue(StrEnum):
    """An exchange as counterparty and protocol."""

    BINANCE = "binance"
    BYBIT = "bybit"
    DERIBIT = "deribit"


class InstrumentKind(StrEnum):
    """How an instrument settles."""

    SPOT = "spot"
    PERPETUAL = "perpetual"
    DATED_FUTURE = "dated_future"


_SUFFIX_SPOT = "-SPOT"
_SUFFIX_PERPETUAL = "-PERP"


class InstrumentId(NamedTuple):
    """
    An instrument's name in this project: ``venue:NAME``.

    ``NAME`` is the venue's symbol with ``-PERP`` for a perpetual, ``-SPOT`` for
    spot, and as the venue spells it for a dated future (``BTCUSDT_240927``).

    Examples
    --------
    >>> str(InstrumentId.parse("binance:BTCUSDT-PERP"))
    'binance:BTCUSDT-PERP'
    >>> InstrumentId.of(Venue.BINANCE, "PEPEUSDT", InstrumentKind.SPOT).name
    'PEPEUSDT-SPOT'
    """

    venue: Venue
    name: str

    def __str__(self) -> str:
        return f"{self.venue.value}:{self.name}"

    @property
    def kind(self) -> InstrumentKind:
        """How it settles, as its name says."""
        if self.name.endswith(_SUFFIX_SPOT):
            return InstrumentKind.SPOT
        if self.name.endswith(_SUFFIX_PERPETUAL):
            return InstrumentKind.PERPETUAL
        return InstrumentKind.DATED_FUTURE

    @property
    def symbol(self) -> str:
        """The venue's own spelling (Binance, Bybit); for the edge only."""
        return self.name.removesuffix(_SUFFIX_SPOT).removesuffix(_SUFFIX_PERPETUAL)

    @classmethod
    def of(cls, venue: Venue, symbol: str, kind: InstrumentKind) -> InstrumentId:
        """Return the id of a venue's ``symbol``."""
        suffix = {
            InstrumentKind.SPOT: _SUFFIX_SPOT,
            InstrumentKind.PERPETUAL: _SUFFIX_PERPETUAL,
            InstrumentKind.DATED_FUTURE: "",
        }[kind]
        return cls(venue, symbol + suffix)

    @classmethod
    def parse(cls, text: str) -> InstrumentId:
        """
        Return the id that ``text`` spells.

        Raises
        ------
        SettingsError
            If ``text`` is not ``venue:NAME`` with a known venue.
        """
        venue, colon, name = text.partition(":")
        known = [v.value for v in Venue]
        if not colon or not name or venue not in known:
            msg = (
                f"instrument must be venue:NAME with venue one of "
                f"{', '.join(known)}, was {text!r}"
            )
            raise SettingsError(msg)
        return cls(Venue(venue), name)


@dataclass(frozen=True, slots=True)
class Instrument:
    """
    One tradable thing on one venue, with its steps.

    ``multiplier`` is base units (linear) or quote units (inverse) per contract;
    1 where sizes are in coin. ``size_market_max_lots`` bounds one market order.
    """

    id: InstrumentId
    tick_size: Decimal
    lot_size: Decimal
    notional_min: Decimal
    settlement: str
    base: str
    quote: str
    multiplier: Decimal = Decimal(1)
    is_inverse: bool = False
    size_max_lots: int = 0
    size_market_max_lots: int = 0

    def __post_init__(self) -> None:
        for name in ("tick_size", "lot_size", "multiplier"):
            value: Decimal = getattr(self, name)
            if not value > 0:
                msg = f"{self.id}: {name} must be positive, was {value}"
                raise ValueError(msg)

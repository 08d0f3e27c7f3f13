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
# Deribit writes the settlement coin of linear perpetuals and leaves out dollars:
# BTC_USDC-PERPETUAL, BTC-PERPETUAL. Here a perpetual's name is its coins.
_DERIBIT_PERPETUAL = "-PERPETUAL"
_DERIBIT_LINEAR_QUOTES = ("USDC", "USDT", "USDE")
_DOLLAR = "USD"


class InstrumentId(NamedTuple):
    """
    An instrument's name in this project: ``venue:NAME``.

    ``NAME`` is the venue's symbol with ``-PERP`` for a perpetual, ``-SPOT`` for
    spot, and as the venue spells it for a dated future (``BTCUSDT_240927``). Deribit's
    perpetuals are named by their coins: ``BTC-PERPETUAL`` (inverse, in US dollars) is
    ``deribit:BTCUSD-PERP``, ``BTC_USDC-PERPETUAL`` is ``deribit:BTCUSDC-PERP``.

    Examples
    --------
    >>> str(InstrumentId.parse("binance:BTCUSDT-PERP"))
    'binance:BTCUSDT-PERP'
    >>> InstrumentId.of(Venue.BINANCE, "PEPEUSDT", InstrumentKind.SPOT).name
    'PEPEUSDT-SPOT'
    >>> InstrumentId.parse("deribit:BTCUSD-PERP").symbol
    'BTC-PERPETUAL'
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
        """The venue's own spelling; for the edge only."""
        name = self.name.removesuffix(_SUFFIX_SPOT).removesuffix(_SUFFIX_PERPETUAL)
        if self.venue is Venue.DERIBIT and self.kind is InstrumentKind.PERPETUAL:
            return _deribit_symbol(name)
        return name

    @classmethod
    def of(cls, venue: Venue, symbol: str, kind: InstrumentKind) -> InstrumentId:
        """Return the id of a venue's ``symbol``."""
        if venue is Venue.DERIBIT and kind is InstrumentKind.PERPETUAL:
            return cls(venue, _deribit_name(symbol) + _SUFFIX_PERPETUAL)
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


def _deribit_name(symbol: str) -> str:
    base, underscore, quote = symbol.removesuffix(_DERIBIT_PERPETUAL).partition("_")
    return base + (quote if underscore else _DOLLAR)


def _deribit_symbol(name: str) -> str:
    for quote in _DERIBIT_LINEAR_QUOTES:
        if name.endswith(quote) and name != quote:
            return f"{name.removesuffix(quote)}_{quote}{_DERIBIT_PERPETUAL}"
    return name.removesuffix(_DOLLAR) + _DERIBIT_PERPETUAL


@dataclass(frozen=True, slots=True)
class Instrument:
    """
    One tradable thing on one venue, with its steps.

    A linear instrument has sizes in the base coin and settles in the quote coin. An
    inverse one has sizes in the quote (US dollars, whose number of lots does not
    depend on the price) and settles in the base coin: a position of ``size`` dollars
    gains ``size * (1 / entry - 1 / mark)`` coins. ``lot_size`` is the smallest step
    of a size: 0.001 BTC, or 10 dollars, which is Deribit's contract.

    ``settlement`` is the coin that profit, fees and funding are in. ``multiplier``
    is units of size per contract where the venue counts contracts; 1 at all three.
    ``size_market_max_lots`` bounds one market order.
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

    @property
    def size_coin(self) -> str:
        """The coin that sizes are in: the base, of inverse instruments the quote."""
        return self.quote if self.is_inverse else self.base

    def __post_init__(self) -> None:
        for name in ("tick_size", "lot_size", "multiplier"):
            value: Decimal = getattr(self, name)
            if not value > 0:
                msg = f"{self.id}: {name} must be positive, was {value}"
                raise ValueError(msg)

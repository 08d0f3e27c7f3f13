"""
Binance USD-M: only what differs from other venues; it opens no connection.

Addresses, the wire's messages, and how they become instruments, ticks and bars.
Trade times are ``T`` (tape time in a simulator), event times ``E``. Written from the
venue's documentation and recorded messages.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from decimal import Decimal
from itertools import pairwise
from typing import Any, Final

import msgspec

from cryptoquantix.core.clock import NS_PER_MS
from cryptoquantix.core.errors import SettingsError, VenueError
from cryptoquantix.core.instrument import (
    Instrument,
    InstrumentId,
    InstrumentKind,
    Venue,
)
from cryptoquantix.core.market import Bar

KLINES_MAX: Final = 1_500
_log = logging.getLogger(__name__)
_VENUE: Final = Venue.BINANCE.value
_INFO: Final = "exchangeInfo"
_BARS: Final = "klines"
_PERPETUAL_DELIVERY_MS: Final = 4_133_404_800_000
_INTERVALS: Final = {
    60: "1m",
    180: "3m",
    300: "5m",
    900: "15m",
    1_800: "30m",
    3_600: "1h",
    7_200: "2h",
    14_400: "4h",
    21_600: "6h",
    28_800: "8h",
    43_200: "12h",
    86_400: "1d",
}


class AggTrade(msgspec.Struct, tag_field="e", tag="aggTrade", gc=False):
    """One trade print: fills of one aggressor at one price."""

    E: int
    s: str
    a: int
    p: str
    q: str
    T: int
    m: bool


class BookTicker(msgspec.Struct, tag_field="e", tag="bookTicker", gc=False):
    """Best bid (``b``, size ``B``) and ask (``a``, size ``A``)."""

    E: int
    T: int
    s: str
    b: str
    B: str
    a: str
    A: str


MarketEvent = AggTrade | BookTicker


class Acknowledgement(msgspec.Struct):
    """The answer to a request: ``result`` null, or an ``error``."""

    id: int | str | None
    result: Any = None
    error: Any = None


class Envelope(msgspec.Struct):
    """A combined stream's wrapping of an event."""

    stream: str
    data: msgspec.Raw


def market_url(ws: str) -> str:
    """Return where trades are streamed, below the base address ``ws``."""
    return f"{ws.rstrip('/')}/market/ws"


def public_url(ws: str) -> str:
    """Return where best quotes are streamed, below the base address ``ws``."""
    return f"{ws.rstrip('/')}/public/ws"


def trade_stream(symbol: str) -> str:
    """Return the name of a symbol's stream of trades."""
    return f"{symbol.lower()}@aggTrade"


def quote_stream(symbol: str) -> str:
    """Return the name of a symbol's stream of best quotes."""
    return f"{symbol.lower()}@bookTicker"


def subscribe_message(streams: Sequence[str], request_id: int) -> bytes:
    """Return the request that subscribes to ``streams``."""
    message = {"method": "SUBSCRIBE", "params": list(streams), "id": request_id}
    return msgspec.json.encode(message)


def interval_name(bar_seconds: int) -> str:
    """
    Return the venue's name of a bar length.

    Raises
    ------
    SettingsError
        If the venue keeps no bars of that length, so that none could be fetched.
    """
    if bar_seconds not in _INTERVALS:
        known = ", ".join(str(seconds) for seconds in _INTERVALS)
        msg = f"bar_seconds must be one of {known} at binance, was {bar_seconds}"
        raise SettingsError(msg)
    return _INTERVALS[bar_seconds]


class _Symbol(msgspec.Struct):
    symbol: str
    status: str
    contractType: str  # noqa: N815 - the venue's spelling
    deliveryDate: int  # noqa: N815
    baseAsset: str  # noqa: N815
    quoteAsset: str  # noqa: N815
    marginAsset: str  # noqa: N815
    filters: list[dict[str, Any]]


class _ExchangeInfo(msgspec.Struct):
    symbols: list[_Symbol]


_EXCHANGE_INFO: Final = msgspec.json.Decoder(_ExchangeInfo)
_KLINES: Final = msgspec.json.Decoder(list[list[int | str]])


def parse_instruments(data: bytes) -> dict[str, Instrument]:
    """
    Return the instruments of an ``exchangeInfo`` answer that trade, by symbol.

    One symbol whose filters cannot be read is left out, and the log says so.

    Raises
    ------
    VenueError
        If the answer is not of the documented shape.
    """
    try:
        symbols = _EXCHANGE_INFO.decode(data).symbols
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise _unreadable(_INFO, str(error)) from None
    instruments: dict[str, Instrument] = {}
    for symbol in symbols:
        if symbol.status != "TRADING":
            continue
        try:
            instruments[symbol.symbol] = _instrument(symbol)
        except (KeyError, ArithmeticError, ValueError, TypeError) as error:
            _log.warning(
                "instrument left out",
                extra={"symbol": symbol.symbol, "reason": repr(error)},
            )
    return instruments


def _instrument(symbol: _Symbol) -> Instrument:
    filters = {entry["filterType"]: entry for entry in symbol.filters}
    lot = filters["LOT_SIZE"]
    lot_size = Decimal(lot["stepSize"])
    market = filters.get("MARKET_LOT_SIZE", lot)
    is_perpetual = (
        symbol.contractType == "PERPETUAL"
        or symbol.deliveryDate == _PERPETUAL_DELIVERY_MS
    )
    kind = InstrumentKind.PERPETUAL if is_perpetual else InstrumentKind.DATED_FUTURE
    return Instrument(
        id=InstrumentId.of(Venue.BINANCE, symbol.symbol, kind),
        tick_size=Decimal(filters["PRICE_FILTER"]["tickSize"]),
        lot_size=lot_size,
        notional_min=Decimal(filters.get("MIN_NOTIONAL", {}).get("notional", "0")),
        settlement=symbol.marginAsset,
        base=symbol.baseAsset,
        quote=symbol.quoteAsset,
        size_max_lots=int(Decimal(lot["maxQty"]) // lot_size),
        size_market_max_lots=int(Decimal(market["maxQty"]) // lot_size),
    )


def parse_klines(data: bytes, interval_ns: int) -> list[Bar]:
    """
    Return the bars of a ``klines`` answer, oldest first, the open one included.

    Prices and volume are the doubles nearest to the venue's decimal text;
    ``funding_rate`` is 0, which klines do not tell.

    Raises
    ------
    VenueError
        If the answer is not of the documented shape, or not sorted in time.
    """
    try:
        bars = [_bar(row, interval_ns) for row in _KLINES.decode(data)]
    except (msgspec.MsgspecError, ValueError, IndexError) as error:
        raise _unreadable(_BARS, str(error)) from None
    opens = (bar.open_time_ns for bar in bars)
    if any(after <= before for before, after in pairwise(opens)):
        unsorted = "bars are not sorted in time"
        raise _unreadable(_BARS, unsorted)
    return bars


def _bar(row: Sequence[int | str], interval_ns: int) -> Bar:
    open_time_ns = int(row[0]) * NS_PER_MS
    if open_time_ns % interval_ns:
        msg = f"bar opens at {row[0]} ms, off its interval"
        raise ValueError(msg)
    return Bar(
        open_time_ns,
        open_time_ns + interval_ns,
        float(row[1]),
        float(row[2]),
        float(row[3]),
        float(row[4]),
        float(row[5]),
        0.0,
    )


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
        if instrument is None:
            msg = f"{id_} is not traded at {_VENUE} ({len(known)} instruments are)"
            raise SettingsError(msg)
        if instrument.id != id_:
            msg = f"{id_} is traded at {_VENUE} as {instrument.id}, not as named"
            raise SettingsError(msg)
        found[id_.symbol] = instrument
    return found


def _unreadable(request: str, reason: str) -> VenueError:
    msg = f"{_VENUE} answered {request} in an unknown shape: {reason}"
    return VenueError(msg, venue=_VENUE, request=request)

"""
Bybit v5 linear's public REST interface: requests and readings; it opens no connection.

Prints are numbered as in :mod:`~cryptoquantix.venues.bybit_feed`. The venue keeps the
last 1 000 of them for the asking, whatever their age. Written from its documentation.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from itertools import pairwise
from typing import Any, Final

import msgspec

from cryptoquantix.core.clock import NS_PER_MS, NS_PER_SECOND
from cryptoquantix.core.errors import (
    RateLimited,
    VenueError,
    VenueUnavailable,
)
from cryptoquantix.core.instrument import (
    Instrument,
    InstrumentId,
    InstrumentKind,
    Venue,
)
from cryptoquantix.core.market import Bar
from cryptoquantix.venues.answers import read_each
from cryptoquantix.venues.bybit_feed import SEQUENCE_SHIFT, sequence_ids
from cryptoquantix.venues.dialect import ROWS_PER_PAGE, Request, TradePage, WireTrade
from cryptoquantix.venues.market_answers import (
    bars_in_order,
    interval_named,
    span_of_bar,
    unreadable,
)

_VENUE: Final = Venue.BYBIT.value
# Enough that the newest match is whole: its prints share one number.
_NEWEST_ROWS: Final = 200
_INFO: Final = "instruments-info"
_BARS: Final = "kline"
_PRINTS: Final = "recent-trade"
_CLOCK: Final = "time"
_LIMITED: Final = frozenset({10006, 10018})
_BUSY: Final = frozenset({10000, 10016})
_LIMITED_SECONDS: Final = 5
_INTERVALS: Final = {
    60: "1",
    180: "3",
    300: "5",
    900: "15",
    1_800: "30",
    3_600: "60",
    7_200: "120",
    14_400: "240",
    21_600: "360",
    43_200: "720",
    86_400: "D",
}


class _PriceFilter(msgspec.Struct):
    tickSize: str  # noqa: N815 - the venue's spelling


class _LotSizeFilter(msgspec.Struct):
    qtyStep: str  # noqa: N815
    maxOrderQty: str = "0"  # noqa: N815
    maxMktOrderQty: str = "0"  # noqa: N815
    minNotionalValue: str = "0"  # noqa: N815


class _Symbol(msgspec.Struct):
    symbol: str
    contractType: str  # noqa: N815
    status: str
    baseCoin: str  # noqa: N815
    quoteCoin: str  # noqa: N815
    settleCoin: str  # noqa: N815
    priceFilter: _PriceFilter  # noqa: N815
    lotSizeFilter: _LotSizeFilter  # noqa: N815


class _Symbols(msgspec.Struct):
    rows: list[_Symbol] = msgspec.field(name="list")
    nextPageCursor: str | None = ""  # noqa: N815


class _Klines(msgspec.Struct):
    rows: list[list[str]] = msgspec.field(name="list")


class _Trade(msgspec.Struct, gc=False):
    price: str
    size: str
    side: str
    time: str
    seq: str


class _Trades(msgspec.Struct):
    rows: list[_Trade] = msgspec.field(name="list")


class _Envelope(msgspec.Struct):
    retCode: int  # noqa: N815
    retMsg: str = ""  # noqa: N815
    result: msgspec.Raw = msgspec.Raw()
    time: int = 0


class _Time(msgspec.Struct):
    timeNano: str  # noqa: N815


class BybitRest:
    """The venue's public interface; half of its 600 requests in 5 s an address."""

    venue = Venue.BYBIT
    is_dense = False
    weight_per_second = 60.0
    weight_burst = 150.0

    def instruments(self, cursor: str) -> Request:
        """Return the request for a page of instruments."""
        query = {"category": "linear", "limit": "1000"}
        if cursor:
            query["cursor"] = cursor
        return Request("/v5/market/instruments-info", query)

    def parse_instruments(self, data: bytes) -> tuple[dict[str, Instrument], str]:
        """Return what trades, by symbol, and the cursor of the next page or ""."""
        page = result(data, _Symbols, _INFO)
        found = _instruments(page.rows)
        cursor = page.nextPageCursor or ""
        return found, cursor if page.rows else ""

    def interval_name(self, bar_seconds: int) -> str:
        """Return the venue's name of a bar length; SettingsError if it keeps none."""
        return interval_named(_VENUE, _INTERVALS, bar_seconds)

    def bars_max(self) -> int:
        """Return how many bars a page has at most."""
        return ROWS_PER_PAGE

    def bars(
        self, instrument: str, interval: str, span_ns: tuple[int, int], count: int
    ) -> Request:
        """Return the request for the last ``count`` bars that open within a span."""
        query = {
            "category": "linear",
            "symbol": instrument,
            "interval": interval,
            "end": str(span_ns[1] // NS_PER_MS - 1),
            "limit": str(count),
        }
        return Request("/v5/market/kline", query)

    def parse_bars(self, data: bytes, symbol: str, interval_ns: int) -> list[Bar]:
        """Return bars, oldest first, the open one included."""
        del symbol
        rows = result(data, _Klines, _BARS).rows
        bars = (_bar(row, interval_ns) for row in reversed(rows))
        return bars_in_order(_VENUE, _BARS, bars)

    def newest_trades(self, symbol: str) -> Request:
        """Return the request whose answer holds the newest match whole."""
        return _recent(symbol, _NEWEST_ROWS)

    def trades(self, symbol: str, after_id: int, before_id: int) -> Request:
        """Return the request for the last 1 000 prints; no others are to be had."""
        del after_id, before_id
        return _recent(symbol, ROWS_PER_PAGE)

    def parse_trades(self, data: bytes) -> TradePage:
        """
        Return the prints of an answer.

        Of a full page the oldest match is left out: part of it may be missing, which
        would number the rest wrongly.
        """
        rows = result(data, _Trades, _PRINTS).rows
        try:
            rows.reverse()
            sequences = [int(row.seq) for row in rows]
            times_ns = [int(row.time) * NS_PER_MS for row in rows]
        except ValueError as error:
            raise unreadable(_VENUE, _PRINTS, error) from None
        if any(after < before for before, after in pairwise(sequences)):
            unsorted = "prints are not sorted by seq"
            raise unreadable(_VENUE, _PRINTS, unsorted)
        trades = [
            WireTrade(time_ns, row.price, row.size, row.side == "Sell", trade_id)
            for row, time_ns, trade_id in zip(
                rows, times_ns, sequence_ids(sequences), strict=True
            )
        ]
        is_full = len(rows) in {_NEWEST_ROWS, ROWS_PER_PAGE}
        if is_full:
            oldest = sequences[0]
            trades = [t for t in trades if t.trade_id >> SEQUENCE_SHIFT != oldest]
        return TradePage(trades, is_full)

    def time(self) -> Request:
        """Return the request for the venue's clock."""
        return Request("/v5/market/time", {})

    def parse_time(self, data: bytes) -> int:
        """Return the venue's time in ns."""
        try:
            return int(result(data, _Time, _CLOCK).timeNano)
        except ValueError as error:
            raise unreadable(_VENUE, _CLOCK, error) from None


def _recent(symbol: str, count: int) -> Request:
    query = {"category": "linear", "symbol": symbol, "limit": str(count)}
    return Request("/v5/market/recent-trade", query)


def result[T](data: bytes, kind: type[T], request: str) -> T:
    """
    Return what an answer of the venue's public interface holds, as ``kind``.

    Raises
    ------
    VenueError
        If the venue refused, or the answer is not of that shape.
    """
    try:
        envelope = msgspec.json.decode(data, type=_Envelope)
        if envelope.retCode:
            raise _refusal(envelope, request)
        return msgspec.json.decode(envelope.result, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise unreadable(_VENUE, request, error) from None


def _refusal(envelope: _Envelope, request: str) -> VenueError:
    msg = f"{_VENUE} refused {request}: {envelope.retCode} {envelope.retMsg}"
    if envelope.retCode in _LIMITED:
        delay_ns = _LIMITED_SECONDS * NS_PER_SECOND
        return RateLimited(msg, venue=_VENUE, request=request, delay_ns=delay_ns)
    if envelope.retCode in _BUSY:
        return VenueUnavailable(msg, venue=_VENUE, request=request)
    return VenueError(msg, venue=_VENUE, request=request)


def perpetuals(rows: Iterable[Mapping[str, Any]]) -> dict[str, Instrument]:
    """
    Return the perpetuals that trade among decoded ``rows``, by symbol.

    Raises
    ------
    ValueError
        If a row is not of the documented shape.
    """
    found = _instruments(msgspec.convert(row, _Symbol) for row in rows)
    return {
        symbol: instrument
        for symbol, instrument in found.items()
        if instrument.id.kind is InstrumentKind.PERPETUAL
    }


def _instruments(symbols: Iterable[_Symbol]) -> dict[str, Instrument]:
    trading = (symbol for symbol in symbols if symbol.status == "Trading")
    return read_each(trading, lambda symbol: symbol.symbol, _instrument)


def _instrument(symbol: _Symbol) -> Instrument:
    is_perpetual = symbol.contractType == "LinearPerpetual"
    kind = InstrumentKind.PERPETUAL if is_perpetual else InstrumentKind.DATED_FUTURE
    lots = symbol.lotSizeFilter
    lot_size = Decimal(lots.qtyStep)
    return Instrument(
        id=InstrumentId.of(Venue.BYBIT, symbol.symbol, kind),
        tick_size=Decimal(symbol.priceFilter.tickSize),
        lot_size=lot_size,
        notional_min=Decimal(lots.minNotionalValue or "0"),
        settlement=symbol.settleCoin,
        base=symbol.baseCoin,
        quote=symbol.quoteCoin,
        size_max_lots=int(Decimal(lots.maxOrderQty) // lot_size),
        size_market_max_lots=int(Decimal(lots.maxMktOrderQty) // lot_size),
    )


def _bar(row: list[str], interval_ns: int) -> Bar:
    prices_and_volume = (float(text) for text in row[1:6])
    span = span_of_bar(int(row[0]), interval_ns)
    return Bar._make((*span, *prices_and_volume, 0.0))

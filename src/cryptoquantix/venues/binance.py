"""
Binance USD-M's public REST interface: requests and readings; it opens no connection.

How its answers become instruments, prints and bars. Trade times are tape time in a
simulator. Written from the venue's documentation and recorded messages.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final

import msgspec

from cryptoquantix.core.clock import NS_PER_MS
from cryptoquantix.core.instrument import (
    Instrument,
    InstrumentId,
    InstrumentKind,
    Venue,
)
from cryptoquantix.core.market import Bar
from cryptoquantix.venues.answers import read_each
from cryptoquantix.venues.dialect import (
    ROWS_PER_PAGE,
    Request,
    TradePage,
    WireTrade,
)
from cryptoquantix.venues.market_answers import (
    bars_in_order,
    interval_named,
    span_of_bar,
    unreadable,
)

KLINES_MAX: Final = 1_500
_VENUE: Final = Venue.BINANCE.value
_INFO: Final = "exchangeInfo"
_BARS: Final = "klines"
_PRINTS: Final = "aggTrades"
_CLOCK: Final = "time"
_TRADES: Final = "/fapi/v1/aggTrades"
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


def interval_name(bar_seconds: int) -> str:
    """
    Return the venue's name of a bar length.

    Raises
    ------
    SettingsError
        If the venue keeps no bars of that length, so that none could be fetched.
    """
    return interval_named(_VENUE, _INTERVALS, bar_seconds)


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
    symbols = _decoded(_EXCHANGE_INFO, data, _INFO).symbols
    trading = (symbol for symbol in symbols if symbol.status == "TRADING")
    return read_each(trading, lambda symbol: symbol.symbol, _instrument)


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
    rows = _decoded(_KLINES, data, _BARS)
    return bars_in_order(_VENUE, _BARS, (_bar(row, interval_ns) for row in rows))


def _bar(row: Sequence[int | str], interval_ns: int) -> Bar:
    return Bar(
        *span_of_bar(int(row[0]), interval_ns),
        float(row[1]),
        float(row[2]),
        float(row[3]),
        float(row[4]),
        float(row[5]),
        0.0,
    )


class BinanceRest:
    """The venue's public interface; a budget of 1 200 weight a minute is half of it."""

    venue = Venue.BINANCE
    is_dense = True
    weight_per_second = 20.0
    weight_burst = 600.0

    def instruments(self, cursor: str) -> Request:
        """Return the request for all instruments."""
        del cursor
        return Request("/fapi/v1/exchangeInfo", {})

    def parse_instruments(self, data: bytes) -> tuple[dict[str, Instrument], str]:
        """Return what trades, by symbol; there is one page."""
        return parse_instruments(data), ""

    def interval_name(self, bar_seconds: int) -> str:
        """Return the venue's name of a bar length."""
        return interval_name(bar_seconds)

    def bars_max(self) -> int:
        """Return how many bars a page has at most."""
        return KLINES_MAX

    def bars(
        self, instrument: str, interval: str, span_ns: tuple[int, int], count: int
    ) -> Request:
        """Return the request for the last ``count`` bars that open within a span."""
        query = {
            "symbol": instrument,
            "interval": interval,
            "endTime": str(span_ns[1] // NS_PER_MS - 1),
            "limit": str(count),
        }
        weight = 10 if count > 1_000 else 5 if count >= 500 else 2
        return Request("/fapi/v1/klines", query, weight)

    def parse_bars(self, data: bytes, symbol: str, interval_ns: int) -> list[Bar]:
        """Return bars, oldest first, the open one included."""
        del symbol
        return parse_klines(data, interval_ns)

    def newest_trades(self, symbol: str) -> Request:
        """Return the request for the newest print."""
        return Request(_TRADES, {"symbol": symbol, "limit": "1"}, 20)

    def trades(self, symbol: str, after_id: int, before_id: int) -> Request:
        """Return the request for prints after an id."""
        count = min(ROWS_PER_PAGE, before_id - after_id - 1)
        query = {"symbol": symbol, "fromId": str(after_id + 1), "limit": str(count)}
        return Request(_TRADES, query, 20)

    def parse_trades(self, data: bytes) -> TradePage:
        """Return the prints of an answer."""
        rows = _decoded(_AGG_TRADES, data, _PRINTS)
        trades = [
            WireTrade(row.T * NS_PER_MS, row.p, row.q, row.m, row.a) for row in rows
        ]
        return TradePage(trades, len(rows) >= ROWS_PER_PAGE)

    def time(self) -> Request:
        """Return the request for the venue's clock."""
        return Request("/fapi/v1/time", {})

    def parse_time(self, data: bytes) -> int:
        """Return the venue's time in ns."""
        return _decoded(_TIME, data, _CLOCK).serverTime * NS_PER_MS


class _AggTradeRow(msgspec.Struct, gc=False):
    a: int
    p: str
    q: str
    T: int
    m: bool


class _Time(msgspec.Struct):
    serverTime: int  # noqa: N815 - the venue's spelling


_AGG_TRADES: Final = msgspec.json.Decoder(list[_AggTradeRow])
_TIME: Final = msgspec.json.Decoder(_Time)


def _decoded[T](decoder: msgspec.json.Decoder[T], data: bytes, request: str) -> T:
    try:
        return decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise unreadable(_VENUE, request, error) from None

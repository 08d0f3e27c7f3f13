"""
Deribit's public REST interface: requests and readings; it opens no connection.

Perpetuals only, inverse ones (sizes and volumes in US dollars) and linear ones. A
print's id is its ``trade_seq``. Written from the venue's documentation and recorded
messages.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, Final

import msgspec

from cryptoquantix.core.clock import NS_PER_MS
from cryptoquantix.core.errors import VenueError
from cryptoquantix.core.instrument import (
    Instrument,
    InstrumentId,
    InstrumentKind,
    Venue,
)
from cryptoquantix.core.market import Bar
from cryptoquantix.venues.answers import read_each
from cryptoquantix.venues.dialect import ROWS_PER_PAGE, Request, TradePage, WireTrade
from cryptoquantix.venues.market_answers import (
    bars_in_order,
    interval_named,
    span_of_bar,
    unreadable,
)

_VENUE: Final = Venue.DERIBIT.value
_API: Final = "/api/v2/public/"
_INFO: Final = "get_instruments"
_BARS: Final = "get_tradingview_chart_data"
_PRINTS: Final = "get_last_trades_by_instrument"
_CLOCK: Final = "get_time"
_BARS_MAX: Final = 5_000
# What the venue does not say: its orders are bounded by margin, not by a number.
_SIZE_MAX_LOTS: Final = 10**9
_INTERVALS: Final = {
    60: "1",
    180: "3",
    300: "5",
    900: "15",
    1_800: "30",
    3_600: "60",
    7_200: "120",
    21_600: "360",
    43_200: "720",
    86_400: "1D",
}


class _Listed(msgspec.Struct):
    instrument_name: str
    kind: str
    settlement_period: str
    base_currency: str
    quote_currency: str
    tick_size: Decimal
    contract_size: Decimal
    min_trade_amount: Decimal
    is_active: bool = True
    instrument_type: str = ""
    future_type: str = ""
    settlement_currency: str = ""


class _Chart(msgspec.Struct):
    status: str
    ticks: list[int] = []
    open: list[float] = []
    high: list[float] = []
    low: list[float] = []
    close: list[float] = []
    volume: list[float] = []
    cost: list[float] = []


class _Trade(msgspec.Struct, gc=False):
    trade_seq: int
    timestamp: int
    price: float
    amount: float
    direction: str


class _Trades(msgspec.Struct):
    trades: list[_Trade]
    has_more: bool = False


class _Envelope(msgspec.Struct):
    result: msgspec.Raw = msgspec.Raw()
    error: Any = None


class DeribitRest:
    """The venue's public interface; half of its 20 requests a second an address."""

    venue = Venue.DERIBIT
    is_dense = True
    weight_per_second = 10.0
    weight_burst = 50.0

    def instruments(self, cursor: str) -> Request:
        """Return the request for all futures."""
        del cursor
        query = {"currency": "any", "kind": "future", "expired": "false"}
        return Request(_API + _INFO, query)

    def parse_instruments(self, data: bytes) -> tuple[dict[str, Instrument], str]:
        """Return the perpetuals that trade, by symbol; there is one page."""
        return _perpetuals(_result(data, list[_Listed], _INFO)), ""

    def interval_name(self, bar_seconds: int) -> str:
        """Return the venue's name of a bar length; SettingsError if it keeps none."""
        return interval_named(_VENUE, _INTERVALS, bar_seconds)

    def bars_max(self) -> int:
        """Return how many bars a page has at most."""
        return _BARS_MAX

    def bars(
        self, instrument: str, interval: str, span_ns: tuple[int, int], count: int
    ) -> Request:
        """Return the request for the bars that open within a span."""
        del count
        query = {
            "instrument_name": instrument,
            "resolution": interval,
            "start_timestamp": str(span_ns[0] // NS_PER_MS),
            "end_timestamp": str(span_ns[1] // NS_PER_MS - 1),
        }
        return Request(_API + _BARS, query)

    def parse_bars(self, data: bytes, symbol: str, interval_ns: int) -> list[Bar]:
        """
        Return bars, oldest first, the open one included.

        Volume is in the unit of sizes: of an inverse instrument US dollars (``cost``).
        """
        chart = _result(data, _Chart, _BARS)
        volumes = chart.volume if "_" in symbol else chart.cost
        columns = (chart.open, chart.high, chart.low, chart.close, volumes)
        rows = zip(chart.ticks, *columns, strict=True)
        return bars_in_order(_VENUE, _BARS, (_bar(row, interval_ns) for row in rows))

    def newest_trades(self, symbol: str) -> Request:
        """Return the request for the newest print."""
        query = {"instrument_name": symbol, "count": "1"}
        return Request(_API + _PRINTS, query)

    def trades(self, symbol: str, after_id: int, before_id: int) -> Request:
        """Return the request for prints between two ids, from the lower one on."""
        query = {
            "instrument_name": symbol,
            "start_seq": str(after_id + 1),
            "end_seq": str(before_id - 1),
            "count": str(ROWS_PER_PAGE),
            "sorting": "asc",
        }
        return Request(_API + _PRINTS, query)

    def parse_trades(self, data: bytes) -> TradePage:
        """Return the prints of an answer."""
        page = _result(data, _Trades, _PRINTS)
        trades = [
            WireTrade(
                row.timestamp * NS_PER_MS,
                row.price,
                row.amount,
                row.direction == "sell",
                row.trade_seq,
            )
            for row in page.trades
        ]
        trades.sort(key=lambda trade: trade.trade_id)
        return TradePage(trades, page.has_more)

    def time(self) -> Request:
        """Return the request for the venue's clock."""
        return Request(_API + _CLOCK, {})

    def parse_time(self, data: bytes) -> int:
        """Return the venue's time in ns."""
        return _result(data, int, _CLOCK) * NS_PER_MS


def _result[T](data: bytes, kind: type[T], request: str) -> T:
    try:
        envelope = msgspec.json.decode(data, type=_Envelope)
        if envelope.error is not None:
            msg = f"{_VENUE} refused {request}: {envelope.error}"
            raise VenueError(msg, venue=_VENUE, request=request)
        return msgspec.json.decode(envelope.result, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise unreadable(_VENUE, request, error) from None


def perpetuals(rows: Iterable[Mapping[str, Any]]) -> dict[str, Instrument]:
    """
    Return the perpetuals that trade among decoded ``rows``, by the venue's name.

    Raises
    ------
    ValueError
        If a row is not of the documented shape.
    """
    return _perpetuals(msgspec.convert(row, _Listed) for row in rows)


def _perpetuals(all_listed: Iterable[_Listed]) -> dict[str, Instrument]:
    trading = (
        listed
        for listed in all_listed
        if listed.kind == "future"
        and listed.settlement_period == "perpetual"
        and listed.is_active
    )
    return read_each(trading, lambda listed: listed.instrument_name, _instrument)


def _instrument(listed: _Listed) -> Instrument:
    kind = listed.instrument_type or listed.future_type
    is_inverse = kind == "reversed" or (not kind and listed.quote_currency == "USD")
    settlement = listed.settlement_currency or (
        listed.base_currency if is_inverse else listed.quote_currency
    )
    # A size is a whole number of contracts, and at least the smallest trade.
    return Instrument(
        id=InstrumentId.of(
            Venue.DERIBIT, listed.instrument_name, InstrumentKind.PERPETUAL
        ),
        tick_size=listed.tick_size,
        lot_size=listed.contract_size,
        notional_min=listed.min_trade_amount if is_inverse else Decimal(0),
        settlement=settlement,
        base=listed.base_currency,
        quote=listed.quote_currency,
        is_inverse=is_inverse,
        size_max_lots=_SIZE_MAX_LOTS,
        size_market_max_lots=_SIZE_MAX_LOTS,
    )


def _bar(row: tuple[int, float, float, float, float, float], interval_ns: int) -> Bar:
    return Bar(*span_of_bar(row[0], interval_ns), *row[1:], 0.0)

"""
What perpetuals were charged, and when they are next: a venue's public REST interface.

Requests and readings; it opens no connection. Of the venues that charge at funding
times; one that charges all the time (Deribit) has none, and so no entry here.
Written from the venues' documentation.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Final, NamedTuple, Protocol

import msgspec

from cryptoquantix.core.clock import NS_PER_MS, NS_PER_SECOND
from cryptoquantix.core.errors import VenueError
from cryptoquantix.core.instrument import Venue
from cryptoquantix.venues.bybit import result
from cryptoquantix.venues.dialect import Request

_HOUR_NS: Final = 3_600 * NS_PER_SECOND
# The interval of symbols of which a venue says nothing else.
_HOURS: Final = 8


class Charge(NamedTuple):
    """
    A rate charged at a funding time, the whole second that the venue stamped.

    Venues stamp a charge some milliseconds late (00:00:00.006): it is that of 00:00.
    """

    time_ns: int
    rate: float


class Schedule(NamedTuple):
    """When the next charge is due, and how long after the one before it."""

    next_ns: int
    interval_ns: int


class FundingDialect(Protocol):
    """One venue's public answers about funding."""

    def charges(self, symbol: str, span_ns: tuple[int, int]) -> Request:
        """Return the request for a page of what was charged within a closed span."""
        ...

    def parse_charges(self, data: bytes) -> list[Charge]:
        """Return the charges of an answer, oldest first."""
        ...

    def remaining(
        self, page: list[Charge], span_ns: tuple[int, int]
    ) -> tuple[int, int] | None:
        """Return the part of a span that a page did not reach, None where all is in."""
        ...

    def schedule(self, symbol: str) -> list[Request]:
        """Return the requests whose answers tell the schedule."""
        ...

    def parse_schedule(self, symbol: str, answers: list[bytes]) -> Schedule:
        """Return the schedule of a symbol."""
        ...


class _BinanceCharge(msgspec.Struct):
    fundingRate: str  # noqa: N815 - the venue's spelling
    fundingTime: int  # noqa: N815


class _BinanceIndex(msgspec.Struct):
    nextFundingTime: int  # noqa: N815


class _BinanceInterval(msgspec.Struct):
    symbol: str
    fundingIntervalHours: int = _HOURS  # noqa: N815


class BinanceFunding:
    """Binance USD-M."""

    _PAGE: Final = 1_000

    def charges(self, symbol: str, span_ns: tuple[int, int]) -> Request:
        """Return the request for a span's first charges."""
        query = {
            "symbol": symbol,
            "startTime": str(span_ns[0] // NS_PER_MS),
            "endTime": str(span_ns[1] // NS_PER_MS),
            "limit": str(self._PAGE),
        }
        return Request("/fapi/v1/fundingRate", query)

    def parse_charges(self, data: bytes) -> list[Charge]:
        """Return the charges of an answer, oldest first."""
        rows = _decoded(data, list[_BinanceCharge], Venue.BINANCE)
        return _sorted([(r.fundingTime, r.fundingRate) for r in rows], Venue.BINANCE)

    def remaining(
        self, page: list[Charge], span_ns: tuple[int, int]
    ) -> tuple[int, int] | None:
        """Return the part of a span that a page did not reach: its end."""
        if len(page) < self._PAGE:
            return None
        return page[-1].time_ns + NS_PER_SECOND, span_ns[1]

    def schedule(self, symbol: str) -> list[Request]:
        """Return the requests whose answers tell the schedule."""
        return [
            Request("/fapi/v1/premiumIndex", {"symbol": symbol}),
            Request("/fapi/v1/fundingInfo", {}),
        ]

    def parse_schedule(self, symbol: str, answers: list[bytes]) -> Schedule:
        """Return the schedule; intervals other than eight hours are listed."""
        index = _decoded(answers[0], _BinanceIndex, Venue.BINANCE)
        listed = _decoded(answers[1], list[_BinanceInterval], Venue.BINANCE)
        hours = {one.symbol: one.fundingIntervalHours for one in listed}
        return _schedule(index.nextFundingTime, hours.get(symbol, _HOURS))


class _BybitCharge(msgspec.Struct):
    fundingRate: str  # noqa: N815
    fundingRateTimestamp: str  # noqa: N815


class _BybitCharges(msgspec.Struct):
    rows: list[_BybitCharge] = msgspec.field(name="list")


class _BybitTicker(msgspec.Struct):
    nextFundingTime: str  # noqa: N815
    fundingIntervalHour: str = str(_HOURS)  # noqa: N815


class _BybitTickers(msgspec.Struct):
    rows: list[_BybitTicker] = msgspec.field(name="list")


class BybitFunding:
    """Bybit linear."""

    _PAGE: Final = 200

    def charges(self, symbol: str, span_ns: tuple[int, int]) -> Request:
        """Return the request for a span's last charges."""
        query = {
            "category": "linear",
            "symbol": symbol,
            "startTime": str(span_ns[0] // NS_PER_MS),
            "endTime": str(span_ns[1] // NS_PER_MS),
            "limit": str(self._PAGE),
        }
        return Request("/v5/market/funding/history", query)

    def parse_charges(self, data: bytes) -> list[Charge]:
        """Return the charges of an answer, oldest first."""
        rows = result(data, _BybitCharges, "funding/history").rows
        rows.reverse()
        try:
            pairs = [(int(r.fundingRateTimestamp), r.fundingRate) for r in rows]
        except ValueError as error:
            raise _unreadable(Venue.BYBIT, str(error)) from None
        return _sorted(pairs, Venue.BYBIT)

    def remaining(
        self, page: list[Charge], span_ns: tuple[int, int]
    ) -> tuple[int, int] | None:
        """Return the part of a span that a page did not reach: its beginning."""
        if len(page) < self._PAGE:
            return None
        return span_ns[0], page[0].time_ns - NS_PER_MS

    def schedule(self, symbol: str) -> list[Request]:
        """Return the request whose answer tells the schedule."""
        query = {"category": "linear", "symbol": symbol}
        return [Request("/v5/market/tickers", query)]

    def parse_schedule(self, symbol: str, answers: list[bytes]) -> Schedule:
        """Return the schedule."""
        del symbol
        rows = result(answers[0], _BybitTickers, "tickers").rows
        try:
            return _schedule(
                int(rows[0].nextFundingTime), int(rows[0].fundingIntervalHour or _HOURS)
            )
        except (ValueError, IndexError) as error:
            raise _unreadable(Venue.BYBIT, str(error)) from None


FUNDING: Final[dict[Venue, FundingDialect]] = {
    Venue.BINANCE: BinanceFunding(),
    Venue.BYBIT: BybitFunding(),
}


def _sorted(pairs: list[tuple[int, str]], venue: Venue) -> list[Charge]:
    try:
        found = [Charge(ms // 1_000 * NS_PER_SECOND, float(rate)) for ms, rate in pairs]
    except ValueError as error:
        raise _unreadable(venue, str(error)) from None
    if any(after.time_ns < before.time_ns for before, after in pairwise(found)):
        unsorted = "charges are not sorted in time"
        raise _unreadable(venue, unsorted)
    return found


def _schedule(next_ms: int, hours: int) -> Schedule:
    return Schedule(next_ms // 1_000 * NS_PER_SECOND, hours * _HOUR_NS)


def _decoded[T](data: bytes, kind: type[T], venue: Venue) -> T:
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise _unreadable(venue, str(error)) from None


def _unreadable(venue: Venue, reason: str) -> VenueError:
    msg = f"{venue.value} answered about funding in an unknown shape: {reason}"
    return VenueError(msg, venue=venue.value, request="funding")

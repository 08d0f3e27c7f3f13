"""
A venue's public REST answers: instruments and bars; no keys, no orders, no retries.

Requests are paced to half of what the venue allows an address (its limits count per
address, and the other half is for those who act), none is made while the venue limits
us, and each has a deadline.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Final, Self

import aiohttp
import msgspec

from cryptoquantix.core.clock import NS_PER_MS, NS_PER_SECOND, Clock
from cryptoquantix.core.errors import RateLimited, VenueError, VenueUnavailable
from cryptoquantix.core.instrument import Instrument, Venue
from cryptoquantix.core.market import Bar
from cryptoquantix.venues import binance

_REQUEST_SECONDS: Final = 10.0
_ANSWER_BYTES_MAX: Final = 32 * 1024 * 1024
# The venue allows an address 2400 weight a minute; half of it is 20 a second.
_WEIGHT_PER_SECOND: Final = 20.0
_WEIGHT_BURST: Final = 600.0
_PAGES_MAX: Final = 2_000


class MarketRest:
    """
    Binance USD-M's public REST interface at ``base_url``.

    An asynchronous context manager; leaving it closes the connections.
    """

    def __init__(self, base_url: str, clock: Clock) -> None:
        self.venue = Venue.BINANCE
        self._base_url = base_url.rstrip("/")
        self._clock = clock
        self._budget = _WEIGHT_BURST
        self._budget_monotonic_ns = clock.monotonic_ns()
        self._closed_until_ns = self._budget_monotonic_ns
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        """Open the pool of connections."""
        timeout = aiohttp.ClientTimeout(total=_REQUEST_SECONDS)
        self._session = aiohttp.ClientSession(timeout=timeout)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the pool of connections."""
        assert self._session is not None, "opened before it is closed"
        await self._session.close()

    async def instruments(self) -> dict[str, Instrument]:
        """
        Return what trades at the venue, by symbol.

        Raises
        ------
        VenueError
            Of the kind that says whether to try again.
        """
        return binance.parse_instruments(await self._get("/fapi/v1/exchangeInfo", {}))

    async def newest_trade_id(self, symbol: str) -> int:
        """
        Return the id of the newest trade print, or -1 before the first.

        Raises
        ------
        VenueError
            Of the kind that says whether to try again.
        """
        query = {"symbol": symbol, "limit": "1"}
        data = await self._get("/fapi/v1/aggTrades", query, weight=20)
        try:
            rows = msgspec.json.decode(data, type=list[_TradeId])
        except msgspec.MsgspecError as error:
            msg = f"{self.venue.value} answered aggTrades in an unknown shape: {error}"
            raise VenueError(msg, venue=self.venue.value, request="aggTrades") from None
        return rows[-1].a if rows else -1

    async def bars(
        self, symbol: str, bar_seconds: int, start_ns: int, end_ns: int
    ) -> list[Bar]:
        """
        Return the bars within ``[start_ns, end_ns)`` that the venue holds, in order.

        Pages backward from the newest, so that a bounded history ends at its oldest
        bar and not before the newest. Nothing at or after ``end_ns`` is returned,
        whatever the venue answers. Bars the venue lacks are missing from the list.
        Cancellation leaves nothing behind.

        Parameters
        ----------
        symbol : str
            The venue's spelling.
        bar_seconds : int
            A bar length the venue keeps.
        start_ns, end_ns : int
            UTC ns, multiples of the bar length.

        Raises
        ------
        SettingsError
            If the venue keeps no bars of that length.
        VenueError
            Of the kind that says whether to try again.
        """
        interval = binance.interval_name(bar_seconds)
        interval_ns = bar_seconds * NS_PER_SECOND
        pages: list[list[Bar]] = []
        until_ns = end_ns
        for _ in range(_PAGES_MAX):
            if until_ns <= start_ns:
                break
            wanted = min(binance.KLINES_MAX, (until_ns - start_ns) // interval_ns)
            page = await self._page(symbol, interval, interval_ns, until_ns, wanted)
            page = [bar for bar in page if bar.close_time_ns <= until_ns]
            if not page:
                break
            pages.append([bar for bar in page if bar.open_time_ns >= start_ns])
            until_ns = page[0].open_time_ns
        return [bar for page in reversed(pages) for bar in page]

    async def _page(  # noqa: PLR0917 - one request's parameters
        self, symbol: str, interval: str, interval_ns: int, until_ns: int, count: int
    ) -> list[Bar]:
        query = {
            "symbol": symbol,
            "interval": interval,
            "endTime": str(until_ns // NS_PER_MS - 1),
            "limit": str(count),
        }
        weight = 10 if count > 1_000 else 5 if count >= 500 else 2
        data = await self._get("/fapi/v1/klines", query, weight=weight)
        return binance.parse_klines(data, interval_ns)

    async def _get(self, path: str, query: dict[str, str], *, weight: int = 1) -> bytes:
        assert self._session is not None, "used inside `async with`"
        await self._pace(weight)
        self._heed_limit(path)
        url = self._base_url + path
        try:
            async with self._session.get(url, params=query) as answer:
                body = await answer.content.read(_ANSWER_BYTES_MAX)
                while not answer.content.at_eof() and len(body) < _ANSWER_BYTES_MAX:
                    body += await answer.content.read(_ANSWER_BYTES_MAX - len(body))
                if answer.status == 200:
                    return body
                after = answer.headers.get("Retry-After", "")
                raise self._refusal(path, answer.status, body, after)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            text = str(error) or type(error).__name__
            msg = f"cannot reach {self.venue.value} at {self._base_url}: {text}"
            raise VenueUnavailable(msg, venue=self.venue.value, request=path) from None

    def _refusal(self, path: str, status: int, body: bytes, after: str) -> VenueError:
        venue = self.venue.value
        text = body[:200].decode(errors="replace")
        msg = f"{venue} refused {path} with HTTP {status}: {text}"
        if status in {418, 429}:
            delay_ns = (int(after) if after.isdigit() else 60) * NS_PER_SECOND
            until_ns = self._clock.monotonic_ns() + delay_ns
            self._closed_until_ns = max(self._closed_until_ns, until_ns)
            return RateLimited(msg, venue=venue, request=path, delay_ns=delay_ns)
        if status >= 500:
            return VenueUnavailable(msg, venue=venue, request=path)
        return VenueError(msg, venue=venue, request=path)

    def _heed_limit(self, path: str) -> None:
        """
        Ask nothing while the venue wants to be left alone.

        Asking on lengthens a ban, and a ban is of the address: it would also hit
        those who close positions.
        """
        delay_ns = self._closed_until_ns - self._clock.monotonic_ns()
        if delay_ns > 0:
            seconds = delay_ns / NS_PER_SECOND
            msg = f"{self.venue.value} limits our rate: not asked for {seconds:.0f} s"
            raise RateLimited(
                msg, venue=self.venue.value, request=path, delay_ns=delay_ns
            )

    async def _pace(self, weight: int) -> None:
        now_ns = self._clock.monotonic_ns()
        passed = (now_ns - self._budget_monotonic_ns) / NS_PER_SECOND
        self._budget_monotonic_ns = now_ns
        refilled = self._budget + passed * _WEIGHT_PER_SECOND
        self._budget = min(_WEIGHT_BURST, refilled) - weight
        if self._budget < 0:
            await asyncio.sleep(-self._budget / _WEIGHT_PER_SECOND)


class _TradeId(msgspec.Struct):
    a: int

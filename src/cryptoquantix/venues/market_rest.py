"""
A venue's public REST answers: instruments, bars, prints; no keys, orders or retries.

Requests are paced to half of what the venue allows an address (its limits count per
address, and the other half is for those who act), none is made while the venue limits
us, and each has a deadline.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Final, Self

import aiohttp

from cryptoquantix.core.clock import NS_PER_SECOND, Clock
from cryptoquantix.core.errors import RateLimited, VenueError, VenueUnavailable
from cryptoquantix.core.instrument import Instrument, Venue
from cryptoquantix.core.market import Bar
from cryptoquantix.venues.dialect import MATCH_IDS, Request, WireTrade
from cryptoquantix.venues.funding import FUNDING, Charge, Schedule
from cryptoquantix.venues.markets import REST

_REQUEST_SECONDS: Final = 10.0
_ANSWER_BYTES_MAX: Final = 32 * 1024 * 1024
_PAGES_MAX: Final = 2_000
_INSTRUMENT_PAGES_MAX: Final = 20
_LIMIT_STATUSES: Final = frozenset({418, 429})


class MarketRest:
    """
    A venue's public REST interface at ``base_url``.

    ``share`` of the pace is used: another process asks from the same address. An
    asynchronous context manager; leaving it closes the connections.
    """

    def __init__(
        self,
        base_url: str,
        clock: Clock,
        venue: Venue = Venue.BINANCE,
        share: float = 1.0,
    ) -> None:
        self.venue = venue
        self._dialect = REST[venue]
        self.base_url = base_url.rstrip("/")
        self._clock = clock
        self._burst = share * self._dialect.weight_burst
        self._per_second = share * self._dialect.weight_per_second
        self._budget = self._burst
        self._budget_monotonic_ns = clock.monotonic_ns()
        self._closed_until_ns = self._budget_monotonic_ns
        self._session: aiohttp.ClientSession | None = None

    @property
    def is_dense(self) -> bool:
        """Whether the venue's trade ids leave no number out."""
        return self._dialect.is_dense

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
        found: dict[str, Instrument] = {}
        cursor = ""
        for _ in range(_INSTRUMENT_PAGES_MAX):
            data = await self._get(self._dialect.instruments(cursor))
            page, cursor = self._dialect.parse_instruments(data)
            found |= page
            if not cursor:
                break
        return found

    async def newest_trade_id(self, symbol: str) -> int:
        """
        Return the id of the newest trade print, or -1 before the first.

        Raises
        ------
        VenueError
            Of the kind that says whether to try again.
        """
        data = await self._get(self._dialect.newest_trades(symbol))
        trades = self._dialect.parse_trades(data).trades
        return trades[-1].trade_id if trades else -1

    async def trades(
        self, symbol: str, after_id: int, before_id: int
    ) -> tuple[list[WireTrade], bool]:
        """
        Return one page of the prints after ``after_id``, in order, and whether to use.

        Where ids leave no number out, a page begins at the lower end and may not reach
        the upper one: ask again from its last id. It is of use if it begins right
        after ``after_id``. Elsewhere the venue's newest prints are all there are (some
        of them at or after ``before_id``): of use if they overlap with both ends.

        Raises
        ------
        VenueError
            Of the kind that says whether to try again.
        """
        request = self._dialect.trades(symbol, after_id, before_id)
        if self.is_dense:
            page = self._dialect.parse_trades(await self._get(request))
            found = [t for t in page.trades if after_id < t.trade_id < before_id]
            return found, bool(found) and found[0].trade_id == after_id + 1
        # Of hundreds of instruments most are quiet: the longest page is asked for last.
        short = self._dialect.newest_trades(symbol)
        found, is_usable = await self._newest(short, after_id, before_id)
        if is_usable:
            return found, True
        return await self._newest(request, after_id, before_id)

    async def _newest(
        self, request: Request, after_id: int, before_id: int
    ) -> tuple[list[WireTrade], bool]:
        page = self._dialect.parse_trades(await self._get(request))
        after = [trade for trade in page.trades if trade.trade_id > after_id]
        reaches_back = not page.has_more or len(after) < len(page.trades)
        reaches_on = bool(after) and after[-1].trade_id >= before_id - MATCH_IDS
        return after, reaches_back and reaches_on

    async def server_time_ns(self) -> int:
        """
        Return the venue's clock as it answered, at its own resolution.

        Raises
        ------
        VenueError
            Of the kind that says whether to try again.
        """
        return self._dialect.parse_time(await self._get(self._dialect.time()))

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
        interval = self._dialect.interval_name(bar_seconds)
        interval_ns = bar_seconds * NS_PER_SECOND
        pages: list[list[Bar]] = []
        until_ns = end_ns
        for _ in range(_PAGES_MAX):
            if until_ns <= start_ns:
                break
            wanted = min(self._dialect.bars_max(), (until_ns - start_ns) // interval_ns)
            span_ns = until_ns - wanted * interval_ns, until_ns
            request = self._dialect.bars(symbol, interval, span_ns, wanted)
            data = await self._get(request)
            page = self._dialect.parse_bars(data, symbol, interval_ns)
            page = [bar for bar in page if bar.close_time_ns <= until_ns]
            if not page:
                break
            pages.append([bar for bar in page if bar.open_time_ns >= start_ns])
            until_ns = page[0].open_time_ns
        return [bar for page in reversed(pages) for bar in page]

    async def charges(self, symbol: str, start_ns: int, end_ns: int) -> list[Charge]:
        """
        Return the funding charged within ``[start_ns, end_ns]``, oldest first.

        Only of a venue that charges at funding times.

        Raises
        ------
        VenueError
            Of the kind that says whether to try again.
        """
        dialect = FUNDING[self.venue]
        found: list[Charge] = []
        span: tuple[int, int] | None = (start_ns, end_ns)
        for _ in range(_PAGES_MAX):
            if span is None:
                break
            page = dialect.parse_charges(await self._get(dialect.charges(symbol, span)))
            found += page
            span = dialect.remaining(page, span)
        return sorted(found)

    async def funding_schedule(self, symbol: str) -> Schedule:
        """
        Return when funding is charged next, at a venue that charges at times.

        Raises
        ------
        VenueError
            Of the kind that says whether to try again.
        """
        dialect = FUNDING[self.venue]
        answers = [await self._get(request) for request in dialect.schedule(symbol)]
        return dialect.parse_schedule(symbol, answers)

    async def _get(self, request: Request) -> bytes:
        assert self._session is not None, "used inside `async with`"
        path = request.path
        await self._pace(request.weight)
        self._heed_limit(path)
        url = self.base_url + path
        try:
            async with self._session.get(url, params=request.query) as answer:
                body = await answer.content.read(_ANSWER_BYTES_MAX)
                while not answer.content.at_eof() and len(body) < _ANSWER_BYTES_MAX:
                    body += await answer.content.read(_ANSWER_BYTES_MAX - len(body))
                if answer.status == 200:
                    return body
                after = answer.headers.get("Retry-After", "")
                raise self._refusal(path, answer.status, body, after)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            text = str(error) or type(error).__name__
            msg = f"cannot reach {self.venue.value} at {self.base_url}: {text}"
            raise VenueUnavailable(msg, venue=self.venue.value, request=path) from None

    def _refusal(self, path: str, status: int, body: bytes, after: str) -> VenueError:
        venue = self.venue.value
        text = body[:200].decode(errors="replace")
        msg = f"{venue} refused {path} with HTTP {status}: {text}"
        # Bybit says 403 to an address that asks too often, the others 429 and 418.
        if status in _LIMIT_STATUSES or (self.venue is Venue.BYBIT and status == 403):
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
        refilled = self._budget + passed * self._per_second
        self._budget = min(self._burst, refilled) - weight
        if self._budget < 0:
            await asyncio.sleep(-self._budget / self._per_second)

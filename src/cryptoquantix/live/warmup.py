"""
The bars before now: the venue's newest ones, then the catalog's older ones.

It never looks ahead of the venue's present: of the catalog only bars strictly before
the venue's oldest are taken, and only where they reach it without a hole. A catalog
that holds the future (a tape being played from it) cannot leak it.
"""

from __future__ import annotations

import asyncio
import logging

import polars as pl

from cryptoquantix.bars.rule import HOLE_NS
from cryptoquantix.core.clock import NS_PER_SECOND
from cryptoquantix.core.errors import DataError, GapError, VenueUnavailable
from cryptoquantix.core.instrument import InstrumentId
from cryptoquantix.core.market import Bar
from cryptoquantix.data.catalog import Catalog
from cryptoquantix.live.bar_seam import Span, fill_flat
from cryptoquantix.live.funding import FundingHistory
from cryptoquantix.venues.market_rest import MarketRest

_log = logging.getLogger(__name__)


class History:
    """
    Fetches the bars of one instrument.

    Parameters
    ----------
    rest : MarketRest
        The venue.
    catalog : Catalog or None
        What is held here, if anything.
    instrument : InstrumentId
        Whose bars.
    bar_seconds : int
        A bar length that the venue keeps.
    funding : FundingHistory or None
        Puts into bars what was charged in them; None leaves it at zero.
    kept_seconds : float
        How long fetched bars are kept for another who asks for the same: strategies
        of one instrument start together, and venues count what is asked.
    """

    def __init__(  # noqa: PLR0917 - five parts, all needed
        self,
        rest: MarketRest,
        catalog: Catalog | None,
        instrument: InstrumentId,
        bar_seconds: int,
        funding: FundingHistory | None = None,
        kept_seconds: float = 0.0,
    ) -> None:
        self._funding = funding
        self._kept_seconds = kept_seconds
        self._kept: tuple[int, int, list[Bar]] | None = None
        self._asking = asyncio.Lock()
        self._rest = rest
        self._catalog = catalog
        self._instrument = instrument
        self._bar_seconds = bar_seconds
        self._interval_ns = bar_seconds * NS_PER_SECOND

    @property
    def source(self) -> str:
        """Where the bars come from: another source has other bars."""
        return self._rest.base_url

    async def fetch(self, span: Span, start_ns: int) -> list[Bar]:
        """
        Return the bars of ``span``, from ``start_ns`` on where it is open-ended.

        They follow each other without a hole up to ``span.until_ns``; flat where the
        venue left an interval out. Cancellation leaves nothing behind.

        Raises
        ------
        VenueUnavailable
            If the venue's answer does not reach far enough yet, or none came.
        VenueError
            If the venue refused.
        GapError
            If neither venue nor catalog has what follows ``span.from_ns``.
        """
        is_start = span.from_ns is None
        bars = await self._bars(span, start_ns)
        if self._funding is None:
            return bars
        return await self._funding.charged(bars, is_start=is_start)

    async def charged(self, bar: Bar) -> Bar:
        """
        Return a live bar with what was charged in it, once the venue tells that.

        Raises
        ------
        VenueError
            If it does not tell it yet, or cannot be asked.
        GapError
            If it tells later charges and not this one.
        """
        if self._funding is None:
            return bar
        return (await self._funding.charged([bar]))[0]

    async def _bars(self, span: Span, start_ns: int) -> list[Bar]:
        if span.from_ns is None:
            return (await self._run_up_to(span.until_ns, start_ns))[:-1]
        # One bar more: what follows it may be flat, at its close. Where a venue leaves
        # flat bars out, that one may be missing too: then as far back as a hole.
        for more_ns in (self._interval_ns, HOLE_NS + self._interval_ns):
            bars = await self._run_up_to(span.until_ns, span.from_ns - more_ns)
            if bars[0].open_time_ns <= span.from_ns:
                return [bar for bar in bars[:-1] if bar.open_time_ns >= span.from_ns]
        msg = f"{self._instrument}: bars from {span.from_ns} on are not to be had"
        raise GapError(msg)

    async def bar_closing(self, close_ns: int) -> Bar | None:
        """
        Return the venue's bar that closed at ``close_ns``, None where it has none.

        Raises
        ------
        VenueError
            If the venue cannot be asked.
        """
        span_ns = close_ns - self._interval_ns, close_ns
        symbol = self._instrument.symbol
        bars = await self._rest.bars(symbol, self._bar_seconds, *span_ns)
        return bars[-1] if bars and bars[-1].close_time_ns == close_ns else None

    async def _run_up_to(self, until_ns: int, start_ns: int) -> list[Bar]:
        """Return bars without a hole up to the one that opens at ``until_ns``."""
        if not self._kept_seconds:
            return await self._asked_run(until_ns, start_ns)
        async with self._asking:
            if self._kept is not None:
                kept_until_ns, kept_start_ns, bars = self._kept
                if kept_until_ns == until_ns and kept_start_ns <= start_ns:
                    return [bar for bar in bars if bar.open_time_ns >= start_ns]
            bars = await self._asked_run(until_ns, start_ns)
            self._kept = until_ns, start_ns, bars
            loop = asyncio.get_running_loop()
            loop.call_later(self._kept_seconds, self._forget, bars)
            return bars

    def _forget(self, bars: list[Bar]) -> None:
        if self._kept is not None and self._kept[2] is bars:
            self._kept = None

    async def _asked_run(self, until_ns: int, start_ns: int) -> list[Bar]:
        bars = await self._rest.bars(
            self._instrument.symbol,
            self._bar_seconds,
            start_ns,
            until_ns + self._interval_ns,
        )
        if not bars or bars[-1].open_time_ns != until_ns:
            reach = bars[-1].close_time_ns if bars else None
            msg = f"{self._instrument}: bars reach {reach}, not yet {until_ns}"
            raise VenueUnavailable(msg, venue=self._instrument.venue.value)
        if bars[0].open_time_ns > start_ns:
            bars = await self._older(start_ns, bars[0].open_time_ns) + bars
        return _newest_run(fill_flat(bars, self._interval_ns))

    async def newest_trade_id(self) -> int:
        """
        Return the id of the venue's newest print of the instrument.

        Raises
        ------
        VenueError
            If it cannot be had.
        """
        return await self._rest.newest_trade_id(self._instrument.symbol)

    async def _older(self, start_ns: int, end_ns: int) -> list[Bar]:
        """Return the catalog's bars that lead up to ``end_ns`` without a hole."""
        if self._catalog is None:
            return []
        try:
            bars = await asyncio.to_thread(
                _catalog_bars,
                self._catalog,
                self._instrument,
                self._bar_seconds,
                (start_ns, end_ns),
            )
        except DataError as error:
            _log.info("nothing older in the catalog", extra={"reason": str(error)})
            return []
        found = _newest_run(bars)
        if found and found[-1].close_time_ns != end_ns:
            _log.warning(
                "the catalog ends before the venue's oldest bar: not used",
                extra={
                    "instrument": str(self._instrument),
                    "catalog_until_ns": found[-1].close_time_ns,
                    "venue_from_ns": end_ns,
                },
            )
            return []
        return found


def _catalog_bars(
    catalog: Catalog, instrument: InstrumentId, seconds: int, within: tuple[int, int]
) -> list[Bar]:
    start_ns, end_ns = within
    columns = ("open", "high", "low", "close", "volume")
    frame = catalog.bars(instrument, seconds, start_ns, end_ns).select(
        pl.col("open_time").to_physical(),
        pl.col("close_time").to_physical(),
        *columns,
    )
    rows = frame.collect(engine="streaming").iter_rows()
    return [Bar._make((*row, 0.0)) for row in rows if row[1] <= end_ns]


def _newest_run(bars: list[Bar]) -> list[Bar]:
    """Return the bars after the last hole."""
    for index in range(len(bars) - 1, 0, -1):
        if bars[index].open_time_ns != bars[index - 1].close_time_ns:
            _log.warning(
                "hole in history: only what follows is used",
                extra={"until_ns": bars[index].open_time_ns},
            )
            return bars[index:]
    return bars

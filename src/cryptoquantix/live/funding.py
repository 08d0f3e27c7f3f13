"""
The funding charged in bars, as research has it; it never takes a rate for granted.

A bar carries the sum of the rates charged in ``(open, close]``. What a stream calls
the rate is an estimate until it is charged, so the venue's record of the charge is
waited for: a bar in which a charge is due is not handed on before it is told. Of the
catalog only charges before the venue's oldest are taken.
"""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Final, NoReturn

import polars as pl

from cryptoquantix.core.clock import NS_PER_SECOND
from cryptoquantix.core.errors import DataError, GapError, VenueUnavailable
from cryptoquantix.core.instrument import InstrumentId
from cryptoquantix.core.market import Bar
from cryptoquantix.data.catalog import Catalog
from cryptoquantix.venues.funding import Charge
from cryptoquantix.venues.market_rest import MarketRest

# Venues charge on whole hours, every eight at the longest; the same bound as research.
_HOUR_NS: Final = 3_600 * NS_PER_SECOND
_LATE_NS: Final = 60 * NS_PER_SECOND
_GAP_MAX_NS: Final = 8 * _HOUR_NS + _LATE_NS


class FundingHistory:
    """
    What was charged of one instrument.

    Parameters
    ----------
    rest : MarketRest
        The venue.
    catalog : Catalog or None
        What is held here, if anything.
    instrument : InstrumentId
        A perpetual of a venue that charges at funding times.
    """

    def __init__(
        self, rest: MarketRest, catalog: Catalog | None, instrument: InstrumentId
    ) -> None:
        self._rest = rest
        self._catalog = catalog
        self._instrument = instrument

    async def charged(self, bars: list[Bar], *, is_start: bool = False) -> list[Bar]:
        """
        Return ``bars``, which follow each other, with what was charged in each.

        Parameters
        ----------
        bars : list of Bar
            Closed ones: the venue's present is after them.
        is_start : bool
            Leave out the first ones, up to the last charge that is missing.

        Raises
        ------
        VenueUnavailable
            If a charge that is due is not told yet, or no answer came.
        VenueError
            If the venue refused.
        GapError
            If a charge is missing and ``is_start`` is False.
        """
        if not bars:
            return []
        first_ns, last_ns = bars[0].open_time_ns, bars[-1].close_time_ns
        symbol = self._instrument.symbol
        due = await self._rest.funding_schedule(symbol)
        if due.next_ns <= last_ns:
            self._not_yet(due.next_ns)
        before_ns = due.next_ns - due.interval_ns  # of the newest charge that was due
        if before_ns <= first_ns:
            return bars
        # From before the bars on: a venue that knows older ones will know these too.
        since_ns = first_ns - 2 * _GAP_MAX_NS
        charges = await self._rest.charges(symbol, since_ns, due.next_ns)
        charges = await self._older(charges, first_ns, before_ns) + charges
        known_ns = first_ns
        if charges and charges[-1].time_ns >= before_ns:
            within_ns = first_ns, last_ns
            known_ns = max(
                _known_from(charges, *within_ns),
                _after_skipped(charges, due.interval_ns, *within_ns),
            )
        elif is_start and not charges:
            known_ns = before_ns  # it was never charged: not listed, or just begun
        else:
            self._not_yet(before_ns)
        usable = [bar for bar in bars if bar.open_time_ns >= known_ns]
        if is_start and not usable:
            self._not_yet(known_ns)
        if len(usable) < len(bars) and not is_start:
            msg = (
                f"{self._instrument}: a charge of funding before {known_ns} is missing"
            )
            raise GapError(msg)
        return _with_charges(usable, charges)

    def _not_yet(self, time_ns: int) -> NoReturn:
        msg = f"{self._instrument}: the funding of {time_ns} is not told yet"
        raise VenueUnavailable(msg, venue=self._instrument.venue.value)

    async def _older(
        self, charges: list[Charge], first_ns: int, before_ns: int
    ) -> list[Charge]:
        """Return the catalog's charges from before the venue's oldest."""
        end_ns = charges[0].time_ns if charges else before_ns + NS_PER_SECOND
        if self._catalog is None or end_ns <= first_ns + _GAP_MAX_NS:
            return []
        try:
            return await asyncio.to_thread(
                _catalog_charges, self._catalog, self._instrument, (first_ns, end_ns)
            )
        except DataError:
            return []


def may_be_charged(bar: Bar) -> bool:
    """Return whether a whole hour, at which venues charge, is in ``(open, close]``."""
    return bar.close_time_ns // _HOUR_NS != bar.open_time_ns // _HOUR_NS


def _known_from(charges: list[Charge], first_ns: int, last_ns: int) -> int:
    """Return from when on no charge is missing, by the rule of research."""
    within = [c.time_ns for c in charges if first_ns < c.time_ns <= last_ns]
    known_ns = first_ns
    for before, after in pairwise((first_ns, *within, last_ns)):
        if after - before > _GAP_MAX_NS:
            known_ns = after
    return known_ns


def _after_skipped(
    charges: list[Charge], interval_ns: int, first_ns: int, last_ns: int
) -> int:
    """
    Return from when on no charge is missing between two that are told.

    Intervals change, from eight hours to one and back, so one is too long only beside
    the one before it and the one after it; after the last comes ``interval_ns``.
    """
    times = [charge.time_ns for charge in charges]
    steps = [after - before for before, after in pairwise(times)]
    known_ns = first_ns
    for i, (before, after) in enumerate(pairwise(times)):
        beside = max((*steps[max(i - 1, 0) : i], *steps[i + 1 : i + 2]), default=0)
        if i == len(steps) - 1:
            beside = max(beside, interval_ns)
        hour_ns = (max(before, first_ns) // _HOUR_NS + 1) * _HOUR_NS
        may_be_seen = hour_ns < after and hour_ns <= last_ns
        if may_be_seen and after - before > beside + _LATE_NS:
            known_ns = after
    return known_ns


def _with_charges(bars: list[Bar], charges: list[Charge]) -> list[Bar]:
    """Return each bar with the sum of its charges, added in order as research does."""
    found: list[Bar] = []
    rest = iter(charges)
    charge = next(rest, None)
    for bar in bars:
        while charge is not None and charge.time_ns <= bar.open_time_ns:
            charge = next(rest, None)
        total = 0.0
        while charge is not None and charge.time_ns <= bar.close_time_ns:
            total += charge.rate
            charge = next(rest, None)
        found.append(bar._replace(funding_rate=total))
    return found


def _catalog_charges(
    catalog: Catalog, instrument: InstrumentId, within: tuple[int, int]
) -> list[Charge]:
    frame = catalog.funding(instrument, *within).select(
        pl.col("time").to_physical(), "rate"
    )
    rows = frame.collect().iter_rows()
    found = [Charge(time // NS_PER_SECOND * NS_PER_SECOND, rate) for time, rate in rows]
    return [charge for charge in found if charge.time_ns < within[1]]

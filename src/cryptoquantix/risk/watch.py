"""
One look a second: every venue read in parallel, again where needed; it acts on none.

It brings readings to the judge (``judgement.py``), each venue with its own deadline.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from cryptoquantix.core.clock import NS_PER_SECOND, Clock
from cryptoquantix.core.exposure import Reading
from cryptoquantix.risk.calls import FAILED, within
from cryptoquantix.risk.explain import blindness, inconsistency
from cryptoquantix.risk.judgement import CONFIRM, Judgement, Seen, Sight
from cryptoquantix.risk.port import RiskVenue
from cryptoquantix.risk.rules import Limits

__all__ = ["CONFIRM", "Seen", "Sight", "Watch"]


class Watch(Judgement):
    """The judge with venues to read."""

    def __init__(
        self,
        venues: Mapping[str, RiskVenue],
        *,
        limits: Limits,
        clock: Clock,
        note: Callable[[str], None],
    ) -> None:
        super().__init__(tuple(venues), limits=limits, clock=clock, note=note)
        self._ports = venues

    async def baseline(self) -> str:
        """Take a fresh complete reading as the baseline; return why not, or nothing."""
        return self.start_from(await self._read(2 * NS_PER_SECOND))

    async def look(self, *, is_judging: bool) -> Sight:
        """Read every venue once, again where needed, and judge."""
        seen = await self._read(self._limits.reading_ns)
        sight = self.first(seen, is_judging=is_judging)
        if sight is None:
            sight = self.second(await self._read(self._limits.confirm_ns))
        return sight

    async def _read(self, deadline_ns: int) -> Seen:
        names = list(self._ports)
        found = await asyncio.gather(
            *(self._read_one(self._ports[name], deadline_ns) for name in names)
        )
        pairs = dict(zip(names, found, strict=True))
        return Seen(
            {name: item for name, item in pairs.items() if isinstance(item, Reading)},
            {name: item for name, item in pairs.items() if isinstance(item, str)},
        )

    async def _read_one(self, venue: RiskVenue, deadline_ns: int) -> Reading | str:
        """Return a reading that is a number, or why there is none."""
        try:
            async with asyncio.timeout(deadline_ns / NS_PER_SECOND):
                reading = await venue.reading()
                problem = blindness(reading)
                if not problem:
                    return reading
                if self._is_still_empty(reading) or await self._is_real(venue, reading):
                    problem = inconsistency(reading)
        except FAILED as error:
            return f"{type(error).__name__}: {error}".rstrip(": ")
        return problem or reading

    def _is_still_empty(self, reading: Reading) -> bool:
        """Return whether an account holds nothing, as it did when last believed."""
        last = self.book.last.get(reading.venue)
        return last is not None and all(
            not (found.equity or found.positions or found.coins)
            for found in (last, reading)
        )

    async def _is_real(self, venue: RiskVenue, reading: Reading) -> bool:
        """Return whether a second endpoint confirms zero or negative equity."""
        if not reading.equity.is_finite() or reading.equity > 0:
            return False
        again = await within(1.0, venue.equity_again)
        return again.is_finite() and again <= 0

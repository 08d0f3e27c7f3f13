"""
A venue whose readings are written down as they come; it changes none of them.

What the daemon decides on is what passes here: every reading, every second look, and
every failure, with its time.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any, Final

from cryptoquantix.core.clock import Clock
from cryptoquantix.core.exposure import HeldPosition, Reading
from cryptoquantix.risk.port import RiskVenue

ENTRIES_MAX: Final = 64
"""In one second; three venues read twice are six."""


class Readings:
    """Collects what was read since it was last taken."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._found: list[list[object]] = []

    def add(self, venue: str, kind: str, value: object) -> None:
        """Note one answer, or the error in its place."""
        if len(self._found) < ENTRIES_MAX:
            self._found.append([venue, kind, self._clock.time_ns(), value])

    def take(self) -> str:
        """Return all of it as JSON text and begin anew; empty when nothing was read."""
        found, self._found = self._found, []
        return json.dumps(found, default=_text, separators=(",", ":")) if found else ""


class RecordedVenue:
    """Another venue, with its readings noted; everything else is that venue's own."""

    def __init__(self, venue: RiskVenue, readings: Readings) -> None:
        self._venue = venue
        self._readings = readings

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - the venue's own
        """Return what is not recorded as the venue has it."""
        return getattr(self._venue, name)

    async def reading(self) -> Reading:
        """Read the account and note it."""
        return await self._noted("reading", self._venue.reading)

    async def equity_again(self) -> Decimal:
        """Read equity by the second endpoint and note it."""
        return await self._noted("equity_again", self._venue.equity_again)

    async def _noted[T](self, kind: str, read: Callable[[], Awaitable[T]]) -> T:
        try:
            found = await read()
        except BaseException as error:
            self._readings.add(self._venue.name, f"no {kind}", f"{error!r}"[:300])
            raise
        self._readings.add(self._venue.name, kind, found)
        return found


def _text(value: object) -> object:
    """Return a reading as rows of text: names would be most of every row."""
    if isinstance(value, Reading):
        return {
            "equity": value.equity,
            "balance": value.balance,
            "time_ns": value.time_ns,
            "positions": [_row(held) for held in value.positions],
            "coins": [[c.coin, c.equity, c.balance, c.rate] for c in value.coins],
            "rates": value.rates,
            "others": [[f"{part}" for part in _fields(o)] for o in value.others],
        }
    return str(value)


def _row(held: HeldPosition) -> list[object]:
    row = [held.symbol, held.leg, held.size, held.mark_price, held.entry_price]
    return [*row, held.coin] if held.coin else row


def _fields(value: object) -> list[object]:
    return [getattr(value, name) for name in type(value).__dataclass_fields__]  # type: ignore[attr-defined]

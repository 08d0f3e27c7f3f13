"""
Whether a venue still counts in the steps that a trading loop began with; it trades not.

Positions, orders and fills are whole lots of the size that was listed when the loop
began. A venue that changes it is then misread, or not read at all: the loop ends, and
the next one begins with the new steps.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Final

from cryptoquantix.core.errors import VenueError
from cryptoquantix.core.instrument import Instrument, InstrumentId
from cryptoquantix.journal.records import OrderRecord
from cryptoquantix.venues.port import VenuePort

_LOG = logging.getLogger(__name__)

_LOOK_SECONDS: Final = 600.0
_PAUSE_SECONDS: Final = 30.0


class StepsWatch:
    """
    Reads what is listed every ten minutes, and at once when in doubt.

    Parameters
    ----------
    port : VenuePort
        The venue, open.
    traded : iterable of InstrumentId
        Whose steps must stay.
    """

    def __init__(self, port: VenuePort, traded: Iterable[InstrumentId]) -> None:
        self._port = port
        self._traded = frozenset(traded)
        self._doubt = asyncio.Event()

    def doubt(self) -> None:
        """Look soon: something was answered that cannot be read."""
        self._doubt.set()

    async def run(self) -> None:
        """
        Look for ever.

        Raises
        ------
        VenueError
            If the steps of a traded instrument are others than when it was opened.
        """
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_SECONDS):
                    await self._doubt.wait()
            self._doubt.clear()
            await self._look()
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _look(self) -> None:
        try:
            listed = await self._port.read_instruments()
        except VenueError as error:
            _LOG.warning("what is listed cannot be read: %s", error)
            return
        for id_, before in self._port.instruments().items():
            now = listed.get(id_)
            if (
                id_ in self._traded
                and now is not None
                and _steps(now) != _steps(before)
            ):
                msg = (
                    f"{id_} has other steps now: lots of {now.lot_size} (were "
                    f"{before.lot_size}), ticks of {now.tick_size} (were "
                    f"{before.tick_size}): execution begins anew with them"
                )
                venue = self._port.venue.value
                raise VenueError(msg, venue=venue, request="instruments")


def has_other_steps(
    record: OrderRecord, listed: Mapping[InstrumentId, Instrument]
) -> bool:
    """Return whether an order was made in other steps than its instrument's now."""
    instrument = listed.get(record.order().instrument)
    if instrument is None:
        return False
    if Decimal(record.lot_size) != instrument.lot_size:
        return True
    return bool(record.tick_size) and Decimal(record.tick_size) != instrument.tick_size


def _steps(instrument: Instrument) -> tuple[object, object]:
    return instrument.lot_size, instrument.tick_size

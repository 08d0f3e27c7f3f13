"""``cqx feed VENUE``: one venue's market data onto the bus; it holds no key."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import numpy as np

from cryptoquantix.apps.logs import setup_logs
from cryptoquantix.apps.service import run_until_stopped
from cryptoquantix.apps.settings import Settings, VenueSettings, load_settings
from cryptoquantix.bus.connection import connect
from cryptoquantix.core.clock import SystemClock
from cryptoquantix.core.errors import SettingsError, VenueUnavailable
from cryptoquantix.core.instrument import Instrument, InstrumentId
from cryptoquantix.live.feed_memory import FeedMemory
from cryptoquantix.live.feed_service import FeedService
from cryptoquantix.venues.backoff import Backoff
from cryptoquantix.venues.market_rest import MarketRest
from cryptoquantix.venues.markets import select

_log = logging.getLogger(__name__)


def run(venue: str, config: Path | None = None) -> None:
    """
    Feed ``venue`` until stopped.

    A venue or a bus that is not there is waited for, saying so in the log.

    Raises
    ------
    SettingsError
        If the settings name no such venue, no address or no instrument of it, or an
        instrument that the venue does not trade.
    """
    settings = load_settings(config)
    if venue not in settings.venues:
        known = ", ".join(sorted(settings.venues)) or "none"
        msg = f"no venue {venue!r} in the settings, they name: {known}"
        raise SettingsError(msg)
    wanted = _instruments(settings, venue)
    setup_logs(f"feed-{venue}")
    run_until_stopped(lambda: _feed(settings, settings.venues[venue], wanted))


def _instruments(settings: Settings, venue: str) -> list[InstrumentId]:
    wanted = [one for one in settings.fed_instruments if one.venue.value == venue]
    if not wanted:
        msg = (
            f"neither a strategy nor [feeds] in the settings names an instrument of "
            f"{venue}"
        )
        raise SettingsError(msg)
    return wanted


async def _feed(
    settings: Settings, venue: VenueSettings, wanted: list[InstrumentId]
) -> None:
    clock = SystemClock()
    # The jitter must differ between feeds that restart together.
    random = np.random.default_rng(clock.time_ns())
    name = wanted[0].venue
    async with MarketRest(venue.rest, clock, name) as rest:
        known = await _known(rest, Backoff(random))
        instruments = list(select(known, wanted).values())
        client = await connect(settings.nats.url, f"feed-{name.value}")
        memory = FeedMemory(settings.directory / "feed" / f"{name.value}.json")
        try:
            service = FeedService(
                instruments, venue.ws, rest, client, clock, random, memory
            )
            await service.run()
        finally:
            await client.close()


async def _known(rest: MarketRest, backoff: Backoff) -> dict[str, Instrument]:
    while True:
        try:
            return await rest.instruments()
        except VenueUnavailable as error:
            seconds = backoff.next_seconds()
            _log.warning(
                "venue away", extra={"error": str(error), "retry_seconds": seconds}
            )
            await asyncio.sleep(seconds)

"""``cqx recorder``: ticks from the bus into the catalog; it holds no key."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

from cryptoquantix.apps.logs import setup_logs
from cryptoquantix.apps.loopback import is_loopback
from cryptoquantix.apps.service import run_until_stopped
from cryptoquantix.apps.settings import Settings, load_settings
from cryptoquantix.bus.connection import connect
from cryptoquantix.core.clock import SystemClock
from cryptoquantix.core.errors import DataError, SettingsError
from cryptoquantix.core.instrument import InstrumentId, Venue
from cryptoquantix.data.layout import DatasetKey, Marker
from cryptoquantix.data.schema import DatasetKind
from cryptoquantix.data.segments import check_origin
from cryptoquantix.live.recorder import Recorder
from cryptoquantix.live.recorder_lock import RecorderLock
from cryptoquantix.venues.market_rest import MarketRest

SIMULATED = "simulator"
# The feed asks at its own pace at the same address, and those who act come first.
REST_SHARE = 0.25


def run(config: Path | None = None) -> None:
    """
    Record until stopped.

    Raises
    ------
    SettingsError
        If another recorder writes to the same folder, no venue is set, or a named
        instrument's venue has no address.
    DataError
        If the catalog holds an instrument's ticks of another origin.
    """
    settings = load_settings(config)
    if not settings.venues:
        msg = "the settings name no venue: nothing says where ticks come from"
        raise SettingsError(msg)
    wanted = [InstrumentId.parse(name) for name in settings.recorder.instruments]
    for instrument in wanted:
        if instrument.venue.value not in settings.venues:
            msg = f"the settings give no address of {instrument.venue.value}"
            raise SettingsError(msg)
        key = DatasetKey(DatasetKind.TICKS, instrument)
        check_origin(settings.catalog, key, marker_of(settings, instrument))
    lock = RecorderLock(settings.recorder_directory)
    setup_logs("recorder")
    try:
        run_until_stopped(lambda: _record(settings, wanted))
    finally:
        lock.release()


def marker_of(settings: Settings, instrument: InstrumentId) -> Marker:
    """
    Return what is true of the ticks a feed brings of an instrument.

    Binance's stream has aggregated trades, as its ``aggTrades`` archives. Those of a
    venue on this machine come from a simulator and never mix with real ones.

    Raises
    ------
    DataError
        If the settings do not say where that is: a simulator's may not pass for real.
    """
    venue = settings.venues.get(instrument.venue.value)
    if venue is None:
        msg = f"the settings give no address of {instrument.venue.value}"
        raise DataError(msg)
    if is_loopback(venue.ws):
        return Marker(SIMULATED, generated=True)
    is_aggregated = instrument.venue is Venue.BINANCE
    return Marker("aggTrades" if is_aggregated else "trades")


async def _record(settings: Settings, wanted: list[InstrumentId]) -> None:
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        rests = {
            venue: await stack.enter_async_context(
                MarketRest(settings.venues[venue.value].rest, clock, venue, REST_SHARE)
            )
            for venue in Venue
            if venue.value in settings.venues
        }
        client = await connect(settings.nats.url, "recorder")
        stack.push_async_callback(client.close)
        recorder = Recorder(
            settings.catalog,
            settings.recorder_directory / "spool",
            wanted,
            lambda instrument: marker_of(settings, instrument),
            client,
            clock,
            settings.recorder.segment_seconds,
            rests,
        )
        await recorder.run()

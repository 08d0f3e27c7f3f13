"""``cqx strategy``: every strategy of the settings, on live bars; it holds no key."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import numpy as np
from nats.aio.client import Client
from nats.errors import Error as BusError
from nats.js.errors import Error as JetStreamError
from nats.js.kv import KeyValue

from cryptoquantix.apps.logs import setup_logs
from cryptoquantix.apps.service import run_until_stopped
from cryptoquantix.apps.settings import Settings, StrategySettings, load_settings
from cryptoquantix.bus.connection import connect, targets_bucket
from cryptoquantix.core.clock import SystemClock
from cryptoquantix.core.errors import SettingsError
from cryptoquantix.core.instrument import InstrumentId, InstrumentKind, Venue
from cryptoquantix.data.catalog import Catalog
from cryptoquantix.live.funding import FundingHistory
from cryptoquantix.live.snapshot import SnapshotStore, SnapshotWriter
from cryptoquantix.live.strategy_runner import (
    Snapshots,
    StrategyPlan,
    StrategyRunner,
)
from cryptoquantix.live.strategy_service import StrategyService
from cryptoquantix.live.target_publisher import TargetPublisher
from cryptoquantix.live.warmup import History
from cryptoquantix.strategies.registry import load, reads_funding
from cryptoquantix.strategies.stepper import Stepper
from cryptoquantix.venues.backoff import Backoff
from cryptoquantix.venues.funding import FUNDING
from cryptoquantix.venues.market_rest import MarketRest
from cryptoquantix.venues.markets import interval_name

# What one strategy was given is kept so long for others that start with it.
_KEPT_SECONDS: Final = 20.0

_log = logging.getLogger(__name__)


def run(config: Path | None = None) -> None:
    """
    Run the strategies until stopped.

    Raises
    ------
    SettingsError
        If the settings name no strategy, an unknown one, one twice on an instrument,
        one that decides by funding at a venue that charges it all the time, a wrong
        parameter, a venue without an address or a bar length it lacks.
    """
    settings = load_settings(config)
    setup_logs("strategy")
    plans = [_plan(settings, one) for one in settings.strategies]
    if not plans:
        msg = "the settings name no strategy"
        raise SettingsError(msg)
    keys = [plan.key for plan in plans]
    for key in keys:
        if keys.count(key) > 1:
            msg = f"the settings name {key} twice: targets would overwrite each other"
            raise SettingsError(msg)
    run_until_stopped(lambda: _serve(settings, plans))


def _plan(settings: Settings, one: StrategySettings) -> StrategyPlan:
    instrument = InstrumentId.parse(one.instrument)
    if instrument.venue.value not in settings.venues:
        msg = f"the settings give no address of {instrument.venue.value}"
        raise SettingsError(msg)
    interval_name(instrument.venue, one.bar_seconds)
    is_charged = instrument.kind is InstrumentKind.PERPETUAL
    needs_funding = is_charged and reads_funding(load(one.name))
    if needs_funding and instrument.venue not in FUNDING:
        msg = (
            f"strategy {one.name!r} reads funding_rate, and {instrument.venue.value} "
            f"charges funding all the time, not at times that a bar could carry: it "
            f"can be studied, and not run live there"
        )
        raise SettingsError(msg)

    def make_stepper() -> Stepper:
        return Stepper(one.name, dict(one.params), settings.kernel_cache)

    needed = make_stepper().warmup_bars(one.bar_seconds)
    asked = one.warmup_days * 86_400 // one.bar_seconds
    return StrategyPlan(
        one.name,
        instrument,
        one.bar_seconds,
        max(needed, asked),
        make_stepper,
        needs_funding,
        one.warmup_required,
    )


async def _serve(settings: Settings, plans: list[StrategyPlan]) -> None:
    clock = SystemClock()
    random = np.random.default_rng(clock.time_ns())
    catalog = Catalog(settings.catalog)
    async with AsyncExitStack() as stack:
        client = await connect(settings.nats.url, "strategy")
        stack.push_async_callback(client.close)
        publisher = TargetPublisher(await _bucket(client))
        store = SnapshotStore(settings.snapshot_directory)
        snapshots = Snapshots(store, SnapshotWriter(store))
        venues = {plan.instrument.venue for plan in plans}
        rests = {
            venue: await stack.enter_async_context(
                MarketRest(settings.venues[venue.value].rest, clock, venue)
            )
            for venue in venues
        }
        histories = _histories(plans, rests, catalog)
        runners = [
            StrategyRunner(
                plan,
                histories[plan.instrument, plan.bar_seconds, plan.reads_funding],
                publisher,
                await publisher.last(plan.key),
                Backoff(random, seconds_min=0.05, seconds_max=5.0),
                clock,
                snapshots,
            )
            for plan in plans
        ]
        service = StrategyService(runners, publisher, client, clock, snapshots.writer)
        await service.run()


type _Kind = tuple[InstrumentId, int, bool]


def _histories(
    plans: list[StrategyPlan], rests: dict[Venue, MarketRest], catalog: Catalog
) -> dict[_Kind, History]:
    """Return one history for all strategies that see the same bars."""
    found: dict[_Kind, History] = {}
    kinds = [(p.instrument, p.bar_seconds, p.reads_funding) for p in plans]
    for instrument, seconds, is_charged in set(kinds):
        rest = rests[instrument.venue]
        funding = FundingHistory(rest, catalog, instrument) if is_charged else None
        kind = instrument, seconds, is_charged
        kept_seconds = _KEPT_SECONDS if kinds.count(kind) > 1 else 0.0
        found[kind] = History(rest, catalog, instrument, seconds, funding, kept_seconds)
    return found


async def _bucket(client: Client) -> KeyValue:
    while True:
        try:
            return await targets_bucket(client)
        except (BusError, JetStreamError, TimeoutError) as error:
            _log.warning("bus keeps no targets yet", extra={"error": repr(error)})
            await asyncio.sleep(0.5)

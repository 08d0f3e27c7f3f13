"""``cqx execution``: targets to orders at every venue; it judges no risk of its own."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from cryptoquantix.apps.addresses import is_loopback
from cryptoquantix.apps.logs import setup_logs
from cryptoquantix.apps.service import run_until_stopped
from cryptoquantix.apps.settings import (
    ExecutionSettings,
    Settings,
    WorkingSettings,
    load_settings,
)
from cryptoquantix.bus.subjects import target_key
from cryptoquantix.control.build import build_stamp
from cryptoquantix.core.clock import SystemClock
from cryptoquantix.core.errors import SettingsError
from cryptoquantix.core.instrument import InstrumentId, InstrumentKind, Venue
from cryptoquantix.journal.store import Journal
from cryptoquantix.live.desk import Desk
from cryptoquantix.live.events import EngineSettings, OnStop, Subscription
from cryptoquantix.live.execution import Execution
from cryptoquantix.live.execution_reporter import ExecutionReporter
from cryptoquantix.live.portfolio import Portfolio
from cryptoquantix.live.target_watch import TargetWatch
from cryptoquantix.orders.limits import LimitSettings
from cryptoquantix.orders.styles import Style, Working
from cryptoquantix.risk_client.permit import PermitClient
from cryptoquantix.venues.backoff import Backoff
from cryptoquantix.venues.hints import HintStream
from cryptoquantix.venues.port import VenuePort
from cryptoquantix.venues.trading import TradingPort, hint_dialect, trading_port

_TIDY_SECONDS: Final = 20.0


def run(config: Path | None = None) -> None:
    """
    Trade until stopped; positions stay, resting orders as ``execution.on_stop`` says.

    Raises
    ------
    SettingsError
        If no strategy trades a perpetual of a venue with an address and a key, or
        another process has the journal.
    CredentialsRefused
        If a venue does not take the key, or the key may withdraw.
    StateCorrupt
        If the journal cannot be read.
    """
    settings = load_settings(config)
    setup_logs("execution")
    subscriptions = _subscriptions(settings)
    journal = Journal(settings.journal_path)
    try:
        run_until_stopped(lambda: _serve(settings, subscriptions, journal))
    finally:
        journal.close()


async def _serve(
    settings: Settings, subscriptions: tuple[Subscription, ...], journal: Journal
) -> None:
    clock = SystemClock()
    permits = PermitClient(
        url=settings.risk.url,
        token=settings.risk.token.get_secret_value(),
        # A name of this very process: the daemon lets a new holder in only after the
        # old one's permits, and what it may still have under way, are over.
        holder=f"execution:{socket.gethostname()}:{os.getpid()}",
        build=build_stamp(),
        clock=clock,
        sequence_path=settings.journal_path.with_name("permit_sequence"),
    )
    ports = {
        venue: trading_port(
            venue,
            rest=settings.venues[venue.value].rest,
            key=settings.venues[venue.value].key.get_secret_value(),
            secret=settings.venues[venue.value].secret.get_secret_value(),
            clock=clock,
        )
        for venue in sorted({s.instrument.venue for s in subscriptions})
    }
    desks = _desks(settings, subscriptions, journal, permits, ports, clock)
    execution = Execution(desks, permits, OnStop(settings.execution.on_stop))
    keys = {target_key(s.strategy, s.instrument) for s in subscriptions}
    watch = TargetWatch(settings.nats.url, keys, execution.on_target)
    reporter = ExecutionReporter(settings.nats.url, execution, permits, clock, journal)
    async with AsyncExitStack() as stack:
        for port in ports.values():
            stack.push_async_callback(port.close)
        async with asyncio.TaskGroup() as group:
            group.create_task(permits.run())
            group.create_task(watch.run())
            group.create_task(execution.run())
            group.create_task(_tidy(journal))
            group.create_task(reporter.run())
            for venue, port in ports.items():
                stream = _hints(settings, port, partial(execution.on_hint, venue))
                group.create_task(stream.run())


async def _tidy(journal: Journal) -> None:
    while True:
        await asyncio.sleep(_TIDY_SECONDS)
        journal.tidy()


def _hints(
    settings: Settings, port: TradingPort, on_hint: Callable[[], None]
) -> HintStream:
    clock, one = SystemClock(), settings.venues[port.venue.value]
    dialect = hint_dialect(
        port,
        ws=one.ws,
        key=one.key.get_secret_value(),
        secret=one.secret.get_secret_value(),
    )
    backoff = Backoff(np.random.default_rng(clock.time_ns()))
    return HintStream(port.venue, dialect, on_hint, backoff=backoff, clock=clock)


def _desks(  # noqa: PLR0917 - the parts of one composition
    settings: Settings,
    subscriptions: tuple[Subscription, ...],
    journal: Journal,
    permits: PermitClient,
    ports: Mapping[Venue, VenuePort],
    clock: SystemClock,
) -> Callable[[], list[Desk]]:
    """Return what makes a new desk per venue for each trading loop."""
    execution = settings.execution
    limits = LimitSettings(
        leverage_max=execution.leverage_max,
        price_collar_fraction=execution.price_collar_fraction,
        orders_per_minute_max=execution.orders_per_minute_max,
        net_max=execution.net_max,
        instrument_max=execution.instrument_max,
        instrument_max_of=execution.instrument_max_of,
        order_max=execution.order_max,
        portfolio_gross_max=execution.portfolio_gross_max,
        portfolio_net_max=execution.portfolio_net_max,
    )

    def make() -> list[Desk]:
        portfolio = Portfolio(ports)
        return [
            Desk(
                venue=port,
                settings=EngineSettings(
                    account=execution.account,
                    equity_fraction=execution.equity_fraction,
                    no_trade_band=execution.no_trade_band,
                    limits=limits,
                    subscriptions=tuple(
                        s for s in subscriptions if s.instrument.venue is venue
                    ),
                    build=build_stamp(),
                    adopt=frozenset(map(InstrumentId.parse, execution.adopt)),
                ),
                journal=journal,
                permits=permits,
                clock=clock,
                portfolio=portfolio,
            )
            for venue, port in ports.items()
        ]

    return make


def _subscriptions(settings: Settings) -> tuple[Subscription, ...]:
    found = []
    is_paper = settings.simulator.source == "venue"
    for one in settings.strategies:
        instrument = InstrumentId.parse(one.instrument)
        venue = settings.venues.get(instrument.venue.value)
        if instrument.kind is not InstrumentKind.PERPETUAL:
            msg = f"execution trades perpetuals only, {instrument} is none"
            raise SettingsError(msg)
        if venue is None:
            msg = f"the settings give no address of {instrument.venue.value}"
            raise SettingsError(msg)
        if not (venue.key.get_secret_value() and venue.secret.get_secret_value()):
            name = instrument.venue.value
            msg = f"the settings give no key and secret of {name} to trade with"
            raise SettingsError(msg)
        found.append(
            Subscription(
                strategy=one.name,
                instrument=instrument,
                bar_seconds=one.bar_seconds,
                weight=one.weight,
                working=_working(one.style, settings.execution.working),
                bars_max=settings.execution.target_bars_max,
                is_tape=is_loopback(venue.rest) and not is_paper,
            )
        )
    if not found:
        msg = "the settings name no strategy"
        raise SettingsError(msg)
    if len({(s.strategy, s.instrument) for s in found}) < len(found):
        msg = "the settings name a strategy twice on one instrument"
        raise SettingsError(msg)
    _check_names(settings.execution, tuple(found))
    return tuple(found)


def _check_names(
    execution: ExecutionSettings, subscriptions: tuple[Subscription, ...]
) -> None:
    """Refuse settings of an instrument that no strategy trades: it may be mistyped."""
    traded = {s.instrument for s in subscriptions}
    for setting in ("adopt", "instrument_max_of"):
        for id_ in map(InstrumentId.parse, getattr(execution, setting)):
            if id_ not in traded:
                msg = f"execution.{setting} names {id_}, which no strategy trades"
                raise SettingsError(msg)


def _working(style: str, settings: WorkingSettings) -> Working:
    return Working(
        style=Style(style),
        seconds=settings.seconds,
        slices=settings.slices,
        requotes_max=settings.requotes_max,
        through_fraction=settings.through_fraction,
        ends_as=Style(settings.ends_as),
    )

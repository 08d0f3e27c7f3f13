"""
A paper account's plan: what is fed, its steps and past, where the simulator listens.

It asks the real venues' public REST interfaces; it opens no stream and trades nothing.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from cryptoquantix.apps.addresses import ADDRESSES, is_loopback
from cryptoquantix.apps.settings import MarketSettings, Settings
from cryptoquantix.core.clock import NS_PER_SECOND, Clock
from cryptoquantix.core.errors import DataError, SettingsError, VenueError
from cryptoquantix.core.instrument import Instrument, InstrumentId, Venue
from cryptoquantix.core.market import Bar
from cryptoquantix.simulator.build import Mirrored, Plan, venue_names
from cryptoquantix.simulator.history import PriorBar
from cryptoquantix.simulator.keys import VenueKeys, generate_keys
from cryptoquantix.simulator.listing import Listing
from cryptoquantix.simulator.world import World
from cryptoquantix.venues.market_rest import MarketRest
from cryptoquantix.venues.markets import select

PRIOR_DAYS_MAX: Final = 60
_MINUTE_SECONDS: Final = 60
_DAY_NS: Final = 86_400 * NS_PER_SECOND


@dataclass(frozen=True, slots=True)
class PaperPlan:
    """What a paper account mirrors, and where the simulator listens."""

    plan: Plan
    instruments: dict[str, list[Instrument]]
    sources: dict[str, MarketSettings]
    host: str
    ports: dict[str, int]
    keys: dict[str, VenueKeys]


def market_address(settings: Settings, venue: str) -> MarketSettings:
    """Return where a venue's public market data are: as set, or the official ones."""
    found = settings.simulator.venues.get(venue)
    if found is not None:
        return found
    rest, ws = ADDRESSES[venue][1]
    return MarketSettings(rest=rest, ws=ws)


async def prepare(settings: Settings, clock: Clock) -> PaperPlan:
    """
    Ask the real venues what is fed, its steps and its past; nothing listens yet.

    Raises
    ------
    SettingsError
        If nothing is fed, an address is not of this machine, or an instrument is not
        traded at its venue or cannot be simulated.
    VenueError
        If a venue cannot be asked.
    """
    by_venue: dict[str, list[InstrumentId]] = {}
    for one in settings.fed_instruments:
        by_venue.setdefault(one.venue.value, []).append(one)
    if not by_venue:
        msg = (
            "a paper account needs an instrument: name one in [[strategies]] or [feeds]"
        )
        raise SettingsError(msg)
    idle = sorted(settings.venues.keys() - by_venue.keys())
    if idle:
        msg = (
            f"nothing of {idle[0]} is fed to the paper account: name an instrument of "
            f"it in [feeds], or remove [venues.{idle[0]}]"
        )
        raise SettingsError(msg)
    host, ports = _ports(settings, list(by_venue))
    sources = {name: market_address(settings, name) for name in by_venue}
    for name, source in sources.items():
        own = settings.venues[name]
        if {source.rest, source.ws} & {own.rest, own.ws}:
            msg = f"simulator.venues.{name} must not be the simulator's own address"
            raise SettingsError(msg)
    instruments: dict[str, list[Instrument]] = {}
    mirrored: dict[str, list[Mirrored]] = {}
    for name, wanted in by_venue.items():
        async with MarketRest(sources[name].rest, clock, Venue(name)) as rest:
            known = select(await rest.instruments(), wanted)
            instruments[name] = list(known.values())
            days = {one.symbol: _prior_days(settings, one) for one in wanted}
            mirrored[name] = [
                await _mirrored(rest, instrument, days[symbol], clock)
                for symbol, instrument in known.items()
            ]
    plan = Plan([], iter(()), clock.time_ns(), mirrored=mirrored)
    keys = {name: _keys(settings, name) for name in by_venue}
    return PaperPlan(plan, instruments, sources, host, ports, keys)


def _ports(settings: Settings, names: list[str]) -> tuple[str, dict[str, int]]:
    """Return the host and the ports that ``[venues]`` promise the others."""
    ports: dict[str, int] = {}
    hosts = set()
    for name in names:
        venue = settings.venues.get(name)
        if venue is None or name not in venue_names():
            msg = f"a strategy trades at {name}, but the settings give no address"
            raise SettingsError(msg)
        for url in (venue.rest, venue.ws):
            if not is_loopback(url):
                msg = (
                    f"a paper account trades on this machine alone, but "
                    f"venues.{name} points to {url}"
                )
                raise SettingsError(msg)
        rest, ws = urlsplit(venue.rest), urlsplit(venue.ws)
        if rest.netloc != ws.netloc or rest.port is None:
            msg = f"venues.{name}: rest and ws must have the same host and port"
            raise SettingsError(msg)
        ports[name] = rest.port
        hosts.add(rest.hostname or "")
    if len(hosts) > 1 or len(set(ports.values())) < len(ports):
        msg = "the venues of a paper account must have one host and a port each"
        raise SettingsError(msg)
    return hosts.pop(), ports


def _keys(settings: Settings, name: str) -> VenueKeys:
    """Return the keys that the others will show, new ones where none are set."""
    venue = settings.venues[name]
    key, secret = (value.get_secret_value() for value in (venue.key, venue.secret))
    risk_key = venue.risk.key.get_secret_value()
    risk_secret = venue.risk.secret.get_secret_value()
    given = (key, secret, risk_key, risk_secret)
    if not any(given):
        return generate_keys()
    if not all(given) or key == risk_key:
        msg = (
            f"venues.{name} needs a key and a secret, and risk.key and risk.secret "
            f"that differ from them: any made-up ones for a paper account"
        )
        raise SettingsError(msg)
    return {
        "key": key,
        "secret": secret,
        "risk": {"key": risk_key, "secret": risk_secret},
    }


def _prior_days(settings: Settings, instrument: InstrumentId) -> int:
    days = [
        one.warmup_days
        for one in settings.strategies
        if InstrumentId.parse(one.instrument) == instrument
    ]
    return min(PRIOR_DAYS_MAX, max([1, *days]))


async def _mirrored(
    rest: MarketRest, instrument: Instrument, days: int, clock: Clock
) -> Mirrored:
    listing = _listing(instrument)
    end_ns = clock.time_ns() // (60 * NS_PER_SECOND) * 60 * NS_PER_SECOND
    bars = await rest.bars(
        instrument.id.symbol, _MINUTE_SECONDS, end_ns - days * _DAY_NS, end_ns
    )
    prior = [_prior(bar, listing) for bar in bars]
    if not prior:
        msg = f"{instrument.id} has not traded within {days} days at its venue"
        raise DataError(msg)
    return Mirrored(listing, prior[-1].close, prior)


def _listing(instrument: Instrument) -> Listing:
    id_ = instrument.id
    return Listing(
        symbol=id_.symbol,
        base=instrument.base,
        quote=instrument.quote,
        tick_size=instrument.tick_size,
        lot_size=instrument.lot_size,
        notional_min=instrument.notional_min,
        is_inverse=instrument.is_inverse,
        settlement=instrument.settlement,
        size_max_lots=instrument.size_max_lots or 10**12,
        market_size_max_lots=instrument.size_market_max_lots or 10**12,
    )


def _prior(bar: Bar, listing: Listing) -> PriorBar:
    # Doubles of at most 15 digits: the quotient by a step rounds to the exact count.
    tick, lot = float(listing.tick_size), float(listing.lot_size)
    prices = (bar.open, bar.high, bar.low, bar.close)
    opened, high, low, close = (max(1, round(price / tick)) for price in prices)
    lots = round(bar.volume / lot)
    return PriorBar(
        bar.open_time_ns, opened, high, low, close, lots, lots * close, min(1, lots)
    )


def check_same_steps(paper: PaperPlan, world: World) -> None:
    """
    Refuse books that were kept with other steps than the venue has now.

    Raises
    ------
    SettingsError
        If a tick or a lot has changed.
    """
    for name, listed in paper.plan.mirrored.items():
        markets = world.venues[name].exchange.markets
        for one in listed:
            kept = markets[one.listing.symbol].listing
            steps = (one.listing.tick_size, one.listing.lot_size)
            if (kept.tick_size, kept.lot_size) != steps:
                msg = (
                    f"{name} has changed the steps of {kept.symbol}: begin a new "
                    f"paper account by removing the state file"
                )
                raise SettingsError(msg)


def prepared(settings: Settings, clock: Clock) -> PaperPlan:
    """
    Return :func:`prepare`'s plan, with every failure as one sentence.

    Raises
    ------
    CryptoquantixError
        As :func:`prepare`.
    """
    try:
        return asyncio.run(prepare(settings, clock))
    except VenueError as error:
        msg = f"a paper account needs the venue's public market data: {error}"
        raise SettingsError(msg) from None

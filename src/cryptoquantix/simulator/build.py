"""From options to a world that is ready to be served; it opens no socket."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from cryptoquantix.core.clock import Clock
from cryptoquantix.simulator.generator import (
    VOLATILITY_PER_DAY,
    Generated,
    generate,
    prior_bars,
)
from cryptoquantix.simulator.history import PriorBar
from cryptoquantix.simulator.inlet import Inlet
from cryptoquantix.simulator.keys import VenueKeys
from cryptoquantix.simulator.listing import Listing, to_units
from cryptoquantix.simulator.maker import fixed_spread
from cryptoquantix.simulator.record import Record
from cryptoquantix.simulator.scenario import ListedName, Scenario, ScenarioPlayer
from cryptoquantix.simulator.tape import Tape, TapeEntry
from cryptoquantix.simulator.venue import SimulatedVenue
from cryptoquantix.simulator.wire.messages import Key
from cryptoquantix.simulator.world import World


@dataclass(frozen=True, slots=True)
class Mirrored:
    """One instrument of one venue that mirrors a market, and its past."""

    listing: Listing
    price_ticks: int
    prior: list[PriorBar]


@dataclass(frozen=True, slots=True)
class Plan:
    """
    What will be traded: instruments, their past, and the trades to come.

    ``mirrored`` are instruments by venue of whose trades an inlet tells.
    """

    instruments: Sequence[Generated]
    entries: Iterator[TapeEntry]
    start_ns: int
    prior: dict[str, list[PriorBar]] = field(default_factory=dict)
    mirrored: dict[str, list[Mirrored]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Options:
    """
    How to run.

    ``balance`` is what each venue's account is worth at first, in its value coin;
    ``venues`` are those that are simulated. ``spread_ticks`` fixes the spread in front
    of a deep book; 0 leaves it to the price and its weather.
    """

    balance: Decimal = Decimal(100_000)
    speed: float = 1.0
    is_paused: bool = False
    is_lenient: bool = False
    is_limited: bool = True
    log: Path | None = None
    venues: tuple[str, ...] = ("binance",)
    scenario: Scenario | None = None
    spread_ticks: int = 0


def generated_plan(
    instruments: Sequence[Generated],
    seed: int,
    *,
    start_ns: int,
    volatility_per_day: float = VOLATILITY_PER_DAY,
) -> Plan:
    """Return generated instruments with three generated days before the start."""
    prior = {
        i.listing.symbol: prior_bars(i, seed, end_ns=start_ns) for i in instruments
    }
    entries = generate(
        instruments, seed, start_ns=start_ns, volatility_per_day=volatility_per_day
    )
    return Plan(instruments, entries, start_ns, prior)


def merged_plan(first: Plan, second: Plan) -> Plan:
    """Return both plans' instruments on one tape, in the order of time."""
    entries = heapq.merge(
        first.entries, second.entries, key=lambda entry: entry.trade.tape_ns
    )
    return Plan(
        [*first.instruments, *second.instruments],
        entries,
        first.start_ns,
        first.prior | second.prior,
    )


def venue_names() -> list[str]:
    """Return every venue that can be simulated."""
    return list(_VENUES)


def build_world(plan: Plan, keys: VenueKeys, clock: Clock, options: Options) -> World:
    """
    Return a world whose venues have one funded account and two keys to it each.

    ``keys`` are by venue, or with a single venue just its own.
    """
    record = Record(options.log)
    tape = Tape(
        plan.entries,
        start_ns=plan.start_ns,
        monotonic_ns=clock.monotonic_ns(),
        speed=options.speed,
        paused=options.is_paused,
    )
    world = World(clock, tape, record)
    if plan.mirrored:
        world.inlet = Inlet()
    for name in options.venues:
        own = keys if "key" in keys else keys[name]
        venue = _venue(name, own, record, options)
        _list(venue, plan)
        world.venues[name] = venue
        _fund(world.venues[name], own, clock.time_ns(), options)
    if options.scenario is not None:
        listed = [
            ListedName(name, symbol, listing.base)
            for name, venue in world.venues.items()
            for symbol, listing in venue.listings().items()
        ]
        world.player = ScenarioPlayer(options.scenario, plan.start_ns, listed)
    return world


def _venue(
    name: str, keys: VenueKeys, record: Record, options: Options
) -> SimulatedVenue:
    risk = keys["risk"]
    pairs = [
        Key(keys["key"], keys["secret"], 1, "trade"),
        Key(risk["key"], risk["secret"], 1, "risk"),
    ]
    venue: SimulatedVenue = _VENUES[name]()(
        pairs,
        record,
        seed=keys["secret"],
        is_lenient=options.is_lenient,
        is_limited=options.is_limited,
    )
    if options.spread_ticks:
        venue.ladder_rule = fixed_spread(options.spread_ticks)
    return venue


def _list(venue: SimulatedVenue, plan: Plan) -> None:
    for instrument in plan.instruments:
        listing = instrument.listing
        venue.add_instrument(
            listing,
            instrument.price_ticks,
            tape_ns=plan.start_ns,
            prior=plan.prior.get(listing.symbol, ()),
        )
    for own in plan.mirrored.get(venue.name, ()):
        venue.add_mirror(
            own.listing, own.price_ticks, tape_ns=plan.start_ns, prior=own.prior
        )


def _fund(
    venue: SimulatedVenue, keys: VenueKeys, time_ns: int, options: Options
) -> None:
    balances: dict[str, str] | None = keys.get("balances")
    if balances is None:
        venue.open_account(options.balance, time_ns)
        return
    account = venue.exchange.clearing.open_account(0, time_ns)
    for coin, amount in balances.items():
        if coin not in venue.rules.known_coins:
            known = ", ".join(venue.rules.known_coins)
            msg = f"{venue.name} settles in {known}, not in {coin}"
            raise ValueError(msg)
        if units := to_units(Decimal(amount)):
            venue.transfer(account.id, units, time_ns, coin)


# A venue's wire is loaded only where it is simulated: it costs start-up time.
def _binance() -> Any:  # noqa: ANN401 - classes that share one way to be made
    from cryptoquantix.simulator.binance_venue import (  # noqa: PLC0415 - see above
        BinanceVenue,
    )

    return BinanceVenue


def _bybit() -> Any:  # noqa: ANN401 - as above
    from cryptoquantix.simulator.bybit_venue import (  # noqa: PLC0415 - see above
        BybitVenue,
    )

    return BybitVenue


def _deribit() -> Any:  # noqa: ANN401 - as above
    from cryptoquantix.simulator.deribit_venue import (  # noqa: PLC0415 - see above
        DeribitVenue,
    )

    return DeribitVenue


_VENUES: dict[str, Callable[[], Any]] = {
    "binance": _binance,
    "bybit": _bybit,
    "deribit": _deribit,
}

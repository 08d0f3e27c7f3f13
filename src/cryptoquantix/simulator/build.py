"""From options to a world that is ready to be served; it opens no socket."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from cryptoquantix.core.clock import Clock
from cryptoquantix.simulator.binance_venue import BinanceVenue
from cryptoquantix.simulator.generator import Generated, generate, prior_bars
from cryptoquantix.simulator.history import PriorBar
from cryptoquantix.simulator.keys import VenueKeys
from cryptoquantix.simulator.record import Record
from cryptoquantix.simulator.tape import Tape, TapeEntry
from cryptoquantix.simulator.wire.messages import Key
from cryptoquantix.simulator.world import World


@dataclass(frozen=True, slots=True)
class Plan:
    """What will be traded: instruments, their past, and the trades to come."""

    instruments: Sequence[Generated]
    entries: Iterator[TapeEntry]
    start_ns: int
    prior: dict[str, list[PriorBar]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Options:
    """How to run; ``balance`` is the account's first deposit in USDT."""

    balance: Decimal = Decimal(100_000)
    speed: float = 1.0
    is_paused: bool = False
    is_lenient: bool = False
    is_limited: bool = True
    log: Path | None = None


def generated_plan(
    instruments: Sequence[Generated], seed: int, *, start_ns: int
) -> Plan:
    """Return generated instruments with three generated days before the start."""
    prior = {
        i.listing.symbol: prior_bars(i, seed, end_ns=start_ns) for i in instruments
    }
    entries = generate(instruments, seed, start_ns=start_ns)
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


def build_world(plan: Plan, keys: VenueKeys, clock: Clock, options: Options) -> World:
    """Return a world with one venue, one funded account and two keys to it."""
    record = Record(options.log)
    tape = Tape(
        plan.entries,
        start_ns=plan.start_ns,
        monotonic_ns=clock.monotonic_ns(),
        speed=options.speed,
        paused=options.is_paused,
    )
    world = World(clock, tape, record)
    risk = keys["risk"]
    pairs = [
        Key(keys["key"], keys["secret"], 1, "trade"),
        Key(risk["key"], risk["secret"], 1, "risk"),
    ]
    venue = BinanceVenue(
        pairs,
        record,
        seed=keys["secret"],
        is_lenient=options.is_lenient,
        is_limited=options.is_limited,
    )
    for instrument in plan.instruments:
        listing = instrument.listing
        venue.add_instrument(
            listing,
            instrument.price_ticks,
            tape_ns=plan.start_ns,
            prior=plan.prior.get(listing.symbol, ()),
        )
    venue.open_account(options.balance, clock.time_ns())
    world.venues[venue.name] = venue
    return world

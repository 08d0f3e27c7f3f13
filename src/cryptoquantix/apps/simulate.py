"""``cqx simulate``: a tape or generated prices, the venues, their admin API."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from itertools import chain
from pathlib import Path
from typing import Any

import uvloop

from cryptoquantix.apps.settings import Settings
from cryptoquantix.core.clock import SystemClock
from cryptoquantix.core.errors import CryptoquantixError, SettingsError
from cryptoquantix.core.instrument import InstrumentId
from cryptoquantix.core.quantity import to_steps_nearest
from cryptoquantix.simulator.build import (
    Options,
    Plan,
    build_world,
    generated_plan,
    merged_plan,
    venue_names,
)
from cryptoquantix.simulator.delay import Delay
from cryptoquantix.simulator.exchange import Print
from cryptoquantix.simulator.faults import Fault, seeded_faults
from cryptoquantix.simulator.generator import (
    DEFAULT_SYMBOLS,
    VOLATILITY_PER_DAY,
    Generated,
    generated_instrument,
)
from cryptoquantix.simulator.history import PriorBar
from cryptoquantix.simulator.keys import VenueKeys, generate_keys, read_keys
from cryptoquantix.simulator.listing import Listing
from cryptoquantix.simulator.run import Bound, Simulation, describe
from cryptoquantix.simulator.scenario import Scenario, load_scenario
from cryptoquantix.simulator.state import SavedWorld, save_world
from cryptoquantix.simulator.tape import TapeEntry
from cryptoquantix.simulator.world import World

PRIOR_DAYS = 60  # of bars before a tape's start that klines may show
_NS_PER_DAY = 86_400_000_000_000
_SEED = 1
FAULTS_PER_MINUTE_MAX = 600
SYMBOLS_MAX = 500
_TAPE_OPTIONS = (
    "tape",
    "start",
    "end",
    "speed",
    "paused",
    "generate",
    "tick_size",
    "lot_size",
    "scenario",
    "symbols_count",
    "lock_step",
    "fixed_spread",
)
_SET_OPTIONS = (
    "host",
    "binance_port",
    "bybit_port",
    "deribit_port",
    "balance",
    "keys",
    "instruments",
)
SPREAD_TICKS_MAX = 1_000


@dataclass(frozen=True, slots=True)
class SimulateOptions:
    """The command line of ``cqx simulate``, as typed."""

    host: str = "127.0.0.1"
    binance_port: int = 0
    admin_port: int = 0
    tape: str | None = None
    catalog: Path = Path("var/catalog")
    start: str | None = None
    end: str | None = None
    speed: float = 1.0
    paused: bool = False
    generate: int | None = None
    instruments: str = ",".join(DEFAULT_SYMBOLS)
    balance: str = "100000"
    tick_size: str | None = None
    lot_size: str | None = None
    lenient: bool = False
    no_rate_limits: bool = False
    log: Path | None = None
    keys: Path | None = None
    venues: str = "binance,bybit,deribit"
    bybit_port: int = 0
    deribit_port: int = 0
    scenario: str | None = None
    fault_seed: int = 0
    faults_per_minute: float = 0.0
    state: Path | None = None
    tls_port: int | None = None
    tls_folder: Path = Path("var/simulator-tls")
    delay_ms: str = "1-5"
    symbols_count: int = 0
    lock_step: bool = False
    fixed_spread: int = 0
    source: str = "generated"


def run(
    options: SimulateOptions, *, as_json: bool, settings: Settings | None = None
) -> None:
    """
    Serve until told to stop; prints one line when everything listens.

    ``settings`` are of the paper account, where ``options.source`` is ``venue``.

    Raises
    ------
    SettingsError
        If an option is wrong or a port is taken.
    DataError
        If the tape's instrument is not in the catalog.
    """
    clock = SystemClock()
    if options.source != "generated":
        _run_paper(options, settings, clock, as_json=as_json)
        return
    names = _venues(options)
    try:
        delay = Delay.parse(options.delay_ms)
    except ValueError as error:
        raise SettingsError(str(error)) from None
    scenario = load_scenario(options.scenario) if options.scenario else None
    kept = _kept(options)
    keys = _keys(options, names, kept)
    balance = _decimal(options.balance, "--balance")
    try:
        world = build_world(
            _plan(options, clock.time_ns(), scenario, kept),
            keys,
            clock,
            Options(
                balance=balance,
                speed=options.speed,
                is_paused=options.paused,
                is_lenient=options.lenient,
                is_limited=not options.no_rate_limits,
                log=options.log,
                venues=names,
                scenario=scenario,
                spread_ticks=_spread(options.fixed_spread),
            ),
        )
    except ValueError as error:
        raise SettingsError(str(error)) from None
    if options.lock_step:
        world.tape.step(0)
    if kept is not None:
        kept.restore(world)
    _serve(options, world, keys, delay, as_json=as_json)


def _run_paper(
    options: SimulateOptions,
    settings: Settings | None,
    clock: SystemClock,
    *,
    as_json: bool,
) -> None:
    """Mirror the real venues that the settings name."""
    # Sockets to real venues are only loaded where they are heard.
    from cryptoquantix.apps.logs import setup_logs  # noqa: PLC0415 - see above
    from cryptoquantix.apps.paper import check_same_steps, prepared  # noqa: PLC0415
    from cryptoquantix.apps.paper_feed import mirrors  # noqa: PLC0415 - see above

    if options.source != "venue" or settings is None:
        msg = f"--source must be generated or venue, was {options.source!r}"
        raise SettingsError(msg)
    _refuse_tape(options)
    setup_logs("simulator")
    paper, kept = prepared(settings, clock), _kept(options)
    stale_seconds = settings.simulator.stale_seconds
    try:
        delay = Delay.parse(options.delay_ms)
        world = build_world(
            paper.plan,
            paper.keys,
            clock,
            Options(
                balance=settings.simulator.balance,
                is_lenient=options.lenient,
                is_limited=not options.no_rate_limits,
                log=options.log,
                venues=tuple(paper.ports),
            ),
        )
    except ValueError as error:
        raise SettingsError(str(error)) from None
    if kept is not None:
        kept.restore(world)
        check_same_steps(paper, world)
    options = replace(
        options,
        host=paper.host,
        admin_port=options.admin_port or settings.simulator.admin_port,
        binance_port=paper.ports.get("binance", 0),
        bybit_port=paper.ports.get("bybit", 0),
        deribit_port=paper.ports.get("deribit", 0),
    )
    beside = mirrors(paper, world, clock, stale_seconds)
    _serve(options, world, paper.keys, delay, as_json=as_json, beside=beside)


def _refuse_tape(options: SimulateOptions) -> None:
    """Refuse what only a tape can do, and what the settings say."""
    plain = SimulateOptions()
    for name in (*_TAPE_OPTIONS, *_SET_OPTIONS):
        if getattr(options, name) == getattr(plain, name):
            continue
        option = "--" + name.replace("_", "-")
        msg = f"{option} is of a tape: with --source venue the market is real"
        if name in _SET_OPTIONS:
            msg = f"{option} is not for --source venue: the settings say it"
        raise SettingsError(msg)


def _serve(
    options: SimulateOptions,
    world: World,
    keys: dict[str, VenueKeys],
    delay: Delay,
    *,
    as_json: bool,
    beside: Sequence[Callable[[], Coroutine[Any, Any, None]]] = (),
) -> None:
    state = options.state
    simulation = Simulation(
        world,
        fault_seed=options.fault_seed,
        tls=options.tls_folder if options.tls_port is not None else None,
        on_save=None if state is None else lambda: save_world(state, world, keys),
        delay=delay,
        beside=beside,
    )
    for fault in _seeded(options, list(world.venues)):
        simulation.faults.add(fault)

    def announce(bound: Bound) -> None:
        _print_ready(describe(options.host, bound), keys, as_json=as_json)

    ports = {
        "binance": options.binance_port,
        "bybit": options.bybit_port,
        "deribit": options.deribit_port,
    }
    serving = simulation.serve(
        options.host,
        ports,
        options.admin_port,
        announce,
        tls_port=options.tls_port or 0,
    )
    try:
        uvloop.run(serving)
    except KeyboardInterrupt:
        return
    except ExceptionGroup as group:
        if isinstance(group.exceptions[0], CryptoquantixError):
            raise group.exceptions[0] from None
        raise


def _spread(ticks: int) -> int:
    if not 0 <= ticks <= SPREAD_TICKS_MAX:
        msg = f"--fixed-spread must be within 0..{SPREAD_TICKS_MAX} ticks, was {ticks}"
        raise SettingsError(msg)
    return ticks


def _venues(options: SimulateOptions) -> tuple[str, ...]:
    names = dict.fromkeys(n.strip() for n in options.venues.split(",") if n.strip())
    known = venue_names()
    wrong = [name for name in names if name not in known]
    if wrong or not names:
        found = wrong[0] if wrong else ""
        msg = f"--venues must name some of {', '.join(known)}, was {found!r}"
        raise SettingsError(msg)
    return tuple(names)


def _kept(options: SimulateOptions) -> SavedWorld | None:
    if options.state is None or not options.state.exists():
        return None
    return SavedWorld(options.state)


def _keys(
    options: SimulateOptions, names: tuple[str, ...], kept: SavedWorld | None
) -> dict[str, VenueKeys]:
    """Return keys from the file, else those that were saved, else new ones."""
    if options.keys is not None:
        return {name: read_keys(options.keys, name) for name in names}
    saved = kept.keys if kept is not None else {}
    return {name: saved.get(name) or generate_keys() for name in names}


def _seeded(options: SimulateOptions, venues: list[str]) -> list[Fault]:
    """Return the faults that a seed plans for the next day."""
    if not 0 <= options.faults_per_minute <= FAULTS_PER_MINUTE_MAX:
        msg = f"--faults-per-minute must be within 0..{FAULTS_PER_MINUTE_MAX}"
        raise SettingsError(msg)
    return seeded_faults(
        abs(options.fault_seed),
        venues,
        seconds=86_400,
        per_minute=options.faults_per_minute,
    )[:900]


def _print_ready(
    line: dict[str, Any], keys: dict[str, VenueKeys], *, as_json: bool
) -> None:
    for name, venue in line["venues"].items():
        venue |= {k: keys[name][k] for k in ("key", "secret", "risk")}
    text = json.dumps(line)
    if not as_json:
        parts = [
            f"simulating {name}: REST {venue['rest']}, WebSocket {venue['ws']}\n"
            f"key {venue['key']}\nsecret {venue['secret']}"
            for name, venue in line["venues"].items()
        ]
        if "tls" in line:
            tls = line["tls"]
            parts.append(f"TLS port {tls['port']}, trust {tls['ca']}")
        text = "\n".join([*parts, f"admin {line['admin']}"])
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _plan(
    options: SimulateOptions,
    now_ns: int,
    scenario: Scenario | None,
    kept: SavedWorld | None,
) -> Plan:
    """Return the instruments and trades that the options ask for."""
    symbols = [s.strip().upper() for s in options.instruments.split(",") if s.strip()]
    symbols = _counted(symbols, options.symbols_count)
    if options.tape is None:
        if not symbols:
            msg = "--instruments must name at least one symbol"
            raise SettingsError(msg)
        start = options.start or (scenario.start if scenario else None)
        start_ns = _time_ns(start, "--start") if start else now_ns
        start_ns = start_ns or now_ns
        return _generated(options, symbols, start_ns, scenario=scenario, kept=kept)
    taped = _tape_plan(options, InstrumentId.parse(options.tape), kept)
    if options.generate is None:
        return taped
    own = {i.listing.symbol for i in taped.instruments}
    others = [s for s in symbols if s not in own]
    if not others:
        return taped
    start_ns = taped.start_ns
    more = _generated(options, others, start_ns, scenario=scenario, kept=kept)
    return merged_plan(taped, more)


def _counted(symbols: list[str], count: int) -> list[str]:
    """Return so many symbols: those named, and then made-up ones; 0 leaves them."""
    if not 0 <= count <= SYMBOLS_MAX:
        msg = f"--symbols-count must be within 0..{SYMBOLS_MAX}, was {count}"
        raise SettingsError(msg)
    if not count:
        return symbols
    made = (f"COIN{number:03d}USDT" for number in range(1, count + 1))
    return list(dict.fromkeys([*symbols, *made]))[:count]


def _seed(options: SimulateOptions) -> int:
    return _SEED if options.generate is None else options.generate


def _generated(
    options: SimulateOptions,
    symbols: list[str],
    start_ns: int,
    *,
    scenario: Scenario | None,
    kept: SavedWorld | None,
) -> Plan:
    instruments = [generated_instrument(s) for s in dict.fromkeys(symbols)]
    seed = abs(_seed(options))
    if kept is not None:
        # It goes on from where it was, by dice of its own.
        instruments = [kept.repriced(i) for i in instruments]
        start_ns = max(start_ns, kept.tape_ns)
        seed += start_ns % 1_000_000_007
    volatility = scenario.volatility_per_day if scenario else VOLATILITY_PER_DAY
    return generated_plan(
        instruments, seed, start_ns=start_ns, volatility_per_day=volatility
    )


def _tape_plan(
    options: SimulateOptions, instrument: InstrumentId, kept: SavedWorld | None
) -> Plan:
    # Polars is only loaded where a tape is played.
    from cryptoquantix.data.catalog import Catalog  # noqa: PLC0415 - see above
    from cryptoquantix.data.tape import tape, tape_source  # noqa: PLC0415 - see above

    catalog = Catalog(options.catalog)
    start_ns = _time_ns(options.start, "--start")
    if kept is not None:
        start_ns = max(start_ns or 0, kept.tape_ns + 1)
    end_ns = _time_ns(options.end, "--end")
    source = tape_source(catalog, instrument, start_ns, end_ns)
    symbol = instrument.symbol
    listing = Listing(
        symbol=symbol,
        base=symbol.removesuffix("USDT") or symbol,
        quote="USDT",
        tick_size=_decimal(options.tick_size or str(source.tick_size), "--tick-size"),
        lot_size=_decimal(options.lot_size or str(source.lot_size), "--lot-size"),
    )
    entries = (
        TapeEntry(
            symbol,
            Print(
                tick.time_ns,
                to_steps_nearest(tick.price, listing.tick_size),
                max(1, to_steps_nearest(tick.size, listing.lot_size)),
                tick.is_buyer_maker,
            ),
        )
        for tick in tape(catalog, instrument, start_ns, end_ns)
    )
    first = next(entries, None)
    if first is None:
        msg = f"the tape of {instrument} has no trade in the range asked for"
        raise SettingsError(msg)
    begin_ns = first.trade.tape_ns
    prior = _prior_bars(catalog, instrument, listing, begin_ns)
    return Plan(
        [Generated(listing, first.trade.price_ticks)],
        _chained(first, entries),
        begin_ns,
        {symbol: prior},
    )


def _chained(first: TapeEntry, rest: Iterator[TapeEntry]) -> Iterator[TapeEntry]:
    return chain((first,), rest)


def _prior_bars(
    catalog: Any,  # noqa: ANN401 - its module is loaded by the caller alone
    instrument: InstrumentId,
    listing: Listing,
    begin_ns: int,
) -> list[PriorBar]:
    """Return the catalog's one-minute bars before the tape, none where it has none."""
    begin_ns -= begin_ns % 60_000_000_000
    try:
        frame = catalog.bars(
            instrument, 60, begin_ns - PRIOR_DAYS * _NS_PER_DAY, begin_ns
        )
        rows = frame.select(
            "open_time", "open", "high", "low", "close", "volume", "trades"
        ).collect()
    except CryptoquantixError:
        return []
    # Doubles of at most 15 digits: the quotient by a step rounds to the exact count.
    tick, lot = float(listing.tick_size), float(listing.lot_size)
    bars = []
    times = rows["open_time"].to_physical().to_list()
    for time_ns, row in zip(times, rows.drop("open_time").iter_rows(), strict=True):
        opened, high, low, close = (round(value / tick) for value in row[:4])
        lots = round(row[4] / lot)
        trades = int(row[5] or 0)
        bars.append(
            PriorBar(time_ns, opened, high, low, close, lots, lots * close, trades)
        )
    return bars


def _time_ns(text: str | None, option: str) -> int | None:
    if text is None:
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        msg = f"{option} must be an ISO 8601 date or time, was {text!r}"
        raise SettingsError(msg) from None
    time = time if time.tzinfo else time.replace(tzinfo=UTC)
    return round(time.timestamp() * 1_000_000) * 1_000


def _decimal(text: str, option: str) -> Decimal:
    try:
        value = Decimal(text)
    except InvalidOperation:
        value = Decimal(0)
    if not value.is_finite() or value <= 0 or abs(value.adjusted()) > 30:
        msg = f"{option} must be a positive number, was {text!r}"
        raise SettingsError(msg)
    return value

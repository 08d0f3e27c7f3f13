"""
What parity is tried on: a stretch of trades, a strategy, and research's own answer.

It starts no process. Without an instrument named it makes a market of its own, seeded
and marked as generated.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from cryptoquantix.core.clock import NS_PER_DAY, NS_PER_SECOND
from cryptoquantix.core.errors import DataError, GapError, SettingsError
from cryptoquantix.core.instrument import InstrumentId, InstrumentKind, Venue
from cryptoquantix.data.catalog import Catalog
from cryptoquantix.data.generator import (
    Market,
    generate_ticks,
    store_generated_ticks,
)
from cryptoquantix.data.layout import DatasetKey
from cryptoquantix.data.schema import TIME, DatasetKind
from cryptoquantix.data.tape import tape_source
from cryptoquantix.research.account import Costs
from cryptoquantix.research.fills import fill_at_prints, fill_at_ticks
from cryptoquantix.research.history import Floats, History, find_gaps, from_frame
from cryptoquantix.research.parity import Steps, Traded, research_path
from cryptoquantix.research.passes import Passes, load_passes
from cryptoquantix.simulator.listing import Listing
from cryptoquantix.simulator.rules import BINANCE
from cryptoquantix.strategies import registry

STRATEGY: Final = "trend_breakout"
# Short windows, so that it trades every quarter of an hour or so.
PARAMS: Final[Mapping[str, float | int]] = {
    "gate_days": 2,
    "gate_band": 0.0,
    "breakout_bars": 12,
    "exit_bars": 6,
    "exit_atr": 1.5,
    "atr_bars": 15,
    "volatility_bars": 60,
    "volatility_target": 0.8,
    "leverage_max": 2.0,
}
BAR_SECONDS: Final = 60
BARS: Final = 240
BARS_MAX: Final = 20_000
EQUITY: Final = Decimal(100_000)
NO_TRADE_BAND: Final = Decimal("0.02")
WARMUP_DAYS: Final = 30
SEED: Final = 3
_GENERATED: Final = InstrumentId.parse("binance:BTCUSDT-PERP")
# From noon: two days close before the tape begins, and a third in its middle, with
# funding and a new size at once.
_GENERATED_START_NS: Final = (1_704_067_200 + 43_200) * NS_PER_SECOND
_GENERATED_TAPE_NS: Final = _GENERATED_START_NS + 58 * 3_600 * NS_PER_SECOND
_GENERATED_MARKET: Final = Market(volatility=0.05)


@dataclass(frozen=True, slots=True)
class Case:
    """
    One stretch to play: ``bars`` of them from ``start_ns``, a bar's open, on.

    ``tape`` is the instrument in the catalog, ``traded`` what the simulator lists it
    as (a perpetual, whatever was recorded).
    """

    catalog: Path
    tape: InstrumentId
    traded: InstrumentId
    start_ns: int
    bars: int
    bar_seconds: int
    warmup_days: int
    strategy: str
    params: Mapping[str, Any]
    tick_size: Decimal
    lot_size: Decimal
    source: str

    @property
    def interval_ns(self) -> int:
        """Length of a bar."""
        return self.bar_seconds * NS_PER_SECOND

    @property
    def end_ns(self) -> int:
        """Close of the last bar."""
        return self.start_ns + self.bars * self.interval_ns

    @property
    def steps(self) -> Steps:
        """Its steps as doubles."""
        return Steps(float(self.tick_size), float(self.lot_size))


@dataclass(frozen=True, slots=True)
class Answer:
    """What research says, and what its usual fills would have said."""

    traded: Traded
    study: Traded


def generated_case(catalog: Path, bars: int, seed: int = SEED) -> Case:
    """
    Return a case on a market of our own making, put into ``catalog``.

    Raises
    ------
    DataError
        If the catalog cannot be written, or holds real ticks under its name.
    """
    tick_size, lot_size = Decimal("0.1"), Decimal("0.001")
    # Whole days, one trade after the last close included: fewer bars are the first of
    # the same tape.
    tape_ns = (bars + 1) * BAR_SECONDS * NS_PER_SECOND
    days = -(-tape_ns // NS_PER_DAY)
    span_ns = _GENERATED_TAPE_NS - _GENERATED_START_NS + days * NS_PER_DAY
    ticks = generate_ticks(
        seed,
        _GENERATED_START_NS,
        span_ns // (60 * NS_PER_SECOND),
        Decimal(42_000),
        tick_size=tick_size,
        lot_size=lot_size,
        market=_GENERATED_MARKET,
    )
    store_generated_ticks(catalog, _GENERATED, ticks)
    return Case(
        catalog,
        _GENERATED,
        _GENERATED,
        _GENERATED_TAPE_NS,
        bars,
        BAR_SECONDS,
        WARMUP_DAYS,
        STRATEGY,
        PARAMS,
        tick_size,
        lot_size,
        f"GENERATED (seed {seed}); no market ever traded it",
    )


def catalog_case(
    catalog: Path,
    instrument: InstrumentId,
    start_ns: int,
    end_ns: int,
    *,
    strategy: str = STRATEGY,
    params: Mapping[str, Any] = PARAMS,
    bar_seconds: int = BAR_SECONDS,
) -> Case:
    """
    Return a case on ticks of the catalog, from the bar at ``start_ns`` on.

    Raises
    ------
    DataError
        If the catalog holds no ticks there.
    SettingsError
        If the range holds no bar, or too many.
    """
    if instrument.venue is not Venue.BINANCE:
        msg = f"parity plays a tape at Binance's simulator, {instrument} is elsewhere"
        raise SettingsError(msg)
    held = Catalog(catalog)
    interval_ns = bar_seconds * NS_PER_SECOND
    first_ns = -(-start_ns // interval_ns) * interval_ns
    # The last bar is closed by a trade after it, which the range must hold too.
    bars = (end_ns - first_ns) // interval_ns - 1
    if not 0 < bars <= BARS_MAX:
        msg = f"--start and --end must span 2..{BARS_MAX} bars, was {bars + 1}"
        raise SettingsError(msg)
    source = tape_source(held, instrument, first_ns, end_ns)
    if source.key.kind is not DatasetKind.TICKS:
        msg = f"the catalog {catalog} holds no ticks of {instrument}, bars alone"
        raise DataError(msg)
    traded = instrument
    if instrument.kind is not InstrumentKind.PERPETUAL:
        perpetual = InstrumentKind.PERPETUAL
        traded = InstrumentId.of(instrument.venue, instrument.symbol, perpetual)
    marker = held.marker(DatasetKey(DatasetKind.TICKS, instrument))
    return Case(
        catalog,
        instrument,
        traded,
        first_ns,
        bars,
        bar_seconds,
        WARMUP_DAYS,
        strategy,
        params,
        source.tick_size,
        source.lot_size,
        "GENERATED" if marker.generated else f"{instrument} of the catalog",
    )


def research(case: Case, cache_directory: Path | None) -> Answer:
    """
    Return what research trades on ``case``.

    Raises
    ------
    GapError
        If bars are missing.
    SettingsError
        If the strategy or a parameter is wrong.
    """
    strategy = registry.load(case.strategy)
    passes = load_passes(strategy, cache_directory)
    catalog = Catalog(case.catalog)
    from_ns = max(0, case.start_ns - case.warmup_days * NS_PER_DAY)
    frame = catalog.bars(case.tape, case.bar_seconds, from_ns, case.end_ns).collect()
    history = from_frame(frame, _funding(from_ns, case.end_ns))
    first = int(np.searchsorted(history.close_time_ns, case.start_ns))
    if find_gaps(history).holes or history.close_time_ns[first] != case.start_ns:
        msg = f"bars are missing before or between {case.start_ns} and {case.end_ns} ns"
        raise GapError(msg)
    params = strategy.parse_params(dict(case.params))
    targets = passes.targets(history, params, history.close.size)
    ticks = catalog.ticks(case.tape, from_ns, case.end_ns)
    at_prints = fill_at_prints(history, ticks, case.steps.tick_size).history
    at_sides = fill_at_ticks(history, ticks, 0).history
    return Answer(
        _followed(case, passes, at_prints, targets, first=first),
        _followed(case, passes, at_sides, targets, first=first),
    )


def _followed(
    case: Case, passes: Passes, history: History, targets: Floats, *, first: int
) -> Traded:
    listing = Listing(case.traded.symbol, "", "", case.tick_size, case.lot_size)
    costs = Costs(
        fee_rate=float(listing.fee_rate_taker),
        slippage=0.0,
        no_trade_band=float(NO_TRADE_BAND),
        lot_size=float(case.lot_size),
        notional_min=float(listing.notional_min),
        maintenance_rate=0.0,
    )
    return research_path(
        passes, history, targets, costs, equity=float(EQUITY), first=first
    )


def _funding(from_ns: int, until_ns: int) -> pl.DataFrame:
    """Return what the simulated venue charges: its rate without a premium."""
    interval_ns = BINANCE.funding_interval_ns
    first = -(-from_ns // interval_ns) * interval_ns
    times = np.arange(first, until_ns + 1, interval_ns)
    frame = pl.DataFrame({"time": times}).with_columns(pl.col("time").cast(TIME))
    return frame.with_columns(pl.lit(float(BINANCE.funding_rate)).alias("rate"))

"""
Seeded 1-minute bars for when there is no real data; it never passes them off as real.

Log price walks with regimes (up, down, sideways, each lasting days), volatility that
clusters, and jumps. What it makes is stored under a marker that says *generated*,
which every listing and report repeats.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from cryptoquantix.core.clock import NS_PER_MS, NS_PER_SECOND
from cryptoquantix.core.errors import DataError
from cryptoquantix.core.instrument import InstrumentId
from cryptoquantix.data.layout import MARKER, DatasetKey, Marker, read_marker
from cryptoquantix.data.schema import BARS, TIME, DatasetKind
from cryptoquantix.data.store import put

_MINUTE_NS = 60 * NS_PER_SECOND
_MINUTES_PER_DAY = 1440
_STEPS = 8  # price moves inside a minute
_TRADES_MIN = 4  # a bar's four prices need a lot each


@dataclass(frozen=True, slots=True)
class Market:
    """
    What the generated market is like; fractions are per day.

    The defaults are near a large perpetual's: 3 % a day, drifts of 2 % a day in a
    trend, regimes of two days on average, a jump of about 1 % every other day.
    """

    volatility: float = 0.03
    drift: float = 0.02
    regime_days: float = 2.0
    jumps: float = 0.5
    jump_size: float = 0.01
    lots_per_minute: float = 20_000.0


def generate_bars(
    seed: int,
    start_ns: int,
    days: int,
    price: Decimal,
    *,
    tick_size: Decimal,
    lot_size: Decimal = Decimal("0.001"),
    market: Market | None = None,
) -> pl.DataFrame:
    """
    Return ``days`` of 1-minute bars from ``start_ns``, without a gap.

    The same arguments give the same bars. Prices are whole ticks and volumes whole
    lots, at least four of them a bar, so that a tape can rebuild each bar exactly.

    Parameters
    ----------
    seed : int
        Any; the only source of randomness.
    start_ns : int
        Open of the first bar; a whole minute.
    price : Decimal, quote per base
        Where the walk starts.

    Returns
    -------
    DataFrame
        Schema :data:`cryptoquantix.data.schema.BARS`, ``days`` × 1440 rows.

    Raises
    ------
    ValueError
        If ``days``, ``price`` or a step is not positive, or ``start_ns`` no minute.
    """
    if days <= 0 or price <= 0 or tick_size <= 0 or lot_size <= 0:
        msg = (
            "days, price, tick size and lot size must be positive, "
            f"was {days}, {price}, {tick_size}, {lot_size}"
        )
        raise ValueError(msg)
    if start_ns % _MINUTE_NS:
        msg = f"start must be a whole minute, was {start_ns} ns"
        raise ValueError(msg)
    market = market or Market()
    count = days * _MINUTES_PER_DAY
    random = np.random.default_rng(seed)
    volatility = _volatility(random, count, market)
    drift = _drift(random, count, market)
    moves = random.standard_normal((count, _STEPS)) / np.sqrt(_STEPS)
    moves = moves * volatility[:, None] + drift[:, None] / _STEPS
    moves[:, 0] += _jumps(random, count, market)
    path = np.cumsum(moves).reshape(count, _STEPS)
    ticks = np.rint(float(price / tick_size) * np.exp(path)).astype(np.int64)
    lots = _lots(random, count, volatility / volatility.mean(), market)
    return _frame(start_ns, np.maximum(ticks, 1), lots, (tick_size, lot_size))


def generate_ticks(
    seed: int,
    start_ns: int,
    minutes: int,
    price: Decimal,
    *,
    tick_size: Decimal,
    lot_size: Decimal = Decimal("0.001"),
    market: Market | None = None,
    trades_per_minute: float = 30.0,
) -> pl.DataFrame:
    """
    Return ``minutes`` of trades from ``start_ns``, at least one in every minute.

    The same arguments give the same trades. Prices are whole ticks, sizes whole lots;
    a trade above the one before was a buyer's, below it a seller's.

    Returns
    -------
    DataFrame
        Schema :data:`cryptoquantix.data.schema.TICKS`.

    Raises
    ------
    ValueError
        If ``minutes``, ``price`` or a step is not positive, or ``start_ns`` no minute.
    """
    if minutes <= 0 or price <= 0 or tick_size <= 0 or lot_size <= 0:
        msg = (
            "minutes, price, tick size and lot size must be positive, "
            f"was {minutes}, {price}, {tick_size}, {lot_size}"
        )
        raise ValueError(msg)
    if start_ns % _MINUTE_NS:
        msg = f"start must be a whole minute, was {start_ns} ns"
        raise ValueError(msg)
    market = market or Market()
    random = np.random.default_rng([seed, 1])
    counts = np.maximum(random.poisson(trades_per_minute, minutes), 1)
    minute = np.repeat(np.arange(minutes), counts)
    within = random.integers(0, _MINUTE_NS // NS_PER_MS, minute.size)
    # Distinct milliseconds: which of two trades came first is never in doubt.
    at_ms = np.unique(minute * (_MINUTE_NS // NS_PER_MS) + within)
    minute = at_ms // (_MINUTE_NS // NS_PER_MS)
    volatility = _volatility(random, minutes, market)[minute]
    drift = _drift(random, minutes, market)[minute]
    share = 1.0 / np.bincount(minute, minlength=minutes)[minute]
    moves = random.standard_normal(at_ms.size) * volatility * np.sqrt(share)
    steps = np.exp(np.cumsum(moves + drift * share)) * float(price / tick_size)
    ticks = np.maximum(np.rint(steps).astype(np.int64), 1)
    lots = np.rint(random.lognormal(3.0, 1.0, at_ms.size)).astype(np.int64)
    is_down = np.diff(ticks, prepend=ticks[:1]) < 0
    return pl.DataFrame(
        {
            "time": start_ns + at_ms * NS_PER_MS,
            "trade_id": np.arange(1, at_ms.size + 1),
            "price": _decimal(ticks, tick_size),
            "size": _decimal(np.maximum(lots, 1), lot_size),
            "is_buyer_maker": is_down,
        }
    ).with_columns(pl.col("time").cast(TIME))


def store_generated_ticks(
    root: Path, instrument: InstrumentId, ticks: pl.DataFrame
) -> DatasetKey:
    """
    Put generated ticks into the catalog at ``root``, marked as such.

    Raises
    ------
    DataError
        If the catalog cannot be written, or holds real ticks under that name.
    """
    key = DatasetKey(DatasetKind.TICKS, instrument)
    _refuse_real(root, key)
    put(root, key, ticks, Marker("generated", generated=True))
    return key


def store_generated(
    root: Path, instrument: InstrumentId, bars: pl.DataFrame
) -> DatasetKey:
    """
    Put generated 1-minute ``bars`` into the catalog at ``root``, marked as such.

    Raises
    ------
    DataError
        If the catalog cannot be written, or holds real bars under that name.
    """
    key = DatasetKey(DatasetKind.BARS, instrument, "1m")
    _refuse_real(root, key)
    put(root, key, bars, Marker("generated", generated=True))
    return key


def _refuse_real(root: Path, key: DatasetKey) -> None:
    folder = root / key.path
    if (folder / MARKER).exists() and not read_marker(folder).generated:
        msg = (
            f"the catalog {root} holds real {key}: generated ones do not mix with them"
        )
        raise DataError(msg)


def _volatility(
    random: np.random.Generator, count: int, market: Market
) -> NDArray[np.float64]:
    """Return each minute's deviation: its logarithm reverts over half a day."""
    memory = 1.0 - 2.0 / _MINUTES_PER_DAY
    spread = 0.5
    noise = random.standard_normal(count) * spread * np.sqrt(1 - memory**2)
    level, logs = spread * random.standard_normal(), np.empty(count)
    for i in range(count):
        level = memory * level + noise[i]
        logs[i] = level
    return np.asarray(market.volatility / np.sqrt(_MINUTES_PER_DAY) * np.exp(logs))


def _drift(
    random: np.random.Generator, count: int, market: Market
) -> NDArray[np.float64]:
    """Return each minute's drift; a regime is up, down or sideways."""
    drift = np.empty(count)
    at, regime = 0, 0
    while at < count:
        length = 1 + int(random.exponential(market.regime_days * _MINUTES_PER_DAY))
        regime = int((regime + random.integers(1, 3)) % 3)  # never the same again
        drift[at : at + length] = (regime - 1) * market.drift / _MINUTES_PER_DAY
        at += length
    return drift


def _jumps(
    random: np.random.Generator, count: int, market: Market
) -> NDArray[np.float64]:
    happens = random.random(count) < market.jumps / _MINUTES_PER_DAY
    return np.where(happens, random.standard_normal(count) * market.jump_size, 0.0)


def _lots(
    random: np.random.Generator,
    count: int,
    activity: NDArray[np.float64],
    market: Market,
) -> NDArray[np.int64]:
    lots = market.lots_per_minute * activity * random.lognormal(-0.125, 0.5, count)
    return np.maximum(np.rint(lots), _TRADES_MIN).astype(np.int64)


def _frame(
    start_ns: int,
    ticks: NDArray[np.int64],
    lots: NDArray[np.int64],
    sizes: tuple[Decimal, Decimal],
) -> pl.DataFrame:
    close = ticks[:, -1]
    opened = np.concatenate((ticks[:1, 0], close[:-1]))
    opens_ns = start_ns + np.arange(len(ticks), dtype=np.int64) * _MINUTE_NS
    tick_size, lot_size = sizes
    closes, volume = _decimal(close, tick_size), _decimal(lots, lot_size)
    columns = {
        "open_time": opens_ns,
        "close_time": opens_ns + _MINUTE_NS,
        "open": _decimal(opened, tick_size),
        "high": _decimal(np.maximum(opened, ticks.max(axis=1)), tick_size),
        "low": _decimal(np.minimum(opened, ticks.min(axis=1)), tick_size),
        "close": closes,
        "volume": volume,
        "quote_volume": np.round(volume * closes, 4),
        "trades": np.maximum(lots // 50, _TRADES_MIN),
    }
    times = [pl.col(name).cast(TIME) for name in ("open_time", "close_time")]
    return pl.DataFrame(columns).with_columns(times).select(list(BARS))


def _decimal(steps: NDArray[np.int64], size: Decimal) -> NDArray[np.float64]:
    """Return the doubles nearest to steps × size: integers, divided once."""
    numerator, denominator = size.as_integer_ratio()
    return np.asarray(steps * numerator / denominator, dtype=np.float64)

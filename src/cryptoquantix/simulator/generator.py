"""
Generated prices: a seeded random walk per instrument; the same seed, the same tape.

Log returns are normal with a volatility that itself wanders (an AR(1) in logs) and
is scaled by the market's regime: calm, ordinary or stormy, the same for all
instruments, for half an hour on average. In a storm trades come faster, are smaller,
and prices jump. Trades arrive as one Poisson stream over all instruments. Made for
driving protocols, not for judging strategies.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

import numpy as np

from cryptoquantix.core.quantity import to_steps_nearest
from cryptoquantix.simulator.exchange import Print
from cryptoquantix.simulator.history import NS_PER_MINUTE, PriorBar
from cryptoquantix.simulator.listing import Listing
from cryptoquantix.simulator.tape import TapeEntry

CHUNK = 4_096
TRADES_PER_SECOND = 4.0  # per instrument
VOLATILITY_PER_DAY = 0.03
VOLATILITY_PERSISTENCE = 0.999  # per trade
VOLATILITY_NOISE = 0.02
PRIOR_MINUTES = 3 * 1440
TRADE_VALUE_QUOTE = 2_000.0
REGIME_SECONDS = 1_800.0  # mean stay
_SECONDS_PER_DAY = 86_400.0


class Regime(NamedTuple):
    """
    A state of the market, as factors of the ordinary one.

    ``jumps_per_day`` is for each instrument; a jump's log size is normal with
    ``jump_size``. Markets move on to another regime with equal chances.
    """

    volatility: float
    rate: float
    trade_value: float
    jumps_per_day: float
    jump_size: float


CALM = Regime(0.5, 0.6, 1.2, 0.0, 0.0)
ORDINARY = Regime(1.0, 1.0, 1.0, 1.0, 0.004)
STORM = Regime(4.0, 2.5, 0.5, 40.0, 0.01)
REGIMES = (CALM, ORDINARY, STORM)
_START = 1  # the ordinary one


@dataclass(frozen=True, slots=True)
class Generated:
    """An instrument to generate: its listing and first price."""

    listing: Listing
    price_ticks: int


# Steps as the venue lists them; first prices are round figures.
_KNOWN: dict[str, tuple[str, str, str]] = {
    "BTCUSDT": ("0.1", "0.001", "60000"),
    "ETHUSDT": ("0.01", "0.001", "3000"),
    "SOLUSDT": ("0.01", "0.01", "150"),
    "XRPUSDT": ("0.0001", "0.1", "0.6"),
    "DOGEUSDT": ("0.00001", "1", "0.15"),
}
DEFAULT_SYMBOLS = tuple(_KNOWN)


def generated_instrument(symbol: str) -> Generated:
    """Return steps and a first price for ``symbol``, which need not be known."""
    tick, lot, price = _KNOWN.get(symbol, ("0.001", "0.1", "10"))
    quote = "USDT"
    listing = Listing(
        symbol=symbol,
        base=symbol.removesuffix(quote) or symbol,
        quote=quote,
        tick_size=Decimal(tick),
        lot_size=Decimal(lot),
    )
    return Generated(listing, to_steps_nearest(Decimal(price), listing.tick_size))


def prior_bars(
    instrument: Generated, seed: int, *, end_ns: int, minutes: int = PRIOR_MINUTES
) -> list[PriorBar]:
    """Return one-minute bars that end before ``end_ns`` near the first price."""
    random = np.random.default_rng([seed, _symbol_number(instrument), 1])
    per_minute = VOLATILITY_PER_DAY / math.sqrt(1440)
    steps = random.standard_normal(minutes) * per_minute
    path = np.exp(np.cumsum(steps[::-1]))[::-1]  # ends at the first price
    wick = np.abs(random.standard_normal((minutes, 2))) * per_minute / 2
    lot_value = float(instrument.listing.lot_size * instrument.listing.tick_size)
    end_minute = end_ns // NS_PER_MINUTE
    bars: list[PriorBar] = []
    close = max(1, round(float(path[0]) * instrument.price_ticks))
    for index in range(minutes):
        opened, close = (
            close,
            max(1, round(float(path[index]) * instrument.price_ticks)),
        )
        high = max(opened, close, round(close * (1 + float(wick[index, 0]))))
        low = max(1, min(opened, close, round(close * (1 - float(wick[index, 1])))))
        lots = max(1, round(240 * TRADE_VALUE_QUOTE / (close * lot_value)))
        bars.append(
            PriorBar(
                (end_minute - minutes + index) * NS_PER_MINUTE,
                opened,
                high,
                low,
                close,
                lots,
                lots * close,
                240,
            )
        )
    return bars


def generate(
    instruments: Sequence[Generated],
    seed: int,
    *,
    start_ns: int,
    volatility_per_day: float = VOLATILITY_PER_DAY,
) -> Iterator[TapeEntry]:
    """Yield trades of all instruments from ``start_ns`` on, without end."""
    random = np.random.default_rng([seed, 2])
    weather = np.random.default_rng([seed, 3])
    count = len(instruments)
    prices = [float(i.price_ticks) for i in instruments]
    volatilities = [0.0] * count
    lot_values = [float(i.listing.lot_size * i.listing.tick_size) for i in instruments]
    time_ns = start_ns
    number, until_ns = _START, start_ns + _stay_ns(weather)
    while True:
        if time_ns >= until_ns:
            number = (number + 1 + int(weather.integers(0, 2))) % len(REGIMES)
            until_ns = time_ns + _stay_ns(weather)
        regime = REGIMES[number]
        rate = TRADES_PER_SECOND * regime.rate
        # Between two trades of one instrument pass 1 / rate seconds on average.
        sigma = (
            volatility_per_day * regime.volatility / math.sqrt(_SECONDS_PER_DAY * rate)
        )
        jump_chance = regime.jumps_per_day / (_SECONDS_PER_DAY * rate)
        gaps = random.exponential(1e9 / (rate * count), CHUNK)
        which = random.integers(0, count, CHUNK)
        shocks = random.standard_normal((CHUNK, 2))
        values = random.lognormal(0.0, 1.0, CHUNK)
        values *= TRADE_VALUE_QUOTE * regime.trade_value
        jumps = np.where(
            random.random(CHUNK) < jump_chance,
            random.standard_normal(CHUNK) * regime.jump_size,
            0.0,
        )
        for gap, index, (move, wander), value, jump in zip(
            gaps.astype(np.int64).tolist(),
            which.tolist(),
            shocks.tolist(),
            values.tolist(),
            jumps.tolist(),
            strict=True,
        ):
            time_ns += gap + 1
            volatilities[index] = (
                VOLATILITY_PERSISTENCE * volatilities[index] + VOLATILITY_NOISE * wander
            )
            change = sigma * math.exp(volatilities[index]) * move + jump
            prices[index] *= math.exp(change)
            ticks = max(1, round(prices[index]))
            lots = max(1, round(value / (ticks * lot_values[index])))
            yield TapeEntry(
                instruments[index].listing.symbol,
                Print(time_ns, ticks, lots, is_buyer_maker=change < 0),
            )


def _stay_ns(weather: np.random.Generator) -> int:
    return int(weather.exponential(REGIME_SECONDS) * 1e9)


def _symbol_number(instrument: Generated) -> int:
    return int.from_bytes(instrument.listing.symbol.encode()[:8])

"""
Generated prices: a seeded random walk per instrument; the same seed, the same tape.

Log returns are normal with a volatility that itself wanders (an AR(1) in logs);
trades arrive as one Poisson stream over all instruments. Made for driving
protocols, not for judging strategies.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

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
_SECONDS_PER_DAY = 86_400.0


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
    instruments: Sequence[Generated], seed: int, *, start_ns: int
) -> Iterator[TapeEntry]:
    """Yield trades of all instruments from ``start_ns`` on, without end."""
    random = np.random.default_rng([seed, 2])
    count = len(instruments)
    prices = [float(i.price_ticks) for i in instruments]
    volatilities = [0.0] * count
    lot_values = [float(i.listing.lot_size * i.listing.tick_size) for i in instruments]
    # Between two trades of one instrument pass 1 / rate seconds on average.
    sigma = VOLATILITY_PER_DAY / math.sqrt(_SECONDS_PER_DAY * TRADES_PER_SECOND)
    time_ns = start_ns
    while True:
        gaps = random.exponential(1e9 / (TRADES_PER_SECOND * count), CHUNK)
        which = random.integers(0, count, CHUNK)
        shocks = random.standard_normal((CHUNK, 2))
        values = random.lognormal(0.0, 1.0, CHUNK) * TRADE_VALUE_QUOTE
        for gap, index, (move, wander), value in zip(
            gaps.astype(np.int64).tolist(),
            which.tolist(),
            shocks.tolist(),
            values.tolist(),
            strict=True,
        ):
            time_ns += gap + 1
            volatilities[index] = (
                VOLATILITY_PERSISTENCE * volatilities[index] + VOLATILITY_NOISE * wander
            )
            prices[index] *= math.exp(sigma * math.exp(volatilities[index]) * move)
            ticks = max(1, round(prices[index]))
            lots = max(1, round(value / (ticks * lot_values[index])))
            yield TapeEntry(
                instruments[index].listing.symbol,
                Print(time_ns, ticks, lots, is_buyer_maker=move < 0),
            )


def _symbol_number(instrument: Generated) -> int:
    return int.from_bytes(instrument.listing.symbol.encode()[:8])

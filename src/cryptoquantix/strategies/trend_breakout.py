"""
Trend breakout under a slow macro gate; it sizes by volatility and places no orders.

The idea: trends of weeks are worth following in the direction of the trend of months
only. Four rules, each decided at a bar's close:

1. **Macro gate.** At every UTC day's close: long trades are allowed once the close is
   more than ``gate_band`` above the mean of the last ``gate_days`` daily closes, short
   trades once it is as far below; in between the gate stays as it is (hysteresis).
   A gate that turns closes what is held against it.
2. **Entry.** A close above the highest high (below the lowest low) of the
   ``breakout_bars`` bars before it (Donchian).
3. **Exit.** A close more than ``exit_atr`` average true ranges below the highest high
   of the last ``exit_bars`` bars, this one included; mirrored for shorts (LeBeau's
   chandelier). The average true range is Wilder's, over ``atr_bars``.
4. **Size.** ``volatility_target`` over the annualized volatility of bar returns
   (exponential, over ``volatility_bars``), at most ``leverage_max``; set at entry and
   again at every UTC day's close.

Meant for liquid perpetuals. Single breakout rules have a weak record out of sample:
the walk-forward study is there to find that out before money does.

Sources: Donchian channels; LeBeau's chandelier exit; Wilder (1978) for the average
true range; Moreira and Muir (2017) on volatility-managed exposure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

from cryptoquantix.core.market import Bar
from cryptoquantix.kernel import kernel
from cryptoquantix.strategies.contract import parse_fields, require_range
from cryptoquantix.strategies.windows import (
    Channel,
    Mean,
    channel_of,
    mean_of,
    mean_value,
    push_channel,
    push_mean,
    smooth,
)

_DAY_NS = 86_400_000_000_000
_YEAR_NS = 365.0 * _DAY_NS
_SECONDS_PER_DAY = 86_400
# Ten years of minutes: no sensible lookback is longer, and memory stays bounded.
_BARS_MAX = 5_256_000


class Params(NamedTuple):
    """Lengths in days or bars; fractions as fractions (0.02 is 2 %)."""

    gate_days: int = 200
    gate_band: float = 0.02
    breakout_bars: int = 240
    exit_bars: int = 240
    exit_atr: float = 12.0
    atr_bars: int = 240
    volatility_bars: int = 1440
    volatility_target: float = 0.3
    leverage_max: float = 2.0


class View(NamedTuple):
    """The parameters that reading the market takes; the others are for decisions."""

    gate_days: int
    gate_band: float
    breakout_bars: int
    exit_bars: int
    atr_bars: int
    volatility_bars: int


class Market(NamedTuple):
    """What reading the market carries on. ``gate`` is -1, 0 or 1."""

    bars: int
    day_end_ns: int
    close: float
    gate: int
    true_range: float
    variance: float
    days: Mean
    entry: Channel
    exit: Channel


class Reading(NamedTuple):
    """
    What a decision needs to know of a bar, whatever is held.

    ``gate`` and ``breaks`` are -1, 0 or 1: ``breaks`` the side that the close breaks
    out to, if the gate lets it and every window was full before. ``high`` and ``low``
    are the exit's, ``is_day_end`` is 1 where a day just ended.
    """

    gate: float
    breaks: float
    is_day_end: float
    high: float
    low: float
    true_range: float
    variance: float


class Hand(NamedTuple):
    """What is held: ``side`` -1, 0 or 1, and the size of the target."""

    side: int
    size: float


class State(NamedTuple):
    """What a step carries on."""

    market: Market
    hand: Hand


def parse_params(values: Mapping[str, object]) -> Params:
    """
    Return the parameters that ``values`` name, defaults for the rest.

    Raises
    ------
    SettingsError
        On an unknown parameter, a wrong type or a value out of range.
    """
    params = parse_fields(Params, values)
    require_range("gate_days", params.gate_days, 1, 3650)
    require_range("gate_band", params.gate_band, 0.0, 0.5)
    for name in ("breakout_bars", "exit_bars", "atr_bars", "volatility_bars"):
        require_range(name, getattr(params, name), 1, _BARS_MAX)
    require_range("exit_atr", params.exit_atr, 0.0, 1e6)
    require_range("volatility_target", params.volatility_target, 1e-6, 100.0)
    require_range("leverage_max", params.leverage_max, 1e-6, 20.0)
    return params


def warmup_bars(params: Params, bar_seconds: int = 60) -> int:
    """Return how many bars without a gap fill every window, whenever they start."""
    longest = max(
        params.breakout_bars, params.exit_bars, params.atr_bars, params.volatility_bars
    )
    days = -(-params.gate_days * _SECONDS_PER_DAY // bar_seconds)
    return max(longest + 1, days)


def start(params: Params) -> State:
    """Return the state before the first bar."""
    market = Market(
        bars=0,
        day_end_ns=0,
        close=0.0,
        gate=0,
        true_range=0.0,
        variance=0.0,
        days=mean_of(params.gate_days),
        entry=channel_of(params.breakout_bars),
        exit=channel_of(params.exit_bars),
    )
    return State(market, Hand(side=0, size=0.0))


@kernel
def _view(params: Params) -> View:
    """Return what of the parameters reading the market takes."""
    return View(
        params.gate_days,
        params.gate_band,
        params.breakout_bars,
        params.exit_bars,
        params.atr_bars,
        params.volatility_bars,
    )


@kernel
def step(state: State, bar: Bar, params: Params) -> tuple[State, float]:
    """Return the state after ``bar`` and the target decided at its close."""
    market, reading = read(state.market, bar, _view(params))
    hand, target = decide(state.hand, reading, bar, params)
    return State(market, hand), target


@kernel
def read(market: Market, bar: Bar, view: View) -> tuple[Market, Reading]:
    """Return the market after ``bar`` and what is to be known of it at its close."""
    bars = market.bars + 1
    true_range, variance = market.true_range, market.variance
    if bars > 1:
        widest = max(bar.high, market.close) - min(bar.low, market.close)
        true_range = smooth(true_range, widest, bars - 1, view.atr_bars)
        change = bar.close / market.close - 1.0
        variance = smooth(variance, change * change, bars - 1, view.volatility_bars)
    days, day_end_ns, is_day_end = _roll_day(market, bar)
    gate = _gate(market.gate, days, view) if is_day_end else market.gate
    trail = push_channel(market.exit, bar.high, bar.low)
    breaks = 0
    # The market's entry channel is that of the bars before this one.
    if gate > 0 and bar.close > market.entry.high:
        breaks = 1
    elif gate < 0 and bar.close < market.entry.low:
        breaks = -1
    if not _is_warm(bars, days.seen, view):
        breaks = 0
    after = Market(
        bars,
        day_end_ns,
        bar.close,
        gate,
        true_range,
        variance,
        days,
        push_channel(market.entry, bar.high, bar.low),
        trail,
    )
    return after, Reading(
        float(gate),
        float(breaks),
        1.0 if is_day_end else 0.0,
        trail.high,
        trail.low,
        true_range,
        variance,
    )


@kernel
def decide(
    hand: Hand, reading: Reading, bar: Bar, params: Params
) -> tuple[Hand, float]:
    """Return what is held after ``bar`` and the target decided at its close."""
    # Both answers first and then the one that the side asks for: what depends on the
    # bar before is short, and a pass over years waits for nothing else.
    room = params.exit_atr * reading.true_range
    may_long = (reading.gate > 0.0) & (bar.close >= reading.high - room)
    may_short = (reading.gate < 0.0) & (bar.close <= reading.low + room)
    enters_long = (reading.breaks > 0.0) & may_long
    enters_short = (reading.breaks < 0.0) & may_short
    entered = 1 if enters_long else (-1 if enters_short else 0)
    stays = ((hand.side > 0) & may_long) | ((hand.side < 0) & may_short)
    side = hand.side if stays else entered
    size = hand.size
    if side == 0:
        size = 0.0
    elif side != hand.side or reading.is_day_end != 0.0:
        size = _size(reading.variance, bar, params)
    return Hand(side, size), side * size


@kernel
def _roll_day(market: Market, bar: Bar) -> tuple[Mean, int, bool]:
    """
    Return the daily closes, the end of the day in progress, and if a day just ended.

    A day ends with the bar that closes at or after midnight UTC. Where bars are
    missing around midnight it ends with the last bar seen before.
    """
    days, day_end_ns = market.days, market.day_end_ns
    is_day_end = False
    if day_end_ns == 0:
        day_end_ns = (bar.open_time_ns // _DAY_NS + 1) * _DAY_NS
    elif bar.open_time_ns >= day_end_ns:
        days = push_mean(days, market.close)
        day_end_ns = (bar.open_time_ns // _DAY_NS + 1) * _DAY_NS
        is_day_end = True
    if bar.close_time_ns >= day_end_ns:
        days = push_mean(days, bar.close)
        day_end_ns = (bar.close_time_ns // _DAY_NS + 1) * _DAY_NS
        is_day_end = True
    return days, day_end_ns, is_day_end


@kernel
def _gate(gate: int, days: Mean, view: View) -> int:
    """Return the gate after a day's close: 1 long, -1 short, 0 not yet known."""
    if days.seen < view.gate_days:
        return 0
    close = days.values[days.slot - 1]  # slot 0 wraps to the last one, which is right
    mean = mean_value(days)
    if close > mean * (1.0 + view.gate_band):
        return 1
    if close < mean * (1.0 - view.gate_band):
        return -1
    return gate


@kernel
def _is_warm(bars: int, days: int, view: View) -> bool:
    """Return whether every window was full before this bar."""
    return (
        bars > view.breakout_bars
        and bars >= view.exit_bars
        and bars > view.atr_bars
        and bars > view.volatility_bars
        and days >= view.gate_days
    )


@kernel
def _size(variance: float, bar: Bar, params: Params) -> float:
    """Return the target's size: the volatility aimed at over that measured."""
    per_year = _YEAR_NS / (bar.close_time_ns - bar.open_time_ns)
    volatility = math.sqrt(variance * per_year)
    if params.leverage_max * volatility <= params.volatility_target:
        return params.leverage_max
    return params.volatility_target / volatility

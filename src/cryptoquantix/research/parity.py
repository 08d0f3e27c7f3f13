"""
Research against live, trade by trade; it runs neither of them.

Two lists of trades and two results go in. They agree when the trades are at the same
bars, to the same side and of the same lots, when no price differs by more than a tick,
and when the results differ by no more than one tick of slippage per trade and what
fees differ by.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np

from cryptoquantix.research.account import Costs
from cryptoquantix.research.days import FIELDS
from cryptoquantix.research.history import Floats, History
from cryptoquantix.research.passes import Passes

WORST_TICKS_MAX: Final = 1.0
# Decimal prices as doubles: a hundredth of a tick is no price.
_TICK_TOLERANCE: Final = 0.01
# What rounding each booking to 1e-8 of a coin can add up to, a trade.
_ROUNDING_QUOTE: Final = 1e-6


class Trade(NamedTuple):
    """What was traded after a bar's close: signed lots, mean price, fee paid."""

    bar_ns: int
    lots: int
    price: float
    fee: float

    @property
    def side(self) -> str:
        """``buy`` or ``sell``."""
        return "buy" if self.lots > 0 else "sell"


class Traded(NamedTuple):
    """An account's way: its trades, and what it made by the last close, in quote."""

    trades: list[Trade]
    pnl: float


class Difference(NamedTuple):
    """One trade of both; ``ticks`` is how much worse live was, None if one lacks it."""

    bar_ns: int
    side: str
    research: Trade | None
    live: Trade | None
    ticks: float | None

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        row: dict[str, Any] = {
            "bar_ns": self.bar_ns,
            "side": self.side,
            "ticks": None if self.ticks is None else round(self.ticks, 4),
        }
        for name, one in (("research", self.research), ("live", self.live)):
            row[name] = (
                None
                if one is None
                else {"lots": abs(one.lots), "price": one.price, "fee": one.fee}
            )
        return row


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether research and live agree, by how much, and what is wrong if not."""

    differences: list[Difference]
    worst_ticks: float
    pnl_research: float
    pnl_live: float
    fees_research: float
    fees_live: float
    pnl_allowed: float
    problems: list[str]

    @property
    def is_ok(self) -> bool:
        """True where nothing is wrong."""
        return not self.problems

    @property
    def pnl_difference(self) -> float:
        """Live less research, quote."""
        return self.pnl_live - self.pnl_research


class Steps(NamedTuple):
    """An instrument's steps."""

    tick_size: float
    lot_size: float


def research_path(
    passes: Passes,
    history: History,
    targets: Floats,
    costs: Costs,
    *,
    equity: float,
    first: int,
) -> Traded:
    """
    Return what research trades from the close of bar ``first`` to the last close.

    Parameters
    ----------
    history : History
        With its fill prices; what the last bar's target asks for is not filled.
    targets : (bars,) array
        Decided at each bar's close, from the history's first bar on.
    costs : Costs
        With a ``lot_size``: the path trades whole lots.
    """
    assert costs.lot_size > 0, "a live account trades whole lots"
    stop = history.close.size
    worth, units = np.zeros(stop - first), np.zeros(stop - first)
    records = np.zeros((1, len(FIELDS)))
    passes.path_driver.run_path(
        history,
        np.array([stop], np.int64),
        costs,
        np.ascontiguousarray(targets[first:]),
        equity,
        worth,
        units,
        records,
        first,
    )
    trades = []
    for at in range(1, stop - first):
        lots = round((units[at] - units[at - 1]) / costs.lot_size)
        if lots:
            bar = first + at
            prices = history.fill_buy if lots > 0 else history.fill_sell
            price = float(prices[bar])
            fee = abs(lots) * costs.lot_size * price * costs.fee_rate
            decided_ns = int(history.close_time_ns[bar - 1])
            trades.append(Trade(decided_ns, lots, price, fee))
    return Traded(trades, float(worth[-1]) - equity)


def merged(fills: Iterable[Trade]) -> list[Trade]:
    """
    Return one trade a bar and side of fills in any order: lots and fees summed.

    Examples
    --------
    >>> merged([Trade(60, 1, 10.0, 0.1), Trade(60, 3, 12.0, 0.3)])
    [Trade(bar_ns=60, lots=4, price=11.5, fee=0.4)]
    """
    found: dict[tuple[int, str], Trade] = {}
    for fill in fills:
        key = fill.bar_ns, fill.side
        known = found.get(key)
        if known is None:
            found[key] = fill
            continue
        lots = known.lots + fill.lots
        value = known.lots * known.price + fill.lots * fill.price
        found[key] = Trade(fill.bar_ns, lots, value / lots, known.fee + fill.fee)
    return [found[key] for key in sorted(found)]


def compare(research: Traded, live: Traded, steps: Steps) -> Verdict:
    """Return whether both traded the same, and every difference."""
    ours = {(trade.bar_ns, trade.side): trade for trade in merged(research.trades)}
    theirs = {(trade.bar_ns, trade.side): trade for trade in merged(live.trades)}
    differences = [
        _difference(key, ours.get(key), theirs.get(key), steps)
        for key in sorted(ours.keys() | theirs.keys())
    ]
    ticks = [abs(one.ticks) for one in differences if one.ticks is not None]
    fees = [sum(trade.fee for trade in side.trades) for side in (research, live)]
    allowed = abs(fees[1] - fees[0]) + sum(
        abs(trade.lots) * steps.lot_size * steps.tick_size + _ROUNDING_QUOTE
        for trade in ours.values()
    )
    problems = [text for one in differences if (text := _problem(one))]
    apart = abs(live.pnl - research.pnl)
    if not apart <= allowed:
        problems.append(
            f"PnL differs by {apart:.8f}, more than the {allowed:.8f} that a tick of "
            f"slippage per trade and the fees allow"
        )
    return Verdict(
        differences,
        max(ticks, default=0.0),
        research.pnl,
        live.pnl,
        fees[0],
        fees[1],
        allowed,
        problems,
    )


def _difference(
    key: tuple[int, str], ours: Trade | None, theirs: Trade | None, steps: Steps
) -> Difference:
    bar_ns, side = key
    ticks = None
    if ours is not None and theirs is not None:
        worse = (
            theirs.price - ours.price if side == "buy" else ours.price - theirs.price
        )
        ticks = worse / steps.tick_size
    return Difference(bar_ns, side, ours, theirs, ticks)


def _problem(one: Difference) -> str:
    """Return what is wrong with a trade, or nothing."""
    when = f"at the bar that closes at {one.bar_ns} ns"
    if one.live is None or one.research is None:
        who, other = ("research", "live") if one.live is None else ("live", "research")
        return f"{when} {who} had a {one.side} and {other} none"
    if one.live.lots != one.research.lots:
        return (
            f"{when} live traded {one.live.lots} lots and research {one.research.lots}"
        )
    if (
        one.ticks is not None
        and not abs(one.ticks) <= WORST_TICKS_MAX + _TICK_TOLERANCE
    ):
        return f"{when} the prices are {one.ticks:.2f} ticks apart"
    return ""

"""
A position's arithmetic, bar by bar, as kernels; it decides no targets.

Decided at a bar's close, filled in the next bar, at its open or at its first trades,
plus slippage. Equity is marked at closes. Cells and the stitched path share every line
of this module: a cell only has no lots.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cryptoquantix.core.market import Bar
from cryptoquantix.kernel import kernel
from cryptoquantix.orders.sizing import target_lots as plain_target_lots

target_lots = kernel(plain_target_lots)

# What is left of a day's equity when a loss eats it all: the account stays small
# instead of stopping the arithmetic, and the day says -13.8 of log growth.
_RUIN = 1e-6


class Costs(NamedTuple):
    """
    What trading costs and in which steps; rates are fractions of notional.

    ``slippage`` is adverse, added to the fill price. A change smaller than
    ``no_trade_band`` of equity is left alone. ``lot_size`` 0 means no rounding.
    ``maintenance_rate`` is of notional: at or below it the venue closes the position.
    """

    fee_rate: float
    slippage: float
    no_trade_band: float
    lot_size: float
    notional_min: float
    maintenance_rate: float


class Account(NamedTuple):
    """
    Quote and base units held; ``order`` is to be traded in the next bar.

    ``equity`` is that of the last close.
    """

    cash: float
    units: float
    order: float
    equity: float


class Tally(NamedTuple):
    """
    What a day did so far; sums are fractions of the equity at their time.

    ``highest``, ``lowest`` are equities, ``deepest`` the lowest ratio of an equity to
    the highest before it, the day's start included.
    """

    start: float
    highest: float
    lowest: float
    deepest: float
    turnover: float
    fees: float
    funding: float
    trades: float
    held: float
    liquidations: float


@kernel
def open_account(equity: float) -> Account:
    """Return an account that holds nothing but ``equity``."""
    return Account(equity, 0.0, 0.0, equity)


@kernel
def open_tally(equity: float) -> Tally:
    """Return a day that has not begun."""
    return Tally(equity, equity, equity, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


@kernel
def pass_bar(  # noqa: PLR0917 - kernels take no keyword arguments
    account: Account,
    tally: Tally,
    bar: Bar,
    costs: Costs,
    fill_buy: float,
    fill_sell: float,
) -> tuple[Account, Tally]:
    """
    Return both after ``bar``: fill, funding, liquidation, mark.

    No branch depends on the account: both answers are worked out and one is taken, so
    that accounts side by side (``lane_driver``) are one vector instruction each.
    """
    rests = (account.order == 0.0) & (account.units == 0.0)
    before = account.equity
    filled, turnover = _fill(account, costs, fill_buy, fill_sell)
    held, funding, is_held, is_liquidated = _hold(filled, bar, costs)
    # At rest nothing changes: an equity without units is its cash but for rounding.
    cash = account.cash if rests else held.cash
    units = held.units
    equity = before if rests else cash + units * bar.close
    is_ruined = (not rests) & (not equity > _RUIN * tally.start)
    equity = _RUIN * tally.start if is_ruined else equity
    cash = equity if is_ruined else cash
    units = 0.0 if is_ruined else units
    highest = max(tally.highest, equity)
    fall = equity / highest
    marked = Tally(
        tally.start,
        highest,
        min(tally.lowest, equity),
        # Which one is less is asked of products, as exact as what a day began with.
        fall if equity < tally.deepest * highest else tally.deepest,
        tally.turnover + turnover,
        tally.fees + turnover * costs.fee_rate,
        tally.funding + funding,
        tally.trades + (1.0 if account.order != 0.0 else 0.0),
        tally.held + (1.0 if is_held else 0.0),
        tally.liquidations + (1.0 if is_liquidated else 0.0),
    )
    return Account(cash, units, 0.0, equity), marked


@kernel
def _fill(
    account: Account, costs: Costs, fill_buy: float, fill_sell: float
) -> tuple[Account, float]:
    """Trade what was decided at the close before; also return it over the equity."""
    order = account.order
    fill = fill_buy if order > 0.0 else fill_sell
    price = fill * (1.0 + (costs.slippage if order > 0.0 else -costs.slippage))
    notional = abs(order) * price
    fee = notional * costs.fee_rate
    after = Account(
        account.cash - order * price - fee, account.units + order, 0.0, account.equity
    )
    return after, notional / account.equity


@kernel
def _hold(
    account: Account, bar: Bar, costs: Costs
) -> tuple[Account, float, bool, bool]:
    """
    Pay for holding through the bar, or be closed by the venue at its worst.

    Also returned: the funding over the equity, and whether a position was held and
    whether it was closed.
    """
    cash, units = account.cash, account.units
    is_held = units != 0.0
    worst = bar.low if units > 0.0 else bar.high
    margin = costs.maintenance_rate * abs(units) * worst
    is_liquidated = is_held & (cash + units * worst <= margin)
    closed = cash + (units * worst - abs(units) * worst * costs.fee_rate)
    funding = 0.0  # of equity
    if bar.funding_rate != 0.0:
        # At the close that the charge falls on: longs pay a positive rate.
        charge = -units * bar.close * bar.funding_rate
        cash += charge
        funding = 0.0 if is_liquidated else charge / account.equity
    after = Account(
        closed if is_liquidated else cash,
        0.0 if is_liquidated else units,
        0.0,
        account.equity,
    )
    return after, funding, is_held, is_liquidated


@kernel
def decide(account: Account, target: float, bar: Bar, costs: Costs) -> Account:
    """Return the account with the order that ``target`` asks for at this close."""
    wanted = target * account.equity / bar.close
    if costs.lot_size != 0.0:
        equity, price = account.equity, bar.close
        lots = target_lots(target, equity, price, costs.lot_size, costs.notional_min)
        wanted = lots * costs.lot_size
    return _order(account, target, wanted, bar, costs)


@kernel
def decide_unrounded(
    account: Account, target: float, bar: Bar, costs: Costs
) -> Account:
    """Do as ``decide`` with ``lot_size`` 0, without a branch."""
    wanted = target * account.equity / bar.close
    return _order(account, target, wanted, bar, costs)


@kernel
def _order(  # noqa: PLR0917 - kernels take no keyword arguments
    account: Account, target: float, wanted: float, bar: Bar, costs: Costs
) -> Account:
    """Return the account with the order from its units to those wanted."""
    change = wanted - account.units
    value = abs(change) * bar.close
    is_small = value <= costs.no_trade_band * account.equity
    grows = abs(wanted) > abs(account.units)
    is_left = is_small | (grows & (value < costs.notional_min))
    change = 0.0 if is_left else change
    order = change if target != 0.0 else -account.units
    return Account(account.cash, account.units, order, account.equity)


@kernel
def rescale(account: Account, equity: float) -> Account:
    """Return the account with every amount in proportion, worth ``equity``."""
    factor = equity / account.equity
    return Account(
        account.cash * factor, account.units * factor, account.order * factor, equity
    )


@kernel
def write_day(record: NDArray[np.float64], tally: Tally, equity: float) -> None:
    """Write the day's record: the fields of ``days.FIELDS``, in their order."""
    record[0] = math.log(equity / tally.start)
    record[1] = math.log(tally.highest / tally.start)
    record[2] = math.log(tally.lowest / tally.start)
    record[3] = -math.log(tally.deepest)
    record[4] = tally.turnover
    record[5] = tally.fees
    record[6] = tally.funding
    record[7] = tally.trades
    record[8] = tally.held
    record[9] = tally.liquidations

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
    """Return both after ``bar``: fill, funding, liquidation, mark."""
    if account.order == 0.0 and account.units == 0.0:
        return account, tally
    if account.order != 0.0:
        fill = fill_buy if account.order > 0.0 else fill_sell
        account, tally = _fill(account, tally, fill, costs)
    if account.units != 0.0:
        account, tally = _hold(account, tally, bar, costs)
    equity = account.cash + account.units * bar.close
    if not equity > _RUIN * tally.start:
        equity = _RUIN * tally.start
        account = open_account(equity)
    highest = max(tally.highest, equity)
    deepest = tally.deepest
    if equity < deepest * highest:  # a product is cheaper than the quotient
        deepest = equity / highest
    marked = Tally(
        tally.start,
        highest,
        min(tally.lowest, equity),
        deepest,
        tally.turnover,
        tally.fees,
        tally.funding,
        tally.trades,
        tally.held,
        tally.liquidations,
    )
    return Account(account.cash, account.units, account.order, equity), marked


@kernel
def _fill(
    account: Account, tally: Tally, fill: float, costs: Costs
) -> tuple[Account, Tally]:
    """Trade what was decided at the close before."""
    order = account.order
    adverse = costs.slippage if order > 0.0 else -costs.slippage
    price = fill * (1.0 + adverse)
    notional = abs(order) * price
    fee = notional * costs.fee_rate
    turnover = notional / account.equity
    after = Account(
        account.cash - order * price - fee, account.units + order, 0.0, account.equity
    )
    return after, Tally(
        tally.start,
        tally.highest,
        tally.lowest,
        tally.deepest,
        tally.turnover + turnover,
        tally.fees + turnover * costs.fee_rate,
        tally.funding,
        tally.trades + 1.0,
        tally.held,
        tally.liquidations,
    )


@kernel
def _hold(
    account: Account, tally: Tally, bar: Bar, costs: Costs
) -> tuple[Account, Tally]:
    """Pay for holding through the bar, or be closed by the venue at its worst."""
    cash, units = account.cash, account.units
    worst = bar.low if units > 0.0 else bar.high
    margin = costs.maintenance_rate * abs(units) * worst
    liquidated = 0.0
    funding = 0.0  # of equity
    if cash + units * worst <= margin:
        cash += units * worst - abs(units) * worst * costs.fee_rate
        units = 0.0
        liquidated = 1.0
    elif bar.funding_rate != 0.0:
        # At the close that the charge falls on: longs pay a positive rate.
        charge = -units * bar.close * bar.funding_rate
        cash += charge
        funding = charge / account.equity
    return Account(cash, units, 0.0, account.equity), Tally(
        tally.start,
        tally.highest,
        tally.lowest,
        tally.deepest,
        tally.turnover,
        tally.fees,
        tally.funding + funding,
        tally.trades,
        tally.held + 1.0,
        tally.liquidations + liquidated,
    )


@kernel
def decide(account: Account, target: float, bar: Bar, costs: Costs) -> Account:
    """Return the account with the order that ``target`` asks for at this close."""
    order = -account.units
    if target != 0.0:
        wanted = _wanted_units(target, account.equity, bar.close, costs)
        change = wanted - account.units
        value = abs(change) * bar.close
        is_small = value <= costs.no_trade_band * account.equity
        grows = abs(wanted) > abs(account.units)
        if is_small or (grows and value < costs.notional_min):
            change = 0.0
        order = change
    return Account(account.cash, account.units, order, account.equity)


@kernel
def _wanted_units(target: float, equity: float, price: float, costs: Costs) -> float:
    if costs.lot_size == 0.0:
        return target * equity / price
    lots = target_lots(target, equity, price, costs.lot_size, costs.notional_min)
    return lots * costs.lot_size


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

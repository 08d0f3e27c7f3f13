"""Positions and the wallet in Bybit's field names; it changes nothing."""

from __future__ import annotations

from fractions import Fraction

from cryptoquantix.simulator.accounts import Account, Holding, Leg, bracket_of
from cryptoquantix.simulator.clearing import AccountMargin
from cryptoquantix.simulator.listing import divide_half_even, fixed_text
from cryptoquantix.simulator.market import Market
from cryptoquantix.simulator.orders import AlgoOrder
from cryptoquantix.simulator.wire.bybit_facts import BybitState
from cryptoquantix.simulator.wire.bybit_ids import average, money, ms_text
from cryptoquantix.simulator.wire.bybit_orders import POSITION_INDEX
from cryptoquantix.simulator.wire.bybit_requests import Json

TAKE_PROFIT = "TakeProfit"
STOP_LOSS = "StopLoss"


def protection_of(
    market: Market, account_id: int, leg: Leg, kind: str
) -> AlgoOrder | None:
    """Return the waiting take profit or stop loss of a whole position."""
    for algo in market.triggers.orders.values():
        order = algo.request.order
        if (
            algo.account_id == account_id
            and order.is_close_position
            and order.leg is leg
            and order.original_type == kind
        ):
            return algo
    return None


def position_json(
    state: BybitState, account: Account, market: Market, leg: Leg
) -> Json:
    """Return one position, flat ones too, as ``/v5/position/list`` shows it."""
    listing = market.listing
    symbol, mark = listing.symbol, market.mark_ticks
    held = account.held(symbol, leg) or Holding(listing, leg)
    margin = state.exchange.clearing.leg_margin(account, symbol, leg)
    facts = state.positions.get((account.id, symbol, leg))
    bracket = bracket_of(held.notional_units(mark), listing.brackets)
    lots = abs(held.size_lots)
    return {
        "positionIdx": POSITION_INDEX[leg],
        "riskId": listing.brackets.index(bracket) + 1,
        "riskLimitValue": str(bracket.cap),
        "symbol": symbol,
        "side": ("", "Buy", "Sell")[held.sign],
        "size": listing.size_text(lots),
        "avgPrice": average(listing, abs(held.cost_units), lots) if lots else "0",
        "positionValue": money(abs(held.cost_units)) if lots else "",
        "tradeMode": 0,
        "positionStatus": "Normal",
        "autoAddMargin": 0,
        "adlRankIndicator": 2 if lots else 0,
        "leverage": str(account.leverage_of(listing)),
        "positionBalance": money(margin.position),
        "markPrice": listing.price_text(mark),
        "liqPrice": "",
        "bustPrice": "",
        "positionMM": money(margin.maintenance),
        "positionMMByMp": money(margin.maintenance),
        "positionIM": money(margin.position),
        "positionIMByMp": money(margin.position),
        "tpslMode": "Full",
        "takeProfit": _protection_text(market, account.id, leg, TAKE_PROFIT),
        "stopLoss": _protection_text(market, account.id, leg, STOP_LOSS),
        "trailingStop": "0",
        "unrealisedPnl": money(held.unrealized_units(mark)) if lots else "",
        "sessionAvgPrice": "",
        "curRealisedPnl": money(facts.current_units if facts and lots else 0),
        "cumRealisedPnl": money(facts.total_units if facts else 0),
        "seq": account.bookings,
        "isReduceOnly": False,
        "mmrSysUpdatedTime": "",
        "leverageSysUpdatedTime": "",
        "createdTime": ms_text(facts.created_ns) if facts else "0",
        "updatedTime": ms_text(held.update_time_ns),
    }


def _protection_text(market: Market, account_id: int, leg: Leg, kind: str) -> str:
    algo = protection_of(market, account_id, leg, kind)
    return market.listing.price_text(algo.trigger_ticks) if algo else ""


def rate_of(part_units: int, whole_units: int) -> str:
    """Return part / whole with eight digits, 0 where there is no whole."""
    if whole_units <= 0:
        return "0"
    return fixed_text(divide_half_even(part_units * 10**8, whole_units), 8)


def wallet_json(state: BybitState, account: Account) -> Json:
    """Return the unified account: each coin, and all of them in dollars."""
    clearing = state.exchange.clearing
    margin = clearing.margin(account)
    rate = clearing.coin_price(account.coin)
    equity = clearing.worth_units(account)
    wallets = [
        account.wallet_of(coin) * clearing.coin_price(coin)
        for coin in clearing.rules.known_coins
    ]
    backing = margin.backing * rate
    rows = [_settling_row(state, account, margin)]
    rows += [
        _collateral_row(coin, account.wallet_of(coin), clearing.coin_price(coin))
        for coin, _ in clearing.rules.collateral
        if account.wallet_of(coin)
    ]
    return {
        "accountType": "UNIFIED",
        "accountIMRate": rate_of(margin.initial, margin.backing),
        "accountMMRate": rate_of(margin.maintenance, margin.backing),
        "accountLTV": "0",
        "totalEquity": money(equity),
        "totalWalletBalance": _dollars(sum(wallets, Fraction(0))),
        "totalMarginBalance": _dollars(backing),
        "totalAvailableBalance": _dollars(margin.available * rate),
        "totalPerpUPL": _dollars(margin.unrealized * rate),
        "totalInitialMargin": _dollars(margin.initial * rate),
        "totalMaintenanceMargin": _dollars(margin.maintenance * rate),
        "coin": rows,
    }


def _dollars(units: Fraction) -> str:
    return money(divide_half_even(units.numerator, units.denominator))


def _settling_row(state: BybitState, account: Account, margin: AccountMargin) -> Json:
    rate = state.exchange.clearing.coin_price(account.coin)
    return _coin_row(account.coin, margin.wallet) | {
        "equity": money(margin.equity),
        "usdValue": _dollars(margin.equity * rate),
        "borrowAmount": money(max(0, -margin.wallet)) if margin.wallet < 0 else "0",
        "totalOrderIM": money(margin.open_orders),
        "totalPositionIM": money(margin.position),
        "totalPositionMM": money(margin.maintenance),
        "unrealisedPnl": money(margin.unrealized),
        "cumRealisedPnl": money(realized_units(state, account)),
    }


def _collateral_row(coin: str, units: int, rate: Fraction) -> Json:
    return _coin_row(coin, units) | {"usdValue": _dollars(units * rate)}


def _coin_row(coin: str, wallet_units: int) -> Json:
    held = money(wallet_units)
    return {
        "coin": coin,
        "equity": held,
        "usdValue": held,
        "walletBalance": held,
        "availableToWithdraw": "",  # not said of unified accounts any more
        "availableToBorrow": "",
        "borrowAmount": "0",
        "accruedInterest": "0",
        "totalOrderIM": "0",
        "totalPositionIM": "0",
        "totalPositionMM": "0",
        "unrealisedPnl": "0",
        "cumRealisedPnl": "0",
        "bonus": "0",
        "locked": "0",
        "spotHedgingQty": "0",
        "collateralSwitch": True,
        "marginCollateral": True,
        "spotBorrow": "0",
    }


def realized_units(state: BybitState, account: Account) -> int:
    """Return everything positions have realized, with fees and funding."""
    return sum(
        facts.total_units
        for (account_id, _, _), facts in state.positions.items()
        if account_id == account.id
    )

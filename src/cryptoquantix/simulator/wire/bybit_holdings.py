"""Positions and the wallet in Bybit's field names; it changes nothing."""

from __future__ import annotations

from cryptoquantix.simulator.accounts import Account, Holding, Leg, bracket_of
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
    """Return the unified account; a USDT counts as a dollar."""
    clearing = state.exchange.clearing
    margin = clearing.margin(account)
    equity, initial = money(margin.equity), money(margin.initial)
    return {
        "accountType": "UNIFIED",
        "accountIMRate": rate_of(margin.initial, margin.equity),
        "accountMMRate": rate_of(margin.maintenance, margin.equity),
        "accountLTV": "0",
        "totalEquity": equity,
        "totalWalletBalance": money(margin.wallet),
        "totalMarginBalance": equity,
        "totalAvailableBalance": money(margin.available),
        "totalPerpUPL": money(margin.unrealized),
        "totalInitialMargin": initial,
        "totalMaintenanceMargin": money(margin.maintenance),
        "coin": [
            {
                "coin": account.coin,
                "equity": equity,
                "usdValue": equity,
                "walletBalance": money(margin.wallet),
                "availableToWithdraw": "",  # not said of unified accounts any more
                "availableToBorrow": "",
                "borrowAmount": "0",
                "accruedInterest": "0",
                "totalOrderIM": money(margin.open_orders),
                "totalPositionIM": money(margin.position),
                "totalPositionMM": money(margin.maintenance),
                "unrealisedPnl": money(margin.unrealized),
                "cumRealisedPnl": money(realized_units(state, account)),
                "bonus": "0",
                "locked": "0",
                "spotHedgingQty": "0",
                "collateralSwitch": True,
                "marginCollateral": True,
                "spotBorrow": "0",
            }
        ],
    }


def realized_units(state: BybitState, account: Account) -> int:
    """Return everything positions have realized, with fees and funding."""
    return sum(
        facts.total_units
        for (account_id, _, _), facts in state.positions.items()
        if account_id == account.id
    )

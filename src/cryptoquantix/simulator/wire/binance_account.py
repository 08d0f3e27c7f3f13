"""Binance's account, position and settings endpoints; it places no order."""

from __future__ import annotations

import hashlib

from cryptoquantix.simulator.accounts import LEVERAGE_MAX, Leg
from cryptoquantix.simulator.clearing import AccountMargin
from cryptoquantix.simulator.listing import BRACKETS, money_text
from cryptoquantix.simulator.market import Market
from cryptoquantix.simulator.wire.binance_errors import BinanceError
from cryptoquantix.simulator.wire.binance_market import RATE_LIMITS
from cryptoquantix.simulator.wire.binance_payloads import (
    Json,
    PositionView,
    balance_row,
    max_notional,
    ms,
)
from cryptoquantix.simulator.wire.binance_requests import (
    Call,
    Route,
    Security,
    route,
)
from cryptoquantix.simulator.wire.binance_trading import UNSUPPORTED

LISTEN_KEY_LIFE_NS = 3_600 * 1_000_000_000


def account_v3(call: Call) -> Json:
    """Return balances, margins, and the symbols with a position or an order."""
    account = call.exchange.clearing.accounts[call.account_id]
    margin = call.exchange.clearing.margin(account)
    asset = _asset(call, margin)
    del asset["marginAvailable"]
    return _totals(margin) | {
        "assets": [asset],
        "positions": [view.account_v3() for view in _views(call, active=True)],
    }


def account_v2(call: Call) -> Json:
    """Return balances, margins, and every symbol."""
    account = call.exchange.clearing.accounts[call.account_id]
    margin = call.exchange.clearing.margin(account)
    flags = {
        "feeTier": 0,
        "canTrade": True,
        "canDeposit": True,
        "canWithdraw": False,
        "updateTime": 0,
        "multiAssetsMargin": False,
        "tradeGroupId": -1,
    }
    return (
        flags
        | _totals(margin)
        | {
            "assets": [_asset(call, margin)],
            "positions": [view.account_v2() for view in _views(call, active=False)],
        }
    )


def _totals(margin: AccountMargin) -> Json:
    return {
        "totalInitialMargin": money_text(margin.initial),
        "totalMaintMargin": money_text(margin.maintenance),
        "totalWalletBalance": money_text(margin.wallet),
        "totalUnrealizedProfit": money_text(margin.unrealized),
        "totalMarginBalance": money_text(margin.equity),
        "totalPositionInitialMargin": money_text(margin.position),
        "totalOpenOrderInitialMargin": money_text(margin.open_orders),
        "totalCrossWalletBalance": money_text(margin.wallet),
        "totalCrossUnPnl": money_text(margin.unrealized),
        "availableBalance": money_text(margin.available),
        "maxWithdrawAmount": money_text(min(margin.available, max(0, margin.wallet))),
    }


def _asset(call: Call, margin: AccountMargin) -> Json:
    account = call.exchange.clearing.accounts[call.account_id]
    return {
        "asset": account.coin,
        "walletBalance": money_text(margin.wallet),
        "unrealizedProfit": money_text(margin.unrealized),
        "marginBalance": money_text(margin.equity),
        "maintMargin": money_text(margin.maintenance),
        "initialMargin": money_text(margin.initial),
        "positionInitialMargin": money_text(margin.position),
        "openOrderInitialMargin": money_text(margin.open_orders),
        "crossWalletBalance": money_text(margin.wallet),
        "crossUnPnl": money_text(margin.unrealized),
        "availableBalance": money_text(margin.available),
        "maxWithdrawAmount": money_text(min(margin.available, max(0, margin.wallet))),
        "marginAvailable": True,
        "updateTime": ms(account.update_time_ns),
    }


def _views(call: Call, *, active: bool) -> list[PositionView]:
    """
    Return positions by symbol and leg, with ``active`` only those held or ordered.

    Without, a symbol has only BOTH in one-way mode, and all three in hedge mode.
    """
    clearing = call.exchange.clearing
    account = clearing.accounts[call.account_id]

    def is_active(market: Market, leg: Leg) -> bool:
        return bool(account.size_lots(market.listing.symbol, leg)) or any(
            o.account_id == account.id and o.request.leg is leg
            for o in market.open_orders.values()
        )

    def legs(symbol: str) -> tuple[Leg, ...]:
        is_whole = not active and account.is_hedged(symbol)
        return tuple(Leg) if is_whole else account.legs(symbol)

    return [
        PositionView(clearing, account, market, leg)
        for market in call.markets()
        for leg in legs(market.listing.symbol)
        if not active or is_active(market, leg)
    ]


def balance(call: Call) -> list[Json]:
    """Return the wallet, coin by coin (there is one)."""
    account = call.exchange.clearing.accounts[call.account_id]
    return [balance_row(call.exchange.clearing, account)]


def position_risk_v3(call: Call) -> list[Json]:
    """Return the symbols with a position or an open order."""
    return [view.risk_v3() for view in _views(call, active=True)]


def position_risk_v2(call: Call) -> list[Json]:
    """Return every symbol."""
    return [view.risk_v2() for view in _views(call, active=False)]


def income(call: Call) -> list[Json]:
    """Return the wallet's bookings, oldest first."""
    account = call.exchange.clearing.accounts[call.account_id]
    parameters = call.parameters
    kind = parameters.values.get("incomeType")
    symbol = parameters.values.get("symbol")
    start, end = parameters.time_ns("startTime"), parameters.time_ns("endTime")
    limit = parameters.limit(100, 1000)
    found = [
        b
        for b in account.income
        if kind in {None, "", b.kind}
        and symbol in {None, "", b.symbol}
        and (start is None or b.time_ns >= start)
        and (end is None or b.time_ns < end + 1_000_000)
    ]
    return [
        {
            "symbol": b.symbol,
            "incomeType": b.kind,
            "income": money_text(b.units),
            "asset": account.coin,
            "info": b.kind,
            "time": ms(b.time_ns),
            "tranId": b.id,
            "tradeId": str(b.trade_id) if b.trade_id else "",
        }
        for b in (found[:limit] if start is not None else found[-limit:])
    ]


def commission_rate(call: Call) -> Json:
    """Return the fee rates of a symbol."""
    listing = call.market().listing
    return {
        "symbol": listing.symbol,
        "makerCommissionRate": str(listing.fee_rate_maker),
        "takerCommissionRate": str(listing.fee_rate_taker),
    }


def leverage_brackets(call: Call) -> list[Json] | Json:
    """Return the maintenance-margin table of one symbol or of all."""
    rows = [
        {
            "symbol": market.listing.symbol,
            "notionalCoef": 1.0,
            "brackets": [
                {
                    "bracket": number,
                    "initialLeverage": bracket.leverage_max,
                    "notionalCap": bracket.cap,
                    "notionalFloor": bracket.floor,
                    "maintMarginRatio": bracket.rate_bps / 10_000,
                    "cum": float(bracket.cumulative),
                }
                for number, bracket in enumerate(BRACKETS, 1)
            ],
        }
        for market in call.markets()
    ]
    return rows[0] if call.parameters.values.get("symbol") else rows


def position_mode(call: Call) -> Json:
    """Return whether the account is in hedge mode."""
    return {"dualSidePosition": call.account.is_hedged_by_default}


def set_position_mode(call: Call) -> Json:
    """
    Change between one-way and hedge mode, of every symbol at once.

    Raises
    ------
    BinanceError
        -4059 if it is that already, -4067 with orders open, -4068 with positions.
    """
    call.parameters.text("dualSidePosition")
    is_hedged = call.parameters.flag("dualSidePosition")
    is_change = is_hedged is not call.account.is_hedged_by_default
    has_orders = call.exchange.open_algo_count(call.account_id) or any(
        order.account_id == call.account_id
        for market in call.markets()
        for order in market.open_orders.values()
    )
    if is_change and has_orders:
        msg = "Position side cannot be changed if there exists open orders."
        raise BinanceError(-4067, msg)
    call.exchange.set_position_mode(
        call.account_id, is_hedged=is_hedged, time_ns=call.time_ns
    )
    return {"code": 200, "msg": "success"}


def set_leverage(call: Call) -> Json:
    """Set a symbol's leverage."""
    symbol = call.market().listing.symbol
    leverage = call.parameters.integer("leverage")
    if not 1 <= leverage <= LEVERAGE_MAX:
        raise BinanceError(-4028, f"Leverage {leverage} is not valid")
    call.exchange.set_leverage(call.account_id, symbol, leverage, call.time_ns)
    return {
        "leverage": leverage,
        "maxNotionalValue": max_notional(leverage),
        "symbol": symbol,
    }


def set_margin_type(call: Call) -> Json:
    """Refuse isolated margin, which is not simulated; cross is no change."""
    call.market()
    kind = call.parameters.choice("marginType", {"CROSSED", "ISOLATED"})
    if kind == "ISOLATED":
        raise BinanceError(UNSUPPORTED.code, UNSUPPORTED.text)
    raise BinanceError(-4046, "No need to change margin type.")


def symbol_config(call: Call) -> list[Json]:
    """Return margin type and leverage of one symbol or of all."""
    account = call.exchange.clearing.accounts[call.account_id]
    rows = []
    for market in call.markets():
        leverage = account.leverage_of(market.listing)
        rows.append(
            {
                "symbol": market.listing.symbol,
                "marginType": "CROSSED",
                "isAutoAddMargin": False,
                "leverage": leverage,
                "maxNotionalValue": max_notional(leverage),
            }
        )
    return rows


def multi_assets_mode(call: Call) -> Json:
    """Return that there is one margin coin."""
    del call
    return {"multiAssetsMargin": False}


def account_config(call: Call) -> Json:
    """Return what the account may do and how it is set."""
    return {
        "feeTier": 0,
        "canTrade": True,
        "canDeposit": True,
        "canWithdraw": False,
        "dualSidePosition": call.account.is_hedged_by_default,
        "updateTime": 0,
        "multiAssetsMargin": False,
        "tradeGroupId": -1,
    }


def order_limits(call: Call) -> list[Json]:
    """Return how many orders the account may send."""
    del call
    return [row for row in RATE_LIMITS if row["rateLimitType"] == "ORDERS"]


def open_listen_key(call: Call) -> Json:
    """Return the account's listen key, valid for an hour from now."""
    state = call.state
    owned = [
        k for k, (owner, _) in state.listen_keys.items() if owner == call.account_id
    ]
    if owned:
        key = owned[0]
    else:
        state.listen_keys_made += 1
        text = f"{state.listen_key_seed}/{state.listen_keys_made}"
        key = hashlib.sha256(text.encode()).hexdigest()
    state.listen_keys[key] = call.account_id, call.time_ns + LISTEN_KEY_LIFE_NS
    return {"listenKey": key}


def keep_listen_key(call: Call) -> Json:
    """Prolong the account's listen key by an hour; -1125 if there is none."""
    for key, (account_id, _) in call.state.listen_keys.items():
        if account_id == call.account_id:
            expiry = call.time_ns + LISTEN_KEY_LIFE_NS
            call.state.listen_keys[key] = account_id, expiry
            return {"listenKey": key}
    raise BinanceError(-1125, "This listenKey does not exist.")


def close_listen_key(call: Call) -> Json:
    """Drop the account's listen key."""
    keys = call.state.listen_keys
    for key in [k for k, (account, _) in keys.items() if account == call.account_id]:
        del keys[key]
    return {}


_KEY = Security.KEY
ROUTES: dict[tuple[str, str], Route] = {
    ("GET", "/fapi/v3/account"): route(account_v3, weight=5),
    ("GET", "/fapi/v2/account"): route(account_v2, weight=5),
    ("GET", "/fapi/v3/balance"): route(balance, weight=5),
    ("GET", "/fapi/v2/balance"): route(balance, weight=5),
    ("GET", "/fapi/v3/positionRisk"): route(position_risk_v3, "symbol", weight=5),
    ("GET", "/fapi/v2/positionRisk"): route(position_risk_v2, "symbol", weight=5),
    ("GET", "/fapi/v1/income"): route(
        income, "symbol incomeType startTime endTime page limit", weight=30
    ),
    ("GET", "/fapi/v1/commissionRate"): route(commission_rate, "symbol", weight=20),
    ("GET", "/fapi/v1/leverageBracket"): route(leverage_brackets, "symbol"),
    ("GET", "/fapi/v1/positionSide/dual"): route(position_mode, weight=30),
    ("POST", "/fapi/v1/positionSide/dual"): route(
        set_position_mode, "dualSidePosition"
    ),
    ("POST", "/fapi/v1/leverage"): route(set_leverage, "symbol leverage"),
    ("POST", "/fapi/v1/marginType"): route(set_margin_type, "symbol marginType"),
    ("GET", "/fapi/v1/symbolConfig"): route(symbol_config, "symbol", weight=5),
    ("GET", "/fapi/v1/multiAssetsMargin"): route(multi_assets_mode, weight=30),
    ("GET", "/fapi/v1/accountConfig"): route(account_config, weight=5),
    ("GET", "/fapi/v1/rateLimit/order"): route(order_limits),
    ("POST", "/fapi/v1/listenKey"): route(open_listen_key, "listenKey", security=_KEY),
    ("PUT", "/fapi/v1/listenKey"): route(keep_listen_key, "listenKey", security=_KEY),
    ("DELETE", "/fapi/v1/listenKey"): route(
        close_listen_key, "listenKey", security=_KEY
    ),
}

"""Bybit's account, position-setting and asset endpoints."""

from __future__ import annotations

from cryptoquantix.simulator.accounts import Account
from cryptoquantix.simulator.wire.bybit_dead_man import dcp_info, set_dead_man
from cryptoquantix.simulator.wire.bybit_errors import BybitError, bad_parameter
from cryptoquantix.simulator.wire.bybit_holdings import position_json, wallet_json
from cryptoquantix.simulator.wire.bybit_ids import (
    ms_text,
    trimmed,
)
from cryptoquantix.simulator.wire.bybit_requests import (
    Call,
    Json,
    Result,
    Route,
    page,
    route,
)

MARGIN_MODES = {"REGULAR_MARGIN", "ISOLATED_MARGIN", "PORTFOLIO_MARGIN"}
UNIFIED_STATUS = 6  # a unified account of the second generation, "pro"
NEVER_EXPIRES = "2099-01-01T00:00:00Z"


def _account(call: Call) -> Account:
    return call.exchange.clearing.accounts[call.account_id]


# Positions and their settings.


def position_list(call: Call) -> Json:
    """Return one symbol's positions, flat ones too; or all that are open."""
    account, parameters = _account(call), call.parameters
    limit = parameters.limit(20, 200)
    rows: list[tuple[int, Json]] = []
    for number, market in enumerate(call.markets(), 1):
        symbol = market.listing.symbol
        for leg in account.legs(symbol):
            if account.size_lots(symbol, leg) or "symbol" in parameters.values:
                row = position_json(call.state, account, market, leg)
                rows.append((-(number * 4 + row["positionIdx"]), row))
    shown, cursor = page(rows, call, limit)
    return {"category": call.category(), "list": shown, "nextPageCursor": cursor}


def set_leverage(call: Call) -> Json:
    """Set one leverage for both sides; 110043 if it is that already."""
    market, parameters, account = call.market(), call.parameters, _account(call)
    buy, sell = parameters.decimal("buyLeverage"), parameters.decimal("sellLeverage")
    if buy != sell:
        raise bad_parameter(text="buyLeverage must equal sellLeverage")
    if buy != int(buy) or not 1 <= buy <= market.listing.brackets[0].leverage_max:
        raise BybitError(110013, "cannot set leverage due to risk limit")
    if int(buy) == account.leverage_of(market.listing):
        raise BybitError(110043, "leverage not modified")
    symbol = market.listing.symbol
    call.exchange.set_leverage(account.id, symbol, int(buy), call.time_ns)
    return {}


def switch_mode(call: Call) -> Json:
    """Set one-way (0) or hedge mode (3) of a symbol or of a coin's instruments."""
    parameters, account = call.parameters, _account(call)
    is_hedged = parameters.choice("mode", {"0", "3"}) == "3"
    if "symbol" in parameters.values:
        markets = [call.market()]
    else:
        coin = parameters.text("coin")
        markets = [
            m for m in call.exchange.markets.values() if m.listing.settlement == coin
        ]
    changed = [m for m in markets if account.is_hedged(m.listing.symbol) != is_hedged]
    if not changed:
        raise BybitError(110025, "Position mode is not modified")
    for market in changed:
        call.exchange.set_position_mode(
            account.id,
            is_hedged=is_hedged,
            symbol=market.listing.symbol,
            time_ns=call.time_ns,
        )
    return {}


# The account.


def account_info(call: Call) -> Json:
    """Return margin mode, status and disconnection protection."""
    dead_man = call.state.dead_men.get(call.account_id)
    return {
        "marginMode": "REGULAR_MARGIN",
        "updatedTime": ms_text(_account(call).update_time_ns),
        "unifiedMarginStatus": UNIFIED_STATUS,
        "dcpStatus": "ON" if dead_man else "OFF",
        "timeWindow": dead_man.window_seconds if dead_man else 10,
        "smpGroup": 0,
        "isMasterTrader": False,
        "spotHedgingStatus": "OFF",
    }


def set_margin_mode(call: Call) -> Json:
    """Keep cross margin; the other modes are not simulated."""
    mode = call.parameters.choice("setMarginMode", MARGIN_MODES)
    if mode != "REGULAR_MARGIN":
        raise BybitError(3400045, "Set margin mode failed: only cross is simulated")
    return {"reasons": []}


def wallet_balance(call: Call) -> Json:
    """Return the unified account's wallet."""
    call.parameters.choice("accountType", {"UNIFIED"})
    coin = call.parameters.values.get("coin")
    row = wallet_json(call.state, _account(call))
    if coin is not None:
        wanted = str(coin).split(",")
        row["coin"] = [c for c in row["coin"] if c["coin"] in wanted]
    return {"list": [row]}


def fee_rate(call: Call) -> Json:
    """Return maker and taker fee rates."""
    category = call.category()
    markets = list(call.exchange.markets.values()) if category == "linear" else []
    if "symbol" in call.parameters.values:
        markets = [call.market()]
    return {
        "list": [
            {
                "symbol": m.listing.symbol,
                "takerFeeRate": trimmed(f"{m.listing.fee_rate_taker:f}"),
                "makerFeeRate": trimmed(f"{m.listing.fee_rate_maker:f}"),
            }
            for m in markets
        ]
    }


def query_api(call: Call) -> Json:
    """Return what the key may do: trade, never withdraw or transfer."""
    return {
        "id": str(call.account_id),
        "note": call.role,
        "apiKey": call.key,
        "readOnly": 0,
        "secret": "",
        "permissions": {
            "ContractTrade": ["Order", "Position"],
            "Spot": [],
            "Wallet": [],
            "Options": [],
            "Derivatives": ["DerivativesTrade"],
            "CopyTrading": [],
            "BlockTrade": [],
            "Exchange": [],
            "NFT": [],
            "Affiliate": [],
            "Earn": [],
        },
        "ips": ["*"],
        "type": 1,
        "deadlineDay": -1,
        "expiredAt": NEVER_EXPIRES,
        "createdAt": "2024-01-01T00:00:00Z",
        "unified": 0,
        "uta": 1,
        "userID": call.account_id,
        "inviterID": 0,
        "vipLevel": "No VIP",
        "mktMakerLevel": "0",
        "affiliateID": 0,
        "rsaPublicKey": "",
        "isMaster": True,
        "parentUid": "0",
        "kycLevel": "LEVEL_DEFAULT",
        "kycRegion": "",
    }


# The disconnection protection.


def set_dead_man_window(call: Call) -> Result:
    """Switch the disconnection protection on."""
    parameters = call.parameters
    parameters.choice("product", {"DERIVATIVES", "OPTIONS", "SPOT"}, "OPTIONS")
    seconds = parameters.integer("timeWindow")
    if not 3 <= seconds <= 300:
        raise bad_parameter(text="timeWindow must be 3 to 300 seconds")
    if parameters.text("product", "OPTIONS") == "DERIVATIVES":
        set_dead_man(call.state, call.account_id, seconds)
    return Result({}, {})


def query_dead_man(call: Call) -> Json:
    """Return the disconnection protection of each product."""
    return {"dcpInfos": dcp_info(call.state, call.account_id)}


ROUTES: dict[tuple[str, str], Route] = {
    ("GET", "/v5/position/list"): route(
        position_list, "category symbol baseCoin settleCoin limit cursor", limit=50
    ),
    ("POST", "/v5/position/set-leverage"): route(
        set_leverage, "category symbol buyLeverage sellLeverage", limit=10
    ),
    ("POST", "/v5/position/switch-mode"): route(
        switch_mode, "category symbol coin mode", limit=10
    ),
    ("GET", "/v5/account/info"): route(account_info, limit=50),
    ("POST", "/v5/account/set-margin-mode"): route(
        set_margin_mode, "setMarginMode", limit=5
    ),
    ("GET", "/v5/account/wallet-balance"): route(
        wallet_balance, "accountType coin", limit=50
    ),
    ("GET", "/v5/account/fee-rate"): route(
        fee_rate, "category symbol baseCoin", limit=10
    ),
    ("GET", "/v5/account/query-dcp-info"): route(query_dead_man, limit=10),
    ("POST", "/v5/order/disconnected-cancel-all"): route(
        set_dead_man_window, "product timeWindow", limit=5
    ),
    ("GET", "/v5/user/query-api"): route(query_api, limit=10),
}

"""Bybit's account, position-setting and asset endpoints."""

from __future__ import annotations

from collections.abc import Iterator

from cryptoquantix.simulator.accounts import Account, Booking
from cryptoquantix.simulator.orders import FillDetail
from cryptoquantix.simulator.wire.bybit_dead_man import dcp_info, set_dead_man
from cryptoquantix.simulator.wire.bybit_errors import BybitError, bad_parameter
from cryptoquantix.simulator.wire.bybit_holdings import position_json, wallet_json
from cryptoquantix.simulator.wire.bybit_ids import (
    EXECUTION,
    link_id_text,
    money,
    ms_text,
    trimmed,
    uuid_text,
)
from cryptoquantix.simulator.wire.bybit_orders import order_id, side_text
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


# The ledger.


def transaction_log(call: Call) -> Json:
    """Return every change of the wallet, newest first."""
    parameters, account = call.parameters, _account(call)
    limit = parameters.limit(20, 50)
    start, end = parameters.time_ns("startTime"), parameters.time_ns("endTime")
    wanted = parameters.values.get("type")
    coin = parameters.values.get("currency", account.coin)
    symbols = _base_symbols(call)
    rows = [
        (number, row)
        for number, time_ns, row in _ledger(call, account)
        if (start is None or time_ns >= start)
        and (end is None or time_ns < end + 1_000_000)
        and wanted in {None, row["type"]}
        and coin == row["currency"]
        and (symbols is None or row["symbol"] in symbols)
    ]
    shown, cursor = page(rows, call, limit)
    return {"list": shown, "nextPageCursor": cursor}


def _base_symbols(call: Call) -> set[str] | None:
    if "baseCoin" not in call.parameters.values:
        return None
    base = call.parameters.text("baseCoin")
    markets = call.exchange.markets.values()
    return {m.listing.symbol for m in markets if m.listing.base == base}


def _ledger(call: Call, account: Account) -> Iterator[tuple[int, int, Json]]:
    """Yield (number, time, row), newest first; a fill's bookings are one row."""
    fills = {f.trade_id: f for f in call.exchange.clearing.fills[account.id]}
    wallet = account.wallet_units
    pending: list[Booking] = []
    for booking in reversed(account.income):
        if pending and booking.trade_id != pending[-1].trade_id:
            yield _ledger_row(call, pending, wallet, fills)
            wallet -= sum(b.units for b in pending)
            pending = []
        pending.append(booking)
        if not booking.trade_id:
            yield _ledger_row(call, pending, wallet, fills)
            wallet -= booking.units
            pending = []
    if pending:
        yield _ledger_row(call, pending, wallet, fills)


def _ledger_row(
    call: Call, bookings: list[Booking], wallet: int, fills: dict[int, FillDetail]
) -> tuple[int, int, Json]:
    last = bookings[0]
    by_kind = {b.kind: b.units for b in bookings}
    change = sum(by_kind.values())
    kind = _ledger_kind(last.kind, change)
    fill = fills.get(last.trade_id) if last.trade_id else None
    cash = by_kind.get("REALIZED_PNL", 0)
    if kind.startswith("TRANSFER"):
        cash = change
    row = {
        "id": f"{call.account_id}_{last.symbol}_{last.id}",
        "symbol": last.symbol,
        "category": "linear" if last.symbol else "",
        "side": "None",
        "transactionTime": ms_text(last.time_ns),
        "type": kind,
        "transSubType": "",
        "qty": "0",
        "size": "0",
        "currency": last.coin or "USDT",
        "tradePrice": "0",
        "funding": money(by_kind.get("FUNDING_FEE", 0))
        if "FUNDING_FEE" in by_kind
        else "",
        "fee": money(-by_kind.get("COMMISSION", 0)),
        "cashFlow": money(cash),
        "change": money(change),
        "cashBalance": money(wallet),
        "feeRate": "",
        "bonusChange": "",
        "tradeId": "",
        "orderId": "",
        "orderLinkId": "",
        "extraFees": "",
    }
    if fill is not None:
        row |= _fill_fields(call, fill)
    return last.id, last.time_ns, row


def _ledger_kind(kind: str, change: int) -> str:
    if kind == "TRANSFER":
        return "TRANSFER_IN" if change > 0 else "TRANSFER_OUT"
    return "SETTLEMENT" if kind == "FUNDING_FEE" else "TRADE"


def _fill_fields(call: Call, fill: FillDetail) -> Json:
    listing, request = fill.order.listing, fill.order.request
    rate = listing.fee_rate_maker if fill.is_maker else listing.fee_rate_taker
    return {
        "side": side_text(request.side),
        "qty": listing.size_text(fill.size_lots),
        "size": listing.size_text(fill.position_after),
        "tradePrice": listing.price_text(fill.price_ticks),
        "feeRate": trimmed(f"{rate:f}") if fill.fee_units else "0",
        "tradeId": uuid_text(EXECUTION, fill.trade_id),
        "orderId": order_id(call.state, fill.order),
        "orderLinkId": link_id_text(request),
    }


# Assets. Money comes from and goes to the owner's funding account.


def transfers(call: Call) -> Json:
    """Return what moved between the funding and the unified account."""
    parameters, account = call.parameters, _account(call)
    limit = parameters.limit(20, 50)
    start, end = parameters.time_ns("startTime"), parameters.time_ns("endTime")
    coin = parameters.values.get("coin", account.coin)
    rows = [
        (b.id, _transfer_row(b, account.coin))
        for b in account.income
        if b.kind == "TRANSFER"
        and coin == (b.coin or account.coin)
        and (start is None or b.time_ns >= start)
        and (end is None or b.time_ns < end + 1_000_000)
    ]
    shown, cursor = page(rows, call, limit)
    return {"list": shown, "nextPageCursor": cursor}


def _transfer_row(booking: Booking, coin: str) -> Json:
    ways = ("FUND", "UNIFIED") if booking.units > 0 else ("UNIFIED", "FUND")
    return {
        "transferId": f"selfTransfer_{booking.id}",
        "coin": booking.coin or coin,
        "amount": money(abs(booking.units)),
        "fromAccountType": ways[0],
        "toAccountType": ways[1],
        "timestamp": ms_text(booking.time_ns),
        "status": "SUCCESS",
    }


def no_records(call: Call) -> Json:
    """Return an empty list: nothing comes from or leaves for the chain."""
    call.parameters.limit(50, 50)
    return {"rows": [], "nextPageCursor": ""}


def coin_info(call: Call) -> Json:
    """Return the settlement coin; no chain carries it in or out."""
    account = _account(call)
    wanted = call.parameters.values.get("coin", account.coin)
    chain = {
        "chainType": "Ethereum",
        "confirmation": "6",
        "withdrawFee": "",
        "depositMin": "0",
        "withdrawMin": "0",
        "chain": "ETH",
        "chainDeposit": "0",
        "chainWithdraw": "0",
        "minAccuracy": "8",
        "withdrawPercentageFee": "0",
        "contractAddress": "",
    }
    row = {
        "name": account.coin,
        "coin": account.coin,
        "remainAmount": "0",
        "chains": [chain],
    }
    return {"rows": [row] if wanted == account.coin else []}


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


_PERIOD = "startTime endTime limit cursor"
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
    ("GET", "/v5/account/transaction-log"): route(
        transaction_log,
        "accountType category currency baseCoin type transSubType " + _PERIOD,
        limit=50,
    ),
    ("GET", "/v5/account/fee-rate"): route(
        fee_rate, "category symbol baseCoin", limit=10
    ),
    ("GET", "/v5/account/query-dcp-info"): route(query_dead_man, limit=10),
    ("POST", "/v5/order/disconnected-cancel-all"): route(
        set_dead_man_window, "product timeWindow", limit=5
    ),
    ("GET", "/v5/user/query-api"): route(query_api, limit=10),
    ("GET", "/v5/asset/coin/query-info"): route(coin_info, "coin", limit=5),
    ("GET", "/v5/asset/deposit/query-record"): route(
        no_records, "id txID coin " + _PERIOD, limit=5
    ),
    ("GET", "/v5/asset/withdraw/query-record"): route(
        no_records, "withdrawID txID coin withdrawType " + _PERIOD, limit=5
    ),
    ("GET", "/v5/asset/transfer/query-inter-transfer-list"): route(
        transfers, "transferId coin status " + _PERIOD, limit=5
    ),
}

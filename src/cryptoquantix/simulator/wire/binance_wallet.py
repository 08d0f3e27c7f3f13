"""
Binance's wallet endpoints (``/sapi``): coins, transfers, what a key may do.

The simulator has a futures account only. Money comes in and goes out by transfers
between it and a spot wallet that is not simulated: deposits to and withdrawals from
that wallet are empty lists, and nothing here moves money.
"""

from __future__ import annotations

from cryptoquantix.simulator.listing import money_text
from cryptoquantix.simulator.wire.binance_errors import BinanceError
from cryptoquantix.simulator.wire.binance_payloads import Json, ms
from cryptoquantix.simulator.wire.binance_requests import Call, Route, Security, route

TRANSFER_IN, TRANSFER_OUT = "MAIN_UMFUTURE", "UMFUTURE_MAIN"
TRANSFER_TYPES = {TRANSFER_IN: 1, TRANSFER_OUT: -1}
OTHER_WALLETS = {"FUNDING", "CMFUTURE", "MARGIN", "OPTION", "ISOLATEDMARGIN"}


def api_restrictions(call: Call) -> Json:
    """Return what the key may do: read and trade futures, never withdraw."""
    return {
        "ipRestrict": False,
        "createTime": call.time_ms,
        "enableReading": True,
        "enableSpotAndMarginTrading": False,
        "enableWithdrawals": False,
        "enableInternalTransfer": False,
        "enableMargin": False,
        "enableFutures": True,
        "permitsUniversalTransfer": False,
        "enableVanillaOptions": False,
        "enablePortfolioMarginTrading": False,
        "enableFixApiTrade": False,
        "enableFixReadOnly": False,
    }


def coins(call: Call) -> list[Json]:
    """Return every coin, none of which can be deposited or withdrawn here."""
    markets = call.exchange.markets.values()
    names = {m.listing.quote for m in markets} | {m.listing.base for m in markets}
    zeros = ("free", "locked", "freeze", "withdrawing", "ipoing", "ipoable", "storage")
    return [
        {
            "coin": name,
            "name": name,
            "depositAllEnable": False,
            "withdrawAllEnable": False,
            "isLegalMoney": False,
            "trading": True,
            "networkList": [_network(name)],
        }
        | dict.fromkeys(zeros, "0")
        for name in sorted(names)
    ]


def _network(coin: str) -> Json:
    return {
        "network": "SIM",
        "coin": coin,
        "name": "Simulated",
        "isDefault": True,
        "depositEnable": False,
        "withdrawEnable": False,
        "withdrawFee": "0",
        "withdrawMin": "0",
        "withdrawMax": "0",
        "withdrawIntegerMultiple": "0.00000001",
        "addressRegex": "",
        "memoRegex": "",
        "minConfirm": 1,
        "unLockConfirm": 0,
        "sameAddress": False,
        "busy": False,
    }


def margin_pairs(call: Call) -> list[Json]:
    """Return pairs of the margin market, none of which trades here."""
    return [
        {
            "id": number,
            "symbol": market.listing.symbol,
            "base": market.listing.base,
            "quote": market.listing.quote,
            "isMarginTrade": False,
            "isBuyAllowed": False,
            "isSellAllowed": False,
        }
        for number, market in enumerate(call.exchange.markets.values(), 1)
    ]


def no_records(call: Call) -> list[Json]:
    """Return an empty history: the spot wallet is not simulated."""
    del call
    return []


def transfers(call: Call) -> Json:
    """Return transfers into or out of the futures account, newest first."""
    kind = call.parameters.text("type")
    sign = TRANSFER_TYPES.get(kind, 0)
    if not sign and not set(kind.split("_")) & OTHER_WALLETS:
        raise BinanceError(-1130, "Data sent for parameter 'type' is not valid.")
    account = call.exchange.clearing.accounts[call.account_id]
    start, end = (
        call.parameters.time_ns("startTime"),
        call.parameters.time_ns("endTime"),
    )
    size = call.parameters.integer("size", 10)
    page = call.parameters.integer("current", 1)
    if not 1 <= size <= 100 or page < 1:
        raise BinanceError(-1130, "Data sent for parameter 'size' is not valid.")
    found = [
        b
        for b in reversed(account.income)
        if b.kind == "TRANSFER"
        and b.units * sign > 0
        and (start is None or b.time_ns >= start)
        and (end is None or b.time_ns < end + 1_000_000)
    ]
    return {
        "total": len(found),
        "rows": [
            {
                "asset": account.coin,
                "amount": money_text(abs(b.units)),
                "type": kind,
                "status": "CONFIRMED",
                "tranId": b.id,
                "timestamp": ms(b.time_ns),
            }
            for b in found[(page - 1) * size : page * size]
        ],
    }


_RECORDS = "coin startTime endTime offset limit status"
_SIGNED = Security.SIGNED
# Each path of /sapi has a limit of its own; a weight below zero counts for the account.
ROUTES: dict[tuple[str, str], Route] = {
    ("GET", "/sapi/v1/account/apiRestrictions"): route(api_restrictions, weight=1),
    ("GET", "/sapi/v1/capital/config/getall"): route(coins, weight=10),
    ("GET", "/sapi/v1/margin/allPairs"): route(
        margin_pairs, "symbol", security=Security.KEY, weight=1
    ),
    ("GET", "/sapi/v1/capital/deposit/hisrec"): route(
        no_records, f"{_RECORDS} includeSource txId", weight=1
    ),
    ("GET", "/sapi/v1/capital/withdraw/history"): route(
        no_records, f"{_RECORDS} withdrawOrderId idList", weight=-18_000
    ),
    ("GET", "/sapi/v1/asset/transfer"): route(
        transfers,
        # The last two are ccxt's own; it sends them along, and they say nothing new.
        "type startTime endTime current size fromSymbol toSymbol fromAccount toAccount",
        weight=1,
    ),
}

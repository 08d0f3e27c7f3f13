"""
Binance's wallet endpoints (``/sapi``): coins, transfers, what a key may do.

The simulator has a futures account only. Money comes in and goes out by transfers
between it and a spot wallet that is not simulated: its deposits and withdrawals are
what the operator moved between venues, and nothing here moves money.
"""

from __future__ import annotations

from datetime import UTC, datetime

from cryptoquantix.simulator.accounts import ChainMove
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


def _moves(call: Call, sign: int) -> list[ChainMove]:
    coin = call.parameters.values.get("coin")
    start = call.parameters.time_ns("startTime")
    end = call.parameters.time_ns("endTime")
    offset = call.parameters.integer("offset", 0)
    limit = call.parameters.limit(1000, 1000)
    found = call.exchange.clearing.chain_of(call.account_id, sign, start, end)
    found = [m for m in found if coin in {None, m.coin}]
    return found[max(0, offset) : max(0, offset) + limit]


def deposits(call: Call) -> list[Json]:
    """Return what came from other venues, newest first."""
    return [
        {
            "id": str(m.id),
            "amount": money_text(m.units),
            "coin": m.coin,
            "network": "SIM",
            "status": 1,
            "address": "simulated",
            "addressTag": "",
            "txId": m.hash,
            "insertTime": ms(m.time_ns),
            "completeTime": ms(m.time_ns),
            "transferType": 0,
            "confirmTimes": "1/1",
            "unlockConfirm": 0,
            "walletType": 0,
        }
        for m in _moves(call, 1)
    ]


def withdrawals(call: Call) -> list[Json]:
    """Return what went to other venues, newest first."""
    return [
        {
            "id": f"{m.id:032x}",
            "amount": money_text(-m.units),
            "transactionFee": "0",
            "coin": m.coin,
            "status": 6,
            "address": "simulated",
            "txId": m.hash,
            "applyTime": utc_text(m.time_ns),
            "network": "SIM",
            "transferType": 0,
            "withdrawOrderId": "",
            "info": "",
            "confirmNo": 1,
            "walletType": 0,
            "txKey": "",
            "completeTime": utc_text(m.time_ns),
        }
        for m in _moves(call, -1)
    ]


def utc_text(time_ns: int) -> str:
    """
    Return a time as the wallet's records write it.

    Examples
    --------
    >>> utc_text(1_700_000_000_000_000_000)
    '2023-11-14 22:13:20'
    """
    return f"{datetime.fromtimestamp(time_ns // 10**9, UTC):%Y-%m-%d %H:%M:%S}"


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
        deposits, f"{_RECORDS} includeSource txId", weight=1
    ),
    ("GET", "/sapi/v1/capital/withdraw/history"): route(
        withdrawals, f"{_RECORDS} withdrawOrderId idList", weight=-18_000
    ),
    ("GET", "/sapi/v1/asset/transfer"): route(
        transfers,
        # The last two are ccxt's own; it sends them along, and they say nothing new.
        "type startTime endTime current size fromSymbol toSymbol fromAccount toAccount",
        weight=1,
    ),
}

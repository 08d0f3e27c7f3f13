"""Bybit's ledger of the wallet, and transfers into and out of it; it books nothing."""

from __future__ import annotations

from collections.abc import Iterator

from cryptoquantix.core.clock import NS_PER_DAY
from cryptoquantix.simulator.accounts import Account, Booking, ChainMove
from cryptoquantix.simulator.orders import FillDetail
from cryptoquantix.simulator.wire.bybit_errors import bad_parameter
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
    Route,
    page,
    route,
)


def _account(call: Call) -> Account:
    return call.exchange.clearing.accounts[call.account_id]


def transaction_log(call: Call) -> Json:
    """Return every change of the wallet, newest first."""
    parameters, account = call.parameters, _account(call)
    limit = parameters.limit(20, 50)
    start, end = _ledger_span(call)
    wanted = parameters.values.get("type")
    coin = parameters.values.get("currency")
    symbols = _base_symbols(call)
    rows = [
        (number, row)
        for number, time_ns, row in _ledger(call, account)
        if start <= time_ns < end + 1_000_000
        and wanted in {None, row["type"]}
        and coin in {None, row["currency"]}
        and (symbols is None or row["symbol"] in symbols)
    ]
    shown, cursor = page(rows, call, limit)
    return {"list": shown, "nextPageCursor": cursor}


def _ledger_span(call: Call) -> tuple[int, int]:
    """
    Return from when to when, in nanoseconds: a day where one end is not told.

    Of both ends the venue takes a week at most.
    """
    start = call.parameters.time_ns("startTime")
    end = call.parameters.time_ns("endTime")
    if start is None:
        end = call.time_ns if end is None else end
        return end - NS_PER_DAY, end
    if end is None:
        return start, start + NS_PER_DAY
    if end - start > 7 * NS_PER_DAY:
        raise bad_parameter(text="endTime - startTime must not exceed 7 days")
    return start, end


def _base_symbols(call: Call) -> set[str] | None:
    if "baseCoin" not in call.parameters.values:
        return None
    base = call.parameters.text("baseCoin")
    markets = call.exchange.markets.values()
    return {m.listing.symbol for m in markets if m.listing.base == base}


def _ledger(call: Call, account: Account) -> Iterator[tuple[int, int, Json]]:
    """Yield (number, time, row), newest first; a fill's bookings are one row."""
    fills = {f.trade_id: f for f in call.exchange.clearing.fills[account.id]}
    wallets = dict(account.wallets)
    pending: list[Booking] = []
    for booking in reversed(account.income):
        if pending and booking.trade_id != pending[-1].trade_id:
            yield _ledger_row(call, pending, wallets, fills)
            pending = []
        pending.append(booking)
        if not booking.trade_id:
            yield _ledger_row(call, pending, wallets, fills)
            pending = []
    if pending:
        yield _ledger_row(call, pending, wallets, fills)


def _ledger_row(
    call: Call,
    bookings: list[Booking],
    wallets: dict[str, int],
    fills: dict[int, FillDetail],
) -> tuple[int, int, Json]:
    """Return one row, and put its coin's wallet back to what it was before."""
    last = bookings[0]
    coin = last.coin or _account(call).coin
    by_kind = {b.kind: b.units for b in bookings}
    change = sum(by_kind.values())
    wallet = wallets.get(coin, 0)
    wallets[coin] = wallet - change
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
        "currency": coin,
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
    if kind == "CONVERT":
        return "CURRENCY_BUY" if change > 0 else "CURRENCY_SELL"
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
    coin = parameters.values.get("coin")
    rows = [
        (b.id, _transfer_row(b, account.coin))
        for b in account.income
        if b.kind == "TRANSFER"
        and coin in {None, b.coin or account.coin}
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


def _moves(call: Call, sign: int) -> list[tuple[int, ChainMove]]:
    start = call.parameters.time_ns("startTime")
    end = call.parameters.time_ns("endTime")
    coin = call.parameters.values.get("coin")
    found = call.exchange.clearing.chain_of(call.account_id, sign, start, end)
    return [(m.id, m) for m in found if coin in {None, m.coin}]


def deposits(call: Call) -> Json:
    """Return what came from other venues, newest first."""
    limit = call.parameters.limit(50, 50)
    rows = [
        (
            number,
            {
                "id": str(number),
                "coin": m.coin,
                "chain": "SIM",
                "amount": money(m.units),
                "txID": m.hash,
                "status": 3,  # success
                "toAddress": "simulated",
                "tag": "",
                "depositFee": "",
                "successAt": ms_text(m.time_ns),
                "confirmations": "1",
                "txIndex": "0",
                "blockHash": m.hash,
                "batchReleaseLimit": "-1",
                "depositType": "0",
                "fromAddress": "simulated",
                "taxDepositRecordsId": "",
                "taxStatus": 0,
            },
        )
        for number, m in _moves(call, 1)
    ]
    shown, cursor = page(rows, call, limit)
    return {"rows": shown, "nextPageCursor": cursor}


def withdrawals(call: Call) -> Json:
    """Return what went to other venues, newest first."""
    limit = call.parameters.limit(50, 50)
    rows = [
        (
            number,
            {
                "withdrawId": str(number),
                "txID": m.hash,
                "withdrawType": 0,
                "coin": m.coin,
                "chain": "SIM",
                "amount": money(-m.units),
                "withdrawFee": "0",
                "status": "success",
                "toAddress": "simulated",
                "tag": "",
                "createTime": ms_text(m.time_ns),
                "updateTime": ms_text(m.time_ns),
                "tax": "0",
                "taxRate": "0",
                "taxType": "",
            },
        )
        for number, m in _moves(call, -1)
    ]
    shown, cursor = page(rows, call, limit)
    return {"rows": shown, "nextPageCursor": cursor}


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


_PERIOD = "startTime endTime limit cursor"
ROUTES: dict[tuple[str, str], Route] = {
    ("GET", "/v5/account/transaction-log"): route(
        transaction_log,
        "accountType category currency baseCoin type transSubType " + _PERIOD,
        limit=50,
    ),
    ("GET", "/v5/asset/coin/query-info"): route(coin_info, "coin", limit=5),
    ("GET", "/v5/asset/deposit/query-record"): route(
        deposits, "id txID coin " + _PERIOD, limit=5
    ),
    ("GET", "/v5/asset/withdraw/query-record"): route(
        withdrawals, "withdrawID txID coin withdrawType " + _PERIOD, limit=5
    ),
    ("GET", "/v5/asset/transfer/query-inter-transfer-list"): route(
        transfers, "transferId coin status " + _PERIOD, limit=5
    ),
}

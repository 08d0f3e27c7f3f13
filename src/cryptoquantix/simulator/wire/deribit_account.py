"""Deribit's account methods: money, positions, fills, ledger, keys; all read-only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from fractions import Fraction

from cryptoquantix.simulator.accounts import Account, Booking, Holding
from cryptoquantix.simulator.conditional import ConditionalExchange
from cryptoquantix.simulator.market import Market
from cryptoquantix.simulator.orders import FillDetail
from cryptoquantix.simulator.wire.deribit_auth import scope_of
from cryptoquantix.simulator.wire.deribit_calls import Call, Method, is_within, private
from cryptoquantix.simulator.wire.deribit_errors import invalid_parameter
from cryptoquantix.simulator.wire.deribit_limits import (
    CREDITS_MAX,
    CREDITS_PER_REQUEST,
    CREDITS_PER_SECOND,
    MATCHING_BURST,
    MATCHING_PER_SECOND,
)
from cryptoquantix.simulator.wire.deribit_market import CREATED_MS
from cryptoquantix.simulator.wire.deribit_payloads import (
    USER_ID,
    ZERO,
    amount,
    average_price,
    fill_json,
    index_name,
    money,
    ms,
    order_id,
    price,
    trade_id,
)
from cryptoquantix.simulator.wire.deribit_requests import Json
from cryptoquantix.simulator.wire.deribit_trading import find_order

USERNAME = "simulated"
LOGS_MAX = 250
_NOTHING = [
    "options_session_rpl",
    "options_session_upl",
    "options_value",
    "options_pl",
    "options_delta",
    "options_gamma",
    "options_vega",
    "options_theta",
    "spot_reserve",
    "fee_balance",
    "session_rpl",
    "futures_session_rpl",
]


# Money.


def _limits_json() -> Json:
    burst, rate = CREDITS_MAX // CREDITS_PER_REQUEST, CREDITS_PER_SECOND
    matching = {"burst": MATCHING_BURST, "rate": MATCHING_PER_SECOND}
    return {
        "limits_per_currency": False,
        "non_matching_engine": {"burst": burst, "rate": rate // CREDITS_PER_REQUEST},
        "matching_engine": {
            "trading": {"total": dict(matching)},
            "spot": dict(matching),
            "quotes": dict(matching),
            "max_quotes": dict(matching),
            "guaranteed_quotes": dict(matching),
            "cancel_all": dict(matching),
        },
    }


def portfolio_json(exchange: ConditionalExchange, account: Account, coin: str) -> Json:
    """Return an account's figures in one coin."""
    clearing = exchange.clearing
    margin = clearing.margin(account, coin)
    deltas = _deltas(exchange, account, coin)
    upl, maintenance = money(margin.unrealized), money(margin.maintenance)
    delta = sum(deltas.values(), ZERO)
    ratio = ZERO
    if margin.equity > 0:
        ratio = Decimal(round(Fraction(margin.maintenance, margin.equity) * 10**8))
        ratio = ratio.scaleb(-8)
    body: Json = {
        "currency": coin,
        "balance": money(margin.wallet),
        "equity": money(margin.equity),
        "margin_balance": money(margin.equity),
        "available_funds": money(margin.available),
        "available_withdrawal_funds": money(
            max(0, min(margin.available, margin.wallet))
        ),
        "initial_margin": money(margin.initial),
        "maintenance_margin": maintenance,
        "projected_initial_margin": money(margin.position),
        "projected_maintenance_margin": maintenance,
        "total_pl": upl,
        "futures_pl": upl,
        "session_upl": upl,
        "futures_session_upl": upl,
        "delta_total": delta,
        "projected_delta_total": delta,
        "delta_total_map": deltas,
        "estimated_liquidation_ratio": ratio,
        "estimated_liquidation_ratio_map": dict.fromkeys(deltas, ratio),
        "options_gamma_map": {},
        "options_vega_map": {},
        "portfolio_margining_enabled": False,
        "cross_collateral_enabled": False,
        "margin_model": "segregated_sm",
    }
    return body | dict.fromkeys(_NOTHING, ZERO)


def _deltas(
    exchange: ConditionalExchange, account: Account, coin: str
) -> dict[str, Decimal]:
    deltas: dict[str, Decimal] = {}
    for market, held in exchange.clearing.open_holdings(account, coin):
        name = index_name(held.listing)
        deltas[name] = deltas.get(name, ZERO) + size_in_coin(held, market)
    return deltas


def _summary_json(call: Call, coin: str) -> Json:
    account = call.exchange.clearing.accounts[call.account_id]
    body = portfolio_json(call.exchange, account, coin)
    return body | {"limits": _limits_json(), "fees": _fees_json(call, coin)}


def _fees_json(call: Call, coin: str) -> list[Json]:
    return [
        {
            "kind": "perpetual",
            "index_name": index_name(market.listing),
            "value": {
                "default": {
                    "type": "relative",
                    "maker": market.listing.fee_rate_maker,
                    "taker": market.listing.fee_rate_taker,
                },
                "block_trade": market.listing.fee_rate_taker,
            },
        }
        for market in call.exchange.markets.values()
        if market.listing.settlement == coin
    ]


def _user_json() -> Json:
    return {
        "id": USER_ID,
        "email": "user@example.com",
        "system_name": USERNAME,
        "username": USERNAME,
        "block_rfq_self_match_prevention": True,
        "creation_timestamp": CREATED_MS,
        "type": "main",
        "referrer_id": None,
        "login_enabled": False,
        "security_keys_enabled": False,
        "mmp_enabled": False,
        "interuser_transfers_enabled": False,
        "self_trading_reject_mode": "reject_taker",
        "self_trading_extended_to_subaccounts": False,
    }


def get_account_summary(call: Call) -> Json:
    """Return the account's figures in one coin."""
    coin = _one_coin(call)
    body = _summary_json(call, coin)
    return body | _user_json() if call.parameters.flag("extended") else body


def get_account_summaries(call: Call) -> Json:
    """Return the account's figures in every coin."""
    coins = call.exchange.rules.coins
    body: Json = {"summaries": [_summary_json(call, coin) for coin in coins]}
    return body | _user_json()


def _one_coin(call: Call) -> str:
    coin = call.currency()
    if coin == "any":
        raise invalid_parameter(name="currency", reason="invalid currency")
    return coin


# Positions.


def size_in_coin(held: Holding, market: Market) -> Decimal:
    """Return a position's size in the base coin, signed; at mark where inverse."""
    if not held.listing.is_inverse:
        return amount(held.listing, held.size_lots)
    return held.sign * money(held.notional_units(market.mark_ticks))


def position_json(
    exchange: ConditionalExchange, account: Account, market: Market
) -> Json:
    """Return the account's position in an instrument, flat or not."""
    listing = market.listing
    held = account.held(listing.symbol) or Holding(listing)
    margin = exchange.clearing.symbol_margin(account, listing.symbol)
    funding = market.accrued_units(held)
    upl = held.unrealized_units(market.mark_ticks)
    mark = price(listing, market.mark_ticks)
    return {
        "instrument_name": listing.symbol,
        "kind": "future",
        "direction": ("zero", "buy", "sell")[held.sign],
        "size": amount(listing, held.size_lots),
        "size_currency": size_in_coin(held, market),
        "delta": size_in_coin(held, market),
        "average_price": average_price(listing, held.cost_units, held.size_lots),
        "mark_price": mark,
        "index_price": price(listing, market.index_ticks),
        "settlement_price": mark,
        "floating_profit_loss": money(upl),
        "realized_profit_loss": money(held.realized_units),
        "realized_funding": money(funding),
        "total_profit_loss": money(upl + funding),
        "initial_margin": money(margin.position),
        "maintenance_margin": money(margin.maintenance),
        "open_orders_margin": money(margin.open_orders),
        "leverage": account.leverage_of(listing),
        "interest_value": ZERO,
    }


def get_positions(call: Call) -> list[Json]:
    """Return the positions of a coin (none or ``any``: of all), flat ones too."""
    account = call.exchange.clearing.accounts[call.account_id]
    return [
        position_json(call.exchange, account, market)
        for market in call.listed(call.currency("any"))
        if account.held(market.listing.symbol) is not None
    ]


def get_position(call: Call) -> Json:
    """Return the position in one instrument."""
    account = call.exchange.clearing.accounts[call.account_id]
    return position_json(call.exchange, account, call.market())


# Fills.


def _trades(call: Call, is_wanted: Callable[[FillDetail], bool]) -> Json:
    """Return fills: the newest first, or from a start on the oldest first."""
    ask = call.parameters
    low, high = ask.integer("start_seq", 0), ask.integer("end_seq", 10**18)
    start = ask.time_ns("start_timestamp", 0) or 0
    end = ask.time_ns("end_timestamp", 10**19) or 0
    found = [
        fill
        for fill in call.exchange.clearing.fills[call.account_id]
        if is_wanted(fill)
        and low <= fill.trade_id <= high
        and start <= fill.time_ns < end + 1_000_000
    ]
    count = ask.count()
    sorting = ask.choice("sorting", {"asc", "desc", "default"}, "default")
    if sorting == "default":
        sorting = "asc" if ask.has("start_timestamp") else "desc"
    part = found[:count] if sorting == "asc" else found[::-1][:count]
    return {"trades": [fill_json(f) for f in part], "has_more": len(found) > count}


def get_user_trades_by_instrument(call: Call) -> Json:
    """Return the account's fills in one instrument."""
    symbol = call.market().listing.symbol
    return _trades(call, lambda fill: fill.order.listing.symbol == symbol)


def get_user_trades_by_currency(call: Call) -> Json:
    """Return the account's fills in one coin."""
    coin = call.currency()
    return _trades(call, lambda fill: is_within(fill.order.listing, coin))


def get_user_trades_by_order(call: Call) -> list[Json]:
    """Return the fills of one order, oldest first."""
    number = find_order(call).id
    fills = call.exchange.clearing.fills[call.account_id]
    is_newest_first = call.parameters.choice("sorting", {"asc", "desc"}, "asc")
    found = [fill_json(f) for f in fills if f.order.id == number]
    return found[::-1] if is_newest_first == "desc" else found


# The ledger.


def _entries(account: Account, coin: str) -> Iterator[tuple[list[Booking], int]]:
    """Yield the bookings of each transaction and the wallet after it, newest first."""
    wallet = account.wallet_of(coin)
    group: list[Booking] = []
    for booking in reversed(account.income):
        if (booking.coin or account.coin) != coin:
            continue
        if group and (not booking.trade_id or booking.trade_id != group[0].trade_id):
            yield group, wallet
            wallet -= sum(b.units for b in group)
            group = []
        group.append(booking)
    if group:
        yield group, wallet


def _kind(first: Booking) -> str:
    if first.trade_id:
        return "trade"
    if first.kind == "TRANSFER":
        return "deposit" if first.units >= 0 else "withdrawal"
    return "settlement" if first.kind == "FUNDING_FEE" else "correction"


def _log_json(
    group: list[Booking], wallet_units: int, coin: str, fills: dict[int, FillDetail]
) -> Json:
    first = group[0]
    kind = _kind(first)
    parts = {b.kind: b.units for b in group}
    body: Json = {
        "id": first.id,
        "user_seq": first.id,
        "user_id": USER_ID,
        "username": USERNAME,
        "currency": coin,
        "timestamp": ms(first.time_ns),
        "type": kind,
        "change": money(sum(parts.values())),
        "balance": money(wallet_units),
        "cashflow": money(parts.get("REALIZED_PNL", 0)),
        "commission": money(-parts.get("COMMISSION", 0)),
        "info": {},
    }
    if first.symbol:
        body["instrument_name"] = first.symbol
    if kind == "settlement":
        body["interest_pl"] = body["change"]
    fill = fills.get(first.trade_id)
    if fill is not None:
        listing, side = fill.order.listing, fill.order.request.side.value
        closes = "close" if parts.get("REALIZED_PNL") else "open"
        body |= {
            "trade_id": trade_id(listing, fill.trade_id),
            "order_id": order_id(fill.order),
            "side": f"{closes} {side}",
            "amount": amount(listing, fill.size_lots),
            "price": price(listing, fill.price_ticks),
            "position": amount(listing, fill.position_after),
            "mark_price": price(listing, fill.mark_ticks),
            "index_price": price(listing, fill.index_ticks),
            "user_role": "maker" if fill.is_maker else "taker",
        }
    return body


def get_transaction_log(call: Call) -> Json:
    """Return the ledger of one coin, newest first; changes add up to the balance."""
    ask, coin = call.parameters, _one_coin(call)
    start = ask.integer("start_timestamp")
    end = ask.integer("end_timestamp")
    query = ask.text("query", "")
    count = ask.integer("count", 100)
    if not 1 <= count <= LOGS_MAX:
        raise invalid_parameter(name="count", reason=f"must be within 1..{LOGS_MAX}")
    before = ask.integer("continuation", 10**18)
    account = call.exchange.clearing.accounts[call.account_id]
    fills = {f.trade_id: f for f in call.exchange.clearing.fills[call.account_id]}
    logs: list[Json] = []
    for group, wallet in _entries(account, coin):
        at = ms(group[0].time_ns)
        if group[0].id >= before or at > end:
            continue
        if at < start:
            break
        if query and _kind(group[0]) != query:
            continue
        if len(logs) == count:
            return {"logs": logs, "continuation": logs[-1]["id"]}
        logs.append(_log_json(group, wallet, coin, fills))
    return {"logs": logs, "continuation": None}


def _moves(call: Call, sign: int) -> list[Booking]:
    coin = _one_coin(call)
    account = call.exchange.clearing.accounts[call.account_id]
    return [
        b
        for b in reversed(account.income)
        if b.kind == "TRANSFER"
        and b.units * sign > 0
        and (b.coin or account.coin) == coin
    ]


def _page(call: Call, rows: list[Json]) -> Json:
    offset = max(0, call.parameters.integer("offset", 0))
    count = call.parameters.count()
    return {"count": len(rows), "data": rows[offset : offset + count]}


def _move_json(booking: Booking, coin: str) -> Json:
    return {
        "address": "simulated",
        "amount": money(abs(booking.units)),
        "currency": coin,
        "state": "completed",
        "transaction_id": f"{booking.id:064x}",
        "updated_timestamp": ms(booking.time_ns),
    }


def get_deposits(call: Call) -> Json:
    """Return what came in, newest first."""
    coin = _one_coin(call)
    rows = [
        _move_json(b, coin) | {"received_timestamp": ms(b.time_ns)}
        for b in _moves(call, 1)
    ]
    return _page(call, rows)


def get_withdrawals(call: Call) -> Json:
    """Return what went out, newest first."""
    coin = _one_coin(call)
    rows = [
        _move_json(b, coin)
        | {
            "id": b.id,
            "fee": ZERO,
            "priority": ZERO,
            "created_timestamp": ms(b.time_ns),
            "confirmed_timestamp": ms(b.time_ns),
        }
        for b in _moves(call, -1)
    ]
    return _page(call, rows)


def get_transfers(call: Call) -> Json:
    """Return transfers between subaccounts: there are none."""
    _one_coin(call)
    return _page(call, [])


def list_api_keys(call: Call) -> list[Json]:
    """Return the account's keys with their rights, without their secrets."""
    keys = call.state.gate.keys_of(call.account_id)
    return [
        {
            "id": number,
            "name": key.role,
            "client_id": key.key,
            "client_secret": "********",
            "max_scope": scope_of(key),
            "enabled": True,
            "default": number == 1,
            "enabled_features": [],
            "ip_whitelist": [],
            "public_key": None,
            "timestamp": CREATED_MS,
        }
        for number, key in enumerate(keys, 1)
    ]


_COUNTED = ("count", "sorting", "historical", "include_old", "subaccount_id")
_SEQ = ("start_seq", "end_seq")
_PERIOD = ("start_timestamp", "end_timestamp")
_PAGED = ("currency", "count", "offset")
METHODS: dict[str, Method] = {
    "private/get_account_summary": private(
        get_account_summary,
        "currency",
        "extended",
        "subaccount_id",
        right="account:read",
    ),
    "private/get_account_summaries": private(
        get_account_summaries, "extended", "subaccount_id", right="account:read"
    ),
    "private/get_positions": private(
        get_positions, "currency", "kind", "subaccount_id"
    ),
    "private/get_position": private(get_position, "instrument_name"),
    "private/get_user_trades_by_instrument": private(
        get_user_trades_by_instrument, "instrument_name", *_SEQ, *_COUNTED, *_PERIOD
    ),
    "private/get_user_trades_by_instrument_and_time": private(
        get_user_trades_by_instrument, "instrument_name", *_COUNTED, *_PERIOD
    ),
    "private/get_user_trades_by_currency": private(
        get_user_trades_by_currency, "currency", "kind", *_COUNTED, *_PERIOD
    ),
    "private/get_user_trades_by_currency_and_time": private(
        get_user_trades_by_currency, "currency", "kind", *_COUNTED, *_PERIOD
    ),
    "private/get_user_trades_by_order": private(
        get_user_trades_by_order, "order_id", "sorting", "historical"
    ),
    "private/get_transaction_log": private(
        get_transaction_log,
        "currency",
        "query",
        "count",
        "continuation",
        "subaccount_id",
        *_PERIOD,
        right="account:read",
    ),
    "private/get_deposits": private(get_deposits, *_PAGED, right="account:read"),
    "private/get_withdrawals": private(get_withdrawals, *_PAGED, right="account:read"),
    "private/get_transfers": private(get_transfers, *_PAGED, right="account:read"),
    "private/list_api_keys": private(list_api_keys, right="account:read"),
}

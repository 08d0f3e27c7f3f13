"""Deribit's order methods: buy, sell, edit, cancel and what is open or was."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from decimal import Decimal
from itertools import chain
from math import ceil

from cryptoquantix.core.order import Side, TimeInForce
from cryptoquantix.simulator.listing import Listing
from cryptoquantix.simulator.market import Market
from cryptoquantix.simulator.orders import (
    AlgoOrder,
    AlgoRequest,
    AlgoStatus,
    OrderRequest,
    VenueOrder,
)
from cryptoquantix.simulator.refusals import CommandRefusedError, Refusal
from cryptoquantix.simulator.rules import PostOnly
from cryptoquantix.simulator.wire.deribit_calls import Call, Method, is_within, private
from cryptoquantix.simulator.wire.deribit_errors import DeribitError, invalid_parameter
from cryptoquantix.simulator.wire.deribit_payloads import (
    DeribitRequest,
    algo_id,
    algo_json,
    fill_json,
    label_of,
    order_id,
    order_json,
)
from cryptoquantix.simulator.wire.deribit_requests import Json

LABEL_MAX = 64
_TIMES = {
    "good_til_cancelled": TimeInForce.GTC,
    "good_til_day": TimeInForce.GTC,
    "immediate_or_cancel": TimeInForce.IOC,
    "fill_or_kill": TimeInForce.FOK,
}
_CONDITIONAL = {"stop_market", "stop_limit", "take_market", "take_limit"}
_TYPES = {"limit", "market"} | _CONDITIONAL
# The prices a trigger may watch, and the core's names for them.
_TRIGGERS = {
    "last_price": "CONTRACT_PRICE",
    "mark_price": "MARK_PRICE",
    "index_price": "INDEX_PRICE",
}


# What an order says.


def size_lots(listing: Listing, value: Decimal) -> int:
    """Return an amount in lots; 10002 or 10021 if it is none."""
    lots = value / listing.lot_size
    if lots < listing.size_min_lots:
        raise DeribitError(10002, "qty_too_low")
    if lots != lots.to_integral_value():
        reason = f"amount must be a multiple of {listing.lot_size}"
        raise invalid_parameter(name="amount", reason=reason)
    return int(lots)


def price_ticks(listing: Listing, value: Decimal, *, is_trigger: bool = False) -> int:
    """Return a price in ticks; 10043 or 10044 if it is between two."""
    ticks = value / listing.tick_size
    if ticks < 1 or ticks != ticks.to_integral_value():
        if is_trigger:
            raise DeribitError(10044, "trigger_price_wrong_tick")
        raise DeribitError(10043, "price_wrong_tick")
    return int(ticks)


def _amount(call: Call, listing: Listing) -> int:
    """Return ``amount`` or ``contracts`` in lots; both must agree."""
    ask = call.parameters
    found = set()
    if ask.has("amount"):
        found.add(size_lots(listing, ask.decimal("amount")))
    if ask.has("contracts"):
        value = ask.decimal("contracts") * listing.lot_size
        found.add(size_lots(listing, value))
    if not found:
        raise invalid_parameter(name="amount", reason="required parameter is missing")
    if len(found) > 1:
        raise invalid_parameter(name="contracts", reason="is not the same as amount")
    return found.pop()


def label(call: Call) -> str:
    """Return the label, which need not be unique; at most 64 characters."""
    value = call.parameters.text("label", "")
    if len(value) > LABEL_MAX:
        raise invalid_parameter(name="label", reason=f"at most {LABEL_MAX} characters")
    return value


def _time_in_force(call: Call) -> TimeInForce:
    ask = call.parameters
    found = _TIMES[ask.choice("time_in_force", set(_TIMES), "good_til_cancelled")]
    if not ask.flag("post_only"):
        if ask.flag("reject_post_only"):
            raise invalid_parameter(name="reject_post_only", reason="needs post_only")
        return found
    if found is not TimeInForce.GTC:
        raise DeribitError(11055, "post_only_not_allowed")
    return TimeInForce.POST_ONLY


def _request(call: Call, market: Market, side: Side) -> DeribitRequest:
    """Return the order that a call asks for."""
    ask, listing = call.parameters, market.listing
    kind = ask.choice("type", _TYPES, "limit")
    is_market = kind.endswith("market")
    if is_market and ask.has("price"):
        raise invalid_parameter(name="price", reason="a market order has no price")
    if is_market and ask.flag("post_only"):
        raise DeribitError(11055, "post_only_not_allowed")
    is_waiting = kind in _CONDITIONAL
    for name in ("trigger", "trigger_price"):
        if ask.has(name) and not is_waiting:
            raise invalid_parameter(name, f"not allowed for type {kind}")
    trigger = ask.choice("trigger", set(_TRIGGERS)) if is_waiting else ""
    stop = 0
    if is_waiting:
        stop = price_ticks(listing, ask.decimal("trigger_price"), is_trigger=True)
    ticks = None
    if not is_market:
        ticks = price_ticks(listing, ask.decimal("price"))
        if not is_waiting:
            ticks = _clamped(market, side, ticks)
    return DeribitRequest(
        symbol=listing.symbol,
        side=side,
        size_lots=_amount(call, listing),
        client_id=label(call),
        label=label(call),
        price_ticks=ticks,
        time_in_force=_time_in_force(call),
        order_type="MARKET" if is_market else "LIMIT",
        original_type=kind if is_waiting else "",
        is_reduce_only=ask.flag("reduce_only"),
        stop_price_ticks=stop,
        post_only=PostOnly.REFUSE if ask.flag("reject_post_only") else None,
        trigger=trigger,
        session_id=call.session.id,
    )


def _clamped(market: Market, side: Side, ticks: int) -> int:
    """Return a price no further through the mark than the venue lets it be."""
    limit = market.mark_ticks * (1 + side.sign * market.listing.limit_band)
    return min(ticks, int(limit)) if side is Side.BUY else max(ticks, ceil(limit))


# Placing and changing.


def _place(call: Call, side: Side) -> Json:
    market = call.market()
    request = _request(call, market, side)
    if request.original_type:
        algo = call.exchange.place_algo(
            call.account_id, _conditional(request), call.time_ns
        )
        return {"order": algo_json(algo), "trades": []}
    order = call.exchange.place(call.account_id, request, call.time_ns)
    return {"order": order_json(order), "trades": _trades(call, order)}


def _conditional(request: DeribitRequest) -> AlgoRequest:
    """Return the waiting order: stops follow the price, takes meet it."""
    is_stop = request.original_type.startswith("stop")
    return AlgoRequest(
        order=request,
        trigger_ticks=request.stop_price_ticks,
        is_trigger_above=is_stop == (request.side is Side.BUY),
        working_type=_TRIGGERS[request.trigger],
    )


def _trades(call: Call, order: VenueOrder, since: int = 0) -> list[Json]:
    fills = call.exchange.clearing.fills[call.account_id]
    found = []
    for fill in reversed(fills):
        if fill.trade_id <= since or fill.time_ns < order.created_ns:
            break
        if fill.order.id == order.id:
            found.append(fill_json(fill))
    return found[::-1]


def buy(call: Call) -> Json:
    """Place an order to buy."""
    return _place(call, Side.BUY)


def sell(call: Call) -> Json:
    """Place an order to sell."""
    return _place(call, Side.SELL)


def close_position(call: Call) -> Json:
    """Close a whole position, at market or with a limit order."""
    market = call.market()
    listing = market.listing
    held = call.exchange.clearing.accounts[call.account_id].size_lots(listing.symbol)
    if not held:
        raise CommandRefusedError(Refusal.REDUCE_ONLY)
    is_market = call.parameters.choice("type", {"limit", "market"}) == "market"
    side = Side.of(-held)
    ticks = None
    if not is_market:
        ticks = price_ticks(listing, call.parameters.decimal("price"))
        ticks = _clamped(market, side, ticks)
    request = DeribitRequest(
        symbol=listing.symbol,
        side=side,
        size_lots=abs(held),
        client_id="",
        price_ticks=ticks,
        order_type="MARKET" if is_market else "LIMIT",
        is_reduce_only=True,
        session_id=call.session.id,
    )
    order = call.exchange.place(call.account_id, request, call.time_ns)
    return {"order": order_json(order), "trades": _trades(call, order)}


def edit(call: Call) -> Json:
    """Change amount, price or trigger price of an open order."""
    found = find_order(call)
    if isinstance(found, AlgoOrder):
        return {"order": algo_json(_edit_algo(call, found)), "trades": []}
    if not found.status.is_open:
        raise DeribitError(11044, "not_open_order")
    ask, listing = call.parameters, found.listing
    lots, ticks = found.size_lots, found.price_ticks
    if ask.has("amount") or ask.has("contracts"):
        lots = _amount(call, listing)
    if ask.has("price"):
        ticks = price_ticks(listing, ask.decimal("price"))
    fills = call.exchange.clearing.fills[call.account_id]
    since = fills[-1].trade_id if fills else 0
    try:
        call.exchange.amend(
            found, price_ticks=ticks, size_lots=lots, time_ns=call.time_ns
        )
    except CommandRefusedError as refused:
        # The venue answers an edit that changes nothing with the order as it is.
        if refused.refusal is not Refusal.AMEND_NOTHING:
            raise
    return {"order": order_json(found), "trades": _trades(call, found, since)}


def _edit_algo(call: Call, algo: AlgoOrder) -> AlgoOrder:
    if algo.status is not AlgoStatus.NEW:
        raise DeribitError(11044, "not_open_order")
    ask, listing, request = call.parameters, algo.listing, algo.request
    market = call.exchange.markets[listing.symbol]
    order, trigger = request.order, algo.trigger_ticks
    if ask.has("amount") or ask.has("contracts"):
        order = replace(order, size_lots=_amount(call, listing))
    if ask.has("price"):
        if order.price_ticks is None:
            raise invalid_parameter(name="price", reason="a market order has no price")
        order = replace(order, price_ticks=price_ticks(listing, ask.decimal("price")))
    if ask.has("trigger_price"):
        value = ask.decimal("trigger_price")
        trigger = price_ticks(listing, value, is_trigger=True)
        order = replace(order, stop_price_ticks=trigger)
    changed = replace(request, order=order, trigger_ticks=trigger)
    probe = replace(algo, request=changed, trigger_ticks=trigger)
    if probe.is_reached_by(market.working_ticks(request.working_type)):
        raise CommandRefusedError(Refusal.WOULD_TRIGGER)
    market.triggers.remove(algo.id)
    algo.request, algo.trigger_ticks = changed, trigger
    algo.updated_ns = call.time_ns
    market.triggers.add(algo)
    return algo


# Finding.


def find_order(call: Call) -> VenueOrder | AlgoOrder:
    """Return the account's order that ``order_id`` names; 10004 if there is none."""
    sent = call.parameters.text("order_id")
    digits = sent.rpartition("-")[2]
    if not digits.isascii() or not digits.isdecimal() or len(digits) > 18:
        raise DeribitError(10004, "order_not_found")
    number = int(digits)
    order = call.exchange.orders.get(number)
    if order and order.account_id == call.account_id and order_id(order) == sent:
        return order
    algo = call.exchange.algos.get(number)
    if algo and algo.account_id == call.account_id and algo_id(algo) == sent:
        return algo
    raise DeribitError(10004, "order_not_found")


def open_orders(call: Call, markets: Iterable[Market]) -> list[VenueOrder | AlgoOrder]:
    """Return the account's open and waiting orders in some markets."""
    found: list[VenueOrder | AlgoOrder] = []
    for market in markets:
        orders: Iterator[VenueOrder | AlgoOrder] = chain(
            market.open_orders.values(), market.triggers.orders.values()
        )
        found += [o for o in orders if o.account_id == call.account_id]
    return found


def shown(order: VenueOrder | AlgoOrder) -> Json:
    """Return an order of either class."""
    return algo_json(order) if isinstance(order, AlgoOrder) else order_json(order)


def _request_of(order: VenueOrder | AlgoOrder) -> OrderRequest:
    return order.request.order if isinstance(order, AlgoOrder) else order.request


def _is_of_type(order: VenueOrder | AlgoOrder, wanted: str) -> bool:
    if wanted in {"", "all"}:
        return True
    if wanted in {"trigger_all", "stop_all"}:
        return isinstance(order, AlgoOrder)
    if isinstance(order, AlgoOrder):
        return order.request.order.original_type == wanted.removeprefix("trigger_")
    return wanted == ("market" if order.request.price_ticks is None else "limit")


def _cancel(call: Call, order: VenueOrder | AlgoOrder) -> None:
    if isinstance(order, AlgoOrder):
        call.exchange.cancel_algo(order, call.time_ns)
    else:
        call.exchange.cancel(order, call.time_ns)


def _cancel_each(
    call: Call,
    orders: Iterable[VenueOrder | AlgoOrder],
    is_wanted: Callable[[VenueOrder | AlgoOrder], bool] = lambda _: True,
) -> int | list[Json]:
    kind = call.parameters.text("type", "all")
    wanted = [o for o in orders if _is_of_type(o, kind) and is_wanted(o)]
    for order in wanted:
        _cancel(call, order)
    if call.parameters.flag("detailed"):
        return [{"result": [shown(o) for o in wanted]}] if wanted else []
    return len(wanted)


def cancel(call: Call) -> Json:
    """Cancel one order and return it."""
    order = find_order(call)
    is_open = (
        order.status is AlgoStatus.NEW
        if isinstance(order, AlgoOrder)
        else order.status.is_open
    )
    if not is_open:
        raise DeribitError(11044, "not_open_order")
    _cancel(call, order)
    return shown(order)


def cancel_all(call: Call) -> int | list[Json]:
    """Cancel every order of every class and return how many."""
    return _cancel_each(call, open_orders(call, call.exchange.markets.values()))


def cancel_all_by_instrument(call: Call) -> int | list[Json]:
    """Cancel every order in one instrument."""
    return _cancel_each(call, open_orders(call, [call.market()]))


def cancel_all_by_currency(call: Call) -> int | list[Json]:
    """Cancel every order in instruments that settle in a coin."""
    return _cancel_each(call, open_orders(call, call.listed(call.currency())))


def cancel_by_label(call: Call) -> int | list[Json]:
    """Cancel every order with a label, however many there are."""
    wanted = call.parameters.text("label")
    coin = call.currency("any")
    return _cancel_each(
        call,
        open_orders(call, call.exchange.markets.values()),
        lambda o: label_of(_request_of(o)) == wanted and is_within(o.listing, coin),
    )


def get_open_orders(call: Call) -> list[Json]:
    """Return every open order, of a coin and type if asked so."""
    markets = call.listed(call.currency("any"))
    kind = call.parameters.text("type", "all")
    return [shown(o) for o in open_orders(call, markets) if _is_of_type(o, kind)]


def get_open_orders_by_instrument(call: Call) -> list[Json]:
    """Return the open orders in one instrument."""
    kind = call.parameters.text("type", "all")
    orders = open_orders(call, [call.market()])
    return [shown(o) for o in orders if _is_of_type(o, kind)]


def get_open_orders_by_label(call: Call) -> list[Json]:
    """Return the open orders in a coin with a label."""
    wanted = call.parameters.text("label", "")
    orders = open_orders(call, call.listed(call.currency()))
    return [
        shown(o) for o in orders if not wanted or label_of(_request_of(o)) == wanted
    ]


def get_order_state(call: Call) -> Json:
    """Return one order, whatever its state."""
    return shown(find_order(call))


def get_order_state_by_label(call: Call) -> list[Json]:
    """Return every order in a coin with a label that is still remembered."""
    wanted, coin = call.parameters.text("label"), call.currency()
    orders: Iterator[VenueOrder | AlgoOrder] = chain(
        call.exchange.orders.values(), call.exchange.algos.values()
    )
    return [
        shown(o)
        for o in orders
        if o.account_id == call.account_id
        and label_of(_request_of(o)) == wanted
        and is_within(o.listing, coin)
    ][-1_000:]


def _history(call: Call, is_wanted: Callable[[Listing], bool]) -> list[Json]:
    """Return finished orders, newest first."""
    ask = call.parameters
    with_unfilled = ask.flag("include_unfilled", default=False)
    count, offset = ask.count(20), max(0, ask.integer("offset", 0))
    found = [
        order
        for order in call.exchange.orders.values()
        if order.account_id == call.account_id
        and not order.status.is_open
        and is_wanted(order.listing)
        and (order.filled_lots or with_unfilled)
    ]
    found.sort(key=lambda o: (o.updated_ns, o.id), reverse=True)
    return [order_json(o) for o in found[offset : offset + count]]


def get_order_history_by_instrument(call: Call) -> list[Json]:
    """Return finished orders of one instrument."""
    symbol = call.market().listing.symbol
    return _history(call, lambda listing: listing.symbol == symbol)


def get_order_history_by_currency(call: Call) -> list[Json]:
    """Return finished orders of one coin."""
    coin = call.currency()
    return _history(call, lambda listing: is_within(listing, coin))


_TRADE = "trade:read_write"
_ORDER = [
    "instrument_name",
    "amount",
    "contracts",
    "type",
    "price",
    "label",
    "time_in_force",
    "post_only",
    "reject_post_only",
    "reduce_only",
    "trigger",
    "trigger_price",
]
_CANCEL = ("type", "detailed", "kind")
_HISTORY = ("count", "offset", "include_old", "include_unfilled")
METHODS: dict[str, Method] = {
    "private/buy": private(buy, *_ORDER, right=_TRADE, is_matching=True),
    "private/sell": private(sell, *_ORDER, right=_TRADE, is_matching=True),
    "private/edit": private(
        edit,
        "order_id",
        "amount",
        "contracts",
        "price",
        "trigger_price",
        right=_TRADE,
        is_matching=True,
    ),
    "private/close_position": private(
        close_position,
        "instrument_name",
        "type",
        "price",
        right=_TRADE,
        is_matching=True,
    ),
    "private/cancel": private(cancel, "order_id", right=_TRADE, is_matching=True),
    "private/cancel_all": private(
        cancel_all, "detailed", "freeze_quotes", right=_TRADE, is_matching=True
    ),
    "private/cancel_all_by_instrument": private(
        cancel_all_by_instrument,
        "instrument_name",
        *_CANCEL,
        right=_TRADE,
        is_matching=True,
    ),
    "private/cancel_all_by_currency": private(
        cancel_all_by_currency, "currency", *_CANCEL, right=_TRADE, is_matching=True
    ),
    "private/cancel_by_label": private(
        cancel_by_label, "label", "currency", right=_TRADE, is_matching=True
    ),
    "private/get_open_orders": private(get_open_orders, "currency", "kind", "type"),
    "private/get_open_orders_by_currency": private(
        get_open_orders, "currency", "kind", "type"
    ),
    "private/get_open_orders_by_instrument": private(
        get_open_orders_by_instrument, "instrument_name", "type"
    ),
    "private/get_open_orders_by_label": private(
        get_open_orders_by_label, "currency", "label"
    ),
    "private/get_order_state": private(get_order_state, "order_id"),
    "private/get_order_state_by_label": private(
        get_order_state_by_label, "currency", "label"
    ),
    "private/get_order_history_by_instrument": private(
        get_order_history_by_instrument, "instrument_name", *_HISTORY
    ),
    "private/get_order_history_by_currency": private(
        get_order_history_by_currency, "currency", "kind", *_HISTORY
    ),
}

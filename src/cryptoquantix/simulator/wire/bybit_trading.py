"""Bybit's order commands: create, amend, cancel, and batches of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cryptoquantix.core.order import Side, TimeInForce
from cryptoquantix.simulator.market import Market
from cryptoquantix.simulator.orders import AlgoOrder, OrderRequest, VenueOrder
from cryptoquantix.simulator.refusals import CommandRefusedError, Refusal
from cryptoquantix.simulator.rules import SelfTrade
from cryptoquantix.simulator.wire.bybit_conditional import (
    amend_conditional,
    check_protection,
    place_conditional,
    read_leg,
    read_protection,
)
from cryptoquantix.simulator.wire.bybit_errors import (
    BybitError,
    bad_parameter,
    bybit_error,
)
from cryptoquantix.simulator.wire.bybit_ids import (
    CONDITIONAL,
    PLAIN,
    link_id_text,
    ms_text,
    parse_uuid,
    uuid_text,
)
from cryptoquantix.simulator.wire.bybit_requests import (
    Call,
    Json,
    Result,
    Route,
    price_ticks,
    route,
    size_lots,
)

BATCH_MAX = 20
CANCEL_ALL_MAX = 500
TIMES_IN_FORCE = {
    "GTC": TimeInForce.GTC,
    "IOC": TimeInForce.IOC,
    "FOK": TimeInForce.FOK,
    "PostOnly": TimeInForce.POST_ONLY,
}
# Self-match prevention works within an account here: there are no groups.
SELF_TRADES = {
    "None": None,
    "CancelMaker": SelfTrade.CANCEL_MAKER,
    "CancelTaker": SelfTrade.CANCEL_TAKER,
    "CancelBoth": SelfTrade.CANCEL_BOTH,
}
CREATE_PARAMETERS = (
    "category symbol isLeverage side orderType qty marketUnit price triggerDirection "
    "orderFilter triggerPrice triggerBy orderIv timeInForce positionIdx orderLinkId "
    "takeProfit stopLoss tpTriggerBy slTriggerBy reduceOnly closeOnTrigger smpType "
    "mmp tpslMode tpLimitPrice slLimitPrice tpOrderType slOrderType"
)
AMEND_PARAMETERS = (
    "category symbol orderId orderLinkId orderIv triggerPrice qty price tpslMode "
    "takeProfit stopLoss tpTriggerBy slTriggerBy triggerBy tpLimitPrice slLimitPrice"
)
CANCEL_PARAMETERS = "category symbol orderId orderLinkId orderFilter"


def read_order(call: Call, market: Market) -> OrderRequest:
    """Return the order that a request asks for; the venue's error if it is none."""
    parameters, listing = call.parameters, market.listing
    side = parameters.choice("side", {"Buy", "Sell"})
    is_limit = parameters.choice("orderType", {"Limit", "Market"}) == "Limit"
    asked = parameters.choice("timeInForce", set(TIMES_IN_FORCE), "GTC")
    if not is_limit and asked == "PostOnly":
        raise bad_parameter(text="timeInForce invalid for a market order")
    price = price_ticks(listing, parameters.decimal("price")) if is_limit else None
    link_id = parameters.link_id()
    if link_id is not None:
        _check_unused(call, link_id)
    self_trade = SELF_TRADES[parameters.choice("smpType", set(SELF_TRADES), "None")]
    is_conditional = "triggerPrice" in parameters.values
    reduces = parameters.flag("reduceOnly") or parameters.flag("closeOnTrigger")
    return OrderRequest(
        symbol=listing.symbol,
        side=Side.BUY if side == "Buy" else Side.SELL,
        size_lots=_read_size(call, market, reduces=reduces),
        client_id=link_id or call.state.new_client_id(),
        price_ticks=price,
        time_in_force=TIMES_IN_FORCE[asked] if is_limit else TimeInForce.IOC,
        order_type="LIMIT" if is_limit else "MARKET",
        original_type="Stop" if is_conditional else "",
        is_reduce_only=reduces,
        leg=read_leg(call, listing.symbol),
        self_trade=self_trade,
    )


def _read_size(call: Call, market: Market, *, reduces: bool) -> int:
    """Return the size in lots; with reduce-only, 0 means all there is to close."""
    value = call.parameters.decimal("qty")
    if not value and reduces:
        return market.listing.market_size_max_lots
    lots = size_lots(market.listing, value)
    if lots < market.listing.size_min_lots:
        raise bad_parameter(text="qty is below the minimum")
    return lots


def _check_unused(call: Call, link_id: str) -> None:
    """Refuse a client id that any order, plain or conditional, has had."""
    exchange, account_id = call.exchange, call.account_id
    if (
        exchange.find_client(account_id, link_id) is not None
        or exchange.find_algo(account_id, link_id) is not None
    ):
        raise CommandRefusedError(Refusal.DUPLICATE_CLIENT_ID)


def create_order(call: Call) -> Json:
    """Place an order, or with ``triggerPrice`` a conditional one."""
    market = call.market()
    if "triggerDirection" in call.parameters.values and (
        "triggerPrice" not in call.parameters.values
    ):
        raise bad_parameter(text="triggerPrice is required with triggerDirection")
    request = read_order(call, market)
    if "triggerPrice" in call.parameters.values:
        if read_protection(call, market) is not None:
            raise bad_parameter(
                text="takeProfit of a conditional order is not simulated"
            )
        algo = place_conditional(call, market, request)
        return _ids(uuid_text(CONDITIONAL, algo.id), request)
    protection = read_protection(call, market)
    if protection is not None:
        base = request.price_ticks or market.price_ticks
        check_protection(protection, market, request.side.sign, base)
    order = call.exchange.place(call.account_id, request, call.time_ns)
    if protection is not None:
        call.state.attach(order.id, protection)
    return _ids(uuid_text(PLAIN, order.id), request)


def _ids(order_id: str, request: OrderRequest) -> Json:
    return {"orderId": order_id, "orderLinkId": link_id_text(request)}


def find_order(call: Call) -> VenueOrder | AlgoOrder | None:
    """
    Return the order asked for by id or link id, None if there is none.

    A conditional order that has triggered is found as the order it became.
    """
    parameters, exchange = call.parameters, call.exchange
    found: VenueOrder | AlgoOrder | None
    if "orderId" in parameters.values:
        named = parse_uuid(parameters.text("orderId"))
        if named is None:
            return None
        kind, number = named
        known = exchange.orders if kind == PLAIN else exchange.algos
        found = known.get(number) if kind in {PLAIN, CONDITIONAL} else None
    elif (link_id := parameters.link_id()) is not None:
        found = exchange.find_algo(call.account_id, link_id) or exchange.find_client(
            call.account_id, link_id
        )
    else:
        raise bad_parameter(text="orderId or orderLinkId is required")
    if isinstance(found, AlgoOrder) and found.child is not None:
        child = exchange.orders.get(found.child.id)
        found = child or found
    if found is None or found.account_id != call.account_id:
        return None
    return found


def _find_in_market(call: Call, text: str) -> VenueOrder | AlgoOrder:
    market, order = call.market(), find_order(call)
    if order is None or order.listing.symbol != market.listing.symbol:
        raise BybitError(110001, text)
    return order


def _ids_of(call: Call, order: VenueOrder | AlgoOrder) -> Json:
    if isinstance(order, AlgoOrder):
        return _ids(uuid_text(CONDITIONAL, order.id), order.request.order)
    parent = call.state.parent_of(order)
    if parent is not None:
        return _ids(uuid_text(CONDITIONAL, parent.id), order.request)
    return _ids(uuid_text(PLAIN, order.id), order.request)


def amend_order(call: Call) -> Json:
    """Give an open order another size, price or trigger price."""
    text = "order not exists or too late to replace"
    order = _find_in_market(call, text)
    if isinstance(order, AlgoOrder):
        amend_conditional(call, order)
        return _ids_of(call, order)
    if not order.status.is_open:
        raise BybitError(110001, text)
    parameters, listing = call.parameters, order.listing
    for name in ("takeProfit", "stopLoss"):
        if name in parameters.values:
            raise bad_parameter(text=f"amending {name} of an order is not simulated")
    price, size = order.price_ticks, order.size_lots
    if "price" in parameters.values:
        price = price_ticks(listing, parameters.decimal("price"))
    if "qty" in parameters.values:
        size = size_lots(listing, parameters.decimal("qty"))
    call.exchange.amend(order, price_ticks=price, size_lots=size, time_ns=call.time_ns)
    return _ids_of(call, order)


def cancel_order(call: Call) -> Json:
    """Cancel an open order of either class."""
    order = _find_in_market(call, "order not exists or too late to cancel")
    answer = _ids_of(call, order)
    if isinstance(order, AlgoOrder):
        call.exchange.cancel_algo(order, call.time_ns)
    else:
        call.exchange.cancel(order, call.time_ns)
    return answer


def cancel_all(call: Call) -> Json:
    """Cancel what ``orderFilter`` names; without it, orders of both classes."""
    markets = call.markets()
    kind = call.parameters.choice("orderFilter", {"", "Order", "StopOrder"}, "")
    wants_stop_type = "stopOrderType" in call.parameters.values
    canceled: list[Json] = []
    for market in markets:
        plain = [
            o
            for o in list(market.open_orders.values())
            if o.account_id == call.account_id
            and kind in {"", "Order"}
            and not wants_stop_type
        ]
        waiting = [
            a
            for a in list(market.triggers.orders.values())
            if a.account_id == call.account_id and kind in {"", "StopOrder"}
        ]
        found: list[VenueOrder | AlgoOrder] = [*plain, *waiting]
        for order in found[: CANCEL_ALL_MAX - len(canceled)]:
            canceled.append(_ids_of(call, order))
            if isinstance(order, AlgoOrder):
                call.exchange.cancel_algo(order, call.time_ns)
            else:
                call.exchange.cancel(order, call.time_ns)
    return {"list": canceled, "success": "1"}


# Batches: each item has its own answer, in `retExtInfo` where it was refused.


def _batch(
    call: Call, names: str, handler: Callable[[Call], Json], *, with_time: bool
) -> Result:
    if call.category() != "linear":
        raise bad_parameter(text="category invalid")
    items: Any = call.parameters.values.get("request")
    if not isinstance(items, list) or not 0 < len(items) <= BATCH_MAX:
        raise bad_parameter(text=f"request must hold 1 to {BATCH_MAX} orders")
    known = set(names.split()) - {"category"}
    rows: list[Json] = []
    codes: list[Json] = []
    for item in items:
        if not isinstance(item, dict) or not item.keys() <= known:
            raise bad_parameter(text="request holds an unknown parameter")
        one = call.again({**item, "category": "linear"})
        row, code = _attempt(one, handler)
        rows.append(
            {"category": "linear", "symbol": str(item.get("symbol", ""))[:50]}
            | row
            | ({"createAt": ms_text(call.time_ns)} if with_time else {})
        )
        codes.append(code)
    return Result({"list": rows}, {"list": codes})


def _attempt(call: Call, handler: Callable[[Call], Json]) -> tuple[Json, Json]:
    try:
        row = handler(call)
    except CommandRefusedError as refused:
        error = bybit_error(refused)
    except BybitError as refused:
        error = refused
    else:
        return row, {"code": 0, "msg": "OK"}
    link_id = call.parameters.values.get("orderLinkId", "")
    refused_row = {"orderId": "", "orderLinkId": str(link_id)[:50]}
    return refused_row, {"code": error.code, "msg": error.text}


def create_batch(call: Call) -> Result:
    """Place up to twenty orders."""
    return _batch(call, CREATE_PARAMETERS, create_order, with_time=True)


def amend_batch(call: Call) -> Result:
    """Amend up to twenty orders."""
    return _batch(call, AMEND_PARAMETERS, amend_order, with_time=False)


def cancel_batch(call: Call) -> Result:
    """Cancel up to twenty orders."""
    return _batch(call, CANCEL_PARAMETERS, cancel_order, with_time=False)


ROUTES: dict[tuple[str, str], Route] = {
    ("POST", "/v5/order/create"): route(create_order, CREATE_PARAMETERS, limit=10),
    ("POST", "/v5/order/amend"): route(amend_order, AMEND_PARAMETERS, limit=10),
    ("POST", "/v5/order/cancel"): route(cancel_order, CANCEL_PARAMETERS, limit=10),
    ("POST", "/v5/order/cancel-all"): route(
        cancel_all,
        "category symbol baseCoin settleCoin orderFilter stopOrderType",
        limit=10,
    ),
    ("POST", "/v5/order/create-batch"): route(
        create_batch, "category request", limit=10
    ),
    ("POST", "/v5/order/amend-batch"): route(amend_batch, "category request", limit=10),
    ("POST", "/v5/order/cancel-batch"): route(
        cancel_batch, "category request", limit=10
    ),
}

"""Binance's order endpoints as commands to the core; it matches nothing."""

from __future__ import annotations

from typing import Any

import msgspec

from cryptoquantix.core.order import Side, TimeInForce
from cryptoquantix.simulator.accounts import Leg
from cryptoquantix.simulator.orders import OrderRequest, VenueOrder
from cryptoquantix.simulator.refusals import CommandRefusedError
from cryptoquantix.simulator.rules import SelfTrade
from cryptoquantix.simulator.wire.binance_errors import BinanceError, binance_error
from cryptoquantix.simulator.wire.binance_payloads import (
    SELF_TRADE_MODES,
    Json,
    order_query,
    order_result,
    user_trade,
)
from cryptoquantix.simulator.wire.binance_requests import (
    Call,
    Parameters,
    Route,
    missing,
    price_ticks,
    route,
    size_lots,
)

BATCH_MAX = 5
BATCH_CANCEL_MAX = 10
TIMES_IN_FORCE = {
    "GTC": TimeInForce.GTC,
    "IOC": TimeInForce.IOC,
    "FOK": TimeInForce.FOK,
    "GTX": TimeInForce.POST_ONLY,
}
CONDITIONAL_TYPES = {
    "STOP",
    "STOP_MARKET",
    "TAKE_PROFIT",
    "TAKE_PROFIT_MARKET",
    "TRAILING_STOP_MARKET",
}
ORDER_PARAMETERS = (
    "symbol side positionSide type timeInForce quantity reduceOnly price "
    "newClientOrderId newOrderRespType selfTradePreventionMode priceMatch "
    "closePosition workingType priceProtect goodTillDate stopPrice "
    "activationPrice callbackRate"
)
UNSUPPORTED = BinanceError(-1020, "This operation is not supported.")


def check_unsupported(parameters: Parameters) -> None:
    """
    Refuse what the venue offers and this simulator does not, with -1020.

    Price matching (the venue picks the price), orders good till a date and price
    protection: no client of ours sends them, and to take and ignore them would be
    worse than to refuse.
    """
    if (
        parameters.text("priceMatch", "NONE") != "NONE"
        or parameters.text("timeInForce", "GTC") == "GTD"
        or parameters.flag("priceProtect")
    ):
        raise BinanceError(UNSUPPORTED.code, UNSUPPORTED.text)


def read_leg(call: Call, symbol: str) -> Leg:
    """
    Return which position an order is for.

    Raises
    ------
    BinanceError
        -4061 where position side and position mode do not agree, -1106 for
        ``reduceOnly`` in hedge mode, which has none.
    """
    parameters = call.parameters
    side = parameters.choice("positionSide", {"BOTH", "LONG", "SHORT"}, "BOTH")
    leg = Leg(side.lower())
    if leg not in call.account.legs(symbol):
        msg = "Order's position side does not match user's setting."
        raise BinanceError(-4061, msg)
    if leg is not Leg.BOTH and parameters.values.get("reduceOnly"):
        raise BinanceError(-1106, "Parameter 'reduceonly' sent when not required.")
    return leg


def read_self_trade(parameters: Parameters) -> SelfTrade | None:
    """Return what shall happen where an order meets one of the same account."""
    text = parameters.text("selfTradePreventionMode", "")
    if text and text not in SELF_TRADE_MODES:
        msg = "Data sent for parameter 'selfTradePreventionMode' is not valid."
        raise BinanceError(-1130, msg)
    return SELF_TRADE_MODES.get(text)


def read_side(parameters: Parameters) -> Side:
    """Return the side; -1117 if it is neither."""
    text = parameters.text("side")
    if text not in {"BUY", "SELL"}:
        raise BinanceError(-1117, "Invalid side.")
    return Side.BUY if text == "BUY" else Side.SELL


def read_time_in_force(parameters: Parameters, default: str | None) -> TimeInForce:
    """Return the time in force; -1115 if it is unknown."""
    text = parameters.text("timeInForce", default)
    if text not in TIMES_IN_FORCE:
        raise BinanceError(-1115, "Invalid timeInForce.")
    return TIMES_IN_FORCE[text]


def read_order(call: Call) -> OrderRequest:
    """Return the order that a request asks for; the venue's error if it is none."""
    parameters = call.parameters
    market = call.market()
    order_type = parameters.text("type")
    if order_type in CONDITIONAL_TYPES:
        msg = (
            "Order type not supported for this endpoint. Please use the Algo Order "
            "API endpoints instead."
        )
        raise BinanceError(-4120, msg)
    if order_type not in {"LIMIT", "MARKET"}:
        raise BinanceError(-1116, "Invalid orderType.")
    check_unsupported(parameters)
    leg = read_leg(call, market.listing.symbol)
    if parameters.flag("closePosition"):
        raise BinanceError(-4136, "Target strategy invalid for orderType MARKET")
    side = read_side(parameters)
    time_in_force, price = TimeInForce.GTC, None
    if order_type == "LIMIT":
        time_in_force = read_time_in_force(parameters, None)
        price = price_ticks(market.listing, parameters.decimal("price"))
    elif parameters.values.get("price") or parameters.values.get("timeInForce"):
        name = "price" if parameters.values.get("price") else "timeInForce"
        msg = f"Parameter '{name}' sent when not required."
        raise BinanceError(-1106, msg)
    return OrderRequest(
        symbol=market.listing.symbol,
        side=side,
        size_lots=size_lots(market.listing, parameters.decimal("quantity")),
        client_id=parameters.client_id("newClientOrderId") or generated_id(call),
        price_ticks=price,
        time_in_force=time_in_force,
        order_type=order_type,
        is_reduce_only=parameters.flag("reduceOnly"),
        leg=leg,
        self_trade=read_self_trade(parameters),
    )


def generated_id(call: Call) -> str:
    """Return a client id for an order that was sent without one."""
    call.state.client_ids_made += 1
    return f"web_{call.state.client_ids_made:018d}"


def place_order(call: Call) -> Json:
    """Place one order and answer as ``newOrderRespType`` asks."""
    request = read_order(call)
    kind = call.parameters.choice("newOrderRespType", {"ACK", "RESULT"}, "ACK")
    order = call.exchange.place(call.account_id, request, call.time_ns)
    if kind == "RESULT":
        return order_result(order)
    # An acknowledgement shows the order as it was accepted, before any fill.
    accepted = order.snapshot()
    accepted.filled_lots = accepted.value_units = 0
    accepted.status = type(order.status).NEW
    return order_result(accepted)


def test_order(call: Call) -> Json:
    """Check an order's parameters and place nothing."""
    read_order(call)
    return {}


def find_order(call: Call, *, code: int, text: str) -> VenueOrder:
    """Return the order asked for by id or client id, or raise ``code``."""
    parameters = call.parameters
    symbol = call.market().listing.symbol
    order_id = parameters.optional_integer("orderId")
    client_id = parameters.values.get("origClientOrderId")
    if order_id is None and not client_id:
        msg = "Either orderId or origClientOrderId must be sent."
        raise BinanceError(-1102, f"Param 'origClientOrderId' or 'orderId': {msg}")
    if order_id is not None:
        order = call.exchange.orders.get(order_id)
    else:
        order = call.exchange.find_client(call.account_id, client_id or "")
    if (
        order is None
        or order.account_id != call.account_id
        or order.request.symbol != symbol
    ):
        raise BinanceError(code, text)
    return order


def query_order(call: Call) -> Json:
    """Return an order in any state; -2013 if there is none."""
    return order_query(find_order(call, code=-2013, text="Order does not exist."))


def query_open_order(call: Call) -> Json:
    """Return an open order; -2013 if there is none."""
    order = find_order(call, code=-2013, text="Order does not exist.")
    if not order.status.is_open:
        raise BinanceError(-2013, "Order does not exist.")
    return order_query(order)


def cancel_order(call: Call) -> Json:
    """Cancel an open order; -2011 if there is none."""
    order = find_order(call, code=-2011, text="Unknown order sent.")
    call.exchange.cancel(order, call.time_ns)
    return order_result(order)


def amend_order(call: Call) -> Json:
    """Give an open limit order another price and size."""
    order = find_order(call, code=-2013, text="Order does not exist.")
    if not order.status.is_open:
        raise BinanceError(-2013, "Order does not exist.")
    parameters = call.parameters
    if read_side(parameters) is not order.request.side:
        raise BinanceError(-1117, "Invalid side.")
    call.exchange.amend(
        order,
        price_ticks=price_ticks(order.listing, parameters.decimal("price")),
        size_lots=size_lots(order.listing, parameters.decimal("quantity")),
        time_ns=call.time_ns,
    )
    return order_result(order)


def place_batch(call: Call) -> list[Json]:
    """Place up to five orders; each has its own answer or error."""
    orders = _json_list(call, "batchOrders", BATCH_MAX)
    answers = []
    for values in orders:
        if not isinstance(values, dict):
            raise missing(name="batchOrders")
        known = ORDER_PARAMETERS.split()
        if not all(name in known and isinstance(values[name], str) for name in values):
            raise missing(name="batchOrders")
        answers.append(_attempt(_with(call, values), place_order))
    return answers


def cancel_batch(call: Call) -> list[Json]:
    """Cancel up to ten orders; each has its own answer or error."""
    # ccxt sends these names in lower case, and the venue takes them.
    sent = {name.lower(): name for name in call.parameters.values}
    name = sent.get("orderidlist") or sent.get("origclientorderidlist")
    if name is None:
        raise missing(name="orderIdList")
    one = "orderId" if name.lower() == "orderidlist" else "origClientOrderId"
    ids = _json_list(call, name, BATCH_CANCEL_MAX)
    symbol = call.parameters.text("symbol")
    return [
        _attempt(_with(call, {"symbol": symbol, one: str(value)}), cancel_order)
        for value in ids
    ]


def cancel_all_orders(call: Call) -> Json:
    """Cancel every open normal order of a symbol; conditional ones stay."""
    symbol = call.market().listing.symbol
    call.exchange.cancel_all(call.account_id, symbol, call.time_ns)
    return {"code": 200, "msg": "The operation of cancel all open order is done."}


def open_orders(call: Call) -> list[Json]:
    """Return open normal orders, of one symbol or of all."""
    found = [
        o
        for m in call.markets()
        for o in m.open_orders.values()
        if o.account_id == call.account_id
    ]
    return [order_query(o) for o in sorted(found, key=lambda o: o.id)]


def all_orders(call: Call) -> list[Json]:
    """Return orders in every state of one symbol, oldest first."""
    symbol = call.market().listing.symbol
    parameters = call.parameters
    from_id = parameters.integer("orderId", 0)
    start, end = parameters.time_ns("startTime"), parameters.time_ns("endTime")
    limit = parameters.limit(500, 1000)
    found = [
        o
        for o in call.exchange.orders.values()
        if o.account_id == call.account_id
        and o.request.symbol == symbol
        and o.id >= from_id
        and (start is None or o.created_ns >= start)
        and (end is None or o.created_ns <= end)
    ]
    pick = found[:limit] if from_id or start is not None else found[-limit:]
    return [order_query(o) for o in pick]


def user_trades(call: Call) -> list[Json]:
    """Return fills of one symbol, oldest first."""
    symbol = call.market().listing.symbol
    parameters = call.parameters
    order_id = parameters.optional_integer("orderId")
    from_id = parameters.optional_integer("fromId")
    start, end = parameters.time_ns("startTime"), parameters.time_ns("endTime")
    limit = parameters.limit(500, 1000)
    found = [
        f
        for f in call.exchange.clearing.fills[call.account_id]
        if f.order.request.symbol == symbol
        and (order_id is None or f.order.id == order_id)
        and (from_id is None or f.trade_id >= from_id)
        and (start is None or f.time_ns >= start)
        and (end is None or f.time_ns < end + 1_000_000)
    ]
    is_forward = from_id is not None or start is not None
    pick = found[:limit] if is_forward else found[-limit:]
    return [user_trade(f) for f in pick]


def countdown_cancel_all(call: Call) -> Json:
    """Arm or disarm one symbol's dead-man's switch (normal orders only)."""
    symbol = call.market().listing.symbol
    duration_ms = call.parameters.integer("countdownTime")
    if duration_ms < 0:
        raise missing(name="countdownTime")
    at_ns = call.time_ns + duration_ms * 1_000_000 if duration_ms else None
    call.exchange.countdown(call.account_id, symbol, at_ns)
    return {"symbol": symbol, "countdownTime": str(duration_ms)}


def _with(call: Call, values: dict[str, str]) -> Call:
    return Call(
        call.state, Parameters(values), call.time_ns, call.account_id, call.role
    )


def _attempt(call: Call, handler: Any) -> Json:  # noqa: ANN401 - any handler
    try:
        answer: Json = handler(call)
    except CommandRefusedError as refused:
        error = binance_error(refused)
    except BinanceError as refused:
        error = refused
    else:
        return answer
    return {"code": error.code, "msg": error.text}


def _json_list(call: Call, name: str, maximum: int) -> list[Any]:
    try:
        values = msgspec.json.decode(call.parameters.text(name))
    except (msgspec.DecodeError, RecursionError):
        raise missing(name) from None
    if not isinstance(values, list) or not 0 < len(values) <= maximum:
        raise BinanceError(-4082, "Invalid number of batch place orders.")
    return values


ROUTES: dict[tuple[str, str], Route] = {
    # Placing counts as orders of the account and weighs nothing on the address.
    ("POST", "/fapi/v1/order"): route(
        place_order, ORDER_PARAMETERS, weight=0, orders=1
    ),
    ("POST", "/fapi/v1/order/test"): route(test_order, ORDER_PARAMETERS),
    ("GET", "/fapi/v1/order"): route(query_order, "symbol orderId origClientOrderId"),
    ("DELETE", "/fapi/v1/order"): route(
        cancel_order, "symbol orderId origClientOrderId"
    ),
    ("PUT", "/fapi/v1/order"): route(
        amend_order,
        "symbol orderId origClientOrderId side quantity price priceMatch",
        orders=1,
    ),
    ("POST", "/fapi/v1/batchOrders"): route(place_batch, "batchOrders", weight=5),
    ("DELETE", "/fapi/v1/batchOrders"): route(
        cancel_batch,
        "symbol orderIdList origClientOrderIdList orderidlist origclientorderidlist",
    ),
    ("DELETE", "/fapi/v1/allOpenOrders"): route(cancel_all_orders, "symbol"),
    ("GET", "/fapi/v1/openOrders"): route(open_orders, "symbol", heavy_weight=40),
    ("GET", "/fapi/v1/openOrder"): route(
        query_open_order, "symbol orderId origClientOrderId"
    ),
    ("GET", "/fapi/v1/allOrders"): route(
        all_orders, "symbol orderId startTime endTime limit", weight=5
    ),
    ("GET", "/fapi/v1/userTrades"): route(
        user_trades, "symbol orderId startTime endTime fromId limit", weight=5
    ),
    ("POST", "/fapi/v1/countdownCancelAll"): route(
        countdown_cancel_all, "symbol countdownTime", weight=10
    ),
}

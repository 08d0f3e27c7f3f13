"""Binance's conditional-order endpoints as commands to the core."""

from __future__ import annotations

from dataclasses import replace

from cryptoquantix.core.order import Side
from cryptoquantix.simulator.market import Market
from cryptoquantix.simulator.orders import AlgoOrder, AlgoRequest, OrderRequest
from cryptoquantix.simulator.wire.binance_errors import BinanceError
from cryptoquantix.simulator.wire.binance_payloads import Json, algo_core, algo_query
from cryptoquantix.simulator.wire.binance_requests import (
    Call,
    Parameters,
    Route,
    missing,
    price_ticks,
    route,
    size_lots,
)
from cryptoquantix.simulator.wire.binance_trading import (
    CONDITIONAL_TYPES,
    check_unsupported,
    generated_id,
    read_leg,
    read_self_trade,
    read_side,
    read_time_in_force,
)

ALGO_PARAMETERS = (
    "algoType symbol side positionSide type timeInForce quantity price triggerPrice "
    "workingType priceMatch closePosition priceProtect reduceOnly activatePrice "
    "callbackRate clientAlgoId newOrderRespType selfTradePreventionMode goodTillDate"
)
WORKING_TYPES = {"MARK_PRICE", "CONTRACT_PRICE"}
CALLBACK_MIN_BPS, CALLBACK_MAX_BPS = 10, 1_000


def place_algo(call: Call) -> Json:
    """Place a conditional order."""
    call.parameters.choice("algoType", {"CONDITIONAL"})
    request = _read_algo(call)
    return algo_core(call.exchange.place_algo(call.account_id, request, call.time_ns))


def _read_algo(call: Call) -> AlgoRequest:
    parameters, market = call.parameters, call.market()
    kind = parameters.text("type")
    if kind not in CONDITIONAL_TYPES:
        raise BinanceError(-1116, "Invalid orderType.")
    check_unsupported(parameters)
    side = read_side(parameters)
    leg = read_leg(call, market.listing.symbol)
    order = replace(
        _read_child(call, market, kind, side),
        leg=leg,
        self_trade=read_self_trade(parameters),
    )
    trigger, callback_bps, activation = _read_trigger(parameters, market, kind, side)
    # A stop buys above and sells below; a take-profit the other way round.
    is_profit = kind.startswith("TAKE_PROFIT")
    return AlgoRequest(
        order=order,
        trigger_ticks=trigger,
        is_trigger_above=(side is Side.BUY) is not is_profit,
        working_type=parameters.choice("workingType", WORKING_TYPES, "CONTRACT_PRICE"),
        callback_bps=callback_bps,
        activation_ticks=activation,
    )


def _read_child(call: Call, market: Market, kind: str, side: Side) -> OrderRequest:
    """Return the order that the conditional order becomes."""
    parameters, listing = call.parameters, market.listing
    is_limit = kind in {"STOP", "TAKE_PROFIT"}
    closes = parameters.flag("closePosition")
    if closes and is_limit:
        msg = f"Target strategy invalid for orderType {kind},closePosition true"
        raise BinanceError(-4136, msg)
    if closes and (parameters.values.get("quantity") or parameters.flag("reduceOnly")):
        raise BinanceError(-1106, "Parameter 'reduceOnly' sent when not required.")
    lots = 0 if closes else size_lots(listing, parameters.decimal("quantity"))
    price = price_ticks(listing, parameters.decimal("price")) if is_limit else None
    return OrderRequest(
        symbol=listing.symbol,
        side=side,
        size_lots=lots,
        client_id=parameters.client_id("clientAlgoId") or generated_id(call),
        price_ticks=price,
        time_in_force=read_time_in_force(parameters, "GTC"),
        order_type="LIMIT" if is_limit else "MARKET",
        original_type=kind,
        is_reduce_only=parameters.flag("reduceOnly"),
        is_close_position=closes,
    )


def _read_trigger(
    parameters: Parameters, market: Market, kind: str, side: Side
) -> tuple[int, int, int]:
    """Return (trigger ticks, callback in 1e-4, activation ticks)."""
    listing = market.listing
    if kind != "TRAILING_STOP_MARKET":
        return price_ticks(listing, parameters.decimal("triggerPrice")), 0, 0
    rate = parameters.decimal("callbackRate") * 100
    if rate != rate.to_integral_value() or not (
        CALLBACK_MIN_BPS <= rate <= CALLBACK_MAX_BPS
    ):
        raise BinanceError(-2007, "Invalid callBack rate.")
    activation = 0
    if parameters.values.get("activatePrice"):
        activation = price_ticks(listing, parameters.decimal("activatePrice"))
    # Until it is active its trigger is out of reach.
    return (10**18 if side is Side.BUY else 0), int(rate), activation


def find_algo(call: Call, *, code: int, text: str) -> AlgoOrder:
    """Return the conditional order asked for, or raise ``code``."""
    algo_id = call.parameters.optional_integer("algoId")
    client_id = call.parameters.values.get("clientAlgoId")
    if algo_id is None and not client_id:
        raise missing(name="algoId")
    if algo_id is not None:
        algo = call.exchange.algos.get(algo_id)
    else:
        algo = call.exchange.find_algo(call.account_id, client_id or "")
    if algo is None or algo.account_id != call.account_id:
        raise BinanceError(code, text)
    return algo


def query_algo(call: Call) -> Json:
    """Return a conditional order in any state; -2013 if there is none."""
    return algo_query(find_algo(call, code=-2013, text="Order does not exist."))


def cancel_algo(call: Call) -> Json:
    """Cancel a waiting conditional order; -2011 if there is none."""
    algo = find_algo(call, code=-2011, text="Unknown order sent.")
    call.exchange.cancel_algo(algo, call.time_ns)
    return {
        "algoId": algo.id,
        "clientAlgoId": algo.request.order.client_id,
        "code": "200",
        "msg": "success",
    }


def cancel_all_algos(call: Call) -> Json:
    """Cancel every waiting conditional order of a symbol."""
    symbol = call.market().listing.symbol
    call.exchange.cancel_all_algos(call.account_id, symbol, call.time_ns)
    return {"code": 200, "msg": "The operation of cancel all open order is done."}


def open_algos(call: Call) -> list[Json]:
    """Return waiting conditional orders, of one symbol or of all."""
    symbols = {m.listing.symbol for m in call.markets()}
    wanted = call.parameters.optional_integer("algoId")
    return [
        algo_query(a)
        for a in call.exchange.open_algos(call.account_id)
        if a.request.order.symbol in symbols and wanted in {None, a.id}
    ]


def all_algos(call: Call) -> list[Json]:
    """Return conditional orders in every state of one symbol, oldest first."""
    symbol = call.market().listing.symbol
    parameters = call.parameters
    start, end = parameters.time_ns("startTime"), parameters.time_ns("endTime")
    from_id = parameters.integer("algoId", 0)
    limit = parameters.limit(500, 1000)
    found = [
        a
        for a in call.exchange.algos.values()
        if a.account_id == call.account_id
        and a.request.order.symbol == symbol
        and a.id >= from_id
        and (start is None or a.created_ns >= start)
        and (end is None or a.created_ns <= end)
    ]
    return [algo_query(a) for a in found[-limit:]]


ROUTES: dict[tuple[str, str], Route] = {
    ("POST", "/fapi/v1/algoOrder"): route(
        place_algo, ALGO_PARAMETERS, weight=0, orders=1
    ),
    ("GET", "/fapi/v1/algoOrder"): route(query_algo, "symbol algoId clientAlgoId"),
    ("DELETE", "/fapi/v1/algoOrder"): route(cancel_algo, "symbol algoId clientAlgoId"),
    ("GET", "/fapi/v1/openAlgoOrders"): route(
        open_algos, "algoType symbol algoId", heavy_weight=40
    ),
    ("DELETE", "/fapi/v1/algoOpenOrders"): route(cancel_all_algos, "symbol"),
    ("GET", "/fapi/v1/allAlgoOrders"): route(
        all_algos, "symbol algoId startTime endTime page limit", weight=5
    ),
}

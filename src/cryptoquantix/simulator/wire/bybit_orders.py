"""Orders and executions in Bybit's field names and words; it decides none."""

from __future__ import annotations

from cryptoquantix.core.order import Side, TimeInForce
from cryptoquantix.simulator.accounts import Leg
from cryptoquantix.simulator.orders import (
    AlgoOrder,
    AlgoStatus,
    EndReason,
    FillDetail,
    OrderRequest,
    Origin,
    Status,
    VenueOrder,
)
from cryptoquantix.simulator.wire.bybit_facts import BybitState, Charge
from cryptoquantix.simulator.wire.bybit_ids import (
    CHARGE,
    CONDITIONAL,
    EXECUTION,
    PLAIN,
    average,
    link_id_text,
    money,
    ms_text,
    trimmed,
    uuid_text,
)
from cryptoquantix.simulator.wire.bybit_requests import Json

TIMES_IN_FORCE = {
    TimeInForce.GTC: "GTC",
    TimeInForce.IOC: "IOC",
    TimeInForce.FOK: "FOK",
    TimeInForce.POST_ONLY: "PostOnly",
}
# The core's word for a trigger price and the venue's.
TRIGGER_BY = {
    "CONTRACT_PRICE": "LastPrice",
    "MARK_PRICE": "MarkPrice",
    "INDEX_PRICE": "IndexPrice",
}
POSITION_INDEX = {Leg.BOTH: 0, Leg.LONG: 1, Leg.SHORT: 2}
_STATUS = {
    Status.NEW: "New",
    Status.PARTIALLY_FILLED: "PartiallyFilled",
    Status.FILLED: "Filled",
}
_ALGO_STATUS = {
    AlgoStatus.NEW: "Untriggered",
    AlgoStatus.TRIGGERING: "Triggered",
    AlgoStatus.TRIGGERED: "Triggered",
    AlgoStatus.CANCELED: "Deactivated",
    AlgoStatus.REJECTED: "Rejected",
}
# Why an order ended: the venue's cancelType and rejectReason.
_ENDS = {
    EndReason.NONE: ("UNKNOWN", "EC_NoError"),
    EndReason.USER: ("CancelByUser", "EC_PerCancelRequest"),
    EndReason.UNFILLED: ("UNKNOWN", "EC_NoImmediateQtyToFill"),
    EndReason.SELF_TRADE: ("CancelBySmp", "EC_BySelfMatch"),
    EndReason.POST_ONLY: ("UNKNOWN", "EC_PostOnlyWillTakeLiquidity"),
    EndReason.REDUCE_ONLY: ("CancelByReduceOnly", "EC_PerCancelRequest"),
    EndReason.LIQUIDATION: ("CancelAllBeforeLiq", "EC_PerCancelRequest"),
    EndReason.DEAD_MAN: ("CancelByDCP", "EC_PerCancelRequest"),
    EndReason.POSITION_MODE: ("CancelByAdmin", "EC_PerCancelRequest"),
}
_CREATED_BY = {
    Origin.CLIENT: "CreateByUser",
    Origin.LIQUIDATION: "CreateByLiq",
    Origin.ADL: "CreateByAdl_PassThrough",
    Origin.EXTERNAL: "CreateByUser",
}
_EXECUTION_TYPE = {
    Origin.CLIENT: "Trade",
    Origin.LIQUIDATION: "BustTrade",
    Origin.ADL: "AdlTrade",
    Origin.EXTERNAL: "Trade",
}


def side_text(side: Side) -> str:
    """Return Buy or Sell."""
    return "Buy" if side is Side.BUY else "Sell"


def order_id(state: BybitState, order: VenueOrder) -> str:
    """Return the id an order is known by: its own, or that of what it was."""
    parent = state.parent_of(order)
    if parent is not None:
        return uuid_text(CONDITIONAL, parent.id)
    return uuid_text(PLAIN, order.id)


def order_json(state: BybitState, order: VenueOrder) -> Json:
    """Return an order, with what it was before it triggered, as REST shows it."""
    parent = state.parent_of(order)
    cancel_type, reason = _ENDS[order.end_reason]
    if order.end_reason is EndReason.UNFILLED and (
        order.request.time_in_force is TimeInForce.FOK
    ):
        reason = "EC_CancelForNoFullFill"
    created = state.created_ticks.get(order.id, 0)
    fee = money(order.fee_units)
    return _shared(order.request, parent) | {
        "orderId": uuid_text(CONDITIONAL, parent.id)
        if parent
        else uuid_text(PLAIN, order.id),
        "price": order.listing.price_text(order.price_ticks),
        "qty": order.listing.size_text(order.size_lots),
        "orderStatus": _STATUS.get(order.status, "Cancelled"),
        "cancelType": cancel_type,
        "rejectReason": reason,
        "avgPrice": average(order.listing, order.value_units, order.filled_lots)
        if order.filled_lots
        else "",
        **_leaves(order),
        "cumExecQty": order.listing.size_text(order.filled_lots),
        "cumExecValue": money(order.value_units),
        "cumExecFee": fee,
        "cumFeeDetail": {order.listing.settlement: fee},
        "lastPriceOnCreated": order.listing.price_text(created),
        "triggerPrice": order.listing.price_text(parent.trigger_ticks)
        if parent
        else "",
        **_protection(state, order),
        "createdTime": ms_text(parent.created_ns if parent else order.created_ns),
        "updatedTime": ms_text(order.updated_ns),
    }


def algo_json(state: BybitState, algo: AlgoOrder) -> Json:
    """Return a conditional order that has not become an order."""
    request, listing = algo.request.order, algo.listing
    status = _ALGO_STATUS.get(algo.status)
    if status is None:  # expired: refused when it triggered, or its position closed
        status = "Rejected" if algo.triggered_ns else "Deactivated"
    is_over = status in {"Deactivated", "Rejected"}
    price = request.price_ticks or algo.trigger_ticks
    value = listing.value_units(price, request.size_lots) if request.size_lots else 0
    by_user = algo.status is AlgoStatus.CANCELED
    return _shared(request, algo) | {
        "orderId": uuid_text(CONDITIONAL, algo.id),
        "price": listing.price_text(request.price_ticks or 0),
        "qty": listing.size_text(0 if request.is_close_position else request.size_lots),
        "orderStatus": status,
        "cancelType": "CancelByUser" if by_user else "UNKNOWN",
        "rejectReason": "EC_Others" if status == "Rejected" else "EC_NoError",
        "avgPrice": "",
        "leavesQty": listing.size_text(0 if is_over else request.size_lots),
        "leavesValue": money(0 if is_over else value),
        "cumExecQty": listing.size_text(0),
        "cumExecValue": "0",
        "cumExecFee": "0",
        "cumFeeDetail": {},
        "lastPriceOnCreated": listing.price_text(
            state.created_algo_ticks.get(algo.id, 0)
        ),
        "triggerPrice": listing.price_text(algo.trigger_ticks),
        "takeProfit": "",
        "stopLoss": "",
        "tpTriggerBy": "",
        "slTriggerBy": "",
        "createdTime": ms_text(algo.created_ns),
        "updatedTime": ms_text(algo.updated_ns),
    }


def _shared(request: OrderRequest, algo: AlgoOrder | None) -> Json:
    """Return the fields that follow from what was asked for."""
    is_market = request.price_ticks is None
    direction = 0 if algo is None else 1 if algo.request.is_trigger_above else 2
    return {
        "orderLinkId": link_id_text(request),
        "blockTradeId": "",
        "symbol": request.symbol,
        "side": side_text(request.side),
        "isLeverage": "",
        "positionIdx": POSITION_INDEX[request.leg],
        "timeInForce": "IOC" if is_market else TIMES_IN_FORCE[request.time_in_force],
        "orderType": "Market" if is_market else "Limit",
        "stopOrderType": request.original_type if algo else "",
        "orderIv": "",
        "triggerDirection": direction,
        "triggerBy": TRIGGER_BY[algo.request.working_type] if algo else "",
        "reduceOnly": request.is_reduce_only or request.is_close_position,
        "closeOnTrigger": request.is_close_position,
        "smpType": "CancelMaker" if request.self_trade else "None",
        "smpGroup": 0,
        "smpOrderId": "",
        "tpslMode": "Full" if request.is_close_position else "",
        "tpLimitPrice": "",
        "slLimitPrice": "",
        "placeType": "",
        "createType": _created_by(request),
    }


def _created_by(request: OrderRequest) -> str:
    if request.original_type in {"StopLoss", "TakeProfit"}:
        return f"CreateBy{request.original_type}"
    return _CREATED_BY[request.origin]


def _leaves(order: VenueOrder) -> Json:
    if not order.status.is_open:
        return {"leavesQty": order.listing.size_text(0), "leavesValue": "0"}
    price = order.price_ticks
    value = order.listing.value_units(price, order.remaining_lots) if price else 0
    return {
        "leavesQty": order.listing.size_text(order.remaining_lots),
        "leavesValue": money(value),
    }


def _protection(state: BybitState, order: VenueOrder) -> Json:
    attached = state.attached.get(order.id)
    if attached is None:
        return {"takeProfit": "", "stopLoss": "", "tpTriggerBy": "", "slTriggerBy": ""}
    take, stop = attached.take_profit_ticks, attached.stop_loss_ticks
    text = order.listing.price_text
    return {
        "takeProfit": text(take) if take else "",
        "stopLoss": text(stop) if stop else "",
        "tpTriggerBy": TRIGGER_BY[attached.take_profit_by] if take else "",
        "slTriggerBy": TRIGGER_BY[attached.stop_loss_by] if stop else "",
    }


def execution_json(state: BybitState, fill: FillDetail) -> Json:
    """Return a fill as ``/v5/execution/list`` shows it."""
    order, listing = fill.order, fill.order.listing
    request = order.request
    rate = listing.fee_rate_maker if fill.is_maker else listing.fee_rate_taker
    parent = state.parent_of(order)
    return {
        "symbol": listing.symbol,
        "orderId": order_id(state, order),
        "orderLinkId": link_id_text(request),
        "side": side_text(request.side),
        "orderPrice": listing.price_text(order.price_ticks),
        "orderQty": listing.size_text(order.size_lots),
        "leavesQty": listing.size_text(order.remaining_lots),
        "createType": _created_by(request),
        "orderType": "Market" if request.price_ticks is None else "Limit",
        "stopOrderType": request.original_type if parent else "UNKNOWN",
        "execFee": money(fill.fee_units),
        "execId": uuid_text(EXECUTION, fill.trade_id),
        "execPrice": listing.price_text(fill.price_ticks),
        "execQty": listing.size_text(fill.size_lots),
        "execType": _EXECUTION_TYPE[request.origin],
        "execValue": money(fill.value_units),
        "execTime": ms_text(fill.time_ns),
        "feeCurrency": listing.settlement,
        "isMaker": fill.is_maker,
        "feeRate": trimmed(f"{rate:f}") if fill.fee_units else "0",
        "tradeIv": "",
        "markIv": "",
        "markPrice": listing.price_text(fill.mark_ticks),
        "indexPrice": listing.price_text(fill.index_ticks),
        "underlyingPrice": "",
        "blockTradeId": "",
        "closedSize": listing.size_text(closed_lots(fill)),
        "seq": fill.trade_id,
    }


def closed_lots(fill: FillDetail) -> int:
    """Return how many lots of a position a fill closed."""
    sign = fill.order.request.side.sign
    before = fill.position_after - sign * fill.size_lots
    if before * sign >= 0:
        return 0
    return min(abs(before), fill.size_lots)


def charge_json(charge: Charge) -> Json:
    """Return funding as the execution the venue makes of it."""
    held, listing = charge.held, charge.held.listing
    value = held.notional_units(charge.mark_ticks)
    size = listing.size_text(abs(held.size_lots))
    mark = listing.price_text(charge.mark_ticks)
    return {
        "symbol": listing.symbol,
        "orderId": uuid_text(CHARGE, charge.id),
        "orderLinkId": "",
        "side": "Buy" if held.size_lots > 0 else "Sell",
        "orderPrice": listing.price_text(0),
        "orderQty": listing.size_text(0),
        "leavesQty": listing.size_text(0),
        "createType": "",
        "orderType": "UNKNOWN",
        "stopOrderType": "UNKNOWN",
        "execFee": money(-charge.units),
        "execId": uuid_text(CHARGE, charge.id),
        "execPrice": mark,
        "execQty": size,
        "execType": "Funding",
        "execValue": money(value),
        "execTime": ms_text(charge.time_ns),
        "feeCurrency": listing.settlement,
        "isMaker": False,
        "feeRate": trimmed(f"{-charge.units / value:.8f}") if value else "0",
        "tradeIv": "",
        "markIv": "",
        "markPrice": mark,
        "indexPrice": mark,
        "underlyingPrice": "",
        "blockTradeId": "",
        "closedSize": listing.size_text(0),
        "seq": charge.id,
    }

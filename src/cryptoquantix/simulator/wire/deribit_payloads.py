"""The core's objects as Deribit's JSON; numbers keep every digit, nothing is booked."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from cryptoquantix.core.order import Side, TimeInForce
from cryptoquantix.simulator.history import PrintedTrade
from cryptoquantix.simulator.listing import Listing, money_text
from cryptoquantix.simulator.market import Market
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
from cryptoquantix.simulator.rules import PostOnly

type Json = dict[str, Any]

USER_ID = 1
ZERO = Decimal("0.0")
TIME_IN_FORCE = {
    TimeInForce.GTC: "good_til_cancelled",
    TimeInForce.POST_ONLY: "good_til_cancelled",
    TimeInForce.IOC: "immediate_or_cancel",
    TimeInForce.FOK: "fill_or_kill",
}
_STATES = {
    Status.NEW: "open",
    Status.PARTIALLY_FILLED: "open",
    Status.FILLED: "filled",
    Status.CANCELED: "cancelled",
    Status.EXPIRED: "cancelled",
    Status.EXPIRED_IN_MATCH: "cancelled",
}
_CANCEL_REASONS = {
    EndReason.USER: "user_request",
    EndReason.UNFILLED: "other",
    EndReason.SELF_TRADE: "self_trading",
    EndReason.POST_ONLY: "post_only",
    EndReason.REDUCE_ONLY: "reduce_only",
    EndReason.LIQUIDATION: "liquidation",
    EndReason.DEAD_MAN: "cancel_on_disconnect",
}
_ALGO_STATES = {
    AlgoStatus.NEW: "untriggered",
    AlgoStatus.TRIGGERING: "triggered",
    AlgoStatus.TRIGGERED: "triggered",
    AlgoStatus.FINISHED: "triggered",
    AlgoStatus.CANCELED: "cancelled",
    AlgoStatus.REJECTED: "rejected",
    AlgoStatus.EXPIRED: "rejected",
}


@dataclass(frozen=True, slots=True)
class DeribitRequest(OrderRequest):
    """
    An order with what only Deribit's protocol knows.

    ``label`` is the client's and may repeat; ``client_id`` is the same where the core
    has no waiting order of that name. ``trigger`` names the price that a conditional
    order watches. ``session_id`` is the connection it came by, zero for HTTP.
    """

    label: str = ""
    trigger: str = ""
    session_id: int = 0


def ms(time_ns: int) -> int:
    """Return milliseconds."""
    return time_ns // 1_000_000


def index_name(listing: Listing) -> str:
    """Return the name of an instrument's price index."""
    return f"{listing.base}_{listing.quote}".lower()


def price(listing: Listing, price_ticks: int) -> Decimal:
    """Return a price."""
    return Decimal(listing.price_text(price_ticks))


def amount(listing: Listing, size_lots: int) -> Decimal:
    """Return a size: USD where inverse, coins where linear."""
    return Decimal(listing.size_text(size_lots))


def contracts(size_lots: int) -> Decimal:
    """Return a size in contracts; a contract is a lot."""
    return Decimal(size_lots)


def money(units: int) -> Decimal:
    """Return an amount of the settlement coin."""
    return Decimal(money_text(units)) if units else ZERO


def average_price(listing: Listing, value_units: int, size_lots: int) -> Decimal:
    """Return the average price of lots that were worth ``value_units``."""
    if not size_lots:
        return ZERO
    return plain(Decimal(listing.average_text(abs(value_units), abs(size_lots))))


def plain(value: Decimal) -> Decimal:
    """Return a number without the zeros it ends with."""
    if not value:
        return ZERO
    return Decimal(format(value.normalize(), "f"))


def coin_prefix(coin: str) -> str:
    """Return what ids of orders and trades in a coin start with."""
    return "" if coin == "BTC" else f"{coin}-"


def order_id(order: VenueOrder) -> str:
    """Return an order's id as the venue writes it."""
    return f"{coin_prefix(order.listing.settlement)}{order.id}"


def algo_id(algo: AlgoOrder) -> str:
    """Return a trigger order's id as the venue writes it."""
    kind = "SL" if algo.request.order.original_type.startswith("stop") else "TP"
    side = "B" if algo.request.order.side is Side.BUY else "S"
    return f"{coin_prefix(algo.listing.settlement)}{kind}M{side}-{algo.id}"


def label_of(request: OrderRequest) -> str:
    """Return the label of an order; the venue's own orders have their names."""
    if isinstance(request, DeribitRequest):
        return request.label
    return request.client_id


def session_of(request: OrderRequest) -> int:
    """Return the connection an order came by, zero for none."""
    return request.session_id if isinstance(request, DeribitRequest) else 0


def _trigger_of(request: OrderRequest) -> str:
    own = isinstance(request, DeribitRequest) and request.trigger
    return own or "last_price"


def _request_json(request: OrderRequest, listing: Listing, size_lots: int) -> Json:
    return {
        "label": label_of(request),
        "user_id": USER_ID,
        "amount": amount(listing, size_lots),
        "contracts": contracts(size_lots),
        "direction": request.side.value,
        "time_in_force": TIME_IN_FORCE[request.time_in_force],
        "instrument_name": request.symbol,
        "web": request.origin is Origin.EXTERNAL,
        "api": request.origin is Origin.CLIENT,
        "post_only": request.time_in_force is TimeInForce.POST_ONLY,
        "reject_post_only": request.post_only is PostOnly.REFUSE,
        "reduce_only": request.is_reduce_only,
        "mmp": False,
        "is_liquidation": request.origin in {Origin.LIQUIDATION, Origin.ADL},
        "risk_reducing": request.is_reduce_only,
    }


def order_json(order: VenueOrder) -> Json:
    """Return an order."""
    request, listing = order.request, order.listing
    is_market = request.price_ticks is None
    body = _request_json(request, listing, order.size_lots)
    body |= {
        "price": "market_price" if is_market else price(listing, order.price_ticks),
        "order_id": order_id(order),
        "order_type": order_type(request),
        "order_state": _STATES[order.status],
        "creation_timestamp": ms(order.created_ns),
        "last_update_timestamp": ms(order.updated_ns),
        "filled_amount": amount(listing, order.filled_lots),
        "average_price": average_price(listing, order.value_units, order.filled_lots),
        "replaced": _is_replaced(order),
    }
    if not order.status.is_open and order.status is not Status.FILLED:
        body["cancel_reason"] = _CANCEL_REASONS.get(order.end_reason, "other")
    if request.original_type:
        body |= {
            "triggered": True,
            "trigger": _trigger_of(request),
            "trigger_price": price(listing, request.stop_price_ticks),
        }
    return body


def _is_replaced(order: VenueOrder) -> bool:
    request = order.request
    if request.is_reduce_only or request.price_ticks is None:
        return False
    is_moved = order.price_ticks != request.price_ticks
    if request.post_only is not PostOnly.REFUSE:
        is_post_only = request.time_in_force is TimeInForce.POST_ONLY
        is_moved = is_moved and not is_post_only
    return is_moved or order.size_lots != request.size_lots


def order_type(request: OrderRequest) -> str:
    """Return the type of an order that has reached the book."""
    if request.origin in {Origin.LIQUIDATION, Origin.ADL}:
        return "liquidation"
    return "market" if request.price_ticks is None else "limit"


def algo_json(algo: AlgoOrder) -> Json:
    """Return an order that waits for its trigger price."""
    request, listing = algo.request.order, algo.listing
    ticks = request.price_ticks
    body = _request_json(request, listing, request.size_lots)
    body |= {
        "price": "market_price" if ticks is None else price(listing, ticks),
        "order_id": algo_id(algo),
        "order_type": request.original_type,
        "order_state": _ALGO_STATES[algo.status],
        "creation_timestamp": ms(algo.created_ns),
        "last_update_timestamp": ms(algo.updated_ns),
        "filled_amount": ZERO,
        "average_price": ZERO,
        "replaced": algo.status is AlgoStatus.NEW
        and algo.updated_ns != algo.created_ns,
        "trigger_price": price(listing, algo.trigger_ticks),
        "trigger": _trigger_of(request),
    }
    if algo.status is AlgoStatus.CANCELED:
        body["cancel_reason"] = "user_request"
    if algo.child is not None:
        body["triggered"] = True
    return body


def fill_json(fill: FillDetail) -> Json:
    """Return one fill of a client's order."""
    order, listing = fill.order, fill.order.listing
    request = order.request
    body: Json = {
        "trade_seq": fill.trade_id,
        "trade_id": trade_id(listing, fill.trade_id),
        "timestamp": ms(fill.time_ns),
        "tick_direction": 0,
        "state": _STATES[order.status],
        "reduce_only": request.is_reduce_only,
        "price": price(listing, fill.price_ticks),
        "post_only": request.time_in_force is TimeInForce.POST_ONLY,
        "order_type": order_type(request),
        "order_id": order_id(order),
        "matching_id": None,
        "mark_price": price(listing, fill.mark_ticks or fill.price_ticks),
        "index_price": price(listing, fill.index_ticks or fill.price_ticks),
        "liquidity": "M" if fill.is_maker else "T",
        "instrument_name": listing.symbol,
        "fee_currency": listing.settlement,
        "fee": money(fill.fee_units),
        "profit_loss": money(fill.realized_units),
        "direction": request.side.value,
        "amount": amount(listing, fill.size_lots),
        "contracts": contracts(fill.size_lots),
        "api": request.origin is Origin.CLIENT,
        "mmp": False,
        "self_trade": False,
        "risk_reducing": request.is_reduce_only,
        "user_id": USER_ID,
    }
    if label := label_of(request):
        body["label"] = label
    return body


def trade_id(listing: Listing, number: int) -> str:
    """Return a trade's id as the venue writes it."""
    return f"{coin_prefix(listing.settlement)}{number}"


def trade_json(trade: PrintedTrade, market: Market) -> Json:
    """Return one public trade, its time that of the tape."""
    listing = market.listing
    return {
        "timestamp": ms(trade.time_ns),
        "price": price(listing, trade.price_ticks),
        "amount": amount(listing, trade.size_lots),
        "direction": "sell" if trade.is_buyer_maker else "buy",
        "index_price": price(listing, market.index_ticks),
        "instrument_name": listing.symbol,
        "trade_seq": trade.id,
        "mark_price": price(listing, market.mark_ticks),
        "tick_direction": 0,
        "contracts": contracts(trade.size_lots),
        "trade_id": trade_id(listing, trade.id),
    }

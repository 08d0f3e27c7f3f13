"""What a venue checks before an order may enter; it changes nothing."""

from __future__ import annotations

from cryptoquantix.core.order import Side, TimeInForce
from cryptoquantix.simulator.accounts import OpenOrders
from cryptoquantix.simulator.clearing import Clearing
from cryptoquantix.simulator.market import Market
from cryptoquantix.simulator.matching import BookOrder
from cryptoquantix.simulator.orders import OrderRequest, VenueOrder
from cryptoquantix.simulator.refusals import CommandRefusedError, Refusal

ORDERS_OPEN_MAX = 200
MARKET_BOUND_PERCENT = 5  # a market order trades within 5 % of mark, then expires
LIMIT_BAND_PERCENT = 10  # a limit order may be at most 10 % through the mark


def admissible_lots(
    clearing: Clearing, account_id: int, market: Market, request: OrderRequest
) -> int:
    """Return the size an order may have: a reduce-only one the position at most."""
    listing = market.listing
    is_market = request.price_ticks is None
    limit = listing.market_size_max_lots if is_market else listing.size_max_lots
    if request.size_lots > limit:
        raise CommandRefusedError(Refusal.SIZE_MAX)
    if not request.is_reduce_only:
        return request.size_lots
    position = clearing.accounts[account_id].size_lots(listing.symbol)
    if position * request.side.sign >= 0:
        raise CommandRefusedError(Refusal.REDUCE_ONLY)
    return min(request.size_lots, abs(position))


def bound_ticks(market: Market, request: OrderRequest) -> int:
    """Return the worst price an order may trade at; refuse a price too far."""
    mark, sign = market.mark_ticks, request.side.sign
    if request.price_ticks is None:
        percent = 100 + sign * MARKET_BOUND_PERCENT
        bound = max(1, mark * percent // 100)
        return max(bound, mark + 1) if sign > 0 else min(bound, max(1, mark - 1))
    limit = mark * (100 + sign * LIMIT_BAND_PERCENT)
    if sign * request.price_ticks * 100 > sign * limit:
        refusal = Refusal.PRICE_HIGH if sign > 0 else Refusal.PRICE_LOW
        raise CommandRefusedError(
            refusal, market.listing.price_text(max(1, limit // 100))
        )
    return request.price_ticks


def check_entry(
    clearing: Clearing,
    account_id: int,
    market: Market,
    request: OrderRequest,
    *,
    size_lots: int,
    bound: int,
) -> None:
    """Refuse an order that may not enter; nothing has changed then."""
    if len(market.open_orders) >= ORDERS_OPEN_MAX:
        raise CommandRefusedError(Refusal.TOO_MANY_ORDERS)
    sign = request.side.sign
    if request.time_in_force is TimeInForce.POST_ONLY and market.book.crosses(
        sign, bound
    ):
        raise CommandRefusedError(Refusal.POST_ONLY)
    if request.time_in_force is TimeInForce.FOK:
        probe = BookOrder(0, account_id, sign, price_ticks=bound, size_lots=size_lots)
        if market.book.fillable_lots(probe) < size_lots:
            raise CommandRefusedError(Refusal.FOK)
    if not request.is_reduce_only:
        price = request.price_ticks or market.mark_ticks
        _check_value(
            clearing,
            account_id,
            market,
            request.side,
            price_ticks=price,
            size_lots=size_lots,
        )


def _check_value(
    clearing: Clearing,
    account_id: int,
    market: Market,
    side: Side,
    *,
    price_ticks: int,
    size_lots: int,
) -> None:
    listing = market.listing
    value = listing.value_units(price_ticks, size_lots)
    if value < listing.notional_min_units:
        raise CommandRefusedError(Refusal.NOTIONAL, str(listing.notional_min))
    extra = OpenOrders(value, 0) if side.sign > 0 else OpenOrders(0, value)
    account = clearing.accounts[account_id]
    if not clearing.can_afford(account, listing.symbol, extra):
        raise CommandRefusedError(Refusal.MARGIN)


def check_amendment(
    clearing: Clearing,
    market: Market,
    order: VenueOrder,
    *,
    price_ticks: int,
    size_lots: int,
) -> None:
    """Refuse a new price and size that the order could not have been placed with."""
    request = order.request
    if request.is_reduce_only:
        held = clearing.accounts[order.account_id].size_lots(request.symbol)
        if size_lots - order.filled_lots > abs(held):
            raise CommandRefusedError(Refusal.REDUCE_ONLY)
        return
    more = size_lots - order.filled_lots
    market.open_orders.pop(order.id)
    try:
        _check_value(
            clearing,
            order.account_id,
            market,
            request.side,
            price_ticks=price_ticks,
            size_lots=more,
        )
    finally:
        market.open_orders[order.id] = order

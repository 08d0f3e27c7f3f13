"""What a venue checks before an order may enter; it changes nothing."""

from __future__ import annotations

from cryptoquantix.core.order import TimeInForce
from cryptoquantix.simulator.accounts import OpenOrders
from cryptoquantix.simulator.clearing import Clearing
from cryptoquantix.simulator.market import Market
from cryptoquantix.simulator.matching import BookOrder
from cryptoquantix.simulator.orders import OrderRequest, VenueOrder
from cryptoquantix.simulator.refusals import CommandRefusedError, Refusal
from cryptoquantix.simulator.rules import PostOnly, VenueRules


def admissible_lots(
    clearing: Clearing, account_id: int, market: Market, request: OrderRequest
) -> int:
    """Return the size an order may have: a reduce-only one the position at most."""
    account, listing = clearing.accounts[account_id], market.listing
    if request.leg not in account.legs(listing.symbol):
        raise CommandRefusedError(Refusal.POSITION_SIDE)
    is_market = request.price_ticks is None
    limit = listing.market_size_max_lots if is_market else listing.size_max_lots
    check_size(market, request.size_lots, limit)
    if not request.reduces:
        return request.size_lots
    position = account.size_lots(listing.symbol, request.leg)
    if position * request.side.sign >= 0:
        raise CommandRefusedError(Refusal.REDUCE_ONLY)
    if request.size_lots > abs(position) and not request.is_reduce_only:
        raise CommandRefusedError(Refusal.REDUCE_ONLY)
    return min(request.size_lots, abs(position))


def check_size(market: Market, size_lots: int, size_max_lots: int) -> None:
    """Refuse a size outside the instrument's limits."""
    listing = market.listing
    if size_lots < listing.size_min_lots:
        raise CommandRefusedError(
            Refusal.SIZE_MIN, listing.size_text(listing.size_min_lots)
        )
    if size_lots > size_max_lots:
        raise CommandRefusedError(Refusal.SIZE_MAX)


def bound_ticks(market: Market, request: OrderRequest) -> int:
    """Return the worst price an order may trade at; refuse a price too far."""
    mark, sign = market.mark_ticks, request.side.sign
    if request.price_ticks is None:
        bound = max(1, int(mark * (1 + sign * market.listing.market_band)))
        return max(bound, mark + 1) if sign > 0 else min(bound, max(1, mark - 1))
    check_price(market, sign, request.price_ticks)
    return request.price_ticks


def check_price(market: Market, sign: int, price_ticks: int) -> None:
    """Refuse a limit price too far through the mark."""
    band = market.listing.limit_band
    # Scaled by the denominator: the comparison is exact and without fractions.
    limit = market.mark_ticks * (band.denominator + sign * band.numerator)
    if sign * price_ticks * band.denominator > sign * limit:
        refusal = Refusal.PRICE_HIGH if sign > 0 else Refusal.PRICE_LOW
        raise CommandRefusedError(
            refusal, market.listing.price_text(max(1, limit // band.denominator))
        )


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
    rules = clearing.rules
    if len(market.orders_of(account_id)) >= rules.orders_open_max:
        raise CommandRefusedError(Refusal.TOO_MANY_ORDERS)
    _check_matching(
        rules, account_id, market, request, size_lots=size_lots, bound=bound
    )
    if not request.reduces:
        price = request.price_ticks or market.mark_ticks
        _check_value(
            clearing,
            account_id,
            market,
            request,
            price_ticks=price,
            size_lots=size_lots,
        )


def _check_matching(
    rules: VenueRules,
    account_id: int,
    market: Market,
    request: OrderRequest,
    *,
    size_lots: int,
    bound: int,
) -> None:
    """Refuse what the book as it is now does not allow."""
    sign = request.side.sign
    crosses = market.book.crosses(sign, bound)
    post_only = request.post_only or rules.post_only
    is_post_only = request.time_in_force is TimeInForce.POST_ONLY
    if is_post_only and crosses and post_only is not PostOnly.CANCEL:
        raise CommandRefusedError(Refusal.POST_ONLY)
    is_market = request.price_ticks is None
    if is_market and (market.is_band_shut or not crosses):
        is_thin = market.book.best_ticks(-sign) is None
        if market.is_band_shut or (rules.market_band_refuses and not is_thin):
            raise CommandRefusedError(Refusal.MARKET_BAND)
    if request.time_in_force is TimeInForce.FOK and rules.fill_or_kill_refuses:
        probe = BookOrder(0, account_id, sign, price_ticks=bound, size_lots=size_lots)
        self_trade = request.self_trade or rules.self_trade
        if market.book.fillable_lots(probe, self_trade) < size_lots:
            raise CommandRefusedError(Refusal.FOK)


def _check_value(
    clearing: Clearing,
    account_id: int,
    market: Market,
    request: OrderRequest,
    *,
    price_ticks: int,
    size_lots: int,
) -> None:
    listing = market.listing
    value = listing.value_units(price_ticks, size_lots)
    if listing.quote_units(price_ticks, size_lots) < listing.notional_min_units:
        raise CommandRefusedError(Refusal.NOTIONAL, str(listing.notional_min))
    extra = OpenOrders(value, 0) if request.side.sign > 0 else OpenOrders(0, value)
    account = clearing.accounts[account_id]
    if not clearing.can_afford(account, listing.symbol, extra, request.leg):
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
    check_size(market, size_lots, market.listing.size_max_lots)
    check_price(market, request.side.sign, price_ticks)
    if request.reduces:
        account = clearing.accounts[order.account_id]
        held = account.size_lots(request.symbol, request.leg)
        if size_lots - order.filled_lots > abs(held):
            raise CommandRefusedError(Refusal.REDUCE_ONLY)
        return
    more = size_lots - order.filled_lots
    market.drop_open(order)
    try:
        _check_value(
            clearing,
            order.account_id,
            market,
            request,
            price_ticks=price_ticks,
            size_lots=more,
        )
    finally:
        market.add_open(order)

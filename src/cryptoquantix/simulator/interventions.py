"""What is done to an account from outside its own API; nothing here asks for margin."""

from __future__ import annotations

from cryptoquantix.core.order import Side
from cryptoquantix.simulator.accounts import Account, Holding, Leg
from cryptoquantix.simulator.floor import Floor
from cryptoquantix.simulator.market import Market
from cryptoquantix.simulator.orders import (
    EndReason,
    ModeChanged,
    OrderRequest,
    VenueOrder,
)
from cryptoquantix.simulator.refusals import CommandRefusedError, Refusal


def external_fill(
    floor: Floor,
    account_id: int,
    request: OrderRequest,
    *,
    price_ticks: int,
    time_ns: int,
) -> VenueOrder:
    """Fill an order that the account's owner placed elsewhere, whole, at a price."""
    account = floor.clearing.accounts[account_id]
    if request.leg not in account.legs(request.symbol):
        raise CommandRefusedError(Refusal.POSITION_SIDE)
    held = account.size_lots(request.symbol, request.leg)
    size_lots = request.size_lots
    if request.reduces:
        if held * request.side.sign >= 0:
            raise CommandRefusedError(Refusal.REDUCE_ONLY)
        size_lots = min(size_lots, abs(held))
    order = floor.accept(account_id, request, size_lots, time_ns)
    floor.settle_forced(
        order, price_ticks, size_lots, match_id=0, time_ns=time_ns, execution="TRADE"
    )
    return order


def change_position_mode(
    floor: Floor,
    account: Account,
    symbol: str,
    *,
    is_hedged: bool,
    is_forced: bool,
    time_ns: int,
) -> None:
    """
    Change between one-way and hedge mode, of one symbol or with "" of all.

    Refused with positions or orders open, unless forced: then orders are canceled,
    a position becomes the leg of its side, and of two legs what is both long and
    short is closed at mark, without a fee.
    """
    if is_hedged and not floor.rules.has_hedge_mode:
        raise CommandRefusedError(Refusal.MODE_UNKNOWN)
    symbols = [symbol] if symbol else list(floor.markets)
    concerned = [floor.market(name) for name in symbols]
    if all(account.is_hedged(name) is is_hedged for name in symbols):
        raise CommandRefusedError(Refusal.MODE_SAME)
    is_busy = any(
        account.is_held(m.listing.symbol) or bool(m.orders_of(account.id))
        for m in concerned
    )
    if is_busy and not is_forced:
        raise CommandRefusedError(Refusal.MODE_BUSY)
    for market in concerned:
        name = market.listing.symbol
        floor.cancel_all(account.id, name, time_ns, reason=EndReason.POSITION_MODE)
        if account.is_hedged(name) is not is_hedged:
            _convert(floor, account, market, is_hedged=is_hedged, time_ns=time_ns)
    _set_mode(floor, account, symbol, is_hedged=is_hedged)
    floor.emit(ModeChanged(account.id, symbol, is_hedged, time_ns))
    for coin in floor.rules.coins:
        floor.touch(account.id, coin)


def _set_mode(floor: Floor, account: Account, symbol: str, *, is_hedged: bool) -> None:
    if not symbol:
        account.is_hedged_by_default = is_hedged
        account.hedged.clear()
        return
    if account.is_hedged_by_default:
        account.is_hedged_by_default = False
        account.hedged.update(floor.markets)
    if is_hedged:
        account.hedged.add(symbol)
    else:
        account.hedged.discard(symbol)


def _convert(
    floor: Floor,
    account: Account,
    market: Market,
    *,
    is_hedged: bool,
    time_ns: int,
) -> None:
    """Turn one position into a leg, or two legs into one position."""
    symbol = market.listing.symbol
    if is_hedged:
        held = account.holdings.pop((symbol, Leg.BOTH), None)
        if held is not None and held.size_lots:
            held.leg = Leg.LONG if held.size_lots > 0 else Leg.SHORT
            account.holdings[symbol, held.leg] = held
        return
    _close_overlap(floor, account, market, time_ns)
    legs = [account.holdings.pop((symbol, x), None) for x in (Leg.LONG, Leg.SHORT)]
    kept = next((held for held in legs if held is not None and held.size_lots), None)
    if kept is not None:
        kept.leg = Leg.BOTH
        account.holdings[symbol, Leg.BOTH] = kept


def _close_overlap(
    floor: Floor, account: Account, market: Market, time_ns: int
) -> None:
    """Close at mark what is held both long and short."""
    listing, clearing = market.listing, floor.clearing
    legs: list[Holding] = [account.holding(listing, x) for x in (Leg.LONG, Leg.SHORT)]
    both = min(abs(held.size_lots) for held in legs)
    realized = 0
    for held in legs:
        if held.size_lots:
            realized += clearing.book_accrued(account, market, held.leg, time_ns)
        if both:
            side = Side.of(-held.size_lots)
            units = held.apply(side.sign * both, market.mark_ticks)
            realized += units
            account.book(
                "REALIZED_PNL",
                units,
                time_ns,
                coin=listing.settlement,
                symbol=listing.symbol,
            )
    if both or realized:
        floor.emit(
            clearing.funds_changed(
                account,
                "MODE",
                time_ns,
                change_units=realized,
                symbol=listing.symbol,
            )
        )

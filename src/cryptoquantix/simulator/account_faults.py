"""
What others do to an account: money moved, orders from elsewhere, ADL, another mode.

Each goes through the venue's core like anything else, so that books stay exact and
private streams tell of it. It says what it did in words for the log.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from cryptoquantix.core.order import Side
from cryptoquantix.simulator.fault_kinds import Kind
from cryptoquantix.simulator.faults import Active
from cryptoquantix.simulator.listing import to_units
from cryptoquantix.simulator.orders import OrderRequest
from cryptoquantix.simulator.venue import SimulatedVenue

ACCOUNT = 1

type AccountFault = Callable[[SimulatedVenue, Active, int], str]


def _transfer(venue: SimulatedVenue, active: Active, time_ns: int) -> str:
    fault = active.fault
    sign = 1 if fault.kind is Kind.DEPOSIT else -1
    units = sign * to_units(Decimal(fault.amount))
    try:
        venue.transfer(fault.account, units, time_ns, fault.coin)
    except ValueError as error:
        return f"nothing happens: {error}"
    return f"{fault.kind.value} of {fault.amount} {fault.coin}".rstrip()


def external_fill(venue: SimulatedVenue, active: Active, time_ns: int) -> str:
    """Fill an order that the owner placed elsewhere; return what happened."""
    fault = active.fault
    symbol = fault.symbol or next(iter(venue.exchange.markets))
    market = venue.exchange.markets.get(symbol)
    if market is None:
        return f"no {symbol} at {venue.name}: nothing happens"
    account = venue.exchange.clearing.accounts.get(fault.account)
    if account is None:
        return f"no account {fault.account} at {venue.name}: nothing happens"
    legs = account.legs(symbol)
    request = OrderRequest(
        symbol=symbol,
        side=Side.of(1 if fault.side == "buy" else -1),
        size_lots=max(1, int(Decimal(fault.amount) / market.listing.lot_size)),
        client_id=f"web_{active.id}",
        order_type="MARKET",
        # In hedge mode a buy opens the long leg and a sale the short one.
        leg=legs[0] if fault.side == "buy" else legs[-1],
    )
    price = market.price_ticks
    order = venue.exchange.external_fill(fault.account, request, price, time_ns)
    venue.settle()
    return f"order {order.id} from elsewhere: {fault.side} {fault.amount} {symbol}"


def _deleverage(venue: SimulatedVenue, active: Active, time_ns: int) -> str:
    """Close one leg at the mark: the venue gives it to a bankrupt counterparty."""
    fault = active.fault
    account = venue.exchange.clearing.accounts.get(fault.account)
    if account is None:
        return f"no account {fault.account} at {venue.name}: nothing happens"
    for market, held in venue.exchange.clearing.open_holdings(account):
        symbol = held.listing.symbol
        if fault.symbol in {"", symbol}:
            lots = abs(held.size_lots)
            if fault.amount:
                wanted = int(Decimal(fault.amount) / held.listing.lot_size)
                lots = max(1, min(lots, wanted))
            venue.exchange.deleverage(fault.account, symbol, held.leg, lots, time_ns)
            venue.settle()
            size = market.listing.size_text(lots)
            return f"{size} of {symbol} auto-deleveraged"
    return "no position to deleverage"


def _position_mode(venue: SimulatedVenue, active: Active, time_ns: int) -> str:
    is_hedged = active.fault.mode == "hedge"
    venue.exchange.force_mode(
        active.fault.account, is_hedged=is_hedged, time_ns=time_ns
    )
    venue.settle()
    return f"position mode is {active.fault.mode}"


def _session_expired(venue: SimulatedVenue, active: Active, time_ns: int) -> str:
    del active
    return f"{venue.expire_sessions(time_ns)} sessions expired"


ACCOUNT_FAULTS: dict[Kind, AccountFault] = {
    Kind.DEPOSIT: _transfer,
    Kind.WITHDRAWAL: _transfer,
    Kind.EXTERNAL_FILL: external_fill,
    Kind.ADL: _deleverage,
    Kind.POSITION_MODE: _position_mode,
    Kind.SESSION_EXPIRED: _session_expired,
}

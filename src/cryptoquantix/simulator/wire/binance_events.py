"""What happens to an account, as Binance's user-data events; it delivers none."""

from __future__ import annotations

from cryptoquantix.simulator.listing import money_text
from cryptoquantix.simulator.orders import (
    AlgoChanged,
    FundsChanged,
    LeverageChanged,
    OrderChanged,
    VenueEvent,
)
from cryptoquantix.simulator.wire.binance_payloads import (
    TIME_IN_FORCE,
    Json,
    average_price,
    break_even_price,
    entry_price,
    leg_text,
    ms,
    self_trade_text,
    shown_trigger,
    side_text,
)

# The core's reasons that the venue has another word for.
REASONS = {"MODE": "ADJUSTMENT"}


def user_event(event: VenueEvent, coin: str) -> Json | None:
    """Return the message for an event, None where the venue sends none."""
    if isinstance(event, OrderChanged):
        return order_trade_update(event)
    if isinstance(event, FundsChanged):
        return account_update(event, coin)
    if isinstance(event, AlgoChanged):
        return algo_update(event)
    if isinstance(event, LeverageChanged):
        return account_config_update(event)
    return None


def event_account(event: VenueEvent) -> int:
    """Return the account an event belongs to."""
    if isinstance(event, OrderChanged):
        return event.order.account_id
    if isinstance(event, AlgoChanged):
        return event.algo.account_id
    return event.account_id


def order_trade_update(event: OrderChanged) -> Json:
    """Return ORDER_TRADE_UPDATE."""
    order, fill = event.order, event.fill
    request, listing = order.request, order.listing
    at = ms(event.time_ns)
    body: Json = {
        "s": listing.symbol,
        "c": request.client_id,
        "S": side_text(request.side),
        "o": request.order_type,
        "f": TIME_IN_FORCE[request.time_in_force],
        "q": listing.size_text(order.size_lots),
        "p": listing.price_text(order.price_ticks),
        "ap": average_price(order) if order.filled_lots else "0",
        "sp": listing.price_text(request.stop_price_ticks),
        "x": event.execution,
        "X": order.status.value,
        "i": order.id,
        "l": listing.size_text(fill.size_lots if fill else 0),
        "z": listing.size_text(order.filled_lots),
        "L": listing.price_text(fill.price_ticks if fill else 0),
        "T": at,
        "t": fill.trade_id if fill else 0,
        "b": "0",
        "a": "0",
        "m": bool(fill and fill.is_maker),
        "R": request.is_reduce_only,
        "wt": request.working_type,
        "ot": request.original_type or request.order_type,
        "ps": leg_text(request.leg),
        "cp": request.is_close_position,
        "rp": money_text(fill.realized_units) if fill else "0",
        "pP": False,
        "si": 0,
        "ss": 0,
        "V": self_trade_text(request),
        "pm": "NONE",
        "gtd": 0,
    }
    if fill:
        body |= {"N": listing.quote, "n": money_text(fill.fee_units)}
    return {"e": "ORDER_TRADE_UPDATE", "E": at, "T": at, "o": body}


def account_update(event: FundsChanged, coin: str) -> Json:
    """Return ACCOUNT_UPDATE."""
    at = ms(event.time_ns)
    wallet = money_text(event.wallet_units)
    change = money_text(event.change_units)
    return {
        "e": "ACCOUNT_UPDATE",
        "E": at,
        "T": at,
        "a": {
            "m": REASONS.get(event.reason, event.reason),
            "B": [{"a": coin, "wb": wallet, "cw": wallet, "bc": change}],
            "P": [
                {
                    "s": held.listing.symbol,
                    "pa": held.listing.size_text(held.size_lots),
                    "ep": entry_price(held),
                    "bep": break_even_price(held),
                    "cr": money_text(held.realized_units),
                    "up": money_text(held.unrealized_units(mark)),
                    "mt": "cross",
                    "iw": "0",
                    "ps": leg_text(held.leg),
                    "ma": coin,
                }
                for held, mark in event.holdings
            ],
        },
    }


def account_config_update(event: LeverageChanged) -> Json:
    """Return ACCOUNT_CONFIG_UPDATE; a changed position mode is told to nobody."""
    at = ms(event.time_ns)
    changed = {"s": event.symbol, "l": event.leverage}
    return {"e": "ACCOUNT_CONFIG_UPDATE", "E": at, "T": at, "ac": changed}


def algo_update(event: AlgoChanged) -> Json:
    """Return ALGO_UPDATE."""
    algo = event.algo
    request, order, listing = algo.request, algo.request.order, algo.listing
    at, child = ms(event.time_ns), algo.child
    return {
        "e": "ALGO_UPDATE",
        "T": at,
        "E": at,
        "o": {
            "caid": order.client_id,
            "aid": algo.id,
            "at": "CONDITIONAL",
            "o": order.original_type,
            "s": listing.symbol,
            "S": side_text(order.side),
            "ps": leg_text(order.leg),
            "f": TIME_IN_FORCE[order.time_in_force],
            "q": listing.size_text(order.size_lots),
            "X": algo.status.value,
            "ai": str(child.id) if child else "",
            "ap": average_price(child) if child else "0",
            "aq": listing.size_text(child.filled_lots) if child else "0",
            "act": order.order_type,
            "tp": listing.price_text(shown_trigger(algo)),
            "p": listing.price_text(order.price_ticks or 0),
            "V": self_trade_text(order),
            "wt": request.working_type,
            "pm": "NONE",
            "cp": order.is_close_position,
            "pP": False,
            "R": order.is_reduce_only,
            "tt": ms(algo.triggered_ns),
            "gtd": 0,
        },
    }


def listen_key_expired(key: str, time_ns: int) -> Json:
    """Return listenKeyExpired."""
    return {"e": "listenKeyExpired", "E": ms(time_ns), "listenKey": key}

"""Bybit's conditional orders and position protection as commands to the core."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from cryptoquantix.core.order import Side
from cryptoquantix.simulator.accounts import Holding, Leg
from cryptoquantix.simulator.market import Market
from cryptoquantix.simulator.orders import (
    AlgoChanged,
    AlgoOrder,
    AlgoRequest,
    OrderRequest,
)
from cryptoquantix.simulator.refusals import CommandRefusedError, Refusal
from cryptoquantix.simulator.wire.bybit_errors import BybitError, bad_parameter
from cryptoquantix.simulator.wire.bybit_facts import BybitState, Protection
from cryptoquantix.simulator.wire.bybit_holdings import (
    STOP_LOSS,
    TAKE_PROFIT,
    protection_of,
)
from cryptoquantix.simulator.wire.bybit_requests import (
    Call,
    Json,
    Parameters,
    Route,
    price_ticks,
    route,
    size_lots,
)

TRIGGER_BY = {
    "LastPrice": "CONTRACT_PRICE",
    "MarkPrice": "MARK_PRICE",
    "IndexPrice": "INDEX_PRICE",
}
LEGS = {"0": Leg.BOTH, "1": Leg.LONG, "2": Leg.SHORT}


def read_trigger_by(parameters: Parameters, name: str) -> str:
    """Return the core's word for the price that triggers."""
    return TRIGGER_BY[parameters.choice(name, set(TRIGGER_BY), "LastPrice")]


def read_leg(call: Call, symbol: str) -> Leg:
    """Return the position ``positionIdx`` means; 10001 if the mode has it not."""
    leg = LEGS[call.parameters.choice("positionIdx", set(LEGS), "0")]
    account = call.exchange.clearing.accounts[call.account_id]
    if leg not in account.legs(symbol):
        raise BybitError(10001, "position idx not match position mode")
    return leg


def place_conditional(call: Call, market: Market, request: OrderRequest) -> AlgoOrder:
    """Let an order wait for its trigger price."""
    parameters = call.parameters
    trigger = price_ticks(
        market.listing, parameters.decimal("triggerPrice"), "triggerPrice"
    )
    direction = parameters.choice("triggerDirection", {"1", "2"})
    algo = AlgoRequest(
        order=request,
        trigger_ticks=trigger,
        is_trigger_above=direction == "1",
        working_type=read_trigger_by(parameters, "triggerBy"),
    )
    return _place(call, market, algo)


def _place(call: Call, market: Market, request: AlgoRequest) -> AlgoOrder:
    try:
        return call.exchange.place_algo(call.account_id, request, call.time_ns)
    except CommandRefusedError as refused:
        if refused.refusal is not Refusal.WOULD_TRIGGER:
            raise
        trigger = market.listing.price_text(request.trigger_ticks)
        now = market.listing.price_text(market.working_ticks(request.working_type))
        rising = request.is_trigger_above
        raise BybitError(
            110092 if rising else 110093,
            f"expect {'Rising' if rising else 'Falling'}, but trigger_price"
            f"[{trigger}] {'<=' if rising else '>='} current[{now}]",
        ) from None


def amend_conditional(call: Call, algo: AlgoOrder) -> None:
    """Give a waiting order another trigger price, size or price."""
    parameters, listing = call.parameters, algo.listing
    market = call.exchange.markets[listing.symbol]
    if algo.id not in market.triggers.orders:
        raise BybitError(110001, "order not exists or too late to replace")
    order, trigger = algo.request.order, algo.trigger_ticks
    if "triggerPrice" in parameters.values:
        value = parameters.decimal("triggerPrice")
        trigger = price_ticks(listing, value, "triggerPrice")
    if "qty" in parameters.values:
        size = size_lots(listing, parameters.decimal("qty"))
        order = replace(order, size_lots=size)
    if "price" in parameters.values and order.price_ticks is not None:
        price = price_ticks(listing, parameters.decimal("price"))
        order = replace(order, price_ticks=price)
    by = algo.request.working_type
    if "triggerBy" in parameters.values:
        by = read_trigger_by(parameters, "triggerBy")
    request = replace(algo.request, order=order, trigger_ticks=trigger, working_type=by)
    if request == algo.request:
        raise CommandRefusedError(Refusal.AMEND_NOTHING)
    _check_ahead(market, request)
    market.triggers.remove(algo.id)
    algo.request, algo.trigger_ticks = request, trigger
    algo.updated_ns = call.time_ns
    market.triggers.add(algo)
    call.exchange.emit(AlgoChanged(algo.snapshot(), call.time_ns))


def _check_ahead(market: Market, request: AlgoRequest) -> None:
    sign = 1 if request.is_trigger_above else -1
    now_ticks = market.working_ticks(request.working_type)
    if sign * (request.trigger_ticks - now_ticks) <= 0:
        raise BybitError(
            110092 if sign > 0 else 110093, "trigger price is already reached"
        )


# Take profit and stop loss of a position.


def read_protection(call: Call, market: Market) -> Protection | None:
    """Return what ``takeProfit`` and ``stopLoss`` of an order ask for."""
    parameters = call.parameters
    for name in ("tpLimitPrice", "slLimitPrice"):
        if name in parameters.values:
            raise bad_parameter(text=f"{name} of an order is not simulated")
    take = _optional_ticks(parameters, market, "takeProfit")
    stop = _optional_ticks(parameters, market, "stopLoss")
    if not take and not stop:
        return None
    return Protection(
        take or 0,
        stop or 0,
        read_trigger_by(parameters, "tpTriggerBy"),
        read_trigger_by(parameters, "slTriggerBy"),
    )


def _optional_ticks(parameters: Parameters, market: Market, name: str) -> int | None:
    """Return a price in ticks, 0 for "0", None where it was not sent."""
    if name not in parameters.values:
        return None
    value = parameters.decimal(name)
    return price_ticks(market.listing, value, name) if value else 0


def check_protection(
    protection: Protection, market: Market, sign: int, base_ticks: int
) -> None:
    """Refuse a take profit or stop loss on the wrong side of the price."""
    text = market.listing.price_text
    side = "Buy" if sign > 0 else "Sell"
    pairs = (
        ("TakeProfit", protection.take_profit_ticks, sign),
        ("StopLoss", protection.stop_loss_ticks, -sign),
    )
    for name, ticks, direction in pairs:
        if ticks and direction * (ticks - base_ticks) <= 0:
            raise BybitError(
                10001,
                f"{name}:{text(ticks)} set for {side} position should be "
                f"{'higher' if direction > 0 else 'lower'} than "
                f"base_price:{text(base_ticks)}",
            )


class Guard(NamedTuple):
    """A position whose protection is to change, and when."""

    state: BybitState
    account_id: int
    held: Holding
    time_ns: int

    def known(self, kind: str) -> AlgoOrder | None:
        """Return the take profit or stop loss the position has."""
        market = self.state.exchange.markets[self.held.listing.symbol]
        return protection_of(market, self.account_id, self.held.leg, kind)

    def clear(self, kind: str) -> None:
        """Take a take profit or stop loss off, if there is one."""
        known = self.known(kind)
        if known is not None:
            self.state.exchange.cancel_algo(known, self.time_ns)

    def protect(self, protection: Protection) -> None:
        """Put a take profit and a stop loss on, replacing those it has."""
        if protection.take_profit_ticks:
            ticks, by = protection.take_profit_ticks, protection.take_profit_by
            self._set(TAKE_PROFIT, ticks, by)
        if protection.stop_loss_ticks:
            ticks, by = protection.stop_loss_ticks, protection.stop_loss_by
            self._set(STOP_LOSS, ticks, by)

    def _set(self, kind: str, ticks: int, by: str) -> None:
        self.clear(kind)
        held = self.held
        order = OrderRequest(
            symbol=held.listing.symbol,
            side=Side.of(-held.size_lots),
            size_lots=0,
            client_id=self.state.new_client_id(),
            order_type="MARKET",
            original_type=kind,
            is_close_position=True,
            leg=held.leg,
        )
        above = (kind == TAKE_PROFIT) == (held.size_lots > 0)
        request = AlgoRequest(order, ticks, above, by)
        self.state.exchange.place_algo(self.account_id, request, self.time_ns)


def trading_stop(call: Call) -> Json:
    """Set, change or (with 0) take off what protects a position."""
    market, parameters = call.market(), call.parameters
    account = call.exchange.clearing.accounts[call.account_id]
    leg = read_leg(call, market.listing.symbol)
    held = account.held(market.listing.symbol, leg)
    if held is None or not held.size_lots:
        raise BybitError(10001, "can not set tp/sl/ts for zero position")
    if "trailingStop" in parameters.values and parameters.decimal("trailingStop"):
        raise bad_parameter(text="trailingStop is not simulated")
    take = _optional_ticks(parameters, market, "takeProfit")
    stop = _optional_ticks(parameters, market, "stopLoss")
    wanted = Protection(
        take or 0,
        stop or 0,
        read_trigger_by(parameters, "tpTriggerBy"),
        read_trigger_by(parameters, "slTriggerBy"),
    )
    check_protection(wanted, market, held.sign, market.price_ticks)
    if parameters.choice("tpslMode", {"Full", "Partial"}, "Full") == "Partial":
        _protect_part(call, market, held, wanted)
        return {}
    guard = Guard(call.state, call.account_id, held, call.time_ns)
    pairs = ((TAKE_PROFIT, take), (STOP_LOSS, stop))
    if all(_is_unchanged(guard, kind, ticks) for kind, ticks in pairs):
        raise BybitError(34040, "not modified")
    for kind, ticks in pairs:
        if ticks == 0:
            guard.clear(kind)
    guard.protect(wanted)
    return {}


def _is_unchanged(guard: Guard, kind: str, ticks: int | None) -> bool:
    known = guard.known(kind)
    return ticks is None or ticks == (known.trigger_ticks if known else 0)


def _protect_part(
    call: Call, market: Market, held: Holding, wanted: Protection
) -> None:
    """Protect a part of a position with orders of their own size."""
    parts = (
        (TAKE_PROFIT, wanted.take_profit_ticks, wanted.take_profit_by, 1),
        (STOP_LOSS, wanted.stop_loss_ticks, wanted.stop_loss_by, -1),
    )
    requests = [
        AlgoRequest(
            _partial_order(call, held, kind),
            ticks,
            is_trigger_above=held.sign * direction > 0,
            working_type=by,
        )
        for kind, ticks, by, direction in parts
        if ticks
    ]
    if not requests:
        raise bad_parameter(text="takeProfit or stopLoss is required")
    for request in requests:
        _place(call, market, request)


def _partial_order(call: Call, held: Holding, kind: str) -> OrderRequest:
    parameters, listing = call.parameters, held.listing
    prefix = "tp" if kind == TAKE_PROFIT else "sl"
    name = f"{prefix}Size"
    size = size_lots(listing, parameters.decimal(name), name)
    if size > abs(held.size_lots):
        raise bad_parameter(text=f"{name} is larger than the position")
    price = None
    order_type = parameters.choice(f"{prefix}OrderType", {"Market", "Limit"}, "Market")
    if order_type == "Limit":
        limit = f"{prefix}LimitPrice"
        price = price_ticks(listing, parameters.decimal(limit), limit)
    return OrderRequest(
        symbol=listing.symbol,
        side=Side.of(-held.size_lots),
        size_lots=size,
        client_id=call.state.new_client_id(),
        price_ticks=price,
        order_type=order_type.upper(),
        original_type=kind,
        is_reduce_only=True,
        leg=held.leg,
    )


ROUTES: dict[tuple[str, str], Route] = {
    ("POST", "/v5/position/trading-stop"): route(
        trading_stop,
        "category symbol tpslMode positionIdx takeProfit stopLoss trailingStop "
        "tpTriggerBy slTriggerBy activePrice tpSize slSize tpLimitPrice slLimitPrice "
        "tpOrderType slOrderType",
        limit=10,
    ),
}

"""What the core holds, in Binance's field names and number formats; it decides none."""

from __future__ import annotations

from typing import Any

from cryptoquantix.core.order import Side, TimeInForce
from cryptoquantix.simulator.accounts import Account, Holding, Leg, bracket_of
from cryptoquantix.simulator.clearing import Clearing, open_order_values
from cryptoquantix.simulator.history import NS_PER_MINUTE, HistoryBar
from cryptoquantix.simulator.listing import (
    BRACKETS,
    Listing,
    divide_half_even,
    money_text,
)
from cryptoquantix.simulator.market import Market
from cryptoquantix.simulator.matching import UNBOUNDED_TICKS
from cryptoquantix.simulator.orders import (
    AlgoOrder,
    FillDetail,
    OrderRequest,
    VenueOrder,
)
from cryptoquantix.simulator.rules import SelfTrade

type Json = dict[str, Any]

TIME_IN_FORCE = {
    TimeInForce.GTC: "GTC",
    TimeInForce.IOC: "IOC",
    TimeInForce.FOK: "FOK",
    TimeInForce.POST_ONLY: "GTX",
}
SELF_TRADE_MODES = {
    "NONE": SelfTrade.ALLOW,
    "EXPIRE_MAKER": SelfTrade.CANCEL_MAKER,
    "EXPIRE_TAKER": SelfTrade.CANCEL_TAKER,
    "EXPIRE_BOTH": SelfTrade.CANCEL_BOTH,
}
_SELF_TRADE_TEXT = {mode: text for text, mode in SELF_TRADE_MODES.items()}


def ms(time_ns: int) -> int:
    """Return milliseconds of a time in nanoseconds."""
    return time_ns // 1_000_000


def side_text(side: Side) -> str:
    """Return BUY or SELL."""
    return "BUY" if side is Side.BUY else "SELL"


def leg_text(leg: Leg) -> str:
    """Return BOTH, LONG or SHORT."""
    return leg.value.upper()


def self_trade_text(request: OrderRequest) -> str:
    """Return an order's self-trade prevention mode, the venue's own without one."""
    mode = request.self_trade
    return _SELF_TRADE_TEXT[mode] if mode else "EXPIRE_MAKER"


def average_price(order: VenueOrder) -> str:
    """Return an order's average fill price, ``0.00`` before the first."""
    if not order.filled_lots:
        return "0.00"
    return order.listing.average_text(order.value_units, order.filled_lots)


def order_core(order: VenueOrder) -> Json:
    """Return the fields that every order payload over REST shares."""
    request, listing = order.request, order.listing
    return {
        "orderId": order.id,
        "symbol": listing.symbol,
        "status": order.status.value,
        "clientOrderId": request.client_id,
        "price": listing.price_text(order.price_ticks),
        "avgPrice": average_price(order),
        "origQty": listing.size_text(order.size_lots),
        "executedQty": listing.size_text(order.filled_lots),
        "cumQuote": money_text(order.value_units),
        "timeInForce": TIME_IN_FORCE[request.time_in_force],
        "type": request.order_type,
        "reduceOnly": request.is_reduce_only,
        "closePosition": request.is_close_position,
        "side": side_text(request.side),
        "positionSide": leg_text(request.leg),
        "stopPrice": listing.price_text(request.stop_price_ticks),
        "workingType": request.working_type,
        "priceProtect": False,
        "origType": request.original_type or request.order_type,
        "priceMatch": "NONE",
        "selfTradePreventionMode": self_trade_text(request),
        "goodTillDate": 0,
    }


def order_query(order: VenueOrder) -> Json:
    """Return an order as GET order and openOrders show it."""
    return order_core(order) | {
        "time": ms(order.created_ns),
        "updateTime": ms(order.updated_ns),
    }


def order_result(order: VenueOrder) -> Json:
    """Return an order as POST, PUT and DELETE answer."""
    return order_core(order) | {
        "cumQty": order.listing.size_text(order.filled_lots),
        "updateTime": ms(order.updated_ns),
    }


def user_trade(fill: FillDetail) -> Json:
    """Return a fill as userTrades shows it."""
    order = fill.order
    listing = order.listing
    is_buy = order.request.side is Side.BUY
    return {
        "symbol": listing.symbol,
        "id": fill.trade_id,
        "orderId": order.id,
        "side": side_text(order.request.side),
        "price": listing.price_text(fill.price_ticks),
        "qty": listing.size_text(fill.size_lots),
        "realizedPnl": money_text(fill.realized_units),
        "marginAsset": listing.quote,
        "quoteQty": money_text(fill.value_units),
        "commission": money_text(fill.fee_units),
        "commissionAsset": listing.quote,
        "time": ms(fill.time_ns),
        "positionSide": leg_text(order.request.leg),
        "buyer": is_buy,
        "maker": fill.is_maker,
    }


def algo_core(algo: AlgoOrder) -> Json:
    """Return the fields of every conditional-order payload over REST."""
    request, order, listing = algo.request, algo.request.order, algo.listing
    return {
        "algoId": algo.id,
        "clientAlgoId": order.client_id,
        "algoType": "CONDITIONAL",
        "orderType": order.original_type,
        "symbol": listing.symbol,
        "side": side_text(order.side),
        "positionSide": leg_text(order.leg),
        "timeInForce": TIME_IN_FORCE[order.time_in_force],
        "quantity": listing.size_text(order.size_lots),
        "algoStatus": algo.status.value,
        "triggerPrice": listing.price_text(shown_trigger(algo)),
        "price": listing.price_text(order.price_ticks or 0),
        "icebergQuantity": None,
        "selfTradePreventionMode": self_trade_text(order),
        "workingType": request.working_type,
        "priceMatch": "NONE",
        "closePosition": order.is_close_position,
        "priceProtect": False,
        "reduceOnly": order.is_reduce_only,
        "activatePrice": _activation(algo),
        "callbackRate": _callback(algo),
        "createTime": ms(algo.created_ns),
        "updateTime": ms(algo.updated_ns),
        "triggerTime": ms(algo.triggered_ns),
        "goodTillDate": 0,
    }


def shown_trigger(algo: AlgoOrder) -> int:
    """Return the trigger in ticks, zero while a trailing stop is not active."""
    return algo.trigger_ticks if algo.trigger_ticks < UNBOUNDED_TICKS else 0


def algo_query(algo: AlgoOrder) -> Json:
    """Return a conditional order as its GET endpoints show it."""
    child = algo.child
    return algo_core(algo) | {
        "actualOrderId": str(child.id) if child else "",
        "actualPrice": average_price(child) if child else "0.00000",
    }


def _activation(algo: AlgoOrder) -> str:
    ticks = algo.request.activation_ticks
    return algo.listing.price_text(ticks) if ticks else ""


def _callback(algo: AlgoOrder) -> str:
    bps = algo.request.callback_bps
    return f"{bps / 100:.1f}" if bps else ""


def entry_price(held: Holding) -> str:
    """Return a position's average entry price, ``0.0`` when flat."""
    if not held.size_lots:
        return "0.0"
    return held.listing.average_text(abs(held.cost_units), abs(held.size_lots))


def break_even_price(held: Holding) -> str:
    """Return the price at which closing as taker earns nothing (entry plus fees)."""
    if not held.size_lots:
        return "0.0"
    fee = held.listing.fee_units(abs(held.cost_units), held.listing.fee_rate_taker)
    value = abs(held.cost_units) + held.sign * fee
    return held.listing.average_text(value, abs(held.size_lots))


def liquidation_price(clearing: Clearing, account: Account, held: Holding) -> str:
    """
    Return the mark at which the account's equity meets its maintenance margin.

    Other positions are held at their marks; "0" where no positive price does it.
    """
    market = clearing.markets[held.listing.symbol]
    margin = clearing.margin(account)
    notional = held.notional_units(market.mark_ticks)
    bracket = bracket_of(notional, held.listing.brackets)
    room = margin.equity - margin.maintenance
    # d(equity)/d(notional) is the position's sign, d(maintenance) the rate.
    slope = 10_000 - held.sign * bracket.rate_bps
    value = notional - held.sign * divide_half_even(room * 10_000, slope)
    if value <= 0:
        return "0"
    return held.listing.average_text(value, abs(held.size_lots))


class PositionView:
    """One position of an account, with every figure a position payload needs."""

    def __init__(
        self,
        clearing: Clearing,
        account: Account,
        market: Market,
        leg: Leg = Leg.BOTH,
    ) -> None:
        self.market = market
        self.account = account
        self.clearing = clearing
        listing = market.listing
        self.held = account.held(listing.symbol, leg) or Holding(listing, leg)
        self.leg = leg_text(leg)
        self.margin = clearing.leg_margin(account, listing.symbol, leg)
        self.orders = open_order_values(market, account.id, leg)
        self.unrealized = self.held.unrealized_units(market.mark_ticks)
        self.notional = self.held.sign * self.held.notional_units(market.mark_ticks)

    @property
    def initial(self) -> str:
        """Initial margin of position and orders."""
        return money_text(self.margin.position + self.margin.open_orders)

    def risk_v3(self) -> Json:
        """Return the row of GET /fapi/v3/positionRisk."""
        listing, held = self.market.listing, self.held
        return {
            "symbol": listing.symbol,
            "positionSide": self.leg,
            "positionAmt": listing.size_text(held.size_lots),
            "entryPrice": entry_price(held),
            "breakEvenPrice": break_even_price(held),
            "markPrice": mark_text(listing, self.market.mark_ticks),
            "unRealizedProfit": money_text(self.unrealized),
            "liquidationPrice": self._liquidation(),
            "isolatedMargin": "0",
            "notional": money_text(self.notional),
            "marginAsset": listing.quote,
            "isolatedWallet": "0",
            "initialMargin": self.initial,
            "maintMargin": money_text(self.margin.maintenance),
            "positionInitialMargin": money_text(self.margin.position),
            "openOrderInitialMargin": money_text(self.margin.open_orders),
            "adl": 2 if held.size_lots else 0,
            "bidNotional": money_text(self.orders.buy_units),
            "askNotional": money_text(self.orders.sell_units),
            "updateTime": ms(held.update_time_ns),
        }

    def risk_v2(self) -> Json:
        """Return the row of GET /fapi/v2/positionRisk."""
        listing, held = self.market.listing, self.held
        leverage = self.account.leverage_of(listing)
        return {
            "symbol": listing.symbol,
            "positionAmt": listing.size_text(held.size_lots),
            "entryPrice": entry_price(held),
            "breakEvenPrice": break_even_price(held),
            "markPrice": mark_text(listing, self.market.mark_ticks),
            "unRealizedProfit": money_text(self.unrealized),
            "liquidationPrice": self._liquidation(),
            "leverage": str(leverage),
            "maxNotionalValue": max_notional(leverage),
            "marginType": "cross",
            "isolatedMargin": "0.00000000",
            "isAutoAddMargin": "false",
            "positionSide": self.leg,
            "notional": money_text(self.notional),
            "isolatedWallet": "0",
            "updateTime": ms(held.update_time_ns),
        }

    def account_v3(self) -> Json:
        """Return the row of ``positions`` in GET /fapi/v3/account."""
        listing, held = self.market.listing, self.held
        return {
            "symbol": listing.symbol,
            "positionSide": self.leg,
            "positionAmt": listing.size_text(held.size_lots),
            "unrealizedProfit": money_text(self.unrealized),
            "isolatedMargin": "0",
            "notional": money_text(self.notional),
            "isolatedWallet": "0",
            "initialMargin": self.initial,
            "maintMargin": money_text(self.margin.maintenance),
            "updateTime": ms(held.update_time_ns),
        }

    def account_v2(self) -> Json:
        """Return the row of ``positions`` in GET /fapi/v2/account."""
        listing, held = self.market.listing, self.held
        leverage = self.account.leverage_of(listing)
        return {
            "symbol": listing.symbol,
            "initialMargin": self.initial,
            "maintMargin": money_text(self.margin.maintenance),
            "unrealizedProfit": money_text(self.unrealized),
            "positionInitialMargin": money_text(self.margin.position),
            "openOrderInitialMargin": money_text(self.margin.open_orders),
            "leverage": str(leverage),
            "isolated": False,
            "entryPrice": entry_price(held),
            "breakEvenPrice": break_even_price(held),
            "maxNotional": max_notional(leverage),
            "bidNotional": money_text(self.orders.buy_units),
            "askNotional": money_text(self.orders.sell_units),
            "positionSide": self.leg,
            "positionAmt": listing.size_text(held.size_lots),
            "notional": money_text(self.notional),
            "isolatedWallet": "0",
            "updateTime": ms(held.update_time_ns),
        }

    def _liquidation(self) -> str:
        if not self.held.size_lots:
            return "0"
        return liquidation_price(self.clearing, self.account, self.held)


def max_notional(leverage: int) -> str:
    """Return the largest notional that ``leverage`` is allowed for."""
    caps = [b.cap for b in BRACKETS if b.leverage_max >= leverage]
    return str(max(caps, default=BRACKETS[0].cap))


def mark_text(listing: Listing, price_ticks: int) -> str:
    """Return a mark price with the eight decimals the venue shows, at least."""
    text = listing.price_text(price_ticks)
    whole, _, decimals = text.partition(".")
    return f"{whole}.{decimals.ljust(8, '0')}"


def kline_row(listing: Listing, bar: HistoryBar) -> list[Any]:
    """Return a bar as GET /fapi/v1/klines shows it."""
    close_minute = bar.open_minute + bar.minutes
    return [
        ms(bar.open_minute * NS_PER_MINUTE),
        listing.price_text(bar.open),
        listing.price_text(bar.high),
        listing.price_text(bar.low),
        listing.price_text(bar.close),
        listing.size_text(bar.lots),
        ms(close_minute * NS_PER_MINUTE) - 1,
        listing.quote_text(bar.value),
        bar.trades,
        listing.size_text(bar.taker_lots),
        listing.quote_text(bar.taker_value),
        "0",
    ]


def balance_row(clearing: Clearing, account: Account) -> Json:
    """Return the account's one coin as GET balance shows it."""
    margin = clearing.margin(account)
    return {
        "accountAlias": f"sim{account.id}",
        "asset": account.coin,
        "balance": money_text(margin.wallet),
        "crossWalletBalance": money_text(margin.wallet),
        "crossUnPnl": money_text(margin.unrealized),
        "availableBalance": money_text(margin.available),
        "maxWithdrawAmount": money_text(min(margin.available, max(0, margin.wallet))),
        "marginAvailable": True,
        "updateTime": ms(account.update_time_ns),
    }

"""Bybit's public market endpoints; they change nothing."""

from __future__ import annotations

from cryptoquantix.simulator.history import (
    NS_PER_MINUTE,
    HistoryBar,
    PrintedTrade,
)
from cryptoquantix.simulator.listing import Listing, divide_half_even, fixed_text
from cryptoquantix.simulator.market import Market
from cryptoquantix.simulator.wire.bybit_errors import bad_parameter
from cryptoquantix.simulator.wire.bybit_facts import BybitState
from cryptoquantix.simulator.wire.bybit_ids import (
    TRADE,
    money,
    ms_text,
    trimmed,
    uuid_text,
)
from cryptoquantix.simulator.wire.bybit_requests import (
    Call,
    Json,
    Route,
    page,
    route,
)

# The venue's interval names and the history's. The calendar month is left out.
INTERVALS = {
    "1": "1m",
    "3": "3m",
    "5": "5m",
    "15": "15m",
    "30": "30m",
    "60": "1h",
    "120": "2h",
    "240": "4h",
    "360": "6h",
    "720": "12h",
    "D": "1d",
    "W": "1w",
}
FUNDING_HOURS = 8
FUNDING_CAP = "0.005"
LAUNCHED_MS = "1585526400000"
NOT_LISTED_STATUS = {"PreLaunch", "Delivering", "Closed"}
_DAY_MINUTES = 1440


def server_time(call: Call) -> Json:
    """Return the venue's wall time."""
    return {
        "timeSecond": str(call.time_ns // 1_000_000_000),
        "timeNano": str(call.time_ns),
    }


def instruments_info(call: Call) -> Json:
    """Return what is listed, in pages; nothing is in pre-launch."""
    category, parameters = call.category(), call.parameters
    status = parameters.choice("status", {"Trading", *NOT_LISTED_STATUS}, "Trading")
    limit = parameters.limit(500, 1000)
    markets = list(call.exchange.markets.values()) if category == "linear" else []
    if status != "Trading":
        markets = []
    if "symbol" in parameters.values and category == "linear":
        markets = [m for m in markets if m is call.market()]
    if "baseCoin" in parameters.values:
        base = parameters.text("baseCoin")
        markets = [m for m in markets if m.listing.base == base]
    items = [(-n, _instrument(m.listing)) for n, m in enumerate(markets, 1)]
    shown, cursor = page(items, call, limit)
    return {"category": category, "list": shown, "nextPageCursor": cursor}


def _instrument(listing: Listing) -> Json:
    tick = listing.price_text(1)
    top = listing.brackets[0].leverage_max
    return {
        "symbol": listing.symbol,
        "contractType": "LinearPerpetual",
        "status": "Trading",
        "baseCoin": listing.base,
        "quoteCoin": listing.quote,
        "launchTime": LAUNCHED_MS,
        "deliveryTime": "0",
        "deliveryFeeRate": "",
        "priceScale": str(listing.price_decimals),
        "leverageFilter": {
            "minLeverage": "1",
            "maxLeverage": str(top),
            "leverageStep": "1",
        },
        "priceFilter": {
            "minPrice": tick,
            "maxPrice": listing.price_text(10**9),
            "tickSize": tick,
        },
        "lotSizeFilter": {
            "maxOrderQty": listing.size_text(listing.size_max_lots),
            "minOrderQty": listing.size_text(listing.size_min_lots),
            "qtyStep": listing.size_text(1),
            "postOnlyMaxOrderQty": listing.size_text(listing.size_max_lots),
            "maxMktOrderQty": listing.size_text(listing.market_size_max_lots),
            "minNotionalValue": str(listing.notional_min),
        },
        "unifiedMarginTrade": True,
        "fundingInterval": FUNDING_HOURS * 60,
        "settleCoin": listing.settlement,
        "copyTrading": "none",
        "upperFundingRate": FUNDING_CAP,
        "lowerFundingRate": "-" + FUNDING_CAP,
        "isPreListing": False,
        "preListingInfo": None,
    }


def kline(call: Call) -> Json:
    """Return bars, newest first; the open one is among them."""
    market, parameters = call.market(), call.parameters
    interval = INTERVALS.get(parameters.text("interval"))
    if interval is None:
        raise bad_parameter(text="interval invalid")
    start, end = parameters.time_ns("start"), parameters.time_ns("end")
    limit = parameters.limit(200, 1000)
    bars = market.history.bars(interval, None if end else start, end, limit)
    if end and start:
        bars = [b for b in bars if b.open_minute * NS_PER_MINUTE >= start]
    return {
        "category": "linear",
        "symbol": market.listing.symbol,
        "list": [_kline_row(market.listing, bar) for bar in reversed(bars)],
    }


def _kline_row(listing: Listing, bar: HistoryBar) -> list[str]:
    return [
        ms_text(bar.open_minute * NS_PER_MINUTE),
        listing.price_text(bar.open),
        listing.price_text(bar.high),
        listing.price_text(bar.low),
        listing.price_text(bar.close),
        listing.size_text(bar.lots),
        trimmed(listing.quote_text(bar.value)),
    ]


def recent_trade(call: Call) -> Json:
    """Return the latest trades printed, newest first."""
    market = call.market()
    trades = market.history.trades.last(call.parameters.limit(500, 1000))
    return {
        "category": "linear",
        "list": [_trade_row(market.listing, t) for t in reversed(trades)],
    }


def _trade_row(listing: Listing, trade: PrintedTrade) -> Json:
    return {
        "execId": uuid_text(TRADE, trade.id),
        "symbol": listing.symbol,
        "price": listing.price_text(trade.price_ticks),
        "size": listing.size_text(trade.size_lots),
        "side": "Sell" if trade.is_buyer_maker else "Buy",
        "time": ms_text(trade.time_ns),
        "isBlockTrade": False,
        "isRPITrade": False,
        "seq": str(trade.id),
    }


def levels(market: Market, sign: int, limit: int) -> list[list[str]]:
    """Return one side of the book as the venue writes it, best first."""
    listing = market.listing
    return [
        [listing.price_text(price), listing.size_text(lots)]
        for price, lots in market.book.levels(sign, limit)
    ]


def orderbook(call: Call) -> Json:
    """Return the book, 25 levels unless asked for more."""
    market = call.market()
    limit = call.parameters.limit(25, 500)
    call.exchange.quote(market, call.time_ns)
    return {
        "s": market.listing.symbol,
        "b": levels(market, 1, limit),
        "a": levels(market, -1, limit),
        "ts": call.time_ms,
        "u": market.book.update_id,
        "seq": market.book.update_id,
        "cts": call.time_ms,
    }


def change_text(now: int, before: int) -> str:
    """Return now / before - 1 with six digits."""
    return fixed_text(divide_half_even((now - before) * 10**6, before), 6)


def ticker(state: BybitState, market: Market, time_ns: int) -> Json:
    """Return the fields that REST and the stream share."""
    listing, price = market.listing, market.price_ticks
    day = state.day_of(market, time_ns)
    bid, ask = market.book.levels(1, 1), market.book.levels(-1, 1)
    held = state.open_interest_lots(market)
    return {
        "symbol": listing.symbol,
        "lastPrice": listing.price_text(price),
        "indexPrice": listing.price_text(market.index_ticks),
        "markPrice": listing.price_text(market.mark_ticks),
        "prevPrice24h": listing.price_text(day.open),
        "price24hPcnt": change_text(price, day.open),
        "highPrice24h": listing.price_text(day.high),
        "lowPrice24h": listing.price_text(day.low),
        "prevPrice1h": listing.price_text(day.hour_open),
        "openInterest": listing.size_text(held),
        "openInterestValue": money(listing.value_units(price, held)),
        "turnover24h": trimmed(listing.quote_text(day.value)),
        "volume24h": listing.size_text(day.lots),
        "fundingRate": state.funding_rate_text(market),
        "nextFundingTime": ms_text(market.next_funding_ns),
        "bid1Price": listing.price_text(bid[0][0]) if bid else "",
        "bid1Size": listing.size_text(bid[0][1]) if bid else "",
        "ask1Price": listing.price_text(ask[0][0]) if ask else "",
        "ask1Size": listing.size_text(ask[0][1]) if ask else "",
        "fundingIntervalHour": str(FUNDING_HOURS),
    }


def tickers(call: Call) -> Json:
    """Return last, mark and index price, best quotes and the day's figures."""
    category, values = call.category(), call.parameters.values
    markets = list(call.exchange.markets.values()) if category == "linear" else []
    if "symbol" in values:
        markets = [call.market()]
    elif "baseCoin" in values:
        base = call.parameters.text("baseCoin")
        markets = [m for m in markets if m.listing.base == base]
    return {"category": category, "list": [_ticker_row(call, m) for m in markets]}


def _ticker_row(call: Call, market: Market) -> Json:
    call.exchange.quote(market, call.time_ns)
    return ticker(call.state, market, call.time_ns) | {
        "predictedDeliveryPrice": "",
        "basisRate": "",
        "basis": "",
        "deliveryFeeRate": "",
        "deliveryTime": "0",
        "preOpenPrice": "",
        "preQty": "",
        "curPreListingPhase": "",
        "fundingCap": FUNDING_CAP,
        "basisRateYear": "",
    }


def funding_history(call: Call) -> Json:
    """Return past funding rates, newest first."""
    market, parameters = call.market(), call.parameters
    start, end = parameters.time_ns("startTime"), parameters.time_ns("endTime")
    if start is not None and end is None:
        raise bad_parameter(text="endTime is required with startTime")
    found = [
        (at_ns, rate)
        for at_ns, rate in call.state.past_fundings(market)
        if (start is None or at_ns >= start) and (end is None or at_ns <= end)
    ]
    limit = parameters.limit(200, 200)
    return {
        "category": "linear",
        "list": [
            {
                "symbol": market.listing.symbol,
                "fundingRate": rate,
                "fundingRateTimestamp": ms_text(at_ns),
            }
            for at_ns, rate in found[: -limit - 1 : -1]
        ],
    }


def risk_limit(call: Call) -> Json:
    """Return the margin tiers of a symbol."""
    market = call.market()
    rows = [
        {
            "id": number,
            "symbol": market.listing.symbol,
            "riskLimitValue": str(bracket.cap),
            "maintenanceMargin": fixed_text(bracket.rate_bps, 4),
            "initialMargin": fixed_text(
                divide_half_even(10_000, bracket.leverage_max), 4
            ),
            "isLowestRisk": int(number == 1),
            "maxLeverage": f"{bracket.leverage_max}.00",
            "mmDeduction": str(bracket.cumulative),
        }
        for number, bracket in enumerate(market.listing.brackets, 1)
    ]
    return {"category": "linear", "list": rows, "nextPageCursor": ""}


ROUTES: dict[tuple[str, str], Route] = {
    ("GET", "/v5/market/time"): route(server_time),
    ("GET", "/v5/market/instruments-info"): route(
        instruments_info, "category symbol status baseCoin limit cursor symbolType"
    ),
    ("GET", "/v5/market/kline"): route(
        kline, "category symbol interval start end limit"
    ),
    ("GET", "/v5/market/recent-trade"): route(
        recent_trade, "category symbol baseCoin optionType limit"
    ),
    ("GET", "/v5/market/orderbook"): route(orderbook, "category symbol limit"),
    ("GET", "/v5/market/tickers"): route(tickers, "category symbol baseCoin expDate"),
    ("GET", "/v5/market/funding/history"): route(
        funding_history, "category symbol startTime endTime limit"
    ),
    ("GET", "/v5/market/risk-limit"): route(risk_limit, "category symbol cursor"),
}

"""Binance's public REST endpoints; it changes nothing but the freshness of quotes."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

from cryptoquantix.simulator.history import INTERVALS
from cryptoquantix.simulator.listing import fixed_text
from cryptoquantix.simulator.market import FUNDING_INTERVAL_NS, Market
from cryptoquantix.simulator.wire.binance_errors import BinanceError
from cryptoquantix.simulator.wire.binance_payloads import (
    Json,
    kline_row,
    mark_text,
    ms,
)
from cryptoquantix.simulator.wire.binance_requests import (
    Call,
    Route,
    Security,
    route,
)

# How far collateral's rates are from the index: on demand, and when it must be sold.
_BUFFERS = Fraction(1, 10), Fraction(1, 20)
WEIGHT_PER_MINUTE = 2_400
ORDERS_PER_10_SECONDS = 300
ORDERS_PER_MINUTE = 1_200
DEPTH_WEIGHTS = ((50, 2), (100, 5), (500, 10), (1_000, 20))
KLINE_WEIGHTS = ((99, 1), (499, 2), (1_000, 5), (1_500, 10))
DEPTH_LIMITS = {5, 10, 20, 50, 100, 500, 1000}
PERPETUAL_DELIVERY_MS = 4_133_404_800_000
ONBOARD_MS = 1_569_398_400_000

RATE_LIMITS = [
    {
        "rateLimitType": "REQUEST_WEIGHT",
        "interval": "MINUTE",
        "intervalNum": 1,
        "limit": WEIGHT_PER_MINUTE,
    },
    {
        "rateLimitType": "ORDERS",
        "interval": "MINUTE",
        "intervalNum": 1,
        "limit": ORDERS_PER_MINUTE,
    },
    {
        "rateLimitType": "ORDERS",
        "interval": "SECOND",
        "intervalNum": 10,
        "limit": ORDERS_PER_10_SECONDS,
    },
]


def ping(call: Call) -> Json:
    """Answer with nothing."""
    del call
    return {}


def server_time(call: Call) -> Json:
    """Return the venue's wall time."""
    return {"serverTime": call.time_ms}


def exchange_info(call: Call) -> Json:
    """Return every listed instrument with its filters."""
    markets = call.exchange.markets.values()
    coin = call.exchange.clearing.coin
    return {
        "timezone": "UTC",
        "serverTime": call.time_ms,
        "futuresType": "U_MARGINED",
        "rateLimits": RATE_LIMITS,
        "exchangeFilters": [],
        "assets": [
            {"asset": coin, "marginAvailable": True, "autoAssetExchange": "-10000"}
        ],
        "symbols": [_symbol(market) for market in markets],
    }


def _symbol(market: Market) -> Json:
    listing = market.listing
    return {
        "symbol": listing.symbol,
        "pair": listing.symbol,
        "contractType": "PERPETUAL",
        "deliveryDate": PERPETUAL_DELIVERY_MS,
        "onboardDate": ONBOARD_MS,
        "status": "TRADING",
        "maintMarginPercent": "2.5000",
        "requiredMarginPercent": "5.0000",
        "baseAsset": listing.base,
        "quoteAsset": listing.quote,
        "marginAsset": listing.quote,
        "pricePrecision": listing.price_decimals,
        "quantityPrecision": listing.size_decimals,
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "underlyingType": "COIN",
        "underlyingSubType": [],
        "settlePlan": 0,
        "triggerProtect": "0.0500",
        "liquidationFee": "0.000000",
        "marketTakeBound": "0.05",
        "filters": _filters(market),
        "orderTypes": [
            "LIMIT",
            "MARKET",
            "STOP",
            "STOP_MARKET",
            "TAKE_PROFIT",
            "TAKE_PROFIT_MARKET",
            "TRAILING_STOP_MARKET",
        ],
        "timeInForce": ["GTC", "IOC", "FOK", "GTX"],
    }


def _filters(market: Market) -> list[Json]:
    listing = market.listing
    tick = listing.price_text(1)
    lot = listing.size_text(1)
    return [
        {
            "minPrice": tick,
            "maxPrice": listing.price_text(10**12),
            "filterType": "PRICE_FILTER",
            "tickSize": tick,
        },
        {
            "stepSize": lot,
            "filterType": "LOT_SIZE",
            "maxQty": listing.size_text(listing.size_max_lots),
            "minQty": lot,
        },
        {
            "stepSize": lot,
            "filterType": "MARKET_LOT_SIZE",
            "maxQty": listing.size_text(listing.market_size_max_lots),
            "minQty": lot,
        },
        {"limit": 200, "filterType": "MAX_NUM_ORDERS"},
        {"limit": 200, "filterType": "MAX_NUM_ALGO_ORDERS"},
        {"notional": str(listing.notional_min), "filterType": "MIN_NOTIONAL"},
        {
            "multiplierDown": "0.9000",
            "multiplierUp": "1.1000",
            "multiplierDecimal": "4",
            "filterType": "PERCENT_PRICE",
        },
    ]


def depth(call: Call) -> Json:
    """Return the book; ``lastUpdateId`` is of the same count as the diff stream."""
    market = call.market()
    limit = call.parameters.integer("limit", 500)
    if limit not in DEPTH_LIMITS:
        raise BinanceError(-4021, f"Not valid depth limit: {limit}")
    call.exchange.quote(market, call.time_ns)
    return {
        "lastUpdateId": market.book.update_id,
        "E": call.time_ms,
        "T": ms(market.tape_ns),
        "bids": levels(market, 1, limit),
        "asks": levels(market, -1, limit),
    }


def levels(market: Market, sign: int, limit: int) -> list[list[str]]:
    """Return price levels of one side as texts, best first."""
    listing = market.listing
    return [
        [listing.price_text(price), listing.size_text(lots)]
        for price, lots in market.book.levels(sign, limit)
    ]


def trades(call: Call) -> list[Json]:
    """Return the latest trades."""
    market = call.market()
    listing = market.listing
    limit = call.parameters.limit(500, 1000)
    return [
        {
            "id": t.id,
            "price": listing.price_text(t.price_ticks),
            "qty": listing.size_text(t.size_lots),
            "quoteQty": listing.quote_text(t.price_ticks * t.size_lots),
            "time": ms(t.time_ns),
            "isBuyerMaker": t.is_buyer_maker,
        }
        for t in market.history.trades.last(limit)
    ]


def agg_trades(call: Call) -> list[Json]:
    """Return trades by id or by tape time; the latest without either."""
    market = call.market()
    listing = market.listing
    limit = call.parameters.limit(500, 1000)
    from_id = call.parameters.optional_integer("fromId")
    start, end = (
        call.parameters.time_ns("startTime"),
        call.parameters.time_ns("endTime"),
    )
    found = list(market.history.trades)
    if from_id is not None:
        found = [t for t in found if t.id >= from_id][:limit]
    elif start is not None:
        found = [t for t in found if t.time_ns >= start]
        found = [t for t in found if end is None or t.time_ns <= end][:limit]
    else:
        found = [t for t in found if end is None or t.time_ns <= end][-limit:]
    return [
        {
            "a": t.id,
            "p": listing.price_text(t.price_ticks),
            "q": listing.size_text(t.size_lots),
            "f": t.id,
            "l": t.id,
            "T": ms(t.time_ns),
            "m": t.is_buyer_maker,
        }
        for t in found
    ]


def klines(call: Call) -> list[list[Any]]:
    """Return bars in tape time; the last may still be open."""
    market = call.market()
    interval = call.parameters.choice("interval", set(INTERVALS))
    bars = market.history.bars(
        interval,
        call.parameters.time_ns("startTime"),
        call.parameters.time_ns("endTime"),
        call.parameters.limit(500, 1500),
    )
    return [kline_row(market.listing, bar) for bar in bars]


def ticker_price(call: Call) -> Json | list[Json]:
    """Return last prices."""
    rows = [
        {
            "symbol": m.listing.symbol,
            "price": m.listing.price_text(m.price_ticks),
            "time": call.time_ms,
        }
        for m in call.markets()
    ]
    return _one_or_all(call, rows)


def book_ticker(call: Call) -> Json | list[Json]:
    """Return best bids and asks."""
    rows = []
    for market in call.markets():
        call.exchange.quote(market, call.time_ns)
        bid = (levels(market, 1, 1) or [["0", "0"]])[0]
        ask = (levels(market, -1, 1) or [["0", "0"]])[0]
        rows.append(
            {
                "symbol": market.listing.symbol,
                "bidPrice": bid[0],
                "bidQty": bid[1],
                "askPrice": ask[0],
                "askQty": ask[1],
                "time": call.time_ms,
            }
        )
    return _one_or_all(call, rows)


def premium_index(call: Call) -> Json | list[Json]:
    """Return mark and index price, and the next funding in tape time."""
    rows = []
    for market in call.markets():
        mark = mark_text(market.listing, market.mark_ticks)
        index = mark_text(market.listing, market.index_ticks)
        rows.append(
            {
                "symbol": market.listing.symbol,
                "markPrice": mark,
                "indexPrice": index,
                "estimatedSettlePrice": index,
                "lastFundingRate": rate_text(market.funding_rate(call.exchange.rules)),
                "interestRate": "0.00010000",
                "nextFundingTime": ms(market.next_funding_ns),
                "time": call.time_ms,
            }
        )
    return _one_or_all(call, rows)


def asset_index(call: Call) -> Json | list[Json]:
    """Return what coins are worth in dollars, and at what rates they are collateral."""
    price = call.exchange.clearing.coin_price
    bases = {m.listing.base for m in call.exchange.markets.values()}
    rows = []
    for coin in ("USDT", "USDC", *sorted(bases)):
        is_stable = coin in {"USDT", "USDC"}
        wide, narrow = (Fraction(0), Fraction(0)) if is_stable else _BUFFERS
        index = price(coin)
        rates = [index * (1 + x) for x in (-wide, wide, -narrow, narrow)]
        bid, ask, auto_bid, auto_ask = map(_eight, rates)
        rows.append(
            {
                "symbol": f"{coin}USD",
                "time": call.time_ms,
                "index": _eight(index),
                "bidBuffer": _eight(wide),
                "askBuffer": _eight(wide),
                "bidRate": bid,
                "askRate": ask,
                "autoExchangeBidBuffer": _eight(narrow),
                "autoExchangeAskBuffer": _eight(narrow),
                "autoExchangeBidRate": auto_bid,
                "autoExchangeAskRate": auto_ask,
            }
        )
    wanted = call.parameters.values.get("symbol")
    if wanted is None:
        return rows
    for row in rows:
        if row["symbol"] == wanted:
            return row
    raise BinanceError(-1121, "Invalid symbol.")


def _eight(value: Fraction) -> str:
    return fixed_text(round(value * 10**8), 8)


def funding_rate(call: Call) -> list[Json]:
    """Return the fundings charged so far, in tape time."""
    market = call.market()
    start, end = (
        call.parameters.time_ns("startTime"),
        call.parameters.time_ns("endTime"),
    )
    limit = call.parameters.limit(100, 1000)
    found = [
        {
            "symbol": market.listing.symbol,
            "fundingRate": rate_text(rate),
            "fundingTime": ms(at_ns),
            "markPrice": mark_text(market.listing, mark),
        }
        for at_ns, mark, rate in market.fundings
        if (start is None or at_ns >= start) and (end is None or at_ns <= end)
    ]
    return found[-limit:] if start is None else found[:limit]


def funding_info(call: Call) -> list[Json]:
    """Return the funding interval of every symbol."""
    hours = FUNDING_INTERVAL_NS // 3_600_000_000_000
    return [
        {
            "symbol": symbol,
            "adjustedFundingRateCap": "0.02000000",
            "adjustedFundingRateFloor": "-0.02000000",
            "fundingIntervalHours": hours,
            "disclaimer": False,
        }
        for symbol in call.exchange.markets
    ]


def open_interest(call: Call) -> Json:
    """Return how much is held long in ``symbol``."""
    market = call.market()
    lots = sum(
        max(0, a.size_lots(market.listing.symbol))
        for a in call.exchange.clearing.accounts.values()
    )
    return {
        "openInterest": market.listing.size_text(lots),
        "symbol": market.listing.symbol,
        "time": call.time_ms,
    }


def rate_text(rate: Decimal) -> str:
    """Return a rate with eight decimals."""
    return f"{rate:.8f}"


def _one_or_all(call: Call, rows: list[Json]) -> Json | list[Json]:
    return rows[0] if call.parameters.values.get("symbol") else rows


_NONE = Security.NONE
ROUTES: dict[tuple[str, str], Route] = {
    ("GET", "/fapi/v1/ping"): route(ping, security=_NONE),
    ("GET", "/fapi/v1/time"): route(server_time, security=_NONE),
    ("GET", "/fapi/v1/exchangeInfo"): route(exchange_info, security=_NONE),
    ("GET", "/fapi/v1/depth"): route(
        depth, "symbol limit", security=_NONE, by_limit=DEPTH_WEIGHTS
    ),
    ("GET", "/fapi/v1/trades"): route(trades, "symbol limit", security=_NONE, weight=5),
    ("GET", "/fapi/v1/aggTrades"): route(
        agg_trades,
        "symbol fromId startTime endTime limit",
        security=_NONE,
        weight=20,
    ),
    ("GET", "/fapi/v1/klines"): route(
        klines,
        "symbol interval startTime endTime limit",
        security=_NONE,
        by_limit=KLINE_WEIGHTS,
    ),
    ("GET", "/fapi/v1/ticker/price"): route(
        ticker_price, "symbol", security=_NONE, heavy_weight=2
    ),
    ("GET", "/fapi/v2/ticker/price"): route(
        ticker_price, "symbol", security=_NONE, heavy_weight=2
    ),
    ("GET", "/fapi/v1/ticker/bookTicker"): route(
        book_ticker, "symbol", security=_NONE, weight=2, heavy_weight=5
    ),
    ("GET", "/fapi/v1/premiumIndex"): route(premium_index, "symbol", security=_NONE),
    ("GET", "/fapi/v1/assetIndex"): route(
        asset_index, "symbol", security=_NONE, weight=1, heavy_weight=10
    ),
    ("GET", "/fapi/v1/fundingRate"): route(
        funding_rate, "symbol startTime endTime limit", security=_NONE
    ),
    ("GET", "/fapi/v1/fundingInfo"): route(funding_info, security=_NONE),
    ("GET", "/fapi/v1/openInterest"): route(open_interest, "symbol", security=_NONE),
}

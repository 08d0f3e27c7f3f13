"""Deribit's public market data: instruments, books, tickers, trades, bars, funding."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from fractions import Fraction

from cryptoquantix.simulator.accounts import Account
from cryptoquantix.simulator.conditional import ConditionalExchange
from cryptoquantix.simulator.history import NS_PER_MINUTE, HistoryBar, PrintedTrade
from cryptoquantix.simulator.listing import Listing
from cryptoquantix.simulator.market import Market
from cryptoquantix.simulator.wire.deribit_calls import (
    CURRENCIES,
    Call,
    Method,
    public,
)
from cryptoquantix.simulator.wire.deribit_errors import invalid_parameter
from cryptoquantix.simulator.wire.deribit_payloads import (
    ZERO,
    amount,
    index_name,
    ms,
    plain,
    price,
    trade_json,
)
from cryptoquantix.simulator.wire.deribit_requests import Json

FAR_FUTURE_MS = 32_503_708_800_000
CREATED_MS = 1_534_242_287_000
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
HOUR_NS = HOUR_MS * 1_000_000
# The chart's names for intervals; 10, 30 minutes and the like by the history's.
RESOLUTIONS = {
    "1": "1m",
    "3": "3m",
    "5": "5m",
    "15": "15m",
    "30": "30m",
    "60": "1h",
    "120": "2h",
    "360": "6h",
    "720": "12h",
    "1D": "1d",
}
BARS_MAX = 5_000
_VOLUMES = ("volume", "volume_usd", "volume_notional")


def get_currencies(call: Call) -> list[Json]:
    """Return the coins that instruments settle in."""
    coins = {m.listing.settlement for m in call.exchange.markets.values()}
    return [
        {
            "coin_type": "ETHER" if coin not in {"BTC"} else "BITCOIN",
            "currency": coin,
            "currency_long": name,
            "decimals": 8 if coin == "BTC" else 6,
            "fee_precision": 4,
            "in_cross_collateral_pool": False,
            "min_confirmations": 1,
            "min_withdrawal_fee": Decimal("0.0001"),
            "withdrawal_fee": Decimal("0.0001"),
            "withdrawal_priorities": [],
            "network_fee": ZERO,
            "network_currency": coin,
        }
        for coin, name in CURRENCIES.items()
        if coin in coins
    ]


def instrument_json(listing: Listing, number: int) -> Json:
    """Return what the venue says of an instrument."""
    return {
        "instrument_name": listing.symbol,
        "instrument_id": 200_000 + number,
        "kind": "future",
        "instrument_type": "reversed" if listing.is_inverse else "linear",
        "future_type": "reversed" if listing.is_inverse else "linear",
        "base_currency": listing.base,
        "quote_currency": listing.quote,
        "counter_currency": listing.quote,
        "settlement_currency": listing.settlement,
        "settlement_period": "perpetual",
        "price_index": index_name(listing),
        "tick_size": listing.tick_size,
        "tick_size_steps": [],
        "min_trade_amount": listing.lot_size * listing.size_min_lots,
        "contract_size": listing.lot_size,
        "max_leverage": max(bracket.leverage_max for bracket in listing.brackets),
        "maker_commission": listing.fee_rate_maker,
        "taker_commission": listing.fee_rate_taker,
        "block_trade_commission": listing.fee_rate_taker,
        "max_liquidation_commission": Decimal("0.0075"),
        "is_active": True,
        "state": "open",
        "rfq": False,
        "creation_timestamp": CREATED_MS,
        "expiration_timestamp": FAR_FUTURE_MS,
    }


def get_instruments(call: Call) -> list[Json]:
    """Return the instruments of a coin (``any`` or none: of all) and kind."""
    coin = call.currency("any")
    if call.parameters.flag("expired"):
        return []
    listed = {id(m) for m in call.listed(coin)}
    return [
        instrument_json(market.listing, number)
        for number, market in enumerate(call.exchange.markets.values(), 1)
        if id(market) in listed
    ]


def get_instrument(call: Call) -> Json:
    """Return one instrument."""
    listing = call.market().listing
    symbols = list(call.exchange.markets)
    return instrument_json(listing, symbols.index(listing.symbol) + 1)


def levels(market: Market, sign: int, depth: int) -> list[list[Decimal]]:
    """Return a side of the book as (price, amount), best first."""
    listing = market.listing
    return [
        [price(listing, ticks), amount(listing, lots)]
        for ticks, lots in market.book.levels(sign, depth)
    ]


def best(market: Market) -> Json:
    """Return the best prices and amounts, zero where there are none."""
    bids, asks = levels(market, 1, 1), levels(market, -1, 1)
    bid, ask = (bids or [[ZERO, ZERO]])[0], (asks or [[ZERO, ZERO]])[0]
    return {
        "best_bid_price": bid[0],
        "best_bid_amount": bid[1],
        "best_ask_price": ask[0],
        "best_ask_amount": ask[1],
    }


def volumes(listing: Listing, lots: int, value: int) -> tuple[Decimal, Decimal]:
    """
    Return what a bar or a day traded in base coins and in the quote coin.

    ``value`` is Σ price ticks × lots. Of an inverse instrument sizes are in the quote
    coin and base coins are shown at the average price, to eight digits.
    """
    quote = Decimal(listing.size_text(lots))
    if not listing.is_inverse:
        return quote, Decimal(listing.quote_text(value))
    if not value:
        return ZERO, quote
    average = Fraction(value, lots) * Fraction(listing.tick_size)
    base = Fraction(quote) / average
    return Decimal(round(base * 10**8)).scaleb(-8), quote


class Day:
    """The last 24 hours of tape time; hours that have closed are read once."""

    def __init__(self, market: Market) -> None:
        self._market = market
        self._hour = -1
        self._closed: list[HistoryBar] = []

    def stats(self) -> Json:
        """Return what a ticker says of them."""
        market, listing = self._market, self._market.listing
        current = market.history.current("1h")
        if current is None:
            nothing: Json = dict.fromkeys(("high", "low", "price_change"))
            return nothing | dict.fromkeys(_VOLUMES, ZERO)
        if self._hour != current.open_minute:
            self._hour = current.open_minute
            end_ns = self._hour * NS_PER_MINUTE
            self._closed = market.history.bars(
                "1h", end_ns - 23 * HOUR_NS, end_ns - 1, 23
            )
        bars = [*self._closed, current]
        value = sum(b.value for b in bars)
        base, quote = volumes(listing, sum(b.lots for b in bars), value)
        change = Fraction(current.close - bars[0].open, bars[0].open) * 100
        return {
            "high": price(listing, max(b.high for b in bars)),
            "low": price(listing, min(b.low for b in bars)),
            "price_change": Decimal(round(change * 10**4)).scaleb(-4),
            "volume": base,
            "volume_usd": quote,
            "volume_notional": quote,
        }


def open_interest(call_accounts: Iterable[Account], market: Market) -> Decimal:
    """Return what all accounts together hold long, as an amount."""
    symbol = market.listing.symbol
    lots = sum(max(0, a.size_lots(symbol)) for a in call_accounts)
    return amount(market.listing, lots)


def ticker_json(
    exchange: ConditionalExchange, market: Market, time_ns: int, day: Day | None = None
) -> Json:
    """Return an instrument's ticker; ``day`` spares reading the whole day anew."""
    exchange.quote(market, time_ns)
    listing = market.listing
    index, mark = price(listing, market.index_ticks), price(listing, market.mark_ticks)
    rate = market.funding_rate(exchange.rules)
    band = listing.limit_band
    return {
        "timestamp": ms(time_ns),
        "state": "open",
        "instrument_name": listing.symbol,
        "stats": (day or Day(market)).stats(),
        "last_price": price(listing, market.price_ticks),
        "mark_price": mark,
        "index_price": index,
        "settlement_price": mark,
        "estimated_delivery_price": index,
        "min_price": price(listing, max(1, int(market.mark_ticks * (1 - band)))),
        "max_price": price(listing, int(market.mark_ticks * (1 + band))),
        "open_interest": open_interest(exchange.clearing.accounts.values(), market),
        "interest_value": plain(rate),
        "current_funding": plain(rate),
        "funding_8h": plain(rate),
        **best(market),
    }


def ticker(call: Call) -> Json:
    """Return an instrument's ticker."""
    market = call.market()
    return ticker_json(call.exchange, market, call.time_ns, _day(call, market))


def _day(call: Call, market: Market) -> Day:
    symbol, days = market.listing.symbol, call.state.days
    found: Day | None = days.get(symbol)
    if found is None:
        found = days[symbol] = Day(market)
    return found


def get_order_book(call: Call) -> Json:
    """Return the book to a depth, with the ticker's figures."""
    market = call.market()
    depth = call.parameters.integer("depth", 5)
    if not 1 <= depth <= 10_000:
        raise invalid_parameter(name="depth", reason="must be within 1..10000")
    body = ticker_json(call.exchange, market, call.time_ns, _day(call, market))
    return body | {
        "change_id": market.book.update_id,
        "bids": levels(market, 1, depth),
        "asks": levels(market, -1, depth),
    }


def index_price(exchange: ConditionalExchange, name: str) -> Decimal | None:
    """Return an index of the tape, or of a coin in dollars; None for an unknown one."""
    clearing = exchange.clearing
    coin = name.removesuffix("_usd").upper()
    is_coin = name.endswith("_usd")
    if not (is_coin and coin in clearing.usd):
        for market in exchange.markets.values():
            if index_name(market.listing) == name:
                return price(market.listing, market.index_ticks)
    value = clearing.coin_price(coin) if is_coin and coin != "USD" else Fraction(0)
    return Decimal(round(value * 10**6)).scaleb(-6) if value else None


def get_index_price(call: Call) -> Json:
    """Return the price of an index: the tape's, a stablecoin's as the operator says."""
    index = index_price(call.exchange, call.parameters.text("index_name"))
    if index is None:
        raise invalid_parameter(name="index_name", reason="invalid index_name")
    return {"index_price": index, "estimated_delivery_price": index}


def trades_json(market: Market, trades: Sequence[PrintedTrade]) -> list[Json]:
    """Return trades with their tick directions; ``trades`` are oldest first."""
    shown, direction, before = [], 1, trades[0].price_ticks if trades else 0
    for trade in trades:
        direction = tick_direction(direction, before, trade.price_ticks)
        before = trade.price_ticks
        shown.append(trade_json(trade, market) | {"tick_direction": direction})
    return shown


def tick_direction(last: int, before_ticks: int, price_ticks: int) -> int:
    """
    Return 0 for a higher price, 2 for a lower; 1 or 3 where it stays, by the last.

    Examples
    --------
    >>> tick_direction(1, 5, 6), tick_direction(2, 5, 5), tick_direction(0, 5, 5)
    (0, 3, 1)
    """
    if price_ticks == before_ticks:
        return 3 if last >= 2 else 1
    return 0 if price_ticks > before_ticks else 2


def get_last_trades(call: Call) -> Json:
    """Return the newest trades, newest first unless ``sorting`` is asc."""
    market = call.market()
    ask = call.parameters
    low, high = ask.integer("start_seq", 0), ask.integer("end_seq", 10**18)
    start = ask.time_ns("start_timestamp", 0) or 0
    end = ask.time_ns("end_timestamp", 10**19) or 0
    trades = [
        t
        for t in market.history.trades
        if low <= t.id <= high and start <= t.time_ns < end + 1_000_000
    ]
    count = ask.count()
    sorting = ask.choice("sorting", {"asc", "desc", "default"}, "default")
    is_from_start = ask.has("start_timestamp") or ask.has("start_seq")
    part = trades[:count] if is_from_start and sorting != "desc" else trades[-count:]
    shown = trades_json(market, part)
    is_ascending = sorting == "asc" or (is_from_start and sorting != "desc")
    if not is_ascending:
        shown.reverse()
    return {"trades": shown, "has_more": len(trades) > count}


def bar_json(listing: Listing, bar: HistoryBar) -> Json:
    """Return one bar of a chart channel."""
    base, quote = volumes(listing, bar.lots, bar.value)
    return {
        "tick": bar.open_minute * 60_000,
        "open": price(listing, bar.open),
        "high": price(listing, bar.high),
        "low": price(listing, bar.low),
        "close": price(listing, bar.close),
        "volume": base,
        "cost": quote,
    }


def get_tradingview_chart_data(call: Call) -> Json:
    """Return bars as one list for each figure; times are those of the tape."""
    market = call.market()
    interval = RESOLUTIONS.get(call.parameters.text("resolution"))
    if interval is None:
        raise invalid_parameter(name="resolution", reason="value is not allowed")
    start = call.parameters.integer("start_timestamp") * 1_000_000
    end = call.parameters.integer("end_timestamp") * 1_000_000
    bars = market.history.bars(interval, max(0, start), max(0, end), BARS_MAX)
    rows = [bar_json(market.listing, bar) for bar in bars]
    columns: Json = {
        f"{name}s" if name == "tick" else name: [row[name] for row in rows]
        for name in ("tick", "open", "high", "low", "close", "volume", "cost")
    }
    return {"status": "ok" if rows else "no_data"} | columns


def get_funding_rate_value(call: Call) -> Decimal:
    """Return what a period costs at the present rate."""
    market = call.market()
    start = call.parameters.integer("start_timestamp")
    end = call.parameters.integer("end_timestamp")
    if end < start:
        raise invalid_parameter(
            name="end_timestamp", reason="is before start_timestamp"
        )
    share = Fraction(min(end - start, 366 * DAY_MS), 8 * HOUR_MS)
    rate = Fraction(market.funding_rate(call.exchange.rules)) * share
    return plain(Decimal(round(rate * 10**12)).scaleb(-12))


def get_funding_rate_history(call: Call) -> list[Json]:
    """Return what each eight-hour interval of the tape cost."""
    market = call.market()
    start = call.parameters.integer("start_timestamp") * 1_000_000
    end = call.parameters.integer("end_timestamp") * 1_000_000
    listing = market.listing
    rows, before = [], None
    for paid in market.fundings:
        index = price(listing, paid.mark_ticks)
        if start <= paid.time_ns <= end:
            rows.append(
                {
                    "timestamp": ms(paid.time_ns),
                    "index_price": index,
                    "prev_index_price": index if before is None else before,
                    "interest_8h": plain(paid.rate),
                    "interest_1h": plain(paid.rate / 8),
                }
            )
        before = index
    return rows[-744:]


_PERIOD = ("start_timestamp", "end_timestamp")
_TRADES = ("instrument_name", "count", "sorting", "include_old")
METHODS: dict[str, Method] = {
    "public/get_currencies": public(get_currencies),
    "public/get_instruments": public(
        get_instruments, "currency", "kind", "expired", "include_old"
    ),
    "public/get_instrument": public(get_instrument, "instrument_name"),
    "public/get_order_book": public(get_order_book, "instrument_name", "depth"),
    "public/ticker": public(ticker, "instrument_name"),
    "public/get_index_price": public(get_index_price, "index_name"),
    "public/get_last_trades_by_instrument": public(
        get_last_trades, *_TRADES, "start_seq", "end_seq", *_PERIOD
    ),
    "public/get_last_trades_by_instrument_and_time": public(
        get_last_trades, *_TRADES, *_PERIOD
    ),
    "public/get_tradingview_chart_data": public(
        get_tradingview_chart_data, "instrument_name", "resolution", *_PERIOD
    ),
    "public/get_funding_rate_value": public(
        get_funding_rate_value, "instrument_name", *_PERIOD
    ),
    "public/get_funding_rate_history": public(
        get_funding_rate_history, "instrument_name", *_PERIOD, "count"
    ),
}

"""
Binance USD-M answers in the risk daemon's words; it requests nothing.

The account answer (v3) names neither mark nor entry price: the mark is notional over
size, the entry follows from the unrealized profit. Decimals stay text until they are
``Decimal``; what cannot be read raises, and the reading is blind.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal, InvalidOperation, localcontext
from typing import Any, Final

from cryptoquantix.core.clock import NS_PER_MS
from cryptoquantix.core.errors import CredentialsRefused, VenueUnavailable
from cryptoquantix.core.exposure import (
    NO_LEG,
    CoinBalance,
    Contract,
    HeldPosition,
    LedgerEntry,
    OpenOrder,
    OrderClass,
    OtherHolding,
    Reading,
)
from cryptoquantix.core.order import Side
from cryptoquantix.venues.rights import binance_unfit

type Row = Mapping[str, Any]

DOLLARS: Final = frozenset({"USDT", "USDC", "FDUSD", "BUSD", "BFUSD", "USD1"})
"""Coins that count one to one where nobody rates them."""

TRANSFERS: Final = frozenset(
    {
        "TRANSFER",
        "INTERNAL_TRANSFER",
        "CROSS_COLLATERAL_TRANSFER",
        "STRATEGY_UMFUTURES_TRANSFER",
    }
)


def reading(
    venue: str,
    account: Row,
    time_ns: int,
    *,
    rates: Iterable[tuple[str, Decimal]] = (),
    settlement: Mapping[str, str] | None = None,
) -> Reading:
    """
    Return the answer of GET /fapi/v3/account as a reading.

    ``settlement`` is the coin of each symbol, as ``exchangeInfo`` says it.
    """
    coin_of = settlement or {}
    held = [row for row in account["positions"] if number(row["positionAmt"])]
    resting = number(account.get("totalOpenOrderInitialMargin", "0"))
    known = tuple(rates)
    coins = tuple(coin_balances(account.get("assets", ()), dict(known)))
    equity, balance = _totals(account, coins, dict(known).get("USDT", Decimal(1)))
    return Reading(
        venue=venue,
        equity=equity,
        balance=balance,
        positions=tuple(account_position(row, coin_of) for row in held),
        time_ns=time_ns,
        hints_orders=bool(resting) or len(held) < len(account["positions"]),
        coins=coins,
        rates=known,
        others=tuple(
            OtherHolding(item.coin, "spot", item.balance, item.coin, Decimal(0))
            for item in coins
            if item.coin not in DOLLARS and item.balance
        ),
    )


def _totals(
    account: Row, coins: tuple[CoinBalance, ...], dollar: Decimal
) -> tuple[Decimal, Decimal]:
    """
    Return equity and balance in USD.

    Without multi-assets mode the venue's totals are of USDT alone: with other coins
    the sum of them counts. With USDT alone its total counts, so that a total that is
    not its coin's is seen.
    """
    if {item.coin for item in coins} - {"USDT"}:
        return _summed(coins)
    total, wallet = account["totalMarginBalance"], account["totalWalletBalance"]
    return number(total) * dollar, number(wallet) * dollar


def _summed(coins: Iterable[CoinBalance]) -> tuple[Decimal, Decimal]:
    equity = balance = Decimal(0)
    for item in coins:
        rate = item.rate
        if rate is None:
            rate = Decimal(1) if item.coin in DOLLARS else Decimal(0)
        equity += item.equity * rate
        balance += item.balance * rate
    return equity, balance


def coin_balances(
    assets: Iterable[Row], rates: Mapping[str, Decimal]
) -> Iterator[CoinBalance]:
    """Yield what the account has of each coin, those it has nothing of left out."""
    for row in assets:
        equity, balance = number(row["marginBalance"]), number(row["walletBalance"])
        if equity or balance:
            coin = str(row["asset"])
            yield CoinBalance(coin, equity, balance, rates.get(coin))


def settlement_coin(symbol: str, known: Mapping[str, str]) -> str:
    """
    Return the coin a symbol settles in.

    Examples
    --------
    >>> settlement_coin("BTCUSDC", {})
    'USDC'
    """
    if symbol in known:
        return known[symbol]
    name = symbol.partition("_")[0]
    return next((coin for coin in DOLLARS if name.endswith(coin)), "USDT")


def account_position(row: Row, coin_of: Mapping[str, str]) -> HeldPosition:
    """Return one row of the account's positions."""
    size = number(row["positionAmt"])
    with localcontext(prec=40):
        mark = abs(number(row["notional"]) / size)
        entry = mark - number(row["unrealizedProfit"]) / size
    symbol = str(row["symbol"])
    coin = settlement_coin(symbol, coin_of)
    return HeldPosition(symbol, size, mark, entry, leg=_leg(row), coin=coin)


def risk_position(row: Row, coin_of: Mapping[str, str]) -> HeldPosition:
    """Return one row of GET /fapi/v3/positionRisk."""
    return HeldPosition(
        symbol=row["symbol"],
        size=number(row["positionAmt"]),
        mark_price=number(row["markPrice"]),
        entry_price=number(row["entryPrice"]),
        leg=_leg(row),
        coin=settlement_coin(str(row["symbol"]), coin_of),
    )


def equity(found: Iterable[Row], rates: Mapping[str, Decimal]) -> Decimal:
    """
    Return the USD of GET /fapi/v3/balance, open cross profit included.

    A dollar coin without a rate counts one to one, another counts nothing.
    """
    total = Decimal(0)
    for row in found:
        coin = str(row["asset"])
        rate = rates.get(coin, Decimal(1) if coin in DOLLARS else Decimal(0))
        total += (number(row["balance"]) + number(row["crossUnPnl"])) * rate
    return total


def asset_rates(found: Iterable[Row]) -> tuple[tuple[str, Decimal], ...]:
    """Return USD a coin, as GET /fapi/v1/assetIndex says it (``BTCUSD``)."""
    return tuple(
        (str(row["symbol"]).removesuffix("USD"), number(row["index"]))
        for row in found
        if str(row["symbol"]).endswith("USD")
    )


def open_order(row: Row, order_class: OrderClass) -> OpenOrder:
    """Return one open order; what is not plainly a reduction may increase."""
    is_algo = order_class is OrderClass.ALGO
    side = Side(str(row["side"]).lower())
    leg = _leg(row)
    is_closing_leg = (leg, side) in {("LONG", Side.SELL), ("SHORT", Side.BUY)}
    may_increase = not (_is(row, "reduceOnly") or _is(row, "closePosition"))
    size = number(row["quantity" if is_algo else "origQty"] or "0")
    return OpenOrder(
        symbol=row["symbol"],
        order_id=str(row["algoId" if is_algo else "orderId"]),
        client_order_id=str(row["clientAlgoId" if is_algo else "clientOrderId"]),
        order_class=order_class,
        side=side,
        size=size,
        may_increase=may_increase and not is_closing_leg,
    )


def contract(row: Row) -> Contract:
    """Return one symbol of GET /fapi/v1/exchangeInfo."""
    filters = {item["filterType"]: item for item in row["filters"]}
    lot, price = filters["LOT_SIZE"], filters["PRICE_FILTER"]
    market, band = filters.get("MARKET_LOT_SIZE", lot), filters.get("PERCENT_PRICE", {})
    return Contract(
        symbol=row["symbol"],
        tick_size=number(price["tickSize"]),
        lot_size=number(lot["stepSize"]),
        size_min=number(lot["minQty"]),
        size_market_max=number(market["maxQty"]),
        size_max=number(lot["maxQty"]),
        is_perpetual="PERPETUAL" in str(row.get("contractType", "PERPETUAL")),
        price_floor=number(band.get("multiplierDown", "0.95")),
        price_ceiling=number(band.get("multiplierUp", "1.05")),
    )


def ledger_entry(row: Row, ahead_ms: int) -> LedgerEntry:
    """Return one line of GET /fapi/v1/income, in the time of our clock."""
    kind = str(row["incomeType"])
    names = (row.get("tranId"), kind, row.get("symbol"), row.get("tradeId"))
    return LedgerEntry(
        entry_id=":".join(str(name) for name in names),
        is_transfer=kind in TRANSFERS,
        cash=number(row["income"]),
        time_ns=(int(row["time"]) - ahead_ms) * NS_PER_MS,
        coin=str(row["asset"]),
    )


def refuse_rights(venue: str, rights: Row) -> None:
    """
    Refuse a key with more rights than the daemon needs, or fewer.

    Raises
    ------
    CredentialsRefused
        One sentence.
    """
    unfit = binance_unfit(rights)
    if unfit:
        msg = f"the {venue} risk key {unfit} (key venues.{venue}.risk.key)"
        raise CredentialsRefused(msg, venue=venue, request="key rights")


def number(value: object) -> Decimal:
    """
    Return ``value`` as a number.

    Raises
    ------
    VenueUnavailable
        If it is none: such an answer is no reading.
    """
    try:
        return Decimal(str(value))
    except InvalidOperation:
        msg = f"binance sent {value!r} where a number was expected"
        raise VenueUnavailable(msg, venue="binance", request="decode") from None


def _leg(row: Row) -> str:
    return str(row.get("positionSide") or NO_LEG)


def _is(row: Row, name: str) -> bool:
    return str(row.get(name)).lower() == "true"

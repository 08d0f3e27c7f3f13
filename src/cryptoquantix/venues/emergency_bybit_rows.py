"""
Bybit v5 answers in the risk daemon's words; it requests nothing.

Decimals stay text until they are ``Decimal``; what cannot be read raises, and the
reading is blind.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from decimal import Decimal, localcontext
from typing import Any, Final

from cryptoquantix.core.clock import NS_PER_MS
from cryptoquantix.core.errors import CredentialsRefused
from cryptoquantix.core.exposure import (
    NO_LEG,
    CoinBalance,
    Contract,
    HeldPosition,
    LedgerEntry,
    OpenOrder,
    OrderClass,
    OtherHolding,
)
from cryptoquantix.core.instrument import Venue
from cryptoquantix.core.order import Side
from cryptoquantix.venues.emergency_client import refuse_key
from cryptoquantix.venues.rights import bybit_unfit

type Row = Mapping[str, Any]

DOLLARS: Final = frozenset({"USDT", "USDC", "USDE", "USD1", "DAI"})
LEGS: Final = {"0": NO_LEG, "1": "LONG", "2": "SHORT"}
POSITION_INDEX: Final = {leg: index for index, leg in LEGS.items()}

# What moves money between this account and another one of its owner or the chain.
TRANSFERS: Final = frozenset({"TRANSFER_IN", "TRANSFER_OUT", "DEPOSIT", "WITHDRAW"})
# Rights that let money out; reading the history of transfers ("...List") does not.
_ZERO: Final = Decimal(0)
_INVERSE: Final = re.compile(r"USD([FGHJKMNQUVXZ]\d\d)?\Z")


def number(value: object) -> Decimal:
    """Return decimal text as a number; the venue writes zero as nothing, too."""
    return Decimal(str(value)) if value not in {None, ""} else _ZERO


def coins(row: Row) -> tuple[CoinBalance, ...]:
    """Return the coins of a wallet, those it has nothing of left out."""
    found = []
    for item in row["coin"]:
        equity = number(item["equity"])
        balance = number(item["walletBalance"]) - number(item.get("spotBorrow"))
        if equity or balance:
            rate = _ratio(number(item.get("usdValue")), equity)
            known = rate if rate > 0 else None
            found.append(CoinBalance(str(item["coin"]), equity, balance, known))
    return tuple(found)


def _ratio(value: Decimal, size: Decimal) -> Decimal:
    """Return what one of ``size`` is worth; both are rounded, to eight digits."""
    with localcontext(prec=12):
        return (value / size).normalize() if size else _ZERO


def spot(found: Iterable[CoinBalance]) -> tuple[OtherHolding, ...]:
    """Return the coins that are no dollars: they move, and are never sold."""
    return tuple(
        OtherHolding(item.coin, "spot", item.balance, item.coin, _ZERO)
        for item in found
        if item.coin not in DOLLARS and item.balance
    )


def has_orders(row: Row) -> bool:
    """Return whether a wallet shows margin held for resting orders."""
    return any(number(item.get("totalOrderIM")) for item in row["coin"])


def position(row: Row, *, coin: str, is_inverse: bool) -> HeldPosition:
    """Return one row of GET /v5/position/list; ``coin`` is what it settles in."""
    size = number(row["size"])
    symbol = str(row["symbol"])
    return HeldPosition(
        symbol=symbol,
        size=-size if row["side"] == "Sell" else size,
        mark_price=number(row["markPrice"]),
        entry_price=number(row["avgPrice"]),
        leg=LEGS[str(row.get("positionIdx", 0))],
        coin=coin or base_coin(symbol),
        is_inverse=is_inverse,
    )


def option(row: Row) -> OtherHolding:
    """Return one option position: counted, listed, never closed."""
    size = number(row["size"])
    size = -size if row["side"] == "Sell" else size
    symbol = str(row["symbol"])
    coin = "USDT" if symbol.endswith("USDT") else "USDC"
    return OtherHolding(symbol, "option", size, coin, size * number(row["markPrice"]))


def base_coin(symbol: str) -> str:
    """
    Return the coin an inverse contract settles in.

    Examples
    --------
    >>> base_coin("BTCUSD"), base_coin("ETHUSDZ26")
    ('BTC', 'ETH')
    """
    return symbol.partition("USD")[0]


def is_inverse_name(symbol: str) -> bool:
    """
    Return whether a symbol is an inverse contract's, by its spelling.

    Examples
    --------
    >>> [is_inverse_name(s) for s in ("BTCUSD", "BTCUSDZ26", "BTCUSDT", "BTCPERP")]
    [True, True, False, False]
    """
    return _INVERSE.search(symbol) is not None


def open_order(row: Row) -> OpenOrder:
    """Return one open order; what is not plainly a reduction may increase."""
    side = Side(str(row["side"]).lower())
    leg = LEGS[str(row.get("positionIdx", 0))]
    is_closing_leg = (leg, side) in {("LONG", Side.SELL), ("SHORT", Side.BUY)}
    reduces = _is(row, "reduceOnly") or _is(row, "closeOnTrigger")
    is_waiting = str(row.get("orderStatus")) == "Untriggered"
    return OpenOrder(
        symbol=str(row["symbol"]),
        order_id=str(row["orderId"]),
        client_order_id=str(row["orderLinkId"]),
        order_class=OrderClass.ALGO if is_waiting else OrderClass.NORMAL,
        side=side,
        size=number(row["qty"]),
        may_increase=not (reduces or is_closing_leg),
    )


def contract(row: Row) -> Contract:
    """Return one symbol of GET /v5/market/instruments-info."""
    lot, price = row["lotSizeFilter"], row["priceFilter"]
    kind = str(row["contractType"])
    size_max = number(lot["maxOrderQty"])
    # The price limit of an order, as a fraction of the mark, where the venue says it.
    band = number((row.get("riskParameters") or {}).get("priceLimitRatioX"))
    band = band if 0 < band < 1 else Decimal("0.05")
    return Contract(
        symbol=str(row["symbol"]),
        tick_size=number(price["tickSize"]),
        lot_size=number(lot.get("qtyStep") or lot["minOrderQty"]),
        size_min=number(lot["minOrderQty"]),
        size_market_max=number(lot.get("maxMktOrderQty")) or size_max,
        size_max=size_max,
        is_perpetual=kind.endswith("Perpetual"),
        is_inverse=kind.startswith("Inverse"),
        price_floor=1 - band,
        price_ceiling=1 + band,
    )


def ledger_entry(row: Row, ahead_ms: int) -> LedgerEntry:
    """Return one line of GET /v5/account/transaction-log, in the time of our clock."""
    return LedgerEntry(
        entry_id=str(row["id"]),
        is_transfer=str(row["type"]) in TRANSFERS,
        cash=number(row["change"]),
        time_ns=(int(row["transactionTime"]) - ahead_ms) * NS_PER_MS,
        coin=str(row["currency"]),
    )


def key_refusal(rights: Row) -> CredentialsRefused | None:
    """Return why the daemon must not run with a key of these rights, or nothing."""
    unfit = bybit_unfit(rights)
    return refuse_key(Venue.BYBIT, unfit) if unfit else None


def _is(row: Row, name: str) -> bool:
    return str(row.get(name)).lower() == "true"

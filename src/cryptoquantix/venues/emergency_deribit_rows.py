"""
Deribit answers in the risk daemon's words; it requests nothing.

Sizes of inverse contracts are in USD, of linear ones in the base coin. Numbers come as
JSON text and stay decimal; what cannot be read raises, and the reading is blind.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, Final

from cryptoquantix.core.clock import NS_PER_MS
from cryptoquantix.core.errors import CredentialsRefused
from cryptoquantix.core.exposure import (
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
from cryptoquantix.venues.rights import deribit_unfit

type Row = Mapping[str, Any]

DOLLARS: Final = frozenset({"USDT", "USDC", "USDE", "USYC", "BUIDL"})
TRANSFERS: Final = frozenset({"deposit", "withdrawal", "transfer"})

_ZERO: Final = Decimal(0)
# The account counts profit to eight digits.
_ROUNDING: Final = Decimal("2e-8")
# The venue states no largest order; a close of more than this is sliced.
_SIZE_MAX_LOTS: Final = 10**9


def number(value: object) -> Decimal:
    """Return a JSON number, or its text, as a number."""
    return Decimal(str(value))


def coin_balance(row: Row, rate: Decimal | None) -> CoinBalance:
    """
    Return one coin's summary.

    The venue's equity is balance, plus what was realized and is open since the last
    settlement, plus the options' value; what is realized counts as balance here.
    """
    realized = number(row.get("futures_session_rpl") or 0)
    return CoinBalance(
        coin=str(row["currency"]),
        equity=number(row["equity"]),
        balance=number(row["balance"]) + realized,
        rate=rate,
    )


def in_dollars(coins: Iterable[CoinBalance]) -> tuple[Decimal, Decimal]:
    """Return equity and balance in USD; a coin that has no index counts nothing."""
    equity = balance = _ZERO
    for item in coins:
        rate = item.rate
        if rate is None:
            rate = Decimal(1) if item.coin in DOLLARS else _ZERO
        equity += item.equity * rate
        balance += item.balance * rate
    return equity, balance


def spot(coins: Iterable[CoinBalance]) -> tuple[OtherHolding, ...]:
    """Return the coins that are no dollars: they move, and are never sold."""
    return tuple(
        OtherHolding(item.coin, "spot", item.balance, item.coin, _ZERO)
        for item in coins
        if item.coin not in DOLLARS and item.balance
    )


def has_orders(row: Row) -> bool:
    """Return whether a summary shows margin held for resting orders."""
    found = row.get("projected_initial_margin"), row.get("initial_margin")
    return None not in found and number(found[0]) != number(found[1])


def is_linear(name: str) -> bool:
    """
    Return whether an instrument's size is in its base coin.

    Examples
    --------
    >>> is_linear("BTC_USDC-PERPETUAL"), is_linear("BTC-PERPETUAL")
    (True, False)
    """
    return "_" in name.partition("-")[0]


def settlement_coin(name: str) -> str:
    """
    Return the coin an instrument settles in.

    Examples
    --------
    >>> settlement_coin("BTC_USDC-PERPETUAL"), settlement_coin("ETH-27DEC24")
    ('USDC', 'ETH')
    """
    return name.partition("-")[0].rpartition("_")[2]


def position(row: Row) -> HeldPosition:
    """
    Return one futures position; a short one has a negative size.

    The entry is the price that makes the open profit the account counts: the average
    price, or after a settlement the price it was settled at.
    """
    size, mark = signed_size(row), number(row["mark_price"])
    entry, profit = number(row["average_price"]), number(row["floating_profit_loss"])
    name = str(row["instrument_name"])
    is_inverse = not is_linear(name)
    if size and (
        not entry
        or abs(_open(size, entry, mark, is_inverse) - profit)
        > (_ROUNDING + abs(profit) * _ROUNDING)
    ):
        entry = _entry(size, mark, profit, is_inverse)
    return HeldPosition(
        symbol=name,
        size=size,
        mark_price=mark,
        entry_price=entry,
        coin=settlement_coin(name),
        is_inverse=is_inverse,
    )


def _open(size: Decimal, entry: Decimal, mark: Decimal, is_inverse: bool) -> Decimal:  # noqa: FBT001 - private
    if is_inverse:
        return size * (1 / entry - 1 / mark)
    return size * (mark - entry)


def _entry(size: Decimal, mark: Decimal, profit: Decimal, is_inverse: bool) -> Decimal:  # noqa: FBT001 - private
    if is_inverse:
        return 1 / (profit / size + 1 / mark)
    return mark - profit / size


def signed_size(row: Row) -> Decimal:
    """Return a position's size; the venue signs it, and says the direction too."""
    size = abs(number(row["size"]))
    return -size if row["direction"] == "sell" else size


def option(row: Row) -> OtherHolding:
    """Return one option position: counted, listed, never closed."""
    name, size = str(row["instrument_name"]), signed_size(row)
    value = size * number(row["mark_price"])
    return OtherHolding(name, "option", size, settlement_coin(name), value)


def open_order(row: Row) -> OpenOrder:
    """Return one open order; what is not plainly a reduction may increase."""
    is_waiting = str(row["order_state"]) == "untriggered"
    return OpenOrder(
        symbol=str(row["instrument_name"]),
        order_id=str(row["order_id"]),
        client_order_id=str(row.get("label") or ""),
        order_class=OrderClass.ALGO if is_waiting else OrderClass.NORMAL,
        side=Side(str(row["direction"]).lower()),
        size=number(row["amount"]),
        may_increase=str(row.get("reduce_only")).lower() != "true",
    )


def contract(row: Row) -> Contract:
    """Return one future of public/get_instruments."""
    lot = number(row["contract_size"])
    name = str(row["instrument_name"])
    return Contract(
        symbol=name,
        # Where the tick depends on the price, the coarsest is valid everywhere.
        tick_size=max(
            [number(row["tick_size"])]
            + [number(s["tick_size"]) for s in row.get("tick_size_steps") or ()]
        ),
        lot_size=lot,
        size_min=number(row["min_trade_amount"]),
        size_market_max=lot * _SIZE_MAX_LOTS,
        size_max=lot * _SIZE_MAX_LOTS,
        is_perpetual=str(row["settlement_period"]) == "perpetual",
        is_inverse=not is_linear(name),
    )


def ledger_entry(row: Row, ahead_ms: int) -> LedgerEntry:
    """Return one line of private/get_transaction_log, in the time of our clock."""
    coin = str(row["currency"])
    return LedgerEntry(
        entry_id=f"{coin}:{row['id']}",
        is_transfer=str(row["type"]) in TRANSFERS,
        cash=number(row["change"]),
        time_ns=(int(row["timestamp"]) - ahead_ms) * NS_PER_MS,
        coin=coin,
    )


def scope_refusal(scope: str) -> CredentialsRefused | None:
    """Return why the daemon must not run with a key of this scope, or nothing."""
    unfit = deribit_unfit(scope)
    return refuse_key(Venue.DERIBIT, unfit) if unfit else None

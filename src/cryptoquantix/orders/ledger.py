"""
Fills folded into positions, fees and realized PnL; it asks no venue.

What it says is *our account of things*: the venue's positions are the ones that are
planned from, and the difference between the two is reported by ``live/reconcile.py``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from cryptoquantix.core.instrument import InstrumentId
from cryptoquantix.core.order import Fill
from cryptoquantix.core.quantity import from_steps
from cryptoquantix.orders.value import pnl


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """
    Where one instrument stands by our own fills.

    ``size_lots`` is signed. ``entry_price`` is the average of what is held, zero
    when flat. ``pnl_realized`` is of closed size, fees not included; ``fees`` by
    currency, positive where paid.
    """

    size_lots: int = 0
    entry_price: Decimal = Decimal(0)
    pnl_realized: Decimal = Decimal(0)
    fees: Mapping[str, Decimal] = field(default_factory=dict)


def apply_fill(
    entry: LedgerEntry, fill: Fill, lot_size: Decimal, *, is_inverse: bool = False
) -> LedgerEntry:
    """
    Return ``entry`` after ``fill``.

    Parameters
    ----------
    entry : LedgerEntry
        Where the instrument stands before.
    fill : Fill
        One execution; each must be applied exactly once (the journal keeps them by
        trade id).
    lot_size : Decimal, base units (inverse: quote units)
        Size of one lot.
    is_inverse : bool
        Whether sizes are in the quote and profit in the base coin.

    Notes
    -----
    A fill that closes realizes ``size · (price - entry_price)``, an inverse one
    ``size · (1/entry_price - 1/price)``, of the size closed, signed as held; one that
    crosses zero closes all and opens the rest at its own price. The average entry of
    an inverse position is the harmonic one: dollars held by coins paid.

    Examples
    --------
    >>> from cryptoquantix.core.order import Side
    >>> btc = InstrumentId.parse("binance:BTCUSDT-PERP")
    >>> none, one = Decimal(0), Decimal(1)
    >>> def two(side, price):
    ...     return Fill("1", "a", btc, side, 2, Decimal(price), none, "USDT", 0)
    >>> held = apply_fill(LedgerEntry(), two(Side.BUY, "100"), one)
    >>> flat = apply_fill(held, two(Side.SELL, "110"), one)
    >>> flat.size_lots, flat.pnl_realized
    (0, Decimal('20'))
    """
    change = fill.side.sign * fill.size_lots
    after = entry.size_lots + change
    is_opening = entry.size_lots * change >= 0
    closed = 0 if is_opening else min(abs(change), abs(entry.size_lots))
    sign = 1 if entry.size_lots > 0 else -1
    realized = Decimal(0)
    if closed:
        size = from_steps(sign * closed, lot_size)
        realized = pnl(is_inverse, size, entry.entry_price, fill.price)
    fees = dict(entry.fees)
    fees[fill.fee_currency] = fees.get(fill.fee_currency, Decimal(0)) + fill.fee
    return LedgerEntry(
        size_lots=after,
        entry_price=_entry_price(entry, fill, after, is_inverse=is_inverse),
        pnl_realized=entry.pnl_realized + realized,
        fees=fees,
    )


def _entry_price(
    entry: LedgerEntry, fill: Fill, after: int, *, is_inverse: bool
) -> Decimal:
    if after == 0:
        return Decimal(0)
    if entry.size_lots == 0 or entry.size_lots * after < 0:
        return fill.price
    if abs(after) < abs(entry.size_lots):
        return entry.entry_price
    held, new = abs(entry.size_lots), fill.size_lots
    if is_inverse:
        return (held + new) / (held / entry.entry_price + new / fill.price)
    return (held * entry.entry_price + new * fill.price) / (held + new)


def replay(
    fills: Iterable[Fill], lot_sizes: Mapping[InstrumentId, Decimal]
) -> dict[InstrumentId, LedgerEntry]:
    """
    Return where every instrument stands after ``fills``, in their order.

    Replaying the journal gives the same ledger every time: nothing but the fills
    goes in.
    """
    entries: dict[InstrumentId, LedgerEntry] = {}
    for fill in fills:
        before = entries.get(fill.instrument, LedgerEntry())
        entries[fill.instrument] = apply_fill(before, fill, lot_sizes[fill.instrument])
    return entries

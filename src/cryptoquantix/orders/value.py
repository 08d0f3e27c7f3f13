"""
What lots are worth, linear and inverse alike; it decides nothing.

A linear lot is a size of the base coin, worth ``lot_size × price``. An inverse lot is a
number of dollars whatever the price.
"""

from __future__ import annotations

from decimal import Decimal

from cryptoquantix.core.instrument import Instrument
from cryptoquantix.orders.sizing import target_lots


def lot_quote(instrument: Instrument, price: Decimal) -> Decimal:
    """
    Return what one lot is worth in the quote currency.

    Examples
    --------
    >>> from cryptoquantix.core.instrument import InstrumentId
    >>> ten = Instrument(InstrumentId.parse("deribit:BTCUSD-PERP"), Decimal("0.5"),
    ...     Decimal(10), Decimal(10), "BTC", "BTC", "USD", is_inverse=True)
    >>> lot_quote(ten, Decimal(60_000))
    Decimal('10')
    """
    return instrument.lot_size if instrument.is_inverse else instrument.lot_size * price


def wanted_lots(
    target: float, equity_quote: Decimal, price: Decimal, instrument: Instrument
) -> int:
    """Return the position that ``target`` asks for, as ``orders.sizing`` has it."""
    return target_lots(
        target,
        float(equity_quote),
        1.0 if instrument.is_inverse else float(price),
        float(instrument.lot_size),
        float(instrument.notional_min),
    )


def pnl(
    instrument_is_inverse: bool,  # noqa: FBT001 - a field of a record
    size: Decimal,
    entry_price: Decimal,
    exit_price: Decimal,
) -> Decimal:
    """
    Return what closing ``size`` (signed, as held) earned, in the settlement coin.

    Examples
    --------
    >>> pnl(False, Decimal(2), Decimal(100), Decimal(110))
    Decimal('20')
    >>> pnl(True, Decimal(1000), Decimal(50_000), Decimal(40_000))
    Decimal('-0.005')
    """
    if instrument_is_inverse:
        return size / entry_price - size / exit_price
    return size * (exit_price - entry_price)

"""
From positions to the orders that close them, as pure functions; it sends none.

Every order here is reduce-only, so one too many shrinks nothing below zero.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal, localcontext
from typing import Final

from cryptoquantix.core.exposure import CloseOrder, Contract, HeldPosition
from cryptoquantix.core.order import Side

SLICES_MAX: Final = 20
"""Slices of one position sent in one round; the next round takes the rest."""

CLIENT_ID_PREFIX: Final = "cqxk-"


def why_left(held: HeldPosition, contract: Contract | None) -> str:
    """
    Return why ``held`` is named and not closed, or an empty text.

    Dust is too small for any order the venue takes. Dated futures count in equity and
    are never closed: they end by themselves, and often hedge what is elsewhere.
    """
    if contract is None:
        return ""
    if not contract.is_perpetual:
        return "no perpetual: never closed by the daemon"
    whole = _whole_lots(abs(held.size), contract)
    return "dust" if whole <= 0 or whole < contract.size_min else ""


def most_first(positions: Iterable[HeldPosition]) -> list[HeldPosition]:
    """Return the positions by notional, the largest first: a budget may be short."""

    def notional(held: HeldPosition) -> Decimal:
        return abs(held.size) * (Decimal(1) if held.is_inverse else held.mark_price)

    return sorted(positions, key=notional, reverse=True)


def is_cut(held: HeldPosition, contract: Contract | None) -> bool:
    """Return whether ``held`` has more slices than one set takes."""
    if contract is None or why_left(held, contract):
        return False
    largest = _whole_lots(contract.size_market_max, contract)
    return 0 < largest * SLICES_MAX < _whole_lots(abs(held.size), contract)


def close_orders(
    held: HeldPosition, contract: Contract | None, *, halt_id: str, attempt: int
) -> list[CloseOrder]:
    """
    Return market orders that close ``held``, sliced by the largest market size.

    Without a contract (its list could not be read) the whole size goes out in one.
    """
    side = Side.SELL if held.size > 0 else Side.BUY
    sizes = [abs(held.size)] if contract is None else _slices(abs(held.size), contract)
    return [
        CloseOrder(
            symbol=held.symbol,
            leg=held.leg,
            side=side,
            size=size,
            client_order_id=client_id(halt_id, held, attempt, f"{number}"),
        )
        for number, size in enumerate(sizes)
    ]


def band_order(
    held: HeldPosition, order: CloseOrder, contract: Contract, *, halt_id: str
) -> CloseOrder:
    """
    Return ``order`` as an IOC limit at the far end of the price band.

    For a venue that refuses the market order (Binance -4131 in a fast market): the
    limit takes whatever rests within the band, and what is left is tried again.
    """
    is_sell = order.side is Side.SELL
    factor = contract.price_floor if is_sell else contract.price_ceiling
    rounding = ROUND_CEILING if is_sell else ROUND_FLOOR
    with localcontext(prec=50):
        ticks = held.mark_price * factor / contract.tick_size
        price = ticks.to_integral_value(rounding=rounding) * contract.tick_size
    return CloseOrder(
        symbol=order.symbol,
        leg=order.leg,
        side=order.side,
        size=order.size,
        client_order_id=client_id(halt_id, held, 0, order.client_order_id),
        price=price,
    )


def client_id(halt_id: str, held: HeldPosition, attempt: int, part: str) -> str:
    """Return the name of one close, the same after a restart: 31 characters."""
    fields = (halt_id, held.symbol, held.leg, str(held.size), str(attempt), part)
    found = hashlib.sha256("\x1f".join(fields).encode()).digest()
    return CLIENT_ID_PREFIX + base64.b32encode(found).decode().lower()[:26]


def _slices(size: Decimal, contract: Contract) -> list[Decimal]:
    left = _whole_lots(size, contract)
    largest = _whole_lots(contract.size_market_max, contract)
    if largest <= 0:
        return [left]
    sizes: list[Decimal] = []
    while left > 0 and len(sizes) < SLICES_MAX:
        part = min(left, largest)
        if 0 < left - part < contract.size_min:
            part = _whole_lots(left / 2, contract)
        sizes.append(part)
        left -= part
    return sizes


def _whole_lots(size: Decimal, contract: Contract) -> Decimal:
    with localcontext(prec=50):
        lots = (size / contract.lot_size).to_integral_value(rounding=ROUND_FLOOR)
        return lots * contract.lot_size

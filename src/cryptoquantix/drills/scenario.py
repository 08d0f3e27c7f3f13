"""The book that a drill puts the kill switch in front of, as plain orders; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from cryptoquantix.core.quantity import from_steps, to_lots_down, to_steps_nearest


@dataclass(frozen=True, slots=True)
class Listing:
    """One symbol of the simulated venue, with its steps."""

    symbol: str
    tick_size: Decimal
    lot_size: Decimal


@dataclass(frozen=True, slots=True)
class BookOrder:
    """An order of the drill's book. ``price`` is None at market.

    ``is_conditional`` orders live in the venue's algo service and ``price`` is then
    their trigger.
    """

    symbol: str
    side: str
    quantity: Decimal
    price: Decimal | None = None
    is_conditional: bool = False


# Distances from the price: far enough that a drill's crash fills and triggers none.
_BUY_BELOW = (Decimal("0.70"), Decimal("0.60"))
_SELL_ABOVE = (Decimal("1.40"),)
_STOP_BELOW = Decimal("0.55")


def build_book(
    listings: Sequence[Listing],
    prices: Mapping[str, Decimal],
    equity: Decimal,
    *,
    gross_exposure: Decimal,
) -> list[BookOrder]:
    """
    Return one long position a symbol, and four resting orders around each.

    Of the four, two buy far below and one sells far above (all three could
    increase), and one is a conditional sell. ``gross_exposure`` is a multiple of
    ``equity``, spread evenly.
    """
    orders = []
    notional = equity * gross_exposure / len(listings)
    for listing in listings:
        price = prices[listing.symbol]
        size = _round_down(notional / price, listing.lot_size)
        small = _round_down(notional / price / 20, listing.lot_size)
        orders.append(BookOrder(listing.symbol, "BUY", size))
        orders += [
            BookOrder(listing.symbol, side, small, _near(price * factor, listing))
            for side, factors in (("BUY", _BUY_BELOW), ("SELL", _SELL_ABOVE))
            for factor in factors
        ]
        trigger = _near(price * _STOP_BELOW, listing)
        orders.append(BookOrder(listing.symbol, "SELL", size, trigger, True))  # noqa: FBT003
    return orders


def _near(price: Decimal, listing: Listing) -> Decimal:
    return from_steps(to_steps_nearest(price, listing.tick_size), listing.tick_size)


def _round_down(size: Decimal, lot_size: Decimal) -> Decimal:
    return from_steps(to_lots_down(size, lot_size), lot_size)

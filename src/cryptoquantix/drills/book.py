"""The book that a drill puts the kill switch in front of, as plain orders; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from cryptoquantix.core.quantity import from_steps, to_lots_down, to_steps_nearest


@dataclass(frozen=True, slots=True)
class Listing:
    """
    One symbol of the simulated venue, with its steps.

    Sizes of an inverse one are in its quote coin, of the others in the base coin.
    """

    symbol: str
    tick_size: Decimal
    lot_size: Decimal
    is_inverse: bool = False


@dataclass(frozen=True, slots=True)
class BookOrder:
    """An order of the drill's book. ``price`` is None at market.

    ``is_conditional`` orders rest until ``price`` is reached: their trigger.
    ``is_protective`` ones are reduce-only.
    """

    symbol: str
    side: str
    quantity: Decimal
    price: Decimal | None = None
    is_conditional: bool = False
    is_protective: bool = False


@dataclass(frozen=True, slots=True)
class Book:
    """
    What the kill switch is put in front of.

    ``exposure`` is a multiple of the equity at each venue, over ``symbols`` symbols;
    ``order_max`` is the most one market order of the owner may be worth, in the quote
    coin.
    """

    exposure: Decimal = Decimal("1.5")
    symbols: int = 3
    is_hedged: bool = False
    order_max: Decimal | None = None


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
    is_hedged: bool = False,
) -> list[BookOrder]:
    """
    Return one position a symbol, and four resting orders around each.

    Of the four, two buy far below and one sells far above (all three could
    increase), and one is a conditional sell: of every second symbol a protective,
    reduce-only one. ``gross_exposure`` is a multiple of ``equity``, spread evenly.
    All positions are long; with ``is_hedged`` every second one is short, and has
    limit orders only.
    """
    orders = []
    notional = equity * gross_exposure / len(listings)
    for number, listing in enumerate(listings):
        price = prices[listing.symbol]
        whole = notional if listing.is_inverse else notional / price
        size = _round_down(whole, listing.lot_size)
        small = max(_round_down(whole / 20, listing.lot_size), listing.lot_size)
        is_short = is_hedged and number % 2 == 1
        orders.append(BookOrder(listing.symbol, "SELL" if is_short else "BUY", size))
        orders += [
            BookOrder(listing.symbol, side, small, _near(price * factor, listing))
            for side, factors in (("BUY", _BUY_BELOW), ("SELL", _SELL_ABOVE))
            for factor in factors
        ]
        if not is_short:
            orders.append(
                BookOrder(
                    listing.symbol,
                    "SELL",
                    size,
                    _near(price * _STOP_BELOW, listing),
                    is_conditional=True,
                    is_protective=number % 2 == 1,
                )
            )
    return orders


def _near(price: Decimal, listing: Listing) -> Decimal:
    return from_steps(to_steps_nearest(price, listing.tick_size), listing.tick_size)


def _round_down(size: Decimal, lot_size: Decimal) -> Decimal:
    return from_steps(to_lots_down(size, lot_size), lot_size)

"""
One instrument's market: book, last price, what was printed, orders of clients in it.

The market maker quotes lazily: a price change only marks the book stale, and it is
quoted afresh when somebody looks or trades, so that a fast tape costs little.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

from cryptoquantix.simulator.history import History, PriorBar
from cryptoquantix.simulator.listing import Listing, divide_half_even
from cryptoquantix.simulator.maker import LadderRule, ladder
from cryptoquantix.simulator.matching import UNBOUNDED_TICKS, Book, BookOrder
from cryptoquantix.simulator.orders import VenueOrder
from cryptoquantix.simulator.triggers import TriggerBook

MAKER_OWNER = 0
FUNDING_INTERVAL_NS = 8 * 3600 * 1_000_000_000


class Market:
    """
    The state of one listed instrument.

    ``price_ticks`` is last, mark and index price in one; ``factor`` is what price
    shocks have multiplied the tape by since the start.
    """

    def __init__(
        self, listing: Listing, price_ticks: int, *, rule: LadderRule | None = None
    ) -> None:
        assert price_ticks > 0, f"a price is positive, was {price_ticks} ticks"
        self.listing = listing
        self.rule = rule or LadderRule()
        self.book = Book()
        self.history = History()
        self.triggers = TriggerBook()
        self.price_ticks = price_ticks
        self.raw_ticks = price_ticks
        self.factor = Fraction(1)
        self.tape_ns = 0
        self.next_funding_ns = 0
        self.fundings: list[tuple[int, int]] = []
        self.open_orders: dict[int, VenueOrder] = {}
        self.is_held = False
        self._bid_high = 0
        self._ask_low = UNBOUNDED_TICKS
        self._quotes: dict[tuple[int, int], BookOrder] = {}
        self._quoted_ticks = 0
        self._is_thinned = False
        self._maker_id = 0

    def preload(self, bars: Iterable[PriorBar]) -> None:
        """Put one-minute bars from before the tape in front of it."""
        self.history.preload(bars)

    def scaled_ticks(self, raw_ticks: int) -> int:
        """Return a tape price after the shocks so far, at least one tick."""
        factor = self.factor
        if factor == 1:
            return raw_ticks
        return max(
            1, divide_half_even(raw_ticks * factor.numerator, factor.denominator)
        )

    def is_touched_by(self, price_ticks: int) -> bool:
        """Return whether a client's resting order may trade at this price."""
        return price_ticks <= self._bid_high or price_ticks >= self._ask_low

    def note_open_orders(self) -> None:
        """Recompute the best prices that :meth:`is_touched_by` compares with."""
        bids = [
            o.price_ticks for o in self.open_orders.values() if o.request.side.sign > 0
        ]
        asks = [
            o.price_ticks for o in self.open_orders.values() if o.request.side.sign < 0
        ]
        self._bid_high = max(bids) if bids else 0
        self._ask_low = min(asks) if asks else UNBOUNDED_TICKS

    def thin(self) -> None:
        """Note that quotes were taken; the maker refills on its next turn."""
        self._is_thinned = True

    @property
    def is_thinned(self) -> bool:
        """True while quotes that were taken have not been refilled."""
        return self._is_thinned

    def stale_quotes(self, *, refill: bool) -> list[BookOrder]:
        """
        Take out the maker's quotes that are wrong now and return those to place.

        Empty while the price has not moved and, without ``refill``, whatever has
        been taken: a market order cannot be filled twice by the same quotes.
        """
        moved = self._quoted_ticks != self.price_ticks
        if not moved and not (refill and self._is_thinned):
            return []
        self._quoted_ticks = self.price_ticks
        self._is_thinned = False
        wanted = ladder(self.listing, self.price_ticks, self.rule)
        for key, order in list(self._quotes.items()):
            if wanted.get(key) == order.remaining_lots and order.id in self.book:
                del wanted[key]
            else:
                self.book.remove(order.id)
                del self._quotes[key]
        for (sign, price_ticks), lots in wanted.items():
            self._maker_id -= 1
            order = BookOrder(
                self._maker_id,
                MAKER_OWNER,
                sign,
                price_ticks=price_ticks,
                size_lots=lots,
            )
            self._quotes[sign, price_ticks] = order
        return [self._quotes[key] for key in wanted]

    def aggressor(self, price_ticks: int, size_lots: int, sign: int) -> BookOrder:
        """Return a tape trade as an order that may meet clients' resting orders."""
        self._maker_id -= 1
        return BookOrder(
            self._maker_id,
            MAKER_OWNER,
            sign,
            price_ticks=price_ticks,
            size_lots=size_lots,
        )

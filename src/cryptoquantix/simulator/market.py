"""
One instrument's market: book, last price, what was printed, orders of clients in it.

The market maker quotes lazily: a price change only marks the book stale, and it is
quoted afresh when somebody looks or trades, so that a fast tape costs little.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

from cryptoquantix.core.order import Side
from cryptoquantix.simulator.accounts import Holding
from cryptoquantix.simulator.history import History, PriorBar
from cryptoquantix.simulator.listing import Listing, divide_half_even
from cryptoquantix.simulator.maker import LadderRule, ladder, ladder_behind
from cryptoquantix.simulator.matching import UNBOUNDED_TICKS, Book, BookOrder
from cryptoquantix.simulator.orders import VenueOrder
from cryptoquantix.simulator.rules import NS_PER_HOUR, VenueRules
from cryptoquantix.simulator.triggers import TriggerBook
from cryptoquantix.simulator.volatility import Volatility

MAKER_OWNER = 0
FUNDING_INTERVAL_NS = 8 * NS_PER_HOUR
FUNDING_INDEX_SCALE = 10**12
_RATE_STEPS = 10**8


class FundingPaid(NamedTuple):
    """One funding time of the tape: its mark price and rate."""

    time_ns: int
    mark_ticks: int
    rate: Decimal


class MirroredQuote(NamedTuple):
    """Best bid and ask of the market that is mirrored, in ticks and lots."""

    time_ns: int
    bid_ticks: int
    bid_lots: int
    ask_ticks: int
    ask_lots: int


class MirroredMark(NamedTuple):
    """
    What the mirrored market says of mark, index and funding.

    Zero ticks, a rate of None and a time of zero where it does not say.
    """

    time_ns: int
    mark_ticks: int
    index_ticks: int
    funding_rate: Decimal | None
    next_funding_ns: int


class Market:
    """
    The state of one listed instrument.

    ``price_ticks`` is the last price, and what makers quote around. ``index_ticks``
    is the tape's price as all venues see it; ``factor`` is what price shocks have
    multiplied the tape by since the start, and ``premium`` what this venue alone
    trades at over the index. ``mark_ticks`` is the last price, but never further
    than ``premium_limit`` from the index.

    With ``is_mirror`` none of that is made here: prints, quotes, mark, index and
    funding are those of a market elsewhere, as last told. While ``is_halted`` nothing
    is known of that market.
    """

    # Of the class, so that books saved before there were mirrors can be read.
    is_mirror = False
    is_halted = False
    _mirrored: MirroredQuote | None = None
    _is_requoted = False
    _is_mark_told = False
    _told_rate: Decimal | None = None

    def __init__(
        self,
        listing: Listing,
        price_ticks: int,
        *,
        rule: LadderRule | None = None,
        premium_limit: Fraction = Fraction(1, 20),
    ) -> None:
        assert price_ticks > 0, f"a price is positive, was {price_ticks} ticks"
        self.listing = listing
        self.rule = rule or LadderRule()
        self.book = Book()
        self.history = History()
        self.triggers = TriggerBook()
        self.volatility = Volatility()
        self.price_ticks = price_ticks
        self.index_ticks = price_ticks
        self.mark_ticks = price_ticks
        self.raw_ticks = price_ticks
        self.factor = Fraction(1)
        self.premium = Fraction(1)
        self.premium_limit = premium_limit
        self.tape_ns = 0
        self.next_funding_ns = 0
        self.funding_index = 0  # sum of rate x value of a lot, see accrue()
        self.funded_ns = 0
        self.fundings: list[FundingPaid] = []
        self.open_orders: dict[int, VenueOrder] = {}
        self._by_account: dict[int, dict[int, VenueOrder]] = {}
        self.is_held = False
        self.is_band_shut = False  # market orders are refused, as outside the band
        self._bid_high = 0
        self._ask_low = UNBOUNDED_TICKS
        self._quotes: dict[tuple[int, int], BookOrder] = {}
        self._quoted = 0, False
        self.is_sold = False  # a seller was the aggressor of the last print
        self._is_thinned = False
        self._maker_id = 0
        self._par_rate: Decimal | None = None  # at index, where mark and index agree

    def preload(self, bars: Iterable[PriorBar]) -> None:
        """Put one-minute bars from before the tape in front of it."""
        self.history.preload(bars)

    def scaled_ticks(self, raw_ticks: int) -> int:
        """Return a tape price after the shocks so far, at least one tick."""
        if self.factor == 1:
            return raw_ticks
        return max(1, scaled(raw_ticks, self.factor))

    def working_ticks(self, working_type: str) -> int:
        """Return the price that conditional orders of a working type wait for."""
        if working_type == "MARK_PRICE":
            return self.mark_ticks
        return self.index_ticks if working_type == "INDEX_PRICE" else self.price_ticks

    def reprice(self, index_ticks: int) -> bool:
        """Take a new index price; return whether last or mark price moved."""
        before = self.price_ticks, self.mark_ticks
        self.index_ticks = index_ticks
        if self.premium == 1:
            self.price_ticks = self.mark_ticks = index_ticks
        else:
            self.price_ticks = max(1, scaled(index_ticks, self.premium))
            low = scaled(index_ticks, 1 - self.premium_limit)
            high = scaled(index_ticks, 1 + self.premium_limit)
            self.mark_ticks = max(1, low, min(high, self.price_ticks))
        self.volatility.see(self.price_ticks, self.tape_ns)
        return before != (self.price_ticks, self.mark_ticks)

    def funding_rate(self, rules: VenueRules) -> Decimal:
        """
        Return the rate for one funding interval at the present prices.

        Premium P = mark / index - 1, and the rate P + clamp(interest - P, damper):
        the formula Binance and Bybit publish, with the present premium in place of
        its average; with an interest of zero it is Deribit's. A mirrored market's
        own rate, once it was told.
        """
        if self._told_rate is not None:
            return self._told_rate
        if self.mark_ticks == self.index_ticks:
            # Nearly always, and asked with every trade where funding accrues.
            if self._par_rate is None:
                self._par_rate = self._rate(rules, Fraction(0))
            return self._par_rate
        premium = Fraction(self.mark_ticks - self.index_ticks, self.index_ticks)
        return self._rate(rules, premium)

    def _rate(self, rules: VenueRules, premium: Fraction) -> Decimal:
        damper, limit = Fraction(rules.funding_damper), Fraction(rules.funding_rate_max)
        back = max(-damper, min(damper, Fraction(rules.funding_rate) - premium))
        rate = max(-limit, min(limit, premium + back)) * _RATE_STEPS
        steps = divide_half_even(rate.numerator, rate.denominator)
        return Decimal(steps).scaleb(-8)

    def accrue(self, rules: VenueRules) -> bool:
        """
        Let funding accrue up to tape time at the present rate; return whether any did.

        ``funding_index`` is what a long of one lot has paid since the start, in
        10^-12 of a unit; each step is rounded to that once.
        """
        before = self.funding_index
        passed_ns = self.tape_ns - self.funded_ns
        if self.funded_ns and passed_ns > 0:
            rate = self.funding_rate(rules)
            if rate:
                value = self.listing.exact_value(self.index_ticks, 1)
                share = Fraction(passed_ns, rules.funding_interval_ns)
                step = Fraction(rate) * value * share * FUNDING_INDEX_SCALE
                self.funding_index += divide_half_even(step.numerator, step.denominator)
        self.funded_ns = max(self.funded_ns, self.tape_ns)
        return self.funding_index != before

    def accrued_units(self, held: Holding) -> int:
        """Return the funding that has accrued to a position since its last booking."""
        passed = self.funding_index - held.funding_index
        if not passed:
            return 0
        return -divide_half_even(held.size_lots * passed, FUNDING_INDEX_SCALE)

    def is_touched_by(self, price_ticks: int) -> bool:
        """Return whether a client's resting order may trade at this price."""
        return price_ticks <= self._bid_high or price_ticks >= self._ask_low

    def orders_of(self, account_id: int) -> dict[int, VenueOrder]:
        """Return an account's resting orders by id; not to be changed."""
        return self._by_account.get(account_id, {})

    def add_open(self, order: VenueOrder) -> None:
        """Note an order that now rests."""
        self.open_orders[order.id] = order
        self._by_account.setdefault(order.account_id, {})[order.id] = order
        if order.request.side is Side.BUY:
            self._bid_high = max(self._bid_high, order.price_ticks)
        else:
            self._ask_low = min(self._ask_low, order.price_ticks)

    def drop_open(self, order: VenueOrder) -> None:
        """Note that an order rests no longer, if it did."""
        if self.open_orders.pop(order.id, None) is None:
            return
        del self._by_account[order.account_id][order.id]
        if order.price_ticks in {self._bid_high, self._ask_low}:
            self.note_open_orders()

    def note_open_orders(self) -> None:
        """Recompute the best prices that :meth:`is_touched_by` compares with."""
        orders = self.open_orders.values()
        bids = [o.price_ticks for o in orders if o.request.side is Side.BUY]
        asks = [o.price_ticks for o in orders if o.request.side is Side.SELL]
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
        around = self.price_ticks, self.is_sold and self.rule.spread_ticks > 0
        moved = self._is_requoted if self.is_mirror else self._quoted != around
        if not moved and not (refill and self._is_thinned):
            return []
        self._quoted = around
        self._is_thinned = self._is_requoted = False
        wanted = self._wanted()
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

    def _wanted(self) -> dict[tuple[int, int], int]:
        """Return lots by (sign, price ticks) that makers show now."""
        rule = self.rule.stressed(self.volatility.stress(self.tape_ns))
        if not self.is_mirror:
            return ladder(self.listing, self.price_ticks, rule, is_sold=self.is_sold)
        if self._mirrored is None:
            return {}
        return ladder_behind(self.listing, self._mirrored[1:], rule)

    def see_print(self, price_ticks: int) -> bool:
        """Take a mirrored print's price; return whether any price moved by it."""
        before = self.price_ticks, self.mark_ticks
        self.price_ticks = price_ticks
        if not self._is_mark_told:
            self.mark_ticks = self.index_ticks = price_ticks
        self.volatility.see(price_ticks, self.tape_ns)
        return before != (self.price_ticks, self.mark_ticks)

    def see_quote(self, quote: MirroredQuote) -> None:
        """Take the mirrored market's best quotes; makers follow when next looked at."""
        factor = self.factor
        if factor != 1:
            bid = max(1, scaled(quote.bid_ticks, factor))
            ask = max(bid + 1, scaled(quote.ask_ticks, factor))
            quote = quote._replace(bid_ticks=bid, ask_ticks=ask)
        self._mirrored = quote
        self._is_requoted = True

    def see_mark(self, mark: MirroredMark) -> bool:
        """Take mark, index and funding rate; return whether the prices moved."""
        before = self.mark_ticks, self.index_ticks
        if mark.mark_ticks:
            self._is_mark_told = True
            self.mark_ticks = self.scaled_ticks(mark.mark_ticks)
            self.index_ticks = self.scaled_ticks(mark.index_ticks or mark.mark_ticks)
        if mark.funding_rate is not None:
            self._told_rate = mark.funding_rate
        return before != (self.mark_ticks, self.index_ticks)

    def is_met_by_quote(self) -> bool:
        """Return whether the mirrored best quotes reach a client's resting order."""
        quote = self._mirrored
        if quote is None:
            return False
        return quote.ask_ticks <= self._bid_high or quote.bid_ticks >= self._ask_low

    def passed_lots(self, sign: int, price_ticks: int) -> int:
        """Return the lots of clients' bids (+1) or asks (-1) a price has passed."""
        return sum(
            order.remaining_lots
            for order in self.open_orders.values()
            if order.request.side.sign == sign
            and sign * order.price_ticks > sign * price_ticks
        )

    def stand_aside(self, price_ticks: int, sign: int) -> None:
        """Withdraw makers' quotes that a print passed, or met on its other side."""
        for (side, price), order in list(self._quotes.items()):
            is_passed = side * price > side * price_ticks
            if is_passed or (side == -sign and price == price_ticks):
                self.book.remove(order.id)
                del self._quotes[side, price]
        self._is_requoted = True

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


def scaled(ticks: int, factor: Fraction) -> int:
    """Return ``ticks`` × ``factor``, rounded half to even."""
    return divide_half_even(ticks * factor.numerator, factor.denominator)

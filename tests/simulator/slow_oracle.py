"""
An obvious slow venue to compare with: fractions, naive lists, textbook formulas.

It sees what clients see (the core's events) and what was commanded, and knows no
line of the core's own arithmetic.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction

from cryptoquantix.core.order import TimeInForce
from cryptoquantix.simulator.accounts import Leg
from cryptoquantix.simulator.listing import Listing
from cryptoquantix.simulator.matching import (
    Book,
    BookEvent,
    BookOrder,
    Expired,
    Refused,
    Rested,
    SelfTradeEnded,
    SelfTradePrevented,
    Traded,
)
from cryptoquantix.simulator.orders import FillDetail, OrderRequest, Origin
from cryptoquantix.simulator.rules import SelfTrade, VenueRules

HOUR_NS = 3_600_000_000_000


def units(coins: Fraction) -> int:
    """Round an amount to 1e-8, half to even (as round() of a Fraction does)."""
    return round(coins * 10**8)


class CheckedBook(Book):
    """A book that compares every event with a naive list of resting orders."""

    __slots__ = ("resting",)

    def __init__(self) -> None:
        super().__init__()
        self.resting: list[BookOrder] = []  # in the order of arrival

    def first_met_by(self, order: BookOrder) -> BookOrder | None:
        """Return whom price, then time, says an order meets next."""
        if order.sign > 0:
            met = [
                o
                for o in self.resting
                if o.sign < 0 and o.price_ticks <= order.price_ticks
            ]
            return min(met, key=lambda o: o.price_ticks, default=None)
        met = [
            o for o in self.resting if o.sign > 0 and o.price_ticks >= order.price_ticks
        ]
        return max(met, key=lambda o: o.price_ticks, default=None)

    def execute(
        self,
        order: BookOrder,
        time_in_force: TimeInForce,
        self_trade: SelfTrade = SelfTrade.CANCEL_MAKER,
    ) -> Iterator[BookEvent]:
        before = order.remaining_lots
        for event in super().execute(order, time_in_force, self_trade):
            if isinstance(event, Traded):
                before = self._compare_trade(event, order, before)
            elif isinstance(event, SelfTradePrevented):
                assert event.maker.owner == order.owner
                assert event.maker not in self.resting
            elif isinstance(event, SelfTradeEnded):
                assert self_trade in {SelfTrade.CANCEL_TAKER, SelfTrade.CANCEL_BOTH}
            elif isinstance(event, Rested):
                assert self.first_met_by(order) is None, "it rests and does not cross"
                self.resting.append(order)
            elif isinstance(event, Refused):
                assert self.first_met_by(order) is not None
            elif isinstance(event, Expired) and time_in_force is TimeInForce.IOC:
                assert self.first_met_by(order) is None
            yield event

    def _compare_trade(self, event: Traded, order: BookOrder, before: int) -> int:
        maker = self.first_met_by(order)
        # The book has already taken the lots off both orders.
        assert maker is event.maker, "price, then time"
        assert event.price_ticks == maker.price_ticks
        size = min(before, maker.remaining_lots + event.size_lots)
        assert event.size_lots == size
        if not maker.remaining_lots:
            self.resting.remove(maker)
        return before - size

    def remove(self, order_id: int) -> BookOrder | None:
        self.resting = [o for o in self.resting if o.id != order_id]
        return super().remove(order_id)


@dataclass
class Product:
    """An instrument and its prices, by the words of the documents."""

    listing: Listing
    rules: VenueRules
    raw: int
    lot_coins: Fraction = field(init=False)
    index: int = field(init=False)
    last: int = field(init=False)
    mark: int = field(init=False)
    factor: Fraction = Fraction(1)
    premium: Fraction = Fraction(1)
    tape_ns: int = 0
    next_funding_ns: int = 0
    funded_ns: int = 0
    paid_by_a_lot: int = 0  # continuous funding, 1e-20 coins

    def __post_init__(self) -> None:
        tick = Fraction(self.listing.tick_size)
        lot = Fraction(self.listing.lot_size)
        # What a lot is worth at a price of one tick.
        self.lot_coins = lot / tick if self.listing.is_inverse else lot * tick
        self.reprice()

    def reprice(self) -> None:
        """Find the prices: tape, times what moved it; the mark near the index."""
        self.index = max(1, round(self.raw * self.factor))
        self.last = max(1, round(self.index * self.premium))
        limit = self.rules.premium_limit
        low, high = round(self.index * (1 - limit)), round(self.index * (1 + limit))
        self.mark = max(1, low, min(high, self.last))

    def coins(self, ticks: int, lots: int) -> Fraction:
        """Return what ``lots`` are worth in the settlement coin."""
        if self.listing.is_inverse:
            return Fraction(lots, ticks) * self.lot_coins
        return ticks * lots * self.lot_coins

    def rate(self) -> Fraction:
        """Return premium + clamp(interest - premium), both within their limits."""
        rules = self.rules
        premium = Fraction(self.mark - self.index, self.index)
        damper, most = Fraction(rules.funding_damper), Fraction(rules.funding_rate_max)
        rate = premium + min(
            max(Fraction(rules.funding_rate) - premium, -damper), damper
        )
        return Fraction(round(min(max(rate, -most), most) * 10**8), 10**8)

    def accrue(self, tape_ns: int) -> None:
        if self.funded_ns and tape_ns > self.funded_ns:
            share = Fraction(tape_ns - self.funded_ns, 8 * HOUR_NS)
            coins = self.coins(self.index, 1) * self.rate() * share
            self.paid_by_a_lot += round(coins * 10**20)
        self.funded_ns = max(self.funded_ns, tape_ns)

    def is_funding_due(self, tape_ns: int) -> bool:
        """Return whether a funding time has passed, and find the next one."""
        if tape_ns < self.next_funding_ns:
            return False
        was_known = bool(self.next_funding_ns)
        self.next_funding_ns = (tape_ns // (8 * HOUR_NS) + 1) * 8 * HOUR_NS
        return was_known


@dataclass
class Position:
    """One leg by the textbook: what is held, and what it was worth when opened."""

    product: Product
    lots: int = 0
    cost: int = 0
    paid_by_a_lot: int = 0
    known: tuple[tuple[int, int], int] = (0, 0), 0  # the last value() and its answer
    owed: tuple[int, int] = 0, 0  # the last maintenance() of a worth and its answer

    def accrued(self) -> int:
        passed = self.product.paid_by_a_lot - self.paid_by_a_lot
        if not passed:
            return 0
        return -round(Fraction(self.lots * passed, 10**12))

    def pay_accrued(self) -> int:
        owed = self.accrued()
        self.paid_by_a_lot = self.product.paid_by_a_lot
        return owed

    def value(self, ticks: int) -> int:
        asked = ticks, abs(self.lots)
        if self.known[0] != asked:
            self.known = asked, units(self.product.coins(*asked))
        return self.known[1]

    def unrealized(self, ticks: int | None = None) -> int:
        """Return the open PnL at a price, at mark by default."""
        worth = self.value(ticks or self.product.mark) * (1 if self.lots > 0 else -1)
        gain = worth - self.cost
        return -gain if self.product.listing.is_inverse else gain

    def maintenance(self) -> int:
        """Return what the bracket of its value asks for."""
        worth = self.value(self.product.mark)
        if self.owed[0] != worth:
            brackets = self.product.listing.brackets
            bracket = next(b for b in brackets if worth <= b.cap * 10**8)
            share = round(Fraction(worth * bracket.rate_bps, 10_000))
            self.owed = worth, max(0, share - bracket.cumulative * 10**8)
        return self.owed[1]

    def fill(self, signed: int, ticks: int) -> int:
        """Take a fill; return the PnL it realizes."""
        direction = 1 if signed > 0 else -1
        if self.lots * signed >= 0:
            self.lots += signed
            self.cost += direction * units(self.product.coins(ticks, abs(signed)))
            return 0
        closed = min(abs(signed), abs(self.lots))
        whole = units(self.product.coins(ticks, abs(signed)))
        exit_value = units(self.product.coins(ticks, closed))
        released = round(Fraction(self.cost * closed, abs(self.lots)))
        gain = -direction * exit_value - released
        # What the fill opens beyond the close is the rest of its value.
        self.cost += direction * (whole - exit_value) - released
        self.lots += signed
        return -gain if self.product.listing.is_inverse else gain


@dataclass
class Owner:
    """One account: wallets by coin, positions by symbol and leg."""

    id: int
    wallets: dict[str, int] = field(default_factory=dict)
    positions: dict[tuple[str, Leg], Position] = field(default_factory=dict)
    hedged: set[str] = field(default_factory=set)

    def position(self, product: Product, leg: Leg) -> Position:
        key = product.listing.symbol, leg
        if key not in self.positions:
            self.positions[key] = Position(product)
        return self.positions[key]

    def held(self, coin: str) -> list[Position]:
        return [
            p
            for p in self.positions.values()
            if p.lots and p.product.listing.settlement == coin
        ]

    def add(self, coin: str, amount: int) -> None:
        self.wallets[coin] = self.wallets.get(coin, 0) + amount

    def equity(self, coin: str) -> int:
        return self.wallets.get(coin, 0) + sum(
            p.unrealized() + p.accrued() for p in self.held(coin)
        )

    def maintenance(self, coin: str) -> int:
        return sum(position.maintenance() for position in self.held(coin))

    def fill(self, product: Product, request: OrderRequest, fill: FillDetail) -> None:
        """Check one fill's money and take it into the books."""
        listing, rules = product.listing, product.rules
        position = self.position(product, request.leg)
        before = abs(position.lots)
        assert fill.funding_units == position.pay_accrued()
        signed = request.side.sign * fill.size_lots
        realized = position.fill(signed, fill.price_ticks)
        assert fill.realized_units == realized
        assert fill.position_after == position.lots
        assert not request.reduces or abs(position.lots) < before
        value = units(product.coins(fill.price_ticks, fill.size_lots))
        rate = listing.fee_rate_maker if fill.is_maker else listing.fee_rate_taker
        if request.origin is Origin.LIQUIDATION and rules.liquidation_fee_rate:
            rate = rules.liquidation_fee_rate
        if request.origin is Origin.ADL:
            assert fill.fee_units == 0
        else:
            assert fill.fee_units == round(value * Fraction(rate))
        change = realized - fill.fee_units + fill.funding_units
        self.add(listing.settlement, change)

    def to_one_way(self, product: Product) -> int:
        """Close at mark what is long and short; return what that changes."""
        symbol = product.listing.symbol
        legs = [self.position(product, x) for x in (Leg.LONG, Leg.SHORT)]
        both = min(abs(p.lots) for p in legs)
        change = 0
        for position in legs:
            change += position.pay_accrued() if position.lots else 0
            if both:
                change += position.fill(
                    -both if position.lots > 0 else both, product.mark
                )
        kept = next((p for p in legs if p.lots), Position(product))
        for leg in (Leg.LONG, Leg.SHORT):
            del self.positions[symbol, leg]
        self.positions[symbol, Leg.BOTH] = kept
        self.hedged.discard(symbol)
        self.add(product.listing.settlement, change)
        return change

    def to_hedged(self, product: Product) -> None:
        symbol = product.listing.symbol
        held = self.positions.pop((symbol, Leg.BOTH), None)
        self.hedged.add(symbol)
        if held is not None and held.lots:
            leg = Leg.LONG if held.lots > 0 else Leg.SHORT
            self.positions[symbol, leg] = held

"""Whatever is commanded, the books add up: against an obvious slow oracle."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from cryptoquantix.core.order import Side, TimeInForce
from cryptoquantix.simulator.conditional import ConditionalExchange
from cryptoquantix.simulator.exchange import Print
from cryptoquantix.simulator.listing import Listing, to_units
from cryptoquantix.simulator.orders import (
    AlgoRequest,
    FundsChanged,
    OrderChanged,
    OrderRequest,
)
from cryptoquantix.simulator.refusals import CommandRefusedError

UNIT = Decimal("1E-8")
LISTINGS = (
    Listing("BTCUSDT", "BTC", "USDT", Decimal("0.1"), Decimal("0.001")),
    # Eleven decimals of value: bookings must be rounded.
    Listing("PEPEUSDT", "PEPE", "USDT", Decimal("0.00000001"), Decimal("0.001")),
)
FIRST = {"BTCUSDT": 600_000, "PEPEUSDT": 1_015}
SIZES = {"BTCUSDT": 120, "PEPEUSDT": 100_000_000_000}
SYMBOL = st.sampled_from(tuple(FIRST))
SIDE = st.sampled_from(tuple(Side))
HOUR_NS = 3600 * 10**9


def money(units: int) -> Decimal:
    return units * UNIT


class Oracle:
    """One position by the textbook: quantities and average cost in decimals."""

    def __init__(self, listing: Listing) -> None:
        self.listing = listing
        self.size = Decimal(0)
        self.cost = Decimal(0)

    def fill(self, signed: Decimal, price: Decimal) -> Decimal:
        value = (abs(signed) * price).quantize(UNIT, ROUND_HALF_EVEN)
        direction = 1 if signed > 0 else -1
        if self.size * signed >= 0:
            self.size += signed
            self.cost += direction * value
            return Decimal(0)
        closed = min(abs(signed), abs(self.size))
        exit_value = (closed * price).quantize(UNIT, ROUND_HALF_EVEN)
        share = Fraction(self.cost) * Fraction(closed) / Fraction(abs(self.size))
        # round() of a Fraction is half to even, as a booking is.
        released = round(share / Fraction(UNIT)) * UNIT
        realized = -direction * exit_value - released
        self.cost += direction * (value - exit_value) - released
        self.size += signed
        return realized


class Books(RuleBasedStateMachine):
    """Random commands; the oracle only ever sees the events that clients see."""

    def __init__(self) -> None:
        super().__init__()
        self.exchange = ConditionalExchange()
        self.now = 10**18
        self.tape = dict.fromkeys(FIRST, self.now)
        self.numbers = 0
        for listing in LISTINGS:
            self.exchange.list_instrument(listing, FIRST[listing.symbol])
        deposit = to_units(Decimal(5_000))
        self.account = self.exchange.clearing.open_account(deposit, self.now)
        self.wallet = Decimal(5_000)
        self.positions = {x.symbol: Oracle(x) for x in LISTINGS}
        self.filled: dict[int, int] = {}
        self.tick("BTCUSDT", 0, 1, maker=True, hours=0)
        self.tick("PEPEUSDT", 0, 1, maker=True, hours=0)

    def identity(self) -> str:
        self.numbers += 1
        return f"id-{self.numbers}"

    def follow(self) -> None:
        """Fold the events into the oracle."""
        self.now += 1_000_000
        for event in self.exchange.drain():
            if isinstance(event, OrderChanged) and event.fill is not None:
                self.follow_fill(event)
            elif isinstance(event, FundsChanged) and event.reason != "ORDER":
                self.wallet += money(event.change_units)

    def follow_fill(self, event: OrderChanged) -> None:
        fill, listing = event.fill, event.order.listing
        assert fill is not None
        size = fill.size_lots * listing.lot_size
        price = fill.price_ticks * listing.tick_size
        oracle = self.positions[listing.symbol]
        before = abs(oracle.size)
        sign = event.order.request.side.sign
        realized = oracle.fill(sign * size, price)
        if event.order.request.is_reduce_only:
            assert abs(oracle.size) < before, "a reduce-only order reduces"
        rate = listing.fee_rate_maker if fill.is_maker else listing.fee_rate_taker
        value = (size * price).quantize(UNIT, ROUND_HALF_EVEN)
        fee = (value * rate).quantize(UNIT, ROUND_HALF_EVEN)
        assert money(fill.fee_units) == fee
        assert money(fill.realized_units) == realized
        self.wallet += realized - fee
        done = self.filled.get(event.order.id, 0) + fill.size_lots
        self.filled[event.order.id] = done
        assert done == event.order.filled_lots <= event.order.size_lots

    def attempt(self, command) -> None:
        try:
            command()
        except CommandRefusedError:
            assert self.exchange.drain() == [], "a refused command changes nothing"
        self.follow()

    @rule(
        symbol=SYMBOL,
        side=SIDE,
        size=st.integers(1, 100),
        offset=st.integers(-400, 400),
        kind=st.sampled_from(("MARKET", *TimeInForce)),
        reduce=st.booleans(),
    )
    def place(self, symbol, side, size, offset, kind, reduce):
        price = self.exchange.markets[symbol].price_ticks
        limit = max(1, price + price * offset // 10_000)
        is_market = kind == "MARKET"
        request = OrderRequest(
            symbol=symbol,
            side=side,
            size_lots=max(1, SIZES[symbol] * size // 10),
            client_id=self.identity(),
            price_ticks=None if is_market else limit,
            time_in_force=TimeInForce.GTC if is_market else kind,
            is_reduce_only=reduce,
        )
        self.attempt(lambda: self.exchange.place(1, request, self.now))

    @rule(symbol=SYMBOL, side=SIDE, size=st.integers(10, 200))
    def trade(self, symbol, side, size):
        lots = SIZES[symbol] * size // 10
        request = OrderRequest(symbol, side, lots, self.identity())
        self.attempt(lambda: self.exchange.place(1, request, self.now))

    @rule(symbol=SYMBOL, side=SIDE, offset=st.integers(-300, 300), close=st.booleans())
    def place_conditional(self, symbol, side, offset, close):
        price = self.exchange.markets[symbol].price_ticks
        order = OrderRequest(
            symbol=symbol,
            side=side,
            size_lots=0 if close else SIZES[symbol],
            client_id=self.identity(),
            is_close_position=close,
        )
        trigger = max(1, price + price * offset // 10_000)
        request = AlgoRequest(order, trigger, is_trigger_above=offset > 0)
        self.attempt(lambda: self.exchange.place_algo(1, request, self.now))

    @rule(pick=st.integers(0, 10**6), symbol=SYMBOL)
    def cancel(self, pick, symbol):
        orders = list(self.exchange.markets[symbol].open_orders.values())
        if orders:
            self.attempt(
                lambda: self.exchange.cancel(orders[pick % len(orders)], self.now)
            )

    @rule(
        pick=st.integers(0, 10**6),
        symbol=SYMBOL,
        offset=st.integers(-50, 50),
        size=st.integers(1, 50),
    )
    def amend(self, pick, symbol, offset, size):
        orders = list(self.exchange.markets[symbol].open_orders.values())
        if orders:
            order = orders[pick % len(orders)]
            price = max(1, order.price_ticks + order.price_ticks * offset // 10_000)
            lots = max(1, SIZES[symbol] * size // 10)
            self.attempt(
                lambda: self.exchange.amend(
                    order, price_ticks=price, size_lots=lots, time_ns=self.now
                )
            )

    @rule(
        symbol=SYMBOL,
        move=st.integers(-250, 250),
        size=st.integers(1, 100),
        maker=st.booleans(),
        hours=st.sampled_from((0, 0, 0, 1, 9)),
    )
    def tick(self, symbol, move, size, maker, hours):
        market = self.exchange.markets[symbol]
        price = max(10, market.raw_ticks + market.raw_ticks * move // 10_000)
        self.tape[symbol] += hours * HOUR_NS + 1
        trade = Print(self.tape[symbol], price, SIZES[symbol] * size, maker)
        self.exchange.tick(symbol, trade, self.now)
        self.follow()

    @rule(symbol=SYMBOL, percent=st.integers(60, 140))
    def shock(self, symbol, percent):
        if 100 < self.exchange.markets[symbol].price_ticks < 10**9:
            self.exchange.shock(symbol, Fraction(percent, 100), self.now)
            self.follow()

    @rule(amount=st.integers(1, 5_000))
    def deposit(self, amount):
        self.exchange.transfer(1, to_units(Decimal(amount)), self.now)
        self.follow()

    @rule()
    def refresh(self):
        self.exchange.refresh(self.now)
        self.follow()

    @invariant()
    def books_add_up(self):
        assert money(self.account.wallet_units) == self.wallet
        assert self.account.wallet_units == sum(b.units for b in self.account.income)
        equity = self.wallet
        for symbol, oracle in self.positions.items():
            held = self.account.held(symbol)
            size = held.size_lots * held.listing.lot_size if held else Decimal(0)
            assert size == oracle.size
            market = self.exchange.markets[symbol]
            mark = market.price_ticks * market.listing.tick_size
            value = (abs(size) * mark).quantize(UNIT, ROUND_HALF_EVEN)
            equity += (value if size > 0 else -value) - oracle.cost
        assert money(self.exchange.clearing.equity_units(self.account)) == equity

    @invariant()
    def reduce_only_orders_stay_within_the_position(self):
        for symbol, market in self.exchange.markets.items():
            position = self.account.size_lots(symbol)
            for order in market.open_orders.values():
                assert order.id in market.book
                if order.request.is_reduce_only:
                    assert position * order.request.side.sign < 0
                    assert order.remaining_lots <= abs(position)

    @invariant()
    def the_book_is_never_crossed(self):
        for market in self.exchange.markets.values():
            bid, ask = market.book.best_ticks(1), market.book.best_ticks(-1)
            assert bid is None or ask is None or bid < ask


Books.TestCase.settings = settings(
    max_examples=80,
    stateful_step_count=50,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestBooks = Books.TestCase

"""Whatever is commanded, the books add up: against an obvious slow oracle."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from random import Random

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    rule,
    run_state_machine_as_test,
)

from cryptoquantix.core.order import Side, TimeInForce
from cryptoquantix.simulator.accounts import Leg
from cryptoquantix.simulator.conditional import ConditionalExchange
from cryptoquantix.simulator.exchange import Print
from cryptoquantix.simulator.listing import Listing
from cryptoquantix.simulator.maker import LadderRule
from cryptoquantix.simulator.orders import (
    AlgoRequest,
    FundsChanged,
    LeverageChanged,
    ModeChanged,
    OrderChanged,
    OrderRequest,
    Origin,
    VenueOrder,
)
from cryptoquantix.simulator.refusals import CommandRefusedError, Refusal
from cryptoquantix.simulator.rules import (
    BINANCE,
    BYBIT,
    DERIBIT,
    Funding,
    SelfTrade,
    VenueRules,
)
from simulator.slow_oracle import HOUR_NS, CheckedBook, Owner, Product, units

COMMANDS = 204_000  # over the three venues
ACCOUNTS = 3
RULE = LadderRule(levels=4, depth_quote=4_000)
EXTERNAL_REFUSALS = {Refusal.POSITION_SIDE, Refusal.REDUCE_ONLY}


@dataclass(frozen=True)
class Flavor:
    """A venue: its rules, and (listing, first price, usual size) of each product."""

    rules: VenueRules
    products: tuple[tuple[Listing, int, int], ...]
    deposits: tuple[tuple[str, int], ...]


FLAVORS = {
    "binance": Flavor(
        BINANCE,
        (
            (
                Listing("BTCUSDT", "BTC", "USDT", Decimal("0.1"), Decimal("0.001")),
                600_000,
                120,
            ),
            # Eleven decimals of value: bookings must be rounded.
            (
                Listing(
                    "PEPEUSDT", "PEPE", "USDT", Decimal("0.00000001"), Decimal("0.001")
                ),
                1_015,
                300_000_000_000,
            ),
        ),
        (("USDT", 1_000 * 10**8),),
    ),
    "bybit": Flavor(
        BYBIT,
        (
            (
                Listing("BTCUSDT", "BTC", "USDT", Decimal("0.1"), Decimal("0.001")),
                600_000,
                120,
            ),
            (
                Listing("XRPUSDT", "XRP", "USDT", Decimal("0.0001"), Decimal("0.1")),
                5_123,
                80_000,
            ),
        ),
        (("USDT", 1_000 * 10**8),),
    ),
    "deribit": Flavor(
        DERIBIT,
        (
            (
                Listing(
                    "BTC-PERPETUAL",
                    "BTC",
                    "USD",
                    Decimal("0.5"),
                    Decimal(10),
                    is_inverse=True,
                ),
                120_001,
                700,
            ),
            (
                Listing(
                    "BTC_USDC-PERPETUAL",
                    "BTC",
                    "USDC",
                    Decimal("0.5"),
                    Decimal("0.0001"),
                ),
                120_001,
                1_200,
            ),
        ),
        (("BTC", 2_000_000), ("USDC", 1_000 * 10**8)),
    ),
}


class Venue:
    """One core and its oracle, driven side by side by random commands."""

    def __init__(self, name: str, tally: Counter[str]) -> None:
        flavor = FLAVORS[name]
        self.flavor, self.tally = flavor, tally
        self.exchange = ConditionalExchange(flavor.rules)
        self.clearing = self.exchange.clearing
        self.now = 10**18
        self.names = 0
        self.products: dict[str, Product] = {}
        self.usual: dict[str, int] = {}
        for listing, price, size in flavor.products:
            market = self.exchange.list_instrument(listing, price, rule=RULE)
            market.book = CheckedBook()
            product = Product(listing, flavor.rules, price, tape_ns=self.now)
            self.products[listing.symbol] = product
            self.usual[listing.symbol] = size
        self.owners: dict[int, Owner] = {}
        self.open: dict[int, VenueOrder] = {}  # as the events have it
        self.filled: Counter[int] = Counter()
        self.liquidated: list[tuple[Owner, str]] = []
        self.fund_of: Counter[str] = Counter()  # the insurance fund by coin
        for _ in range(ACCOUNTS):
            account = self.clearing.open_account(0, self.now)
            self.owners[account.id] = Owner(account.id)
            for coin, amount in flavor.deposits:
                self.exchange.transfer(account.id, amount, self.now, coin)
        self.follow(Counter(self.deposit_events()))
        for symbol in self.products:
            self.print(symbol, self.products[symbol].raw, 1, hours=0)
        self.commands = {
            self.place: 40,
            self.trade: 16,
            self.tick: 24,
            self.jump: 2,
            self.cancel: 6,
            self.amend: 8,
            self.cancel_all: 1,
            self.conditional: 4,
            self.depeg: 2,
            self.transfer: 3,
            self.leverage: 2,
            self.mode: 2,
            self.external: 2,
            self.deleverage: 1,
            self.refresh: 3,
        }

    def deposit_events(self) -> list[tuple[int, str, str, int]]:
        return [
            (n, "DEPOSIT", coin, amount)
            for n in self.owners
            for coin, amount in self.flavor.deposits
        ]

    def command(self, random: Random) -> None:
        """Carry out one random command and compare."""
        [chosen] = random.choices(
            list(self.commands), weights=list(self.commands.values())
        )
        self.now += 1_000_000
        chosen(random)
        self.tally["commands"] += 1
        self.compare()

    # The commands.

    def attempt(self, command, *arguments, **named) -> object:
        try:
            done = command(*arguments, **named)
        except CommandRefusedError as error:
            self.tally["refused"] += 1
            self.tally[f"refused: {error.refusal.value}"] += 1
            assert self.exchange.drain() == [], "a refused command changes nothing"
            return None
        self.follow()
        return done

    def request(self, random: Random, size: int, **extra) -> OrderRequest:
        self.names += 1
        symbol = random.choice(list(self.products))
        number = random.randint(1, ACCOUNTS)
        legs = self.clearing.accounts[number].legs(symbol)
        if random.random() < 0.02:
            legs = tuple(Leg)
        request = OrderRequest(
            symbol,
            random.choice((Side.BUY, Side.SELL)),
            max(1, self.usual[symbol] * size // 20),
            f"id-{self.names}",
            leg=random.choice(legs),
            **extra,
        )
        self.number = number
        return request

    def place(self, random: Random) -> None:
        request = self.request(
            random,
            random.randint(1, 30),
            time_in_force=random.choice(tuple(TimeInForce)),
            self_trade=random.choice((None, None, *SelfTrade)),
            is_reduce_only=random.random() < 0.2,
            price_ticks=1,
        )
        last = self.products[request.symbol].last
        offset = random.choice((random.randint(-40, 40), random.randint(-900, 900)))
        price = max(1, last + last * offset // 10_000)
        request = replace(request, price_ticks=price)
        order = self.attempt(self.exchange.place, self.number, request, self.now)
        if order is not None and order.filled_lots:
            # Never worse than asked for, not even a post-only order that was moved.
            limit = self.products[request.symbol].coins(price, order.filled_lots)
            worse = request.side.sign * (order.value_units - limit * 10**8)
            sign = -1 if order.listing.is_inverse else 1
            assert sign * worse <= 1 + order.filled_lots

    def trade(self, random: Random) -> None:
        request = self.request(
            random, random.randint(10, 60), is_reduce_only=random.random() < 0.3
        )
        self.attempt(self.exchange.place, self.number, request, self.now)

    def pick(self, random: Random) -> VenueOrder | None:
        if not self.open:
            return None
        chosen = random.choice(list(self.open))
        return self.exchange.orders[chosen]

    def cancel(self, random: Random) -> None:
        order = self.pick(random)
        if order is not None:
            self.attempt(self.exchange.cancel, order, self.now)
            assert order.id not in self.open

    def cancel_all(self, random: Random) -> None:
        number, symbol = random.randint(1, ACCOUNTS), random.choice(list(self.products))
        self.attempt(self.exchange.cancel_all, number, symbol, self.now)
        assert not any(
            o.account_id == number and o.request.symbol == symbol
            for o in self.open.values()
        )

    def amend(self, random: Random) -> None:
        order = self.pick(random)
        if order is not None:
            price = order.price_ticks * random.randint(9_950, 10_050) // 10_000
            size = self.usual[order.request.symbol] * random.randint(1, 30) // 20
            self.attempt(
                self.exchange.amend,
                order,
                price_ticks=max(1, price),
                size_lots=max(1, size),
                time_ns=self.now,
            )

    def conditional(self, random: Random) -> None:
        request = self.request(random, 20, is_reduce_only=random.random() < 0.5)
        last = self.products[request.symbol].last
        offset = random.randint(-300, 300)
        algo = AlgoRequest(
            request,
            max(1, last + last * offset // 10_000),
            is_trigger_above=offset > 0,
            working_type=random.choice(("CONTRACT_PRICE", "MARK_PRICE")),
        )
        self.attempt(self.exchange.place_algo, self.number, algo, self.now)

    def tick(self, random: Random) -> None:
        symbol = random.choice(list(self.products))
        self.move(random, symbol, random.randint(-60, 60))

    def jump(self, random: Random) -> None:
        symbol = random.choice(list(self.products))
        self.move(random, symbol, random.choice((-1, 1)) * random.randint(200, 900))

    def move(self, random: Random, symbol: str, move: int) -> None:
        product = self.products[symbol]
        first = next(p for x, p, _ in self.flavor.products if x.symbol == symbol)
        if product.raw > 2 * first or product.raw < first // 2:
            move = -abs(move) if product.raw > first else abs(move)
        price = max(10, product.raw + product.raw * move // 10_000)
        size = self.usual[symbol] * random.randint(1, 40) // 10
        hours = random.choice((1, 9)) if random.random() < 0.06 else 0
        self.print(symbol, price, max(1, size), hours, maker=random.random() < 0.5)

    def print(self, symbol: str, price: int, size: int, hours: int, *, maker=True):
        product = self.products[symbol]
        product.tape_ns += hours * HOUR_NS + 1_000_000_000
        due = self.fund(product)
        product.raw = price
        product.reprice()
        trade = Print(product.tape_ns, price, size, maker)
        self.exchange.tick(symbol, trade, self.now)
        self.follow(due)

    def fund(self, product: Product) -> Counter:
        """Return the funding events that the next print must bring."""
        rules, due = product.rules, Counter()
        if rules.funding is Funding.CONTINUOUS:
            product.accrue(product.tape_ns)
        if not product.is_funding_due(product.tape_ns):
            return due
        symbol, coin = product.listing.symbol, product.listing.settlement
        for owner in self.owners.values():
            for (name, _), held in owner.positions.items():
                if name != symbol or not held.lots:
                    continue
                if rules.funding is Funding.CONTINUOUS:
                    owed = held.pay_accrued()
                else:
                    worth = held.value(product.mark) * (1 if held.lots > 0 else -1)
                    owed = -round(worth * product.rate())
                if owed or rules.funding is Funding.TIMES:
                    due[owner.id, "FUNDING_FEE", coin, owed] += 1
        return due

    def depeg(self, random: Random) -> None:
        symbol = random.choice(list(self.products))
        product = self.products[symbol]
        wanted = Fraction(random.choice((1, 1, random.randint(930, 1_070) / 1_000)))
        product.premium = wanted.limit_denominator(1_000)
        product.reprice()
        self.exchange.depeg(symbol, product.premium, self.now)
        if product.rules.funding is Funding.CONTINUOUS:
            product.accrue(product.tape_ns)
        self.follow()

    def transfer(self, random: Random) -> None:
        number = random.randint(1, ACCOUNTS)
        coin, usual = random.choice(self.flavor.deposits)
        amount = usual * random.randint(1, 8) // 4
        has = self.owners[number].wallets.get(coin, 0)
        if has > 2 * usual:
            amount = -amount
        self.exchange.transfer(number, amount, self.now, coin)
        kind = "DEPOSIT" if amount > 0 else "WITHDRAW"
        self.follow(Counter([(number, kind, coin, amount)]))

    def leverage(self, random: Random) -> None:
        symbol = random.choice(list(self.products))
        most = self.products[symbol].listing.brackets[0].leverage_max
        chosen = random.choice((most, most, 20, 5))
        number = random.randint(1, ACCOUNTS)
        self.attempt(self.exchange.set_leverage, number, symbol, chosen, self.now)

    def mode(self, random: Random) -> None:
        symbol = random.choice(("", *self.products))
        self.attempt(
            self.exchange.set_position_mode,
            random.randint(1, ACCOUNTS),
            is_hedged=random.random() < 0.5,
            time_ns=self.now,
            symbol=symbol,
            is_forced=random.random() < 0.8,
        )

    def external(self, random: Random) -> None:
        request = self.request(random, 10, is_reduce_only=random.random() < 0.3)
        price = self.products[request.symbol].last
        fill = self.exchange.external_fill
        self.attempt(fill, self.number, request, price, self.now)

    def deleverage(self, random: Random) -> None:
        number = random.randint(1, ACCOUNTS)
        symbol = random.choice(list(self.products))
        leg = random.choice(self.clearing.accounts[number].legs(symbol))
        size = random.randint(1, self.usual[symbol])
        self.attempt(self.exchange.deleverage, number, symbol, leg, size, self.now)

    def refresh(self, random: Random) -> None:
        del random
        self.exchange.refresh(self.now)
        self.follow()

    # The events.

    def follow(self, expected: Counter | None = None) -> None:
        """Fold the events into the oracle; money moves as expected or by fills."""
        expected = expected or Counter()
        matches: dict[int, list] = {}
        for event in self.exchange.drain():
            if isinstance(event, OrderChanged):
                self.follow_order(event, matches)
            elif isinstance(event, FundsChanged):
                self.follow_funds(event, expected)
            elif isinstance(event, ModeChanged):
                self.follow_mode(event)
            elif isinstance(event, LeverageChanged):
                account = self.clearing.accounts[event.account_id]
                assert account.leverage[event.symbol] == event.leverage
        for owner, coin in self.liquidated:
            assert owner.wallets[coin] >= 0 or owner.held(coin), "made whole"
        self.liquidated.clear()
        assert not +expected, f"these bookings never came: {expected}"
        for both in matches.values():
            self.compare_match(both)
            self.tally["ADL matches"] += len(both) == 2 and any(
                e.order.request.origin is Origin.ADL for e in both
            )
            [first, *others] = both
            is_taken_over = first.order.request.origin is Origin.LIQUIDATION
            if is_taken_over and first.execution == "CALCULATED" and not others:
                self.fund_takes_over(first)

    def compare_bankruptcy(self, order: VenueOrder) -> None:
        """Closing at the order's price uses up the equity, to within a tick."""
        owner, coin = self.owners[order.account_id], order.listing.settlement
        self.liquidated.append((owner, coin))
        held = owner.held(coin)
        if len(held) != 1:
            return  # the equity is shared out
        [position] = held
        sign = 1 if position.lots > 0 else -1
        rest = owner.wallets[coin] + position.accrued()
        if sign > 0 or order.price_ticks > 1:  # there is no price below a tick
            assert rest + position.unrealized(order.price_ticks) >= -1
        worse = order.price_ticks - sign
        if 1 < worse < 10**17:
            assert rest + position.unrealized(worse) <= 1

    def fund_takes_over(self, event: OrderChanged) -> None:
        """What no counterparty takes, the fund does, and sells it at mark."""
        fill, product = event.fill, self.products[event.order.request.symbol]
        paid = units(product.coins(fill.price_ticks, fill.size_lots))
        worth = units(product.coins(fill.mark_ticks, fill.size_lots))
        gain = (worth - paid) * -event.order.request.side.sign
        coin = product.listing.settlement
        self.fund_of[coin] += -gain if product.listing.is_inverse else gain
        self.tally["taken over"] += 1

    def follow_order(self, event: OrderChanged, matches: dict[int, list]) -> None:
        order, fill = event.order, event.fill
        if order.status.is_open and event.execution != "NEW":
            assert order.remaining_lots > 0
        if order.status.is_open:
            self.open[order.id] = order
        else:
            self.open.pop(order.id, None)
        if fill is None:
            origin = order.request.origin
            if event.execution == "NEW" and origin is Origin.LIQUIDATION:
                self.compare_bankruptcy(order)
            self.tally[f"{origin.value} orders"] += event.execution == "NEW"
            return
        self.tally["fills"] += 1
        self.filled[order.id] += fill.size_lots
        assert self.filled[order.id] == order.filled_lots <= order.size_lots
        product = self.products[order.request.symbol]
        self.owners[order.account_id].fill(product, order.request, fill)
        matches.setdefault(fill.match_id, []).append(event)

    @staticmethod
    def compare_match(both: list[OrderChanged]) -> None:
        """Two clients of one match: same price and size, opposite sides."""
        assert len(both) in {1, 2}
        one, other = both[0], both[-1]
        assert one.fill[2:4] == other.fill[2:4]
        if len(both) == 2:
            assert one.order.request.side is not other.order.request.side

    def follow_funds(self, event: FundsChanged, expected: Counter) -> None:
        owner = self.owners[event.account_id]
        change = event.change_units
        if event.reason == "ORDER":
            return
        self.tally[event.reason] += 1
        if event.reason == "INSURANCE_CLEAR":
            assert owner.wallets[event.coin] == -change < 0
            self.fund_of[event.coin] -= change
            assert not owner.held(event.coin)
        elif event.reason == "MODE":
            assert owner.to_one_way(self.products[event.symbol]) == change
            assert owner.wallets[event.coin] == event.wallet_units
            return
        else:
            expected[owner.id, event.reason, event.coin, change] -= 1
        owner.add(event.coin, change)
        assert owner.wallets[event.coin] == event.wallet_units

    def follow_mode(self, event: ModeChanged) -> None:
        owner = self.owners[event.account_id]
        for symbol in [event.symbol] if event.symbol else list(self.products):
            product = self.products[symbol]
            if event.is_hedged and symbol not in owner.hedged:
                owner.to_hedged(product)
            elif not event.is_hedged and symbol in owner.hedged:
                assert owner.to_one_way(product) == 0, "told by an event before"

    # The comparison.

    def compare(self) -> None:
        for account in self.clearing.accounts.values():
            owner = self.owners[account.id]
            for coin in self.flavor.rules.coins:
                assert account.wallet_of(coin) == owner.wallets.get(coin, 0)
                equity = owner.equity(coin)
                assert self.clearing.equity_units(account, coin) == equity
                if owner.held(coin):
                    assert equity >= owner.maintenance(coin), "it is liquidated"
            held = {
                key: (x.size_lots, x.cost_units)
                for key, x in account.holdings.items()
                if x.size_lots
            }
            assert held == {
                key: (p.lots, p.cost) for key, p in owner.positions.items() if p.lots
            }
        for symbol, market in self.exchange.markets.items():
            product = self.products[symbol]
            prices = market.price_ticks, market.mark_ticks, market.index_ticks
            assert prices == (product.last, product.mark, product.index)
            bid, ask = market.book.best_ticks(1), market.book.best_ticks(-1)
            assert bid is None or ask is None or bid < ask, "never crossed"
        self.compare_orders()

    def compare_orders(self) -> None:
        """Open orders are those of the events, in the book, within the position."""
        resting = {}
        for market in self.exchange.markets.values():
            resting |= market.open_orders
        assert resting.keys() == self.open.keys()
        for number, order in resting.items():
            seen = self.open[number]
            assert (order.price_ticks, order.remaining_lots) == (
                seen.price_ticks,
                seen.remaining_lots,
            )
            request = order.request
            assert number in self.exchange.markets[request.symbol].book
            if request.reduces:
                key = request.symbol, request.leg
                position = self.owners[order.account_id].positions[key]
                assert position.lots * request.side.sign < 0
                assert order.remaining_lots <= abs(position.lots)

    def settled(self) -> None:
        """Sums over all time: wallets are their bookings, the fund what it did."""
        for account in self.clearing.accounts.values():
            assert account.bookings == len(account.income) < account.income_max
            for coin in self.flavor.rules.coins:
                own = sum(b.units for b in account.income if b.coin == coin)
                assert account.wallet_of(coin) == own
        for coin in self.flavor.rules.coins:
            assert self.clearing.insurance.get(coin, 0) == self.fund_of[coin]


def machine(name: str, tally: Counter[str]) -> type[RuleBasedStateMachine]:
    class Books(RuleBasedStateMachine):
        """Batches of random commands: a batch shrinks in length, a run in batches."""

        def __init__(self) -> None:
            super().__init__()
            self.venue = Venue(name, tally)

        @rule(seed=st.integers(0, 2**32), count=st.integers(1, 150))
        def batch(self, seed: int, count: int) -> None:
            random = Random(seed)
            for _ in range(count):
                self.venue.command(random)

        def teardown(self) -> None:
            self.venue.settled()

    return Books


@pytest.mark.parametrize(("name", "seed", "commands"), [("bybit", 120, 700)])
def test_a_run_that_once_broke_a_law_keeps_it(name: str, seed: int, commands: int):
    """A withdrawal liquidates, and who is set off against that loses a hedge."""
    venue, random = Venue(name, Counter()), Random(seed)
    for _ in range(commands):
        venue.command(random)
    venue.settled()


@pytest.mark.parametrize("name", FLAVORS)
def test_books_positions_and_equity_agree_with_the_oracle(name: str):
    """204 000 commands over the three venues, each compared with the oracle."""
    tally: Counter[str] = Counter()
    rounds = 0
    while tally["commands"] < COMMANDS // len(FLAVORS):
        rounds += 1
        assert rounds <= 200, f"only {tally['commands']} commands"
        run_state_machine_as_test(
            machine(name, tally),
            settings=settings(
                max_examples=4,
                stateful_step_count=20,
                deadline=None,
                # Shrinking such runs takes minutes: the seed of the batch is told.
                phases=(Phase.generate,),
                suppress_health_check=list(HealthCheck),
            ),
        )
    for reached in (
        "fills",
        "liquidation orders",
        "ADL matches",  # a liquidation set off against a counterparty
        "taken over",
        "adl orders",
        "FUNDING_FEE",
        "DEPOSIT",
        "WITHDRAW",
        "INSURANCE_CLEAR",
        "external orders",
    ):
        assert tally[reached] > 0, f"{reached} never happened: {tally}"
    assert tally["refused"] < tally["commands"] / 2
    if FLAVORS[name].rules.has_hedge_mode:
        assert tally["MODE"] > 0

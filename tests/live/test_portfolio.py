"""Caps over all venues hold however desks, fills and readings interleave."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from itertools import count

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cryptoquantix.control.permit import Permit, PermitAnswer, PermitMode
from cryptoquantix.core.account import AccountSnapshot, Position
from cryptoquantix.core.clock import NS_PER_SECOND
from cryptoquantix.core.instrument import InstrumentId, Venue
from cryptoquantix.core.order import OrderState, OrderType, Side, TimeInForce
from cryptoquantix.journal.records import OrderNote, OrderRecord, OrderStanding
from cryptoquantix.journal.store import Journal
from cryptoquantix.live.at_stake import AtStake
from cryptoquantix.live.engine import Engine
from cryptoquantix.live.events import Now, SendOrder, Subscription, Wanted
from cryptoquantix.live.portfolio import Portfolio
from live.fake_venue import BTC, ETH, instrument
from live.test_engine import SETTINGS, START_NS

PRICE = Decimal(1000)
EQUITY = Decimal(10_000)
GROSS_MAX, NET_MAX = Decimal("0.8"), Decimal("0.5")
LIMITS = replace(
    SETTINGS.limits,
    orders_per_minute_max=600,
    portfolio_gross_max=GROSS_MAX,
    portfolio_net_max=NET_MAX,
)
SYMBOLS = ("BTCUSDT", "ETHUSDT")
SEQUENCE = count(1)


class Account:
    """One venue's engine, and its account as only the venue knows it."""

    def __init__(self, venue, journal, portfolio, clock):
        self.ids = [InstrumentId.parse(f"{venue.value}:{s}-PERP") for s in SYMBOLS]
        self.clock = clock
        self.journal = journal
        subscriptions = tuple(Subscription("trend", id_, 60) for id_ in self.ids)
        self.engine = Engine(
            replace(SETTINGS, limits=LIMITS, subscriptions=subscriptions),
            {id_: instrument(id_) for id_ in self.ids},
            journal,
            portfolio,
        )
        portfolio.join(venue, self.engine.exposure)
        self.engine.is_reconciled = True
        self.held = dict.fromkeys(self.ids, 0)
        self.past = [(0, dict(self.held))]
        self.orders = {}
        self.asked = []
        self.seen_ns = 0

    def target(self, which, value):
        now = self.clock.now
        number = next(SEQUENCE)
        bar_ns = now.time_ns + number
        wanted = Wanted("trend", value, PRICE, bar_ns, number, now.time_ns)
        self.take(self.engine.on_target(wanted, self.ids[which], now))

    def take(self, effects):
        for effect in effects:
            if isinstance(effect, SendOrder):
                self.journal.record_order(effect.record)
                self.orders[effect.record.client_order_id] = (effect.record, 0)

    def ask(self, lag_seconds):
        """The venue answers with what it held a moment ago, and never goes back."""
        at = self.clock.now.monotonic_ns
        self.seen_ns = max(self.seen_ns, at - int(lag_seconds * NS_PER_SECOND))
        held = [h for ns, h in self.past if ns <= self.seen_ns or ns == 0][-1]
        self.asked.append((at, held))

    def deliver(self):
        """An answer arrives, whatever happened since it was given."""
        if not self.asked:
            return
        asked_ns, held = self.asked.pop(0)
        now = self.clock.now
        self.engine.on_marks(dict.fromkeys(self.ids, PRICE), now)
        positions = tuple(
            Position(id_, lots, PRICE, PRICE, Decimal(0))
            for id_, lots in held.items()
            if lots
        )
        snapshot = AccountSnapshot(EQUITY, EQUITY, "USDT", positions, 0)
        self.take(self.engine.on_account(snapshot, asked_ns, now))

    def fill(self, tenths, state):
        """The oldest order fills in part, and ends where ``state`` says so."""
        if not self.orders:
            return
        name, (record, filled) = next(iter(self.orders.items()))
        id_ = record.order().instrument
        lots = (record.size_lots - filled) * tenths // 10
        if state is OrderState.FILLED:
            lots = record.size_lots - filled
        if not record.is_increase:
            lots = max(0, min(lots, -record.side.sign * self.held[id_]))
        self.held[id_] += record.side.sign * lots
        self.past.append((self.clock.now.monotonic_ns, dict(self.held)))
        self.orders[name] = (record, filled + lots)
        if state.is_terminal:
            del self.orders[name]
        note = OrderNote(name, 0, "seen", state, "", filled + lots, "1")
        self.journal.record_note(note)
        standing = OrderStanding(record, state, filled + lots, "1", 0)
        self.engine.on_order(standing, self.clock.now)

    def truth(self):
        """Signed lots held, and of increases that may still fill."""
        increases = [
            record.side.sign * (record.size_lots - filled)
            for record, filled in self.orders.values()
            if record.is_increase
        ]
        return list(self.held.values()), increases


class Clock:
    def __init__(self):
        self.seconds = 10.0

    @property
    def now(self):
        monotonic = int(self.seconds * NS_PER_SECOND)
        permit = Permit(PermitAnswer("n", PermitMode.TRADE, "h", "b", 1), monotonic)
        return Now(START_NS + monotonic, monotonic, permit)


class World:
    def __init__(self, journal):
        self.clock = Clock()
        portfolio = Portfolio(Venue)
        self.accounts = [Account(v, journal, portfolio, self.clock) for v in Venue]
        self.most = [Decimal(0), Decimal(0)]

    def check(self):
        """What is held and may come to be held, however the rest ends."""
        held, increases = [], []
        for account in self.accounts:
            one, other = account.truth()
            held, increases = held + one, increases + other
        lot = PRICE / 1000
        gross = lot * (sum(map(abs, held)) + sum(map(abs, increases)))
        long = lot * (sum(held) + sum(i for i in increases if i > 0))
        short = -lot * (sum(held) + sum(i for i in increases if i < 0))
        return gross, long, short

    def do(self, step):
        which, act, value = step
        account = self.accounts[which % 3]
        self.clock.seconds += 0.001
        if act == "target":
            account.target(which // 3, value)
        elif act == "ask":
            account.ask(abs(value))
        elif act == "deliver":
            account.deliver()
        elif act == "wait":
            self.clock.seconds += abs(value)
        else:
            account.fill(int(abs(value) * 5), OrderState(act))


ACTS = {
    "target": 6,
    "ask": 4,
    "deliver": 4,
    "wait": 2,
    "filled": 3,
    "working": 2,
    "canceled": 1,
    "outcome_unknown": 1,
}


def steps_of(seed, length=200):
    """Return a walk: which venue and instrument, what happens, and a number for it."""
    random = np.random.default_rng(seed)
    weights = np.array(list(ACTS.values())) / sum(ACTS.values())
    acts = random.choice(list(ACTS), length, p=weights)
    values = random.uniform(-1.9, 1.9, length).round(2)
    values[acts == "wait"] /= 4
    which = random.integers(0, 6, length)
    return [
        (int(w), str(a), float(v)) for w, a, v in zip(which, acts, values, strict=True)
    ]


READ = [(v, act, 0.0) for v in range(3) for act in ("ask", "deliver")]


@pytest.fixture(scope="module")
def journal(tmp_path_factory):
    found = Journal(tmp_path_factory.mktemp("portfolio") / "journal.sqlite")
    yield found
    found.close()


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_no_order_takes_the_venues_beyond_their_caps_together(journal, seed):
    """An increase may only be sent into room that nothing else may come to fill."""
    world = World(journal)
    for step in READ:
        world.do(step)
    total = 3 * EQUITY
    for step in steps_of(seed):
        before = {name for a in world.accounts for name in a.orders}
        world.do(step)
        sent = [
            record
            for account in world.accounts
            for name, (record, _) in account.orders.items()
            if name not in before and record.is_increase
        ]
        gross, long, short = world.check()
        assert gross <= GROSS_MAX * total
        for record in sent:
            assert (long if record.side.sign > 0 else short) <= NET_MAX * total


def test_three_desks_at_the_same_moment_share_the_room_there_is(journal):
    world = World(journal)
    for step in READ:
        world.do(step)
    for which in range(6):
        world.do((which, "target", 2.0))
    gross, long, _ = world.check()
    assert gross == long == NET_MAX * 3 * EQUITY


def test_nothing_is_increased_before_every_venue_was_read(journal):
    world = World(journal)
    for step in READ[:4]:
        world.do(step)
    world.do((0, "target", 1.0))
    assert not world.accounts[0].orders
    for step in READ[4:]:
        world.do(step)
    world.do((0, "target", 1.0))
    assert world.accounts[0].orders


def test_a_silent_venue_counts_with_its_last_reading_and_what_was_under_way(journal):
    world = World(journal)
    for step in READ:
        world.do(step)
    world.do((0, "target", 1.0))  # 10 000, and no answer ever comes
    world.do((0, "outcome_unknown", 0.0))
    world.clock.seconds += 600
    for step in READ[2:]:
        world.do(step)
    world.do((1, "target", 2.0))
    _, long, _ = world.check()
    assert long == NET_MAX * 3 * EQUITY


def reading(lots):
    position = Position(BTC, lots, Decimal(1000), Decimal(1000), Decimal(0))
    held = (position,) if lots else ()
    return AccountSnapshot(Decimal(10_000), Decimal(10_000), "USD", held, 0)


def decided(id_, side, lots):
    return OrderRecord(
        client_order_id="cqx-1",
        account="main",
        strategy="trend",
        instrument=str(id_),
        bar_ns=1,
        attempt=0,
        kind="reduction",
        side=side,
        size_lots=lots,
        type=OrderType.MARKET,
        price_ticks=None,
        time_in_force=TimeInForce.GTC,
        lot_size="0.001",
        target=0.0,
        reference_price="1000",
        wanted_lots=0,
        held_lots=lots,
        created_ns=1,
        build="test",
    )


def test_a_reduction_without_a_mark_counts_at_the_price_of_its_target():
    at_stake = AtStake({BTC: instrument(BTC)})
    at_stake.on_account(reading(5_000), 1, lambda _: True)
    at_stake.on_sent(decided(BTC, Side.SELL, 5_000), Decimal(0))
    found = at_stake.exposure()
    assert (found.long_quote, found.short_quote) == (5_000, 0)


def test_an_order_of_what_is_listed_no_more_ends_no_desk():
    at_stake = AtStake({BTC: instrument(BTC)})
    at_stake.on_account(reading(5_000), 1, lambda _: True)
    left = OrderStanding(decided(ETH, Side.SELL, 10), OrderState.WORKING, 0, "1", 0)
    at_stake.on_order(left, 2)
    assert at_stake.exposure().gross_quote == 5_000

"""What execution decides next, from nothing but its events."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from decimal import Decimal
from itertools import pairwise

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cryptoquantix.control.permit import Permit, PermitAnswer, PermitMode
from cryptoquantix.core.account import AccountSnapshot, Position
from cryptoquantix.core.clock import NS_PER_SECOND
from cryptoquantix.core.order import Increase, OrderState, Reduction, Side
from cryptoquantix.journal.records import FillRecord, OrderNote, OrderStanding
from cryptoquantix.journal.rows import insert_note, insert_order
from cryptoquantix.journal.store import Journal
from cryptoquantix.live.engine import Engine
from cryptoquantix.live.events import (
    AskQuote,
    CancelOrder,
    CrossLots,
    EngineSettings,
    Notice,
    Now,
    SendOrder,
    Subscription,
    Wanted,
)
from cryptoquantix.live.order_maker import ATTEMPTS_MAX
from cryptoquantix.orders.limits import LimitSettings
from cryptoquantix.orders.styles import Quote, Style, Working
from live.fake_venue import BTC, ETH, instrument

SETTINGS = EngineSettings(
    account="main",
    equity_fraction=Decimal(1),
    no_trade_band=Decimal("0.02"),
    limits=LimitSettings(Decimal(3), Decimal("0.05"), 60),
    subscriptions=(Subscription("trend", BTC, 60),),
    build="test",
)
START_NS = 1_700_000_000 * NS_PER_SECOND


def fill_record(id_, client_order_id, trade_id, lots):
    """A fill of so many signed lots as the journal keeps it."""
    return FillRecord(
        instrument=str(id_),
        trade_id=trade_id,
        venue_order_id="1",
        client_order_id=client_order_id,
        side=Side.of(lots),
        size_lots=abs(lots),
        lot_size="0.001",
        price="1000",
        fee="0",
        fee_currency="USDT",
        venue_time_ns=0,
        recorded_ns=0,
    )


class World:
    """An engine, its journal, and a venue that fills what it is sent."""

    def __init__(
        self, path, subscriptions=SETTINGS.subscriptions, most=0, *, can_amend=False
    ):
        self.journal = Journal(path)
        self.subscriptions = subscriptions
        ids = {s.instrument for s in subscriptions}
        self.engine = Engine(
            replace(SETTINGS, subscriptions=subscriptions),
            {id_: instrument(id_, most) for id_ in ids},
            self.journal,
            can_amend=can_amend,
        )
        self.seconds = 0
        self.mode = PermitMode.TRADE
        self.equity = Decimal(10_000)
        self.held = dict.fromkeys(ids, 0)
        self.sequence = 0
        self.wall_step = 0
        self.price = Decimal(1000)
        self.engine.is_reconciled = True

    @property
    def now(self):
        monotonic = int((1000 + self.seconds) * NS_PER_SECOND)
        answer = PermitAnswer("n", self.mode, "h", "b", 1)
        permit = Permit(answer, monotonic)
        wall = START_NS + int((self.seconds + self.wall_step) * NS_PER_SECOND)
        return Now(wall, monotonic, permit)

    def hold(self, lots, id_=BTC):
        """Orders of ours of earlier days made this position."""
        size_lots = lots - self.held[id_]
        record = fill_record(id_, "cqx-before", f"before {lots}", size_lots)
        self.journal.record_fills([record])
        self.engine.own.on_fills([record])
        self.held[id_] = lots

    def read(self):
        """The venue is read: effects."""
        self.engine.on_marks(dict.fromkeys(self.held, self.price), self.now)
        snapshot = AccountSnapshot(
            self.equity,
            self.equity,
            "USDT",
            tuple(
                Position(id_, lots, self.price, self.price, Decimal(0))
                for id_, lots in self.held.items()
                if lots
            ),
            0,
        )
        return self.engine.on_account(snapshot, self.now.monotonic_ns, self.now)

    def target(self, value, id_=BTC, strategy="trend", age=0, price=1000, *, bar=None):
        self.sequence += 1
        bar_ns, market_ns = bar or (self.now.time_ns, 0)
        wanted = Wanted(
            strategy,
            value,
            Decimal(price),
            bar_ns,
            self.sequence,
            self.now.time_ns - age * NS_PER_SECOND,
            market_ns=market_ns,
        )
        return self.engine.on_target(wanted, id_, self.now)

    def finish(self, effect, state=OrderState.FILLED, filled=None):
        """The order of ``effect`` ends at the venue."""
        record = effect.record
        if record.client_order_id not in self.journal:
            self.journal.record_order(record)
        filled = record.size_lots if filled is None else filled
        id_ = record.order().instrument
        self.held[id_] += record.side.sign * filled
        note = OrderNote(record.client_order_id, 0, "seen", state, "", filled, "1")
        self.journal.record_note(note)
        self.engine.on_order(OrderStanding(record, state, filled, "1", 0), self.now)

    def run(self, effects, steps=50):
        """Fill every order until nothing more is sent; return all of them."""
        sent = []
        for _ in range(steps):
            orders = [e for e in effects if isinstance(e, SendOrder)]
            if not orders:
                return sent
            for effect in orders:
                sent.append(effect.approved.order)
                self.finish(effect)
            self.seconds += 1
            effects = self.read()
        pytest.fail("the engine does not come to rest")


@pytest.fixture
def world(tmp_path):
    world = World(tmp_path / "journal.sqlite")
    yield world
    world.journal.close()


def orders(effects):
    return [e.approved.order for e in effects if isinstance(e, SendOrder)]


def notices(effects):
    return [e.text for e in effects if isinstance(e, Notice)]


def test_a_target_becomes_one_order_of_its_size(world):
    world.read()
    (order,) = orders(world.target(0.5))
    assert isinstance(order, Increase)
    assert (order.side, order.size_lots) == (Side.BUY, 5_000)


def test_nothing_is_planned_before_the_first_comparison_or_reading(world):
    assert world.target(0.5) == []
    world.engine.is_reconciled = False
    assert world.read() == []
    assert world.engine.plan_all(world.now) == []
    world.engine.is_reconciled = True
    assert len(orders(world.engine.plan_all(world.now))) == 1


def test_a_flip_is_a_reduction_to_zero_and_then_an_increase(world):
    world.hold(5_000)
    world.read()
    sent = world.run(world.target(-0.5))
    assert [type(o) for o in sent] == [Reduction, Increase]
    assert [o.size_lots for o in sent] == [5_000, 5_000]
    assert world.held[BTC] == -5_000


def test_the_attempt_rises_only_when_the_one_before_has_ended(world):
    world.read()
    effects = world.target(0.5)
    assert len(orders(effects)) == 1
    world.journal.record_order(effects[-1].record)
    for _ in range(5):
        world.seconds += 1
        assert orders(world.read()) == []
        assert orders(world.engine.plan_all(world.now)) == []
    world.finish(effects[-1], OrderState.NOT_FOUND, 0)
    world.seconds += 5
    again = world.read()
    assert len(orders(again)) == 1
    assert again[-1].record.attempt == 1
    assert orders(again)[0].client_order_id != orders(effects)[0].client_order_id


def test_no_increase_without_a_live_permit_but_every_reduction(world):
    world.mode = PermitMode.REDUCE_ONLY
    world.hold(2_000)
    world.read()
    assert orders(world.target(0.5)) == []
    (order,) = orders(world.target(0.1))
    assert isinstance(order, Reduction)
    assert order.size_lots == 1_000


def test_a_stale_target_raises_nothing_and_still_reduces(world):
    world.read()
    effects = world.target(0.5, age=181)
    assert orders(effects) == []
    assert "older than 3 bars" in notices(effects)[0]
    world.hold(9_000)
    (order,) = orders(world.read())
    assert isinstance(order, Reduction)
    assert order.size_lots == 4_000


HOUR_NS = 3600 * NS_PER_SECOND
MINUTE_NS = 60 * NS_PER_SECOND


@pytest.mark.parametrize("market_ns", [0, START_NS - HOUR_NS])
def test_a_bar_of_long_ago_raises_nothing_and_still_reduces(world, market_ns):
    """A feed that is late by an hour has fresh targets of an hour ago published."""
    world.read()
    world.run(world.target(0.5, bar=(START_NS - MINUTE_NS, 0)))
    assert world.held[BTC] == 5_000
    effects = world.target(0.8, bar=(START_NS - HOUR_NS, market_ns))
    assert orders(effects) == []
    assert "of a bar older than 3 bars" in notices(effects)[0]
    (order,) = orders(world.target(0.1, bar=(START_NS - HOUR_NS, market_ns)))
    assert isinstance(order, Reduction)
    assert order.size_lots == 4_000


@pytest.mark.parametrize(
    ("behind_ns", "market_ns", "is_followed"),
    [
        (50_000 * HOUR_NS, 50_000 * HOUR_NS, True),  # a tape of years ago
        (50_000 * HOUR_NS, 50_000 * HOUR_NS - 3 * MINUTE_NS - 1, True),
        (50_000 * HOUR_NS, 50_000 * HOUR_NS - 4 * MINUTE_NS, False),
        (-HOUR_NS, -HOUR_NS, True),  # it plays faster than time goes
        (HOUR_NS, START_NS, False),  # its time is not told
    ],
)
def test_the_bars_of_a_tape_are_as_old_as_the_tape_says(
    tmp_path, behind_ns, market_ns, is_followed
):
    tape = (Subscription("trend", BTC, 60, is_tape=True),)
    world = World(tmp_path / "j.sqlite", tape)
    world.read()
    bar = (START_NS - behind_ns, START_NS - market_ns)
    assert bool(orders(world.target(0.5, bar=bar))) == is_followed
    world.journal.close()


def test_a_target_grows_stale_while_it_waits(world):
    world.mode = PermitMode.REDUCE_ONLY
    world.read()
    world.target(0.5)
    world.mode = PermitMode.TRADE
    world.seconds = 200
    assert orders(world.read()) == []


def test_nothing_is_increased_from_an_old_reading_of_the_account(world):
    world.read()
    world.seconds += 15.1
    world.engine.on_marks({BTC: world.price}, world.now)
    effects = world.target(0.5)
    assert orders(effects) == []
    assert notices(effects) == ["the account was not read lately"]
    assert len(orders(world.read())) == 1


def test_nothing_is_increased_by_an_old_mark(world):
    world.read()
    world.seconds += 15.1
    snapshot = AccountSnapshot(world.equity, world.equity, "USDT", (), 0)
    world.engine.on_account(snapshot, world.now.monotonic_ns, world.now)
    effects = world.target(0.5)
    assert orders(effects) == []
    assert "no price to hold the target against" in notices(effects)[0]
    assert len(orders(world.read())) == 1


@pytest.mark.parametrize("equity", ["0", "-5", "NaN", "Infinity"])
def test_an_equity_that_sizes_nothing_closes_nothing(world, equity):
    world.read()
    world.run(world.target(0.5))
    world.seconds += 60
    world.equity = Decimal(equity)
    assert orders(world.read() + world.target(0.5)) == []
    assert orders(world.read()) == []
    assert world.held[BTC] == 5_000


def test_a_target_that_is_no_number_changes_nothing(world):
    world.hold(5_000)
    world.read()
    assert orders(world.target(0.5)) == []
    for value in (float("nan"), float("inf")):
        effects = world.target(value)
        assert orders(effects) == []
    assert orders(world.read()) == []


def test_an_older_target_does_not_replace_a_newer_one(world):
    world.read()
    world.run(world.target(0.5))
    world.sequence -= 2
    assert world.target(-0.5, age=10) == []
    assert orders(world.read()) == []


def test_a_target_made_after_the_wall_clock_stepped_back_is_followed(world):
    world.read()
    world.run(world.target(0.5))
    world.seconds += 60
    world.wall_step = -7200
    world.run(world.read() + world.target(0.0))
    assert world.held[BTC] == 0


def test_a_target_numbered_anew_is_followed(world):
    # The bus lost its store: the strategy counts its targets from one again.
    world.read()
    world.run(world.target(0.5))
    world.seconds += 60
    world.sequence = 0
    world.run(world.read() + world.target(0.0))
    assert world.held[BTC] == 0


@pytest.mark.parametrize("step", [-7200, -190])
def test_a_wall_clock_that_stepped_back_makes_no_stale_target_fresh(world, step):
    world.mode = PermitMode.REDUCE_ONLY
    world.read()
    world.target(0.5)
    world.mode = PermitMode.TRADE
    world.seconds += 200
    world.wall_step = step
    assert orders(world.read()) == []


def test_drifting_equity_makes_no_orders_within_a_bar(world):
    world.read()
    world.run(world.target(0.5))
    for equity in (9_000, 11_000, 15_000):
        world.equity = Decimal(equity)
        world.seconds += 1
        assert orders(world.read()) == []


def test_all_strategies_of_an_instrument_must_have_spoken(tmp_path):
    both = (Subscription("trend", BTC, 60), Subscription("carry", BTC, 60))
    world = World(tmp_path / "j.sqlite", both)
    world.hold(1_000)
    world.read()
    assert world.target(0.5) == []
    sent = world.run(world.target(-0.2, strategy="carry"))
    assert [o.size_lots for o in sent] == [2_000]
    assert world.held[BTC] == 3_000
    world.journal.close()


def test_the_leverage_cap_counts_every_position_and_trims_the_order(tmp_path):
    both = (Subscription("trend", BTC, 60), Subscription("trend", ETH, 60))
    world = World(tmp_path / "j.sqlite", both)
    world.held[ETH] = 20_000  # 2 x equity
    world.read()
    world.target(2.0, ETH)
    (order,) = orders(world.target(2.5))
    assert order.size_lots == 10_000  # what is left of 3 x equity
    world.journal.close()


def test_two_orders_of_one_instant_share_the_leverage_cap(tmp_path):
    both = (Subscription("trend", BTC, 60), Subscription("trend", ETH, 60))
    world = World(tmp_path / "j.sqlite", both)
    world.read()
    first = orders(world.target(2.0, BTC))
    second = orders(world.target(2.0, ETH))
    assert first[0].size_lots + second[0].size_lots == 30_000
    world.journal.close()


def test_a_mark_beyond_the_collar_stops_the_increase_and_says_so_once(world):
    world.price = Decimal(900)
    world.read()
    effects = world.target(0.5)
    assert orders(effects) == []
    assert "collar" in notices(effects)[0]
    world.seconds += 1
    assert notices(world.read()) == []


def test_the_position_must_show_the_fill_before_the_next_plan(world):
    world.read()
    effects = world.target(0.5)
    world.finish(effects[-1])
    lots, world.held[BTC] = world.held[BTC], 0  # the venue lags behind its own answer
    world.seconds += 1
    assert orders(world.read()) == []
    world.held[BTC] = lots
    world.seconds += 1
    assert orders(world.read()) == []
    assert orders(world.engine.plan_all(world.now)) == []


def test_a_position_that_stays_different_is_the_venues_and_is_said(world):
    world.read()
    effects = world.target(0.5)
    world.finish(effects[-1])
    world.held[BTC] = 0  # somebody closed it meanwhile
    world.seconds += 3
    effects = world.read()
    assert "the venue holds 0 lots" in notices(effects)[0]
    assert len(orders(effects)) == 1


def test_orders_that_were_under_way_together_make_no_position_to_wait_for(world):
    """An increase of unknown outcome is found filled after its reduction was, too."""
    world.read()
    increase = world.target(0.5)[-1]
    world.journal.record_order(increase.record)
    lost = OrderStanding(increase.record, OrderState.OUTCOME_UNKNOWN, 0, "", 0)
    world.engine.on_order(lost, world.now)
    world.held[BTC] = increase.record.size_lots  # its answer was lost, its fill not
    world.seconds += 1
    world.read()
    (reduction,) = world.target(-0.5)
    assert isinstance(reduction.approved.order, Reduction)
    known = OrderStanding(reduction.record, OrderState.IN_FLIGHT, 0, "", 0)
    world.engine.on_order(known, world.now)
    world.seconds += 1
    world.finish(reduction)
    world.held[BTC] = 0
    world.seconds += 1
    found = OrderStanding(increase.record, OrderState.FILLED, 5_000, "1", 0)
    world.engine.on_order(found, world.now)
    world.seconds += 0.1
    effects = world.read()
    assert notices(effects) == []
    assert [e.approved.order.side for e in effects] == [Side.SELL]


def test_a_wall_clock_that_stepped_back_takes_no_late_position_for_ours(world):
    world.read()
    world.run(world.target(0.2))
    world.seconds += 1
    world.wall_step = -30
    (increase,) = sent(world.target(0.5))
    world.finish(increase)
    held, world.held[BTC] = world.held[BTC], 2_000  # it lags behind the fill
    world.seconds += 0.1
    assert orders(world.read()) == []
    world.held[BTC] = held
    world.seconds += 0.1
    assert orders(world.read()) == []


def test_a_reading_asked_for_before_the_order_ended_does_not_count(world):
    world.read()
    effects = world.target(0.5)
    asked = world.now.monotonic_ns
    world.seconds += 1
    world.finish(effects[-1], OrderState.CANCELED, 0)
    snapshot = AccountSnapshot(world.equity, world.equity, "USDT", (), 0)
    world.seconds += 10
    assert orders(world.engine.on_account(snapshot, asked + 1, world.now)) == []


def test_refusals_are_tried_again_ever_more_slowly(world):
    world.read()
    effects = world.target(0.5)
    times = []
    for _ in range(170):
        for effect in effects:
            if isinstance(effect, SendOrder):
                times.append(world.seconds)
                world.finish(effect, OrderState.REFUSED, 0)
        world.seconds += 1
        effects = world.read()
    gaps = [b - a for a, b in pairwise(times)]
    assert gaps[:5] == [1, 2, 4, 8, 15]
    assert all(gap == 30 for gap in gaps[5:])


def test_a_bar_has_a_bounded_number_of_increases_and_always_its_reduction(tmp_path):
    world = World(tmp_path / "j.sqlite", (Subscription("trend", BTC, 86_400),))
    world.read()
    effects = world.target(0.5)
    for _ in range(ATTEMPTS_MAX):
        (effect,) = [e for e in effects if isinstance(e, SendOrder)]
        world.finish(effect, OrderState.REFUSED, 0)
        world.seconds += 31
        effects = world.read()
    assert orders(effects) == []
    assert notices(effects) == [f"{ATTEMPTS_MAX} attempts for one bar"]
    world.hold(9_000)
    (order,) = orders(world.read())
    assert isinstance(order, Reduction)
    world.journal.close()


def test_sizes_beyond_one_market_order_go_out_in_slices(tmp_path):
    world = World(tmp_path / "j.sqlite", most=1_500)
    world.read()
    sent = world.run(world.target(0.5))
    assert [o.size_lots for o in sent] == [1_500, 1_500, 1_500, 500]
    assert len({o.client_order_id for o in sent}) == 4
    world.journal.close()


@pytest.mark.parametrize(("weight", "target"), [("0.05", 0.35), ("0.02", 0.99)])
def test_the_band_is_of_what_is_allotted_to_the_strategy(tmp_path, weight, target):
    """A capital split over many strategies would never trade."""
    small = (Subscription("trend", BTC, 60, weight=Decimal(weight)),)
    world = World(tmp_path / "j.sqlite", small)
    world.read()
    wanted = int(10_000 * float(weight) * target + 1e-9)
    assert [o.size_lots for o in world.run(world.target(target))] == [wanted]
    assert world.run(world.target(target * 1.019)) == []  # within 2 % of its part
    world.run(world.target(target - 0.025))
    assert world.held[BTC] < wanted
    world.journal.close()


def test_the_smallest_part_makes_the_band_of_strategies_that_share(tmp_path):
    both = (
        Subscription("trend", BTC, 60, weight=Decimal("0.9")),
        Subscription("carry", BTC, 60, weight=Decimal("0.05")),
    )
    world = World(tmp_path / "j.sqlite", both)
    world.read()
    world.target(0.0)
    world.run(world.target(0.3, strategy="carry"))
    assert world.held[BTC] == 150
    world.journal.close()


def test_an_increase_beyond_the_largest_order_goes_out_in_several(tmp_path):
    world = World(tmp_path / "j.sqlite")
    limits = replace(SETTINGS.limits, order_max=Decimal("0.4"))
    world.engine = Engine(
        replace(SETTINGS, limits=limits), {BTC: instrument(BTC)}, world.journal
    )
    world.engine.is_reconciled = True
    world.read()
    sent = world.run(world.target(1.0))
    assert [o.size_lots for o in sent] == [4_000, 4_000, 2_000]
    world.seconds += 60
    world.read()
    (exit_,) = world.run(world.target(0.0))  # nothing keeps us from leaving
    assert exit_.size_lots == 10_000
    world.price = Decimal(1_040)  # valued at the dearer of mark and target price
    world.seconds += 60
    world.read()
    (order, *_) = world.run(world.target(0.8))
    assert order.size_lots == 3_846
    world.journal.close()


@settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    targets=st.lists(st.floats(-2.9, 2.9), min_size=1, max_size=6),
    most=st.sampled_from([0, 7_000]),
)
def test_every_sequence_of_targets_ends_where_the_last_one_says(
    tmp_path_factory, targets, most
):
    world = World(tmp_path_factory.mktemp("j") / "j.sqlite", most=most)
    try:
        world.read()
        for target in targets:
            world.seconds += 60
            world.read()
            before = world.held[BTC]
            sent = world.run(world.target(target))
            wanted = int(target * 10_000 + (1e-9 if target > 0 else -1e-9))
            for order in sent:
                if isinstance(order, Increase):
                    assert before * order.side.sign >= 0
                else:
                    assert before * order.side.sign < 0
                    assert order.size_lots <= abs(before)
                before += order.side.sign * order.size_lots
            assert abs(world.held[BTC] - wanted) <= 200  # the band: 2 % of equity
            assert abs(world.held[BTC]) <= max(abs(wanted) + 200, 0)
    finally:
        world.journal.close()


def test_no_second_attempt_for_a_bar_while_the_first_is_unknown(tmp_path):
    world = World(tmp_path / "j.sqlite", most=1_500)
    world.hold(5_000)
    world.read()
    effects = world.target(0.0)
    record = effects[-1].record
    world.journal.record_order(record)
    unknown = OrderStanding(record, OrderState.OUTCOME_UNKNOWN, 0, "", 0)
    world.engine.on_order(unknown, world.now)
    for _ in range(5):
        world.seconds += 1
        assert orders(world.read()) == []
    world.seconds += 60  # the next bar is another key, and an exit must not wait
    (order,) = orders(world.target(0.0))
    assert isinstance(order, Reduction)
    assert order.size_lots == 1_500
    world.journal.close()


def test_how_an_earlier_process_order_ended_must_show_in_the_position(world):
    world.read()
    record = world.target(0.5)[-1].record
    restarted = Engine(SETTINGS, {BTC: instrument(BTC)}, world.journal)
    restarted.is_reconciled = True
    world.engine = restarted
    world.read()
    world.journal.record_order(record)
    world.seconds += 1
    world.finish(SendOrder(None, record))
    assert orders(world.target(0.5)) == []  # the reading is from before it filled
    world.seconds += 1
    assert orders(world.read()) == []
    assert world.held[BTC] == 5_000


def test_a_position_that_lags_behind_an_earlier_process_order_is_waited_for(world):
    world.read()
    record = world.target(0.5)[-1].record
    world.journal.record_order(record)
    restarted = Engine(SETTINGS, {BTC: instrument(BTC)}, world.journal)
    unknown = OrderStanding(record, OrderState.OUTCOME_UNKNOWN, 0, "", 0)
    restarted.on_order(unknown, world.now)
    world.engine = restarted
    world.target(0.5)
    world.finish(SendOrder(None, record))
    world.held[BTC] = 0  # filled, and the venue's positions do not show it yet
    restarted.is_reconciled = True
    for _ in range(2):
        world.seconds += 0.5
        assert orders(world.read()) == []
    world.held[BTC] = 5_000
    assert orders(world.read()) == []


# -- styles, caps, shares ---------------------------------------------------------

POST_ONLY = Working(Style.POST_ONLY, seconds=20, requotes_max=3)


def styled(tmp_path, working, **changes):
    subscription = Subscription("trend", BTC, 60, working=working, **changes)
    return World(tmp_path / "j.sqlite", (subscription,))


def quoted(world, bid, ask):
    read_ns = world.now.monotonic_ns
    quote = Quote(Decimal(bid), Decimal(ask), read_ns)
    return world.engine.on_quotes({BTC: quote}, world.now)


def sent(effects):
    return [e for e in effects if isinstance(e, SendOrder)]


def rest(world, effect):
    world.journal.record_order(effect.record)
    standing = OrderStanding(effect.record, OrderState.WORKING, 0, "1", 0)
    world.engine.on_order(standing, world.now)
    return standing


def test_a_resting_increase_is_canceled_once_no_permit_allows_it(tmp_path):
    world = styled(tmp_path, POST_ONLY)
    world.read()
    world.target(0.5)
    (effect,) = sent(quoted(world, 999, 1001))
    assert effect.record.time_in_force.value == "post_only"
    assert effect.record.price_ticks == 9990
    rest(world, effect)
    asked = world.engine.plan_all(world.now)
    assert [type(e) for e in asked] == [AskQuote]
    world.mode = PermitMode.REDUCE_ONLY
    effects = world.engine.plan_all(world.now)
    assert CancelOrder(BTC, effect.record.client_order_id) in effects
    # Once: the cancel is under way.
    assert not [e for e in world.engine.plan_all(world.now) if type(e) is CancelOrder]


def test_an_order_that_no_permit_allowed_still_begins_as_a_resting_one(tmp_path):
    world = styled(tmp_path, POST_ONLY)
    world.mode = PermitMode.REDUCE_ONLY
    world.read()
    world.target(0.5)
    for _ in range(60):
        assert sent(quoted(world, 999, 1001)) == []
        world.seconds += 0.5
        world.read()
    world.mode = PermitMode.TRADE
    (effect,) = sent([*world.engine.plan_all(world.now), *quoted(world, 999, 1001)])
    assert effect.record.time_in_force.value == "post_only"


def test_a_resting_order_follows_the_price_a_bounded_number_of_times(tmp_path):
    world = styled(tmp_path, POST_ONLY)
    world.read()
    world.target(0.5)
    bid, kinds = 999, []
    effects = quoted(world, bid, bid + 2)
    while not kinds or kinds[-1] != "market":
        (effect,) = sent(effects)
        kinds.append(effect.record.type.value)
        rest(world, effect)
        world.seconds += 1
        bid += 1
        effects = quoted(world, bid, bid + 2)
        is_canceled = any(type(e) is CancelOrder for e in effects)
        assert is_canceled is (kinds[-1] == "limit")
        world.finish(effect, OrderState.CANCELED, 0)
        world.seconds += 1
        effects = world.read()
    assert kinds == ["limit", "limit", "limit", "market"]


def test_an_amendment_refused_after_its_order_ended_leaves_nothing_behind(world):
    world.read()
    (increase,) = sent(world.target(0.5))
    name = increase.record.client_order_id
    world.engine._books[BTC].amend(name, 1)
    world.finish(increase)
    world.engine.on_amended(BTC, name, is_done=False)
    assert world.engine._books[BTC]._unamendable == set()


def test_a_cap_of_one_instrument_bounds_what_is_bought(tmp_path):
    limits = replace(SETTINGS.limits, instrument_max=Decimal("0.3"))
    world = styled(tmp_path, Working())
    world.engine._settings = replace(SETTINGS, limits=limits)
    world.engine._maker._settings = world.engine._settings
    world.read()
    (effect,) = sent(world.target(2.0))
    assert effect.record.size_lots == 3000


def test_a_weight_is_the_strategys_part_of_the_equity(tmp_path):
    world = styled(tmp_path, Working(), weight=Decimal("0.25"))
    world.read()
    (effect,) = sent(world.target(1.0))
    assert effect.record.size_lots == 2500


def test_a_refused_reduction_is_tried_again_within_seconds(tmp_path):
    world = styled(tmp_path, Working())
    world.hold(5000)
    world.read()
    waits, last = [], world.seconds
    effects = world.target(0.0)
    while len(waits) < 8 and world.seconds < 120:
        for effect in sent(effects):
            waits.append(world.seconds - last)
            last = world.seconds
            world.finish(effect, OrderState.REFUSED, 0)
        world.seconds += 0.5
        effects = world.read()
    assert len(waits) == 8
    assert max(waits) <= 4


RIVALS = (Subscription("bull", BTC, 60), Subscription("bear", BTC, 60))


def crosses(effects):
    return [
        {r.strategy: r.lots for r in e.records}
        for e in effects
        if isinstance(e, CrossLots)
    ]


@pytest.fixture
def rivals(tmp_path):
    world = World(tmp_path / "journal.sqlite", RIVALS)
    world.read()
    yield world
    world.journal.close()


def test_opposite_targets_send_nothing_and_are_booked_to_both(rivals):
    assert crosses(rivals.target(0.5, strategy="bull")) == []
    effects = rivals.target(-0.5, strategy="bear")
    assert orders(effects) == []
    assert crosses(effects) == [{"bull": 5_000, "bear": -5_000}]
    (cross,) = [e for e in effects if isinstance(e, CrossLots)]
    assert {r.price for r in cross.records} == {"1000"}
    rivals.seconds += 5
    assert crosses(rivals.read()) == []


def test_who_leaves_first_is_closed_by_an_order_of_its_own(rivals):
    rivals.target(0.5, strategy="bull")
    rivals.target(-0.5, strategy="bear")
    rivals.seconds += 60
    rivals.read()
    (sent,) = [
        e for e in rivals.target(0.0, strategy="bull") if isinstance(e, SendOrder)
    ]
    assert (sent.record.side, sent.record.size_lots) == (Side.SELL, 5_000)
    assert sent.record.shares == '{"bull":-5000}'
    rivals.finish(sent)
    rivals.seconds += 3
    assert crosses(rivals.read()) == []


def test_two_that_leave_at_the_same_bar_never_share_one_order_id(rivals):
    """The first one's order is decided, and not in the journal yet."""
    rivals.target(0.2, strategy="bull")
    rivals.run(rivals.target(0.3, strategy="bear"))
    assert rivals.held[BTC] == 5_000
    rivals.seconds += 60
    rivals.read()
    first = sent(rivals.target(0.0, strategy="bull"))
    second = sent(rivals.target(0.0, strategy="bear"))
    names = [effect.record.client_order_id for effect in (*first, *second)]
    assert len(set(names)) == len(names) == 1
    rivals.run([*first, *second])
    assert rivals.held[BTC] == 0


def test_what_was_crossed_is_known_after_a_restart(rivals):
    rivals.target(0.5, strategy="bull")
    for effect in rivals.target(-0.5, strategy="bear"):
        if isinstance(effect, CrossLots):
            assert len(rivals.journal.record_crosses(effect.records)) == 2
            assert rivals.journal.record_crosses(effect.records) == []
    settings = replace(SETTINGS, subscriptions=RIVALS)
    rivals.engine = Engine(settings, {BTC: instrument(BTC)}, rivals.journal)
    rivals.engine.is_reconciled = True
    rivals.read()
    rivals.target(0.5, strategy="bull")
    effects = rivals.target(-0.5, strategy="bear")
    assert crosses(effects) == []
    assert orders(effects) == []


def test_nothing_is_crossed_without_a_mark_or_beside_an_order(rivals):
    rivals.seconds += 60  # the mark is old
    rivals.target(0.5, strategy="bull")
    assert crosses(rivals.target(-0.2, strategy="bear")) == []
    effects = rivals.read()
    (sent,) = [e for e in effects if isinstance(e, SendOrder)]
    assert crosses(effects) == []  # the order shares itself out
    rivals.finish(sent)
    assert rivals.engine._books[BTC].attributed_lots == {"bull": 5_000, "bear": -2_000}


# -- work that a permit interrupts --------------------------------------------------

SLICED = Working(Style.SLICED, seconds=20, slices=4)


def step(world, seconds=1.0):
    """A second later everything is read: the orders that makes."""
    world.seconds += seconds
    effects = world.read()
    return [*sent(effects), *sent(quoted(world, 999, 1001))]


def without_permit(world, seconds=30):
    """No permit to trade for so long; the orders sent meanwhile."""
    world.mode = PermitMode.REDUCE_ONLY
    found = [effect for _ in range(seconds) for effect in step(world)]
    world.mode = PermitMode.TRADE
    return found


@pytest.mark.parametrize(("meanwhile", "part"), [(None, 1_500), (0.4, 500)])
def test_an_increase_whose_time_passed_without_a_permit_is_sliced_anew(
    tmp_path, meanwhile, part
):
    world = styled(tmp_path, SLICED)
    world.read()
    (first,) = sent(world.target(0.8))
    assert first.record.size_lots == 2_000
    world.finish(first)
    assert without_permit(world) == []
    if meanwhile is not None:
        world.mode = PermitMode.REDUCE_ONLY
        assert sent(world.target(meanwhile)) == []
        world.mode = PermitMode.TRADE
    (again,) = step(world)
    assert again.record.size_lots == part  # a quarter of what is wanted now
    world.journal.close()


def test_an_increase_whose_time_passed_without_a_permit_rests_anew(tmp_path):
    world = styled(tmp_path, POST_ONLY)
    world.read()
    world.target(0.5)
    (first,) = sent(quoted(world, 999, 1001))
    rest(world, first)
    world.mode = PermitMode.REDUCE_ONLY
    assert CancelOrder(BTC, first.record.client_order_id) in world.read()
    # The cancel's outcome is known only after the permit is back.
    assert without_permit(world) == []
    world.finish(first, OrderState.CANCELED, 1_000)
    (again,) = step(world)
    assert again.record.time_in_force.value == "post_only"
    assert again.record.size_lots == 4_000
    world.journal.close()


def test_a_flip_without_a_permit_reduces_at_once_and_slices_its_increase(tmp_path):
    world = styled(tmp_path, SLICED)
    world.hold(4_000)
    world.read()
    (first,) = sent(world.target(-0.8))
    assert isinstance(first.approved.order, Reduction)
    world.finish(first)
    world.mode = PermitMode.REDUCE_ONLY
    (rest_of_it,) = step(world)
    assert isinstance(rest_of_it.approved.order, Reduction)
    assert rest_of_it.record.size_lots == 4_000 - first.record.size_lots
    world.finish(rest_of_it)
    assert without_permit(world) == []
    (increase,) = step(world)
    assert increase.record.size_lots == 2_000  # a quarter, and not all of it
    world.journal.close()


def test_an_engine_starts_without_holding_what_is_finished(tmp_path):
    """The journal grows for years; a start holds what is unfinished alone."""
    world = World(tmp_path / "j.sqlite")
    world.read()
    (first,) = sent(world.target(0.5))
    world.finish(first)
    count = 4_000
    with world.journal._driver as connection:
        for number in range(count):
            name = f"cqx-{number}"
            record = msgspec.structs.replace(
                first.record, client_order_id=name, bar_ns=number
            )
            insert_order(connection, record)
            note = OrderNote(name, 0, "seen", OrderState.FILLED, "", 5_000, name)
            insert_note(connection, note)
    world.journal.record_fills(
        [fill_record(BTC, f"cqx-{n}", f"{n}", 5_000) for n in range(count)]
    )
    tracemalloc.start()
    engine = Engine(SETTINGS, {BTC: instrument(BTC)}, world.journal)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert engine._books[BTC].attributed_lots == {"trend": 5_000 * (count + 1)}
    assert peak < 200_000  # bytes; one row each would be millions
    world.journal.close()

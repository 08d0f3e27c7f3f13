"""What a person holds in the account is theirs: neither reduced nor added to."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cryptoquantix.control.permit import PermitMode
from cryptoquantix.core.clock import SystemClock
from cryptoquantix.core.order import Increase, OrderState, Side
from cryptoquantix.journal.records import OrderNote, OrderStanding
from cryptoquantix.live.bookkeeping import Bookkeeping
from cryptoquantix.live.engine import Engine
from cryptoquantix.live.events import SendOrder
from cryptoquantix.orders.ownership import Ownership
from live.fake_venue import BTC, FakeVenue
from live.test_engine import SETTINGS, World


class Account(World):
    """A world at whose venue a person trades, too."""

    def __init__(self, path, adopt=()):
        super().__init__(path)
        self.venue, self.adopt = FakeVenue(BTC), frozenset(adopt)
        self.notices, self.sent = [], []
        self.begin()

    def begin(self):
        """Execution starts, or starts again, with the journal alone."""
        mine = replace(SETTINGS, adopt=self.adopt)
        self.engine = Engine(mine, self.venue.listed, self.journal)
        self.engine.is_reconciled = True
        self.books = Bookkeeping(
            port=self.venue,
            journal=self.journal,
            clock=SystemClock(),
            instruments=self.venue.listed,
            report=self.notices.append,
        )

    async def open(self):
        await self.books.open(BTC, self.engine)

    @property
    def lots(self):
        return self.venue.held.get(BTC, 0)

    def hand(self, lots):
        """A person trades, or the daemon does."""
        order = SimpleNamespace(
            instrument=BTC, side=Side.of(lots), venue_order_id="web"
        )
        self.venue.fill(order, abs(lots))

    def show(self):
        self.held = {BTC: self.lots}
        return self.read()

    async def look(self, *, takes_fills=True):
        """A reading, the orders that it makes, the fills, and the comparison."""
        self.seconds += 1
        effects = self.show()
        while found := [e for e in effects if isinstance(e, SendOrder)]:
            for effect in found:
                await self.send(effect)
            self.seconds += 1
            effects = self.show()
        if takes_fills:
            await self.books.take_fills(self.engine)
        self.books.compare(self.engine, [])

    async def glance(self):
        """Positions are read oftener than fills: what others did is seen, not told."""
        for _ in range(3):
            await self.look(takes_fills=False)

    async def send(self, effect):
        """An order is filled, and its answer comes."""
        record, order = effect.record, effect.approved.order
        self.journal.record_order(record)
        self.sent.append(order)
        found = await self.venue._take(order)
        self.answer(record, found)

    def answer(self, record, found):
        name, filled, id_ = (
            record.client_order_id,
            found.filled_lots,
            found.venue_order_id,
        )
        self.journal.record_note(OrderNote(name, 0, "", found.state, "", filled, id_))
        standing = OrderStanding(record, found.state, filled, id_, 0)
        self.engine.on_order(standing, self.now)

    async def follow(self, target):
        """A bar closes: what becomes of its target."""
        self.seconds += 60
        for effect in [*self.show(), *self.target(target)]:
            if isinstance(effect, SendOrder):
                await self.send(effect)
        for _ in range(3):
            await self.look()

    def told(self):
        return [n.text for n in self.notices if n.kind == "foreign position"]


@pytest.fixture
def account(tmp_path):
    account = Account(tmp_path / "journal.sqlite")
    yield account
    account.journal.close()


@pytest.mark.parametrize("lots", [100, -100])
@pytest.mark.parametrize("target", [0.0, 0.5, -0.5])
async def test_what_a_person_held_before_is_left_alone_and_said_once(
    account, lots, target
):
    account.hand(lots)
    await account.open()
    for _ in range(3):
        await account.follow(target)
    assert account.sent == []
    (text,) = account.told()
    for words in (f"{lots} of the {lots} lots", "0.1 BTC", 'adopt = ["binance:BTCUSDT'):
        assert words in text
    assert all(one.is_idle == (target == 0) for one in account.engine.followed())
    account.hand(-lots)  # the person closes it, and the strategy is followed
    await account.follow(target)
    assert account.lots == target * 10_000


@pytest.mark.parametrize("is_restarted", [False, True])
async def test_what_a_person_adds_to_ours_stays_when_ours_is_closed(
    account, is_restarted
):
    await account.open()
    await account.follow(0.5)
    account.hand(2_000)
    await account.look()
    if is_restarted:
        account.begin()
        await account.open()
        await account.look()
    await account.follow(0.6)
    assert account.lots == 7_000  # nothing is added beside it
    await account.follow(-0.5)
    assert [o.size_lots for o in account.sent] == [5_000, 5_000]
    assert account.lots == 2_000
    account.hand(-2_000)
    await account.follow(-0.5)
    assert account.lots == -5_000


async def test_ours_that_others_closed_and_reversed_is_ours_after_a_restart(account):
    """The daemon's closes, a liquidation: what is opened after them is ours."""
    await account.open()
    await account.follow(0.5)
    account.hand(-5_000)
    await account.follow(-0.3)
    account.begin()
    await account.follow(-0.3)
    assert account.lots == -3_000
    await account.follow(0.0)
    assert account.lots == 0
    assert account.told() == []


async def test_a_position_that_a_setting_adopts_is_planned_from_as_ours(tmp_path):
    account = Account(tmp_path / "journal.sqlite", adopt=[BTC])
    account.hand(7_000)
    await account.open()
    await account.follow(0.5)
    assert account.lots == 5_000
    await account.follow(0.0)
    assert account.lots == 0
    assert account.told() == []
    account.adopt = frozenset()  # the setting is taken back
    account.begin()
    await account.follow(0.5)
    assert account.lots == 5_000
    assert account.told() == []
    account.journal.close()


@pytest.mark.parametrize("state", [OrderState.IN_FLIGHT, OrderState.OUTCOME_UNKNOWN])
async def test_a_fill_seen_before_its_answer_is_ours(account, state):
    await account.open()
    account.show()
    (effect,) = account.target(0.5)
    record = effect.record
    account.journal.record_order(record)
    account.engine.on_order(OrderStanding(record, state, 0, "", 0), account.now)
    found = await account.venue._take(effect.approved.order)
    for _ in range(3):
        account.seconds += 1
        account.show()
        account.books.compare(account.engine, [])
        assert account.engine.part(BTC) == (5_000, 0)
    account.seconds += 60
    (exit_,) = account.target(0.0)  # ours is reduced whatever the answer will be
    assert exit_.record.size_lots == 5_000
    await account.send(exit_)
    account.answer(record, found)
    await account.follow(0.0)
    assert account.lots == 0
    assert account.told() == []


async def test_a_part_that_rests_is_reduced_once_it_is_known_whose_it_is(account):
    """A person's trade beside our resting order looks like a fill of it."""
    await account.open()
    account.show()
    (effect,) = account.target(0.5)
    account.journal.record_order(effect.record)
    resting = OrderStanding(effect.record, OrderState.WORKING, 0, "1", 0)
    account.engine.on_order(resting, account.now)
    account.hand(1_000)
    assert account.show() == []
    assert account.engine.part(BTC) == (0, 0)
    account.seconds += 60
    assert [type(e).__name__ for e in account.target(0.0)] == ["CancelOrder"]


async def test_a_resting_increase_is_canceled_beside_a_position_of_a_person(account):
    await account.open()
    account.show()
    (effect,) = account.target(0.5)
    account.journal.record_order(effect.record)
    resting = OrderStanding(effect.record, OrderState.WORKING, 0, "1", 0)
    account.engine.on_order(resting, account.now)
    account.hand(-1_000)
    assert [type(e).__name__ for e in account.show()] == ["CancelOrder"]


async def test_a_position_without_fills_is_believed_at_the_second_reading(account):
    await account.open()
    await account.follow(0.5)
    account.venue.held[BTC] = 0  # closed, and no fill tells of it
    await account.follow(0.0)
    assert [n.kind for n in account.notices] == ["position differs"]
    account.hand(3_000)
    await account.follow(0.0)
    assert account.lots == 3_000
    assert len(account.told()) == 1


async def test_a_part_that_others_closed_is_counted_once_when_its_fills_come(account):
    await account.open()
    await account.follow(0.5)
    account.mode = PermitMode.REDUCE_ONLY
    account.hand(-2_000)  # the venue liquidates a part
    await account.glance()
    assert account.engine.own.unexplained(BTC) == -2_000
    assert account.engine.part(BTC) == (3_000, 0)
    await account.look()
    assert account.engine.part(BTC) == (3_000, 0)
    await account.follow(0.0)
    assert account.lots == 0
    assert account.told() == []


async def test_what_is_opened_after_others_closed_ours_is_ours(account):
    await account.open()
    await account.follow(0.5)
    account.mode = PermitMode.REDUCE_ONLY
    account.hand(-5_000)
    await account.glance()
    assert account.engine.own.unexplained(BTC) == -5_000
    await account.look()
    account.mode = PermitMode.TRADE
    await account.follow(0.4)
    assert account.engine.part(BTC) == (4_000, 0)
    await account.follow(0.0)
    assert account.lots == 0
    assert account.told() == []


async def test_what_a_person_bought_and_sold_between_two_looks_leaves_nothing(account):
    await account.open()
    await account.follow(0.5)
    account.hand(3_000)
    await account.glance()
    assert account.engine.part(BTC) == (5_000, 3_000)
    account.hand(-3_000)
    await account.glance()
    await account.look()
    assert account.engine.part(BTC) == (5_000, 0)
    await account.follow(-0.5)
    assert account.lots == -5_000


async def test_a_position_that_was_read_wrong_is_ours_again_when_read_right(account):
    await account.open()
    await account.follow(0.5)
    account.mode = PermitMode.REDUCE_ONLY
    account.venue.held[BTC] = 0
    await account.glance()
    account.venue.held[BTC] = 5_000
    await account.glance()
    assert account.engine.part(BTC) == (5_000, 0)
    await account.follow(0.0)
    assert account.lots == 0


async def test_an_order_that_is_heard_of_again_is_not_counted_a_second_time(account):
    await account.open()
    await account.follow(0.5)
    account.hand(3_000)
    await account.look()
    ended = account.journal.order(account.sent[-1].client_order_id)
    account.engine.own.on_order(ended)
    assert account.engine.part(BTC) == (5_000, 3_000)


DEEDS = st.one_of(
    st.tuples(st.just("hand"), st.integers(-6, 6).filter(bool)),
    st.tuples(st.just("target"), st.integers(-6, 6)),
    st.just(("restart", 0)),
)


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(before=st.sampled_from([0, 0, 2_000]), deeds=st.lists(DEEDS, max_size=6))
def test_whatever_a_person_does_only_ours_is_reduced_and_nothing_is_added_beside(
    tmp_path_factory, before, deeds
):
    asyncio.run(live_through(tmp_path_factory.mktemp("j"), before, deeds))


async def live_through(directory, before, deeds):
    account = Account(directory / "journal.sqlite")
    truth = Ownership(foreign_lots=before)
    if before:
        account.hand(before)
    take = account.venue._take

    async def judged(order):
        lots = order.side.sign * order.size_lots
        if isinstance(order, Increase):
            assert truth.foreign_lots == 0
        else:
            assert truth.own_lots * lots < 0
            assert abs(lots) <= abs(truth.own_lots)
        truth.count(lots, is_ours=True)
        return await take(order)

    account.venue._take = judged
    await account.open()
    for deed, tenths in deeds:
        if deed == "hand":
            account.hand(tenths * 1_000)
            truth.count(tenths * 1_000, is_ours=False)
            await account.look()
        elif deed == "target":
            await account.follow(tenths / 10)
        else:
            account.begin()
            await account.open()
            await account.look()
        assert account.engine.part(BTC) == (truth.own_lots, truth.foreign_lots)
        if deed == "target" and not truth.foreign_lots:
            assert account.lots == tenths * 1_000
    account.journal.close()

"""Written first, sent once, and nothing claimed that is not proven."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cryptoquantix.control.permit import PermitMode
from cryptoquantix.core.clock import NS_PER_MS, NS_PER_SECOND, ManualClock
from cryptoquantix.core.errors import JournalError
from cryptoquantix.core.order import OrderState, Side
from cryptoquantix.live.events import SendOrder
from cryptoquantix.live.sender import (
    ABSENCE_AFTER_NS,
    ABSENCE_APART_NS,
    DECISION_NS_MAX,
    Sender,
)
from live.fake_venue import (
    BTC,
    HANG,
    LOST_ANSWER,
    LOST_REQUEST,
    OK,
    REFUSE,
    UNREACHABLE,
    FakePermits,
    FakeVenue,
)
from live.test_engine import World


class Desk:
    """A sender with its seams, and orders to send."""

    def __init__(self, path):
        self.clock = ManualClock(10**18, 10**12)
        self.venue = FakeVenue(BTC)
        self.permits = FakePermits(self.clock)
        self.world = World(path)
        self.journal = self.world.journal
        self.sender = Sender(self.journal, self.venue, self.permits, self.clock)
        self.world.read()

    def effect(self, target=0.5):
        self.world.seconds += 60
        effects = self.world.read() + self.world.target(target)
        return [e for e in effects if isinstance(e, SendOrder)][-1]

    def state(self, effect):
        return self.journal.order(effect.record.client_order_id).state


@pytest.fixture
def desk(tmp_path):
    desk = Desk(tmp_path / "journal.sqlite")
    yield desk
    desk.journal.close()


async def test_what_is_sent_was_journalled_before(desk):
    effect = desk.effect()
    seen = []
    take = desk.venue._take

    async def spy(order):
        seen.append(desk.journal.order(order.client_order_id).state)
        return await take(order)

    desk.venue._take = spy
    standing = await desk.sender.send(effect)
    assert seen == [OrderState.JOURNALED]
    assert standing.state is OrderState.FILLED
    assert desk.state(effect) is OrderState.FILLED


async def test_a_journal_that_cannot_write_lets_nothing_out(desk):
    effect = desk.effect()
    desk.journal._connection.exec_driver_sql("PRAGMA query_only = ON")
    desk.journal._connection.commit()
    with pytest.raises(JournalError):
        await desk.sender.send(effect)
    assert desk.venue.sent == []


async def test_a_full_disk_lets_nothing_out(desk):
    desk.journal._connection.exec_driver_sql("PRAGMA max_page_count = 1")
    desk.journal._connection.commit()
    failures = 0
    for _ in range(60):
        effect = desk.effect()
        desk.world.engine._unfinished.clear()
        desk.world.engine._at_stake._orders.clear()
        before = len(desk.venue.sent)
        try:
            await desk.sender.send(effect)
        except JournalError:
            failures += 1
            is_written = effect.record.client_order_id in desk.journal
            assert is_written or len(desk.venue.sent) == before
    assert failures
    written = {s.client_order_id for s in desk.venue.sent}
    assert all(name in desk.journal for name in written)


async def test_the_same_order_is_never_sent_twice(desk):
    effect = desk.effect()
    await desk.sender.send(effect)
    with pytest.raises(JournalError):
        await desk.sender.send(effect)
    assert len(desk.venue.sent) == 1


async def test_an_increase_without_a_permit_at_the_wire_is_proven_unsent(desk):
    effect = desk.effect()
    for mode in (None, PermitMode.REDUCE_ONLY, PermitMode.HALTED):
        desk.permits.mode = mode
        if mode is not None:
            desk.world.finish(effect, OrderState.NOT_FOUND, 0)
            effect = desk.effect(0.6)
        standing = await desk.sender.send(effect)
        assert standing.state is OrderState.NOT_FOUND
    assert desk.venue.sent == []


async def test_an_increase_that_waited_long_is_decided_anew_rather_than_sent(desk):
    effect = desk.effect()
    place = desk.venue.place_increase

    async def throttled(order, permit_check):
        desk.clock.advance(waited_ns)
        return await place(order, permit_check)

    desk.venue.place_increase = throttled
    waited_ns = DECISION_NS_MAX + 1
    standing = await desk.sender.send(effect)
    assert standing.state is OrderState.NOT_FOUND
    assert desk.venue.sent == []
    desk.world.finish(effect, OrderState.NOT_FOUND, 0)
    waited_ns = DECISION_NS_MAX
    assert (await desk.sender.send(desk.effect())).state is OrderState.FILLED


async def test_a_reduction_needs_no_permit(desk):
    desk.world.hold(500)
    desk.venue.held[BTC] = 500
    effect = desk.effect(0.0)
    desk.permits.mode = PermitMode.HALTED
    standing = await desk.sender.send(effect)
    assert standing.state is OrderState.FILLED
    assert desk.venue.sent[0].side is Side.SELL


@pytest.mark.parametrize(
    ("answer", "state", "sent"),
    [
        (OK, OrderState.FILLED, 1),
        (LOST_ANSWER, OrderState.OUTCOME_UNKNOWN, 1),
        (LOST_REQUEST, OrderState.OUTCOME_UNKNOWN, 1),
        (REFUSE, OrderState.REFUSED, 1),
        (UNREACHABLE, OrderState.NOT_FOUND, 0),
    ],
)
async def test_each_answer_leaves_what_it_proves(desk, answer, state, sent):
    effect = desk.effect()
    desk.venue.answers = [answer]
    standing = await desk.sender.send(effect)
    assert standing.state is state
    assert desk.state(effect) is state
    assert len(desk.venue.sent) == sent


async def test_a_canceled_send_leaves_the_outcome_unknown(desk):
    effect = desk.effect()
    desk.venue.answers = [HANG]
    task = asyncio.create_task(desk.sender.send(effect))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert desk.state(effect) is OrderState.OUTCOME_UNKNOWN


async def test_a_lost_answer_is_found_by_looking_up(desk):
    desk.venue.answers = [LOST_ANSWER]
    standing = await desk.sender.send(desk.effect())
    standing = await desk.sender.look_up(standing)
    assert standing.state is OrderState.FILLED
    assert standing.filled_lots == 5_000
    assert len(desk.venue.sent) == 1


async def test_absence_needs_the_window_to_pass_and_two_look_ups_to_agree(desk):
    desk.venue.answers = [LOST_REQUEST]
    standing = await desk.sender.send(desk.effect())
    unknown = OrderState.OUTCOME_UNKNOWN
    for _ in range(10):  # however often, before the window has passed: no proof
        standing = await desk.sender.look_up(standing)
        assert standing.state is unknown
        desk.clock.advance(ABSENCE_AFTER_NS // 11)
    desk.clock.advance(ABSENCE_AFTER_NS)
    standing = await desk.sender.look_up(standing)
    assert standing.state is unknown  # one look-up is no proof
    desk.clock.advance(ABSENCE_APART_NS - NS_PER_MS)
    assert (await desk.sender.look_up(standing)).state is unknown
    desk.clock.advance(2 * NS_PER_MS)
    assert (await desk.sender.look_up(standing)).state is OrderState.NOT_FOUND


async def test_a_late_arrival_between_two_look_ups_is_found(desk):
    desk.venue.answers = [LOST_REQUEST]
    effect = desk.effect()
    standing = await desk.sender.send(effect)
    desk.clock.advance(ABSENCE_AFTER_NS)
    standing = await desk.sender.look_up(standing)
    desk.venue._accept(effect.approved.order)
    desk.clock.advance(ABSENCE_APART_NS)
    standing = await desk.sender.look_up(standing)
    assert standing.state is OrderState.FILLED


async def test_a_venue_that_does_not_answer_proves_nothing(desk):
    desk.venue.answers = [LOST_REQUEST]
    standing = await desk.sender.send(desk.effect())
    desk.venue.is_down = True
    for _ in range(10):
        desk.clock.advance(ABSENCE_AFTER_NS)
        standing = await desk.sender.look_up(standing)
        assert standing.state is OrderState.OUTCOME_UNKNOWN


async def test_an_order_of_a_dead_process_is_looked_up_and_never_sent(desk):
    effect = desk.effect()
    desk.journal.record_order(effect.record)  # and then the process died
    sender = Sender(desk.journal, desk.venue, desk.permits, desk.clock)
    (standing,) = desk.journal.unfinished()
    standing = sender.recover(standing)
    assert standing.state is OrderState.OUTCOME_UNKNOWN
    standing = await sender.look_up(standing)
    assert standing.state is OrderState.OUTCOME_UNKNOWN
    desk.clock.advance(ABSENCE_AFTER_NS)
    standing = await sender.look_up(standing)
    desk.clock.advance(NS_PER_SECOND)
    standing = await sender.look_up(standing)
    assert standing.state is OrderState.NOT_FOUND
    assert desk.venue.sent == []


async def test_an_older_sight_of_an_order_takes_no_fill_back(desk):
    desk.venue.answers = [LOST_ANSWER]
    effect = desk.effect()
    unknown = await desk.sender.send(effect)
    found = replace(
        await desk.venue.order_by_client_id(BTC, effect.record.client_order_id),
        state=OrderState.WORKING,
        filled_lots=3,
    )
    standing = desk.sender.see(unknown, found)
    standing = desk.sender.see(standing, replace(found, filled_lots=2))
    assert standing.filled_lots == 3
    held = desk.journal.order(effect.record.client_order_id)
    assert (held.state, held.filled_lots) == (OrderState.WORKING, 3)


async def test_an_order_proven_absent_that_appears_is_what_the_venue_shows(desk):
    desk.venue.answers = [LOST_REQUEST]
    effect = desk.effect()
    standing = await desk.sender.send(effect)
    desk.clock.advance(ABSENCE_AFTER_NS)
    await desk.sender.look_up(standing)
    desk.clock.advance(NS_PER_SECOND)
    standing = await desk.sender.look_up(standing)
    assert standing.state is OrderState.NOT_FOUND
    desk.venue._accept(effect.approved.order)
    found = desk.venue.orders[effect.record.client_order_id]
    standing = desk.sender.see(standing, found)
    assert standing.state is OrderState.FILLED
    assert desk.sender.contradictions == 1


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    answers=st.lists(
        st.sampled_from([OK, LOST_ANSWER, LOST_REQUEST, REFUSE, UNREACHABLE]),
        min_size=1,
        max_size=8,
    )
)
def test_whatever_is_lost_no_order_is_doubled_and_none_forgotten(
    tmp_path_factory, answers
):
    async def scenario():
        desk = Desk(tmp_path_factory.mktemp("j") / "j.sqlite")
        try:
            desk.venue.answers = list(answers)
            side = 1
            for _ in range(len(answers)):
                side = -side
                effects = []
                desk.world.seconds += 60
                desk.world.held[BTC] = desk.venue.held.get(BTC, 0)
                effects = desk.world.read() + desk.world.target(0.5 * side)
                for effect in effects:
                    standing = await desk.sender.send(effect)
                    while not standing.state.is_terminal:
                        desk.clock.advance(NS_PER_SECOND)
                        standing = await desk.sender.look_up(standing)
                    desk.world.engine.on_order(standing, desk.world.now)
            names = [order.client_order_id for order in desk.venue.sent]
            assert len(names) == len(set(names))
            for name, order in desk.venue.orders.items():
                known = desk.journal.order(name)
                assert known.state is OrderState.FILLED
                assert known.filled_lots == order.filled_lots
            assert desk.journal.unfinished() == []
        finally:
            desk.journal.close()

    asyncio.run(scenario())

"""Fills are journalled as their orders', and positions compared of one moment."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cryptoquantix.core.clock import NS_PER_SECOND, SystemClock
from cryptoquantix.core.errors import VenueUnavailable
from cryptoquantix.core.order import OrderState
from cryptoquantix.journal.records import Baseline, OrderStanding
from cryptoquantix.live.bookkeeping import Bookkeeping
from cryptoquantix.live.events import SendOrder, Subscription
from cryptoquantix.live.readings import Readings
from cryptoquantix.live.sender import Sender
from live.fake_venue import BTC, ETH, FakePermits, FakeVenue
from live.test_engine import World


class Books(World):
    """A world whose engine's venue is kept books of."""

    def __init__(self, path):
        super().__init__(path)
        self.venue = FakeVenue(BTC)
        self.notices = []
        self.books = Bookkeeping(
            port=self.venue,
            journal=self.journal,
            clock=SystemClock(),
            instruments=self.venue.listed,
            report=self.notices.append,
        )

    def send(self, target):
        """Journal the order that a target makes, and let it be under way."""
        record = self.target(target)[-1].record
        self.journal.record_order(record)
        self.engine.on_order(
            OrderStanding(record, OrderState.IN_FLIGHT, 0, "", 0), self.now
        )
        return record

    async def fill(self, record):
        """The venue fills it, and nobody here knows yet."""
        await self.venue.place_increase(record.order(), lambda: None)

    async def compare(self):
        await self.books.take_fills(self.engine)
        self.books.compare(self.engine, [])


@pytest.fixture
async def world(tmp_path):
    world = Books(tmp_path / "journal.sqlite")
    await world.books.open(BTC, world.engine)
    world.read()
    yield world
    world.journal.close()


async def test_a_fill_read_while_its_order_is_sent_waits_for_the_answer(world):
    """The venue's id is not known yet: it would be journalled as nobody's."""
    plain = world.venue.fills

    async def slow(instrument, after):
        if not world.venue.orders:
            await world.fill(world.send(0.5))
        return await plain(instrument, after)

    world.venue.fills = slow
    await world.books.take_fills(world.engine)
    assert list(world.journal.iter_fills()) == []
    assert world.notices == []
    (standing,) = world.engine.unfinished
    found = world.venue.orders[standing.record.client_order_id]
    note_filled(world, standing.record, found)
    await world.books.take_fills(world.engine)
    (fill,) = world.journal.iter_fills()
    assert fill.client_order_id == standing.record.client_order_id


def note_filled(world, record, found):
    """The venue's answer arrives."""
    world.finish(SendOrder(None, record), OrderState.FILLED, found.filled_lots)


async def test_a_fill_of_after_the_positions_were_read_is_no_difference(world):
    """The position in hand is of before the fill that is journalled already."""
    record = world.send(0.5)
    await world.fill(record)
    world.seconds += 1
    note_filled(world, record, world.venue.orders[record.client_order_id])
    for _ in range(3):
        await world.compare()
    assert [f.client_order_id for f in world.journal.iter_fills()] == [
        record.client_order_id
    ]
    assert world.notices == []


async def test_fills_that_were_not_read_make_no_difference(world):
    """An order without an answer when fills are read, and with one a moment later."""
    record = world.send(0.5)
    await world.fill(record)
    await world.books.take_fills(world.engine)
    note_filled(world, record, world.venue.orders[record.client_order_id])
    world.seconds += 1
    world.read()
    for _ in range(3):
        world.books.compare(world.engine, [])
    assert world.notices == []
    await world.compare()
    assert world.notices == []


async def test_a_position_that_no_fill_explains_is_told_at_the_second_reading(world):
    world.held[BTC] = 7
    for reading in (1, 2, 3):
        world.seconds += 1
        world.read()
        await world.compare()
        assert len(world.notices) == 2 * (reading >= 2)
    kinds = {notice.kind for notice in world.notices}
    assert kinds == {"position differs", "foreign position"}


async def test_an_order_that_ended_while_others_were_read_stays_ended(tmp_path):
    """Its amendment's answer overtakes the list that still shows it resting."""
    pair = (Subscription("trend", BTC, 60), Subscription("trend", ETH, 60))
    world, clock = World(tmp_path / "journal.sqlite", pair), SystemClock()
    venue = FakeVenue(BTC, ETH)
    world.read()
    sender = Sender(world.journal, venue, FakePermits(clock), clock)
    working = []
    for id_ in (BTC, ETH):
        (effect,) = [e for e in world.target(0.5, id_=id_) if isinstance(e, SendOrder)]
        world.journal.record_order(effect.record)
        await venue.place_increase(effect.approved.order, lambda: None)
        shown = venue.orders[effect.record.client_order_id]
        seen = replace(shown, state=OrderState.WORKING, filled_lots=0)
        begun = OrderStanding(effect.record, OrderState.IN_FLIGHT, 0, "", 0)
        world.engine.on_order(sender.see(begun, seen), world.now)
        working.append(seen)
    look_up, (first, second) = venue.order_by_client_id, working

    async def slow(instrument, name):
        if name == first.client_order_id:
            (standing,) = [
                s
                for s in world.engine.unfinished
                if s.record.client_order_id == second.client_order_id
            ]
            filled = venue.orders[second.client_order_id]
            world.engine.on_order(sender.see(standing, filled), world.now)
        return await look_up(instrument, name)

    venue.order_by_client_id = slow
    readings = Readings(
        port=venue,
        sender=sender,
        clock=clock,
        now=lambda: world.now,
        carry_out=lambda *_: None,
        doubt=lambda: None,
    )
    books = Bookkeeping(
        port=venue,
        journal=world.journal,
        clock=clock,
        instruments=venue.listed,
        report=lambda _: None,
    )
    half = replace(second, filled_lots=10)
    await readings._take_orders(world.engine, books, [half])
    assert world.engine.unfinished == ()
    assert world.journal.unfinished() == []
    assert world.engine._books[ETH].attributed_lots == {"trend": 5_000}
    world.journal.close()


async def test_funding_is_read_from_the_last_reading_on(tmp_path):
    """Months without funding are not read anew every ten minutes."""
    world, asked = Books(tmp_path / "journal.sqlite"), []
    world.journal.record_baseline(Baseline(str(BTC), 0, "", time_ns=5))

    async def funding(instruments, since_ns):
        asked.append(since_ns)
        if len(asked) == 1:
            msg = "down"
            raise VenueUnavailable(msg, venue="binance")
        return []

    world.venue.funding = funding
    with pytest.raises(VenueUnavailable):
        await world.books.take_funding(world.engine)
    await world.books.take_funding(world.engine)
    await world.books.take_funding(world.engine)
    world.journal.close()
    assert asked[:2] == [5, 5]  # what failed is asked for again
    age_ns = SystemClock().time_ns() - asked[2]
    assert 60 * NS_PER_SECOND < age_ns < 90 * NS_PER_SECOND

"""A venue that changes its steps ends the loop, and the next one counts in them."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from decimal import Decimal

import pytest

from cryptoquantix.core.errors import VenueError
from cryptoquantix.core.order import OrderState, Side
from cryptoquantix.journal.store import Journal
from cryptoquantix.live.events import OnStop
from live.fake_venue import BTC, ETH
from live.test_desk import Bench, resting, until, wanted


@pytest.fixture
async def bench(tmp_path):
    bench = Bench(tmp_path / "journal.sqlite")
    yield bench
    await bench.end()
    bench.journal.close()


def misfit(venue, lot_size="0.0001"):
    """The venue trades lots of another size from now on; nobody read them yet."""
    other = replace(venue.listed[BTC], lot_size=Decimal(lot_size))
    venue.listed_now = venue.listed | {BTC: other}

    async def unreadable(*_):
        msg = "binance answered userTrades in an unknown shape: 0.0005 is no whole lot"
        raise VenueError(msg, venue="binance", request="userTrades")

    venue.open_orders, venue.readable = unreadable, venue.open_orders


def count_anew(venue, factor=10):
    """What a new process reads: everything in the new lots."""
    venue.listed, venue.listed_now = venue.listed_now, {}
    venue.open_orders = venue.readable
    venue.held = {id_: lots * factor for id_, lots in venue.held.items()}
    venue.orders = {
        name: replace(
            order,
            size_lots=order.size_lots * factor,
            filled_lots=order.filled_lots * factor,
        )
        for name, order in venue.orders.items()
    }
    venue.trades = [
        replace(one, fill=replace(one.fill, size_lots=one.fill.size_lots * factor))
        for one in venue.trades
    ]


async def test_a_lot_that_cannot_be_read_ends_the_loop_in_a_sentence(bench):
    desk = await bench.start()
    misfit(bench.venue)
    task = bench.tasks[0][0]
    await until(task.done)
    with pytest.raises(ExceptionGroup) as caught:
        task.result()
    assert caught.group_contains(
        VenueError, match=r"lots of 0\.0001 \(were 0\.001\).*begins anew", depth=1
    )
    assert not desk.is_reconciled or desk.followed() == []


async def test_an_answer_that_cannot_be_read_ends_nothing_where_steps_are_the_same(
    bench,
):
    await bench.start()
    read, asked = bench.venue.read_instruments, asyncio.Event()

    async def counted():
        asked.set()
        return await read()

    bench.venue.read_instruments = counted
    misfit(bench.venue)
    bench.venue.listed_now = {
        ETH: replace(bench.venue.listed[ETH], lot_size=Decimal(1))
    }
    await asyncio.wait_for(asked.wait(), 8)
    await asyncio.sleep(0.1)
    assert not bench.tasks[0][0].done()  # and what nobody trades may change


async def test_after_a_change_position_and_fills_agree_and_nothing_is_traded(bench):
    desk = await bench.start()
    desk.on_target(wanted(0.5), BTC)
    await until(lambda: bench.venue.held.get(BTC) == 5_000)
    lot = Decimal("0.001")
    await until(lambda: bench.journal.size_filled_lots(BTC, lot) == 5_000)
    misfit(bench.venue)
    await until(bench.tasks[0][0].done)
    await bench.end()
    count_anew(bench.venue)
    path = bench.journal.path
    bench.journal.close()
    bench.journal = Journal(path)
    desk = await bench.start()
    engine = desk._engine
    assert engine._books[BTC].attributed_lots == {"trend": 50_000}
    desk.on_target(wanted(0.5, 2), BTC)
    await until(lambda: any(one.sequence == 2 for one in desk.followed()))
    await asyncio.sleep(1.2)
    assert len(bench.venue.sent) == 1
    desk.on_target(wanted(0.0, 3), BTC)
    await until(lambda: bench.venue.held[BTC] == 0)
    assert bench.venue.sent[-1].size_lots == 50_000
    assert not [r for r in bench.journal.iter_reports() if "position" in r.kind]


@pytest.mark.parametrize("kind", ["increase", "reduction"])
async def test_an_order_in_lots_of_before_is_canceled_before_anything_is_planned(
    bench, kind
):
    bench.venue.held[BTC] = 500
    side = Side.BUY if kind == "increase" else Side.SELL
    record, order = resting("cqx-1", kind, side)
    bench.journal.record_order(record)
    bench.venue._accept(order)
    await bench.start()
    assert bench.journal.order("cqx-1").state is OrderState.WORKING
    misfit(bench.venue)
    await until(bench.tasks[0][0].done)
    await bench.end(OnStop.LEAVE)
    count_anew(bench.venue)
    # A part of a lot of before, which this order cannot tell, fills meanwhile.
    found = bench.venue.orders["cqx-1"]
    bench.venue.fill(found, 25)
    bench.venue.orders["cqx-1"] = replace(found, filled_lots=25)
    await bench.start()
    assert bench.venue.canceled == ["cqx-1"]
    standing = bench.journal.order("cqx-1")
    assert (standing.state, standing.filled_lots) == (OrderState.CANCELED, 2)
    assert bench.journal.unfinished() == []

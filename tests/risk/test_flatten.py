"""From "cancel" to "verified flat", with every fault somebody has met."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from decimal import Decimal

import pytest

from cryptoquantix.control.status import RiskState
from cryptoquantix.core.clock import SystemClock
from cryptoquantix.core.exposure import OrderClass
from cryptoquantix.risk import calls, flatten
from cryptoquantix.risk.flatten import VenueFlattener
from machine import Pauses
from risk.fake_venue import FakeVenue, down, order, refused

ALGO = OrderClass.ALGO


@pytest.fixture
def venue():
    return FakeVenue(SystemClock())


@pytest.fixture
def notes():
    return []


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(flatten, "VERIFY_GAP_SECONDS", 0.01)
    monkeypatch.setattr(flatten, "PAUSES_SECONDS", (0.01,))
    monkeypatch.setattr(flatten, "BARRIER_SECONDS", 0.05)
    monkeypatch.setattr(calls, "CALL_SECONDS", 0.2)


def flattener(venue, notes):
    return VenueFlattener(
        venue, halt_id="h", complain=lambda kind, text: notes.append(text)
    )


async def run(venue, notes, step=RiskState.TRIPPED, seconds=5):
    steps = []
    made = flattener(venue, notes)
    async with asyncio.timeout(seconds):
        await made.run(step, on_step=steps.append, on_sent=lambda: None)
    return made, steps


async def test_the_order_of_acts_is_cancel_close_cancel_the_rest(venue, notes):
    venue.hold("A", 5)
    venue.rest(order("A", 1))
    venue.rest(order("A", 2, may_increase=False))
    venue.rest(order("A", 3, order_class=ALGO))
    venue.rest(order("A", 4, may_increase=False, order_class=ALGO))
    made, steps = await run(venue, notes)
    names = [name for name, _ in venue.log]
    assert names == ["cancel", "cancel", "market", "cancel", "cancel"]
    assert set(venue.acts("cancel")[:2]) == {"1", "3"}, "protective orders come last"
    assert made.is_flat
    assert steps == [
        RiskState.CANCELING,
        RiskState.CLOSING,
        RiskState.VERIFYING,
        RiskState.HALTED,
    ]


async def test_conditional_orders_are_canceled_too(venue, notes):
    for number in range(3):
        venue.rest(order("A", number, order_class=ALGO))
    await run(venue, notes)
    assert not venue.orders
    assert venue.acts("cancel_all") == [("A", "algo")]


async def test_a_cancel_all_never_takes_a_protective_order_with_it(venue, notes):
    venue.hold("A", 5)
    venue.rest(order("A", 1))
    venue.rest(order("A", 2))
    venue.rest(order("A", 3, may_increase=False))
    await flattener(venue, notes).cancel_increasing()
    assert list(venue.orders) == ["3"]


async def test_a_resting_order_on_a_flat_symbol_is_not_flat(venue, notes):
    venue.rest(order("A", 1))
    venue.always["cancel"] = down()
    made = flattener(venue, notes)
    await made.cancel_increasing()
    assert not await made.verify()
    assert [o.order_id for o in made.remains.orders] == ["1"]


async def test_flat_takes_two_reads_a_gap_apart(venue, notes, monkeypatch):
    monkeypatch.setattr(flatten, "VERIFY_GAP_SECONDS", 0.1)
    made = flattener(venue, notes)
    loop = asyncio.get_running_loop()
    started = loop.time()
    assert await made.verify()
    assert loop.time() - started >= 0.1
    assert venue.reads.count("open_orders") == 2
    assert venue.reads.count("positions_again") == 2


async def test_what_appears_between_the_two_reads_is_not_flat(venue, notes):
    made = flattener(venue, notes)
    look = made.look
    calls = 0

    async def looked(*args):
        nonlocal calls
        calls += 1
        if calls == 2:
            venue.hold("A", 1)
        return await look(*args)

    made.look = looked
    assert not await made.verify()


async def test_a_position_only_the_second_endpoint_shows_is_not_flat(venue, notes):
    async def listed():
        return ()

    venue.hold("A", 1)
    reading = venue.reading

    async def forgetful():
        found = await reading()
        object.__setattr__(found, "positions", ())
        return found

    venue.reading = forgetful
    made = flattener(venue, notes)
    assert not await made.verify()


async def test_a_refused_market_close_goes_through_the_band(venue, notes):
    venue.hold("A", 5, mark=100)
    venue.faults["market"] = [refused("-4131 PERCENT_PRICE")]
    await run(venue, notes)
    (limit,) = venue.acts("ioc")
    assert limit.price == 95
    assert not venue.positions
    assert any("refused" in note for note in notes)


async def test_a_short_is_bought_back_at_the_upper_end_of_the_band(venue, notes):
    venue.hold("A", -5, mark="100.001")
    venue.faults["market"] = [refused()]
    await run(venue, notes)
    assert venue.acts("ioc")[0].price == Decimal("105.00")


async def test_a_band_refused_for_many_rounds_is_tried_until_it_holds(venue, notes):
    venue.hold("A", 5)
    venue.faults["market"] = [refused()] * 5
    venue.faults["ioc"] = [refused()] * 5
    made, _ = await run(venue, notes)
    assert made.is_flat


async def test_protective_orders_that_block_the_close_go_first(venue, notes):
    venue.hold("A", 5)
    venue.rest(order("A", 1, may_increase=False))
    venue.faults["market"] = [refused("-2022")]
    await run(venue, notes)
    names = [name for name, _ in venue.log]
    assert names[:3] == ["market", "cancel", "ioc"]


async def test_a_partial_fill_is_closed_by_what_the_venue_still_lists(venue, notes):
    venue.hold("A", 8)
    venue.fill_part = Decimal("0.5")
    made, _ = await run(venue, notes)
    assert not made.closable
    assert venue.acts("market")[1].size == 4


async def test_large_positions_are_sliced_by_the_market_maximum(venue, notes):
    venue.hold("A", 25, market_max="10")
    await run(venue, notes)
    assert [o.size for o in venue.acts("market")] == [10, 10, 5]
    ids = [o.client_order_id for o in venue.acts("market")]
    assert len(set(ids)) == 3
    assert all(i.startswith("cqxk-") and len(i) <= 36 for i in ids)


async def test_dust_is_named_and_does_not_hold_up_flat(venue, notes):
    venue.hold("A", "0.05")
    made, _ = await run(venue, notes)
    assert made.is_flat
    assert [p.symbol for p in made.remains.positions] == ["A"]
    assert not venue.acts("market")


async def test_a_hanging_cancel_delays_no_close(venue, notes):
    for number in range(3):
        venue.hold(f"S{number}", 1)
        venue.rest(order(f"S{number}", number))
    venue.faults["cancel"] = ["hang"]
    loop = asyncio.get_running_loop()
    made = flattener(venue, notes)
    with Pauses() as pauses:
        started = loop.time()
        await made.cancel_increasing()
        await made.close_positions(0)
        ended = loop.time()
    taken = ended - started - pauses.between(started, ended)
    assert taken < 0.2, "the hanging request goes on beside"
    assert not venue.positions


async def test_a_close_without_an_answer_is_decided_by_the_positions(venue, notes):
    venue.hold("A", 5)

    def lost(close):
        del venue.positions["A"]
        raise TimeoutError

    venue.on_close = lost
    made, _ = await run(venue, notes)
    assert len(venue.acts("market")) == 1, "closed although unanswered: not sent again"
    assert made.is_flat


async def test_a_fault_of_our_own_stops_nothing(venue, notes):
    venue.hold("A", 5)
    venue.hold("B", 5)
    venue.rest(order("A", 1))
    venue.faults["cancel"] = [AttributeError("a bug")]
    venue.faults["market"] = [KeyError("another")]
    made, _ = await run(venue, notes)
    assert made.is_flat
    assert not venue.orders
    assert any("a bug" in note for note in notes)


async def test_orders_that_cannot_be_read_are_canceled_by_symbol(venue, notes):
    venue.hold("A", 5)
    venue.rest(order("A", 1))
    venue.faults["open_orders"] = [down()]
    made = flattener(venue, notes)
    made.know(["A"])
    assert not await made.cancel_increasing()
    assert not venue.orders


async def test_positions_are_read_from_the_other_endpoint_when_one_fails(venue, notes):
    venue.hold("A", 5)
    venue.faults["reading"] = [down()]
    made = flattener(venue, notes)
    await made.close_positions(0)
    assert not venue.positions


async def test_without_contracts_the_whole_size_goes_out(venue, notes):
    venue.hold("A", 5)
    venue.faults["contracts"] = [down()]
    made = flattener(venue, notes)
    await made.close_positions(0)
    assert not venue.positions


@pytest.mark.parametrize(
    "step",
    [
        RiskState.TRIPPED,
        RiskState.CANCELING,
        RiskState.CLOSING,
        RiskState.VERIFYING,
    ],
)
async def test_every_step_resumes_to_flat(venue, notes, step):
    venue.hold("A", 5)
    venue.rest(order("A", 1))
    made, steps = await run(venue, notes, step)
    assert made.is_flat
    assert steps[-1] is RiskState.HALTED


async def test_an_outage_in_the_middle_ends_flat_when_it_ends(venue, notes):
    venue.hold("A", 5)
    venue.rest(order("A", 1))
    venue.always = {"cancel": down(), "market": down(), "ioc": down()}
    made = flattener(venue, notes)
    task = asyncio.create_task(
        made.run(RiskState.TRIPPED, on_step=lambda s: None, on_sent=lambda: None)
    )
    await asyncio.sleep(0.2)
    assert not task.done()
    assert not made.is_flat
    venue.always = {}
    async with asyncio.timeout(5):
        await task
    assert made.is_flat


async def test_a_dated_future_is_named_and_never_closed(venue, notes):
    venue.hold("A_260925", 5)
    venue.listed["A_260925"] = replace(venue.listed["A_260925"], is_perpetual=False)
    made, _ = await run(venue, notes)
    assert made.is_flat
    assert not venue.acts("market", "ioc")
    assert "never closed" in made.why_left(made.remains.positions[0])

"""The flattener with tight budgets, hedge legs, endless slices and angry venues."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from decimal import Decimal

import pytest

from cryptoquantix.control.status import RiskState
from cryptoquantix.core.clock import NS_PER_MS, NS_PER_SECOND, SystemClock
from cryptoquantix.core.errors import OrderRefused, RateLimited
from cryptoquantix.core.exposure import Act, OrderClass, Pace
from cryptoquantix.core.order import Side
from cryptoquantix.risk import calls, flatten
from cryptoquantix.risk.complaints import Complaints
from cryptoquantix.risk.flatten import VenueFlattener
from risk.fake_venue import FakeVenue, down, order, refused
from risk.readings import held

MATCHING = Pace("matching", per_second=100, burst=10)


class PacedVenue(FakeVenue):
    """A venue with Deribit's kind of budget, and one call that cancels everything."""

    paces = dict.fromkeys(Act, MATCHING)

    async def cancel_everything(self):
        await self._act("cancel_everything", "")
        self.orders = {}


def limited(delay_ms=20):
    delay_ns = delay_ms * NS_PER_MS
    return RateLimited("too many", venue="binance", request="x", delay_ns=delay_ns)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(flatten, "VERIFY_GAP_SECONDS", 0.01)
    monkeypatch.setattr(flatten, "PAUSES_SECONDS", (0.01,))
    monkeypatch.setattr(flatten, "BARRIER_SECONDS", 0.05)
    monkeypatch.setattr(calls, "CALL_SECONDS", 0.2)


async def run(venue, seconds=8, notes=None, reached=None):
    complaints = Complaints(venue.clock, (notes if notes is not None else []).append)
    made = VenueFlattener(
        venue, halt_id="h", complain=complaints.add, reached=reached or (lambda s: None)
    )
    async with asyncio.timeout(seconds):
        await made.run(RiskState.TRIPPED, on_step=lambda s: None, on_sent=lambda: None)
    return made


async def test_sixty_positions_and_300_orders_spend_one_cancel_and_sixty_closes():
    venue = PacedVenue(SystemClock())
    for number in range(60):
        venue.hold(f"S{number}", number + 1)
        for part in range(5):
            kind = OrderClass.ALGO if part == 4 else OrderClass.NORMAL
            may_increase = part < 3
            venue.rest(
                order(
                    f"S{number}",
                    f"{number}-{part}",
                    may_increase=may_increase,
                    order_class=kind,
                )
            )
    await run(venue)
    assert len(venue.acts("cancel_everything")) == 1
    assert not venue.acts("cancel", "cancel_all")
    closes = venue.acts("market")
    assert len(closes) == 60, "no call is wasted"
    assert closes[0].symbol == "S59", "the largest first: the budget may be short"


async def test_few_orders_spare_the_protective_ones_even_on_a_tight_budget():
    venue = PacedVenue(SystemClock())
    venue.hold("A", 5)
    venue.rest(order("A", 1))
    venue.rest(order("A", 2, may_increase=False))
    await run(venue)
    assert [name for name, _ in venue.log] == ["cancel", "market", "cancel"]


async def test_a_venue_wide_cancel_that_fails_is_tried_again():
    venue = PacedVenue(SystemClock())
    venue.faults["cancel_everything"] = [down()]
    for number in range(200):
        venue.rest(order(f"S{number}", number))
    made = await run(venue)
    assert made.is_flat


async def test_what_cannot_be_read_is_canceled_by_one_call_where_there_is_one():
    venue = PacedVenue(SystemClock())
    venue.rest(order("UNKNOWN", 1))
    venue.faults["open_orders"] = [down()]
    await run(venue)
    assert venue.acts("cancel_everything")
    assert not venue.orders


async def test_more_slices_than_one_set_are_sent_on_without_a_round():
    venue = FakeVenue(SystemClock())
    venue.hold("A", 450, market_max="10")
    await run(venue)
    closes = venue.acts("market")
    assert len(closes) == 45
    assert venue.reads.count("positions_again") == 2, "one round: verified twice"


async def test_slices_that_fill_nothing_do_not_go_round_and_round():
    venue = FakeVenue(SystemClock())
    venue.hold("A", 450, market_max="10")
    venue.fill_part = Decimal(0)
    made = VenueFlattener(venue, halt_id="h", complain=lambda kind, text: None)
    await made.close_positions(0)
    assert len(venue.acts("market")) == 20


async def test_both_legs_of_a_hedge_are_closed_by_their_own_leg():
    venue = FakeVenue(SystemClock())
    venue.hold("A", 3)
    venue.positions = {
        ("A", "LONG"): replace(held("A", 3, 100, 100), leg="LONG"),
        ("A", "SHORT"): replace(held("A", -2, 100, 100), leg="SHORT"),
    }

    async def close_position(close):
        venue.log.append(("market", close))
        del venue.positions[close.symbol, close.leg]

    venue.close_position = close_position
    await run(venue)
    assert {(c.leg, c.side, c.size) for c in venue.acts("market")} == {
        ("LONG", Side.SELL, Decimal(3)),
        ("SHORT", Side.BUY, Decimal(2)),
    }


async def test_a_hedge_leg_that_the_venue_makes_naked_is_closed(monkeypatch):
    """ADL takes the other leg while the halt is being verified."""
    monkeypatch.setattr(flatten, "VERIFY_GAP_SECONDS", 0.05)
    venue = FakeVenue(SystemClock())
    task = asyncio.create_task(run(venue))
    await asyncio.sleep(0.02)
    venue.hold("A", -4)
    made = await task
    assert made.is_flat
    assert not venue.positions


async def test_a_band_that_refuses_for_long_is_tried_on_and_does_not_flood_the_log():
    venue = FakeVenue(SystemClock())
    for number in range(20):
        venue.hold(f"S{number}", 5)
    venue.always = {"market": refused("-4131"), "ioc": refused("-4131")}
    notes = []
    task = asyncio.create_task(run(venue, notes=notes))
    await asyncio.sleep(0.4)
    venue.always = {}
    made = await task
    assert made.is_flat
    assert len(venue.acts("market", "ioc")) > 100
    assert len(notes) < 10, "said once, counted after"


async def test_a_limit_on_orders_alone_does_not_hold_up_cancels_and_reads():
    """-1015 counts orders: canceling goes on, and closing when its time has come."""
    venue = FakeVenue(SystemClock())
    venue.hold("A", 5)
    venue.rest(order("A", 1))
    venue.faults["market"] = [limited(60)]
    loop = asyncio.get_running_loop()
    started = loop.time()
    made = await run(venue)
    assert made.is_flat
    assert venue.acts("cancel") == ["1"]
    assert loop.time() - started < 1


async def test_the_round_after_a_silence_does_not_come_late(monkeypatch):
    monkeypatch.setattr(flatten, "PAUSES_SECONDS", (5.0,))
    venue = FakeVenue(SystemClock())
    venue.hold("A", 5)
    venue.faults["market"] = [limited(100)]
    loop = asyncio.get_running_loop()
    started = loop.time()
    await run(venue)
    assert loop.time() - started < 2


async def test_a_ban_is_sat_out_and_the_halt_goes_on_after_it():
    venue = FakeVenue(SystemClock())
    venue.hold("A", 5)
    venue.rest(order("A", 1))
    acting = ("open_orders", "reading", "positions_again", "cancel", "market", "ioc")
    acting += ("cancel_all", "contracts")
    venue.always = dict.fromkeys(acting, limited(100))
    task = asyncio.create_task(run(venue))
    await asyncio.sleep(0.5)
    assert not task.done()
    tries = len(venue.log)
    venue.always = {}
    made = await task
    assert made.is_flat
    assert tries < 60, "a round for each end of the silence it was told, not a flood"


async def test_one_unknown_outcome_resends_nothing_blindly():
    venue = FakeVenue(SystemClock())
    venue.hold("A", 5)
    venue.faults["market"] = [TimeoutError()]
    await run(venue)
    first, second = venue.acts("market")
    assert first.size == second.size == 5
    assert first.client_order_id != second.client_order_id
    assert venue.reads.count("reading") >= 2, "decided by what the venue lists"


async def test_the_numbered_steps_are_reached_in_their_order():
    from cryptoquantix.risk.steps import STEPS

    venue = FakeVenue(SystemClock())
    venue.hold("A", 5)
    venue.rest(order("A", 1))
    venue.rest(order("A", 2, may_increase=False))
    steps = []
    await run(venue, reached=steps.append)
    firsts = list(dict.fromkeys(steps))
    assert firsts == [step for step in STEPS if step in firsts]
    assert len(firsts) == 10


def test_complaints_are_said_once_and_then_counted():
    from cryptoquantix.core.clock import ManualClock

    clock, notes = ManualClock(), []
    complaints = Complaints(clock, notes.append)
    for _ in range(5):
        complaints.add("kind", "a sentence")
    assert notes == ["a sentence"]
    clock.advance(6 * NS_PER_SECOND)
    complaints.add("kind", "a sentence")
    assert notes[1] == "a sentence (and 4 more like it before)"


async def test_a_refusal_that_is_no_band_still_ends_flat():
    venue = FakeVenue(SystemClock())
    venue.hold("A", 5)
    error = OrderRefused("no", venue="binance", request="x", reason="-2019 margin")
    venue.faults["market"] = [error]
    venue.faults["ioc"] = [error]
    assert (await run(venue)).is_flat


class ThinVenue(FakeVenue):
    """A book so thin that every close fills one lot; it counts unfiltered reads."""

    def __init__(self, clock):
        super().__init__(clock)
        self.full_reads = 0

    async def open_orders(self, symbols=None):
        self.full_reads += symbols is None
        return await super().open_orders(symbols)

    async def close_position(self, close):
        await super().close_position(replace(close, size=min(close.size, Decimal(1))))


async def test_a_thin_book_of_many_rounds_spends_no_weight_on_reading_every_order():
    """An unfiltered read weighs 80: five rounds of three had emptied the budget."""
    venue = ThinVenue(SystemClock())
    venue.hold("A", 12)
    venue.rest(order("A", "1"))
    await run(venue)
    assert len(venue.acts("market")) >= 12
    assert venue.full_reads == 3  # the first one, and the two that prove flat

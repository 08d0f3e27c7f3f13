"""Execution says that a target was followed only when nothing is left to do."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from decimal import Decimal

import pytest

from cryptoquantix.bus.connection import connect
from cryptoquantix.bus.messages import ExecutionStatus, MessageDecoder
from cryptoquantix.bus.subjects import EXECUTION_ASK, EXECUTION_STATUS, READ_FIRST
from cryptoquantix.control.permit import Permit, PermitAnswer, PermitMode
from cryptoquantix.core.account import Position
from cryptoquantix.core.clock import SystemClock
from cryptoquantix.core.instrument import Venue
from cryptoquantix.journal.records import Report
from cryptoquantix.live.events import Followed, Held, SendOrder
from cryptoquantix.live.execution_reporter import REPORTS_MAX, ExecutionReporter
from live.fake_venue import BTC, instrument
from live.test_engine import World
from processes import start_nats


@pytest.fixture
def world(tmp_path):
    world = World(tmp_path / "journal.sqlite")
    yield world
    world.journal.close()


def test_a_target_is_followed_once_its_order_ended_and_the_venue_shows_it(world):
    world.read()
    assert world.engine.followed() == []
    effects = world.target(1.0)
    (effect,) = [e for e in effects if isinstance(e, SendOrder)]
    assert not world.engine.followed()[0].is_idle, "an order is under way"
    world.finish(effect)
    assert not world.engine.followed()[0].is_idle, "the account is not read yet"
    world.seconds += 1
    world.read()
    (one,) = world.engine.followed()
    assert (one.is_idle, one.held_lots, one.sequence) == (True, 10_000, 1)


def test_a_flip_is_followed_only_after_both_of_its_orders(world):
    world.read()
    world.run(world.target(1.0))
    (first,) = [e for e in world.target(-1.0) if isinstance(e, SendOrder)]
    world.finish(first)
    world.seconds += 1
    (second,) = [e for e in world.read() if isinstance(e, SendOrder)]
    assert world.held[BTC] == 0
    assert not world.engine.followed()[0].is_idle
    world.finish(second)
    world.seconds += 1
    world.read()
    assert world.engine.followed()[0].is_idle


def test_a_target_that_cannot_be_followed_is_not_called_followed(world):
    """No increase is made from no equity: it waits, and so does who asks."""
    assert world.engine.followed() == []
    world.target(1.0)
    assert not world.engine.followed()[0].is_idle, "never read"
    world.equity = Decimal(0)
    world.read()
    assert not world.engine.followed()[0].is_idle, "never sized"


def test_a_change_within_the_band_is_followed_by_doing_nothing(world):
    world.read()
    world.run(world.target(1.0))
    assert world.target(1.005) == []
    assert world.engine.followed()[0].is_idle


class _Desk:
    venue = Venue.BINANCE
    read_ns = 7
    is_unreachable = False

    def __init__(self):
        self.reads = 0

    def held(self):
        short = Position(
            BTC, -5, Decimal("64000.1"), Decimal("63990.5"), Decimal("0.0048")
        )
        coin = replace(instrument(BTC), is_inverse=True, settlement="BTC")
        return [
            Held(instrument(BTC), short, 1, is_traded=True),
            Held(coin, None, 0, is_traded=False),
        ]

    def followed(self):
        return [Followed("trend", BTC, 60, 3, -5, is_idle=True)]

    def read_soon(self):
        self.reads += 1


class _Execution:
    def __init__(self):
        self.desks = [_Desk()]


class _Permits:
    def current(self):
        return None


class _Granted:
    def __init__(self, age_ns):
        answer = PermitAnswer("n", PermitMode.TRADE, "me", "b", 1)
        self.permit = Permit(answer, SystemClock().monotonic_ns() - age_ns)

    def current(self):
        return self.permit


def test_what_is_held_and_how_old_the_permit_is_are_told(world):
    age_ns = 2_000_000_000
    clock = SystemClock()
    reporter = ExecutionReporter(
        "", _Execution(), _Granted(age_ns), clock, world.journal
    )
    told = reporter.status()
    assert told.permit == "trade"
    assert age_ns <= told.permit_age_ns < age_ns + 10**9
    assert told.unreachable == []
    short, nothing = told.positions
    lot = instrument(BTC).lot_size
    assert Decimal(short.size) == -5 * lot
    assert (short.unit, short.currency, short.orders) == ("BTC", "USDT", 1)
    assert (short.entry_price, short.pnl_unrealized) == ("64000.1", "0.0048")
    assert (nothing.unit, nothing.currency) == ("USDT", "BTC")
    assert (Decimal(nothing.size), nothing.entry_price) == (0, "")
    assert not nothing.is_traded
    untold = ExecutionReporter(
        "", _Execution(), _Permits(), clock, world.journal
    ).status()
    assert untold.permit_age_ns == -1


async def test_who_asks_is_told_and_may_have_the_account_read(tmp_path, world):
    execution = _Execution()
    for number in range(1, REPORTS_MAX + 3):
        told = Report(number, "foreign order", str(BTC), f"{number} lots")
        world.journal.record_report(told)
    with start_nats(tmp_path) as nats:
        reporter = ExecutionReporter(
            nats.url, execution, _Permits(), SystemClock(), world.journal
        )
        client = await connect(nats.url, "test")
        heard = await client.subscribe(EXECUTION_STATUS)
        await client.flush()
        task = asyncio.create_task(reporter.run())
        try:
            decoder = MessageDecoder(ExecutionStatus)
            told = decoder.decode((await heard.next_msg(timeout=10)).data)
            assert (told.permit, told.read_ns) == ("", {"binance": 7})
            assert execution.desks[0].reads == 0
            assert [one.sequence for one in told.reports] == [*range(3, 19)]
            assert told.reports[-1].text == "18 lots"
            answer = await client.request(EXECUTION_ASK, READ_FIRST, timeout=10)
            (one,) = decoder.decode(answer.data).targets
            assert (one.instrument, one.held_lots, one.is_idle) == (str(BTC), -5, True)
            assert execution.desks[0].reads == 1
            await client.request(EXECUTION_ASK, b"", timeout=10)
            assert execution.desks[0].reads == 1, "only where it is asked for"
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await client.close()

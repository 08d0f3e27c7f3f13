"""A desk reconciles before it acts, loses no order, and leaves what is not its own."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from decimal import Decimal

import msgspec
import pytest

from cryptoquantix.control.permit import PermitMode
from cryptoquantix.core.clock import SystemClock
from cryptoquantix.core.errors import JournalError, SettingsError, VenueUnavailable
from cryptoquantix.core.order import (
    Increase,
    OrderState,
    OrderType,
    Reduction,
    Side,
    TimeInForce,
)
from cryptoquantix.journal.records import OrderNote, OrderRecord, OrderStanding
from cryptoquantix.journal.store import Journal
from cryptoquantix.live.desk import Desk
from cryptoquantix.live.events import OnStop, Subscription, Wanted
from cryptoquantix.live.execution import Execution
from cryptoquantix.orders.styles import Style, Working
from live.fake_venue import (
    BTC,
    ETH,
    HANG,
    LOST_ANSWER,
    LOST_REQUEST,
    UNREACHABLE,
    FakePermits,
    FakeVenue,
)
from live.test_engine import SETTINGS


async def until(condition, seconds=8.0):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := condition():
            return value
        await asyncio.sleep(0.01)
    pytest.fail(f"not so within {seconds} s")


def wanted(target, sequence=1, price=1000):
    now = time.time_ns()
    return Wanted("trend", target, Decimal(price), now, sequence, now)


def resting(name, kind, side):
    """A limit order as an earlier process journalled it."""
    order = Increase if kind == "increase" else Reduction
    record = OrderRecord(
        client_order_id=name,
        account="main",
        strategy="trend",
        instrument=str(BTC),
        bar_ns=1,
        attempt=int(name[-1]),
        kind=kind,
        side=side,
        size_lots=100,
        type=OrderType.LIMIT,
        price_ticks=1,
        time_in_force=TimeInForce.GTC,
        lot_size="0.001",
        target=0.1,
        reference_price="1000",
        wanted_lots=100,
        held_lots=0,
        created_ns=1,
        build="test",
    )
    made = order(name, BTC, side, 100, OrderType.LIMIT, 1)
    return record, made


class Bench:
    def __init__(self, path):
        self.clock = SystemClock()
        self.journal = Journal(path)
        self.venue = FakeVenue(BTC, ETH)
        self.permits = FakePermits(self.clock)
        self.tasks = []

    def desk(self, settings=SETTINGS):
        return Desk(
            venue=self.venue,
            settings=settings,
            journal=self.journal,
            permits=self.permits,
            clock=self.clock,
        )

    async def start(self, settings=SETTINGS):
        desk = self.desk(settings)
        task = asyncio.create_task(desk.run())
        self.tasks.append((task, desk))

        def ready():
            assert not task.done(), task.exception()
            return desk.is_reconciled

        await until(ready)
        return desk

    async def end(self, on_stop=None):
        for task, desk in self.tasks:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await desk.stop(on_stop)
        self.tasks = []

    def states(self):
        return {
            name: self.journal.order(name).state
            for name in {o.client_order_id for o in self.venue.sent}
        }


@pytest.fixture
async def bench(tmp_path):
    bench = Bench(tmp_path / "journal.sqlite")
    yield bench
    await bench.end()
    bench.journal.close()


async def test_a_target_given_before_the_comparison_waits_for_it(bench):
    bench.venue.is_down = True
    desk = bench.desk()
    desk.on_target(wanted(0.5), BTC)
    task = asyncio.create_task(desk.run())
    bench.tasks.append((task, desk))
    await asyncio.sleep(0.3)
    assert desk.is_unreachable
    assert bench.venue.sent == []
    bench.venue.is_down = False
    await until(lambda: bench.venue.held.get(BTC) == 5_000)


async def test_nothing_counts_as_compared_before_the_account_was_read(bench):
    await bench.start()
    await bench.end()
    read = bench.venue.account

    async def unread():
        msg = "down"
        raise VenueUnavailable(msg, venue="binance")

    bench.venue.account = unread
    desk = bench.desk()
    bench.tasks.append((asyncio.create_task(desk.run()), desk))
    await until(lambda: desk.is_unreachable)
    await asyncio.sleep(0.2)
    assert not desk.is_reconciled
    bench.venue.account = read
    await until(lambda: desk.is_reconciled)


async def test_a_reading_answers_every_hint_before_it(bench):
    desk = await bench.start()
    await asyncio.sleep(0.1)  # the first readings are over
    readings, account = [], bench.venue.account

    async def counted():
        readings.append(bench.clock.monotonic_ns())
        return await account()

    bench.venue.account = counted
    desk.hint()
    desk.read_soon()
    await asyncio.sleep(0.5)
    assert len(readings) == 1
    desk.hint()
    await until(lambda: len(readings) == 2, 1.5)


async def test_a_flip_ends_at_its_target_and_every_fill_is_booked_once(bench):
    desk = await bench.start()
    desk.on_target(wanted(0.5), BTC)
    await until(lambda: bench.venue.held.get(BTC) == 5_000)
    desk.on_target(wanted(-0.3, 2), BTC)
    await until(lambda: bench.venue.held.get(BTC) == -3_000)
    await until(
        lambda: bench.journal.size_filled_lots(BTC, Decimal("0.001")) == -3_000, 6
    )
    fills = list(bench.journal.iter_fills())
    assert len(fills) == len(bench.venue.trades) == 3
    assert all(fill.client_order_id for fill in fills)
    assert sum(fill.side.sign * fill.size_lots for fill in fills) == -3_000
    assert set(bench.states().values()) == {OrderState.FILLED}
    sizes = {standing.record.tick_size for standing in bench.journal.iter_orders()}
    assert sizes == {"0.1"}, "what its prices are counted in stands beside each order"


async def test_a_hanging_order_holds_up_no_other_instrument(bench):
    both = (Subscription("trend", BTC, 60), Subscription("trend", ETH, 60))
    desk = await bench.start(replace(SETTINGS, subscriptions=both))
    bench.venue.answers = [HANG]
    desk.on_target(wanted(0.5), BTC)
    await until(lambda: bench.venue.sent)
    desk.on_target(wanted(0.5), ETH)
    await until(lambda: bench.venue.held.get(ETH) == 5_000, 2)
    assert bench.venue.held.get(BTC) is None
    for task in desk._errands._tasks:
        task.cancel()


async def test_a_lost_answer_leads_to_no_second_order(bench):
    desk = await bench.start()
    bench.venue.answers = [LOST_ANSWER]
    desk.on_target(wanted(0.5), BTC)
    await until(lambda: list(bench.states().values()) == [OrderState.FILLED])
    await asyncio.sleep(1.2)
    assert len(bench.venue.sent) == 1
    assert bench.venue.held[BTC] == 5_000


async def test_a_lost_request_is_proven_absent_and_then_tried_anew(bench):
    desk = await bench.start()
    bench.venue.answers = [LOST_REQUEST]
    started = time.monotonic()
    desk.on_target(wanted(0.5), BTC)
    await until(lambda: bench.venue.held.get(BTC) == 5_000)
    assert time.monotonic() - started > 3.0  # the receive window, and a second
    first, second = bench.venue.sent
    assert bench.journal.order(first.client_order_id).state is OrderState.NOT_FOUND
    assert bench.journal.order(second.client_order_id).record.attempt == 1
    assert first.client_order_id != second.client_order_id


async def test_what_an_earlier_process_left_is_settled_before_anything_is_sent(bench):
    record, _ = resting("cqx-0", "increase", Side.BUY)
    market = OrderRecord(
        **{f: getattr(record, f) for f in record.__struct_fields__}
        | {
            "client_order_id": "cqx-9",
            "attempt": 9,
            "type": OrderType.MARKET,
            "price_ticks": None,
        }
    )
    bench.journal.record_order(market)
    bench.venue._accept(market.order())  # it went out, and the process died
    desk = bench.desk()
    desk.on_target(wanted(0.5), BTC)
    task = asyncio.create_task(desk.run())
    bench.tasks.append((task, desk))
    await until(lambda: bench.venue.held.get(BTC) == 5_000)
    assert bench.journal.order("cqx-9").state is OrderState.FILLED
    assert bench.journal.order("cqx-9").filled_lots == 100
    assert "cqx-9" in bench.venue.look_ups
    assert sum(o.size_lots for o in bench.venue.sent) == 4_900


async def test_an_order_of_a_delisted_instrument_is_told_and_holds_up_nothing(bench):
    record, _ = resting("cqx-1", "increase", Side.BUY)
    gone = msgspec.structs.replace(record, instrument="binance:GONEUSDT-PERP")
    bench.journal.record_order(gone)
    look_up = bench.venue.order_by_client_id

    async def listed_alone(instrument, name):
        assert instrument in bench.venue.listed  # a real one has no word for it
        return await look_up(instrument, name)

    bench.venue.order_by_client_id = listed_alone
    desk = await bench.start()
    desk.on_target(wanted(0.5), BTC)
    await until(lambda: bench.venue.held.get(BTC) == 5_000)
    told = [r for r in bench.journal.iter_reports() if "cqx-1" in r.subject]
    assert [r.kind for r in told] == ["order not followed"]
    assert not bench.journal.order("cqx-1").state.is_terminal  # nothing is proven
    await bench.end(OnStop.CANCEL)
    assert bench.venue.canceled == []


async def test_a_look_up_that_never_succeeds_keeps_no_desk_from_starting(
    bench, monkeypatch
):
    """One order's; the venue answers all else."""
    monkeypatch.setattr("cryptoquantix.live.readings._LOOK_UPS_QUICK", 3)
    both = (Subscription("trend", BTC, 60), Subscription("trend", ETH, 60))
    record, _ = resting("cqx-1", "increase", Side.BUY)
    bench.journal.record_order(record)

    async def failing(instrument, name):
        bench.venue.look_ups.append(name)
        msg = "an answer of unknown shape"
        raise VenueUnavailable(msg, venue="binance")

    bench.venue.order_by_client_id = failing
    desk = await bench.start(replace(SETTINGS, subscriptions=both))
    desk.on_target(wanted(0.5), BTC)
    desk.on_target(wanted(0.5), ETH)
    await until(lambda: bench.venue.held.get(ETH) == 5_000)
    assert BTC not in bench.venue.held  # what is unknown may fill yet
    told = [r for r in bench.journal.iter_reports() if "cqx-1" in r.subject]
    assert [r.kind for r in told] == ["order not followed"]
    assert len(bench.venue.look_ups) >= 3


def rest_one_of_each_kind(bench):
    bench.venue.held[BTC] = 100
    for name, kind, side in (
        ("cqx-1", "increase", Side.BUY),
        ("cqx-2", "reduction", Side.SELL),
    ):
        record, order = resting(name, kind, side)
        bench.journal.record_order(record)
        note = OrderNote(name, 1, "seen_working", OrderState.WORKING, "", 0, "1")
        bench.journal.record_note(note)
        bench.venue._accept(order)


@pytest.mark.parametrize(
    ("on_stop", "canceled", "is_released"),
    [
        (OnStop.CANCEL_INCREASES, {"cqx-1"}, True),
        (OnStop.CANCEL, {"cqx-1", "cqx-2"}, False),
        (OnStop.LEAVE, set(), True),
        (None, set(), False),  # a halt: all of it is the daemon's
    ],
)
async def test_a_stop_does_with_resting_orders_as_the_setting_says(
    bench, on_stop, canceled, is_released
):
    rest_one_of_each_kind(bench)
    await bench.start()
    await until(lambda: bench.venue.kept)
    assert bench.venue.canceled == []
    await bench.end(on_stop)
    assert set(bench.venue.canceled) == canceled
    working = {o for o, v in bench.venue.orders.items() if v.state.value == "working"}
    assert working == {"cqx-1", "cqx-2"} - canceled
    # The journal says so too: nobody reads the venue any more who could tell it.
    states = {name: bench.journal.order(name).state for name in ("cqx-1", "cqx-2")}
    assert {n for n, s in states.items() if s is OrderState.CANCELED} == canceled
    # The venue's own switch would cancel what is left on purpose.
    assert (bench.venue.kept[-1] == set()) == is_released


@pytest.mark.parametrize(
    ("on_stop", "canceled"),
    [
        (OnStop.CANCEL_INCREASES, {"cqx-1"}),
        (OnStop.CANCEL, {"cqx-1", "cqx-2"}),
        (OnStop.LEAVE, set()),
        (None, set()),
    ],
)
@pytest.mark.parametrize("when", ["before the venue answered", "while it is read"])
async def test_a_stop_before_the_first_comparison_does_as_the_setting_says(
    bench, on_stop, canceled, when
):
    """Orders of an earlier process are ours to look after, compared or not."""
    rest_one_of_each_kind(bench)
    read = asyncio.Event()

    async def unread():
        read.set()
        await asyncio.sleep(60)

    bench.venue.is_down = when == "before the venue answered"
    bench.venue.account = unread
    desk = bench.desk()
    bench.tasks.append((asyncio.create_task(desk.run()), desk))
    await until(lambda: read.is_set() or desk.is_unreachable)
    bench.venue.is_down = False
    await bench.end(on_stop)
    assert set(bench.venue.canceled) == canceled
    states = {name: bench.journal.order(name).state for name in ("cqx-1", "cqx-2")}
    assert {n for n, s in states.items() if s is OrderState.CANCELED} == canceled


async def test_a_stop_cancels_what_may_have_gone_out_before_a_crash(bench):
    """The process before died while it sent: nobody looked it up since."""
    record, order = resting("cqx-1", "increase", Side.BUY)
    bench.journal.record_order(record)
    bench.venue._accept(order)
    bench.venue.is_down = True
    desk = bench.desk()
    bench.tasks.append((asyncio.create_task(desk.run()), desk))
    await until(lambda: desk.is_unreachable)
    bench.venue.is_down = False
    await bench.end(OnStop.CANCEL_INCREASES)
    assert bench.venue.canceled == ["cqx-1"]
    assert bench.journal.order("cqx-1").state is OrderState.CANCELED


async def test_a_stop_before_the_first_comparison_names_what_it_could_not_cancel(
    bench, caplog
):
    rest_one_of_each_kind(bench)
    bench.venue.is_down = True
    desk = bench.desk()
    bench.tasks.append((asyncio.create_task(desk.run()), desk))
    await until(lambda: desk.is_unreachable)
    await bench.end(OnStop.CANCEL_INCREASES)
    (told,) = [r for r in caplog.records if r.getMessage() == "it may still rest"]
    assert told.order == "cqx-1"


async def test_a_stop_cancels_again_where_the_venue_was_busy(bench):
    rest_one_of_each_kind(bench)
    await bench.start()
    cancel, tries = bench.venue.cancel, []

    async def busy(*args):
        tries.append(args)
        if len(tries) < 3:
            msg = "busy"
            raise VenueUnavailable(msg, venue="binance")
        await cancel(*args)

    bench.venue.cancel = busy
    await bench.end(OnStop.CANCEL_INCREASES)
    assert bench.venue.canceled == ["cqx-1"]


async def test_a_stop_keeps_the_switch_where_an_increase_may_still_rest(bench):
    rest_one_of_each_kind(bench)
    await bench.start()
    await until(lambda: bench.venue.kept)
    count = len(bench.venue.kept)
    bench.venue.is_down = True
    await bench.end(OnStop.CANCEL_INCREASES)
    assert set() not in bench.venue.kept[count:]


async def test_a_stop_cancels_an_increase_that_may_rest_without_an_answer(bench):
    record, order = resting("cqx-1", "increase", Side.BUY)
    desk = await bench.start()
    bench.journal.record_order(record)
    bench.venue._accept(order)
    lost = OrderStanding(record, OrderState.OUTCOME_UNKNOWN, 0, "", 1)
    desk._engine.on_order(lost, desk._now())
    await bench.end(OnStop.CANCEL_INCREASES)
    assert bench.venue.canceled == ["cqx-1"]


async def test_a_stop_cancels_an_increase_that_arrives_after_the_first_cancel(bench):
    """Its answer never came; the venue takes it a moment after it knew nothing."""
    record, order = resting("cqx-1", "increase", Side.BUY)
    desk = await bench.start()
    bench.journal.record_order(record)
    sender = desk._sender
    lost = sender._lose(
        OrderStanding(record, OrderState.IN_FLIGHT, 0, "", 1), "no answer"
    )
    desk._engine.on_order(lost, desk._now())
    asyncio.get_running_loop().call_later(1.2, bench.venue._accept, order)
    await bench.end(OnStop.CANCEL_INCREASES)
    await asyncio.sleep(1.3)
    assert bench.venue.orders["cqx-1"].state is OrderState.CANCELED


async def test_foreign_orders_and_positions_are_reported_and_left_alone(bench):
    bench.venue.held[ETH] = 7
    bench.venue.held[BTC] = 3
    _, order = resting("web-5", "increase", Side.BUY)
    bench.venue._accept(order)
    await bench.start()

    def kinds():
        return {r.kind for r in bench.journal.iter_reports()}

    await until(lambda: {"foreign order", "foreign position"} <= kinds())
    count = len(list(bench.journal.iter_reports()))
    await asyncio.sleep(2.2)
    assert len(list(bench.journal.iter_reports())) == count  # told once
    assert bench.venue.canceled == []
    assert bench.venue.sent == []
    assert bench.venue.held == {ETH: 7, BTC: 3}


async def test_a_position_that_changed_behind_our_back_is_planned_from(bench):
    desk = await bench.start()
    desk.on_target(wanted(0.5), BTC)
    await until(lambda: bench.venue.held.get(BTC) == 5_000)
    bench.venue.held[BTC] = 1_000  # by hand, and no fill tells of it
    await until(lambda: bench.venue.held.get(BTC) == 5_000)
    await until(
        lambda: any(r.kind == "position differs" for r in bench.journal.iter_reports())
    )


async def test_a_journal_that_fails_ends_the_desk_with_a_sentence(bench):
    desk = await bench.start()
    bench.journal._connection.exec_driver_sql("PRAGMA query_only = ON")
    bench.journal._connection.commit()
    desk.on_target(wanted(0.5), BTC)
    task = bench.tasks[0][0]
    await until(task.done)
    with pytest.raises(ExceptionGroup) as caught:
        task.result()
    assert caught.group_contains(JournalError)
    assert bench.venue.sent == []
    bench.journal._connection.exec_driver_sql("PRAGMA query_only = OFF")
    bench.journal._connection.commit()


async def test_an_instrument_the_venue_does_not_list_is_refused(bench):
    bench.venue.listed.pop(BTC)
    with pytest.raises(SettingsError, match="not traded at binance"):
        await bench.desk().run()


async def test_a_halt_ends_the_loop_cancels_nothing_and_a_rearm_begins_anew(bench):
    execution = Execution(lambda: [bench.desk()], bench.permits)
    task = asyncio.create_task(execution.run())
    execution.on_target(wanted(0.5), BTC)
    await until(lambda: bench.venue.held.get(BTC) == 5_000)
    await until(lambda: bench.permits.told == ["unreconciled", "reconciled"])
    _, order = resting("web-5", "increase", Side.BUY)
    bench.venue._accept(order)
    bench.permits.mode = PermitMode.HALTED
    await until(lambda: not execution._desks)
    execution.on_target(wanted(-0.5, 2), BTC)
    bench.venue.held[BTC] = 0  # the daemon closed it
    await asyncio.sleep(1.5)
    assert len(bench.venue.sent) == 1
    assert bench.venue.canceled == []
    assert not task.done()
    assert bench.permits.told[-1] == "unreconciled"  # also before a rearm
    bench.permits.mode = PermitMode.TRADE
    await until(lambda: bench.venue.held.get(BTC) == -5_000)
    assert execution.loops == 2
    await until(lambda: bench.permits.told == ["unreconciled", "reconciled"] * 2)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_starting_halted_waits_without_touching_the_venue(bench):
    bench.permits.mode = PermitMode.HALTED
    bench.venue.is_down = True
    execution = Execution(lambda: [bench.desk()], bench.permits)
    task = asyncio.create_task(execution.run())
    execution.on_target(wanted(0.5), BTC)
    await asyncio.sleep(0.3)
    assert execution.loops == 0
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize(("how", "canceled"), [("halt", []), ("stop", ["cqx-1"])])
async def test_a_halt_leaves_our_resting_increase_to_the_daemon_a_stop_cancels_it(
    bench, how, canceled
):
    record, order = resting("cqx-1", "increase", Side.BUY)
    bench.journal.record_order(record)
    note = OrderNote("cqx-1", 1, "seen_working", OrderState.WORKING, "", 0, "1")
    bench.journal.record_note(note)
    bench.venue._accept(order)
    execution = Execution(lambda: [bench.desk()], bench.permits)
    task = asyncio.create_task(execution.run())
    await until(lambda: "reconciled" in bench.permits.told)
    if how == "halt":
        bench.permits.mode = PermitMode.HALTED
        await until(lambda: not execution._desks)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert bench.venue.canceled == canceled


RESTING = replace(
    SETTINGS,
    subscriptions=(
        Subscription("trend", BTC, 60, working=Working(Style.POST_ONLY, seconds=30)),
    ),
)


async def rest_one(bench):
    """An increase of ours rests at 999, where the venue's bid was."""
    bench.venue.can_amend = True
    desk = await bench.start(RESTING)
    desk.on_target(wanted(0.5), BTC)
    await until(lambda: bench.venue.sent)
    (order,) = bench.venue.sent
    name = order.client_order_id
    await until(lambda: bench.journal.order(name).state is OrderState.WORKING)
    return name


async def test_a_resting_order_follows_the_price_under_the_same_id(bench):
    name = await rest_one(bench)
    for price in (1010, 1020):
        bench.venue.prices[BTC] = Decimal(price)
        ticks = (price - 1) * 10
        await until(lambda t=ticks: bench.venue.resting_ticks.get(name) == t)
    assert bench.venue.canceled == []
    assert len(bench.venue.sent) == 1
    bench.venue.fill(bench.venue.orders[name], 5_000)
    bench.venue.orders[name] = replace(
        bench.venue.orders[name], state=OrderState.FILLED, filled_lots=5_000
    )
    await until(lambda: bench.journal.order(name).state is OrderState.FILLED)
    await asyncio.sleep(1.2)
    assert len(bench.venue.sent) == 1


@pytest.mark.parametrize("answer", [LOST_ANSWER, LOST_REQUEST])
async def test_a_lost_amendment_is_looked_up_and_doubles_nothing(bench, answer):
    name = await rest_one(bench)
    bench.venue.answers = [answer]
    bench.venue.look_ups.clear()
    bench.venue.prices[BTC] = Decimal(1010)
    await until(lambda: name in bench.venue.look_ups)
    await until(lambda: bench.journal.order(name).state is OrderState.WORKING)
    assert len(bench.venue.sent) == 1


async def test_an_order_whose_amendment_never_arrived_does_not_stay_behind(bench):
    """Nobody answered: it rests at its old price, and is no more believed to follow."""
    name = await rest_one(bench)
    bench.venue.answers = [LOST_REQUEST]
    bench.venue.prices[BTC] = Decimal(1010)
    await until(lambda: bench.venue.canceled == [name])
    assert bench.venue.look_ups  # first of all
    await until(lambda: len(bench.venue.sent) == 2)
    assert bench.venue.sent[1].price_ticks == 10_090


async def test_an_amendment_that_is_refused_is_followed_by_a_cancel(bench):
    name = await rest_one(bench)
    bench.venue.answers = [UNREACHABLE]
    bench.venue.prices[BTC] = Decimal(1010)
    await until(lambda: bench.venue.canceled == [name])
    await until(lambda: len(bench.venue.sent) == 2)
    assert [size.size_lots for size in bench.venue.sent] == [5_000, 5_000]


async def test_an_increase_follows_no_price_without_a_permit(bench):
    name = await rest_one(bench)
    bench.permits.mode = PermitMode.REDUCE_ONLY
    bench.venue.prices[BTC] = Decimal(1010)
    await until(lambda: bench.venue.canceled == [name])
    assert bench.venue.amended == []


async def test_an_order_that_filled_meanwhile_is_not_amended_back_to_life(bench):
    name = await rest_one(bench)
    amend = bench.venue.amend

    async def slow(order, check):
        found = await amend(order, check)  # it rested when the venue looked
        filled = replace(
            bench.venue.orders[name], state=OrderState.FILLED, filled_lots=5_000
        )
        bench.venue.orders[name] = filled
        bench.venue.fill(filled, 5_000)
        await until(lambda: bench.journal.order(name).state is OrderState.FILLED)
        return found

    bench.venue.amend = slow
    bench.venue.prices[BTC] = Decimal(1010)
    await until(lambda: bench.journal.order(name).state is OrderState.FILLED)
    await asyncio.sleep(1.2)
    assert bench.journal.order(name).state is OrderState.FILLED
    assert len(bench.venue.sent) == 1

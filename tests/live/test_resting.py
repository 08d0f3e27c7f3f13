"""What rests follows the price, or is canceled where it may not, or is not known to."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from cryptoquantix.control.permit import PermitMode
from cryptoquantix.core.order import OrderState, OrderType, Reduction
from cryptoquantix.journal.records import OrderStanding
from cryptoquantix.live.engine import Engine
from cryptoquantix.live.events import AmendOrder, CancelOrder, SendOrder, Subscription
from cryptoquantix.orders.styles import Quote, Style, Working
from live.fake_venue import BTC, instrument
from live.test_engine import SETTINGS, World

POST_ONLY = Working(Style.POST_ONLY, seconds=20, requotes_max=5)


@pytest.fixture
def world(tmp_path):
    subscription = Subscription("trend", BTC, 60, working=POST_ONLY)
    world = World(tmp_path / "journal.sqlite", (subscription,), can_amend=True)
    yield world
    world.journal.close()


def quoted(world, bid, ask):
    quote = Quote(Decimal(bid), Decimal(ask), world.now.monotonic_ns)
    return world.engine.on_quotes({BTC: quote}, world.now)


def only(effects, kind):
    return [effect for effect in effects if isinstance(effect, kind)]


def rest(world, target, held=0):
    """An order toward ``target`` rests at the best price of its side."""
    if held:
        world.hold(held)
    world.read()
    world.target(target)
    (effect,) = only(quoted(world, 999, 1001), SendOrder)
    world.journal.record_order(effect.record)
    stand(world, effect.record, OrderState.WORKING)
    return effect


def stand(world, record, state):
    world.engine.on_order(OrderStanding(record, state, 0, "1", 0), world.now)


def test_a_resting_reduction_goes_out_at_market_once_no_permit_is_held(world):
    effect = rest(world, 0.0, held=5_000)
    name = effect.record.client_order_id
    assert isinstance(effect.approved.order, Reduction)
    world.mode = PermitMode.REDUCE_ONLY
    world.seconds += 1
    overtaken = [*world.read(), *quoted(world, 997, 999)]
    assert only(overtaken, AmendOrder) == []
    assert CancelOrder(BTC, name) in overtaken
    world.finish(effect, OrderState.CANCELED, 1_000)
    world.seconds += 1
    (rest_of_it,) = only(world.read(), SendOrder)
    assert isinstance(rest_of_it.approved.order, Reduction)
    assert rest_of_it.record.type is OrderType.MARKET
    assert rest_of_it.record.size_lots == 4_000


def test_a_resting_reduction_follows_the_price_while_a_permit_is_held(world):
    effect = rest(world, 0.0, held=5_000)
    world.seconds += 1
    world.read()
    (amendment,) = only(quoted(world, 997, 999), AmendOrder)
    assert amendment.order.client_order_id == effect.record.client_order_id
    assert amendment.order.price_ticks == 9_990


def follow(world, bid):
    """A second later the best prices are so: what is done about it."""
    world.seconds += 1
    return [*world.read(), *quoted(world, bid, bid + 2)]


def test_an_amendment_without_an_answer_is_not_taken_for_the_price(world):
    """It never arrived: the order rests at its old price, and must not stay there."""
    record = rest(world, 0.5).record
    name = record.client_order_id
    (first,) = only(follow(world, 1004), AmendOrder)
    assert first.order.price_ticks == 10_040
    stand(world, record, OrderState.OUTCOME_UNKNOWN)
    world.engine.on_amended(BTC, name, is_done=False)
    # Looked up first: nothing is done about it before.
    assert only(follow(world, 1004), (AmendOrder, CancelOrder)) == []
    stand(world, record, OrderState.WORKING)
    assert CancelOrder(BTC, name) in follow(world, 1004)


def test_a_refused_amendment_leaves_the_price_of_the_one_before(world):
    effect = rest(world, 0.5)
    name = effect.record.client_order_id
    for bid in (1004, 1008):
        (amendment,) = only(follow(world, bid), AmendOrder)
        world.engine.on_amended(BTC, name, is_done=bid == 1004)
    assert amendment.order.price_ticks == 10_080
    # It rests at 1004, which is not overtaken while that is the best price.
    assert only(quoted(world, 1004, 1006), CancelOrder) == []
    assert CancelOrder(BTC, name) in follow(world, 1005)


@pytest.mark.parametrize(("target", "held"), [(0.5, 0), (0.0, 5_000)])
def test_no_increase_rests_without_a_permit_even_where_no_target_is_known(
    world, target, held
):
    """After a restart with the bus away: what it is for is not known."""
    effect = rest(world, target, held=held)
    world.engine = Engine(
        replace(SETTINGS, subscriptions=world.subscriptions),
        {BTC: instrument(BTC)},
        world.journal,
    )
    world.engine.is_reconciled = True
    stand(world, effect.record, OrderState.WORKING)
    world.seconds += 1
    assert only(world.read(), CancelOrder) == []
    world.mode = PermitMode.REDUCE_ONLY
    world.seconds += 1
    canceled = [e.client_order_id for e in only(world.read(), CancelOrder)]
    # A reduction does no harm, and nothing would come after its cancel.
    is_increase = effect.record.is_increase
    assert canceled == ([effect.record.client_order_id] if is_increase else [])

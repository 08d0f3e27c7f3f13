"""The order table is closed, and the venue's sight outranks our inference."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryptoquantix.core.order import OrderState
from cryptoquantix.orders.lifecycle import (
    TRANSITIONS,
    OrderEvent,
    is_contradiction,
    transition,
)

EVENTS = st.lists(st.sampled_from(list(OrderEvent)), max_size=12)


def test_the_table_answers_every_event_in_every_state():
    assert set(TRANSITIONS) == set(OrderState)
    for row in TRANSITIONS.values():
        assert set(row) == set(OrderEvent)
        assert all(isinstance(state, OrderState) for state in row.values())


@given(EVENTS)
def test_a_filled_or_canceled_order_stays_so_whatever_arrives_late(events):
    for final in (OrderState.FILLED, OrderState.CANCELED):
        state = final
        for event in events:
            state = transition(state, event)
        assert state is final


@given(EVENTS)
def test_an_event_that_comes_twice_is_the_same_as_once(events):
    state = OrderState.JOURNALED
    for event in events:
        state = transition(state, event)
        assert transition(state, event) is state


@given(EVENTS)
def test_nothing_returns_to_before_it_was_sent(events):
    state = transition(OrderState.JOURNALED, OrderEvent.SENT)
    for event in events:
        state = transition(state, event)
        assert state is not OrderState.JOURNALED
    assert transition(OrderState.OUTCOME_UNKNOWN, OrderEvent.SENT) is (
        OrderState.OUTCOME_UNKNOWN
    )


@pytest.mark.parametrize("state", [OrderState.JOURNALED, OrderState.IN_FLIGHT])
def test_a_lost_answer_is_unknown_and_not_an_end(state):
    after = transition(state, OrderEvent.LOST)
    assert after is OrderState.OUTCOME_UNKNOWN
    assert not after.is_terminal


def test_only_a_proof_of_absence_ends_an_unknown_order_unseen():
    ends = {
        event
        for event in OrderEvent
        if transition(OrderState.OUTCOME_UNKNOWN, event) is OrderState.NOT_FOUND
    }
    assert ends == {OrderEvent.ABSENT}


def test_absence_cannot_be_concluded_of_an_order_in_flight():
    assert transition(OrderState.IN_FLIGHT, OrderEvent.ABSENT) is OrderState.IN_FLIGHT


def test_an_order_held_for_absent_is_what_the_venue_shows_and_is_reported():
    after = transition(OrderState.NOT_FOUND, OrderEvent.SEEN_WORKING)
    assert after is OrderState.WORKING
    assert is_contradiction(OrderState.NOT_FOUND, OrderEvent.SEEN_WORKING)
    assert not is_contradiction(OrderState.OUTCOME_UNKNOWN, OrderEvent.SEEN_FILLED)

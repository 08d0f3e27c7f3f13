"""Every state meets every event: the table is whole, and it is what the docs show."""

from __future__ import annotations

from pathlib import Path

import pytest

from cryptoquantix.control.permit import PermitMode
from cryptoquantix.control.status import RiskState
from cryptoquantix.risk import machine
from cryptoquantix.risk.machine import TABLE, Event, Refused, follow
from cryptoquantix.risk.rules import permit
from cryptoquantix.risk.state import ACTING

EVERYTHING = [(state, event) for state in RiskState for event in Event]
DOCS = Path(__file__).parents[2] / "docs" / "kill-switch.md"


@pytest.mark.parametrize(("state", "event"), EVERYTHING)
def test_every_event_has_its_answer_in_every_state(state, event):
    follows = TABLE[state][event]
    if isinstance(follows, RiskState):
        assert follow(state, event) is follows
    else:
        assert follows
        with pytest.raises(Refused, match=follows):
            follow(state, event)


@pytest.mark.parametrize(("state", "event"), EVERYTHING)
def test_a_halt_never_ends_but_by_rearm(state, event):
    if not state.is_halt:
        return
    try:
        after = follow(state, event)
    except Refused:
        return
    is_end_of_flatten = event is Event.FLAT_FLATTEN and after is RiskState.LOCKED
    assert after.is_halt or event is Event.REARM or is_end_of_flatten


@pytest.mark.parametrize(("state", "event"), EVERYTHING)
def test_only_a_person_or_sight_regained_leads_to_trading(state, event):
    def trades(one):
        return permit(one, {})[0] is PermitMode.TRADE

    try:
        after = follow(state, event)
    except Refused:
        return
    if trades(after) and not trades(state):
        assert event in {Event.REARM, Event.SIGHT_BACK}


@pytest.mark.parametrize("state", RiskState)
def test_halt_by_hand_is_never_refused(state):
    assert follow(state, Event.HALT).is_halt


@pytest.mark.parametrize("state", RiskState)
def test_a_restart_never_arms_what_was_not_armed(state):
    after = follow(state, Event.RESTART)
    assert after is state or (state, after) == (RiskState.ARMED, RiskState.BLIND)


def test_every_step_of_a_halt_reaches_halted_by_steps_alone():
    state = RiskState.TRIPPED
    for event in (Event.CANCELING, Event.CLOSING, Event.VERIFYING, Event.FLAT_HALT):
        state = follow(state, event)
    assert state is RiskState.HALTED
    assert all(follow(step, Event.LEFT_OVER).is_halt for step in ACTING)


def test_the_documentation_shows_this_very_table():
    assert machine.shown() in DOCS.read_text()

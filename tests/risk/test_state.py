"""The latch as a record."""

from __future__ import annotations

import pytest

from cryptoquantix.control.status import RiskState, TripRecord
from cryptoquantix.core.errors import StateCorrupt
from cryptoquantix.risk.state import ACTING, Latch, locked, tripped

TRIP = TripRecord("t", "drawdown", 5, "97", "100", "0.03")


def halt(**fields):
    armed = Latch(RiskState.ARMED, "")
    return tripped(
        armed, TRIP, venues=("binance", "bybit"), reason="r", who="daemon", **fields
    )


def test_what_is_written_is_read_back():
    for latch in (halt(), locked("first start", since_ns=3)):
        assert Latch.from_json(latch.to_json()) == latch


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"state": "ARMED"}', "null"])
def test_a_latch_that_cannot_be_read_is_corrupt_and_never_armed(text):
    with pytest.raises(StateCorrupt):
        Latch.from_json(text)


def test_the_slowest_venue_decides_what_is_shown():
    latch = halt().stepped("binance", RiskState.HALTED)
    assert latch.state is RiskState.TRIPPED
    latch = latch.stepped("bybit", RiskState.CLOSING)
    assert latch.state is RiskState.CLOSING
    latch = latch.stepped("bybit", RiskState.VERIFYING)
    assert latch.stepped("bybit", RiskState.HALTED).state is RiskState.HALTED


def test_a_flatten_ends_locked():
    latch = halt(goal=RiskState.LOCKED)
    for step in (RiskState.CLOSING, RiskState.VERIFYING, RiskState.HALTED):
        for venue in ("binance", "bybit"):
            latch = latch.stepped(venue, step)
    assert latch.state is RiskState.LOCKED


def test_a_flatten_never_turns_a_halt_into_locked():
    again = tripped(
        halt(),
        TRIP,
        venues=("binance",),
        reason="r",
        who="ann",
        goal=RiskState.LOCKED,
    )
    assert again.goal is RiskState.HALTED


def test_a_halt_during_a_flatten_ends_halted():
    flatten = halt(goal=RiskState.LOCKED)
    again = tripped(flatten, TRIP, venues=("binance",), reason="r", who="ann")
    assert again.goal is RiskState.HALTED


def test_the_steps_of_a_halt_are_in_order():
    names = [state.value for state in ACTING]
    assert names == ["TRIPPED", "CANCELING", "CLOSING", "VERIFYING"]

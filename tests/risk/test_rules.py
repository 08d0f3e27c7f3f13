"""The judge, complaint by complaint."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryptoquantix.control.permit import PermitMode
from cryptoquantix.control.status import RiskState
from cryptoquantix.core.errors import SettingsError
from cryptoquantix.risk import explain, rules
from cryptoquantix.risk.rules import Limits, Verdict, judge
from risk.readings import held, reading

LIMITS = Limits()


def test_the_threshold_is_inclusive():
    peak = Decimal(100_000)
    assert judge(Decimal("97000.00"), peak, LIMITS) is Verdict.BREACH
    assert judge(Decimal("97000.01"), peak, LIMITS) is Verdict.CLEAR


def test_beyond_twice_the_threshold_is_the_hard_level():
    assert judge(Decimal(94), Decimal(100), LIMITS) is Verdict.HARD_BREACH


@given(st.decimals("0.0001", 10**9, places=8), st.decimals("0.001", 1, places=6))
def test_the_shown_drawdown_never_reaches_a_limit_the_value_did_not(peak, limit):
    value = peak * (1 - limit) + Decimal("1e-12")
    assert not rules.reaches(value, peak, limit)
    assert rules.drawdown(value, peak) <= limit


def test_warnings_come_at_50_and_80_percent_of_the_limit():
    peak = Decimal(100)
    levels = [
        rules.warning_level(Decimal(v), peak, LIMITS)
        for v in ("98.51", "98.50", "97.61", "97.60")
    ]
    assert levels == [0, 1, 1, 2]


@pytest.mark.parametrize("wrong", ["0", "-0.01", "1.01"])
def test_a_threshold_out_of_range_is_refused_in_one_sentence(wrong):
    with pytest.raises(SettingsError, match="above 0 and at most 1"):
        Limits(drawdown_fraction_max=Decimal(wrong))


@pytest.mark.parametrize("equity", ["NaN", "Infinity", "0", "-5"])
def test_nan_zero_and_negative_equity_are_blind_and_no_drawdown(equity):
    found = replace(reading(100), equity=Decimal(equity))
    assert "equity is" in explain.blindness(found)


def test_a_reading_with_a_position_missing_is_not_a_number():
    whole = reading(1000, held("A", 10, 110, 100), held("B", -5, 90, 100))
    assert explain.blindness(whole) == ""
    part = replace(whole, positions=whole.positions[:1])
    assert "is not balance" in explain.blindness(part)


def test_a_position_without_a_mark_is_blind():
    found = reading(1000, held("A", 10, 0, 0))
    assert "A has size 10 at mark 0" in explain.blindness(found)


def test_marks_explain_the_drop_of_held_positions():
    before = reading(1000, held("A", 10, 100, 100), held("B", -5, 50, 50))
    after = reading(1000, held("A", 10, 90, 100), held("B", -5, 60, 50))
    assert not explain.unexplained(before, after)


def test_a_drop_that_no_mark_explains_is_found_to_the_cent():
    before = reading(1000, held("A", 10, 100, 100))
    after = reading(700, held("A", 10, 99, 100))
    assert explain.unexplained(before, after) == {"": Decimal(-300)}


def test_orders_filled_during_the_crash_are_explained_by_the_marks_between():
    before = reading(100_000, held("A", 10, 1000, 1000))
    # 20 more were bought on the way down at 950, the mark is 900 now
    after = reading(99_990, held("A", 30, 900, Decimal(29_000) / 30))
    assert not explain.unexplained(before, after)


def test_a_position_closed_at_its_mark_is_explained():
    before = reading(1000, held("A", 10, 100, 80))
    after = reading(1199)
    assert not explain.unexplained(before, after)


def test_a_new_position_hides_no_loss():
    after = reading(500, held("A", 1, 100, 100))
    jumps = explain.unexplained(reading(1000), after)
    assert jumps[""] == pytest.approx(-500, abs=2)


def test_only_a_large_unexplained_drop_stops_entries():
    assert rules.is_large_drop(Decimal(-300), Decimal(100_000), LIMITS)
    assert not rules.is_large_drop(Decimal(-299), Decimal(100_000), LIMITS)
    assert not rules.is_large_drop(Decimal(5000), Decimal(100_000), LIMITS)


@pytest.mark.parametrize(
    ("state", "mode"),
    [
        (RiskState.ARMED, PermitMode.TRADE),
        (RiskState.LOCKED, PermitMode.REDUCE_ONLY),
        (RiskState.BLIND, PermitMode.REDUCE_ONLY),
        (RiskState.TRIPPED, PermitMode.HALTED),
        (RiskState.CANCELING, PermitMode.HALTED),
        (RiskState.CLOSING, PermitMode.HALTED),
        (RiskState.VERIFYING, PermitMode.HALTED),
        (RiskState.HALTED, PermitMode.HALTED),
    ],
)
def test_permits_by_state(state, mode):
    assert rules.permit(state, {})[0] is mode


def test_a_concern_never_gives_more_than_the_state_allows():
    concern = {"disk": "the store cannot be written"}
    for state in RiskState:
        mode, reason = rules.permit(state, concern)
        assert mode is not PermitMode.TRADE
        assert reason

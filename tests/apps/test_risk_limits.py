"""The settings of the daemon's policy are all there, and say what the rules say."""

from __future__ import annotations

from dataclasses import fields
from decimal import Decimal

import pytest

from cryptoquantix.apps.risk_limits import limits_of
from cryptoquantix.apps.settings import RiskSettings
from cryptoquantix.core.errors import SettingsError
from cryptoquantix.risk.rules import Limits

CHANGED = {
    "drawdown_fraction_max": Decimal("0.04"),
    "warning_fractions": (Decimal("0.6"),),
    "hard_multiple": Decimal(3),
    "collateral_moves": False,
    "confirm_seconds": Decimal("0.2"),
    "reading_seconds": Decimal("0.6"),
    "stale_seconds": Decimal(4),
    "blind_seconds": Decimal(6),
    "blind_cancel_seconds": Decimal(50),
    "orphan_seconds": Decimal(11),
    "unexplained_seconds": Decimal(16),
    "unexplained_look_fraction": Decimal("0.001"),
    "unexplained_drop_of_limit": Decimal("0.2"),
    "rate_outlier_fraction": Decimal("0.02"),
    "rate_bound_fraction": Decimal("0.03"),
    "rate_step_fraction": Decimal("0.04"),
    "transit_seconds": Decimal(3600),
    "transit_fee_fraction": Decimal("0.02"),
}


def test_what_is_not_set_is_as_in_the_rules():
    assert limits_of(RiskSettings()) == Limits()


def test_every_limit_can_be_set():
    found, rule = limits_of(RiskSettings(**CHANGED)), Limits()
    for field in fields(Limits):
        assert getattr(found, field.name) != getattr(rule, field.name), field.name
    assert found.blind_ns == 6_000_000_000
    assert found.confirm_ns == 200_000_000


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"blind_seconds": 90}, "must not be shorter than risk.blind_seconds"),
        ({"reading_seconds": Decimal("0.9")}, "must fit in a second"),
        ({"warning_fractions": (Decimal("0.8"), Decimal("0.5"))}, "must rise"),
    ],
)
def test_limits_that_contradict_each_other_are_one_sentence(change, says):
    with pytest.raises(SettingsError, match=says) as refusal:
        limits_of(RiskSettings(**change))
    assert "\n" not in str(refusal.value)

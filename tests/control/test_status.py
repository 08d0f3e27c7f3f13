"""A client understands the daemon's status, also of a newer daemon."""

from __future__ import annotations

import json

import pytest

from cryptoquantix.control.status import (
    DrillResult,
    RemainingOrder,
    RemainingPosition,
    RiskStatus,
    SelfTest,
    TripRecord,
    VenueStatus,
)
from statuses import status

FULL = status(
    trip=TripRecord("1", "drawdown", 10**18, "96000", "100000", "0.04"),
    remaining_positions=(
        RemainingPosition("binance", "BTCUSDT", "BOTH", "0.5", "60000"),
    ),
    held_positions=(RemainingPosition("bybit", "ETHUSDT", "", "-2", "3000"),),
    remaining_orders=(
        RemainingOrder(
            *("binance", "ETHUSDT", "1", "cqx-1", "algo", "sell", "3"),
            may_increase=False,
        ),
    ),
    venues=(VenueStatus("binance", "", 100, "96000"),),
    self_tests=(SelfTest("disk", True, "writable"),),
    drill=DrillResult("flash-crash", passed=True, time_ns=5),
)
NESTED = (
    *("trip", "remaining_positions", "remaining_orders", "held_positions"),
    *("venues", "self_tests", "drill"),
)


def test_what_is_written_is_read_back() -> None:
    assert RiskStatus.from_json(FULL.to_json()) == FULL


@pytest.mark.parametrize("place", ["", *NESTED])
def test_fields_of_a_newer_daemon_are_left_out_at_every_level(place) -> None:
    value = json.loads(FULL.to_json())
    inner = value[place] if place else value
    for item in inner if isinstance(inner, list) else [inner]:
        item["in_a_later_version"] = {"of": ["any", "kind"]}
    assert RiskStatus.from_json(json.dumps(value)) == FULL


@pytest.mark.parametrize("place", NESTED)
def test_a_missing_or_misplaced_field_is_refused(place) -> None:
    for wrong in ("a text", [{"unknown": 1}], [7]):
        value = json.loads(FULL.to_json()) | {place: wrong}
        with pytest.raises(ValueError, match="not a status of the risk daemon"):
            RiskStatus.from_json(json.dumps(value))

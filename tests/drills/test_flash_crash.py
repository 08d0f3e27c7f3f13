"""The kill switch ends flat and latched, and in time, with real processes."""

import pytest

from cryptoquantix.apps import drill
from cryptoquantix.core.errors import SettingsError


@pytest.mark.slow
def test_a_crash_against_five_positions_and_twenty_orders_ends_flat_and_latched():
    said = []
    result = drill.run("flash-crash", 3, lambda number, one: said.append(number))
    (summary,) = result["drills"]
    assert summary["passed"], summary["notes"]
    assert said == [1, 2, 3]
    for one in result["runs"]:
        assert one["positions"] == one["open_orders"] == 0
        assert one["drawdown"] >= 0.03
        assert 0 < one["detected_ms"] <= one["sent_ms"] <= one["flat_ms"]
        # The published bound is 3.5 s; a busy machine gets some room.
        assert one["flat_ms"] < 8_000
    assert "flash-crash" in drill.table(result)


@pytest.mark.parametrize(
    ("name", "runs", "says"),
    [
        ("nope", 1, "no drill 'nope', expected one of flash-crash, all"),
        ("flash-crash", 0, "runs must be from 1 to 1000, was 0"),
        ("flash-crash", 5000, "runs must be from 1 to 1000, was 5000"),
    ],
)
def test_a_wrong_drill_is_one_sentence(name, runs, says):
    with pytest.raises(SettingsError, match=says):
        drill.run(name, runs, lambda number, one: None)

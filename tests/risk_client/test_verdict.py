import pytest

from cryptoquantix.control.status import DrillResult, RiskState, SelfTest, VenueStatus
from cryptoquantix.risk_client.verdict import problems, remarks
from statuses import status

BUILD = "1+abc"


@pytest.mark.parametrize(
    "state", [RiskState.ARMED, RiskState.LOCKED, RiskState.HALTED], ids=str
)
def test_a_guard_that_knows_where_it_stands_is_well(state) -> None:
    assert problems(status(state=state), BUILD) == []


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"is_store_corrupt": True, "state": RiskState.LOCKED}, "corrupt"),
        ({"state": RiskState.BLIND}, "blind"),
        ({"state": RiskState.CLOSING}, "being carried out"),
        ({"state": RiskState.HALTED, "not_flat": "BTCUSDT 0.5"}, "NOT FLAT: BTC"),
        ({"loop_age_ms": 3001}, "loop"),
        ({"build": "2+def"}, "build"),
        ({"venues": (VenueStatus("binance", "503", 9, None),)}, "cannot be read: 503"),
    ],
)
def test_each_danger_is_a_problem_of_its_own(changes, word) -> None:
    (sentence,) = problems(status(**changes), BUILD)
    assert word in sentence


def test_not_flat_is_said_once() -> None:
    changes = {"state": RiskState.HALTED, "not_flat": "NOT FLAT: BTCUSDT 0.5"}
    assert problems(status(**changes), BUILD) == ["NOT FLAT: BTCUSDT 0.5"]


DRILLED = {"drill": DrillResult("flash-crash", passed=True, time_ns=1)}


def test_what_guards_nothing_worse_is_a_remark() -> None:
    locked = {"alarms_undelivered": 2, "holder": "", "state": RiskState.LOCKED}
    assert len(remarks(status(**DRILLED, **locked))) == 3
    assert remarks(status(**DRILLED)) == []


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"drill": None}, "no drill has been run"),
        ({"drill": DrillResult("adl", passed=False, time_ns=1)}, "FAILED"),
        ({"drill_age_ms": 31 * 24 * 3_600_000}, "30 days"),
        ({"self_tests": (SelfTest("clock", passed=False, text="9 s off"),)}, "9 s off"),
        (
            {"venues": (VenueStatus("bybit", "", 9, "1", False, "not offered"),)},
            "not offered",
        ),
    ],
)
def test_what_a_person_should_look_at_is_said(changes, word) -> None:
    (sentence,) = remarks(status(**{**DRILLED, **changes}))
    assert word in sentence


def test_an_armed_switch_is_nothing_to_say() -> None:
    venues = (
        VenueStatus("binance", "", 9, "1", None, "cannot be asked"),
        VenueStatus("bybit", "", 9, "1", True, "armed for 10 s"),
    )
    assert remarks(status(**DRILLED, venues=venues)) == []

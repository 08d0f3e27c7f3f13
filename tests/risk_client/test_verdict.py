import pytest

from cryptoquantix.control.status import RiskState, VenueStatus
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


def test_what_guards_nothing_worse_is_a_remark() -> None:
    found = remarks(status(alarms_undelivered=2, holder="", state=RiskState.LOCKED))
    assert len(found) == 3
    assert remarks(status()) == []

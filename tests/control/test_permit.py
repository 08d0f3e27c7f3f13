"""A permit ends by itself, and what is no permit is not read as one."""

import json

import pytest

from cryptoquantix.control.permit import (
    PERMIT_LIFE_NS,
    Permit,
    PermitAnswer,
    PermitMode,
    PermitRequest,
)

REQUEST = PermitRequest("n1", "execution-1", "0.1.0+abc", 17, is_reconciled=True)
ANSWER = PermitAnswer("n1", PermitMode.TRADE, "execution-1", "0.1.0+abc", 18)


def test_messages_survive_the_wire():
    assert PermitRequest.from_json(REQUEST.to_json()) == REQUEST
    assert PermitAnswer.from_json(ANSWER.to_json()) == ANSWER


def test_a_permit_lives_five_seconds_from_the_send_time_of_its_request():
    permit = Permit(ANSWER, requested_monotonic_ns=1_000)
    assert permit.allows_increase(1_000)
    assert permit.allows_increase(1_000 + PERMIT_LIFE_NS - 1)
    assert not permit.allows_increase(1_000 + PERMIT_LIFE_NS)


def test_a_permit_from_the_future_allows_nothing():
    """A monotonic clock that restarted must not revive an old permit."""
    assert not Permit(ANSWER, requested_monotonic_ns=2_000).allows_increase(1_000)


@pytest.mark.parametrize("mode", [PermitMode.REDUCE_ONLY, PermitMode.HALTED])
def test_only_trade_allows_an_increase(mode):
    answer = PermitAnswer("n1", mode, "execution-1", "0.1.0+abc", 18)
    assert not Permit(answer, requested_monotonic_ns=0).allows_increase(1)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "{}",
        json.dumps({"nonce": "n", "mode": "trade"}),
        ANSWER.to_json().replace('"trade"', '"all"'),
        ANSWER.to_json().replace("18", '"18"'),
        ANSWER.to_json().replace("18", "true"),
        ANSWER.to_json().replace("}", ', "extra": 1}'),
    ],
)
def test_what_is_no_answer_is_refused(text):
    with pytest.raises(ValueError, match=r"."):
        PermitAnswer.from_json(text)

"""What must hold is read from recorded logs; and every check can say no."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from cryptoquantix.control.permit import PermitMode
from cryptoquantix.control.status import RiskState
from cryptoquantix.drills import checks
from cryptoquantix.drills.drill import Drill, judge
from cryptoquantix.drills.evidence import Evidence, Glance
from cryptoquantix.drills.requests import unskewed
from cryptoquantix.drills.simulator_admin import TrueAccount
from statuses import status

MS = 1_000_000
SECOND = 1_000 * MS
CROSSED = 1_000 * SECOND
EMPTY = TrueAccount(Decimal(90_000), {}, 0, 0)
HOLDS = TrueAccount(Decimal(90_000), {"BTCUSDT": Decimal("0.5")}, 2, 1)


def at(seconds: float) -> int:
    return CROSSED + int(seconds * SECOND)


def request(seconds, method, path, venue="binance", **more):
    return {
        "kind": "request",
        "time_ns": at(seconds),
        "venue": venue,
        "method": method,
        "path": path,
        "key_role": "risk",
        "code": 200,
        "notes": [],
        **more,
    }


READINGS = {
    "binance": (
        "/fapi/v3/account",
        "/fapi/v3/positionRisk",
        "/fapi/v1/openOrders",
        "/fapi/v1/openAlgoOrders",
    ),
    "bybit": ("/v5/account/wallet-balance", "/v5/position/list", "/v5/order/realtime"),
    "deribit": (
        "/api/v2/private/get_account_summaries",
        "/api/v2/private/get_positions",
        "/api/v2/private/get_open_orders",
    ),
}
CLOSES = {
    "binance": ("POST", "/fapi/v1/order"),
    "bybit": ("POST", "/v5/order/create"),
    "deribit": ("GET", "/api/v2/private/sell"),
}


def fill(seconds, after, *, venue="binance", client_id="k1", side="sell", size="0.5"):
    return {
        "kind": "fill",
        "time_ns": at(seconds),
        "venue": venue,
        "symbol": "BTCUSDT",
        "leg": "both",
        "side": side,
        "size": size,
        "position_after": after,
        "client_id": client_id,
    }


def kill_at(venue, *, flat=0.9, late=0.0):
    """The log of one venue that was killed as it should be."""
    method, path = CLOSES[venue]
    reading, *proofs = READINGS[venue]
    return [
        request(0.6, "GET", reading, venue),
        request(0.8 + late, method, path, venue, clientOrderId="k1"),
        fill(0.8 + late, "0", venue=venue),
        {"kind": "flat", "time_ns": at(flat + late), "venue": venue},
        *(request(1.0 + late, "GET", proof, venue) for proof in (reading, *proofs)),
        *(request(1.6 + late, "GET", proof, venue) for proof in (reading, *proofs)),
    ]


STATUS = status(time_ns=0, equity="100000", drawdown="0.001")


def glance(seconds, state=RiskState.ARMED, permit=PermitMode.TRADE, **more):
    return Glance(at(seconds), replace(STATUS, state=state, **more), permit)


HALTED = glance(3, RiskState.HALTED, PermitMode.HALTED)


def evidence(records=None, *, venues=("binance", "bybit", "deribit"), **more):
    found = {
        "venues": venues,
        "records": [r for v in venues for r in kill_at(v)]
        if records is None
        else records,
        "marks": {"begin": at(-5), "crash": at(0), "end": at(9)},
        "crossed_ns": CROSSED,
        "deepest": 0.09,
        "accounts": dict.fromkeys(venues, EMPTY),
        "glances": (glance(-1), HALTED),
    }
    return Evidence(**(found | more))


def test_a_kill_at_three_venues_holds():
    good = evidence()
    assert checks.halted(good) == ""
    assert checks.only_reduced(good) == ""
    assert checks.flat_within(3.5)(good) == ""
    assert checks.empty(good) == ""
    times = good.kill().times
    assert (times.detected_ms, times.sent_ms) == (600, 800)
    assert (times.filled_ms, times.flat_ms) == (900, 1600)


def test_one_venue_that_is_late_makes_the_kill_late():
    records = [*kill_at("binance"), *kill_at("bybit"), *kill_at("deribit", late=5)]
    found = evidence(records)
    assert found.kill().times.flat_ms == 6600
    assert "flat 6600 ms after the crossing" in checks.flat_within(3.5)(found)
    assert checks.flat_within(3.5, after="crash")(found)
    assert checks.others_flat_within(3.5)(found).startswith("deribit was empty 5900 ms")


def test_one_venue_that_was_never_verified_is_not_flat():
    records = [r for r in evidence().records if "order/realtime" not in str(r)]
    assert checks.halted(evidence(records)) == "flat was never verified"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"glances": (glance(3),)}, "the daemon is ARMED, not HALTED"),
        ({"glances": (Glance(at(3), None),)}, "the daemon is silent, not HALTED"),
        (
            {"accounts": {"binance": HOLDS, "bybit": EMPTY, "deribit": EMPTY}},
            "1 positions and 3 orders are left",
        ),
        ({"crossed_ns": None}, "flat was never verified"),
    ],
)
def test_a_halt_that_is_none_is_said(change, says):
    assert checks.halted(evidence(**change)) == says


def test_a_close_that_opens_is_found():
    order = request(1, "POST", "/fapi/v1/order", clientOrderId="k1")
    flipped = [order, fill(1, "0"), fill(1.1, "-0.5")]
    assert "moved BTCUSDT from 0 to -0.5" in checks.only_reduced(evidence(flipped))
    turned = [order, fill(1, "-0.2", size="0.7")]
    assert "moved BTCUSDT from 0.5 to -0.2" in checks.only_reduced(evidence(turned))
    grown = [order, fill(1, "0.7", side="buy", size="0.2")]
    assert "moved BTCUSDT from 0.5 to 0.7" in checks.only_reduced(evidence(grown))


def test_what_others_open_is_not_held_against_the_daemon():
    assert checks.only_reduced(evidence([fill(1, "0.5", side="buy")])) == ""


def test_an_act_where_none_may_be_is_named():
    check = checks.no_acts("crash", "end")
    assert check(evidence()).startswith("the daemon sent POST /fapi/v1/order")
    readings = [r for r in evidence().records if r.get("method") == "GET"]
    readings = [r for r in readings if "sell" not in r["path"]]
    assert check(evidence(readings)) == ""
    assert checks.no_acts("end")(evidence()) == ""


def test_a_false_halt_is_found_only_between_its_marks():
    assert "a false halt" in checks.never_halted("crash")(evidence())
    assert checks.never_halted("begin", "crash")(evidence()) == ""


@pytest.mark.parametrize(
    ("drawdown", "holds"), [("0.012", True), ("0.2", False), ("0", False)]
)
def test_a_peak_or_a_loss_by_money_moved_is_found(drawdown, holds):
    """A drawdown that goes away is as wrong as one that appears."""
    glances = (glance(1, drawdown="0.01"), glance(2, drawdown=drawdown))
    said = checks.peak_unmoved("crash")(evidence(glances=glances))
    assert (said == "") is holds


def test_a_drawdown_that_was_never_shown_proves_nothing():
    glances = (glance(1, drawdown=None),)
    check = checks.peak_unmoved("crash")
    assert check(evidence(glances=glances)) == "no drawdown was ever shown"


def test_states_are_timed_from_their_mark():
    blind = evidence(glances=(glance(1), glance(6, RiskState.BLIND)))
    assert checks.state_within(RiskState.BLIND, 7, after="crash")(blind) == ""
    assert "6.0 s" in checks.state_within(RiskState.BLIND, 5, after="crash")(blind)
    never = checks.state_within(RiskState.LOCKED, 5, after="crash")(blind)
    assert never == "the daemon was never LOCKED after crash"
    said = checks.state_throughout(RiskState.ARMED, "crash")(blind)
    assert said == "the daemon was BLIND, not ARMED"


def test_a_permit_where_none_may_be_is_found():
    found = evidence(glances=(glance(1), glance(8.5)))
    assert "8.5 s after crash" in checks.no_permit("crash", grace_seconds=5)(found)
    assert checks.no_permit("crash", grace_seconds=9)(found) == ""
    assert checks.no_permit("crash", grace_seconds=2, seconds=8)(found) == ""
    assert checks.permitted("end")(found) == ""
    assert checks.permitted("crash")(evidence(glances=(HALTED,)))


def test_a_fault_that_missed_fails_the_drill():
    assert "the fault missed" in checks.noted("is lost")(evidence())
    assert "the fault missed" in checks.refused((-4131,))(evidence())
    assert "the fault missed" in checks.closed_in_parts(evidence())
    assert "nothing was refused" in checks.quiet_while_banned("crash", 6, at_most=9)(
        evidence()
    )
    lost = {"kind": "fault", "event": "the answer to POST is lost", "time_ns": at(1)}
    assert checks.noted("is lost")(evidence([lost])) == ""


def test_a_venue_that_wants_silence_is_not_hammered():
    asked = [request(n / 10, "GET", "/x", notes=["fault 429"]) for n in range(1, 21)]
    check = checks.quiet_while_banned("crash", 6, at_most=19)
    assert "asked 20 times" in check(evidence(asked))
    assert check(evidence(asked[:-1])) == ""


def test_facts_and_alarms_are_counted():
    found = evidence(facts={"both": 0, "handover": 7.1}, alarms=[(1, "Drawdown 50 %")])
    assert checks.fact_at_most("both", 0, "x")(found) == ""
    assert checks.fact_at_least("handover", 6, "x")(found) == ""
    assert checks.fact_at_least("handover", 8, "x")(found)
    assert checks.fact_at_most("handover", 7, "x")(found)
    assert checks.fact_at_most("nope", 7, "x")(found) == "x: never measured"
    assert checks.alarmed("drawdown")(found) == ""
    assert checks.alarmed("drawdown", at_least=2)(found)


def test_an_account_that_was_touched_is_named():
    assert checks.untouched(evidence(accounts={"binance": HOLDS})) == ""
    said = checks.untouched(evidence(accounts={"binance": HOLDS, "bybit": EMPTY}))
    assert said == "nothing is left at bybit"
    assert checks.empty(evidence(accounts={"bybit": HOLDS})).startswith("bybit: 1")


def test_a_venue_with_a_wrong_clock_is_read_in_true_time():
    begins = {"kind": "fault", "fault": "clock-skew", "venue": "*", "event": "begins"}
    ends = begins | {"event": "ends"}
    reading = request(20, "GET", "/fapi/v3/account")
    records = [reading, begins, reading, ends, reading]
    seconds = [
        (r["time_ns"] - CROSSED) / SECOND
        for r in unskewed(records, 20_000)
        if r["kind"] == "request"
    ]
    assert seconds == [20, 0, 20]


DRILL = Drill("d", "about", (), (checks.halted, checks.flat_within(3.5)))


def test_a_drill_passes_when_every_check_holds():
    outcome = judge(DRILL, evidence())
    assert outcome.passed
    assert outcome.as_json() == {
        "drill": "d",
        "passed": True,
        "detected_ms": 600,
        "sent_ms": 800,
        "flat_ms": 1600,
        "notes": "2 checks held at binance, bybit, deribit",
    }
    assert "flat 1600 ms" in outcome.sentence()


def test_a_drill_fails_by_every_check_that_does_not_hold():
    outcome = judge(DRILL, evidence(crossed_ns=None, glances=(glance(1),)))
    assert not outcome.passed
    assert outcome.notes == ("the daemon is ARMED, not HALTED; flat was never verified")


def test_a_drill_that_was_not_carried_out_has_failed():
    outcome = judge(DRILL, evidence(), "the daemon is not HALTED after 15 s but ARMED")
    assert not outcome.passed
    assert "ARMED" in outcome.notes


def test_a_drill_without_a_kill_has_no_times():
    outcome = judge(replace(DRILL, is_kill=False, must_hold=()), evidence())
    assert outcome.as_json()["flat_ms"] is None
    assert outcome.sentence().startswith("d: passed: ")

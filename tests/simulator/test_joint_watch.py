"""One watch over all venues; and answers whose numbers are wrong."""

from __future__ import annotations

from fractions import Fraction

import pytest

from cryptoquantix.simulator.fault_kinds import Kind
from cryptoquantix.simulator.fault_words import with_wrong_numbers
from cryptoquantix.simulator.faults import Fault, FaultBoard, parse_fault
from cryptoquantix.simulator.watch import JointWatch


def joint() -> JointWatch:
    return JointWatch(Fraction(3, 100), {"a": 600, "b": 400}, 1)


def test_the_sum_of_all_venues_is_watched():
    watch = joint()
    watch.see("a", 580, 2)
    assert watch.watch.crossed_ns is None
    watch.see("b", 390, 3)
    assert watch.watch.crossed_ns == 3
    assert watch.watch.drawdown == Fraction(30, 1000)


def test_a_gain_at_one_venue_makes_up_for_a_loss_at_another():
    watch = joint()
    watch.see("b", 450, 2)
    watch.see("a", 570, 3)
    assert watch.watch.crossed_ns is None
    assert watch.watch.peak_units == 1050


def test_money_that_leaves_one_venue_is_no_drawdown():
    watch = joint()
    watch.move("a", 600, 400)
    assert watch.watch.drawdown == 0
    watch.move("b", 400, 600)
    watch.see("b", 570, 9)
    assert watch.watch.crossed_ns == 9


def test_prices_that_move_at_one_instant_are_seen_together():
    watch = joint()
    watch.hold()
    watch.see("a", 500, 2)  # the long legs fall before the short ones gain
    watch.see("b", 500, 2)
    watch.release(3)
    assert watch.watch.deepest == 0
    watch.hold()
    watch.see("a", 460, 4)
    watch.release(5)
    assert watch.watch.crossed_ns == 5


BODY = b'{"equity":"100.50","position":"100","list":[{"equity":-2,"x":"equity"}]}'


def wrong(fields: str, factor: str) -> bytes:
    board = FaultBoard()
    fault = Fault(kind=Kind.WRONG_NUMBERS, fields=fields, factor=factor)
    return with_wrong_numbers(BODY, board.add(fault, 0))


def test_numbers_of_the_named_fields_are_wrong_and_others_are_not():
    assert wrong("equity", "0.5") == (
        b'{"equity":"50.250","position":"100","list":[{"equity":-1.0,"x":"equity"}]}'
    )
    assert wrong("nothing", "0.5") == BODY
    assert wrong("(e)qui(ty)?", "0.5") == wrong("equity", "0.5")


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({"fields": "equity"}, "needs a factor, was ''"),
        ({"fields": "equity", "factor": "x"}, "needs a factor, was 'x'"),
        ({"factor": "2"}, "needs the fields that are wrong"),
        ({"factor": "2", "fields": "("}, "fields is no regular expression"),
    ],
)
def test_wrong_numbers_that_are_none_are_refused(value, says):
    with pytest.raises(ValueError, match=says):
        parse_fault({"kind": "wrong-numbers"} | value)

"""One holder at a time."""

from __future__ import annotations

from cryptoquantix.control.permit import PermitMode, PermitRequest
from cryptoquantix.core.clock import NS_PER_SECOND
from cryptoquantix.risk.permits import HANDOVER_NS, Granting, PermitDesk

TRADE = Granting(PermitMode.TRADE, "", 7)
S = NS_PER_SECOND


def ask(desk, now_ns, holder="a", *, connection=1, granting=TRADE, **fields):
    request = PermitRequest(
        "n", holder, **({"build": "b", "is_reconciled": True} | fields)
    )
    return desk.answer(request, connection=connection, now_ns=now_ns, granting=granting)


def ready_desk():
    desk = PermitDesk(build="b", started_ns=0)
    assert ask(desk, HANDOVER_NS).mode is PermitMode.TRADE
    return desk


def test_a_restarted_daemon_waits_until_no_older_permit_can_live():
    desk = PermitDesk(build="b", started_ns=0)
    assert ask(desk, HANDOVER_NS - 1).mode is PermitMode.REDUCE_ONLY
    assert ask(desk, HANDOVER_NS).mode is PermitMode.TRADE


def test_a_second_execution_gets_no_permit_while_the_first_asks():
    desk = ready_desk()
    for second in range(8, 30):
        assert ask(desk, second * S).mode is PermitMode.TRADE
        other = ask(desk, second * S + 1, "b", connection=2)
        assert other.mode is PermitMode.REDUCE_ONLY
        assert "another holder" in other.reason


def test_a_second_process_of_the_same_name_is_another_holder():
    desk = ready_desk()
    assert ask(desk, 8 * S, connection=2).mode is PermitMode.REDUCE_ONLY
    assert ask(desk, 8 * S + 1).mode is PermitMode.TRADE


def test_a_new_holder_trades_only_after_life_and_receive_window_of_the_old():
    desk = ready_desk()
    last = 20 * S
    ask(desk, last)
    early = ask(desk, last + HANDOVER_NS - 1, "b", connection=2)
    assert early.mode is PermitMode.REDUCE_ONLY
    assert ask(desk, last + HANDOVER_NS, "b", connection=2).mode is PermitMode.TRADE


def test_a_new_holder_must_have_reconciled():
    answer = ask(ready_desk(), 8 * S, is_reconciled=False)
    assert answer.mode is PermitMode.REDUCE_ONLY
    assert "reconciled" in answer.reason


def test_another_build_trades_nothing():
    answer = ask(ready_desk(), 8 * S, build="c")
    assert answer.mode is PermitMode.REDUCE_ONLY
    assert "build c" in answer.reason


def test_a_halt_reaches_every_asker_whoever_holds():
    desk = ready_desk()
    halted = Granting(PermitMode.HALTED, "halted", 9)
    assert ask(desk, 8 * S, granting=halted).mode is PermitMode.HALTED
    assert ask(desk, 8 * S, "z", granting=halted).mode is PermitMode.HALTED


def test_the_answer_carries_nonce_build_and_sequence():
    answer = ask(ready_desk(), 8 * S)
    assert (answer.nonce, answer.build, answer.sequence) == ("n", "b", 7)

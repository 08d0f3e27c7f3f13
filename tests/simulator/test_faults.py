"""Faults decided without sockets: parsing, dice, time, and the way out of a frame."""

from __future__ import annotations

import pytest

from cryptoquantix.simulator.fault_kinds import ANSWERS, Kind
from cryptoquantix.simulator.fault_words import answer
from cryptoquantix.simulator.faults import (
    Fault,
    FaultBoard,
    parse_fault,
    seeded_faults,
)
from cryptoquantix.simulator.frame_gate import FrameClass, FrameGate, frame_class
from cryptoquantix.simulator.wire.frames import text_frame

NS = 1_000_000_000


def board_with(*faults: Fault, seed: int = 1) -> FaultBoard:
    board = FaultBoard(seed)
    for fault in faults:
        board.add(fault, 0)
    board.turn(0)
    return board


def strikes(seed: int, probability: float = 0.3) -> list[bool]:
    fault = Fault(kind=Kind.OVERLOADED, probability=probability)
    board = board_with(fault, seed=seed)
    kinds = {Kind.OVERLOADED}
    return [board.strike(kinds, "binance", "GET /", 1) is not None for _ in range(1000)]


def test_the_same_seed_hits_the_same_requests():
    assert strikes(7) == strikes(7)
    assert strikes(7) != strikes(8)
    assert 250 < sum(strikes(7)) < 350
    assert all(strikes(7, 1.0))
    assert not any(strikes(7, 0.0))


def test_a_fault_has_a_beginning_and_an_end():
    board = FaultBoard()
    board.add(Fault(kind=Kind.FORBIDDEN, delay=2, seconds=3), 0)
    assert board.turn(NS) == ([], [])
    assert board.is_quiet
    begin, end = board.turn(2 * NS)
    assert [a.kind for a in begin] == [Kind.FORBIDDEN]
    assert not end
    assert board.strike(ANSWERS, "binance", "", 4 * NS)
    # Over at its end, even before the board is turned.
    assert not board.strike(ANSWERS, "binance", "", 5 * NS)
    begin, end = board.turn(5 * NS)
    assert not begin
    assert [a.kind for a in end] == [Kind.FORBIDDEN]
    assert board.is_quiet
    assert board.to_json(5 * NS) == []


def test_venue_filter_and_count_are_kept():
    fault = Fault(kind=Kind.BAD_GATEWAY, venue="bybit", match="POST .*order", count=2)
    board = board_with(fault)
    kinds = {Kind.BAD_GATEWAY}
    post = "POST /v5/order/create?"
    assert not board.strike(kinds, "binance", post, 1)
    assert not board.strike(kinds, "bybit", "GET /v5/order/realtime", 1)
    hits = [board.strike(kinds, "bybit", post, 1) is not None for _ in range(4)]
    assert hits == [True, True, False, False]


def test_what_happens_once_is_gone_after_its_turn():
    board = FaultBoard()
    board.add(Fault(kind=Kind.DISCONNECT), 0)
    begin, end = board.turn(0)
    assert begin == end != []
    assert board.to_json(0) == []


def test_latency_is_drawn_about_its_median_and_bounded():
    fixed = board_with(Fault(kind=Kind.LATENCY, milliseconds=20))
    (active,) = fixed.under_way({Kind.LATENCY}, "binance", 1)
    assert {active.wait_ns() for _ in range(5)} == {20_000_000}
    drawn = board_with(Fault(kind=Kind.LATENCY, milliseconds=20, jitter=1))
    (active,) = drawn.under_way({Kind.LATENCY}, "binance", 1)
    waits = sorted(active.wait_ns() for _ in range(2001))
    assert 17e6 < waits[1000] < 23e6
    assert waits[-1] > 10 * waits[1000]
    assert waits[-1] <= 60_000_000_000


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"kind": "fire"},
        {"kind": "503", "venue": 3},
        {"kind": "503", "probability": 1.5},
        {"kind": "503", "seconds": -1},
        {"kind": "503", "seconds": float("nan")},
        {"kind": "503", "match": "("},
        {"kind": "503", "match": "x" * 201},
        {"kind": "503", "unknown": 1},
        {"kind": "503", "mode": "hang"},
        {"kind": "disconnect", "code": 1005},
        {"kind": "outage", "mode": "fire"},
        {"kind": "position-mode"},
        {"kind": "deposit"},
        {"kind": "deposit", "amount": "-5"},
        {"kind": "withdrawal", "amount": "0.00"},
        {"kind": "external-fill", "amount": "1", "side": "long"},
        [],
        "503",
    ],
)
def test_what_is_no_fault_is_refused_in_a_sentence(value):
    with pytest.raises(ValueError, match=r"^not a fault: "):
        parse_fault(value)


def test_a_full_board_refuses_one_more():
    board = FaultBoard()
    for _ in range(1000):
        board.add(Fault(kind=Kind.LATENCY), 0)
    with pytest.raises(ValueError, match="1000"):
        board.add(Fault(kind=Kind.LATENCY), 0)
    board.turn(0)
    assert len(board.remove()) == 1000
    assert board.is_quiet


def test_one_seed_plans_the_same_faults():
    plan = seeded_faults(5, ["binance", "bybit"], seconds=3600, per_minute=2)
    again = seeded_faults(5, ["binance", "bybit"], seconds=3600, per_minute=2)
    assert plan == again
    assert plan != seeded_faults(6, ["binance", "bybit"], seconds=3600, per_minute=2)
    assert 80 < len(plan) < 170
    assert [f.delay for f in plan] == sorted(f.delay for f in plan)
    assert {f.venue for f in plan} == {"binance", "bybit"}
    assert len({f.kind for f in plan}) > 10
    for seed in range(20):
        assert not seeded_faults(seed, ["binance"], seconds=86_400, per_minute=0)


def test_a_429_that_is_ignored_becomes_a_ban():
    fault = Fault(kind=Kind.TOO_MANY_REQUESTS, ban_after=2, seconds=120)
    board = board_with(fault)
    said = []
    for _ in range(4):
        active = board.strike(ANSWERS, "binance", "GET /", NS)
        assert active is not None
        said.append(answer("binance", active, NS, 10**18))
    assert [a.status for a in said] == [429, 429, 418, 418]
    assert all(a.headers == {"Retry-After": "119"} for a in said)
    assert b"banned until" in said[-1].body


# The way out.

TRADE = text_frame(b'{"e":"aggTrade","E":1}')
DEPTH = text_frame(b'{"stream":"x","data":{"e":"depthUpdate","U":1}}')
ACK = text_frame(b'{"result":null,"id":1}')


def event(n: int) -> bytes:
    return text_frame(b'{"e":"ORDER_TRADE_UPDATE","n":%d}' % n)


def gate(*faults: Fault) -> FrameGate:
    return FrameGate(board_with(*faults), "binance")


@pytest.mark.parametrize(
    ("payload", "kind"),
    [
        (b'{"e":"ACCOUNT_UPDATE","E":1}', FrameClass.PRIVATE),
        (b'{"topic":"execution","data":[]}', FrameClass.PRIVATE),
        (b'{"params":{"channel":"user.orders.any.any.raw"}}', FrameClass.PRIVATE),
        (b'{"topic":"orderbook.50.BTCUSDT"}', FrameClass.BOOK),
        (b'{"method":"subscription","params":{"channel":"book.X"}}', FrameClass.BOOK),
        (b'{"topic":"publicTrade.BTCUSDT"}', FrameClass.PUBLIC),
        (b'{"method":"subscription","params":{"channel":"t"}}', FrameClass.PUBLIC),
        (b'{"op":"pong","args":["1"]}', FrameClass.PONG),
        (b'{"success":true,"ret_msg":"pong","op":"ping"}', FrameClass.PONG),
        (b'{"jsonrpc":"2.0","id":1,"result":[]}', FrameClass.ANSWER),
    ],
)
def test_frames_of_all_venues_are_told_apart(payload, kind):
    assert frame_class(payload) is kind


def test_a_quiet_gate_passes_the_very_list():
    frames = [TRADE, event(1)]
    assert gate().pass_frames(frames, 0) is frames


def test_private_events_are_repeated_and_nothing_else():
    way = gate(Fault(kind=Kind.DUPLICATED_EVENTS))
    passed = way.pass_frames([TRADE, event(1), ACK], 1)
    assert passed == [TRADE, event(1), event(1), ACK]


def test_an_event_is_overtaken_by_the_next_one():
    way = gate(Fault(kind=Kind.REORDERED_EVENTS, count=1))
    assert way.pass_frames([event(1), TRADE], 1) == [TRADE]
    assert way.pass_frames([event(2)], 2) == [event(2), event(1)]
    # Alone, it comes a second late.
    way = gate(Fault(kind=Kind.REORDERED_EVENTS, count=1))
    assert way.pass_frames([event(1)], 1) == []
    assert way.pass_frames([], 2 * NS) == [event(1)]


def test_delayed_events_come_later_in_their_order():
    way = gate(Fault(kind=Kind.DELAYED_EVENTS, milliseconds=100, jitter=1.5))
    for n in range(50):
        assert way.pass_frames([event(n)], n) == []
    passed: list[bytes] = []
    for at in range(0, 100 * NS, NS // 10):
        passed += way.pass_frames([TRADE], at)
    assert [f for f in passed if f != TRADE] == [event(n) for n in range(50)]
    assert passed.count(TRADE) == 1000


def test_one_book_message_is_missing():
    way = gate(Fault(kind=Kind.BOOK_GAP))
    assert way.pass_frames([DEPTH, DEPTH, TRADE], 1) == [DEPTH, TRADE]


def test_a_frozen_feed_still_answers_and_a_half_open_socket_does_not():
    frames = [TRADE, DEPTH, event(1), ACK]
    assert gate(Fault(kind=Kind.FROZEN_FEED)).pass_frames(frames, 1) == [ACK]
    way = gate(Fault(kind=Kind.HALF_OPEN, seconds=1))
    assert way.pass_frames(frames, 1) == []
    assert way.is_half_open(1)
    assert not way.is_half_open(NS)


def test_a_filter_names_what_is_hit():
    way = gate(Fault(kind=Kind.FROZEN_FEED, match='"e":"depthUpdate"'))
    assert way.pass_frames([TRADE, DEPTH], 1) == [TRADE]

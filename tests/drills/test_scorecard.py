"""Times of a kill are read from the venue's log, and count from the crossing."""

from decimal import Decimal

from cryptoquantix.drills.scorecard import closed_positions, read_kill_times

MS = 1_000_000
CROSSED = 10_000 * MS


def request(at_ms, method, path, role="risk"):
    return {
        "kind": "request",
        "time_ns": CROSSED + at_ms * MS,
        "method": method,
        "path": path,
        "key_role": role,
    }


def reading(at_ms):
    return [
        request(at_ms, "GET", "/fapi/v3/positionRisk"),
        request(at_ms + 1, "GET", "/fapi/v1/openOrders"),
        request(at_ms + 2, "GET", "/fapi/v1/openAlgoOrders"),
    ]


FLAT = {"kind": "flat", "time_ns": CROSSED + 900 * MS}
KILL = [
    request(-300, "GET", "/fapi/v3/account"),
    request(700, "GET", "/fapi/v3/account"),
    request(720, "GET", "/fapi/v3/account"),
    request(730, "DELETE", "/fapi/v1/allOpenOrders"),
    request(760, "POST", "/fapi/v1/order"),
    FLAT,
    *reading(950),
    *reading(1460),
    request(1700, "GET", "/fapi/v3/account"),
]


def test_a_kill_is_timed_from_the_crossing_to_the_second_verifying_reading():
    times = read_kill_times(KILL, CROSSED)
    assert times.detected_ms == 720
    assert times.sent_ms == 760
    assert times.filled_ms == 900
    assert times.flat_ms == 1462


def test_two_readings_too_close_together_verify_nothing():
    records = [r for r in KILL if r["time_ns"] < CROSSED + 1400 * MS]
    assert read_kill_times([*records, *reading(1300)], CROSSED).flat_ms is None


def test_a_reading_without_the_algo_orders_verifies_nothing():
    records = [r for r in KILL if r.get("path") != "/fapi/v1/openAlgoOrders"]
    assert read_kill_times(records, CROSSED).flat_ms is None


def test_readings_of_another_key_verify_nothing():
    records = [r | {"key_role": "trade"} if "path" in r else r for r in KILL]
    times = read_kill_times(records, CROSSED)
    assert (times.detected_ms, times.sent_ms, times.flat_ms) == (None, None, None)


def test_a_kill_that_never_came_has_no_times():
    times = read_kill_times([request(100, "GET", "/fapi/v3/account")], CROSSED)
    assert (times.detected_ms, times.filled_ms, times.flat_ms) == (None, None, None)


def test_a_position_that_reopens_makes_the_first_flat_no_flat():
    again = {"kind": "flat", "time_ns": CROSSED + 3000 * MS}
    times = read_kill_times([*KILL, again], CROSSED)
    assert times.filled_ms == 3000
    assert times.flat_ms is None


def traded(role, after, order, symbol="BTCUSDT"):
    """A request that placed an order, and the fill that followed."""
    placed = request(0, "POST", "/fapi/v1/order", role) | {"clientOrderId": order}
    filled = {
        "kind": "fill",
        "time_ns": 1,
        "symbol": symbol,
        "position_after": after,
        "client_id": order,
    }
    return [placed, filled]


def test_a_position_opened_by_one_key_and_closed_by_the_other_is_found():
    closed = closed_positions(
        [
            *traded("trade", "0.2", "cqx-a"),
            *traded("trade", "0.5", "cqx-b"),
            *traded("risk", "0", "k"),
        ]
    )
    assert [(c.opened_by, c.closed_by) for c in closed] == [("cqx-a", "k")]
    assert closed[0].opened_size == Decimal("0.2")


def test_a_position_that_execution_closed_itself_does_not_count():
    assert not closed_positions(
        [*traded("trade", "1", "a"), *traded("trade", "0", "b")]
    )


def test_a_fill_to_zero_of_another_symbol_does_not_count():
    opened = traded("trade", "1", "a")
    assert not closed_positions([*opened, *traded("risk", "0", "k", "ETHUSDT")])


def test_a_fill_that_nobody_asked_for_opens_nothing():
    """A liquidation or an order of another key is not execution's position."""
    unasked = traded("trade", "1", "a")[1:]
    assert not closed_positions([*unasked, *traded("risk", "0", "k")])

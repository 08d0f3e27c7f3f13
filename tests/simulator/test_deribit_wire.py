"""Deribit's door: signatures, nonces, scopes, credits, refusals, dead-man's switch."""

from __future__ import annotations

import base64
import json
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cryptoquantix.simulator.wire.deribit import METHODS
from cryptoquantix.simulator.wire.messages import Request, Response
from simulator.deribit_bench import START, DeribitBench, payload

NOW_MS = START // 1_000_000
BTC, LINEAR = "BTC-PERPETUAL", "BTC_USDC-PERPETUAL"


@pytest.fixture
def bench():
    return DeribitBench()


# Who is calling.


def test_the_signature_is_of_path_and_query_as_sent(bench):
    target = "/api/v2/private/get_positions?currency=BTC&kind=%66uture"
    header = bench.header("GET", target)
    response, answer = bench.http("GET", target, header=header)
    assert (response.status, answer["result"]) == (200, [])
    header = bench.header("GET", target.replace("%66", "f"))
    response, answer = bench.http("GET", target, header=header)
    assert (response.status, answer["error"]["code"]) == (400, 13004)


def test_the_body_of_a_post_is_signed(bench):
    message = {"jsonrpc": "2.0", "id": 7, "method": "private/get_position"}
    body = json.dumps(message | {"params": {"instrument_name": BTC}})
    for target in ("/api/v2/private/get_position", "/api/v2/", "/api/v2"):
        header = bench.header("POST", target, body)
        response, answer = bench.http("POST", target, body, header)
        assert (response.status, answer["id"]) == (200, 7)
        assert answer["result"]["instrument_name"] == BTC
        header = bench.header("POST", target, body + " ")
        response, answer = bench.http("POST", target, body, header)
        assert (response.status, answer["error"]["code"]) == (400, 13004)


@pytest.mark.parametrize(
    "changed",
    [
        {"key": "x"},
        {"secret": "x"},
        {"key": "r"},
        {"sig": "00"},
        {"sig": "é"},
        {"ts": "soon"},
        {"ts": "²"},
        {"ts": str(NOW_MS - 60_001)},
        {"ts": str(NOW_MS + 60_001)},
        {"ts": "9" * 30},
    ],
)
def test_wrong_signatures_are_invalid_credentials(bench, changed):
    target = "/api/v2/private/get_positions"
    header = bench.header("GET", target, **changed)
    response, answer = bench.http("GET", target, header=header)
    assert (response.status, answer["error"]["code"]) == (400, 13004)
    assert response.key_role == "none"


@pytest.mark.parametrize(
    "header",
    ["x", "deri-hmac-sha256 ", "deri-hmac-sha256 id=k,ts=1", "Basic !!", "Basic eA=="],
)
def test_malformed_headers_are_refused(bench, header):
    response, answer = bench.http("GET", "/api/v2/public/test", header=header)
    assert (response.status, answer["error"]["code"]) == (400, 13004)


def test_a_nonce_is_good_for_one_request(bench):
    target = "/api/v2/private/get_positions"
    header = bench.header("GET", target, nonce="once")
    assert bench.http("GET", target, header=header)[0].status == 200
    assert bench.http("GET", target, header=header)[1]["error"]["code"] == 13004
    other = bench.header("GET", "/api/v2/private/get_open_orders", nonce="once")
    _, answer = bench.http("GET", "/api/v2/private/get_open_orders", header=other)
    assert answer["error"]["data"]["reason"] == "nonce was used before"
    mine = bench.header("GET", target, key="r", secret="t", nonce="once")
    assert bench.http("GET", target, header=mine)[0].status == 200


def test_a_refused_signature_uses_up_no_nonce(bench):
    target = "/api/v2/private/get_positions"
    wrong = bench.header("GET", target, nonce="n", secret="x")
    assert bench.http("GET", target, header=wrong)[0].status == 400
    right = bench.header("GET", target, nonce="n")
    assert bench.http("GET", target, header=right)[0].status == 200


def test_tokens_open_the_account_until_they_expire(bench):
    answer = bench.result(
        "public/auth",
        grant_type="client_credentials",
        client_id="r",
        client_secret="t",
    )
    assert answer["scope"] == "account:read trade:read_write wallet:none"
    target = "/api/v2/private/get_positions"
    bearer = f"Bearer {answer['access_token']}"
    response, _ = bench.http("GET", target, header=bearer)
    assert (response.status, response.key_role) == (200, "risk")
    assert bench.http("GET", target, header="Bearer x")[1]["error"]["code"] == 13009
    renewed = bench.result(
        "public/auth",
        grant_type="refresh_token",
        refresh_token=answer["refresh_token"],
    )
    assert renewed["access_token"] != answer["access_token"]
    again = {"grant_type": "refresh_token", "refresh_token": answer["refresh_token"]}
    assert bench.code("public/auth", **again) == 13004
    bench.clock.advance(31_536_001 * 10**9)
    assert bench.http("GET", target, header=bearer)[1]["error"]["code"] == 13009


def test_basic_credentials_work_as_documented(bench):
    text = base64.b64encode(b"k:s").decode()
    target = "/api/v2/private/get_positions"
    assert bench.http("GET", target, header=f"Basic {text}")[0].status == 200


def test_a_client_signature_logs_a_socket_in_and_is_not_repeatable(bench):
    stamp = str(NOW_MS)
    login = {
        "grant_type": "client_signature",
        "client_id": "k",
        "timestamp": NOW_MS,
        "nonce": "a",
        "data": "",
        "signature": _login_signature(stamp, "a"),
    }
    socket = bench.connect()
    private = {"channels": ["user.orders.any.any.raw"]}
    refused = bench.say(socket, "private/subscribe", **private)
    assert refused["error"]["code"] == 13009
    assert bench.say(socket, "public/auth", **login)["result"]["access_token"]
    assert bench.say(socket, "private/subscribe", **private)["result"]
    other = bench.connect()
    assert bench.say(other, "public/auth", **login)["error"]["code"] == 13004


def _login_signature(stamp: str, nonce: str, data: str = "") -> str:
    import hashlib
    import hmac

    text = f"{stamp}\n{nonce}\n{data}"
    return hmac.new(b"s", text.encode(), hashlib.sha256).hexdigest()


def test_a_key_that_only_reads_may_not_trade(bench):
    order = {"instrument_name": BTC, "amount": 10, "type": "market"}
    asked = bench.ask("private/buy", key="o", secret="p", **order)
    assert asked["error"]["code"] == 13021
    assert bench.ask("private/get_positions", key="o", secret="p")["result"] == []
    narrowed = bench.result(
        "public/auth",
        grant_type="client_credentials",
        client_id="k",
        client_secret="s",
        scope="trade:read session:x",
    )
    assert "trade:read session" not in narrowed["scope"]
    assert narrowed["scope"].split() == [
        "account:read",
        "trade:read",
        "wallet:none",
        "session:x",
    ]
    keys = bench.result("private/list_api_keys")
    scopes = {k["name"]: k["max_scope"] for k in keys}
    assert all("wallet:none" in scope for scope in scopes.values())
    assert "s" not in {k["client_secret"] for k in keys}


# The envelope.


def test_every_answer_has_the_envelope(bench):
    good = bench.ask("public/get_time")
    assert good == {
        "jsonrpc": "2.0",
        "result": NOW_MS,
        "usIn": NOW_MS * 1000,
        "usOut": NOW_MS * 1000,
        "usDiff": 0,
        "testnet": False,
    }
    bad = bench.ask("public/nothing")
    assert bad["error"] == {
        "code": -32601,
        "message": "Method not found",
        "data": {"method": "public/nothing"},
    }
    assert "result" not in bad


def test_unknown_parameters_are_refused_or_noted():
    strict = DeribitBench()
    asked = strict.ask("public/ticker", instrument_name=BTC, triggerPrice=1)
    assert asked["error"]["code"] == -32602
    assert asked["error"]["data"]["param"] == "triggerPrice"
    lenient = DeribitBench(is_lenient=True)
    assert lenient.result("public/ticker", instrument_name=BTC, triggerPrice=1)
    record = lenient.record.after(0, 10)[-1]
    assert record["notes"] == ["unknown parameter 'triggerPrice'"]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", -32700),
        ("{", -32700),
        ("[" * 2_000, -32700),
        (b"\x00\xff", -32700),
        ("[]", -32600),
        ("1", -32600),
        ('{"id":1,"method":2}', -32600),
        ('{"id":true,"method":"public/test"}', -32600),
        ('{"id":1.5,"method":"public/test"}', -32600),
        ('{"id":1,"method":"public/test","params":[]}', -32602),
        ('{"id":1,"method":"nothing"}', -32601),
        ('{"id":1,"method":"public/ticker"}', -32602),
        ('{"id":1,"method":"private/get_positions"}', 13009),
        ('{"id":1,"method":"public/subscribe","params":{"channels":["x"]}}', -32602),
        ('{"id":1,"method":"public/subscribe","params":{"channels":"x"}}', -32602),
        ('{"id":1,"method":"public/set_heartbeat","params":{"interval":9}}', -32602),
    ],
)
def test_wrong_messages_get_an_error_and_the_connection_lives(bench, text, code):
    socket = bench.connect()
    bench.venue.receive(socket, text, START)
    [frame] = socket.frames
    socket.frames.clear()
    answer = payload(frame)
    assert answer["error"]["code"] == code
    assert answer.get("id") == (1 if '"id":1,' in str(text) else None)
    assert bench.say(socket, "public/test", number=2)["result"]["version"]


def test_members_beside_the_call_are_noted(bench):
    """Ccxt leaks ``callerMethodName`` there; the venue must not mind."""
    socket = bench.connect()
    text = '{"id":1,"method":"public/test","callerMethodName":"watchTrades"}'
    bench.venue.receive(socket, text, START)
    assert payload(socket.frames[0])["result"]["version"]
    [record] = bench.record.after(0, 10)
    assert record["notes"] == ["unknown member 'callerMethodName'"]


def test_other_paths_have_no_socket_and_no_method(bench):
    refused = bench.venue.open_subscriber(Request("GET", "/ws", "", b""), START)
    assert isinstance(refused, Response)
    assert refused.status == 404
    response, answer = bench.http("GET", "/api/v1/public/test")
    assert (response.status, answer["error"]["code"]) == (400, -32601)
    assert bench.http("DELETE", "/api/v2/public/test")[1]["error"]["code"] == 11050
    assert bench.http("GET", "/api/v2/public/test?a=1&a=2")[1]["error"]["code"] == 11050
    assert bench.code("public/subscribe", channels='["quote.BTC-PERPETUAL"]') == 10030


def test_the_log_has_every_call_and_no_secret(bench):
    socket = bench.connect(login=True)
    bench.say(
        socket,
        "private/buy",
        instrument_name=BTC,
        amount=10,
        type="limit",
        price=59_500,
        label="mine",
    )
    records = bench.record.after(0, 100)
    calls = [r for r in records if r["kind"] == "request"]
    assert [(c["method"], c["path"]) for c in calls] == [
        ("WS", "public/auth"),
        ("WS", "private/buy"),
    ]
    assert calls[1]["clientOrderId"] == "mine"
    assert calls[1]["key_role"] == "trade"
    assert '"s"' not in json.dumps(records)
    [accepted] = [r for r in records if r["kind"] == "order"]
    assert (accepted["event"], accepted["client_id"]) == ("accepted", "mine")


# Limits.


def test_credits_are_spent_refilled_and_their_end_closes_the_session():
    bench = DeribitBench()
    for _ in range(100):
        assert bench.ask("public/test")["result"]
    assert bench.code("public/test") == 10028
    bench.clock.advance(49_000_000)
    assert bench.code("public/test") == 10028
    bench.clock.advance(1_000_000)
    assert bench.ask("public/test")["result"]
    socket = bench.connect()
    assert socket.close_code is None
    assert bench.say(socket, "public/test")["error"]["code"] == 10028
    assert socket.close_code is not None


def test_matching_requests_have_a_budget_of_their_own():
    bench = DeribitBench()
    order = {"instrument_name": BTC, "amount": 10, "type": "limit", "price": 59_500}
    for _ in range(20):
        assert bench.result("private/buy", **order)
    assert bench.code("private/buy", **order) == 10028
    assert bench.result("private/get_open_orders")
    bench.clock.advance(200_000_000)
    assert bench.result("private/buy", **order)
    assert bench.code("private/cancel_all") == 10028


def test_limits_can_be_counted_without_being_enforced():
    bench = DeribitBench(is_limited=False)
    for _ in range(150):
        assert bench.ask("public/test")["result"]


# Orders that are wrong.

LIMIT = {"instrument_name": BTC, "amount": 10, "type": "limit", "price": 59_500}
STOP = {"instrument_name": BTC, "amount": 10, "type": "stop_market"}


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"instrument_name": "NOPE-PERPETUAL"}, 10020),
        ({"instrument_name": None}, -32602),
        ({"amount": None}, -32602),
        ({"amount": 15}, -32602),
        ({"amount": 5}, 10002),
        ({"amount": -10}, -32602),
        ({"amount": "NaN"}, -32602),
        ({"amount": "1e9999999"}, -32602),
        ({"price": None}, -32602),
        ({"price": "59500.1"}, 10043),
        ({"price": 0}, 10043),
        ({"type": "magic"}, -32602),
        ({"type": "market"}, -32602),
        ({"label": "x" * 65}, -32602),
        ({"time_in_force": "forever"}, -32602),
        ({"reject_post_only": "true"}, -32602),
        ({"post_only": "true", "time_in_force": "fill_or_kill"}, 11055),
        ({"trigger_price": 1}, -32602),
        ({"trigger": "last_price"}, -32602),
        ({"amount": 10**9}, 10009),
        ({"reduce_only": "true"}, 11030),
        ({"contracts": 2}, -32602),
        ({"stop_price": 1}, -32602),
    ],
)
def test_orders_that_are_wrong(bench, changed, code):
    asked = {k: v for k, v in (LIMIT | changed).items() if v is not None}
    assert bench.code("private/buy", **asked) == code
    assert not bench.venue.exchange.orders


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({}, -32602),
        ({"trigger": "last_price"}, -32602),
        ({"trigger_price": 59_000}, -32602),
        ({"trigger": "last_price", "trigger_price": "59000.1"}, 10044),
        ({"trigger": "the_moon", "trigger_price": 59_000}, -32602),
        ({"trigger": "last_price", "trigger_price": 61_000}, 11036),
        ({"trigger": "last_price", "trigger_price": 59_000, "price": 1}, -32602),
        (
            {"trigger": "last_price", "trigger_price": 59_000, "type": "stop_limit"},
            -32602,
        ),
    ],
)
def test_stops_that_are_wrong(bench, changed, code):
    assert bench.code("private/sell", **(STOP | changed)) == code
    assert not bench.venue.exchange.algos


@pytest.mark.parametrize(
    ("kind", "side", "trigger", "above"),
    [
        ("stop_market", "sell", 59_000, False),
        ("stop_market", "buy", 61_000, True),
        ("take_market", "sell", 61_000, True),
        ("take_market", "buy", 59_000, False),
    ],
)
def test_stops_follow_the_price_and_takes_meet_it(bench, kind, side, trigger, above):
    order = bench.result(
        f"private/{side}",
        instrument_name=BTC,
        amount=10,
        type=kind,
        trigger="last_price",
        trigger_price=trigger,
    )["order"]
    assert (order["order_state"], order["order_type"]) == ("untriggered", kind)
    [algo] = bench.venue.exchange.algos.values()
    assert algo.request.is_trigger_above is above
    state = bench.result("private/get_order_state", order_id=order["order_id"])
    assert state == order
    edited = bench.result(
        "private/edit", order_id=order["order_id"], amount=20, trigger_price=trigger + 1
    )["order"]
    assert (edited["amount"], edited["trigger_price"]) == (20, trigger + 1)
    assert bench.result("private/cancel", order_id=order["order_id"])[
        "order_state"
    ] == ("cancelled")
    assert bench.code("private/cancel", order_id=order["order_id"]) == 11044


def test_a_trigger_watches_the_price_it_names(bench):
    ids = {}
    for name in ("last_price", "mark_price", "index_price"):
        stop = STOP | {"trigger": name, "trigger_price": 59_000}
        ids[name] = bench.result("private/sell", **stop)["order"]["order_id"]
    # This venue alone falls by 2 %: the mark follows half a percent, the index not.
    bench.venue.depeg(BTC, Fraction(98, 100), bench.now)

    def states() -> list[str]:
        return [
            bench.result("private/get_order_state", order_id=i)["order_state"]
            for i in ids.values()
        ]

    assert states() == ["triggered", "untriggered", "untriggered"]
    edit = {"order_id": ids["index_price"], "amount": 10}
    assert bench.code("private/edit", **edit, trigger_price=60_500) == 11036
    bench.result("private/edit", **edit, trigger_price=59_100)
    bench.venue.depeg(BTC, Fraction(1), bench.now)
    bench.venue.shock(BTC, Fraction(984, 1000), bench.now)
    assert states() == ["triggered", "untriggered", "triggered"]
    bench.venue.shock(BTC, Fraction(995, 1000), bench.now)
    assert states() == ["triggered"] * 3


def test_a_price_too_far_through_the_mark_is_clamped(bench):
    order = bench.result(
        "private/buy", instrument_name=BTC, amount=10, type="limit", price=90_000
    )["order"]
    assert order["order_state"] == "filled"
    assert (
        order["price"]
        == bench.result("public/ticker", instrument_name=BTC)["max_price"]
    )


def test_post_only_is_moved_behind_the_best_or_refused(bench):
    ask = bench.result("public/get_order_book", instrument_name=BTC, depth=1)["asks"]
    crossing = LIMIT | {"price": ask[0][0] + 10, "post_only": "true"}
    rejecting = crossing | {"reject_post_only": "true"}
    assert bench.code("private/buy", **rejecting) == 11054
    order = bench.result("private/buy", **crossing)["order"]
    assert (order["order_state"], order["filled_amount"]) == ("open", 0)
    assert order["price"] == ask[0][0] - Decimal("0.5")


def test_labels_repeat_and_cancel_together(bench):
    for name in (BTC, LINEAR):
        amount = {BTC: 10, LINEAR: "0.01"}[name]
        for _ in range(2):
            bench.result(
                "private/buy",
                instrument_name=name,
                amount=amount,
                type="limit",
                price=59_500,
                label="same",
            )
    bench.result("private/buy", **LIMIT, label="other")
    labeled = bench.result(
        "private/get_open_orders_by_label", currency="BTC", label="same"
    )
    assert [o["label"] for o in labeled] == ["same", "same"]
    assert bench.result("private/cancel_by_label", label="same", currency="USDC") == 2
    assert bench.result("private/cancel_by_label", label="same") == 2
    [left] = bench.result("private/get_open_orders")
    assert left["label"] == "other"


def test_cancels_reach_both_classes_and_no_further_than_asked(bench):
    stop = STOP | {"trigger": "last_price", "trigger_price": 59_000}
    linear = {"instrument_name": LINEAR, "amount": "0.01", "price": 59_500}
    for _ in range(2):
        bench.result("private/buy", **LIMIT)
        bench.result("private/sell", **stop)
        bench.result("private/buy", **linear, type="limit")
    assert len(bench.result("private/get_open_orders")) == 6
    kinds = {"instrument_name": BTC, "type": "trigger_all"}
    assert bench.result("private/cancel_all_by_instrument", **kinds) == 2
    assert bench.result("private/cancel_all_by_currency", currency="USDC") == 2
    detailed = bench.result("private/cancel_all", detailed="true")
    assert [o["order_state"] for o in detailed[0]["result"]] == ["cancelled"] * 2
    assert bench.result("private/cancel_all") == 0


def test_orders_of_others_are_not_found(bench):
    order = bench.result("private/buy", **LIMIT)["order"]
    for wrong in ("999", "ETH-" + order["order_id"], "x", "1e3", "٣"):
        assert bench.code("private/get_order_state", order_id=wrong) == 10004
    edited = bench.result(
        "private/edit", order_id=order["order_id"], amount=10, price=59_500
    )
    assert edited["order"]["order_state"] == "open"


# Heartbeat and dead-man's switch.


def test_a_silent_client_is_asked_and_then_cut(bench):
    socket = bench.connect()
    bench.say(socket, "public/set_heartbeat", interval=10)
    kinds = []
    for second in range(1, 31):
        bench.clock.advance(10**9)
        bench.world.timer()
        beats = [f for f in socket.frames if f[0] == 0x81]
        kinds += [payload(f)["params"]["type"] for f in beats]
        socket.frames.clear()
        if kinds and kinds[-1] == "test_request" and second < 25:
            bench.say(socket, "public/test")
            kinds.append("answered")
    # The last question, at 30 s, still has its ten seconds.
    assert kinds == ["heartbeat", "test_request", "answered", "heartbeat"]
    assert socket.close_code is None
    for _ in range(3):
        bench.clock.advance(10 * 10**9)
        bench.world.timer()
    assert socket.close_code is not None


def test_cancel_on_disconnect_takes_that_connections_orders_only(bench):
    first, second = bench.connect(login=True), bench.connect(login=True)
    stop = STOP | {"trigger": "last_price", "trigger_price": 59_000}
    bench.say(first, "private/enable_cancel_on_disconnect")
    bench.say(first, "private/buy", **LIMIT, label="first")
    bench.say(first, "private/sell", **stop, label="first")
    bench.say(second, "private/buy", **LIMIT, label="second")
    bench.result("private/buy", **LIMIT, label="http")
    asked = bench.say(first, "private/get_cancel_on_disconnect")["result"]
    assert asked == {"scope": "connection", "enabled": True}
    asked = bench.say(second, "private/get_cancel_on_disconnect")["result"]
    assert asked == {"scope": "connection", "enabled": False}
    bench.venue.leave(second, bench.now)
    assert len(bench.result("private/get_open_orders")) == 4
    bench.venue.leave(first, bench.now)
    left = bench.result("private/get_open_orders")
    assert sorted(o["label"] for o in left) == ["http", "second"]


def test_a_logout_ends_the_session_and_leaves_its_orders(bench):
    socket = bench.connect(login=True)
    bench.say(socket, "private/enable_cancel_on_disconnect")
    bench.say(socket, "private/buy", **LIMIT)
    text = '{"jsonrpc":"2.0","id":9,"method":"private/logout"}'
    bench.venue.receive(socket, text, bench.now)
    assert [frame[0] for frame in socket.frames] == [0x88]
    assert socket.close_code == 1000
    bench.venue.leave(socket, bench.now)
    assert len(bench.result("private/get_open_orders")) == 1


def test_a_position_is_closed_whole(bench):
    assert bench.code("private/close_position", instrument_name=BTC, type="market") == (
        11030
    )
    order = {"instrument_name": BTC, "amount": 500, "type": "market"}
    bench.result("private/sell", **order)
    closed = bench.result("private/close_position", instrument_name=BTC, type="market")
    assert (closed["order"]["direction"], closed["order"]["filled_amount"]) == (
        "buy",
        500,
    )
    assert bench.account.size_lots(BTC) == 0


def test_a_restart_keeps_switches_and_never_repeats_a_connection(bench):
    bench.result("private/enable_cancel_on_disconnect", scope="account")
    first = bench.connect()
    other = DeribitBench()
    other.venue.take_back(json.loads(json.dumps(bench.venue.kept())))
    assert other.connect().id > first.id
    asked = other.result("private/get_cancel_on_disconnect", scope="account")
    assert asked["enabled"] is True


def test_expired_sessions_are_logged_out(bench):
    socket = bench.connect(login=True)
    names = ["user.orders.any.any.raw", "quote.BTC-PERPETUAL"]
    bench.say(socket, "private/subscribe", channels=names)
    assert bench.venue.expire_sessions(bench.now) == 1
    assert socket.channels == {"quote.BTC-PERPETUAL"}
    assert bench.say(socket, "private/get_positions")["error"]["code"] == 13009


def test_the_accounts_switch_holds_for_later_connections(bench):
    assert bench.result("private/enable_cancel_on_disconnect", scope="account") == "ok"
    assert bench.code("private/enable_cancel_on_disconnect") == 10030
    socket = bench.connect(login=True)
    bench.say(socket, "private/buy", **LIMIT)
    bench.venue.leave(socket, bench.now)
    assert bench.result("private/get_open_orders") == []
    bench.result("private/disable_cancel_on_disconnect", scope="account")
    socket = bench.connect(login=True)
    bench.say(socket, "private/buy", **LIMIT)
    bench.venue.leave(socket, bench.now)
    assert len(bench.result("private/get_open_orders")) == 1


# Channels.


def test_subscriptions_are_acknowledged_and_ended(bench):
    socket = bench.connect()
    names = ["quote.BTC-PERPETUAL", "book.BTC-PERPETUAL.100ms"]
    assert bench.say(socket, "public/subscribe", channels=names)["result"] == names
    bench.run(0.3)
    assert {n["channel"] for n in bench.heard(socket)} == set(names)
    ended = bench.say(socket, "public/unsubscribe", channels=[names[0], "x"])
    assert ended["result"] == names[:1]
    assert bench.say(socket, "public/unsubscribe_all")["result"] == "ok"
    bench.run(0.3)
    assert bench.heard(socket) == []
    assert not bench.market().book._trackers


def test_raw_channels_need_a_login(bench):
    socket = bench.connect()
    asked = {"channels": ["trades.BTC-PERPETUAL.raw"]}
    assert bench.say(socket, "public/subscribe", **asked)["error"]["code"] == 13778
    bench.say(
        socket,
        "public/auth",
        grant_type="client_credentials",
        client_id="k",
        client_secret="s",
    )
    assert bench.say(socket, "public/subscribe", **asked)["result"]
    bench.run(1)
    ours = bench.heard(socket, asked["channels"][0])
    assert ours
    assert all(len(trades) == 1 for trades in ours)


def test_a_book_followed_through_changes_is_the_book(bench):
    socket = bench.connect()
    name = "book.BTC-PERPETUAL.100ms"
    bench.say(socket, "public/subscribe", channels=[name])
    bench.run(5)
    told = bench.heard(socket, name)
    assert [t["type"] for t in told[:2]] == ["snapshot", "change"]
    followed = {"bids": {}, "asks": {}}
    last = None
    for each in told:
        assert each["prev_change_id"] == last
        last = each["change_id"]
        for side, levels in followed.items():
            for word, price, amount in each[side]:
                assert (word == "new") == (price not in levels)
                if word == "delete":
                    assert amount == 0
                    del levels[price]
                else:
                    levels[price] = amount
    book = bench.result("public/get_order_book", instrument_name=BTC, depth=1000)
    if book["change_id"] == last:
        assert dict(map(tuple, book["bids"])) == followed["bids"]
        assert dict(map(tuple, book["asks"])) == followed["asks"]
    late = bench.connect()
    bench.say(late, "public/subscribe", channels=[name])
    bench.run(0.2)
    assert bench.heard(late, name)[0]["type"] == "snapshot"
    assert all(t["type"] == "change" for t in bench.heard(socket, name))


def test_a_ticker_followed_over_an_hour_is_the_ticker_asked_for(bench):
    socket = bench.connect()
    name = "ticker.BTC-PERPETUAL.100ms"
    bench.say(socket, "public/subscribe", channels=[name])
    bench.run(1)
    bench.clock.advance(3_600 * 10**9)
    bench.run(2)
    bench.clock.advance(100_000_000)
    bench.venue.shock(BTC, Fraction(1), bench.now)
    bench.venue.timer(bench.now)
    told = bench.heard(socket, name)[-1]
    assert told == bench.result("public/ticker", instrument_name=BTC)
    bars = bench.market().history.bars("1h", None, None, 24)
    listing = bench.market().listing
    assert told["stats"]["high"] == Decimal(
        listing.price_text(max(b.high for b in bars))
    )
    assert told["stats"]["volume_usd"] == sum(b.lots for b in bars) * 10


def test_charts_end_each_bar_as_the_history_has_it(bench):
    socket = bench.connect()
    name = "chart.trades.BTC-PERPETUAL.1"
    bench.say(socket, "public/subscribe", channels=[name])
    bench.run(70)
    told = bench.heard(socket, name)
    ticks = [b["tick"] for b in told]
    assert ticks == sorted(ticks)
    closed = [b for b in told if b["tick"] == ticks[0]][-1]
    data = bench.result(
        "public/get_tradingview_chart_data",
        instrument_name=BTC,
        resolution="1",
        start_timestamp=ticks[0],
        end_timestamp=ticks[0],
    )
    assert data["ticks"] == [ticks[0]]
    for figure in ("open", "high", "low", "close", "volume", "cost"):
        assert data[figure] == [closed[figure]]


# Nothing breaks it.

VENUE = DeribitBench(is_limited=False)
NAMES = sorted({name for found in METHODS.values() for name in found.parameters})
WORDS = [BTC, "BTC", "any", "limit", "market", "stop_market", "true", "last_price", "1"]
VALUES = st.one_of(
    st.sampled_from(WORDS),
    st.integers(-(10**20), 10**20),
    st.decimals(allow_nan=True).map(str),
    st.text(max_size=12),
    st.none(),
    st.booleans(),
    st.floats(),
    st.lists(st.text(max_size=5), max_size=3),
    st.just("[" * 500),
)


@settings(max_examples=250, deadline=None)
@given(
    st.sampled_from(sorted(METHODS.keys() - {"private/logout"})),  # answers nothing
    st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=6),
    st.booleans(),
)
def test_no_parameters_break_a_method(name, values, over_http):
    """Whatever is sent to a known method, the answer is a result or an error."""
    known = {k: v for k, v in values.items() if k in METHODS[name].parameters}
    if over_http:
        try:
            answer = VENUE.ask(name, **known)
        except UnicodeEncodeError:
            return
    else:
        socket = VENUE.connect(login=True)
        answer = VENUE.say(socket, name, **known)
        VENUE.venue.leave(socket, START)
    assert ("result" in answer) != ("error" in answer)
    if "error" in answer:
        assert answer["error"]["message"]


@settings(max_examples=150, deadline=None)
@given(st.one_of(st.binary(max_size=80), st.text(max_size=80)))
def test_no_message_breaks_a_connection(text):
    socket = VENUE.connect()
    VENUE.venue.receive(socket, text, START)
    assert "error" in payload(socket.frames[0])


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=40), st.text(max_size=40), st.binary(max_size=60))
def test_no_bytes_break_the_front_door(query, header, body):
    for method in ("GET", "POST"):
        request = Request(
            method,
            "/api/v2/private/buy",
            query,
            body,
            headers={"authorization": header},
        )
        response = VENUE.venue.respond(request, START)
        assert response.status == 400
        json.loads(response.body)

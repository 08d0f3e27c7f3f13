"""Signatures on raw bytes, refusals in the venue's words, and no way to break it."""

from __future__ import annotations

import hashlib
import hmac
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cryptoquantix.core.clock import ManualClock
from cryptoquantix.simulator.build import Options, build_world, generated_plan
from cryptoquantix.simulator.generator import generated_instrument
from cryptoquantix.simulator.wire.binance import ROUTES, Request
from cryptoquantix.simulator.wire.binance_streams import Subscriber

START = 1_700_000_000 * 10**9
KEYS = {"key": "k", "secret": "s", "risk": {"key": "r", "secret": "t"}}
NOW_MS = START // 1_000_000


def make_venue(**options):
    clock = ManualClock(START, START)
    instruments = [generated_instrument("BTCUSDT")]
    plan = generated_plan(instruments, 7, start_ns=START)
    world = build_world(plan, KEYS, clock, Options(**options))
    return world.venues["binance"]


@pytest.fixture
def venue():
    return make_venue()


def sign(text: str, secret: str = "s") -> str:
    return hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()


def ask(venue, method, path, query="", body="", key="k", at=START):
    response = venue.respond(Request(method, path, query, body.encode(), key), at)
    return response, json.loads(response.body)


def signed(venue, method, path, text="", *, at=START, key="k", secret="s"):
    text = "&".join(p for p in (text, f"timestamp={at // 1_000_000}") if p)
    text = f"{text}&signature={sign(text, secret)}"
    if method in {"POST", "PUT"}:
        return ask(venue, method, path, body=text, key=key, at=at)
    return ask(venue, method, path, query=text, key=key, at=at)


def test_the_signature_is_of_the_bytes_as_sent(venue):
    encoded = f"symbol=BTCUSDT&orderIdList=%5B1%5D&timestamp={NOW_MS}"
    query = f"{encoded}&signature={sign(encoded)}"
    response, _ = ask(venue, "DELETE", "/fapi/v1/batchOrders", query)
    assert response.status == 200
    decoded = encoded.replace("%5B", "[").replace("%5D", "]")
    query = f"{encoded}&signature={sign(decoded)}"
    response, answer = ask(venue, "DELETE", "/fapi/v1/batchOrders", query)
    assert (response.status, answer["code"]) == (400, -1022)


def test_query_and_body_are_signed_together(venue):
    query, body = "symbol=BTCUSDT", f"leverage=5&timestamp={NOW_MS}"
    body += f"&signature={sign(query + body)}"
    response, answer = ask(venue, "POST", "/fapi/v1/leverage", query, body)
    assert (response.status, answer["leverage"]) == (200, 5)


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"key": ""}, 401, -2014),
        ({"key": "x"}, 401, -2015),
        ({"secret": "x"}, 400, -1022),
        ({"key": "r"}, 400, -1022),
        ({"key": "r", "secret": "t"}, 200, 200),
    ],
)
def test_keys_and_secrets(venue, change, status, code):
    response, _ = signed(venue, "GET", "/fapi/v3/balance", **change)
    assert (response.status, response.code) == (status, code)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (f"timestamp={NOW_MS - 5_001}", -1021),
        (f"timestamp={NOW_MS - 1_001}&recvWindow=1000", -1021),
        (f"timestamp={NOW_MS + 1_000}", -1021),
        (f"timestamp={NOW_MS - 5_000}", 200),
        (f"timestamp={NOW_MS + 999}", 200),
        (f"timestamp={NOW_MS}&recvWindow=60001", -1131),
        ("timestamp=soon", -1102),
        ("recvWindow=5000", -1102),
    ],
)
def test_the_time_window(venue, text, code):
    query = f"{text}&signature={sign(text)}"
    response, _ = ask(venue, "GET", "/fapi/v3/balance", query)
    assert response.code == code


def test_unknown_paths_and_parameters_are_refused(venue):
    response, answer = ask(venue, "GET", "/fapi/v9/nothing")
    assert (response.status, answer["code"]) == (404, -5000)
    response, answer = ask(venue, "GET", "/fapi/v1/depth", "symbol=BTCUSDT&deep=1")
    assert answer["code"] == -1104
    assert "deep" in answer["msg"]
    _, answer = ask(venue, "GET", "/fapi/v1/time", "a=1&a=2")
    assert answer["code"] == -1101


def test_lenient_notes_unknown_parameters():
    venue = make_venue(is_lenient=True)
    response, _ = ask(venue, "GET", "/fapi/v1/depth", "symbol=BTCUSDT&deep=1")
    assert response.status == 200
    [record] = venue.record.after(0, 10)
    assert record["notes"] == ["unknown parameter 'deep'"]


LIMIT = "symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=GTC"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("symbol=NOPE&side=BUY&type=MARKET&quantity=1", -1121),
        ("side=BUY&type=MARKET&quantity=1", -1102),
        ("symbol=BTCUSDT&side=HOLD&type=MARKET&quantity=1", -1117),
        ("symbol=BTCUSDT&side=BUY&type=MAGIC&quantity=1", -1116),
        ("symbol=BTCUSDT&side=BUY&type=STOP_MARKET&quantity=1&stopPrice=1", -4120),
        (f"{LIMIT}&quantity=0.001&price=59000.05", -1111),
        (f"{LIMIT}&quantity=0.0001&price=59000", -1111),
        (f"{LIMIT}&quantity=0&price=59000", -4003),
        (f"{LIMIT}&quantity=-1&price=59000", -1100),
        (f"{LIMIT}&quantity=1&price=0", -4001),
        (f"{LIMIT}&quantity=NaN&price=59000", -1100),
        (f"{LIMIT}&quantity=1e999999999&price=59000", -1100),
        (f"{LIMIT}&quantity=0.001&price=1000", -4164),
        (f"{LIMIT}&quantity=0.1&price=70000", -4016),
        (f"{LIMIT}&quantity=0.1&price=59000&positionSide=LONG", -4061),
        (f"{LIMIT}&quantity=0.1&price=59000&priceMatch=QUEUE", -1020),
        (f"{LIMIT}&quantity=0.1&price=59000&newClientOrderId={'x' * 37}", -4015),
        (f"{LIMIT}&quantity=0.1&price=59000&newClientOrderId=a%20b", -1100),
        (f"{LIMIT}&quantity=1000&price=59000", -2019),
        ("symbol=BTCUSDT&side=BUY&type=LIMIT&quantity=1&price=59000", -1102),
        ("symbol=BTCUSDT&side=BUY&type=MARKET&quantity=1&price=1", -1106),
        ("symbol=BTCUSDT&side=SELL&type=MARKET&quantity=1&reduceOnly=true", -2022),
    ],
)
def test_orders_that_are_wrong(venue, text, code):
    response, answer = signed(venue, "POST", "/fapi/v1/order", text)
    assert (response.status, answer["code"]) == (400, code), answer
    assert not venue.exchange.orders


def test_an_acknowledgement_shows_no_fill_and_a_result_does(venue):
    text = "symbol=BTCUSDT&side=BUY&type=MARKET&quantity=0.1"
    _, answer = signed(venue, "POST", "/fapi/v1/order", text)
    assert (answer["status"], answer["executedQty"]) == ("NEW", "0.000")
    _, answer = signed(
        venue, "POST", "/fapi/v1/order", f"{text}&newOrderRespType=RESULT"
    )
    assert (answer["status"], answer["executedQty"]) == ("FILLED", "0.100")


def test_weight_is_counted_shown_and_enforced(venue):
    response, _ = signed(venue, "GET", "/fapi/v1/openOrders")
    assert response.headers["X-MBX-USED-WEIGHT-1M"] == "40"
    for _ in range(59):
        response, _ = signed(venue, "GET", "/fapi/v1/openOrders")
    assert response.status == 200
    response, answer = signed(venue, "GET", "/fapi/v1/openOrders")
    assert (response.status, answer["code"]) == (429, -1003)
    assert 0 < int(response.headers["Retry-After"]) <= 60
    response, _ = signed(venue, "GET", "/fapi/v1/openOrders", at=START + 60 * 10**9)
    assert response.status == 200


def test_orders_are_counted_shown_and_enforced(venue):
    text = f"{LIMIT}&quantity=0.001&price=59000"
    counts = [signed(venue, "POST", "/fapi/v1/order", text)[0] for _ in range(301)]
    assert counts[0].headers["X-MBX-ORDER-COUNT-10S"] == "1"
    assert {r.status for r in counts[:200]} == {200}
    assert counts[-1].status == 429
    assert counts[-1].code == -1015


def test_the_log_has_who_asked_what_and_no_secret(venue):
    text = f"{LIMIT}&quantity=0.1&price=59000&newClientOrderId=me-1"
    signed(venue, "POST", "/fapi/v1/order", text, key="r", secret="t")
    asked, accepted = venue.record.after(0, 10)
    assert asked["kind"] == "request"
    assert (asked["key_role"], asked["clientOrderId"]) == ("risk", "me-1")
    assert (accepted["kind"], accepted["event"]) == ("order", "accepted")
    assert "signature" not in json.dumps([asked, accepted])


def test_a_listen_key_expires_and_says_so(venue):
    _, answer = ask(venue, "POST", "/fapi/v1/listenKey")
    key = answer["listenKey"]
    subscriber = Subscriber(is_combined=False)
    assert not venue.streams.subscribe(subscriber, key)
    later = START + 1_800 * 10**9
    assert ask(venue, "PUT", "/fapi/v1/listenKey", at=later)[0].status == 200
    venue.timer(START + 3_600 * 10**9)
    assert not subscriber.frames
    venue.timer(later + 3_600 * 10**9)
    assert b"listenKeyExpired" in subscriber.frames[0]
    _, answer = ask(venue, "PUT", "/fapi/v1/listenKey", at=later * 2)
    assert answer["code"] == -1125


def test_subscriptions_are_acknowledged_listed_and_ended(venue):
    subscriber = Subscriber(is_combined=True)

    def say(method, *streams, number=1):
        message = {"method": method, "params": list(streams), "id": number}
        venue.receive(subscriber, json.dumps(message))
        return json.loads(subscriber.frames.pop()[2:])

    assert say("SUBSCRIBE", "btcusdt@aggTrade") == {"result": None, "id": 1}
    assert say("LIST_SUBSCRIPTIONS", number="x") == {
        "result": ["btcusdt@aggTrade"],
        "id": "x",
    }
    assert say("SUBSCRIBE", "nope@aggTrade")["error"]["code"] == 2
    assert say("SUBSCRIBE", "btcusdt@nonsense")["error"]["code"] == 2
    assert say("SHOUT")["error"]["code"] == 2
    assert say("UNSUBSCRIBE", "btcusdt@aggTrade") == {"result": None, "id": 1}
    assert say("LIST_SUBSCRIPTIONS")["result"] == []


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.binary(max_size=80), st.text(max_size=80)))
def test_no_message_breaks_a_connection(text):
    subscriber = Subscriber(is_combined=False)
    VENUE.receive(subscriber, text)
    assert len(subscriber.frames) == 1


VENUE = make_venue(is_limited=False)
NAMES = sorted({name for found in ROUTES.values() for name in found.parameters})
VALUES = st.one_of(
    st.sampled_from(
        ["BTCUSDT", "BUY", "SELL", "LIMIT", "MARKET", "STOP", "true", "GTC", "1m", "[]"]
    ),
    st.integers(-(10**20), 10**20).map(str),
    st.decimals(allow_nan=True).map(str),
    st.text(max_size=12),
    st.just("[" * 500),
)


@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from(sorted(ROUTES)),
    st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=6),
)
def test_no_parameters_break_a_path(path, values):
    """Whatever is sent to a known path, the answer is JSON with a known status."""
    from urllib.parse import urlencode

    method, name = path
    known = {k: v for k, v in values.items() if k in ROUTES[path].parameters}
    response, answer = signed(VENUE, method, name, urlencode(known))
    assert response.status in {200, 400}
    if response.status == 400:
        assert set(answer) == {"code", "msg"}


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=40), st.binary(max_size=60))
def test_no_bytes_break_the_front_door(query, body):
    request = Request("POST", "/fapi/v1/order", query, body, "k")
    response = VENUE.respond(request, START)
    assert response.status == 400
    json.loads(response.body)

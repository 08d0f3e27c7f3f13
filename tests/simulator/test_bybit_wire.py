"""The front door of the Bybit venue: who may ask what, how often, in which words."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cryptoquantix.simulator.wire.bybit import ROUTES
from cryptoquantix.simulator.wire.messages import Request
from simulator.bybit_bench import Bench

INFO = "/v5/account/info"


@pytest.fixture(scope="module")
def bench():
    return Bench()


def test_every_answer_has_the_envelope(bench):
    answer = bench.ask("GET", "/v5/market/time")
    assert list(answer) == ["retCode", "retMsg", "result", "retExtInfo", "time"]
    assert (answer["retCode"], answer["retMsg"]) == (0, "OK")
    assert answer["time"] == bench.clock.time_ns() // 1_000_000


def test_a_signed_query_opens_the_account_and_the_log_says_whose_key(bench):
    response = bench.respond("GET", INFO)
    assert (response.status, response.code, response.key_role) == (200, 0, "trade")
    response = bench.respond("GET", INFO, key="r", secret="t")
    assert (response.code, response.key_role) == (0, "risk")


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"secret": "wrong"}, 10004),
        ({"key": "nobody"}, 10003),
        ({"headers": {"x-bapi-api-key": ""}}, 10001),
        ({"headers": {"x-bapi-sign": "ÿ"}}, 10004),
        ({"stamp": "soon"}, 10001),
        ({"window": "-1"}, 10001),
        ({"stamp": 1}, 10002),
        ({"query": "a=1"}, 10004),
    ],
)
def test_a_request_that_is_not_the_key_holders_is_refused(bench, changes, code):
    response = bench.respond("GET", INFO, **changes)
    assert (response.status, response.code) == (200, code)


@pytest.mark.parametrize(("ms", "code"), [(-4_999, 0), (999, 0), (1_000, 10002)])
def test_a_timestamp_may_be_as_old_as_the_window_and_a_second_ahead(bench, ms, code):
    now_ms = bench.clock.time_ns() // 1_000_000
    assert bench.ask("GET", INFO, stamp=now_ms + ms)["retCode"] == code
    assert bench.ask("GET", INFO, stamp=now_ms - 5_001)["retCode"] == 10002
    assert bench.ask("GET", INFO, stamp=now_ms - 5_001, window="6000")["retCode"] == 0


def test_the_signature_covers_the_body_as_it_was_sent(bench):
    body = {"category": "linear", "symbol": "BTCUSDT", "mode": 0}
    spaced = json.dumps(body, indent=1).encode()
    path = "/v5/position/switch-mode"
    assert bench.ask("POST", path, body)["retCode"] == 110025
    assert bench.ask("POST", path, body, body=spaced)["retCode"] == 10004


def test_unknown_paths_and_parameters_are_refused(bench):
    response = bench.respond("GET", "/v5/market/nothing")
    assert (response.status, response.code) == (404, 10404)
    assert bench.respond("POST", "/v5/market/time").status == 404
    answer = bench.ask("GET", INFO, {"colour": "blue"})
    assert answer["retCode"] == 10001
    assert "colour" in answer["retMsg"]


def test_leniency_logs_what_it_does_not_know():
    bench = Bench(is_lenient=True)
    response = bench.respond("GET", INFO, {"colour": "blue"})
    assert response.code == 0
    assert response.notes == ("unknown parameter 'colour'",)


def test_calls_of_a_path_are_limited_for_an_account_in_a_rolling_second():
    bench = Bench(is_limited=True)
    order = {"category": "linear", "symbol": "BTCUSDT", "orderId": "x"}
    for used in range(10):
        response = bench.respond("POST", "/v5/order/cancel", order)
        assert response.code == 110001
        assert response.headers["X-Bapi-Limit"] == "10"
        assert response.headers["X-Bapi-Limit-Status"] == str(9 - used)
    refused = bench.respond("POST", "/v5/order/cancel", order)
    assert (refused.status, refused.code) == (200, 10006)
    assert refused.headers["X-Bapi-Limit-Status"] == "0"
    reset_ms = int(refused.headers["X-Bapi-Limit-Reset-Timestamp"])
    assert reset_ms == bench.clock.time_ns() // 1_000_000 + 1_000
    # Another path has a count of its own, and a second later this one is free again.
    assert bench.respond("GET", INFO).code == 0
    bench.clock.advance(1_000_000_000)
    assert bench.respond("POST", "/v5/order/cancel", order).code == 110001


def test_each_order_of_a_batch_counts():
    bench = Bench(is_limited=True)
    one = {"symbol": "BTCUSDT", "orderId": "x"}
    batch = {"category": "linear", "request": [one] * 8}
    assert bench.respond("POST", "/v5/order/cancel-batch", batch).code == 0
    assert bench.respond("POST", "/v5/order/cancel-batch", batch).code == 10006


def test_an_address_that_asks_too_much_is_banned_for_ten_minutes():
    bench = Bench(is_limited=True)
    time = Request("GET", "/v5/market/time", "", b"", address="a")
    now_ns = bench.clock.time_ns()
    statuses = [bench.venue.respond(time, now_ns).status for _ in range(601)]
    assert statuses == [200] * 600 + [403]
    assert bench.venue.respond(time._replace(address="b"), now_ns).status == 200
    for seconds, status in ((599, 403), (601, 200)):
        later = now_ns + seconds * 1_000_000_000
        assert bench.venue.respond(time, later).status == status


def test_an_outage_and_a_large_body_are_refused_in_the_envelope(bench):
    for response, status in (
        (bench.venue.unavailable(503), 503),
        (bench.venue.oversized(), 413),
    ):
        assert response.status == status
        assert json.loads(response.body)["retCode"] == response.code != 0


# Whatever a client sends, the venue answers in its own format and goes on.

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.text(max_size=12),
    st.sampled_from(
        ["linear", "BTCUSDT", "Buy", "Limit", "0.1", "60000", "-1", "1e9", "NaN", "²"]
    ),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.text(max_size=5), inner, max_size=3),
    ),
    max_leaves=6,
)


@st.composite
def requests(draw):
    method, path = draw(st.sampled_from(sorted(ROUTES)))
    names = sorted(ROUTES[method, path].parameters)
    wanted = {"category": "linear", "symbol": "BTCUSDT"}
    values = {n: wanted[n] for n in names if n in wanted and draw(st.booleans())}
    for name in draw(st.lists(st.sampled_from([*names, "other"]), max_size=6)):
        values[name] = draw(VALUES)
    return method, path, values


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(asked=requests())
def test_no_parameters_break_the_venue(bench, asked):
    method, path, values = asked
    response = bench.respond(method, path, values)
    answer = json.loads(response.body)
    assert response.status == 200
    assert isinstance(answer["retCode"], int)
    assert bench.ask("GET", "/v5/market/time")["retCode"] == 0


# Text that is no UTF-8 reaches the wire as lone surrogates.
ANY_TEXT = st.text(st.characters(), max_size=40) | st.just("a=\udcff&\udc80=1")


@settings(max_examples=200, deadline=None)
@given(query=ANY_TEXT, body=st.binary(max_size=60), data=st.data())
def test_no_bytes_break_the_venue(bench, query, body, data):
    method, path = data.draw(st.sampled_from(sorted(ROUTES)))
    now_ns = bench.clock.time_ns()
    for where in (path, f"/{query}"):
        headers = {"x-bapi-api-key": query}
        request = Request(method, where, query, body, headers=headers)
        response = bench.venue.wire.respond(request, now_ns)
        assert isinstance(json.loads(response.body)["retCode"], int)
    assert bench.respond("GET", INFO, query=query).code in {0, 10004}
    signed = bench.respond("POST", "/v5/order/create", body=body)
    assert signed.code in {10001, 10004}

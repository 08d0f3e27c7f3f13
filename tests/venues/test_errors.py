"""Nothing is called refused that may have been accepted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryptoquantix.core.errors import (
    CredentialsRefused,
    OrderNotFound,
    OrderRefused,
    OutcomeUnknown,
    RateLimited,
    VenueUnavailable,
)
from cryptoquantix.venues.errors import Failure, order_error, read_error


def failure(status=None, code=None, is_sent=True, text="", delay_ns=0):
    return Failure("binance", "order cqx-1", is_sent, status, code, text, delay_ns)


UNKNOWN = [
    (None, None),  # the connection broke, or no answer in time
    (408, -1007),
    (503, -1001),
    (500, None),
    (502, None),
    (503, None),
    (504, None),
    (400, -1006),
    (400, -4116),  # an order with this client id exists: look it up
    (200, None),  # an answer that cannot be read
    (403, None),
]
DEFINITE = [
    (400, -2019, OrderRefused),
    (400, -2022, OrderRefused),
    (400, -4164, OrderRefused),
    (400, -1111, OrderRefused),
    (503, -1008, VenueUnavailable),
    (400, -1021, VenueUnavailable),
    (400, -5028, VenueUnavailable),
    (429, -1003, RateLimited),
    (418, None, RateLimited),
    (400, -1015, RateLimited),
    (401, -2015, CredentialsRefused),
    (400, -1022, CredentialsRefused),
    (400, -2011, OrderNotFound),
    (400, -2013, OrderNotFound),
]


@pytest.mark.parametrize(("status", "code"), UNKNOWN)
def test_what_does_not_prove_a_refusal_is_unknown(status, code):
    assert type(order_error(failure(status, code))) is OutcomeUnknown


@pytest.mark.parametrize(("status", "code", "kind"), DEFINITE)
def test_what_proves_it_is_told_as_it_is(status, code, kind):
    error = order_error(failure(status, code, text="why"))
    assert type(error) is kind
    assert "why" in str(error)


@given(
    status=st.one_of(st.none(), st.integers(500, 599), st.just(200)),
    code=st.one_of(st.none(), st.sampled_from([-1000, -1001, -1006, -1007])),
)
def test_no_server_fault_is_ever_taken_for_a_refusal(status, code):
    assert isinstance(order_error(failure(status, code)), OutcomeUnknown)


@given(status=st.one_of(st.none(), st.integers(200, 599)), code=st.integers(-6000, 0))
def test_what_was_never_written_was_never_accepted(status, code):
    unsent = failure(status, code, is_sent=False)
    assert isinstance(order_error(unsent), VenueUnavailable)


@pytest.mark.parametrize(
    ("venue", "status", "code"),
    [
        ("bybit", 200, 10000),
        ("bybit", 200, 10016),
        ("bybit", 200, 110072),
        ("deribit", 400, 10001),
        ("deribit", 400, 11031),  # other_error: "more may be specified"
        ("deribit", 400, 11094),  # internal_server_error: unhandled
        ("deribit", 400, 13028),  # "not responding or too slow"
        ("deribit", 400, 13888),
    ],
)
def test_a_fault_inside_a_venue_is_no_refusal(venue, status, code):
    lost = Failure(venue, "order cqx-1", is_sent=True, status=status, code=code)
    assert type(order_error(lost)) is OutcomeUnknown
    assert type(read_error(lost)) is VenueUnavailable


@pytest.mark.parametrize("code", [-1004, -1016])
def test_a_venue_that_is_busy_or_shutting_down_took_nothing(code):
    assert type(order_error(failure(400, code))) is VenueUnavailable


def test_a_read_that_failed_may_be_made_again():
    for status, code in UNKNOWN:
        assert isinstance(read_error(failure(status, code)), VenueUnavailable)
    assert isinstance(read_error(failure(401, -2015)), CredentialsRefused)


def test_a_limit_says_how_long_to_wait():
    assert order_error(failure(429, delay_ns=7)).delay_ns == 7
    assert order_error(failure(418)).delay_ns > 0

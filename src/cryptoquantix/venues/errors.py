"""
What went wrong at a venue, as our own errors; it retries nothing.

The question that matters for an order is not *what failed* but *may it have been
accepted*: anything that does not prove the contrary is :class:`OutcomeUnknown`. ccxt's
texts are never passed on, because they hold whole URLs with their signatures; ours say
the venue's code and message. Written from the venues' error lists; ccxt's classes
depend on the URL at one of them and are not used.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cryptoquantix.core.clock import NS_PER_SECOND
from cryptoquantix.core.errors import (
    CredentialsRefused,
    OrderNotFound,
    OrderRefused,
    OutcomeUnknown,
    RateLimited,
    VenueError,
    VenueUnavailable,
)


@dataclass(frozen=True, slots=True)
class Codes:
    """
    What a venue's codes prove; all others below HTTP 500 are plain refusals.

    ``unknown``: may have been accepted. ``limited``: nothing was, wait.
    ``unavailable``: nothing was, try again. ``clock``: the same, once our clock is set.
    ``not_found``: the order is unknown or rests no more.
    """

    unknown: frozenset[int]
    limited: frozenset[int]
    unavailable: frozenset[int]
    clock: frozenset[int]
    credentials: frozenset[int]
    not_found: frozenset[int]
    delay_ns: int


BINANCE_CODES: Final = Codes(
    # -1000 unknown, -1001 disconnected, -1006 unexpected response (both: "execution
    # status unknown"), -1007 timeout at the backend; -4116: an order with this client
    # id exists.
    unknown=frozenset({-1000, -1001, -1006, -1007, -4116}),
    # -1003 too many requests, -1015 too many orders.
    limited=frozenset({-1003, -1015}),
    # -1004 busy, -1008 overload (nothing accepted), -1016 shutting down, -1021 and
    # -5028 outside the receive window.
    unavailable=frozenset({-1004, -1008, -1016, -1021, -5028}),
    clock=frozenset({-1021, -5028}),
    # -1002 unauthorized, -1022 wrong signature, -2014 malformed key, -2015 key, address
    # or permissions.
    credentials=frozenset({-1002, -1022, -2014, -2015}),
    not_found=frozenset({-2011, -2013}),
    delay_ns=10 * NS_PER_SECOND,
)
BYBIT_CODES: Final = Codes(
    # 10000 timeout at the backend, 10014 duplicate request, 10016 internal error (also
    # maintenance), 3400214 server error; 110072: an order with this link id exists.
    unknown=frozenset({10000, 10014, 10016, 110072, 3400214}),
    # 10006 calls of one path, 10018 the address, 10429 the whole system.
    limited=frozenset({10006, 10018, 10429}),
    # 10002 outside the receive window, 10019 restarting, 110079 the order is just being
    # processed.
    unavailable=frozenset({10002, 10019, 110079}),
    clock=frozenset({10002}),
    # 10003 key, 10004 signature, 10005 permission, 10007 authentication, 10008 and
    # 10009 banned, 10010 address not bound, 33004 expired.
    credentials=frozenset({10003, 10004, 10005, 10007, 10008, 10009, 10010, 33004}),
    # 110001 not there or too late, 110008 done or canceled, 110010 canceled.
    not_found=frozenset({110001, 110008, 110010}),
    delay_ns=NS_PER_SECOND,
)
DERIBIT_CODES: Final = Codes(
    # 10001 general error, 11031 other_error, 11094 internal_server_error, 13028
    # temporarily_unavailable ("not responding or too slow"), 13888 timed out.
    unknown=frozenset({10001, 11031, 11094, 13028, 13888}),
    # 10028 too_many_requests, 10066 too_many_concurrent_requests.
    limited=frozenset({10028, 10066}),
    # 10040 retry, 10041 settlement_in_progress, 10047 matching_engine_queue_full,
    # 11051 system_maintenance.
    unavailable=frozenset({10040, 10041, 10047, 11051}),
    # A stamp that is too old, or a nonce used before, looks like a wrong key.
    clock=frozenset({13004, 13009}),
    # 10000 authorization_required, 13004 invalid_credentials, 13005, 13009
    # unauthorized, 13021 forbidden.
    credentials=frozenset({10000, 13004, 13005, 13009, 13021}),
    # 10004 order_not_found, 10010 already_closed, 11008 already_filled, 11044
    # not_open_order.
    not_found=frozenset({10004, 10010, 11008, 11044}),
    delay_ns=NS_PER_SECOND,
)
_CODES: Final = {
    "binance": BINANCE_CODES,
    "bybit": BYBIT_CODES,
    "deribit": DERIBIT_CODES,
}
CODES_CLOCK: Final = BINANCE_CODES.clock
BYBIT_BAN_NS: Final = 600 * NS_PER_SECOND
_BYBIT_BAN_TEXT: Final = "access too frequent"


@dataclass(frozen=True, slots=True)
class Failure:
    """
    What is known of a request that did not succeed.

    ``is_sent`` is False only where it is proven that no byte of it was written;
    ``status`` and ``code`` are None where there was no such answer.
    """

    venue: str
    request: str
    is_sent: bool
    status: int | None = None
    code: int | None = None
    text: str = ""
    delay_ns: int = 0


def is_clock_doubtful(failure: Failure) -> bool:
    """Return whether our clock may be the reason: set it and try once more."""
    return failure.is_sent and failure.code in _CODES[failure.venue].clock


def order_error(failure: Failure) -> VenueError:
    """
    Return the error of a request that may change orders.

    Examples
    --------
    >>> lost = Failure("binance", "POST order", is_sent=True)
    >>> type(order_error(lost)).__name__
    'OutcomeUnknown'
    """
    definite = _definite(failure)
    if definite is not None:
        return definite
    if _is_refusal(failure):
        return OrderRefused(
            _sentence(failure, "refused"),
            venue=failure.venue,
            request=failure.request,
            reason=f"{failure.code} {failure.text}".strip(),
        )
    text = _sentence(failure, "left the outcome open of")
    return OutcomeUnknown(text, venue=failure.venue, request=failure.request)


def read_error(failure: Failure) -> VenueError:
    """Return the error of a request that only reads: it may be made again."""
    definite = _definite(failure)
    if definite is not None:
        return definite
    text = _sentence(failure, "did not answer")
    return VenueUnavailable(text, venue=failure.venue, request=failure.request)


def _is_refusal(failure: Failure) -> bool:
    """Return whether a code says no, and not that something went wrong."""
    if failure.status is None or failure.code is None:
        return False
    # Bybit says no with HTTP 200.
    lowest = 200 if failure.venue == "bybit" else 400
    is_answer = lowest <= failure.status < 500
    return is_answer and failure.code not in _CODES[failure.venue].unknown


def _definite(failure: Failure) -> VenueError | None:
    """Return the error where it is proven that nothing was accepted."""
    venue, request, code = failure.venue, failure.request, failure.code
    codes = _CODES[venue]
    if not failure.is_sent:
        text = f"{venue} cannot be reached for {request}: {failure.text}"
        return VenueUnavailable(text, venue=venue, request=request)
    if _is_limited(failure):
        text = _sentence(failure, "limits the rate of")
        delay_ns = _wait_ns(failure)
        return RateLimited(text, venue=venue, request=request, delay_ns=delay_ns)
    for found, kind, verb in (
        (codes.credentials, CredentialsRefused, "refuses the key for"),
        (codes.not_found, OrderNotFound, "does not know the order of"),
        (codes.unavailable, VenueUnavailable, "did not accept"),
    ):
        if code in found:
            return kind(_sentence(failure, verb), venue=venue, request=request)
    if failure.status == 401:
        text = _sentence(failure, "refuses the key for")
        return CredentialsRefused(text, venue=venue, request=request)
    return None


def _is_limited(failure: Failure) -> bool:
    if failure.status in {418, 429} or failure.code in _CODES[failure.venue].limited:
        return True
    return _is_bybit_ban(failure)


def _is_bybit_ban(failure: Failure) -> bool:
    """Return whether Bybit bans the address: HTTP 403 with these words, or 10018."""
    if failure.venue != "bybit":
        return False
    return failure.code == 10018 or (
        failure.status == 403 and _BYBIT_BAN_TEXT in failure.text
    )


def _wait_ns(failure: Failure) -> int:
    """Return the wait asked for, or what the venue's documents say of it."""
    if failure.delay_ns:
        return failure.delay_ns
    return BYBIT_BAN_NS if _is_bybit_ban(failure) else _CODES[failure.venue].delay_ns


def _sentence(failure: Failure, verb: str) -> str:
    found = [] if failure.status is None else [f"HTTP {failure.status}"]
    found += [] if failure.code is None else [f"code {failure.code}"]
    found += [failure.text] if failure.text else []
    detail = f" ({', '.join(found)})" if found else ""
    return f"{failure.venue} {verb} {failure.request}{detail}"

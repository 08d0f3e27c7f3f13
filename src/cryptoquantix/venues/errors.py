"""
What went wrong at a venue, as our own errors; it retries nothing.

The question that matters for an order is not *what failed* but *may it have been
accepted*: anything that does not prove the contrary is :class:`OutcomeUnknown`. ccxt's
texts are never passed on, because they hold whole URLs with their signatures; ours say
the venue's code and message. Written from Binance's error list; ccxt's classes depend
on the URL there and are not used.
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

# -1000 unknown, -1001 disconnected, -1006 unexpected response (both: "execution status
# unknown"), -1007 timeout at the backend; -4116: an order with this client id exists.
_CODES_UNKNOWN: Final = frozenset({-1000, -1001, -1006, -1007, -4116})
# -1003 too many requests, -1015 too many orders.
_CODES_LIMITED: Final = frozenset({-1003, -1015})
# -1008 overload (nothing accepted), -1021 and -5028 outside the receive window.
_CODES_UNAVAILABLE: Final = frozenset({-1008, -1021, -5028})
CODES_CLOCK: Final = frozenset({-1021, -5028})
# -1002 unauthorized, -1022 wrong signature, -2014 malformed key, -2015 key, address or
# permissions.
_CODES_CREDENTIALS: Final = frozenset({-1002, -1022, -2014, -2015})
_CODES_NOT_FOUND: Final = frozenset({-2011, -2013})
_DELAY_DEFAULT_NS: Final = 10 * NS_PER_SECOND


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
    is_refusal = failure.status is not None and 400 <= failure.status < 500
    if is_refusal and failure.code is not None and failure.code not in _CODES_UNKNOWN:
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


def _definite(failure: Failure) -> VenueError | None:
    """Return the error where it is proven that nothing was accepted."""
    venue, request, code = failure.venue, failure.request, failure.code
    if not failure.is_sent:
        text = f"{venue} cannot be reached for {request}: {failure.text}"
        return VenueUnavailable(text, venue=venue, request=request)
    if failure.status in {418, 429} or code in _CODES_LIMITED:
        delay_ns = failure.delay_ns or _DELAY_DEFAULT_NS
        text = _sentence(failure, "limits the rate of")
        return RateLimited(text, venue=venue, request=request, delay_ns=delay_ns)
    for codes, kind, verb in (
        (_CODES_CREDENTIALS, CredentialsRefused, "refuses the key for"),
        (_CODES_NOT_FOUND, OrderNotFound, "does not know the order of"),
        (_CODES_UNAVAILABLE, VenueUnavailable, "did not accept"),
    ):
        if code in codes:
            return kind(_sentence(failure, verb), venue=venue, request=request)
    if failure.status == 401:
        text = _sentence(failure, "refuses the key for")
        return CredentialsRefused(text, venue=venue, request=request)
    return None


def _sentence(failure: Failure, verb: str) -> str:
    found = [] if failure.status is None else [f"HTTP {failure.status}"]
    found += [] if failure.code is None else [f"code {failure.code}"]
    found += [failure.text] if failure.text else []
    detail = f" ({', '.join(found)})" if found else ""
    return f"{failure.venue} {verb} {failure.request}{detail}"

"""
ccxt's clients of the three venues with three seams of ours; it knows no orders.

One: a check that runs when the connection is there and the request's first byte is
about to be written, after every queue and throttle. Two: whether that byte was
written, so that "cannot have been accepted" is known and not guessed. Three: the HTTP
status, the venue's code and the wait it asks for, whatever ccxt makes of them.
"""

from __future__ import annotations

import contextvars
import ssl
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast
from urllib.parse import urlsplit

import aiohttp
import ccxt  # noqa: TID251 - this is its seam
import certifi
from ccxt.async_support.binanceusdm import (  # noqa: TID251 - this is its seam
    binanceusdm,
)
from ccxt.async_support.bybit import bybit  # noqa: TID251 - this is its seam
from ccxt.async_support.deribit import deribit  # noqa: TID251 - this is its seam

from cryptoquantix.control.permit import RECEIVE_WINDOW_MS
from cryptoquantix.core.clock import NS_PER_MS, NS_PER_SECOND
from cryptoquantix.core.errors import SettingsError
from cryptoquantix.core.instrument import Venue
from cryptoquantix.venues.errors import Failure

BINANCE_REST: Final = "https://fapi.binance.com"
ANSWER_MS_MAX: Final = 3_000
CONNECTIONS: Final = 32
_TEXT_MAX: Final = 300


@dataclass(slots=True)
class Attempt:
    """One request on its way. ``is_once`` where it must not be written twice."""

    check: Callable[[], None] | None = None
    is_once: bool = False
    is_sent: bool = False

    def start(self) -> None:
        """Run the check and note that bytes are being written."""
        if self.is_once and self.is_sent:
            # aiohttp would repeat the request for a redirect, and a GET (Deribit's
            # orders) on a connection that broke: an order goes out once.
            msg = "sent once already"
            raise aiohttp.ClientPayloadError(msg)
        if self.check is not None:
            self.check()
        self.is_sent = True


ATTEMPT: contextvars.ContextVar[Attempt | None] = contextvars.ContextVar(
    "attempt", default=None
)


class GatedRequest(aiohttp.ClientRequest):
    """aiohttp's request, which asks its :class:`Attempt` before it writes."""

    async def send(self, conn: Any) -> aiohttp.ClientResponse:  # noqa: ANN401 - private
        """Write the request; aiohttp calls this with the connection in hand."""
        attempt = ATTEMPT.get()
        if attempt is not None:
            attempt.start()
        return await super().send(conn)


class _Telling:
    """What a client says of each refusal: HTTP status, venue's code, text and wait."""

    def handle_errors(self, code: int, *args: Any) -> None:  # noqa: ANN401 - ccxt's
        """Run ccxt's reading of an answer; note status, headers and body of a no."""
        try:
            super().handle_errors(code, *args)  # type: ignore[misc]
        except Exception as error:
            _note(error, code, headers=args[3], response=args[5], text="")
            raise

    def handle_http_status_code(self, code: int, *args: Any) -> None:  # noqa: ANN401
        """Run ccxt's reading of a bare status; note it."""
        try:
            super().handle_http_status_code(code, *args)  # type: ignore[misc]
        except Exception as error:
            _note(error, code, headers={}, response=None, text=_plain(args[3]))
            raise


class BinanceWire(_Telling, binanceusdm):  # type: ignore[misc]  # ccxt has no types
    """Binance USD-M."""


class BybitWire(_Telling, bybit):  # type: ignore[misc]  # ccxt carries no types
    """Bybit v5."""


class DeribitWire(_Telling, deribit):  # type: ignore[misc]  # ccxt carries no types
    """
    Deribit over HTTP: every request has a nonce of its own.

    ccxt counts milliseconds, and two requests within one would share a nonce, which
    the venue refuses. It has no correction of the clock either: ``timeDifference``
    (ms that our clock is ahead) works here as it does for the other two.
    """

    last_nonce = 0

    def milliseconds(self) -> int:
        """Return the venue's time as far as it is known."""
        return int(super().milliseconds() - self.options.get("timeDifference", 0))

    def nonce(self) -> int:
        """Return a number that no request had before."""
        self.last_nonce = max(self.last_nonce + 1, self.milliseconds())
        return self.last_nonce


type Wire = BinanceWire | BybitWire | DeribitWire

_WIRES: Final[Mapping[Venue, type[Any]]] = {
    Venue.BINANCE: BinanceWire,
    Venue.BYBIT: BybitWire,
    Venue.DERIBIT: DeribitWire,
}


def open_wire(
    rest: str,
    key: str,
    secret: str,
    venue: Venue = Venue.BINANCE,
    *,
    connections: int = CONNECTIONS,
) -> Wire:
    """
    Return a client of ``venue`` at ``rest``; close it with :func:`close_wire`.

    Raises
    ------
    SettingsError
        If ``rest`` is no http address, or an address of the client would leave it.
    """
    rest = rest.rstrip("/")
    connector = aiohttp.TCPConnector(
        ssl=ssl.create_default_context(cafile=certifi.where()), limit=connections
    )
    session = aiohttp.ClientSession(connector=connector, request_class=GatedRequest)
    config: dict[str, Any] = {
        "apiKey": key,
        "secret": secret,
        # Our own budgets throttle: they must be passed before the permit is checked,
        # and ccxt's stands between the two.
        "enableRateLimit": False,
        "session": session,
        "timeout": ANSWER_MS_MAX,
        "has": {"fetchCurrencies": False},
        "options": {"recvWindow": RECEIVE_WINDOW_MS},
    }
    if venue is Venue.BYBIT:
        # What ccxt would otherwise ask two signed calls for before the first one.
        config["options"] |= {
            "enableUnifiedMargin": False,
            "enableUnifiedAccount": True,
            "unifiedMarginStatus": 6,
        }
    if rest != BINANCE_REST:  # whose wallet endpoints are on a host of their own
        config["urls"] = {"api": addresses(venue, rest)}
    wire = _WIRES[venue](config)
    if venue is Venue.BINANCE:
        # ccxt picks its futures error table by the live URL (VENUES: on any other
        # address 90 codes fall back to one class).
        wire.exceptions["exact"].update(wire.exceptions["linear"]["exact"])
    if rest != BINANCE_REST:
        _assert_host(wire.urls["api"], rest)
    return cast("Wire", wire)


async def close_wire(wire: Wire) -> None:
    """Close the client's connections; closing twice is fine."""
    session, wire.session = wire.session, None
    if session is not None:
        await session.close()


# -- what went wrong ----------------------------------------------------------------


def failure_of(
    venue: Venue | str, error: Exception, request: str, *, is_sent: bool
) -> Failure:
    """Return what is known of a failed request; ccxt's own text holds signatures."""
    status = getattr(error, "http_status", None)
    text = str(getattr(error, "venue_text", ""))
    if status is None:
        is_timeout = isinstance(error, ccxt.RequestTimeout)
        cause = error.__cause__ or error
        text = "no answer in time" if is_timeout else type(cause).__name__
    return Failure(
        venue=str(venue),
        request=request,
        is_sent=is_sent,
        status=status,
        code=getattr(error, "venue_code", None),
        text=text,
        delay_ns=getattr(error, "delay_ns", 0),
    )


def _note(
    error: Exception,
    status: int,
    *,
    headers: Mapping[str, str],
    response: object,
    text: str,
) -> None:
    noted = cast("Any", error)
    body: dict[str, Any] = response if isinstance(response, dict) else {}
    noted.http_status = status
    noted.venue_code, found = _said(body)
    # Bybit repeats what was signed, the key included.
    noted.venue_text = (found or text).partition("origin_string")[0].strip()[:_TEXT_MAX]
    noted.delay_ns = _delay_ns(headers, body)
    noted.retry_after = headers.get("Retry-After", "")


def _said(body: Mapping[str, Any]) -> tuple[int | None, str]:
    """Return the code and text of a refusal, in any of the three shapes."""
    if "retCode" in body:
        return _whole(body["retCode"]), str(body.get("retMsg", ""))
    refusal = body.get("error")
    if isinstance(refusal, dict):
        data = refusal.get("data")
        reason = data.get("reason", "") if isinstance(data, dict) else ""
        text = str(refusal.get("message", ""))
        return _whole(refusal.get("code")), f"{text}: {reason}" if reason else text
    return _whole(body.get("code")), str(body.get("msg", ""))


def _delay_ns(headers: Mapping[str, str], body: Mapping[str, Any]) -> int:
    """Return how long the venue asks to wait, 0 where it does not say."""
    wait = _whole(headers.get("Retry-After"))
    if wait is not None:
        return max(0, wait) * NS_PER_SECOND
    reset_ms = _whole(headers.get("X-Bapi-Limit-Reset-Timestamp"))
    now_ms = _whole(body.get("time"))  # by the venue's clock, as the reset is
    if reset_ms is None or now_ms is None:
        return 0
    return max(0, reset_ms - now_ms) * NS_PER_MS


def _plain(body: object) -> str:
    """Return the start of a plain answer; pages of a proxy say nothing of use."""
    text = str(body or "").strip()
    return "" if text.startswith(("<", "{")) else text.splitlines()[0][:100]


def _whole(value: object) -> int | None:
    try:
        return int(str(value))
    except ValueError:
        return None


# -- where it goes ------------------------------------------------------------------


def addresses(venue: Venue, rest: str) -> dict[str, Any]:
    """
    Return ccxt's whole tree of a venue's addresses, every leaf below ``rest``.

    Raises
    ------
    SettingsError
        If ``rest`` is no http address.
    """
    parts = urlsplit(rest)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        msg = f"venues.{venue}.rest must be http(s)://host[:port], was {rest!r}"
        raise SettingsError(msg)
    if venue is Venue.BYBIT:
        return dict.fromkeys(("spot", "futures", "v2", "public", "private"), rest)
    if venue is Venue.DERIBIT:
        return {"rest": rest}
    stream = rest.replace("http", "ws", 1)
    tree: dict[str, Any] = {name: rest + path for name, path in _BINANCE.items()}
    # Never dialled here (REST only), but no leaf may point at the live venue.
    tree["ws"] = {"linear": stream + "/ws"}
    return tree


_BINANCE: Final = {
    "sapi": "/sapi/v1",
    "sapiV2": "/sapi/v2",
    "sapiV3": "/sapi/v3",
    "sapiV4": "/sapi/v4",
    "fapiPublic": "/fapi/v1",
    "fapiPublicV2": "/fapi/v2",
    "fapiPublicV3": "/fapi/v3",
    "fapiPrivate": "/fapi/v1",
    "fapiPrivateV2": "/fapi/v2",
    "fapiPrivateV3": "/fapi/v3",
    "fapiData": "/futures/data",
    "dapiPublic": "/dapi/v1",
    "dapiPrivate": "/dapi/v1",
    "dapiPrivateV2": "/dapi/v2",
    "dapiData": "/futures/data",
    "eapiPublic": "/eapi/v1",
    "eapiPrivate": "/eapi/v1",
    "papi": "/papi/v1",
    "papiV2": "/papi/v2",
    "public": "/api/v3",
    "private": "/api/v3",
    "v1": "/api/v1",
}


def _assert_host(tree: object, rest: str) -> None:
    host = urlsplit(rest).netloc
    for address in _leaves(tree):
        if urlsplit(address).netloc != host:
            msg = f"an address of the client leaves {host}: {address}"
            raise SettingsError(msg)


def _leaves(tree: object) -> Iterator[str]:
    if isinstance(tree, dict):
        for value in tree.values():
            yield from _leaves(value)
    elif isinstance(tree, str):
        yield tree

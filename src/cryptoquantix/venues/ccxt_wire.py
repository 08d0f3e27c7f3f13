"""
ccxt's Binance client with three seams of ours; it knows no orders.

One: a check that runs when the connection is there and the request's first byte is
about to be written, after every queue and throttle. Two: whether that byte was
written, so that "cannot have been accepted" is known and not guessed. Three: the HTTP
status and the venue's code of every refusal, whatever ccxt makes of them.
"""

from __future__ import annotations

import contextvars
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, cast
from urllib.parse import urlsplit

import aiohttp
import certifi
from ccxt.async_support.binanceusdm import (  # noqa: TID251 - this is its seam
    binanceusdm,
)

from cryptoquantix.control.permit import RECEIVE_WINDOW_MS
from cryptoquantix.core.errors import SettingsError

BINANCE_REST: Final = "https://fapi.binance.com"
ANSWER_MS_MAX: Final = 3_000


@dataclass(slots=True)
class Attempt:
    """One request on its way. ``is_once`` where it must not be written twice."""

    check: Callable[[], None] | None = None
    is_once: bool = False
    is_sent: bool = False

    def start(self) -> None:
        """Run the check and note that bytes are being written."""
        if self.is_once and self.is_sent:
            # aiohttp would repeat the body for a redirect: an order goes out once.
            msg = "redirected"
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


class BinanceWire(binanceusdm):  # type: ignore[misc]  # ccxt carries no types
    """ccxt's client, telling of each refusal its HTTP status and the venue's code."""

    def handle_errors(self, code: int, *args: Any) -> None:  # noqa: ANN401 - ccxt's
        """Run ccxt's reading of an answer; note status, headers and body of a no."""
        try:
            super().handle_errors(code, *args)
        except Exception as error:
            _note(error, code, headers=args[3], response=args[5])
            raise

    def handle_http_status_code(self, code: int, *args: Any) -> None:  # noqa: ANN401
        """Run ccxt's reading of a bare status; note it."""
        try:
            super().handle_http_status_code(code, *args)
        except Exception as error:
            _note(error, code, headers={}, response=None)
            raise


def _note(
    error: Exception, status: int, *, headers: dict[str, str], response: object
) -> None:
    noted = cast("Any", error)
    noted.http_status = status
    body = response if isinstance(response, dict) else {}
    noted.venue_code = body.get("code")
    noted.venue_text = body.get("msg", "")
    noted.retry_after = headers.get("Retry-After", "")


def open_wire(rest: str, key: str, secret: str) -> BinanceWire:
    """
    Return a client of the venue at ``rest``; close it with :func:`close_wire`.

    Raises
    ------
    SettingsError
        If ``rest`` is no http address, or an address of the client would leave it.
    """
    connector = aiohttp.TCPConnector(
        ssl=ssl.create_default_context(cafile=certifi.where()), limit=32
    )
    session = aiohttp.ClientSession(connector=connector, request_class=GatedRequest)
    config: dict[str, Any] = {
        "apiKey": key,
        "secret": secret,
        # Our own budget (venues/weight.py) throttles: it must be passed before the
        # permit is checked, and ccxt's stands between the two.
        "enableRateLimit": False,
        "session": session,
        "timeout": ANSWER_MS_MAX,
        "options": {"recvWindow": RECEIVE_WINDOW_MS},
    }
    if rest.rstrip("/") != BINANCE_REST:
        config["urls"] = {"api": _addresses(rest.rstrip("/"))}
    wire = BinanceWire(config)
    # ccxt picks its futures error table by the live URL (VENUES: on any other address
    # 90 codes fall back to one class).
    wire.exceptions["exact"].update(wire.exceptions["linear"]["exact"])
    if rest.rstrip("/") != BINANCE_REST:
        _assert_host(wire.urls["api"], rest)
    return wire


async def close_wire(wire: BinanceWire) -> None:
    """Close the client's connections; closing twice is fine."""
    session, wire.session = wire.session, None
    if session is not None:
        await session.close()


def _addresses(rest: str) -> dict[str, Any]:
    """Return ccxt's whole tree of Binance addresses, every leaf below ``rest``."""
    parts = urlsplit(rest)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        msg = f"venues.binance.rest must be http(s)://host[:port], was {rest!r}"
        raise SettingsError(msg)
    stream = rest.replace("http", "ws", 1)
    versions = {
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
    tree: dict[str, Any] = {name: rest + path for name, path in versions.items()}
    # Never dialled here (REST only), but no leaf may point at the live venue.
    tree["ws"] = {"linear": stream + "/ws"}
    return tree


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

"""A signed Bybit request taken apart and checked; it carries out none."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

import msgspec

from cryptoquantix.simulator.conditional import ConditionalExchange
from cryptoquantix.simulator.listing import Listing
from cryptoquantix.simulator.market import Market
from cryptoquantix.simulator.wire.bybit_errors import BybitError, bad_parameter
from cryptoquantix.simulator.wire.bybit_facts import BybitState
from cryptoquantix.simulator.wire.messages import Key

type Json = dict[str, Any]

RECV_WINDOW_DEFAULT_MS = 5_000
RECV_WINDOW_MAX_MS = 60_000
AHEAD_MAX_MS = 1_000
PARAMETERS_MAX = 200
CATEGORIES = frozenset({"linear", "inverse", "spot", "option"})
LINK_ID = re.compile(r"[A-Za-z0-9_-]{1,36}\Z")
DECIMAL = re.compile(r"[0-9]{1,20}(\.[0-9]{1,20})?\Z")


class Credentials(NamedTuple):
    """What the X-BAPI headers say."""

    key: str = ""
    timestamp: str = ""
    recv_window: str = ""
    signature: str = ""

    @classmethod
    def of(cls, headers: Mapping[str, str]) -> Credentials:
        """Return the credentials in ``headers``, whose names are in lower case."""
        return cls(
            headers.get("x-bapi-api-key", ""),
            headers.get("x-bapi-timestamp", ""),
            headers.get("x-bapi-recv-window", ""),
            headers.get("x-bapi-sign", ""),
        )


class Parameters:
    """The parameters of a request, each read with the check the venue makes."""

    def __init__(self, values: Json) -> None:
        self.values = {k: v for k, v in values.items() if v is not None and v != ""}

    def text(self, name: str, default: str | None = None) -> str:
        """Return a parameter as text; 10001 if it is missing or no scalar."""
        value = self.values.get(name, default)
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise bad_parameter(text=f"{name} is required")
        return str(value)

    def choice(self, name: str, allowed: set[str], default: str | None = None) -> str:
        """Return one of ``allowed``; 10001 if it is another."""
        value = self.text(name, default)
        if value not in allowed:
            raise bad_parameter(text=f"{name} invalid")
        return value

    def integer(self, name: str, default: int | None = None) -> int:
        """Return a whole number; 10001 if it is missing or malformed."""
        value = self.text(name, None if default is None else str(default))
        if not re.fullmatch(r"-?[0-9]{1,18}", value):
            raise bad_parameter(text=f"{name} invalid")
        return int(value)

    def time_ns(self, name: str) -> int | None:
        """Return a parameter in milliseconds as nanoseconds, None if not sent."""
        return self.integer(name) * 1_000_000 if name in self.values else None

    def limit(self, default: int, maximum: int) -> int:
        """Return ``limit``: at least 1, and what is above the maximum is it."""
        value = self.integer("limit", default)
        if value < 1:
            raise bad_parameter(text="limit invalid")
        return min(value, maximum)

    def flag(self, name: str) -> bool:
        """Return a boolean, false where it was not sent."""
        value = self.values.get(name, False)
        if isinstance(value, str) and value in {"true", "false"}:
            return value == "true"
        if not isinstance(value, bool):
            raise bad_parameter(text=f"{name} invalid")
        return value

    def decimal(self, name: str) -> Decimal:
        """Return a decimal number that is not negative; 10001 if it is none."""
        value = self.text(name)
        if not DECIMAL.match(value):
            raise bad_parameter(text=f"{name} invalid")
        return Decimal(value)

    def link_id(self) -> str | None:
        """Return ``orderLinkId``, None if not sent; 10001 if it is malformed."""
        if "orderLinkId" not in self.values:
            return None
        value = self.text("orderLinkId")
        if not LINK_ID.match(value):
            raise bad_parameter(
                text="orderLinkId must be at most 36 letters, digits, - and _"
            )
        return value


def parse_query(query: str) -> Json:
    """Return what a query string says; 10001 if it says one thing twice."""
    values: Json = {}
    try:
        fields = parse_qsl(query, keep_blank_values=True, max_num_fields=PARAMETERS_MAX)
    except ValueError:
        raise bad_parameter(text="too many parameters") from None
    for name, value in fields:
        if name in values:
            raise bad_parameter(text=f"{name} was sent twice")
        values[name] = value
    return values


def parse_body(body: bytes) -> Json:
    """Return what a JSON body says; 10001 if it is no object."""
    if not body:
        return {}
    try:
        values = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise bad_parameter(text="the body is not valid JSON") from None
    if not isinstance(values, dict):
        raise bad_parameter(text="the body is not a JSON object")
    return values


def check_signature(key: Key, sent: Credentials, payload: bytes) -> None:
    """Check the HMAC-SHA256 over the bytes exactly as they were sent; 10004 if not."""
    text = f"{sent.timestamp}{key.key}{sent.recv_window}".encode() + payload
    wanted = hmac.new(key.secret.encode(), text, hashlib.sha256).hexdigest()
    given = sent.signature.lower().encode("utf-8", "replace")
    if not hmac.compare_digest(wanted.encode(), given):
        shown = text[:200].decode("utf-8", "replace")
        raise BybitError(
            10004,
            "error sign! please check your signature generation algorithm. "
            f"origin_string[{shown}]",
        )


def check_time(sent: Credentials, now_ms: int) -> None:
    """Check timestamp and receive window: 10002 outside, as at the venue."""
    window = sent.recv_window or str(RECV_WINDOW_DEFAULT_MS)
    if not re.fullmatch(r"[0-9]{1,15}", sent.timestamp) or not re.fullmatch(
        r"[0-9]{1,15}", window
    ):
        raise bad_parameter(text="X-BAPI-TIMESTAMP or X-BAPI-RECV-WINDOW invalid")
    timestamp = int(sent.timestamp)
    window_ms = min(int(window), RECV_WINDOW_MAX_MS)
    if not now_ms - window_ms <= timestamp < now_ms + AHEAD_MAX_MS:
        raise BybitError(
            10002,
            "invalid request, please check your server timestamp or recv_window "
            f"param. req_timestamp[{timestamp}],server_timestamp[{now_ms}],"
            f"recv_window[{window}]",
        )


@dataclass(slots=True)
class Call:
    """One checked request: who asks, when, and what."""

    state: BybitState
    parameters: Parameters
    time_ns: int
    account_id: int = 0
    role: str = "none"
    key: str = ""

    @property
    def exchange(self) -> ConditionalExchange:
        """The venue's core."""
        return self.state.exchange

    @property
    def time_ms(self) -> int:
        """Wall time in milliseconds."""
        return self.time_ns // 1_000_000

    def category(self) -> str:
        """Return the product; 10001 if the venue has none of that name."""
        value = self.parameters.text("category")
        if value not in CATEGORIES:
            raise bad_parameter(text="category invalid")
        return value

    def market(self) -> Market:
        """Return the linear market that ``symbol`` names; 10001 if there is none."""
        symbol = self.parameters.text("symbol")
        found = self.exchange.markets.get(symbol)
        if self.category() != "linear" or found is None:
            raise bad_parameter(text="symbol invalid")
        return found

    def markets(self) -> list[Market]:
        """
        Return the markets asked for by symbol, base or settlement coin.

        Other products are known and empty. 10001 if none of the three was sent.
        """
        parameters = self.parameters
        if "symbol" in parameters.values:
            return [self.market()]
        found = list(self.exchange.markets.values())
        if self.category() != "linear":
            return []
        if "baseCoin" in parameters.values:
            coin = parameters.text("baseCoin")
            return [m for m in found if m.listing.base == coin]
        coin = parameters.text("settleCoin")
        return [m for m in found if m.listing.quote == coin]

    def again(self, values: Json) -> Call:
        """Return the same call with other parameters, for one item of a batch."""
        return replace(self, parameters=Parameters(values))


type Handler = Callable[[Call], Any]


class Route(NamedTuple):
    """One path: who may call it with what, and how often in a second."""

    handler: Handler
    parameters: frozenset[str]
    limit: int  # calls a second for one account; 0 for public paths

    @property
    def is_private(self) -> bool:
        """True if the path wants a signature."""
        return self.limit > 0


def route(handler: Handler, parameters: str = "", *, limit: int = 0) -> Route:
    """Return a :class:`Route`; ``parameters`` are names separated by spaces."""
    return Route(handler, frozenset(parameters.split()), limit)


class Result(NamedTuple):
    """An answer that also says something in ``retExtInfo``."""

    result: Json
    ext_info: Json


def price_ticks(listing: Listing, value: Decimal, name: str = "price") -> int:
    """Return a price in ticks; 10001 if it is none."""
    return _steps(value, listing.tick_size, name)


def size_lots(listing: Listing, value: Decimal, name: str = "qty") -> int:
    """Return a size in lots; 10001 if it is none."""
    return _steps(value, listing.lot_size, name)


def _steps(value: Decimal, step: Decimal, name: str) -> int:
    numerator, denominator = value.as_integer_ratio()
    step_numerator, step_denominator = step.as_integer_ratio()
    steps, rest = divmod(numerator * step_denominator, denominator * step_numerator)
    if rest or not steps:
        raise bad_parameter(text=f"{name} invalid")
    return steps


def page(
    items: list[tuple[int, Json]], call: Call, limit: int
) -> tuple[list[Json], str]:
    """
    Return one page of ``items``, newest first, and the cursor of the next.

    Each item comes with a number that rises with time; the cursor is the number
    of the last one shown, so that what is new does not move later pages.
    """
    before = call.parameters.integer("cursor", 10**17)
    ordered = sorted((i for i in items if i[0] < before), key=lambda i: -i[0])
    shown = ordered[:limit]
    cursor = str(shown[-1][0]) if len(ordered) > limit else ""
    return [value for _, value in shown], cursor

"""A signed Binance request taken apart and checked; it carries out none."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from cryptoquantix.simulator.accounts import Account
from cryptoquantix.simulator.conditional import ConditionalExchange
from cryptoquantix.simulator.listing import Listing
from cryptoquantix.simulator.market import Market
from cryptoquantix.simulator.refusals import CommandRefusedError
from cryptoquantix.simulator.wire.binance_errors import BinanceError, binance_error
from cryptoquantix.simulator.wire.messages import Key

RECV_WINDOW_DEFAULT_MS = 5_000
RECV_WINDOW_MAX_MS = 60_000
AHEAD_MAX_MS = 1_000
PARAMETERS_MAX = 200
LIMIT_DEFAULT = 500
CLIENT_ID = re.compile(r"[.A-Z:/a-z0-9_-]{1,36}\Z")
DECIMAL = re.compile(r"[0-9]{1,20}(\.[0-9]{1,20})?\Z")
DECIMAL_TEXT = r"^([0-9]{1,20})(\.[0-9]{1,20})?$"
CLIENT_ID_TEXT = r"^[\.A-Z\:/a-z0-9_-]{1,36}$"


class Security(StrEnum):
    """What a path asks of the caller."""

    NONE = "none"
    KEY = "key"
    SIGNED = "signed"


class Parameters:
    """The parameters of a request, each read with the check the venue makes."""

    def __init__(self, values: dict[str, str]) -> None:
        self.values = values

    def text(self, name: str, default: str | None = None) -> str:
        """Return a parameter; -1102 if it is missing and has no default."""
        value = self.values.get(name)
        if value:
            return value
        if default is None:
            raise missing(name)
        return default

    def choice(self, name: str, allowed: set[str], default: str | None = None) -> str:
        """Return one of ``allowed``; -1130 if it is another."""
        value = self.text(name, default)
        if value not in allowed:
            msg = f"Data sent for parameter '{name}' is not valid."
            raise BinanceError(-1130, msg)
        return value

    def integer(self, name: str, default: int | None = None) -> int:
        """Return a whole number; -1102 if it is missing or malformed."""
        value = self.values.get(name)
        if not value and default is not None:
            return default
        if not value or not re.fullmatch(r"-?\d{1,18}", value):
            raise missing(name)
        return int(value)

    def optional_integer(self, name: str) -> int | None:
        """Return a whole number, or None where it was not sent."""
        return self.integer(name) if self.values.get(name) else None

    def time_ns(self, name: str) -> int | None:
        """Return a parameter in milliseconds as nanoseconds, None if not sent."""
        value = self.optional_integer(name)
        return None if value is None else value * 1_000_000

    def limit(self, default: int, maximum: int) -> int:
        """Return ``limit`` within 1..maximum; -1130 outside."""
        value = self.integer("limit", default)
        if not 1 <= value <= maximum:
            raise BinanceError(-1130, "Data sent for parameter 'limit' is not valid.")
        return value

    def flag(self, name: str) -> bool:
        """Return a boolean, false where it was not sent."""
        return self.choice(name, {"true", "false", "TRUE", "FALSE"}, "false") in {
            "true",
            "TRUE",
        }

    def decimal(self, name: str) -> Decimal:
        """Return a decimal number; -1102 if it is missing, -1100 if it is none."""
        value = self.text(name)
        if not DECIMAL.match(value):
            msg = (
                f"Illegal characters found in parameter '{name}'; legal range is "
                f"'{DECIMAL_TEXT}'."
            )
            raise BinanceError(-1100, msg)
        return Decimal(value)

    def client_id(self, name: str) -> str | None:
        """Return a client order id, None if not sent; -4015 or -1100 if malformed."""
        value = self.values.get(name)
        if not value:
            return None
        if len(value) > 36:
            raise BinanceError(
                -4015, "Client order id length should be less than 36 chars"
            )
        if not CLIENT_ID.match(value):
            msg = (
                f"Illegal characters found in parameter '{name}'; legal range is "
                f"'{CLIENT_ID_TEXT}'."
            )
            raise BinanceError(-1100, msg)
        return value


def missing(name: str) -> BinanceError:
    """Return the venue's error for a parameter that is not there or malformed."""
    return BinanceError(
        -1102,
        f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.",
    )


def parse_parameters(query: str, body: str) -> dict[str, str]:
    """Return what a query string and a form body say; -1101 if one says it twice."""
    values: dict[str, str] = {}
    for source in (query, body):
        for name, value in _fields(source) if source else ():
            if name in values:
                msg = f"Duplicate values for parameter '{name}' detected."
                raise BinanceError(-1101, msg)
            values[name] = value
    return values


def _fields(source: str) -> list[tuple[str, str]]:
    """Return a form's fields; nearly always nothing in it is escaped."""
    if _PLAIN_FORM.fullmatch(source):
        parts = (field.partition("=") for field in source.split("&"))
        found = [(name, value) for name, _, value in parts]
        if len(found) <= PARAMETERS_MAX:
            return found
    try:
        return parse_qsl(source, keep_blank_values=True, max_num_fields=PARAMETERS_MAX)
    except ValueError:
        raise BinanceError(-1101, "Too many parameters sent.") from None


_PLAIN = r"[^=&%+;]+=[^=&%+;]*"
_PLAIN_FORM = re.compile(f"{_PLAIN}(?:&{_PLAIN})*")
_SIGNATURE = re.compile(r"(^|&)signature=([^&]*)")


def check_signature(key: Key, query: str, body: str) -> None:
    """
    Check the HMAC-SHA256 over query and body exactly as they were sent.

    Raises
    ------
    BinanceError
        -1102 without a signature, -1022 if it is not of these bytes.
    """
    sent = _SIGNATURE.search(query) or _SIGNATURE.search(body)
    if sent is None:
        raise missing(name="signature")
    source = query if sent.string is query else body
    payload = source[: sent.start()] + source[sent.end() :]
    payload = payload + body if source is query else query + payload
    wanted = hmac.new(key.secret.encode(), payload.encode(), hashlib.sha256)
    if not hmac.compare_digest(
        wanted.hexdigest().encode(), sent.group(2).lower().encode()
    ):
        raise BinanceError(-1022, "Signature for this request is not valid.")


def check_time(parameters: Parameters, now_ms: int) -> None:
    """Check timestamp and receive window: -1021 outside, as at the venue."""
    timestamp = parameters.integer("timestamp")
    window = parameters.integer("recvWindow", RECV_WINDOW_DEFAULT_MS)
    if not 0 < window <= RECV_WINDOW_MAX_MS:
        raise BinanceError(-1131, "recvWindow must be less than 60000")
    if timestamp >= now_ms + AHEAD_MAX_MS:
        msg = "Timestamp for this request was 1000ms ahead of the server's time."
        raise BinanceError(-1021, msg)
    if now_ms - timestamp > window:
        raise BinanceError(
            -1021, "Timestamp for this request is outside of the recvWindow."
        )


@dataclass(slots=True)
class VenueState:
    """What the wire keeps beside the core: listen keys and wire-level settings."""

    exchange: ConditionalExchange
    listen_keys: dict[str, tuple[int, int]] = field(default_factory=dict)
    listen_key_seed: str = ""
    listen_keys_made: int = 0
    client_ids_made: int = 0


@dataclass(slots=True)
class Call:
    """One checked request: who asks, when, and what."""

    state: VenueState
    parameters: Parameters
    time_ns: int
    account_id: int = 0
    role: str = "none"

    @property
    def exchange(self) -> ConditionalExchange:
        """The venue's core."""
        return self.state.exchange

    @property
    def account(self) -> Account:
        """The account the key opens."""
        return self.exchange.clearing.accounts[self.account_id]

    @property
    def time_ms(self) -> int:
        """Wall time in milliseconds."""
        return self.time_ns // 1_000_000

    def market(self) -> Market:
        """Return the market that ``symbol`` names; -1121 if there is none."""
        symbol = self.parameters.text("symbol").upper()
        try:
            return self.exchange.market(symbol)
        except CommandRefusedError as error:
            raise binance_error(error) from None

    def markets(self) -> list[Market]:
        """Return the market ``symbol`` names, or all of them."""
        if self.parameters.values.get("symbol"):
            return [self.market()]
        return list(self.exchange.markets.values())


type Handler = Callable[[Call], Any]


class Route(NamedTuple):
    """One path: who may call it with what, and what it costs."""

    handler: Handler
    security: Security
    parameters: frozenset[str]
    weight: int = 1
    heavy_weight: int = 0  # without a symbol
    orders: int = 0
    by_limit: tuple[tuple[int, int], ...] = ()  # (limit up to, weight)

    def weight_of(self, values: dict[str, str]) -> int:
        """Return the request weight of a call with these parameters."""
        if self.by_limit:
            sent = values.get("limit", "")
            limit = int(sent) if sent.isdecimal() and len(sent) < 6 else LIMIT_DEFAULT
            fits = (w for most, w in self.by_limit if limit <= most)
            return next(fits, self.by_limit[-1][1])
        return self.weight if values.get("symbol") else self.heavy_weight


def route(
    handler: Handler,
    parameters: str = "",
    *,
    security: Security = Security.SIGNED,
    weight: int = 1,
    heavy_weight: int = 0,
    orders: int = 0,
    by_limit: tuple[tuple[int, int], ...] = (),
) -> Route:
    """Return a :class:`Route`; ``parameters`` are names separated by spaces."""
    return Route(
        handler,
        security,
        frozenset(parameters.split()),
        weight,
        heavy_weight or weight,
        orders,
        by_limit,
    )


def price_ticks(listing: Listing, value: Decimal) -> int:
    """Return a price in ticks; the venue's error if it is none."""
    if value <= 0:
        raise BinanceError(-4001, "Price less than 0.")
    return _steps(value, listing.tick_size, "Price not increased by tick size.", -4014)


def size_lots(listing: Listing, value: Decimal) -> int:
    """Return a size in lots; the venue's error if it is none."""
    if value <= 0:
        raise BinanceError(-4003, "Quantity less than or equal to zero.")
    return _steps(value, listing.lot_size, "Qty not increased by step size.", -4023)


def _steps(value: Decimal, step: Decimal, text: str, code: int) -> int:
    numerator, denominator = value.as_integer_ratio()
    step_numerator, step_denominator = step.as_integer_ratio()
    steps, rest = divmod(numerator * step_denominator, denominator * step_numerator)
    if rest:
        exponent = value.normalize().as_tuple().exponent
        step_exponent = step.normalize().as_tuple().exponent
        if (
            isinstance(exponent, int)
            and isinstance(step_exponent, int)
            and exponent < min(0, step_exponent)
        ):
            raise BinanceError(
                -1111, "Precision is over the maximum defined for this asset."
            )
        raise BinanceError(code, text)
    return steps

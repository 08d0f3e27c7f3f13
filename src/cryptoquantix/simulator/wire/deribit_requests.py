"""A JSON-RPC request taken apart, and its parameters checked; it carries out none."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

import msgspec

from cryptoquantix.simulator.wire.deribit_errors import DeribitError, invalid_parameter

type Json = dict[str, Any]

PARAMETERS_MAX = 60
TEXT_MAX = 1_000
_DECIMAL = re.compile(r"[0-9]{1,18}(\.[0-9]{1,18})?\Z")
_INTEGER = re.compile(r"-?[0-9]{1,18}\Z")
_DECODER = msgspec.json.Decoder(float_hook=Decimal)
_ENCODER = msgspec.json.Encoder(decimal_format="number")
_MEMBERS = frozenset({"jsonrpc", "id", "method", "params", "access_token"})


class Rpc(NamedTuple):
    """
    One call: ``id`` is whatever the client numbered it with, None over GET.

    ``notes`` are of members beside the call that nobody asked for: they are logged,
    not refused, because ccxt leaks some of its own there.
    """

    method: str
    parameters: Mapping[str, Any]
    id: int | str | None = None
    has_id: bool = False
    notes: tuple[str, ...] = ()


class Parameters:
    """The parameters of a call, each read with the check the venue makes."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.values = values

    def has(self, name: str) -> bool:
        """Return whether a parameter was sent and is not null or empty."""
        value = self.values.get(name)
        return value is not None and value != ""

    def text(self, name: str, default: str | None = None) -> str:
        """Return a text parameter; -32602 if it is missing and has no default."""
        if not self.has(name):
            if default is None:
                raise invalid_parameter(name, "required parameter is missing")
            return default
        value = self.values[name]
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise invalid_parameter(name, "must be a string")
        text = str(value)
        if len(text) > TEXT_MAX:
            raise invalid_parameter(name, "too long")
        return text

    def choice(self, name: str, allowed: set[str], default: str | None = None) -> str:
        """Return one of ``allowed``; -32602 if it is another."""
        value = self.text(name, default)
        if value not in allowed:
            raise invalid_parameter(name, "value is not allowed")
        return value

    def flag(self, name: str, *, default: bool = False) -> bool:
        """Return a boolean, sent as such or as ``true``/``false`` in a query."""
        value = self.values.get(name)
        if value is None or value == "":
            return default
        if isinstance(value, bool):
            return value
        if value in {"true", "True"}:
            return True
        if value in {"false", "False"}:
            return False
        raise invalid_parameter(name, "must be a boolean")

    def integer(self, name: str, default: int | None = None) -> int:
        """Return a whole number; -32602 if it is missing or malformed."""
        if not self.has(name) and default is not None:
            return default
        value = self.text(name)
        if not _INTEGER.match(value):
            raise invalid_parameter(name, "must be an integer")
        return int(value)

    def count(self, default: int = 10, maximum: int = 1_000) -> int:
        """Return ``count`` within 1..maximum."""
        value = self.integer("count", default)
        if not 1 <= value <= maximum:
            raise invalid_parameter(name="count", reason=f"must be within 1..{maximum}")
        return value

    def time_ns(self, name: str, default: int | None = None) -> int | None:
        """Return a parameter in milliseconds as nanoseconds."""
        return self.integer(name) * 1_000_000 if self.has(name) else default

    def decimal(self, name: str) -> Decimal:
        """Return a decimal number that is not negative; -32602 otherwise."""
        if not self.has(name):
            raise invalid_parameter(name, "required parameter is missing")
        value = self.values[name]
        if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
            raise invalid_parameter(name, "must be a number")
        text = format(value, "f") if isinstance(value, Decimal) else str(value)
        if not _DECIMAL.match(text):
            raise invalid_parameter(name, "must be a number")
        return Decimal(text)

    def texts(self, name: str) -> list[str]:
        """Return a list of texts, which a query may carry as JSON or once."""
        value = self.values.get(name)
        if isinstance(value, str) and value:
            try:
                value = _DECODER.decode(value) if value[0] == "[" else [value]
            except (msgspec.DecodeError, RecursionError):
                raise invalid_parameter(name, "must be a list of strings") from None
        if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
            raise invalid_parameter(name, "must be a list of strings")
        return list(value)


def parse_query(query: str) -> dict[str, str]:
    """Return the parameters of a query string; 11050 if one is there twice."""
    try:
        fields = parse_qsl(query, keep_blank_values=True, max_num_fields=PARAMETERS_MAX)
    except ValueError:
        raise DeribitError(11050, "bad_request") from None
    values = dict(fields)
    if len(values) != len(fields):
        raise DeribitError(11050, "bad_request", {"reason": "repeated parameter"})
    return values


def parse_rpc(text: str | bytes) -> Rpc:
    """
    Return the call a JSON-RPC message makes.

    Raises
    ------
    DeribitError
        -32700 if it is not JSON, -32600 if it is not a request.
    """
    message = _decoded(text)
    if message is None:
        raise DeribitError(-32700, "Parse error")
    if not isinstance(message, dict):
        raise _not_a_request(reason="must be an object")
    number, method = message.get("id"), message.get("method")
    if not _is_id(number):
        raise _not_a_request(reason="id must be an integer or a string")
    if not isinstance(method, str):
        raise _not_a_request(reason="method must be a string", number=number)
    unknown = sorted(message.keys() - _MEMBERS)
    notes = tuple(f"unknown member {name[:60]!r}" for name in unknown[:20])
    parameters = _parameters(message)
    return Rpc(method, parameters, number, has_id="id" in message, notes=notes)


def _parameters(message: Json) -> Json:
    parameters = message.get("params")
    if parameters is None:
        parameters = {}
    if not isinstance(parameters, dict):
        raise invalid_parameter(name="params", reason="must be an object")
    if len(parameters) > PARAMETERS_MAX:
        raise invalid_parameter(name="params", reason="too many")
    if "access_token" in message:
        return {"access_token": message["access_token"], **parameters}
    return parameters


def _decoded(text: str | bytes) -> object:
    """Return what JSON says, None if it is none."""
    try:
        return _DECODER.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError, ArithmeticError):
        return None


def _is_id(number: object) -> bool:
    return number is None or type(number) in {int, str}


def _not_a_request(reason: str, number: int | str | None = None) -> DeribitError:
    data: Json = {"reason": reason}
    if number is not None:
        data["id"] = number
    return DeribitError(-32600, "Invalid Request", data)


def message_id(text: str | bytes) -> int | str | None:
    """Return the id of a message that could not be parsed further, if it has one."""
    message = _decoded(text)
    number = message.get("id") if isinstance(message, dict) else None
    return number if _is_id(number) else None


def encode(message: object) -> bytes:
    """Return JSON with every decimal as the number it is, digit for digit."""
    return _ENCODER.encode(message)


def answer(
    rpc_id: int | str | None, body: Json, time_ns: int, *, has_id: bool = True
) -> bytes:
    """Return a response around ``{"result"}`` or ``{"error"}``."""
    us = time_ns // 1_000
    message: Json = {"jsonrpc": "2.0"}
    if has_id:
        message["id"] = rpc_id
    message |= body
    message |= {"usIn": us, "usOut": us, "usDiff": 0, "testnet": False}
    return encode(message)


def notification(channel: str, data: object) -> bytes:
    """Return what a subscriber of ``channel`` is told."""
    return encode(
        {
            "jsonrpc": "2.0",
            "method": "subscription",
            "params": {"channel": channel, "data": data},
        }
    )
